"""Models are plain functions of both libraries: their own SVI, NUTS and Predictive take them as they are."""

import numpy as np
import pytest

from bayes_rpp import (
    EMLP,
    MAP,
    Gaussian,
    Group,
    Model,
    O,
    PerLayer,
    Prior,
    ResidualPathway,
    Scalar,
    StudentT,
    Vector,
    fit,
)
from bayes_rpp.engines.base import get_engine
from bayes_rpp.inference.run.sites import Sites
from bayes_rpp.networks import Capabilities
from bayes_rpp.priors import Parametrization
from bayes_rpp.priors.hyper import Sigmas
from tests.inference.known import LinearProblem

jax = pytest.importorskip("jax")
numpyro = pytest.importorskip("numpyro")
nd = pytest.importorskip("numpyro.distributions")
pyro = pytest.importorskip("pyro")
torch = pytest.importorskip("torch")
log_density = pytest.importorskip("numpyro.infer.util").log_density

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 3))
NET = EMLP(Scalar + Vector, Vector, O(3), channels=8, layers=1)
ABOUT_Z = Group(3, [[[0, -1, 0], [1, 0, 0], [0, 0, 0]]], [np.diag([1.0, -1.0, 1.0])], name="O(2)")
NESTED = EMLP(Scalar + Vector, Vector, O(3), channels=8, layers=1, subgroups=[ABOUT_Z])


def latent_values(trace):
    names = [k for k, s in trace.nodes.items() if s["type"] == "sample" and not s["is_observed"] and k not in PLATES]
    return {k: trace.nodes[k]["value"].detach().numpy() for k in names}


PLATES = ("data", "members")


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("sigma_b", [0.05, 0.0])
@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
def test_both_libraries_have_the_same_sites_and_density(parametrization, sigma_b, members):
    model = Model(NET, sigma_b=sigma_b, likelihood=Gaussian(nd.HalfNormal(3.0)), parametrization=parametrization)
    torch.manual_seed(0)
    trace = pyro.poutine.trace(model.pyro).get_trace(X, Y, members=members, size=36)
    values = latent_values(trace)
    density, numpyro_trace = log_density(model.numpyro, (X, Y), {"members": members, "size": 36}, values)
    latent = {k for k, s in numpyro_trace.items() if s["type"] == "sample" and not s["is_observed"]}
    assert latent == set(values)
    assert float(density) == pytest.approx(float(trace.log_prob_sum()), rel=1e-4)


HALF = Prior("HalfNormal", {"scale": 0.3})
SIGMAS = {
    "global": {"sigma_b": nd.HalfNormal(0.3)},
    "per layer": {"sigma_a": PerLayer(Prior("LogNormal", {"loc": 0.0, "scale": 0.5})), "sigma_b": PerLayer(HALF)},
    "by parameter": {"sigma_b": {"output.*": HALF, "layers.*": 0.1}},
    "strict": {"sigma_a": HALF, "sigma_b": 0.0},
    "unstructured": {"sigma_a": 0.0, "sigma_b": HALF},
    "nested": {"sigma_a": [1.0, HALF], "sigma_b": HALF},
    "nested, by layer": {"sigma_a": [HALF, PerLayer(HALF)], "sigma_b": 0.05},
    "nested, strict": {"sigma_a": [1.0, HALF], "sigma_b": 0.0},
}


def net_of(sigmas):
    return NESTED if sigmas.startswith("nested") else NET


