"""Systems of particles: their forms, the symmetries of networks of them, and fits of systems of several sizes."""

from types import SimpleNamespace

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import O, ParticleNetwork, Particles, Scalar, Vector
from bayes_rpp.testing.network import drawn

torch = pytest.importorskip("torch")
SHIFT = [3.0, -2.0, 1.0]


def systems(counts=(2, 5, 29), seed=0):
    """With a charge and a velocity of each particle, and two types."""
    rng = np.random.default_rng(seed)
    positions = [1.5 * rng.normal(size=(k, 3)) for k in counts]
    return Particles(
        positions, [rng.normal(size=(k, 4)) for k in counts], [rng.choice(["C", "H"], size=k).tolist() for k in counts]
    )


def strict(net, seed=0):
    return {k: w.astype(np.float64) for k, w in drawn(net, np.random.default_rng(seed)).items()}


def outputs(net, params, data):
    """In torch, whose derivatives need no compilation."""
    tensors = {k: torch.tensor(w) for k, w in params.items()}
    return net(tensors, torch.tensor(net.encode(data))).numpy()


KINDS = {
    "each": {"out": Scalar + Vector, "cutoff": 4.0, "moving": True},
    "sum": {"out": Vector, "pooled": "sum", "translation": "soft"},
    "mean": {"out": Scalar, "pooled": "mean", "bilinear": False, "channels": [3 * Scalar + Vector, 2 * Vector]},
    "energy": {"conservative": True, "moving": True},
}


@pytest.fixture(params=KINDS)
def case(request):
    data = systems()
    options = {"channels": 8} | KINDS[request.param]
    options["layers"] = None if isinstance(options["channels"], list) else 2
    net = ParticleNetwork(data, features=Scalar + Vector, **options)
    return net, strict(net), data


def test_symmetries_are_exact_without_residuals(case):
    net, params, data = case
    f = outputs(net, params, data)
    assert np.abs(f).max() > 0.01
    for g in O(3).sample(2, seed=1):
        moved = Particles(
            [p @ g.T for p in data.positions],
            [np.concatenate([q[:, :1], q[:, 1:] @ g.T], axis=1) for q in data.features],
            data.types,
        )
        np.testing.assert_allclose(outputs(net, params, moved), f @ net.rep_out.rho(g).T, atol=1e-10)
    np.testing.assert_allclose(outputs(net, params, data.translated(SHIFT)), f, atol=1e-10)
    orders = [np.random.default_rng(k).permutation(n) for k, n in enumerate(data.counts)]
    found = outputs(net, params, data.permuted(orders))
    if net.pooled:
        np.testing.assert_allclose(found[:, : net._out.size], f[:, : net._out.size], atol=1e-10)
    if not net.pooled or net.conservative:
        first, width = int(net.conservative), 3 if net.conservative else net._out.size
        pairs = zip(data.split(found[:, first:], width), data.split(f[:, first:], width), orders, strict=True)
        for ours, theirs, order in pairs:
            np.testing.assert_allclose(ours, theirs[order], atol=1e-10)


def test_a_batch_gives_what_single_systems_give(case):
    net, params, data = case
    f = outputs(net, params, data)
    assert not f[~net.counted(net.encode(data))].any() if net.capabilities.partial else True
    for k in range(len(data)):
        alone = net.replace(particles=data[k])
        assert alone.parameters.keys() == net.parameters.keys()
        found = outputs(alone.replace(neighbors=net.neighbors), params, data[k])[0]
        np.testing.assert_allclose(f[k, : len(found)], found, atol=1e-10)


def test_forces_are_minus_the_gradient_of_the_energy():
    data = systems((1, 4))
    net = ParticleNetwork(data, features=4, channels=8, layers=2, cutoff=3.0, conservative=True)
    params, h = strict(net), 1e-5
    f = outputs(net, params, data)
    forces, energy = data.split(f[:, 1:], 3), net.replace(conservative=False)  # whose weights are the same
    for k in range(2):
        for i, c in np.ndindex(data.counts[k], 3):
            step = np.zeros((data.counts[k], 3))
            step[i, c] = h
            ends = [Particles([data.positions[k] + s * step], [data.features[k]], [data.types[k]]) for s in (1, -1)]
            up, down = (energy(params, energy.encode(end))[0, 0] for end in ends)
            assert forces[k][i, c] == pytest.approx(-(up - down) / (2 * h), abs=1e-6)
    np.testing.assert_allclose(f[0, 1:], 0, atol=1e-12)  # alone in space
    np.testing.assert_allclose(forces[1].sum(axis=0), 0, atol=1e-10)  # as nothing is outside


