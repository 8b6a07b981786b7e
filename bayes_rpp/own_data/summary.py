"""What a fit of a table says: the text and tables of its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rpp._numerics import rms
from bayes_rpp.analysis.degree import degree_of_symmetry
from bayes_rpp.own_data.fitting import Fitted
from bayes_rpp.own_data.report import code, heading, page, paragraph, picture, table, tiles

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_NAMES = 12
NAMES = {
    "nll": "NLL of a row",
    "rmse": "RMSE, in standard deviations",
    "crps": "CRPS",
    "coverage_50": "inside of 50 % intervals",
    "coverage_90": "inside of 90 % intervals",
    "coverage_95": "inside of 95 % intervals",
    "calibration_error": "calibration error",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
SHARES = ("coverage_50", "coverage_90", "coverage_95", "accuracy")


def report(
    fitted: Fitted, scores: dict[str, dict[str, float]], file: Path, figures: dict[str, Figure]
) -> tuple[str, str]:
    """The page, and its first sentences for the terminal."""
    import bayes_rpp

    lead = _lead(fitted, scores["test"])
    degrees = None
    if fitted.model.group is not None:
        degrees = degree_of_symmetry(fitted.model.posterior_, fitted.test_x)
    parts = [paragraph(lead, "lead")]
    parts += [paragraph(f"Warning: {text}", "warning") for text in fitted.warnings]
    parts += [tiles(_first(fitted, scores["test"], degrees)), heading("How well it predicts")]
    if fitted.classes is None:
        parts.append(table(_by_target(fitted), ("target", "RMSE", "standard deviation", "R²", "mean std")))
        parts.append(paragraph("On the rows held out, in the units of the file. R² is 0 for their mean.", "note"))
    rows = [(NAMES[k], *(_shown(k, scores[part][k]) for part in ("test", "train"))) for k in scores["test"]]
    parts.append(table(rows, ("score", "held out", "trained on")))
    if fitted.classes is None:
        parts.append(
            paragraph(
                "Of all targets together, in standardised units; each score but coverage: lower is better.", "note"
            )
        )
    parts += [heading("Is its uncertainty right?"), picture(figures["calibration"], "calibration on held-out rows")]
    words = lead
    if degrees is not None:
        symmetry = _symmetry(fitted, degrees)
        words = f"{lead}\n{symmetry}"
        parts += [heading("How symmetric is it?"), paragraph(symmetry)]
        parts.append(picture(figures["equivariance"], "equivariance error on held-out rows"))
        parts += [table(_degrees(degrees), ("layer", "quantity", "5 %", "median", "95 %"), words=2)]
    parts += [heading("What was fitted"), table(_settings(fitted, file))]
    parts += [heading("To predict new rows"), code("bayes-rpp predict . new.csv --out new_predictions.csv")]
    parts.append(paragraph("In the folder of this page; new.csv has the columns of the inputs, in any order.", "note"))
    parts += [heading("To go on in Python"), code(_code(fitted))]
    footer = f"Made by bayes-rpp {bayes_rpp.__version__}: bayes-rpp fit. Predictions of all rows: predictions.csv."
    return page(f"{', '.join(_short(fitted.columns.outputs))} from {file.name}", parts, footer), words


def _first(fitted: Fitted, test: dict[str, float], degrees: pd.DataFrame | None) -> list[tuple[str, str]]:
    """What one looks for first."""
    if fitted.classes is not None:
        found = [
            ("right classes", f"{100 * test['accuracy']:.0f} %"),
            ("calibration error", f"{100 * test['ece']:.0f} %"),
        ]
    else:
        shares = [row[3] for row in _by_target(fitted)]
        found = [("R²", _range(shares))]
        found.append(("inside of 90 % intervals", f"{100 * test['coverage_90']:.0f} %"))
    found.append(("rows held out", f"{len(fitted.test)} of {len(fitted.y)}"))
    if degrees is not None:
        median = degrees.loc[("function", "equivariance error"), "median"]
        found.append((f"equivariance error under {fitted.model.group}", f"{median:.2g}"))
    return found


def _lead(fitted: Fitted, test: dict[str, float]) -> str:
    count = f"On {len(fitted.test)} rows held out of {len(fitted.y)}"
    if fitted.classes is not None:
        labels, counts = np.unique(fitted.y[fitted.train], return_counts=True)
        often = labels[counts.argmax()]
        guess = (fitted.y[fitted.test] == often).mean()
        return (
            f"{count}, {100 * test['accuracy']:.0f} % of the classes are right; the most frequent one, {str(often)!r}, "
            f"would be right in {100 * guess:.0f} %. The calibration error of its probabilities is "
            f"{100 * test['ece']:.1f} %."
        )
    targets = _by_target(fitted)
    errors = [f"{rmse}" if len(targets) == 1 else f"{rmse} of {name}" for name, rmse, *_ in targets]
    best = f"R² is {_range([row[3] for row in targets])}, the RMSE in the units of the file {', '.join(_short(errors))}"
    return f"{count}, {best}, and {100 * test['coverage_90']:.0f} % of the observations lie inside of 90 % intervals."


def _range(numbers: list[str]) -> str:
    low, high = min(numbers, key=float), max(numbers, key=float)
    return low if low == high else f"{low} to {high}"


def _by_target(fitted: Fitted) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for k, name in enumerate(fitted.columns.outputs):
        y = fitted.y[fitted.test, k]
        mean, std = (v[fitted.test, k] for v in fitted.moments)
        rmse, spread = rms(y - mean), rms(y - y.mean())
        r2 = f"{1 - (rmse / spread) ** 2:.3f}" if spread > 0 else "nan"
        rows.append((name, f"{rmse:.4g}", f"{spread:.4g}", r2, f"{std.mean():.4g}"))
    return rows


def _settings(fitted: Fitted, file: Path) -> list[tuple[str, str]]:
    from bayes_rpp.estimators.base import COUNTED

    model: Any = fitted.model
    post = model.posterior_
    noise = post.latents.get("noise", getattr(post.model.likelihood, "noise", None))
    rows = [
        ("file", file.name),
        ("rows", f"{len(fitted.y)}, of which {len(fitted.test)} held out"),
        ("inputs", ", ".join(_short(fitted.columns.inputs))),
        ("targets", ", ".join(_short(fitted.columns.outputs))),
    ]
    if fitted.classes is not None:
        rows.append(("classes", ", ".join(_short([str(c) for c in fitted.classes]))))
    if model.group is not None:
        rows.append(("symmetry", str(model.group)))
        rows.append(("acts on inputs", str(model.rep_in)))
        rows.append(("acts on targets", "not at all" if model.rep_out is None else str(model.rep_out)))
    else:
        rows.append(("symmetry", "none given"))
    rows.append(_shape(fitted))
    rows.append(("method", f"{post.method}, {post.engine}, seed {model.random_state}"))
    count = f"{post.chains} chain(s) of {post.draws} draw(s)"
    if COUNTED in post.method:
        count += ": of each member as many as it counts, more the better it predicts rows it was not trained on"
    rows.append(("posterior", count))
    if fitted.classes is None:
        rows.append(("noise", f"{np.median(noise):.3g} standard deviations of the targets"))
    return rows


def _shape(fitted: Fitted) -> tuple[str, str]:
    """What f is."""
    from bayes_rpp.estimators.base import LAYERS

    model: Any = fitted.model
    gp = fitted.functions
    if gp is not None:
        scales = "a lengthscale for each column" if gp.ard else "a lengthscale for each kind of column"
        numbers = len(gp.latents)
        return "functions", f"Gaussian process, kernel {type(gp.kernel).__name__}, {scales}, {numbers} numbers inferred"
    net = model.posterior_.model.net
    width = "" if model.channels is None else f" of {model.channels}"
    weights = sum(p.subspace.size for p in net.parameters.values())
    return "network", f"{LAYERS if model.layers is None else model.layers} hidden layer(s){width}, {weights} weights"


def _symmetry(fitted: Fitted, degrees: pd.DataFrame) -> str:
    low, median, high = degrees.loc[("function", "equivariance error")]
    return (
        f"The equivariance error under {fitted.model.group} is {median:.2g} ({low:.2g} to {high:.2g}): the distance of "
        "f(g x) from g f(x), from 0 (equivariant) to 1 (nothing in common), in standardised units, mean over rows. "
        "It is the fit's, and what the fit is off is part of it: bayes-rpp compare says whether the data "
        "break the symmetry."
    )


def _degrees(degrees: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = zip(degrees.index, degrees.to_numpy(), strict=True)
    return [(*index, *(f"{v:.2g}" for v in values)) for index, values in rows]


def _code(fitted: Fitted) -> str:
    lines = [
        "import pandas as pd",
        "import bayes_rpp as rpp\n",
        "post = rpp.Posterior.load('posterior.nc')",
        "units = pd.read_csv('columns.csv', dtype={'column': str})",
        "to_x = units[units.role == 'input']",
        "new = pd.read_csv('new.csv')  # has these columns, in any order",
        "x = (new[to_x.column].to_numpy() - to_x.centre.to_numpy()) / to_x.scale.to_numpy()",
    ]
    if fitted.classes is None:
        lines += [
            "p = post.predict(x)",
            "to_y = units[units.role == 'target']",
            "mean = p.mean * to_y.scale.to_numpy() + to_y.centre.to_numpy()",
            "std = p.std * to_y.scale.to_numpy()",
        ]
    elif fitted.functions is None:
        lines.append("probabilities = post.predict(x).mean")
    else:  # as in predictions.csv; post.predict is shier
        each = "the second class" if len(fitted.classes) == 2 else "each class"
        lines.append(f"probabilities = post.model.likelihood.mean(post.mean_function(x))  # of {each}")
    return "\n".join(lines)


def _short(names: list[str]) -> list[str]:
    return names if len(names) <= MOST_NAMES + 1 else [*names[:MOST_NAMES], f"and {len(names) - MOST_NAMES} more"]


def _shown(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name in SHARES else f"{value:.3g}"
