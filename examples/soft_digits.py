"""Small data: digits by a convolutional network, a dense one, and soft ones whose sigmas are set by hand or learned.

python examples/soft_digits.py [seeds [first]]     5 seeds from 0 by default; writes docs/results/soft_digits.md and
.png, and goes on where it stopped
"""

# %% Libraries and settings
import json
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/soft_digits.md")
SEEDS, FIRST = [*map(int, sys.argv[1:]), *(5, 0)[len(sys.argv) - 1 :]]
SIZES, TESTS = (100, 300), 1000
STEPS, BATCH = 400, 50
MODELS = ("convolutional", "dense", "by hand", "learned")
LAYERS = {"0": "first convolution", "2": "second convolution", "5": "head"}
METRICS = {"nll": "NLL", "accuracy": "accuracy", "ece": "calibration error"}


def by_layer(start: float) -> rpp.PerLayer:
    return rpp.PerLayer(rpp.Prior("HalfNormal", {"scale": start}))


# %% One network, four priors; with sigma_a = 0 its layers are any linear maps, as in an MLP
def make(kind: str, seed: int) -> rpp.Model:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2, padding=1), nn.ReLU()]
    cnn = nn.Sequential(*layers, nn.Flatten(), nn.Linear(192, 10))
    net = rpp.soften(cnn, (1, 8, 8), residual="dense" if kind == "dense" else "local")
    size = by_layer(2.0)  # of the weights: learned in all of them
    sigmas: dict[str, tuple[Any, Any]] = {
        "convolutional": (size, 0.0),
        "dense": (0.0, size),
        "by hand": (size, 0.2),
        "learned": (size, by_layer(0.2)),
    }
    sigma_a, sigma_b = sigmas[kind]
    return rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Categorical())


# %% What each makes of a few digits
def fit(kind: str, size: int, seed: int) -> dict[str, Any]:
    digits = rpp.datasets.digits()
    order = np.random.default_rng(seed).permutation(len(digits.x))
    train, test = ((digits.x[part], digits.y[part]) for part in (order[:size], order[-TESTS:]))
    method = rpp.DeepEnsemble(members=3, epochs=STEPS * BATCH // size, batch_size=BATCH, learning_rate=0.02)
    model, start = make(kind, seed), time.process_time()
    post = rpp.fit(model, *train, method, seed=seed, progress=False)
    scores = post.metrics(*test)
    numbers = {k: float(np.mean(post.samples[k])) for k in model.latents}
    energy = {k: float(np.mean(e.share)) for k, e in rpp.analysis.energy_by_layer(post).items()}
    found = {k: float(scores[k]) for k in METRICS} | {"seconds": time.process_time() - start}
    return found | {"numbers": numbers, "energy": energy}


# %% All of them
def table(done: dict[str, Any]) -> list[str]:
    rows = [
        "| examples | model | NLL | accuracy | calibration error | NLL on each seed | seconds |",
        "| --- " * 7 + "|",
    ]
    for size in SIZES:
        for kind in MODELS:
            found = [r for key, r in done.items() if key.startswith(f"{kind} {size} ")]
            means = [f"{np.mean([r[m] for r in found]):.3f}" for m in METRICS]
            each = ", ".join(f"{r['nll']:.3f}" for r in found)
            seconds = f"{np.mean([r['seconds'] for r in found]):.0f}"
            rows.append(f"| {size} | {kind} | {' | '.join(means)} | {each} | {seconds} |")
    return rows


def by_layers(done: dict[str, Any]) -> list[str]:
    rows = [
        "| examples | layer | sigma_a | sigma_b | sigma_b / sigma_a | residual's share of the weights |",
        "| --- " * 6 + "|",
    ]
    for size in SIZES:
        found = [r for key, r in done.items() if key.startswith(f"learned {size} ")]
        for k, name in LAYERS.items():
            a, b = (np.mean([r["numbers"][f"{s}.{k}"] for r in found]) for s in ("sigma_a", "sigma_b"))
            share = np.mean([r["energy"][k] for r in found])
            last = "any matrix already" if k == "5" else f"{share:.3f}"
            rows.append(f"| {size} | {name} | {a:.2f} | {b:.3f} | {b / a:.3f} | {last} |")
    return rows


def picture(done: dict[str, Any]) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), constrained_layout=True)
    for axis, size in zip(axes, SIZES, strict=True):
        for k, kind in enumerate(MODELS):
            values = [r["nll"] for key, r in done.items() if key.startswith(f"{kind} {size} ")]
            axis.plot([k] * len(values), values, "o", color="C0", alpha=0.5)
            axis.plot([k - 0.3, k + 0.3], [np.mean(values)] * 2, color="C1", lw=2)
        axis.set_xticks(range(len(MODELS)), MODELS)
        axis.set_title(f"{size} digits")
    axes[0].set_ylabel("test NLL (bar: mean)")
    figure.savefig(OUT.with_suffix(".png"), dpi=120)


kept = OUT.with_suffix(".json")
done: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
for seed in range(FIRST, FIRST + SEEDS):
    for size in SIZES:
        for kind in MODELS:
            key = f"{kind} {size} {seed}"
            if key not in done:
                done[key] = fit(kind, size, seed)
                kept.write_text(json.dumps(done, indent=1))
                print(key, {m: round(done[key][m], 3) for m in METRICS}, flush=True)

text = f"""# Digits, few of them

Made by `python examples/soft_digits.py {SEEDS} {FIRST}`: {SIZES[0]} and {SIZES[1]} of scikit-learn's 8 x 8 digits,
{TESTS} others to test on. Two convolutions (6 and 12 channels) and a head, an ensemble of three trained for {STEPS}
steps. **convolutional**: sigma_b = 0. **dense**: sigma_a = 0, any linear maps of the same widths. **by hand** and
**learned**: local residuals, with sigma_b = 0.2, or one for each layer, learned along with the weights. How large the
weights are is learned in all of them, layer by layer. CPU seconds, on a machine that was busy otherwise.

![Test NLL](soft_digits.png)

{chr(10).join(table(done))}

What **learned** found, layer by layer:

{chr(10).join(by_layers(done))}
"""
picture(done)
write_page(OUT, text)
print(text)