@pytest.mark.parametrize("members", [None, 2])
@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
@pytest.mark.parametrize("sigmas", SIGMAS)
def test_inferred_sigmas_are_the_same_in_both_libraries(sigmas, parametrization, members):
    if members is not None and "layer" not in sigmas:
        pytest.skip("the same sites, batched")
    net = net_of(sigmas)
    model = Model(net, **SIGMAS[sigmas], likelihood=StudentT(HALF), parametrization=parametrization)
    torch.manual_seed(0)
    trace = pyro.poutine.trace(model.pyro).get_trace(X, Y, members=members)
    values = latent_values(trace)
    assert set(model.latents) <= set(values)
    density, _ = log_density(model.numpyro, (X, Y), {"members": members}, values)
    assert float(density) == pytest.approx(float(trace.log_prob_sum()), rel=1e-4)
    if members is None:  # the weights that the sites stand for, in numpy
        weights = Sites(model, parametrization).weights(values)
        prior = (
            sum(model.prior(k, weights).log_prob(weights[k].astype(float)) for k in net.parameters)
            if ("strict" not in sigmas and parametrization == "weights")
            else None
        )
        for name in net.parameters:
            np.testing.assert_allclose(
                weights[name], trace.nodes[name]["value"] if name in trace.nodes else 0, atol=1e-5
            )
        if prior is not None:
            engine = get_engine("numpyro")
            hyper = sum(float(p.distribution(engine).log_prob(values[k])) for k, p in model.latents.items())
            f = net(weights, X)
            likelihood = model.likelihood.log_prob(f, Y, {"noise": np.asarray(values["noise"])}).sum()
            assert float(density) == pytest.approx(prior + hyper + likelihood, rel=1e-4)


def test_numbers_that_are_given_are_as_good_as_numbers(engine):
    model, known = Model(NET, sigma_b=HALF), Model(NET, sigma_b=0.2)
    torch.manual_seed(0)
    values = latent_values(pyro.poutine.trace(known.pyro).get_trace(X, Y))
    given = {"given": {"sigma_b": 0.2}}
    want, _ = log_density(known.numpyro, (X, Y), {}, values)
    if engine == "numpyro":
        found, _ = log_density(model.numpyro, (X, Y), given, values)
    else:
        conditioned = pyro.poutine.condition(model.pyro, {k: torch.as_tensor(v) for k, v in values.items()})
        found = pyro.poutine.trace(conditioned).get_trace(X, Y, **given).log_prob_sum()
    assert float(found) == pytest.approx(float(want), rel=1e-4)
    with pytest.raises(ValueError, match="given must have numbers that the model infers, 'sigma_b', got 'sigma_a'"):
        getattr(model, engine)(X, given={"sigma_a": 1.0})


def test_names_of_inferred_sigmas():
    model = Model(NET, sigma_a=PerLayer(HALF), sigma_b={"layers.*": HALF, "*.bias": 0.2, "*": nd.HalfNormal(0.5)})
    assert set(model.latents) == {"sigma_a.layers.0", "sigma_a.output", "sigma_b.layers", "sigma_b"}
    assert model.sigma_b["output.bias"] == 0.2
    assert model.latents["sigma_b"].start == 0.5
    with pytest.raises(ValueError, match=r"sigma_b\['w\.\*'\] must have a name of its own, got that of another"):
        Sigmas({"w": HALF, "w.*": HALF}, "sigma_b", ["w", "w.x"])


def test_values_and_weights_of_sites_are_inverse():
    for sigmas, given in SIGMAS.items():
        model = Model(net_of(sigmas), **given)
        for parametrization in ("weights", "whitened", "pathways"):
            sites = Sites(model, parametrization)
            values = sites.initial(np.random.default_rng(0), spread=0.5)
            again = sites.weights(sites.values(sites.weights(values)))
            for name, w in sites.weights(values).items():
                np.testing.assert_allclose(again[name], w, atol=1e-6)


def test_sigmas_of_nested_pathways():
    model = Model(NESTED, sigma_a=[PerLayer(HALF), 0.3], sigma_b=HALF)
    assert NESTED.pathways == 2
    assert set(model.latents) == {"sigma_a_0.layers.0", "sigma_a_0.output", "sigma_b"}
    weight = model.priors["output.weight"]
    ranks = [s.rank for s in weight.subspace.levels]
    assert ranks[0] < ranks[1] < weight.subspace.size
    np.testing.assert_allclose(weight.sigmas, [0.3 * np.sqrt(weight.shape[0] / r) for r in ranks])
    # A parameter with one subspace has the variance of both pathways.
    full = model.priors["layers.0.bilinear.0"]
    assert full.sigmas[0] == pytest.approx(np.hypot(0.3, 0.3) * np.sqrt(full.shape[0] / full.subspace.rank))


