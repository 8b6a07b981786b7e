"""A robot with a limp leg: which one is it? A model of its motions, softly symmetric, says so.

    python examples/robot.py        3000 steps of each robot, a minute

Ant-v5 of MuJoCo has four legs, and mirrors and turns that put one in the place of another: 8 of them, exact in the
simulator. Here the motors of one leg give a third of their torque. An ensemble is fitted to motions with random
actions; its prior prefers all 8, and nobody tells it that a leg is limp. Which transformations it breaks says on which
diagonal the leg is, what of f lies outside of the symmetry says which of the two it is, and sigma_b of each layer by
how much the symmetry is broken. Writes docs/results/robot.md and .png. Needs `pip install '.[rl,numpyro]'`.
"""

# %% Libraries and settings
import datetime
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import bayes_rpp as rpp
from bayes_rpp import rl
from bayes_rpp._files import write_page

STEPS, TESTS, EPOCHS = 3000, 300, 100
LIMP, TORQUE = 2, 1 / 3  # the leg, and what is left of its motors' torque
OUT = Path("docs/results/robot.md")
SYMMETRY = rl.symmetry("Ant-v5", "left-right-legs")
LEGS = {1: (1, 1), 2: (-1, 1), 3: (-1, -1), 4: (1, -1)}  # where they point to, seen from above
MOVES = {
    (4, 3, 2, 1): "mirror 1↔4, 2↔3",
    (2, 1, 4, 3): "mirror 1↔2, 3↔4",
    (1, 4, 3, 2): "mirror 2↔4",
    (3, 2, 1, 4): "mirror 1↔3",
    (2, 3, 4, 1): "quarter turn",
    (4, 1, 2, 3): "quarter turn back",
    (3, 4, 1, 2): "half turn",
}


# %% The robot, and what it does with random actions
def robot(limp):
    env = SYMMETRY.make()
    for motor, name in enumerate(SYMMETRY.action_names):
        if limp and name.endswith(f"_{LIMP}"):
            env.unwrapped.model.actuator_gear[motor] *= TORQUE
    return env


def motions(env, n, seed):
    env.action_space.seed(seed)
    states, actions, following, ends = [], [], [], []
    state, _ = env.reset(seed=seed)
    for _ in range(n):
        action = env.action_space.sample()
        after, _, fallen, late, _ = env.step(action)
        for rows, value in zip((states, actions, following, ends), (state, action, after, fallen or late), strict=True):
            rows.append(value)
        state = env.reset()[0] if fallen or late else after
    return rl.Transitions(*map(np.array, (states, actions, following, ends)))


# %% Each element of the group by what it does with the legs; the quaternion's sign makes two of each
def moves():
    found = {}
    for g in SYMMETRY.group.elements:
        action = SYMMETRY.rep_action(SYMMETRY.group).rho(g)
        to = [[n[-1] for n in SYMMETRY.action_names][np.abs(action[:, k]).argmax()] for k in range(0, 8, 2)]
        legs = dict(zip((n[-1] for n in SYMMETRY.action_names[::2]), to, strict=True))
        found.setdefault(tuple(int(legs[k]) for k in "1234"), g)
    return {name: found[legs] for legs, name in MOVES.items()}


# %% What the simulator itself says: one step from the moved state, beside the moved step
def true_errors(env, states, actions, elements, scale):
    def change(state, action):
        rl.set_state(env, state)
        return (env.unwrapped.step(action)[0] - state) / scale

    errors = []
    for g in elements:
        state, action = (rep(SYMMETRY.group).rho(g) for rep in (SYMMETRY.rep_state, SYMMETRY.rep_action))
        a = np.array([state @ change(s, u) for s, u in zip(states, actions, strict=True)])
        b = np.array([change(state @ s, action @ u) for s, u in zip(states, actions, strict=True)])
        gap, sizes = np.linalg.norm(a - b, axis=1), np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)
        errors.append((gap / sizes).mean())
    return np.array(errors)


# %% What of f is outside of the symmetry, by leg: f less its average over the group, (members, legs)
def outside(post, x):
    net, parts = post.model.net, []
    for member in range(post.draws):
        f = post.function(0, member)
        y = np.asarray(f(x))
        turned = [
            np.asarray(f(x @ net.rep_in.rho(g).T.astype(x.dtype))) @ net.rep_out.rho(np.linalg.inv(g)).T
            for g in SYMMETRY.group.elements
        ]
        rest = y - np.mean(turned, axis=0)
        columns = {k: [i for i, n in enumerate(SYMMETRY.state_names) if n.endswith(f"_{k}_d")] for k in LEGS}
        parts.append([np.sqrt((rest[:, c] ** 2).mean() / (y[:, c] ** 2).mean()) for c in columns.values()])
    return np.array(parts)


