"""sigma_b by evidence, and the errors that are recorded while SAC trains."""

import re

import numpy as np
import pytest

from bayes_rpp import rl
from bayes_rpp.rl.evidence import RATIOS, log_evidences

torch = pytest.importorskip("torch")
SAC = pytest.importorskip("stable_baselines3").SAC

MIRROR = rl.symmetry("InvertedDoublePendulum-v5")


def agent(policy="RPPPolicy", **options):
    kwargs = {"net_arch": [16, 16]} | ({"symmetry": MIRROR} if policy == "RPPPolicy" else {}) | options
    return SAC(policy, MIRROR.make(), policy_kwargs=kwargs, learning_starts=50, seed=0, device="cpu")


def evidence(part, noise=0.05, n=150, seed=0):
    """Of y = the even function cos + part * the odd function sin, in one dimension with the mirror x to -x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=(n, 1))
    y = np.cos(2 * x) + part * np.sin(2 * x) + noise * rng.normal(size=(n, 1))
    found = log_evidences(np.stack([x, -x]), 100 * y[:, 0] + 7)
    return found - found[0]


def test_evidence_tells_even_functions_from_others():
    for seed in range(4):
        assert evidence(0.0, seed=seed)[1:].max() < 2
    for part in (0.1, 0.3, 1.0):
        assert evidence(part).max() > 5
    assert RATIOS[evidence(0.05).argmax()] < RATIOS[evidence(1.0).argmax()]


def test_transitions_on_one_side_of_a_mirror_do_not_speak_against_it():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.uniform(0.2, 2.0, 300), rng.normal(size=300)])
        y = np.abs(x[:, 0] - 1) + 0.2 * rng.normal(size=300)  # is abs(abs(x) - 1), as well as abs(x - 1)
        found = log_evidences(np.stack([x, -x]), y)
        assert (found - found[0]).max() < 2


def test_evidence_is_the_density_of_the_targets():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    features = np.stack([x, np.stack([x[:, 1] - 1, -x[:, 0]], axis=1)])  # those of no equivariant network
    found = log_evidences(features, y)
    d = [[((a[:, None] - b) ** 2).sum(-1) for a in features] for b in features]
    k = np.exp(-np.sqrt(np.array(d) / (2 * np.median(d[0][0]))))
    y = y - y.mean()
    for one, ratio in zip(found, RATIOS, strict=True):
        best = -np.inf
        for tau in np.geomspace(1e-4, 10.0, 16):
            c = k.mean((0, 1)) + 1 + ratio**2 * (k[0, 0] + k[1, 1]) / 2 + tau * np.eye(12)
            best = max(best, -6 * np.log(y @ np.linalg.solve(c, y) / 12) - 0.5 * np.linalg.slogdet(c)[1])
        assert np.isclose(one, best)


def test_what_is_recorded_does_not_change_the_training():
    trackers = rl.SymmetryTracker(MIRROR, every=30, n=20), rl.ResidualEvidence(every=40, n=30, gain=1e9)
    with_them = agent(sigma_b=0.5).learn(100, callback=list(trackers))
    without = agent(sigma_b=0.0).learn(100)
    for a, b in ((with_them.actor, without.actor), (with_them.critic, without.critic)):
        torch.testing.assert_close(a.net.weights(), b.net.weights())  # closed: the strict policy's training
    errors = trackers[0].records
    assert errors["step"] == [60, 90]
    assert max(errors["policy"] + errors["critic"]) < 1e-5
    assert trackers[1].records["sigma_b"] == [0.0]


def test_evidence_opens_the_residual_which_is_saved(tmp_path, monkeypatch):
    from bayes_rpp.rl import callbacks

    monkeypatch.setattr(callbacks, "log_evidences", lambda features, targets: np.array([0.0, 1.0, 9.0, 2.0, -5.0]))
    opened, tracker = rl.ResidualEvidence(every=20, n=30), rl.SymmetryTracker(MIRROR, every=100, n=20)
    model = agent(sigma_a=2.0, sigma_b=0.5).learn(100, callback=[opened, tracker])
    assert opened.records["sigma_b"][0] == pytest.approx(0.2)  # 0.1 sigma_a
    assert opened.records["gain"][:2] == pytest.approx([9.0, 9.0 * 1.9])
    assert tracker.records["policy"][0] > 1e-4
    model.save(tmp_path / "agent")
    again = SAC.load(tmp_path / "agent", env=MIRROR.make(), device="cpu")
    assert float(again.actor.net.ratio) == float(again.critic_target.net.ratio) == pytest.approx(0.1)
    torch.testing.assert_close(again.critic.net.weights(), model.critic.net.weights())
    again.learn(60, callback=rl.ResidualEvidence(every=1000), reset_num_timesteps=False)
    assert float(again.actor.net.ratio) == pytest.approx(0.1)  # it goes on where it was


def test_sigma_b_is_at_most_the_policys():
    from bayes_rpp.rl import callbacks

    model, callback = agent(sigma_b=0.02), rl.ResidualEvidence(every=20, n=30, gain=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "log_evidences", lambda *_: np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
        model.learn(60, callback=callback)
    assert callback.records["sigma_b"] == [0.02]


def test_files_without_a_ratio_have_that_of_their_sigmas():
    model = agent(sigma_b=0.25)
    state = {k: v for k, v in model.policy.state_dict().items() if not k.endswith("ratio")}
    model.policy.load_state_dict(state)
    assert float(model.actor.net.ratio) == 0.25


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: agent(sigma_b=0.0).learn(1, callback=rl.ResidualEvidence()), "got sigma_a=1 and sigma_b=0; sigma_b=1"),
        (lambda: agent(symmetry=None).learn(1, callback=rl.ResidualEvidence()), "policy must have a symmetry for"),
        (lambda: agent("MlpPolicy").learn(1, callback=rl.ResidualEvidence()), "policy must be an RPPPolicy for Resid"),
        (lambda: agent().policy.set_sigma_b(-1.0), "sigma_b must be a number >= 0, got -1.0"),
        (lambda: rl.ResidualEvidence(gain=-1.0), "gain must be a number >= 0, got -1.0"),
        (lambda: rl.ResidualEvidence(gain="5"), "gain must be a number >= 0, got '5'"),
        (lambda: rl.ResidualEvidence(every=0), "every must be a whole number >= 1, got 0"),
        (lambda: rl.SymmetryTracker("mirror"), "symmetry must be a Symmetry, got 'mirror'"),
        (
            lambda: rl.SymmetryTracker(rl.symmetry("Humanoid-v5", "world-rotation")),
            "symmetry must be that of a finite group, got 'world-rotation', a rotation",
        ),
    ],
)
def test_bad_input_of_callbacks_is_named(act, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        act()