def test_density_is_prior_plus_likelihood():
    problem = LinearProblem(parametrization="weights")
    weights = {k: w.astype(np.float32) for k, w in problem.mode.items()}
    got, _ = log_density(problem.model.numpyro, (problem.x, problem.y), {}, weights)
    prior = sum(p.log_prob(weights[k]) for k, p in problem.model.priors.items())
    f = problem.net(weights, problem.x)
    assert float(got) == pytest.approx(prior + problem.model.likelihood.log_prob(f, problem.y, {}).sum(), rel=1e-5)
    batch, _ = log_density(problem.model.numpyro, (problem.x[:10], problem.y[:10]), {"size": 40}, weights)
    tenth = problem.model.likelihood.log_prob(f[:10], problem.y[:10], {}).sum()
    assert float(batch) == pytest.approx(prior + 4 * tenth, rel=1e-5)


def test_numpyro_takes_the_model_as_it_is():
    problem = LinearProblem(parametrization="whitened")
    kernel = numpyro.infer.NUTS(problem.model.numpyro)
    mcmc = numpyro.infer.MCMC(kernel, num_warmup=300, num_samples=600, progress_bar=False)
    mcmc.run(jax.random.key(0), problem.x, problem.y)
    for name, mode in problem.mode.items():
        np.testing.assert_allclose(mcmc.get_samples()[name].mean(axis=0), mode, atol=0.03)
    draws = numpyro.infer.Predictive(problem.model.numpyro, num_samples=5)(jax.random.key(1), problem.x)
    assert draws["y"].shape == (5, 40, 4)


def test_pyro_takes_the_model_as_it_is():
    problem = LinearProblem(parametrization="weights")
    pyro.clear_param_store()
    pyro.set_rng_seed(0)
    guide = pyro.infer.autoguide.AutoDelta(problem.model.pyro)
    svi = pyro.infer.SVI(problem.model.pyro, guide, pyro.optim.Adam({"lr": 0.02}), pyro.infer.Trace_ELBO())
    for _ in range(600):
        svi.step(problem.x, problem.y)
    found = guide.median()
    for name, mode in problem.mode.items():
        np.testing.assert_allclose(found[name].detach().numpy(), mode, atol=0.01)
    draws = pyro.infer.Predictive(problem.model.pyro, num_samples=5)(problem.x)
    assert draws["y"].shape == (5, 40, 4)


def test_fan_in_scale_keeps_the_variance_of_the_signal():
    net = EMLP(50 * Scalar + 20 * Vector, 40 * Scalar + 30 * Vector, O(3), layers=0)
    prior = Model(net, sigma_a=1.0, sigma_b=0.0).priors["output.weight"]
    rng = np.random.default_rng(0)
    w = prior.subspace.decode(prior.sigma_a * rng.normal(size=(50, prior.subspace.rank)))
    x = rng.normal(size=(110, 400))
    assert ((w @ x) ** 2).mean() / (x**2).mean() == pytest.approx(1.0, rel=0.1)
    raw = Model(net, sigma_a=2.0, sigma_b=0.5, scale=None).priors["output.weight"]
    assert (raw.sigma_a, raw.sigma_b) == (2.0, 0.5)