def test_residuals_break_what_they_are_for():
    data = systems((4, 4))
    options = {"features": Scalar + Vector, "out": Vector, "channels": 8, "layers": 1, "radial": 8}
    soft = ParticleNetwork(data, **options, translation="soft")
    params = strict(soft)
    assert not params["position.weight"].any()
    params["position.weight"] = params["position.weight"] + 0.1
    x = soft.encode(data)
    assert np.abs(soft(params, soft.encode(data.translated(SHIFT))) - soft(params, x)).max() > 0.01
    hard = ParticleNetwork(data, **options)
    assert "position.weight" not in hard.parameters
    rng = np.random.default_rng(0)
    free = {k: 0.3 * rng.normal(size=p.shape) for k, p in hard.parameters.items()}
    error = rpp.equivariance_error(lambda x: hard(free, x), x, hard.rep_in, hard.rep_out, hard.group)
    assert error.min() > 0.01
    np.testing.assert_allclose(hard(free, hard.encode(data.translated(SHIFT))), hard(free, x), atol=1e-12)


def test_what_is_beyond_the_cutoff_is_not_seen_and_goes_smoothly():
    net = ParticleNetwork(3, out=Vector, channels=8, layers=1, cutoff=2.0, radial=8)
    params, near = strict(net), np.array([[0.0, 0, 0], [1, 0, 0]])

    def at(x):
        return net(params, net.encode(Particles([np.vstack([near, [[x, 0, 0]]])])))[0, :6]

    alone = net(params, net.encode(Particles([near])))[0, :6]
    np.testing.assert_allclose(at(3.1), alone, atol=1e-12)
    assert np.abs(at(2.0) - alone).max() > 1e-3
    assert np.abs(at(2.999) - alone).max() < 1e-6
    overlapping = net(params, net.encode(Particles([np.zeros((3, 3))])))
    assert np.isfinite(overlapping).all()


def test_places_without_a_particle_do_not_count():
    data = systems((1, 3, 2, 3), seed=1)
    rng = np.random.default_rng(0)
    y = [rng.normal(size=(k, 3)) for k in data.counts]
    noise = rpp.Prior("HalfNormal", {"scale": 1.0})
    net = ParticleNetwork(data, features=Scalar + Vector, out=Vector, channels=6, layers=1, neighbors=2)
    found = []
    for places in (3, 5):
        model = rpp.Model(net.replace(particles=places), sigma_b=0.1, likelihood=rpp.Gaussian(noise))
        post = rpp.fit(model, data, y, rpp.MAP(epochs=5), engine="pyro", progress=False, validation=(data[:2], y[:2]))
        found.append(post)
    a, b = found
    for name in a.samples:
        np.testing.assert_allclose(a.samples[name], b.samples[name], rtol=2e-4, atol=2e-5)
    mean, s = data.split(b.predict(data).mean, 3), float(b.samples["noise"][0, 0])
    errors = [m - v for m, v in zip(mean, y, strict=True)]
    want = [-0.5 * (e**2).sum() / s**2 - e.size * np.log(s * np.sqrt(2 * np.pi)) for e in errors]
    np.testing.assert_allclose(b.log_likelihood()[0, 0], want, rtol=1e-4)
    flat = np.concatenate([e.ravel() for e in errors])
    assert b.metrics(data, y)["rmse"] == pytest.approx(np.sqrt((flat**2).mean()), rel=1e-5)
    assert a.metrics(data, y)["nll"] == pytest.approx(b.metrics(data, y)["nll"], rel=1e-3)
    assert b.equivariance_error(data).shape == (1, 1, 4)


