"""What `soften` warns of: nothing soft, a symmetry broken without residuals, normalisation that has seen no data."""

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp.networks.soften.doubts import TOLERANCE, strict_error

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")

RNG = np.random.default_rng(0)


class Tokens(nn.Module):
    """A DeepSet."""

    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.rho(torch.relu(self.phi(x)).sum(1))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell, self.head = kind(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.embedding(x.long()).mean(1))


class Pixels(nn.Module):
    """The function of `Tokens` by convolutions."""

    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Conv1d(4, 8, 1), nn.Linear(8, 2)

    def forward(self, x):
        return self.rho(torch.relu(self.phi(x.mT)).sum(2))


class Block(nn.Module):
    """Of a vision transformer."""

    def __init__(self, patch=False):
        super().__init__()
        self.patch = nn.Conv1d(4, 4, 2, stride=2) if patch else nn.Identity()
        self.norm, self.mlp = nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        x = self.patch(x.mT).mT
        h = self.norm(x)
        return (x + self.attention(h, h, h)[0] + self.mlp(h)).mean(1)


def mlp():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


NOTHING = [
    (
        Tokens,
        (5, 4),
        {},
        r"phi \(Linear\): rank 32 of 32, none of its own, as one matrix serves all tokens; rho",
    ),
    (Tokens, (5, 4), {}, "residual='local' or 'dense', or the smaller .*, for layers on tokens, would do"),
    (Block, (5, 4), {}, r"mlp.0 \(Linear\): rank 32 of 32, none of its own, as one matrix.*, and 2 more"),
    (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (5, 4), {}, r"self_attn .*: left alone, attention"),
    (lambda: Recurrent(nn.LSTM), (5, 4), {}, r"cell \(LSTM\): left alone, recurrent; head"),
    (lambda: Recurrent(nn.GRU), (5, 4), {}, r"cell \(GRU\): left alone, recurrent; head"),
    (Embedded, (5,), {}, r"embedding \(Embedding\): left alone, embedding; head \(Linear\): rank 8 of 8"),
    (mlp, 4, {}, r"0 \(Linear\): rank 12 of 12, none of its own; 2 .*A module with convolutions or equivariant layers"),
    (Pixels, (5, 4), {"residual": "kernel"}, r"phi \(Conv1d\): .*as it may be any kernel; rho.*'local' or 'dense'"),
    (
        Pixels,
        (5, 4),
        {"skip": ["phi"]},
        r"phi \(Conv1d\): left alone, skipped, as asked; rho.*Fewer layers in skip",
    ),
    (
        mlp,
        4,
        {"subspaces": {"0.weight": rpp.subspaces.SpanSubspace.masked(np.ones((3, 4), bool))}},
        "subspace as given; 2",
    ),
]


@pytest.mark.parametrize(("make", "shape", "options", "message"), NOTHING)
def test_a_module_in_which_nothing_is_soft(make, shape, options, message):
    with pytest.warns(UserWarning, match="soften made nothing soft: .*" + message):
        net = rpp.soften(make(), shape, **options)
    assert all(p.subspace.rank == p.subspace.size for p in net.parameters.values())


SOME = [
    (Pixels, (5, 4), {}),
    (lambda: Block(patch=True), (6, 4), {}),
    (mlp, 4, {"subspaces": {"0.weight": rpp.subspaces.ZeroSubspace((3, 4))}}),
    (mlp, 4, {"subspaces": {"0.weight": rpp.subspaces.SpanSubspace.masked(np.eye(3, 4, dtype=bool))}}),
    (lambda: nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(4, 2)), 4, {}),
]


@pytest.mark.parametrize(("make", "shape", "options"), SOME)
def test_no_word_where_something_is_soft(make, shape, options):  # warnings are errors
    net = rpp.soften(make(), shape, **options)
    assert any(p.subspace.rank < p.subspace.size for p in net.parameters.values())


def test_the_listing_says_why():
    net = rpp.soften(Block(patch=True), (6, 4))
    rows = {line.split()[0]: line for line in net.table.splitlines()}
    assert rows["patch"].endswith("residual: any linear map")
    assert rows["mlp.0"].endswith("32 of 32   residual: none of its own, as one matrix serves all tokens")
    net = rpp.soften(Pixels(), (5, 4))
    assert net.table.splitlines()[1:] == [
        "phi    Conv1d  40 x 20  32 of 800  residual: any linear map",
        "rho    Linear  2 x 8    16 of 16   residual: none of its own",
    ]


