"""RPP policies in SBX's SAC: what those of Stable-Baselines3 are, in JAX."""

import re

import numpy as np
import pytest

from bayes_rpp import rl
from bayes_rpp.rl.evidence import RATIOS
from tests.rl import moved

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
SAC = pytest.importorskip("sbx").SAC

MIRROR = rl.symmetry("InvertedDoublePendulum-v5")
DROQ = {"dropout_rate": 0.01, "layer_norm": True}
FEW = {"learning_starts": 20, "batch_size": 16, "train_freq": 8, "gradient_steps": 8, "buffer_size": 200, "seed": 0}


def networks(model):
    from bayes_rpp.rl.agent import agent_of

    return agent_of(model)


def agent(env_id="InvertedDoublePendulum-v5", name=None, *, env=None, policy="RPPPolicy", sac=FEW, **options):
    sym = rl.symmetry(env_id, name)
    kwargs = {"net_arch": [16, 16]} | ({"symmetry": sym} if policy == "RPPPolicy" else {}) | options
    return SAC(rl.SbxRPPPolicy if policy == "RPPPolicy" else policy, env or sym.make(), policy_kwargs=kwargs, **sac)


def perturbed(params):
    """Weights as after training, biases and residuals among them."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape).astype(np.float32) * (p.ndim > 0), params)


def violations(model, sym):
    policy = model.policy

    def run(obs, actions):
        found = policy.actor_state.apply_fn(policy.actor_state.params, obs).distribution
        return np.asarray(found.loc), np.log(found.stddev()), networks(model).values(obs, actions)

    return moved.violations(run, sym)


def perturb(model):
    policy = model.policy
    policy.actor_state = policy.actor_state.replace(params=perturbed(policy.actor_state.params))
    policy.qf_state = policy.qf_state.replace(params=perturbed(policy.qf_state.params))


NARROW = {"layer_norm": True, "net_arch": {"pi": [8], "qf": [16, 8]}, "n_critics": 3}


@pytest.mark.parametrize(
    ("env_id", "name", "options"), [("Walker2d-v5", "left-right", NARROW), ("Ant-v5", "left-right-legs", {})]
)
def test_strict_policies_commute_with_the_group_and_critics_are_invariant(env_id, name, options):
    sym = rl.symmetry(env_id, name)
    strict, soft = agent(env_id, name, sigma_b=0.0, **options), agent(env_id, name, sigma_b=0.5, **options)
    for model in (strict, soft):
        assert (violations(model, sym) < 2e-5).all()  # a soft policy starts equivariant
        perturb(model)
    assert (violations(strict, sym) < 5e-5).all()
    assert (violations(soft, sym) > 1e-2).all()


def test_networks_are_those_of_stable_baselines():
    sym = rl.symmetry("Ant-v5", "legs")
    from bayes_rpp.rl.torch.layers import SoftMLP

    model = agent("Ant-v5", "legs", sigma_a=2.0, sigma_b=0.5)
    perturb(model)
    policy, rng = model.policy, np.random.default_rng(0)
    reps = rl.fitting.Representations(sym)
    obs, actions = rng.normal(size=(7, sym.n_state)), rng.uniform(-1, 1, size=(7, sym.n_action))
    both = np.concatenate([obs, actions], axis=1)
    agents = networks(model)
    for state, inputs, widths, members in (
        (policy.actor_state, obs, [reps.state, reps.hidden(16), reps.hidden(16), reps.mean_and_log_std], 1),
        (policy.qf_state, both, [reps.both, reps.hidden(16), reps.hidden(16), reps.scalar], 2),
    ):
        other, params = SoftMLP(widths, 2.0, 0.5, members=members), state.params["params"]["net"]
        with torch.no_grad():
            other.beta.copy_(torch.tensor(np.array(params["beta"]).ravel()))
            other.residual.copy_(torch.tensor(np.array(params["residual"])))
            found = [out.numpy() for out in other(torch.tensor(inputs, dtype=torch.float32))]
            features = other.features(torch.tensor(inputs, dtype=torch.float32)).numpy()
        if members == 1:
            mean = np.split(found[0], 2, axis=1)[0]
            np.testing.assert_allclose(agents.actions(obs), np.tanh(mean), atol=1e-5)
        else:
            np.testing.assert_allclose(agents.values(obs, actions), np.concatenate(found, axis=1), atol=1e-4)
            np.testing.assert_allclose(agents.features(obs, actions), features, atol=1e-4)


@pytest.mark.parametrize("options", [{}, DROQ])
def test_training_keeps_a_strict_policy_equivariant(options):
    sac = FEW | ({"policy_delay": 8} if options else {})
    model = agent(sigma_b=0.0, sac=sac, **options)
    start = model.policy.actor_state.params["params"]["net"]["beta"]
    model.learn(60)
    assert np.abs(model.policy.actor_state.params["params"]["net"]["beta"] - start).max() > 1e-4
    assert (violations(model, MIRROR) < 1e-5).all()


def test_what_is_recorded_does_not_change_the_training():
    trackers = rl.SymmetryTracker(MIRROR, every=25, n=20), rl.ResidualEvidence(every=40, n=30, gain=1e9)
    with_them = agent(sigma_b=0.5).learn(80, callback=list(trackers))
    without = agent(sigma_b=0.0).learn(80)
    for state in ("actor_state", "qf_state"):
        a, b = (getattr(m.policy, state).params["params"]["net"]["beta"] for m in (with_them, without))
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, atol=1e-6)  # closed: the strict policy's training
    errors = trackers[0].records
    assert errors["step"] == [25, 50, 75]
    assert max(errors["policy"] + errors["critic"]) < 1e-5
    assert trackers[1].records["sigma_b"] == [0.0, 0.0]


def test_soft_values_are_those_of_a_drawn_action():
    model = agent(sac=FEW | {"ent_coef": "auto_0.3"}, dropout_rate=0.5)
    policy, obs = model.policy, np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    policy.qf_state = policy.qf_state.replace(target_params=perturbed(policy.qf_state.target_params))
    distribution = policy.actor_state.apply_fn(policy.actor_state.params, obs)
    actions = distribution.sample(seed=jax.random.key(5))
    q = networks(agent(sac=FEW))._values(policy.qf_state.target_params, obs, actions)  # without dropout
    expected = np.min(q, axis=0)[:, 0] - 0.3 * np.asarray(distribution.log_prob(actions))
    np.testing.assert_allclose(networks(model).soft_values(obs, 5), expected, atol=1e-5)


def test_evidence_opens_the_residual_which_is_saved(tmp_path, monkeypatch):
    from bayes_rpp.rl import callbacks

    found = np.where(RATIOS == 0.1, 9.0, 0.0)
    monkeypatch.setattr(callbacks, "log_evidences", lambda features, targets: found)
    opened, tracker = rl.ResidualEvidence(every=30, n=30), rl.SymmetryTracker(MIRROR, every=80, n=20)
    model = agent(sigma_a=2.0, sigma_b=0.5).learn(80, callback=[opened, tracker])
    assert opened.records["sigma_b"] == [pytest.approx(0.2)] * 2
    assert tracker.records["policy"][0] > 1e-4
    model.save(tmp_path / "agent")
    again = SAC.load(tmp_path / "agent", env=MIRROR.make())
    obs = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], again.predict(obs, deterministic=True)[0])
    policy = again.policy
    for params in (policy.actor_state.params, policy.qf_state.params, policy.qf_state.target_params):
        assert float(params["params"]["net"]["ratio"]) == pytest.approx(0.1)
    again.learn(40, reset_num_timesteps=False)
    assert float(again.policy.actor_state.params["params"]["net"]["ratio"]) == pytest.approx(0.1)


def test_the_prior_is_one_decay_of_both_pathways():
    """Two steps of plain gradient descent, with and without: they differ by rate * decay / sigma_a^2 of the weights."""
    import optax

    options = {"optimizer_class": optax.sgd, "sigma_a": 2.0, "sigma_b": 0.5, "critic_weight_decay": 0.0}
    models = [agent(weight_decay=decay, **options) for decay in (0.0, 0.4)]
    policies = [m.policy for m in models]
    for policy in policies:
        grads = jax.tree.map(np.zeros_like, policy.actor_state.params)
        policy.actor_state = policy.actor_state.apply_gradients(grads=grads)
    a, b = (p.actor_state.params["params"]["net"] for p in policies)
    np.testing.assert_allclose(b["beta"], (1 - 3e-4 * 0.4 / 4) * a["beta"], rtol=1e-6)
    assert float(a["ratio"]) == float(b["ratio"]) == 0.25


def test_an_mlp_and_two_pathways_are_controls():
    mlp = agent(sigma_a=0.0, symmetry=None)
    assert set(mlp.policy.actor_state.params["params"]["net"]) == {"residual"}
    two = agent(symmetry=None, sigma_b=0.5).policy.actor_state.params["params"]["net"]
    assert two["beta"].shape == two["residual"].shape
    # Flax's initial values: of variance one over the inputs, and biases of zero.
    first = np.asarray(mlp.policy.actor_state.params["params"]["net"]["residual"])[0, : 16 * 9 + 16]
    assert (first[-16:] == 0).all()
    assert 0.8 / 3 < first[:-16].std() < 1.2 / 3
    mlp.learn(40)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: agent(symmetry=rl.symmetry("Walker2d-v5")), "env must have observations of size 17, as 'left-right'"),
        (lambda: agent(symmetry="left-right"), "symmetry must be a Symmetry or None, got 'left-right'"),
        (lambda: agent(sigma_b=-1.0), "sigma_b must be a number >= 0, got -1.0"),
        (lambda: agent(sigma_a=0.0, sigma_b=0.0), "sigma_a or sigma_b must be positive, got 0 for both"),
        (lambda: agent(sac=FEW | {"use_sde": True}), "use_sde must be False, as RPPPolicy explores with independent"),
        (lambda: agent(sigma_b=0.0).policy.set_sigma_b(1.0), "got sigma_a=1 and sigma_b=0; sigma_b=1 would do"),
        (lambda: agent().policy.set_sigma_b(-1.0), "sigma_b must be a number >= 0, got -1.0"),
        (lambda: agent(policy="MlpPolicy").learn(1, callback=rl.ResidualEvidence()), "policy must be an RPPPolicy for"),
        (lambda: agent(symmetry=None).learn(1, callback=rl.ResidualEvidence()), "policy must have a symmetry for"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        act()


def test_any_policy_can_be_tracked():
    tracker = rl.SymmetryTracker(MIRROR, every=30, n=20)
    agent(policy="MlpPolicy").learn(60, callback=tracker)
    assert tracker.records["policy"][-1] > 0.01
    assert tracker.records["critic"][-1] > 0.01
