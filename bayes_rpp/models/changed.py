"""A model as another one: the same but for some of its parts."""

from __future__ import annotations

from typing import Any

from bayes_rpp.models.model import Model


def changed(model: Model, **parts: Any) -> Model:
    """The model with other arguments of `Model`, by their names."""
    given = {
        "net": model.net,
        "sigma_a": model.sigma_a,
        "sigma_b": model.sigma_b.given,
        "likelihood": model.likelihood,
        "scale": model.scale,
        "parametrisation": model.parametrisation,
    }
    return Model(**given | parts)