@pytest.mark.parametrize("kind", ["nnx", "linen"])
def test_flax_modules_in_which_nothing_is_soft(kind):
    nnx, linen = pytest.importorskip("flax.nnx"), pytest.importorskip("flax.linen")
    layer = nnx.Linear(4, 2, rngs=nnx.Rngs(0)) if kind == "nnx" else linen.Dense(2)
    with pytest.warns(UserWarning, match=r"nothing soft: .*rank 8 of 8, none of its own, as one matrix"):
        net = rpp.soften(layer, (5, 4))
    assert "as one matrix serves all tokens" in net.table
    layer = nnx.Conv(4, 2, (1,), rngs=nnx.Rngs(0)) if kind == "nnx" else linen.Conv(2, (1,))
    assert rpp.soften(layer, (5, 4)).parameters["weight"].subspace.rank == 8


# --- symmetries ---

O3, V = rpp.O(3), rpp.Vector
HIDDEN = 4 * V


class Gated(nn.Module):
    """Vectors times a function of their lengths."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 12, bias=False), nn.Linear(12, 3, bias=False)

    def forward(self, x):
        h = self.a(x).unflatten(-1, (4, 3))
        return self.b((h * torch.sigmoid(h.norm(dim=-1, keepdim=True))).flatten(-2))


def pointwise(function):
    return nn.Sequential(nn.Linear(6, 12, bias=False), function, nn.Linear(12, 3, bias=False))


def subspaces(first, last):
    return {
        first: rpp.subspaces.EquivariantSubspace((2 * V)(O3), HIDDEN(O3)),
        last: rpp.subspaces.EquivariantSubspace(HIDDEN(O3), V(O3)),
    }


ACTS = {"rep_in": 2 * V, "rep_out": V, "group": O3}


@pytest.mark.parametrize("function", [nn.ReLU(), nn.Tanh(), nn.SiLU(), nn.LayerNorm(12), nn.Softplus()])
def test_pointwise_functions_of_vectors_are_measured(function):
    module = pointwise(function)
    with pytest.warns(UserWarning, match=r"not equivariant under O\(3\) where its residuals are zero") as caught:
        net = rpp.soften(module, 6, subspaces=subspaces("0.weight", "2.weight"), **ACTS)
    (message,) = [str(w.message) for w in caught]
    said = float(message.partition("equivariance error is ")[2].split(". ")[0])
    # That of the strict model's draws.
    found, x = [], RNG.normal(size=(50, 6))
    for seed in range(20):
        rng, params = np.random.default_rng(seed), {}
        for k, p in net.parameters.items():
            params[k] = p.subspace.decode((p.subspace.rows / p.subspace.rank) ** 0.5 * rng.normal(size=p.subspace.rank))
        found.append(rpp.equivariance_error(lambda a, w=params: net(w, a), x, net.rep_in, net.rep_out, O3).mean())
    assert min(found) < said < 1.2 * max(found)
    assert said > 0.02


def test_plain_layers_among_equivariant_ones_are_measured():
    given = subspaces("a.weight", "b.weight")
    del given["b.weight"]
    with pytest.warns(UserWarning, match=r"equivariance error is 0\.\d+"):
        rpp.soften(Gated(), 6, subspaces=given, **ACTS)


def test_no_word_where_it_is_equivariant():
    net = rpp.soften(Gated(), 6, subspaces=subspaces("a.weight", "b.weight"), **ACTS)
    assert net.group is O3
    rpp.soften(pointwise(nn.Identity()), 6, subspaces=subspaces("0.weight", "2.weight"), **ACTS)
    # Permutations let functions of each entry be.
    six = {"0.weight": rpp.subspaces.EquivariantSubspace(V(rpp.S(4)), V(rpp.S(4)))}
    rpp.soften(nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU()), 4, subspaces=six, rep_in=V, rep_out=V,
               group=rpp.S(4))  # fmt: skip
    rpp.soften(pointwise(nn.ReLU()), 6, subspaces=subspaces("0.weight", "2.weight"))  # nothing acts


def test_restricted_networks_are_measured():
    mask = rpp.subspaces.SpanSubspace.masked(np.eye(3, dtype=bool))
    with pytest.warns(UserWarning, match=r"not equivariant under O\(3\)"):
        rpp.networks.restrict(rpp.EMLP(V, V, O3, layers=0), {"output.weight": mask})
    rpp.networks.restrict(
        rpp.EMLP(V, V, O3, layers=0), {"output.weight": rpp.subspaces.EquivariantSubspace(V(O3), V(O3))}
    )
    rpp.networks.restrict(rpp.MLP(3, 3, layers=0), {"output.weight": mask})


PLAIN = rpp.subspaces.SpanSubspace.masked(np.ones((3, 8), dtype=bool))
UNEQUIVARIANT = [  # by design
    (lambda: rpp.MLP(V, V, rpp.SO(3), channels=8, layers=1), {}),
    (lambda: rpp.MLP(V, V, rpp.SO(3), channels=8, layers=1), {"output.weight": PLAIN}),
    (lambda: rpp.MLP(V, V, O3, layers=0), {}),
    (
        lambda: rpp.MLP(V, V, O3, layers=0),
        {"output.weight": rpp.subspaces.EquivariantSubspace(V(O3), V(O3))},
    ),  # its bias is not
    (lambda: rpp.networks.LinearPath(rpp.MLP(V, V, O3, channels=8, layers=1)), {"net.output.weight": PLAIN}),
    (lambda: rpp.MLP(V, V, rpp.S(3), channels=8, layers=1), {}),
]


@pytest.mark.parametrize(("make", "given"), UNEQUIVARIANT)
def test_no_word_of_what_restrict_did_not_break(make, given):
    net = make()
    assert strict_error(net) > TOLERANCE
    assert strict_error(rpp.networks.restrict(net, given)) > TOLERANCE


def test_flax_modules_are_measured():
    nnx, jnp = pytest.importorskip("flax.nnx"), pytest.importorskip("jax.numpy")

    class Net(nnx.Module):
        def __init__(self, gated):
            rngs, self.gated = nnx.Rngs(0), gated
            self.a = nnx.Linear(6, 12, use_bias=False, rngs=rngs)
            self.b = nnx.Linear(12, 3, use_bias=False, rngs=rngs)

        def __call__(self, x):
            h = self.a(x).reshape((-1, 4, 3))
            h = h * nnx.sigmoid((h * h).sum(-1, keepdims=True)) if self.gated else jnp.maximum(h, 0)
            return self.b(h.reshape((-1, 12)))

    with pytest.warns(UserWarning, match=r"not equivariant under O\(3\) .*equivariance error is 0\.\d+"):
        rpp.soften(Net(False), 6, subspaces=subspaces("a.weight", "b.weight"), **ACTS)
    rpp.soften(Net(True), 6, subspaces=subspaces("a.weight", "b.weight"), **ACTS)


# --- running statistics ---


def normalized(norm):
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(2), nn.BatchNorm1d(2, affine=False), nn.BatchNorm1d(2, momentum=None),
                                  nn.InstanceNorm1d(2, track_running_stats=True), nn.SyncBatchNorm(2)])  # fmt: skip
def test_normalisation_that_has_seen_no_data(norm):
    module = normalized(norm)
    with pytest.warns(UserWarning, match=r"that has seen no data \(2\).*in training mode, or loading"):
        net = rpp.soften(module, 6)
    with pytest.raises(ValueError, match=r"whose batch normalisation has seen data, got 2 that has not .*SoftModule"):
        rpp.fit(rpp.Model(net), np.zeros((3, 6)), np.zeros((3, 2)), rpp.MAP(epochs=1), progress=False)
    if not isinstance(norm, nn.SyncBatchNorm):  # which trains on GPUs alone
        module.train()(torch.randn(20, 6))
        net = rpp.soften(module, 6)
        assert net.untrained == ()


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(2, track_running_stats=False), nn.GroupNorm(1, 2), nn.InstanceNorm1d(2)]
)
def test_normalisation_that_needs_no_data(norm):
    if isinstance(norm, nn.BatchNorm1d):  # it looks at the batch, always
        with pytest.raises(
            ValueError, match="module must map each example by itself, got an output that depends on the others"
        ):
            rpp.soften(normalized(norm), 6)
    else:
        rpp.soften(normalized(norm), 6)


def test_statistics_that_were_put_there_by_hand_are_taken():
    norm = nn.BatchNorm1d(2)
    norm.running_var[:] = 2.0
    rpp.soften(normalized(norm), 6)