def test_what_is_known_of_each_particle_in_all_forms():
    data = systems((1, 3, 2))
    net = ParticleNetwork(data, features=4, out=Vector, channels=6, layers=1).replace(particles=4)
    x, y = net.encode(data), [np.full((k, 3), float(k)) for k in data.counts]
    rows = net.encode_outputs(y, x)
    assert rows.shape == (3, 12)
    np.testing.assert_array_equal(np.isnan(rows), ~net.counted(x))
    for places in (3, 4):
        padded = np.stack([np.pad(one, ((0, places - len(one)), (0, 0)), constant_values=9.0) for one in y])
        np.testing.assert_array_equal(net.encode_outputs(padded, x), rows)
    assert net.encode_outputs(rows, x) is rows
    with pytest.raises(ValueError, match=r"y\[0\] must have shape \(1, 3\)"):
        net.encode_outputs(np.zeros((3, 5, 3)), x)
    flat = np.concatenate(y)
    np.testing.assert_array_equal(net.encode_outputs(data.split(flat, 3), x), rows)
    np.testing.assert_array_equal(data[[2, 0]].split(flat[[4, 5, 0]], 3)[0], y[2])
    with pytest.raises(ValueError, match=r"y must be a list of arrays \(particles, 3\).*shape \(6, 3\); systems.split"):
        net.encode_outputs(flat, x)
    np.testing.assert_array_equal(data.split(flat[:, 0], 1)[1], y[1][:, :1])
    energy = net.replace(conservative=True, out=Scalar)
    with pytest.raises(ValueError, match=r"y\[1\] must be a list of arrays \(particles, 3\)"):
        energy.encode_outputs((np.arange(3.0), flat), x)
    both = energy.encode_outputs((np.arange(3.0), y), x)
    np.testing.assert_array_equal(both[:, 0], np.arange(3.0))
    np.testing.assert_array_equal(both[:, 1:], rows)
    with pytest.raises(ValueError, match="3 energies and forces"):
        energy.encode_outputs((np.arange(2.0), y), x)


def test_both_engines_and_files(tmp_path):
    pytest.importorskip("numpyro")
    data = systems((2, 3, 1), seed=2)
    y = [np.random.default_rng(k).normal(size=(n, 3)) for k, n in enumerate(data.counts)]
    net = ParticleNetwork(
        data, features=Scalar + Vector, out=Vector, channels=3 * Scalar + Vector, layers=1, bilinear=False
    )
    model = rpp.Model(net, sigma_b=0.1, likelihood=rpp.Gaussian(0.2))
    ours, theirs = (rpp.fit(model, data, y, rpp.MAP(epochs=1), engine=e, progress=False) for e in ("pyro", "numpyro"))
    for name, w in ours.samples.items():
        np.testing.assert_allclose(w, theirs.samples[name], rtol=1e-3, atol=1e-5)
    again = rpp.Posterior.load(ours.save(tmp_path / "post.nc"))
    assert again.model.net.key == net.key
    np.testing.assert_array_equal(again.y, ours.y)
    np.testing.assert_array_equal(again.predict(data).mean, ours.predict(data).mean)
    assert again.outputs(data).shape[2] == len(data)
    assert np.isnan(again.y).sum() == 3 * (9 - 6)
    laplace = rpp.fit(model, data, y, rpp.Laplace(epochs=1, draws=5), engine="pyro", progress=False)
    assert np.isfinite(laplace.log_evidence)
    np.testing.assert_allclose(np.concatenate(net.systems(ours.x).positions), np.concatenate(data.positions))
    assert net.systems(ours.x).types[1].tolist() == data.types[1].tolist()


def test_energies_and_forces_are_fitted_with_a_noise_each():
    data = systems((2, 3, 1), seed=2)
    y = np.array([1.0, -1.0, 0.5]), [np.full((n, 3), 0.1) for n in data.counts]
    net = ParticleNetwork(data, features=4, channels=3 * Scalar + Vector, layers=1, conservative=True)
    noise = rpp.Prior("HalfNormal", {"scale": 1.0})
    model = rpp.Model(net, sigma_b=0.1, likelihood=rpp.EnergyForces(noise, noise))
    post = rpp.fit(model, data, y, rpp.MAP(epochs=1), engine="pyro", progress=False)
    assert {"noise.energy", "noise.forces"} <= post.samples.keys()
    np.testing.assert_array_equal(post.y[:, 0], y[0].astype(np.float32))
    assert np.isnan(post.y).sum() == 9


