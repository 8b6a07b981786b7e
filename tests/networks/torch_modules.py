"""Small modules of all kinds, with the shape of an example."""

import pytest

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn")


def need_escnn():
    """Skip without escnn. It imports pymanopt, which switches JAX to float64 for good: undone here."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    pytest.importorskip("escnn")
    jax.config.update("jax_enable_x64", before)


def cnn():
    return (
        nn.Sequential(
            nn.Conv2d(2, 3, 3, padding="same", padding_mode="circular"),
            nn.BatchNorm2d(3),
            nn.ReLU(),
            nn.Conv2d(3, 4, 3, stride=2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(16, 2),
        ),
        (2, 5, 5),
    )


def one_dimensional():
    odd = nn.Conv1d(3, 1, 2, padding=1, padding_mode="reflect")
    return nn.Sequential(nn.ConvTranspose1d(2, 3, 3), nn.PReLU(), odd, nn.Conv1d(1, 2, 3, bias=False)), (2, 4)


def grouped():
    return nn.Sequential(nn.Conv2d(4, 4, 2, dilation=2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 1)), (4, 4, 4)


def transformer():
    return nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), (3, 8)


def recurrent():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(5, 3), nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.gru(self.embed(x.long()))[0][:, -1])

    return Net(), (6,)


def e3nn(width=2):
    o3 = pytest.importorskip("e3nn.o3")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            hidden = f"{2 * width}x0e + {width}x1o"
            self.first = o3.Linear("2x0e + 1x1o", hidden, biases=True)
            self.product = o3.FullyConnectedTensorProduct(hidden, hidden, hidden)
            self.last = o3.Linear(hidden, "1x0e + 1x1o")

        def forward(self, x):
            x = self.first(x)
            return self.last(x + self.product(x, x))

    return Net(), (5,)


def escnn(pool=True):
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot2dOnR2(4)
    image, regular = enn.FieldType(space, [space.trivial_repr]), enn.FieldType(space, [space.regular_repr])
    layers = [
        enn.R2Conv(image, regular, 3, padding=1),
        enn.InnerBatchNorm(regular),
        enn.ReLU(regular),
        enn.R2Conv(regular, regular, 3, padding=1),
        enn.GroupPooling(regular) if pool else enn.R2Conv(regular, image, 3),
    ]
    return enn.SequentialModule(*layers), (1, 5, 5)


def escnn_in_torch():
    """A torch module that wraps its input itself, and ends in steerable and plain linear layers."""
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot2dOnR2(4)
    point = gspaces.no_base_space(space.fibergroup)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, regular = enn.FieldType(space, [space.trivial_repr]), enn.FieldType(space, [space.regular_repr])
            self.conv = enn.R2Conv(self.image, regular, 5, padding=1, padding_mode="circular")
            self.flat = enn.FieldType(point, [space.regular_repr])
            self.mix = enn.Linear(self.flat, self.flat)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.conv(enn.GeometricTensor(x, self.image)).tensor.tanh().mean((-1, -2))
            return self.head(self.mix(enn.GeometricTensor(x, self.flat)).tensor)

    return Net(), (1, 5, 5)


def escnn_mixed():
    """Fields of several kinds, in groups, and a layer that is no convolution of a kernel within a window."""
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.flipRot2dOnR2(6)
    image = enn.FieldType(space, 2 * [space.trivial_repr, space.irrep(1, 1)])
    inner = enn.FieldType(space, 2 * [space.irrep(1, 1), space.trivial_repr, space.irrep(1, 2)])
    return enn.SequentialModule(
        enn.R2Conv(image, inner, 3, stride=2, padding=1, padding_mode="reflect", groups=2),
        enn.R2ConvTransposed(inner, image, 3),
    ), (6, 4, 4)


def escnn_solid():
    need_escnn()
    from escnn import gspaces
    from escnn import nn as enn

    space = gspaces.rot3dOnR3()
    scalar, inner = (enn.FieldType(space, r) for r in ([space.irrep(0)], [space.irrep(0), space.irrep(1)]))
    return enn.SequentialModule(enn.R3Conv(scalar, inner, 3, padding=1), enn.R3Conv(inner, scalar, 3)), (1, 4, 3, 3)


MAKERS = (cnn, one_dimensional, grouped, transformer, recurrent, e3nn, escnn, escnn_in_torch, escnn_mixed, escnn_solid)
MODULES = {f.__name__: f for f in MAKERS}


def make(name):
    """The module, with weights and statistics that are not the usual ones, and the shape."""
    torch.manual_seed(0)
    module, shape = MODULES[name]()
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, nn.modules.batchnorm._NormBase):
                m.running_mean.normal_()
                m.running_var.uniform_(0.5, 2.0)
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return module, shape


def outputs(module, x):
    """In evaluation mode, (n, outputs), of numpy images (n, *shape)."""
    from bayes_rpp.priors.subspaces.torch import copied, run

    with torch.no_grad():
        return run(copied(module), {}, torch.as_tensor(x)).reshape(len(x), -1).numpy()