# %% A robot looked at
def looked_at(limp):
    env, start = robot(limp), time.process_time()
    data, test = motions(env, STEPS, 0), motions(env, TESTS, 1)
    method = rpp.DeepEnsemble(members=5, epochs=EPOCHS, batch_size=64, learning_rate=0.03)
    model = rl.fit_transitions(data, SYMMETRY, method=method, engine="numpyro", progress=False)
    post, named = model.posterior, moves()
    x = model.standardize_x(test.x).astype(np.float32)
    elements = np.array(list(named.values()))
    wanted, predicted = test.changes, model.changes(test.states, test.actions).mean(axis=0)
    variance = ((wanted - wanted.mean(axis=0)) ** 2).sum()
    scale = model.standardize_y.scale
    return {
        "map": np.array(rpp.analysis.group_error_map(post, x[:100], elements=elements).interval()),
        "true": true_errors(env, test.states[:100], test.actions[:100], elements, scale),
        "legs": outside(post, x),
        "layers": {k: np.ravel(v) for k, v in post.asymmetry().items()},
        "r2": 1 - ((predicted - wanted) ** 2).sum() / variance,
        "seconds": time.process_time() - start,
    }


# %% The picture: broken transformations, the robot seen from above, and the layers
def draw(found):
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.9), layout="constrained", width_ratios=(5, 3, 3))
    for shift, (name, f) in zip((-0.15, 0.15), found.items(), strict=True):
        low, median, high = f["map"]
        rows = np.arange(len(median)) + shift
        left.errorbar(median, rows, xerr=(median - low, high - median), fmt="o", ms=5, label=name)
        left.plot(f["true"], rows, "|", color="0.2", ms=11, mew=2, label="simulator" if shift > 0 else None)
        for k, values in enumerate(f["layers"].values()):
            right.plot(np.full(len(values), k + shift), values, "o", color=f"C{int(shift > 0)}", alpha=0.6)
    left.set_yticks(range(len(MOVES)), MOVES.values())
    left.invert_yaxis()
    left.set(xlabel="equivariance error, median and 90 %", title="which transformations are broken")
    left.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    left.grid(axis="x", color="0.92")
    shares = np.median(found["limp"]["legs"], axis=0)
    for share, (leg, way) in zip(shares, LEGS.items(), strict=True):
        color = plt.get_cmap("YlOrRd")(0.15 + 0.75 * share / shares.max())
        x, y = way[0] * np.array([0.2, 1.0, 1.1]), way[1] * np.array([0.2, 1.0, 1.5])
        middle.plot(x, y, lw=11, color=color, solid_capstyle="round")
        middle.text(0.62 * way[0], 1.75 * way[1], f"leg {leg}: {100 * share:.0f} %", ha="center", va="center")
    middle.add_patch(plt.Circle((0, 0), 0.42, color="0.35"))
    middle.set(
        xlim=(-1.6, 1.6), ylim=(-2.0, 2.0), aspect="equal", title="limp: motion outside of\nthe symmetry, by leg"
    )
    middle.set_axis_off()
    right.set_xticks(range(len(found["limp"]["layers"])), found["limp"]["layers"])
    right.set(yscale="log", ylabel="sigma_b / sigma_a", title="asymmetry by layer")
    fig.savefig(OUT.with_suffix(".png"), dpi=130)


# %% The table
def main():
    found = {name: looked_at(limp) for name, limp in (("healthy", False), ("limp", True))}
    draw(found)
    rows = []
    for k, move in enumerate(MOVES.values()):
        cells = [
            f"{f['true'][k]:.3f} | {f['map'][1][k]:.3f} ({f['map'][0][k]:.3f} to {f['map'][2][k]:.3f})"
            for f in found.values()
        ]
        rows.append(f"| {move} | {' | '.join(cells)} |")
    limp = found["limp"]
    legs = ", ".join(f"{k}: {100 * v:.0f} %" for k, v in zip(LEGS, np.median(limp["legs"], axis=0), strict=True))
    kept = list(MOVES.values())[int(limp["map"][1].argmin())]
    worst = list(LEGS)[int(np.median(limp["legs"], axis=0).argmax())]
    layers = [f"{k} {np.median(v):.4f}" for k, v in limp["layers"].items()]
    text = (
        "# A robot with a limp leg\n\n"
        f"Made by `python examples/robot.py` with bayes-rpp {rpp.__version__} on {datetime.date.today()}: Ant-v5 of "
        f"MuJoCo, {STEPS} steps with random actions each of the healthy robot and of one whose leg {LIMP} has a third "
        "of its torque; five networks of the change of the state, softly symmetric under all mirrors and turns of the "
        f"legs, R² {found['healthy']['r2']:.2f} and {limp['r2']:.2f} on {TESTS} other steps, "
        f"{found['healthy']['seconds']:.0f} and {limp['seconds']:.0f} CPU s while the machine was busy.\n\n"
        "![broken transformations, the robot from above, asymmetry by layer](robot.png)\n\n"
        f"Which leg? The transformation that is broken least is the {kept}, so that the limp leg is one of the two "
        f"that it leaves where they are. Of each leg's motion, this much is outside of the symmetry: {legs}. So "
        f"it is leg {worst}. Medians of sigma_b / sigma_a by layer: {', '.join(layers)}.\n\n"
        "| transformation | healthy, simulator | healthy, model (90 %) | limp, simulator | limp, model (90 %) |\n"
        "| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )
    write_page(OUT, text)
    print(text)


# %% Run it
if __name__ == "__main__":
    rpp.inference.cache_compilations()
    main()