def test_forces_are_the_same_in_jax():
    jax = pytest.importorskip("jax")
    data = systems((2, 3), seed=2)
    net = ParticleNetwork(data, features=4, channels=3 * Scalar + Vector, layers=1, conservative=True)
    params = strict(net)
    want = outputs(net, params, data)
    found = jax.jit(net)({k: jax.numpy.asarray(w) for k, w in params.items()}, jax.numpy.asarray(net.encode(data)))
    np.testing.assert_allclose(found, want, rtol=2e-4, atol=1e-4)


def test_several_groups_each_have_a_pathway(tmp_path):
    about_z = rpp.SO(2) * rpp.Trivial(1)
    net = ParticleNetwork(3, out=Vector, group=[O(3), about_z], channels=6, layers=1)
    assert net.pathways == 2
    params = {k: np.ones(p.shape) for k, p in net.parameters.items()}
    again, _ = rpp.load_network(rpp.save_network(tmp_path / "net", net, params))
    assert again.key == net.key
    assert again.group == O(3)
    many = net.replace(particles=2000)  # though no weight is as large
    assert rpp.load_network(rpp.save_network(tmp_path / "many", many, params))[0].key == many.key


def test_systems_in_all_forms():
    data = systems((3, 3))
    positions, features = np.stack(data.positions), np.stack(data.features)
    index = [1, 0, 1, 0, 0, 1]
    mixed = np.concatenate([positions[1][:1], positions[0][:1], positions[1][1:2], positions[0][1:], positions[1][2:]])
    forms = [
        Particles(positions, features, [t.tolist() for t in data.types]),
        Particles(np.pad(positions, ((0, 0), (0, 2), (0, 0))), mask=np.arange(5) < np.full((2, 1), 3)),
        Particles(mixed, index=index),
    ]
    for form in forms:
        np.testing.assert_array_equal(np.stack(form.positions), positions)
    for one, given in zip(forms[2].split(mixed, 3), positions, strict=True):
        np.testing.assert_array_equal(one, given)
    with pytest.raises(ValueError, match="values must be by system where particles are part of systems that an index"):
        forms[2][::-1].split(mixed, 3)
    np.testing.assert_array_equal(np.stack(forms[0].features), features)
    shared = Particles(positions, types=["C", "H", "H"])
    assert [t.tolist() for t in shared.types] == [["C", "H", "H"]] * 2
    three = systems((1, 2, 4))
    for part, counts in ((three[1], [2]), (three[-1], [4]), (three[1:], [2, 4]), (three[[2, 0]], [4, 1])):
        assert part.counts.tolist() == counts
    np.testing.assert_array_equal(three[[2, 0]].features[0], three.features[2])
    assert [len(one) for one in three] == [1, 1, 1]
    assert three[three.counts > 1].labels == ["C", "H"]
    assert three.mask.sum() == 7
    atoms = SimpleNamespace(
        get_positions=lambda: positions[0],
        get_chemical_symbols=lambda: ["O", "H", "H"],
        arrays={"initial_charges": np.array([-0.8, 0.4, 0.4])},
        pbc=[False] * 3,
    )
    water = Particles.from_ase([atoms, atoms], features=["initial_charges"])
    assert (len(water), water.width, water.labels) == (2, 1, ["H", "O"])
    atoms.pbc = [True, True, False]
    with pytest.raises(ValueError, match="periodic"):
        Particles.from_ase(atoms)


