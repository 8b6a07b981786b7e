"""Which symmetry do the data have: SO(3), only SO(2) about the z axis, or none? Nested pathways with a sigma for each.

    python examples/nested_symmetry.py          half a minute; writes docs/results/nested_symmetry.md and .png

Linear maps from five vectors to two. The prior N(0, sigma_0^2 P_SO(3) + sigma_1^2 P_SO(2) + sigma_b^2 I) has three
sigmas to infer; data are made with maps of each kind. A large sigma_1 says that SO(3) is broken, but SO(2) holds.
"""

# %% Libraries and settings
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path("docs/results/nested_symmetry.md")
N, NOISE, BREAKING = 60, 0.3, 0.3
NAMES = {"sigma_a_0": "SO(3)", "sigma_a_1": "SO(2) beyond SO(3)", "sigma_b": "beyond SO(2)"}
METHOD = rpp.NUTS(chains=4, warmup=500, draws=500)


# %% What it does
def main() -> None:
    about_z = rpp.Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], name="SO(2)")
    net = rpp.EMLP(5 * rpp.Vector, 2 * rpp.Vector, rpp.SO(3), layers=0, subgroups=[about_z])
    hyper = dist.HalfNormal(0.5)
    model = rpp.Model(net, sigma_a=[hyper, hyper], sigma_b=hyper, likelihood=rpp.Gaussian(NOISE))
    posts = {}
    for kind, (x, y) in data(net).items():
        posts[kind] = rpp.fit(model, x, y, METHOD, seed=0, progress=False)
        print(kind, posts[kind].summary(), sep="\n")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    write_page(OUT, report(posts))
    picture(posts).savefig(OUT.with_suffix(".png"), dpi=150, bbox_inches="tight")
    print(f"written: {OUT} and its picture")


def data(net: rpp.EMLP) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Maps of rows of variance 1 that have each symmetry, or had the larger one before a part of another was added."""
    rng = np.random.default_rng(0)
    levels = [*net.parameters["output.weight"].subspace.levels, rpp.subspaces.FullSubspace((6, 15))]
    parts = [s.decode(rng.normal(size=s.rank)) * np.sqrt(6 / s.rank) for s in levels]
    maps = {
        "SO(3)": parts[0],
        "SO(2)": parts[0] + BREAKING * parts[1],
        "none": parts[0] + BREAKING * parts[2],
    }
    x = rng.normal(size=(N, 15))
    return {k: (x, x @ w.T + NOISE * rng.normal(size=(N, 6))) for k, w in maps.items()}


def report(posts: dict[str, rpp.Posterior]) -> str:
    header = ["data have", *(f"sigma: {v}" for v in NAMES.values()), "largest R-hat"]
    rows = [header, ["---"] * len(header)]
    for kind, post in posts.items():
        cells = []
        for name in NAMES:
            low, middle, high = np.quantile(post.samples[name], [0.05, 0.5, 0.95])
            cells.append(f"{middle:.3f} ({low:.3f} to {high:.3f})")
        rows.append([kind, *cells, f"{post.summary().table['r_hat'].max():.3f}"])
    lines = ["| " + " | ".join(r) + " |" for r in rows]
    return (
        "# Nested pathways: SO(3) > SO(2) > none\n\nMade by `python examples/nested_symmetry.py`: linear maps from "
        f"five vectors to two (90 weights), {N} examples, noise {NOISE}, the part that breaks a symmetry {BREAKING} "
        "times as large as the symmetric one (dotted in the picture). Sigmas with HalfNormal(0.5) priors, "
        f"{METHOD.chains} chains of {METHOD.draws} draws of NUTS, seed 0. Medians and 90 % intervals.\n\n"
        + "\n".join(lines)
        + "\n\n![densities of the three sigmas](nested_symmetry.png)\n"
    )


def picture(posts: dict[str, rpp.Posterior]) -> plt.Figure:
    figure, axes = plt.subplots(1, len(posts), figsize=(11, 3), sharey=True, constrained_layout=True)
    for ax, (kind, post) in zip(axes, posts.items(), strict=True):
        for name, label in NAMES.items():
            x, density, *_ = az.kde(np.log10(post.samples[name]).ravel())
            ax.plot(10**x, density, label=label)
            ax.fill_between(10**x, density, alpha=0.2)
        ax.axvline(BREAKING, color="0.6", linestyle=":", linewidth=1)
        title = "data with neither" if kind == "none" else f"data with {kind} symmetry"
        ax.set(title=title, xlabel="sigma", xscale="log", xlim=(3e-3, 2))
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("posterior density of log10 sigma")
    axes[0].legend(title="pathway", frameon=False, loc="upper left")
    return figure


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
