"""The contract of likelihoods: `rpp.models`; `Model` and the likelihoods are in bayes_rpp itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayes_rpp._lazy import lazy

if TYPE_CHECKING:
    from bayes_rpp.models.likelihood import Likelihood
else:
    __getattr__, __dir__ = lazy(__name__, {"models.likelihood": "Likelihood"})

__all__ = ["Likelihood"]
