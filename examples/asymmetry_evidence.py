"""Figure 1a of the paper, measured: the evidence of an MLP, an EMLP and an RPP on data of rising asymmetry.

    python examples/asymmetry_evidence.py [dials]     writes docs/results/asymmetry_evidence.md and .png

A vector and a scalar to a vector: a rotation-equivariant function plus `dial` times a fixed shear. The networks are the
free, the strict and the soft model of one EMLP; sigma_b and the noise are tuned by the evidence.
"""

# %% Libraries and settings
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/asymmetry_evidence.md")
EXAMPLES, NOISE = 60, 0.2
DIALS = [float(v) for v in sys.argv[1:]] or [0.0, 0.03, 0.1, 0.3, 1.0]
SHEAR = np.array([[0.5, 0.5], [-0.2, -0.5]])
LABELS = {"free": "MLP (sigma_a = 0)", "soft": "RPP", "strict": "EMLP (sigma_b = 0)"}


# %% What it does
def data(dial: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(EXAMPLES, 3)), NOISE * rng.normal(size=(EXAMPLES, 2))
    s, v = x[:, :1], x[:, 1:]
    return x, 2 * v / (1 + np.exp(-2 * s)) + dial * v @ SHEAR.T + noise


def main() -> None:
    evidence: dict[str, list[float]] = {kind: [] for kind in LABELS}
    ratios = []
    options = {"rep_in": rpp.Scalar + rpp.Vector, "rep_out": rpp.Vector, "channels": 3 * rpp.Scalar + 4 * rpp.Vector}
    for dial in DIALS:
        found = rpp.compare_symmetries(*data(dial), {"O(2)": rpp.O(2)}, **options)
        for kind, values in evidence.items():
            values.append(found.scores["O(2)", kind].log_evidence)
        ratios.append(float(found.table.loc[("O(2)", "soft"), "sigma_ratio"]))
        print(dial, {k: v[-1] for k, v in evidence.items()}, flush=True)
    figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for kind, values in evidence.items():
        ax.plot(range(len(DIALS)), values, "o-", label=LABELS[kind])
    ax.set_xticks(range(len(DIALS)), [f"{d:g}" for d in DIALS])
    ax.set(xlabel="asymmetry of the data", ylabel="log evidence, nats")
    ax.legend(frameon=False)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(OUT.with_suffix(".png"), dpi=150)
    header = ["asymmetry", *LABELS.values(), "sigma_b / sigma_a of RPP"]
    rows = [header, ["---"] * len(header)]
    for k, dial in enumerate(DIALS):
        rows.append([f"{dial:g}", *(f"{evidence[kind][k]:.1f}" for kind in LABELS), f"{ratios[k]:.3f}"])
    write_page(
        OUT,
        f"# Evidence on data of rising asymmetry\n\nMade by `python examples/asymmetry_evidence.py`: {EXAMPLES} "
        "examples, noise 0.2, one hidden layer; log evidence by Laplace, the highest of the fits.\n\n"
        + "\n".join("| " + " | ".join(r) + " |" for r in rows)
        + "\n\n![evidence of MLP, RPP and EMLP](asymmetry_evidence.png)\n",
    )


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