def test_sigmas_by_parameter():
    model = Model(NET, sigma_a={"layers.*.bias": 0.1, "*": 1.0}, sigma_b={"output.*": 0.0, "*": 0.2}, scale=None)
    assert model.priors["layers.0.bias"].sigma_a == 0.1
    assert model.priors["layers.0.weight"].sigma_a == 1.0
    assert model.priors["output.bias"].is_strict
    assert model.priors["layers.0.weight"].sigma_b == 0.2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"net": "net"}, TypeError, "net must be a Network, got a str"),
        (
            {"net": EMLP},
            TypeError,
            r"net must be a Network, got the class EMLP; EMLP\(rep_in, rep_out, group\) would do",
        ),
        ({"sigma_a": -1.0}, ValueError, r"sigma_a must be a finite number >= 0, got -1\.0"),
        ({"sigma_b": -0.1}, ValueError, r"sigma_b must be a finite number >= 0, got -0\.1"),
        (
            {"sigma_a": 0, "sigma_b": 0},
            ValueError,
            r"parameter layers\.0\.weight: sigma_a or sigma_b must be positive, got 0",
        ),
        (
            {"sigma_a": [1.0, 1.0]},
            ValueError,
            r"sigma_a must be one number, .* 1 pathway\(s\), got a list of 2",
        ),
        ({"net": NESTED}, ValueError, r"sigma_a must be a list of 2, .* has 2 pathway\(s\), got 1.0"),
        ({"net": NESTED, "sigma_a": [1, -1]}, ValueError, "sigma_a_1 must be a finite number >= 0, got -1"),
        ({"sigma_b": {"*": "1"}}, TypeError, r"sigma_b\['\*'\] must be a number >= 0, got '1'"),
        ({"sigma_b": np.ones(3)}, TypeError, r"sigma_b must be a number >= 0, a dict by.*, got an array"),
        (
            {"sigma_b": nd.Normal(0.0, 1.0)},
            ValueError,
            "sigma_b must be a distribution of positive numbers, got a Normal",
        ),
        (
            {"sigma_b": nd.HalfNormal(np.ones(2))},
            ValueError,
            r"sigma_b must be a distribution of a single number, got one of shape \(2,\)",
        ),
        (
            {"sigma_a": {"*": nd.Gamma(1.0, 1.0), "*.*": nd.Gamma(1.0, 1.0), "layers.*": 0.3, "layers": 1}},
            ValueError,
            "'layers'",
        ),
        ({"sigma_a": {"layer": 1.0, "*": 1.0}}, ValueError, r"sigma_a must have patterns that.*, got 'layer'"),
        ({"sigma_a": {"output.*": 1.0}}, ValueError, r"sigma_a must have.*, got nothing for 'layers\.0\.weight'"),
        ({"likelihood": 0.1}, TypeError, "likelihood must be a Likelihood, got 0.1"),
        ({"scale": "he"}, ValueError, "scale must be 'fan_in' or None, got 'he'"),
        ({"parametrization": "raw"}, ValueError, "parametrization must be one of 'pathways', .*, got 'raw'"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Model(arguments.pop("net", NET), **arguments)


def test_steps_of_nested_models_are_those_of_their_widest_pathway():
    for parametrization in ("weights", "whitened"):
        narrow, none = (
            Sites(Model(NESTED, sigma_a=[a, 1.0], sigma_b=0.01), parametrization).steps for a in (0.01, 0.0)
        )
        assert narrow == pytest.approx(none, rel=1e-2)


def test_the_wrong_engine_is_named():
    class Torch(EMLP):
        def __init__(self):
            super().__init__(Vector, Vector, O(3), layers=0)
            self.capabilities = Capabilities(engines=("pyro",))

    model = Model(Torch())
    with pytest.raises(ValueError, match=r"cannot run in numpyro; model\.pyro would do"):
        model.numpyro(np.zeros((2, 3)))


def test_strict_model_fits_vectors():
    # Every weight of the strict network lies in its subspace.
    model = Model(EMLP(Vector, Vector, O(3), layers=0), sigma_b=0.0)
    trace = pyro.poutine.trace(model.pyro).get_trace(np.zeros((2, 3)))
    w = trace.nodes["output.weight"]["value"].numpy()
    np.testing.assert_allclose(w, w[0, 0] * np.eye(3), atol=1e-7)
    assert "output.bias" not in trace.nodes  # the only invariant vector is zero


@pytest.mark.parametrize("lib", ["pyro", "numpyro"])
def test_data_of_the_wrong_shape_are_named_and_never_broadcast(lib):
    model = Model(EMLP(Vector, Scalar, O(3), layers=0))
    x, y = np.zeros((5, 3)), np.zeros((5, 1))
    run = {"pyro": model.pyro, "numpyro": numpyro.handlers.seed(model.numpyro, 0)}[lib]
    run(x, y)
    for bad_x, bad_y, message in [
        (x, y[:, 0], r"y must have shape \(examples, 1\), got \(5,\)"),
        (x, np.zeros((5, 2)), "y must have 1 column, the size of rep_out, got 2"),
        (x[:, :2], y, "x must have 3 columns, the size of rep_in, got 2"),
        (x, y[:4], "y must have 5 examples, as x has, got 4"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(bad_x, bad_y)


@pytest.mark.parametrize("net", [NET, LinearProblem().net], ids=["EMLP", "linear"])
def test_pyro_vectorises_particles_and_draws(net):
    model = Model(net, parametrization="weights")
    x, y = np.ones((6, net.rep_in.size)), np.ones((6, net.rep_out.size))
    guide = pyro.infer.autoguide.AutoNormal(model.pyro, init_scale=1e-4)
    pyro.clear_param_store()
    one = pyro.infer.Trace_ELBO(num_particles=4).loss(model.pyro, guide, x, y)
    many = pyro.infer.Trace_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    assert many.loss(model.pyro, guide, x, y) == pytest.approx(one, rel=0.02)
    draws = pyro.infer.Predictive(model.pyro, num_samples=4, parallel=True)(x)
    assert draws["y"].shape == (4, 6, net.rep_out.size)
    pyro.clear_param_store()


@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
def test_pyros_automatic_guides_and_initial_values(parametrization):
    problem = LinearProblem(parametrization=parametrization)
    values = {k: torch.as_tensor(w, dtype=torch.float32) for k, w in problem.mode.items()}
    start = pyro.infer.autoguide.initialization.init_to_value(values=values)
    guide = pyro.infer.autoguide.AutoDelta(problem.model.pyro, init_loc_fn=start)
    guide(problem.x, problem.y)
    replayed = pyro.poutine.trace(pyro.poutine.replay(problem.model.pyro, pyro.poutine.trace(guide).get_trace()))
    trace = replayed.get_trace(problem.x, problem.y)
    for name, w in values.items():
        np.testing.assert_allclose(trace.nodes[name]["value"].detach(), w, atol=1e-5)


def test_a_model_does_not_change():
    model = Model(NET, sigma_b=0.1, likelihood=Gaussian(0.1))
    for name, value in {"likelihood": Gaussian(5.0), "sigma_b": 0.2, "net": NET}.items():
        with pytest.raises(AttributeError, match=rf"model\.replace\({name}=...\) makes another"):
            setattr(model, name, value)
    other = model.replace(likelihood=Gaussian(5.0))
    assert (other.likelihood, model.likelihood) == (Gaussian(5.0), Gaussian(0.1))
    assert other.sigma_b.given == 0.1
    assert other.net is model.net


@pytest.mark.parametrize("parametrization", ["weights", "whitened", "pathways"])
def test_a_call_makes_few_priors_where_the_sigmas_are_known(parametrization, monkeypatch):
    """None but white noise, one for each weight at most."""
    model = Model(NET, sigma_b=0.0, parametrization=parametrization)
    made, init = [], ResidualPathway.__init__
    monkeypatch.setattr(ResidualPathway, "__init__", lambda self, *a: (made.append(a), init(self, *a))[1])
    model.pyro(np.zeros((2, NET.rep_in.size)))
    assert len(made) <= len(model.sites)


class Halves(Parametrization):
    """A parametrization of the user's own: twice the weight."""

    name = "halves"

    def parts(self, site, prior):
        doubled = ResidualPathway(prior.subspace, [2 * s for s in prior.sigmas], 2 * prior.sigma_b)
        return {f"{site}_doubled": doubled}

    def split(self, site, prior, w):
        return {f"{site}_doubled": 2 * w}

    def join(self, site, prior, values):
        return values[f"{site}_doubled"] / 2


def test_a_parametrization_of_ones_own_is_one_class(engine):
    problem = LinearProblem(parametrization=Halves())
    post = fit(problem.model, problem.x, problem.y, MAP(600, None, learning_rate=0.1), engine=engine, progress=False)
    for name, want in problem.mode.items():
        np.testing.assert_allclose(post.samples[name][0, 0], want, atol=1e-3)
