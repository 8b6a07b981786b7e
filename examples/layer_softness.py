"""Which layers stay convolutional: the softness of each layer by the evidence, as in van der Ouderaa et al. (2023).

python examples/layer_softness.py [examples [seeds [first]]]     1500 digits, one seed, 0, by default; writes
docs/results/layer_softness.md, and goes on where it stopped
"""

# %% Libraries and settings
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/layer_softness.md")
SIZE, SEEDS, FIRST = [*map(int, sys.argv[1:]), *(1500, 1, 0)[len(sys.argv) - 1 :]]
LAYERS = {"0": "first convolution, 8 x 8", "2": "second, to 4 x 4", "4": "third, to 2 x 2"}
TESTS = 297  # what 1500 of the 1797 leave
MODELS = ("learned", "convolutional")
START = 0.1  # of sigma_b / sigma_a


# %% Three convolutions, whose kernels may vary with position; how much, and how large they are, is learned by layer
def make(kind: str, seed: int) -> rpp.Model:
    torch.manual_seed(seed)
    sizes, layers = (1, 4, 8, 8), list[nn.Module]()
    for k in range(3):
        layers += [nn.Conv2d(sizes[k], sizes[k + 1], 3, stride=1 + (k > 0), padding=1), nn.SiLU()]
    cnn = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10))
    net = rpp.soften(cnn, (1, 8, 8), residual="local")
    sigma_a, sigma_b = (rpp.PerLayer(rpp.Prior("LogNormal", {"loc": np.log(s), "scale": 1.0})) for s in (1.5, START))
    sigma_b = sigma_b if kind == "learned" else 0.0
    return rpp.Model(net, sigma_a=sigma_a, sigma_b=sigma_b, likelihood=rpp.Categorical())


# %% Sigmas in turn with the weights, by the evidence with Kronecker factors of the curvature
def fit(kind: str, seed: int) -> dict[str, Any]:
    digits = rpp.datasets.digits()
    order = np.random.default_rng(seed).permutation(len(digits.x))
    train, test = ((digits.x[part], digits.y[part]) for part in (order[:SIZE], order[-TESTS:]))
    method = rpp.Laplace(
        curvature="kronecker", evidence="maximize", epochs=60, burn_in=15, every=15, steps=8, polish=0, draws=20
    )
    start = time.process_time()
    post = rpp.fit(make(kind, seed), *train, method, seed=seed, progress=False)
    scores = {k: float(v) for k, v in post.metrics(*test).items() if k in ("nll", "accuracy", "ece")}
    numbers = {k: float(np.mean(post.samples[k])) for k in post.model.latents}
    energy = {k: float(np.mean(e.share)) for k, e in rpp.analysis.energy_by_layer(post).items()}
    seconds = time.process_time() - start
    return scores | {"evidence": float(post.log_evidence), "seconds": seconds, "numbers": numbers, "energy": energy}


# %% Both networks, seed by seed
def mean(rows: list[dict[str, Any]], *keys: str) -> float:
    return float(np.mean([r[keys[0]] if len(keys) == 1 else r[keys[0]][keys[1]] for r in rows]))


def tables(done: dict[str, Any]) -> str:
    rows = ["| model | evidence | NLL | accuracy | calibration error | seconds |", "| --- " * 6 + "|"]
    for kind in MODELS:
        some = [r for key, r in done.items() if key.startswith(f"{kind} {SIZE} ")]
        scores = " | ".join(f"{mean(some, k):.3f}" for k in ("nll", "accuracy", "ece"))
        rows.append(f"| {kind} | {mean(some, 'evidence'):.0f} | {scores} | {mean(some, 'seconds'):.0f} |")
    rows += [
        "",
        "| layer | sigma_a | sigma_b | sigma_b / sigma_a, each seed | residual's share of the weights, each seed |",
    ]
    rows.append("| --- " * 5 + "|")
    some = [r for key, r in done.items() if key.startswith(f"learned {SIZE} ")]
    for k, name in LAYERS.items():
        a, b = (mean(some, "numbers", f"{s}.{k}") for s in ("sigma_a", "sigma_b"))
        ratios = ", ".join(f"{r['numbers'][f'sigma_b.{k}'] / r['numbers'][f'sigma_a.{k}']:.3f}" for r in some)
        shares = ", ".join(f"{r['energy'][k]:.3f}" for r in some)
        rows.append(f"| {name} | {a:.2f} | {b:.3f} | {ratios} | {shares} |")
    return "\n".join(rows)


kept = OUT.with_suffix(".json")
done: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
for seed in range(FIRST, FIRST + SEEDS):
    for kind in MODELS:
        if (key := f"{kind} {SIZE} {seed}") not in done:
            done[key] = fit(kind, seed)
            kept.write_text(json.dumps(done, indent=1))
            print(key, done[key], flush=True)

text = f"""# Which layers stay convolutional

Made by `python examples/layer_softness.py {SIZE} {SEEDS} {FIRST}`: {SIZE} of scikit-learn's 8 x 8 digits, {TESTS}
others to test on. Three convolutions (4, 8 and 8 channels) and a head, with local residuals: **convolutional** has
sigma_b = 0; **learned** has a sigma_b for each layer, from {START:g} on, which `Laplace(curvature="kronecker",
evidence="maximize")` tunes in turn with the weights, as do [van der Ouderaa, Immer and van der
Wilk](https://arxiv.org/abs/2310.06131). The sizes of the weights are tuned in both, layer by layer. CPU seconds, on a
machine that was busy otherwise.

{tables(done)}
"""
write_page(OUT, text)
print(text)
