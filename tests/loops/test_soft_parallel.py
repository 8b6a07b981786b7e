"""`SoftModule` in two processes, compiled, and in half precision: the same steps as alone."""

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

import bayes_rpp as rpp

KINDS = ("dense", "local", "separable", "low-rank")


def make(residual):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(48, 2))
    soft = rpp.SoftModule(net, (1, 4, 4), residual=residual, sigma_b=rpp.Prior("HalfNormal", {"scale": 0.3}))
    with torch.no_grad():
        for p in soft.residual_parameters():
            p.normal_()
    return soft


def data():
    random = torch.Generator().manual_seed(1)
    return torch.rand(8, 1, 4, 4, generator=random), torch.rand(8, 2, generator=random)


def train(module, soft, x, y):
    optimizer = torch.optim.SGD(soft.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (nn.functional.mse_loss(module(x), y) + soft.penalty() / 8).backward()
        optimizer.step()
    return soft.state_dict()


def work(rank, file, residual):
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    soft, (x, y) = make(residual), data()
    parallel = nn.parallel.DistributedDataParallel(soft)
    state = train(parallel, soft, x[4 * rank : 4 * rank + 4], y[4 * rank : 4 * rank + 4])
    torch.save(state, f"{file}.{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("residual", ["local", "low-rank"])
def test_two_processes_take_the_steps_of_one(residual, tmp_path):
    file = tmp_path / "meeting"
    torch.multiprocessing.spawn(work, (str(file), residual), 2)
    soft = make(residual)
    wanted = train(soft, soft, *data())
    for rank in range(2):
        torch.testing.assert_close(torch.load(f"{file}.{rank}"), wanted)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The .grad attribute")
@pytest.mark.parametrize("residual", KINDS)
def test_compiled_it_is_the_same(residual):
    soft, (x, y) = make(residual), data()
    wanted = train(soft, soft, x, y)
    again = make(residual)
    torch.testing.assert_close(train(torch.compile(again, backend="aot_eager"), again, x, y), wanted)


@pytest.mark.parametrize("residual", KINDS)
def test_in_half_precision_it_has_gradients_near_those_in_full(residual):
    soft, (x, y) = make(residual), data()
    gradients = []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = nn.functional.mse_loss(soft(x), y)
        gradients.append(torch.autograd.grad(loss + soft.penalty() / 8, list(soft.parameters())))
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm() <= 0.05 * a.norm()


@pytest.mark.parametrize("residual", KINDS)
def test_in_half_precision_a_layer_takes_what_a_plain_one_gives(residual):
    """Autocast gives it an input of less precision than its weights have."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 2))
    soft, x = rpp.SoftModule(net, (1, 4, 4), residual=residual, skip=["0"], sigma_b=0.3), torch.rand(4, 1, 4, 4)
    with torch.no_grad():
        for p in soft.residual_parameters():
            p.normal_()
    with torch.autocast("cpu", torch.bfloat16):
        found = soft(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), soft(x), atol=0.05, rtol=0.05)
    found.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in soft.residual_parameters())


@pytest.mark.parametrize("residual", KINDS)
def test_nothing_stays_behind_on_another_device(residual):
    soft = make(residual).to("meta")  # where tensors of two devices do not mix, as on a GPU
    loss = soft(torch.zeros(3, 1, 4, 4, device="meta")).sum() + soft.penalty()
    loss.backward()
    assert loss.is_meta
    assert all(p.grad.is_meta for p in soft.parameters())
