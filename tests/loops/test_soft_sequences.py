"""Networks of tokens, nodes and steps: each has soft layers, trains and merges."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bayes_rpp as rpp

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


class ViT(nn.Module):
    """Patches, a class token, two blocks of torch's own."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, 8, 2, stride=2), nn.Parameter(torch.randn(1, 1, 8))
        block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(block, 2), nn.Linear(8, 3)

    def forward(self, x):
        h = self.patches(x).flatten(2).mT
        h = torch.cat([self.token.expand(len(x), 1, 8), h], 1)
        return self.head(self.encoder(h)[:, 0])


class DeepSet(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.rho(torch.tanh(self.phi(x)).sum(1))


class Messages(nn.Module):
    """Message passing between all pairs of nodes."""

    def __init__(self):
        super().__init__()
        self.message, self.update, self.head = nn.Linear(8, 6), nn.Linear(10, 4), nn.Linear(4, 2)

    def forward(self, x):
        n = x.shape[1]
        pairs = torch.cat([x.unsqueeze(2).expand(-1, n, n, -1), x.unsqueeze(1).expand(-1, n, n, -1)], -1)
        h = torch.relu(self.message(pairs)).sum(2)
        return self.head(torch.tanh(self.update(torch.cat([x, h], -1))).mean(1))


class Sequence(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.steps = kind(4, 3, batch_first=True, **options)
        self.head = nn.Linear(3 * (1 + options.get("bidirectional", False)), 2)

    def forward(self, x):
        return self.head(self.steps(x)[0][:, -1])


class Cross(nn.Module):
    """Attention to another number of tokens, of other widths, tokens first."""

    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False)

    def forward(self, x):
        x = x.transpose(0, 1)
        mask = torch.triu(torch.ones(2, len(x), dtype=torch.bool, device=x.device), 2)
        return self.attend(x[:2], x[:, :, :3], x[:, :, :2], attn_mask=mask)[0][-1]


NETS = {
    "vit": (ViT, (1, 4, 4), {"encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj",
                             "encoder.layers.0.linear1", "patches"}),
    "deep set": (DeepSet, (3, 4), {"phi"}),
    "messages": (Messages, (3, 4), {"message", "update"}),
    "lstm": (lambda: Sequence(nn.LSTM, num_layers=2, bidirectional=True, dropout=0.1), (5, 4), {"steps.inputs.3",
                                                                                               "steps.states.1"}),
    "gru": (lambda: Sequence(nn.GRU), (5, 4), {"steps.inputs.0", "steps.states.0"}),
    "rnn": (lambda: Sequence(nn.RNN, nonlinearity="relu", bias=False), (5, 4), {"steps.states.0"}),
    "cross": (Cross, (3, 4), {"attend.k_proj", "attend.v_proj", "attend.out_proj"}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "residual"),
    [*((n, "low-rank") for n in NETS), ("deep set", "local"), ("lstm", "local"), ("cross", "dense"),
     pytest.param("vit", "local", marks=pytest.mark.slow)],
)  # fmt: skip
def test_it_has_soft_layers_trains_and_merges(name, residual):
    make, shape, wanted = NETS[name]
    torch.manual_seed(0)
    module, x = make(), torch.rand(6, *shape)
    soft = rpp.SoftModule(module, shape, residual=residual, sigma_b=0.3)
    softened = {s.name for s in soft.layers if s.subspace is not None and s.subspace.rank < s.subspace.size}
    assert wanted <= softened
    assert all(n in soft.table for n in wanted)
    for m in (module, soft):
        m.eval()
    with torch.no_grad():  # where torch would take its fast path
        torch.testing.assert_close(soft(x), module(x), atol=1e-5, rtol=1e-4)
    soft.train()
    optimizer = torch.optim.Adam(soft.parameters(), lr=0.05)
    for _ in range(2):
        optimizer.zero_grad()
        (soft(x).square().sum() + soft.penalty() / 6).backward()
        optimizer.step()
    soft.eval()
    with torch.no_grad():
        assert (soft(x) - module(x)).abs().max() > 1e-3
        torch.testing.assert_close(soft.merge()(x), soft(x), atol=1e-5, rtol=1e-5)
        states = soft.module.state_dict() | module.state_dict()
        for p in soft.residual_parameters():
            p.zero_()
    # With its residuals zero and the plain module's state, it is that module, and merges to torch's own layers.
    known = {k: v for k, v in states.items() if k in module.state_dict()}
    assert not soft.module.load_state_dict(known, strict=False).unexpected_keys
    merged = soft.merge()
    assert not any("bayes_rpp" in type(m).__module__ for m in merged.modules())
    assert merged.state_dict().keys() == module.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(merged(x), module(x), atol=1e-5, rtol=1e-4)


def test_a_softened_transformer_is_a_posterior():
    torch.manual_seed(0)
    module = ViT()
    net = rpp.soften(module, (1, 4, 4), residual="separable", freeze=["patches"])
    assert net.capabilities.vectorized
    x = np.random.default_rng(0).random((4, 16)).astype(np.float32)
    model, method = rpp.Model(net, likelihood=rpp.Categorical()), rpp.DeepEnsemble(members=2, epochs=2)
    post = rpp.fit(model, x, np.arange(4) % 3, method, init=net.initial, progress=False)
    plain = post.to_torch(draw=1)
    np.testing.assert_allclose(plain(torch.as_tensor(x).reshape(4, 1, 4, 4)).detach(), post.outputs(x)[0, 1], atol=1e-5)


def test_shared_attention_is_left_alone():
    module = ViT()
    module.encoder.layers[1].self_attn.out_proj.weight = module.encoder.layers[0].self_attn.out_proj.weight
    soft = rpp.SoftModule(module, (1, 4, 4), residual="local")
    assert "part of attention" in soft.table


def test_masks_and_weights_of_attention_are_torchs():
    torch.manual_seed(0)
    from bayes_rpp.networks.soften.torch.opened import Attention

    plain = nn.MultiheadAttention(4, 2, batch_first=True).eval()
    ours, x = Attention(plain).eval(), torch.rand(3, 5, 4)
    padding = torch.tensor([[False] * 4 + [True]] * 3)
    number = torch.zeros(3, 5).masked_fill(padding, -torch.inf)
    for options in (
        {},
        {"key_padding_mask": padding},
        {"attn_mask": torch.randn(6, 5, 5)},
        {"attn_mask": torch.randn(5, 5), "key_padding_mask": number, "average_attn_weights": False},
    ):
        for need_weights in (True, False):
            found, wanted = (m(x, x, x, need_weights=need_weights, **options) for m in (ours, plain))
            torch.testing.assert_close(found[0], wanted[0])
            assert (found[1] is None) == (wanted[1] is None)
            if need_weights:
                torch.testing.assert_close(found[1], wanted[1])
    with pytest.raises(ValueError, match=r"query must have shape \(n, tokens, features\), got \(5, 4\)"):
        ours(x[0], x[0], x[0])


def test_states_of_recurrent_layers_are_torchs():
    torch.manual_seed(0)
    from bayes_rpp.networks.soften.torch.opened import Recurrent

    plain = nn.LSTM(4, 3, num_layers=2)
    x, start = torch.rand(5, 6, 4), (torch.randn(2, 6, 3), torch.randn(2, 6, 3))
    for found, wanted in zip(Recurrent(plain)(x, start), plain(x, start), strict=True):
        torch.testing.assert_close(found, wanted)
    with pytest.raises(ValueError, match=r"x must be a tensor \(n, steps, features\), got PackedSequence"):
        Recurrent(plain)(nn.utils.rnn.pack_sequence([x[0]]))


@pytest.mark.parametrize("residual", ["local", "separable", "dense", "low-rank"])
def test_the_state_has_a_matrix_for_each_step_and_no_step_sees_a_later_one(residual):
    torch.manual_seed(0)
    module = Sequence(nn.GRU)
    net = rpp.soften(module, (5, 4), residual={"steps": residual}, skip=["steps.inputs"])
    rng = np.random.default_rng(0)
    params = {k: v + 0.3 * rng.normal(size=v.shape) for k, v in net.initial.items()}
    x = rng.normal(size=(2, 5, 4))
    # By hand: the layer of the state at step t is that of tokens, at token t.
    steps, h = rpp.networks.to_torch(net, params).steps, torch.zeros(2, 3, dtype=torch.float64)
    driven = steps.inputs[0](torch.as_tensor(x))
    for t in range(5):
        before = steps.states[0](h.unsqueeze(1).expand(-1, 5, -1))[:, t]
        (r, z, n), (r_h, z_h, n_h) = (a.chunk(3, -1) for a in (driven[:, t], before))
        z = torch.sigmoid(z + z_h)
        h = (1 - z) * torch.tanh(n + torch.sigmoid(r + r_h) * n_h) + z * h
    wanted = h @ torch.as_tensor(params["head.weight"]).mT + torch.as_tensor(params["head.bias"])
    np.testing.assert_allclose(net(params, x.reshape(2, -1)), wanted.detach(), atol=1e-6)
    unit = torch.zeros(1, 5, 3, dtype=torch.float64)
    moved = unit.clone()
    moved[0, 4] = 1.0
    changed = (steps.states[0](moved) - steps.states[0](unit)).detach().abs().amax((0, 2))
    assert changed[4] > 0
    assert (changed[:4] == 0).all()
