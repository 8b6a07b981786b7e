"""Moons of a planet that is a little flat: how well, how sure, how symmetric, and which symmetry is left?

The pull of a ball is central, and O(3) is its symmetry; the bulge of a planet that turns (J2) leaves rotations about
its axis. From noisy accelerations along a few orbits, functions that are strict, soft and free learn the energy whose
gradient they are, and which sees two particles, planet and moon. A strict one keeps the plane of each orbit for ever;
in truth planes turn about the axis, and the soft one says how fast. Orbits are by an integrator of our own (leapfrog),
whose energy is printed.

Run: python examples/planets.py   (about a minute)
It writes docs/results/planets.md and .png.
"""

# %% Accelerations in units in which the planet's mass, and the mean distance of the moons, are 1.
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp._files import write_page

OUT = Path(__file__).parent.parent / "docs" / "results" / "planets.md"
BULGE, NOISE, ORBITS, LOOKS, STEPS, PERIODS = 0.05, 0.003, 6, 10, 200, 5  # J2 times the planet's radius squared
ABOUT_Z = rpp.SO(2) * rpp.Trivial(1)


def energy(x):
    r = np.linalg.norm(x, axis=-1)
    return -1 / r + BULGE * (3 * x[..., 2] ** 2 / r**2 - 1) / (2 * r**3)


def pull(x):
    r, z = np.linalg.norm(x, axis=-1, keepdims=True), x[..., 2:]
    return -x / r**3 + 1.5 * BULGE / r**5 * ((5 * z**2 / r**2 - 1) * x - 2 * z * np.array([0, 0, 1.0]))


def orbit(acceleration, x, v, steps=STEPS * PERIODS):
    """Positions and velocities of moons (n, 3), (steps + 1, n, 3) each: leapfrog."""
    dt, a, found = 2 * np.pi / STEPS, acceleration(x), [(x, v)]
    for _ in range(steps):
        v = v + 0.5 * dt * a
        x = x + dt * v
        a = acceleration(x)
        v = v + 0.5 * dt * a
        found.append((x, v))
    return (np.array(part) for part in zip(*found, strict=True))


def moons(n, seed):
    """Positions and velocities of nearly round orbits of different sizes and planes."""
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, n, 3))
    r = rng.uniform(0.8, 1.25, size=(n, 1))
    x *= r / np.linalg.norm(x, axis=1, keepdims=True)
    v = np.cross(w, x)
    return x, v / np.linalg.norm(v, axis=1, keepdims=True) / np.sqrt(r)


def node(x, v):
    """Degrees by which the plane of each orbit has turned about the axis at the end."""
    normal = np.cross(x, v)
    angle = np.unwrap(np.arctan2(normal[..., 1], normal[..., 0]), axis=0)
    return np.degrees(angle[-1] - angle[0])


x, v = orbit(pull, *moons(ORBITS, 0), steps=STEPS)
print(f"along the orbits energies drift by up to {np.ptp(energy(x) + 0.5 * (v**2).sum(-1), axis=0).max():.1g}")
rng = np.random.default_rng(1)
train = x[:: STEPS // LOOKS][:LOOKS].reshape(-1, 3)


def pairs(x):
    """A planet at the origin and a moon, as rows of positions; likewise of forces, which are equal and opposite."""
    return np.concatenate([np.zeros_like(x), x], axis=1)


forces = np.concatenate([-pull(train), pull(train)], axis=1)
seen = forces + NOISE * rng.normal(size=forces.shape)
test = np.concatenate([part.reshape(-1, 3)[::41] for part in orbit(pull, *moons(20, 2), steps=STEPS)][:1])
start = moons(8, 3)
true = node(*orbit(pull, *start))

# %% Three priors, by the exact evidence.
PRIORS = {"strict": {"sigma_b": 0.0}, "soft": {}, "free": {"sigma_a": 0.0}}
rows, turned, mapped = [], {}, {}
for kind, prior in PRIORS.items():
    bodies = {"particles": ["planet", "moon"], "conservative": True}
    gp = rpp.GaussianProcess(2 * rpp.Vector, 2 * rpp.Vector, rpp.O(3), **bodies, **prior)
    post = rpp.fit(gp, pairs(train), seen, rpp.MAP(), progress=False)
    p, noise = post.predict(pairs(test), samples=False), float(post.samples["noise"][0, 0])
    gaps, clear = np.abs(p.mean[:, 3:] - pull(test)), np.sqrt(np.maximum(p.std[:, 3:] ** 2 - noise**2, 0))
    broken = [np.median(post.equivariance_error(pairs(test[:50]), group=g)) for g in (rpp.O(3), ABOUT_Z)]
    turned[kind] = node(*orbit(lambda x, post=post: post.mean_function(pairs(x))[:, 3:], *start))
    mapped[kind] = gaps, clear
    off = np.abs(turned[kind] - true).mean()
    covered = 100 * (gaps < 1.645 * clear).mean()
    cells = [f"{1e3 * gaps.mean():.2f}", f"{covered:.0f} %", *(f"{b:.2g}" for b in broken), f"{off:.1f}"]
    rows.append(f"| {kind} | {post.log_evidence:.0f} | " + " | ".join(cells) + " |")
    print(rows[-1], flush=True)

# %% The picture and the page.
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for kind in PRIORS:
    axes[0].plot(true, turned[kind], "o", label=kind)
axes[0].axline((0, 0), slope=1, color="grey", lw=0.8)
axes[0].set(xlabel="true turn of the plane, degrees", ylabel="predicted", title=f"after {PERIODS} periods")
axes[0].legend()
for kind in PRIORS:
    gaps, clear = mapped[kind]
    axes[1].plot(clear.mean(axis=1), gaps.mean(axis=1), ".", label=kind)
axes[1].axline((1e-3, 0.8e-3), (1e-2, 0.8e-2), color="grey", lw=0.8)
axes[1].set(xscale="log", yscale="log", xlabel="standard deviation of f", ylabel="error", title="how sure")
figure.savefig(OUT.with_suffix(".png"), dpi=110)
write_page(
    OUT,
    f"""# Moons of a flat planet

Accelerations at {LOOKS} places along each of {ORBITS} orbits about a planet with a bulge, noise {NOISE:g}, from
`python examples/planets.py` (version {rpp.__version__}): functions of planet and moon whose gradient they are. Errors
are in thousandths of the pull at distance 1, at places of other orbits; intervals are of f; equivariance errors under
rotations and reflections and under rotations about the planet's axis are medians; the last column is how many degrees
predicted planes of eight orbits are off after {PERIODS} periods, in which they turn by {np.abs(true).mean():.1f}.

| prior | log evidence | error, 1/1000 | 90 % cover | error, O(3) | about the axis | planes off, degrees |
{"| --- " * 7}|
"""
    + "\n".join(rows)
    + """

![Turns of orbits' planes, and errors against standard deviations](planets.png)

*Left: how far the planes of eight orbits turn about the axis, true and predicted. Right: errors of accelerations
against their standard deviations.*
""",
)