ONE = np.zeros((2, 3))
NET = ParticleNetwork(3, out=Vector, channels=4, layers=1, types=["H", "O"])


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Particles([ONE, np.full((1, 3), np.nan)]), ValueError, "particle 0 of system 1"),
        (lambda: Particles([]), ValueError, "at least one system"),
        (lambda: Particles([ONE, ONE[:0]]), ValueError, "none in system 1"),
        (lambda: Particles(ONE), ValueError, r"positions\[None\]"),
        (lambda: Particles([ONE, np.zeros((2, 2))]), ValueError, r"positions\[1\] must have 3 columns"),
        (lambda: Particles([ONE], [np.zeros((3, 1))]), ValueError, r"features\[0\] must have shape \(2, columns\)"),
        (lambda: Particles([ONE], types=[["H"]]), ValueError, r"types\[0\] must have 2 labels"),
        (lambda: Particles([ONE], types=[[0.5, 1.5]]), ValueError, "a type"),
        (lambda: Particles(ONE[None], mask=[[True]]), ValueError, "mask must be"),
        (lambda: Particles([ONE, ONE[:1]], mask=[[True, True]] * 2), ValueError, "mask must be None"),
        (lambda: Particles(ONE, index=[0, 2]), ValueError, "index must number"),
        (lambda: Particles([ONE])[1], IndexError, "system 1 of 1"),
        (lambda: np.asarray(Particles([ONE])), TypeError, "ParticleNetwork takes them"),
        (lambda: NET.encode(Particles([ONE], types=["H", "Xe"])), ValueError, "got 'Xe'"),
        (lambda: NET.encode(Particles([ONE])), ValueError, "must have types"),
        (lambda: NET.encode(Particles([np.zeros((4, 3))], types=["H"] * 4)), ValueError, r"replace\(particles=4\)"),
        (lambda: NET.encode(Particles([np.zeros((2, 2))], types=["H"] * 2)), ValueError, r"positions in R\^3"),
        (lambda: NET.encode(np.ones((1, 12)) * 0.5), ValueError, "code from 0, no particle, to 2"),
        (lambda: ParticleNetwork(3, group=rpp.Lorentz()), ValueError, "orthogonal"),
        (lambda: ParticleNetwork(3, conservative=True, out=Vector), ValueError, "out must be a Scalar"),
        (lambda: ParticleNetwork(3, pooled="max"), ValueError, "pooled must be"),
        (lambda: ParticleNetwork(3, cutoff=-1), ValueError, "cutoff must be"),
        (lambda: ParticleNetwork(3, layers=0), ValueError, "layers must be"),
        (lambda: ParticleNetwork(0), ValueError, "particles must be"),
        (lambda: ParticleNetwork(systems(), channels=4), ValueError, "4"),
        (lambda: rpp.Model(NET, likelihood=rpp.StudentT()), ValueError, "Gaussian or EnergyForces"),
        (lambda: rpp.Model(NET, likelihood=rpp.EnergyForces()), ValueError, "has no energy, got EnergyForces"),
        (lambda: NET.encode([ONE, ONE[:1]]), TypeError, r"x must be Particles, .*; Particles\(x\) would do"),
        (lambda: NET.encode(ONE[None]), TypeError, "x must be Particles"),
    ],
)
def test_what_does_not_fit_is_said(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_trackers_sweeps_and_maps_take_systems():
    data = systems((2, 3, 1), seed=2)
    y = [np.random.default_rng(k).normal(size=(n, 3)) for k, n in enumerate(data.counts)]
    net = ParticleNetwork(data, features=Scalar + Vector, out=Vector, channels=3 * Scalar + Vector, layers=1)
    model, tracker = rpp.Model(net, sigma_b=0.3), rpp.EquivarianceTracker(O(3), x=data[:2])
    options = {"engine": "pyro", "progress": False}
    post = rpp.fit(model, data, y, rpp.MAP(epochs=2), callbacks=[tracker], **options)
    assert tracker.error.shape == (1, 2)
    found = rpp.sweep(model, (data, y), rpp.MAP(epochs=1), sigma_b=[0.1], test=(data, y), **options)
    assert np.isfinite(found["mse"]).all()
    errors = rpp.analysis.group_error_map(post, data, n=3).errors
    np.testing.assert_array_equal(rpp.analysis.group_error_map(post, net.encode(data), n=3).errors, errors)
