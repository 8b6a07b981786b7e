import re

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import rl
from tests.rl import moved

gymnasium = pytest.importorskip("gymnasium")
torch = pytest.importorskip("torch")
SAC = pytest.importorskip("stable_baselines3").SAC
check_env = pytest.importorskip("stable_baselines3.common.env_checker").check_env
DummyVecEnv = pytest.importorskip("stable_baselines3.common.vec_env").DummyVecEnv

CASES = [
    ("InvertedDoublePendulum-v5", "mirror"),
    ("Walker2d-v5", "left-right"),
    ("Swimmer-v5", "left-right"),
    ("Ant-v5", "left-right"),
    ("Ant-v5", "legs"),
    ("Ant-v5", "left-right-legs"),
    ("Humanoid-v5", "left-right"),
]


def agent(env_id="InvertedDoublePendulum-v5", name=None, *, env=None, policy="RPPPolicy", **options):
    sym = rl.symmetry(env_id, name)
    kwargs = {"symmetry": sym, "net_arch": [16, 16], **options}
    return SAC(policy, env or sym.make(), policy_kwargs=kwargs, learning_starts=50, seed=0, device="cpu")


def perturb(module):
    """Weights as after training, biases and residuals among them."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator)


def violations(model, sym):
    def run(obs, actions):
        obs, actions = (torch.as_tensor(a, dtype=torch.float32) for a in (obs, actions))
        with torch.no_grad():
            mean, log_std, _ = model.actor.get_action_dist_params(obs)
            q = torch.cat(model.critic(obs, actions), dim=1)
        return mean.numpy(), log_std.numpy(), q.numpy()

    return moved.violations(run, sym)


@pytest.mark.parametrize(("env_id", "name"), CASES)
def test_strict_policies_commute_with_the_group_and_critics_are_invariant(env_id, name):
    sym = rl.symmetry(env_id, name)
    strict = agent(env_id, name, sigma_b=0.0)
    perturb(strict.policy)
    assert (violations(strict, sym) < 1e-5).all()
    soft = agent(env_id, name, sigma_b=0.5)
    perturb(soft.policy)
    assert (violations(soft, sym) > 1e-2).all()


def test_training_keeps_a_strict_policy_equivariant():
    model = agent(sigma_b=0.0).learn(120)
    assert (violations(model, rl.symmetry("InvertedDoublePendulum-v5")) < 1e-5).all()
    assert np.isfinite(torch.cat([p.detach().ravel() for p in model.policy.parameters()]).numpy()).all()


def test_other_options_of_sac_policies():
    options = {"share_features_extractor": True, "n_critics": 3, "activation_fn": torch.nn.Tanh}
    model = agent("Walker2d-v5", **options).learn(60)
    assert len(model.critic(torch.zeros(1, 17), torch.zeros(1, 6))) == 3
    assert {type(m.net.activation) for m in (model.actor, model.critic)} == {torch.nn.Tanh}


def test_a_soft_policy_starts_equivariant_and_leaves_it():
    sym = rl.symmetry("InvertedDoublePendulum-v5")
    model = agent(sigma_b=0.3)
    assert (violations(model, sym) < 1e-5).all()
    model.learn(200)
    assert (violations(model, sym) > 1e-4).all()


def test_residuals_learn_more_slowly_by_the_ratio_of_the_sigmas():
    models = [agent(sigma_b=sigma) for sigma in (0.01, 0.5)]
    for m in models:
        m.learn(80)
    sizes = [float((m.actor.net.ratio * m.actor.net.residual).detach().norm()) for m in models]
    assert 20 < sizes[1] / sizes[0] < 100


def test_an_mlp_has_the_initial_values_of_torch():
    model = agent(sigma_a=0.0)
    net = model.actor.net
    assert net.beta is None
    first = net.residual[0, : 16 * 9].detach()
    assert first.abs().max() <= 1 / 3  # uniform up to 1 / sqrt(9)
    assert first.abs().max() > 0.3
    equivariant = agent(sigma_b=0.0).actor.net
    parts = [n.weights()[0].detach().split(n.sizes) for n in (net, equivariant)]
    for a, b in list(zip(*parts, strict=True))[:4:2]:  # weights of hidden layers
        assert 0.8 < float(a.std() / b.std()) < 1.25


def test_two_pathways_without_a_group_are_a_control():
    env = gymnasium.make("InvertedDoublePendulum-v5")
    model = SAC("RPPPolicy", env, policy_kwargs={"net_arch": [8], "sigma_b": 0.5}, learning_starts=50, device="cpu")
    assert model.actor.net.beta.shape[0] == model.actor.net.residual.numel()
    model.learn(60)


def test_the_prior_is_one_decay_of_both_pathways():
    model = agent(sigma_a=2.0, sigma_b=0.1, weight_decay=1e-3, critic_weight_decay=0.0)
    assert [g["weight_decay"] for g in model.actor.optimizer.param_groups] == [1e-3 / 4]
    assert [g["weight_decay"] for g in model.critic.optimizer.param_groups] == [0.0]


@pytest.mark.parametrize(("env_id", "name"), [("Walker2d-v5", "left-right"), ("Ant-v5", "legs")])
def test_the_equivariant_pathway_is_the_subspace_in_the_units_of_its_scale(env_id, name):
    sym = rl.symmetry(env_id, name)
    net = agent(env_id, name, sigma_b=0.0).actor.net
    perturb(net)
    hidden = (16 // sym.order * rpp.Regular)(sym.group)
    maps = [rpp.subspaces.EquivariantSubspace(*reps) for reps in ((sym.rep_state(sym.group), hidden), (hidden, hidden))]
    biases = rpp.subspaces.EquivariantSubspace(None, hidden)
    parts = [p.detach().view(s) for p, s in zip(net.weights()[0].split(net.sizes), net.shapes, strict=True)]
    start = 0
    for part, subspace in zip(parts, (maps[0], biases, maps[1], biases), strict=False):
        np.testing.assert_allclose(subspace.project(part), part, atol=1e-5)
        beta = net.beta[start : start + subspace.rank].detach()
        start += subspace.rank
        # |A|^2 = (n / r) |beta|^2, so that the decay of beta is the prior's.
        assert np.isclose(float((part**2).sum() * subspace.rank / subspace.size), float((beta**2).sum()), rtol=1e-4)


def test_saved_and_loaded_by_stable_baselines(tmp_path):
    model = agent("Walker2d-v5", sigma_b=0.2).learn(80)
    obs = np.random.default_rng(0).normal(size=(5, 17)).astype(np.float32)
    model.save(tmp_path / "agent")
    again = SAC.load(tmp_path / "agent", env=rl.symmetry("Walker2d-v5").make(), device="cpu")
    np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], again.predict(obs, deterministic=True)[0])
    assert again.policy.symmetry.name == "left-right"
    again.learn(60)
    model.policy.save(tmp_path / "policy")
    policy = rl.RPPPolicy.load(tmp_path / "policy", device="cpu")
    np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])


@pytest.mark.parametrize("env_id", ["InvertedDoublePendulum-v5", "Ant-v5"])
def test_environments_pass_the_check_of_stable_baselines(env_id):
    with rl.symmetry(env_id).make() as env:
        check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("env_id", "name"), [*CASES, ("Humanoid-v5", "world-rotation")])
def test_normalisation_commutes_with_the_group(env_id, name):
    sym = rl.symmetry(env_id, name)
    venv = rl.SymmetricVecNormalize(DummyVecEnv([sym.make]), sym)
    venv.seed(0)
    venv.reset()
    for _ in range(30):
        venv.step(np.array([venv.action_space.sample()]))
    obs = venv.get_original_obs()[0]
    scale = venv.statistics()[1]
    assert scale.max() > 2 * scale.min()
    for s in sym.sample(8, seed=0)[0]:
        np.testing.assert_allclose(venv.normalize_obs(s @ obs), s @ venv.normalize_obs(obs), atol=1e-5)
    np.testing.assert_allclose(venv.unnormalize_obs(venv.normalize_obs(obs)), obs, atol=1e-5)


def test_normalised_training_saves_and_loads(tmp_path):
    sym = rl.symmetry("Swimmer-v5")
    venv = rl.SymmetricVecNormalize(DummyVecEnv([sym.make]), sym, norm_reward=False)
    model = agent("Swimmer-v5", env=venv, sigma_b=0.1).learn(80)
    venv.save(str(tmp_path / "statistics"))
    again = rl.SymmetricVecNormalize.load(str(tmp_path / "statistics"), DummyVecEnv([sym.make]))
    obs = np.ones((1, 8))
    np.testing.assert_array_equal(again.normalize_obs(obs), venv.normalize_obs(obs))
    model.save(tmp_path / "agent")
    SAC.load(tmp_path / "agent", env=again, device="cpu").learn(60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symmetry": rl.symmetry("Walker2d-v5")}, "env must have observations of size 17, as 'left-right' has, got 9"),
        ({"symmetry": "left-right"}, "symmetry must be a Symmetry or None, got 'left-right'"),
        ({"sigma_b": -1.0}, "sigma_b must be a number >= 0, got -1.0"),
        ({"sigma_a": 0.0, "sigma_b": 0.0}, "sigma_a or sigma_b must be positive, got 0 for both"),
        ({"weight_decay": float("nan")}, "weight_decay must be a number >= 0, got nan"),
        (
            {"symmetry": rl.Symmetry(np.zeros((9, 9)), np.zeros((1, 1)), rotation=True, name="turn")},
            "symmetry must be that of a finite group for RPPPolicy, got 'turn', a rotation",
        ),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        agent(**options)


def test_actions_that_are_mixed_or_bounded_otherwise_are_refused():
    class Plane(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))

        def __init__(self, low, high):
            self.action_space = gymnasium.spaces.Box(np.float32(low), np.float32(high))

    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    mixed = rl.Symmetry(np.eye(2), turn @ np.diag([1, -1]) @ turn.T, name="mixed")
    with pytest.raises(ValueError, match=r"symmetry must permute actions and.*, got 'mixed', which mixes them"):
        agent(env=Plane([-1, -1], [1, 1]), symmetry=mixed)
    swap = rl.Symmetry(np.eye(2), {"perm": [1, 0]}, name="swap")
    with pytest.raises(ValueError, match=r"env must have the same bounds.*, got \[-1\. -2\.\] and \[1\. 2\.\]"):
        agent(env=Plane([-1, -2], [1, 2]), symmetry=swap)
    agent(env=Plane([-1, -1], [1, 1]), symmetry=swap)


def test_state_dependent_noise_is_refused():
    with pytest.raises(
        ValueError, match="use_sde must be False, as RPPPolicy explores with independent noise, got True"
    ):
        SAC("RPPPolicy", gymnasium.make("InvertedDoublePendulum-v5"), use_sde=True)


def test_normalisation_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"venv must have observations.*, got Box\(-inf, inf, \(8,\), float64\)"):
        rl.SymmetricVecNormalize(DummyVecEnv([rl.symmetry("Swimmer-v5").make]), rl.symmetry("Walker2d-v5"))
