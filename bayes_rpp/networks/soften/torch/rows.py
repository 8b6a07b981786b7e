"""A kernel of its own at each position on a CPU, where memory is what takes the time: row by row, from the image as it
stands, of which only that is kept for the gradient. Not for torch.func."""

from __future__ import annotations

from typing import Any

import torch

from bayes_rpp.networks.soften.torch.local import Grid, padded


def applies(grid: Grid, x: torch.Tensor) -> bool:
    """Whether `by_rows` can do it: images and rows of pixels, without groups, whose taps stand together."""
    return x.device.type == "cpu" and grid.groups == 1 and len(grid.input) < 3 and grid.windows[-1][2] == 1


def by_rows(grid: Grid, weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    """As `locally`, in the weight's precision: autocast gives x less, and does not reach products in place."""
    x = x.to(weight.dtype)
    image = padded(grid, x) if len(grid.input) == 2 else padded(grid, x).unsqueeze(2)
    taps = [(1, 1, 1)] * (2 - len(grid.input)) + grid.windows
    height, width = (1, *grid.output[1:])[-2:]
    outputs = grid.output[0]
    w = weight.reshape(outputs, height, width, x.shape[1], taps[0][0], taps[1][0])
    w = w.permute(1, 4, 2, 0, 5, 3).flatten(4).contiguous()  # rows, taps of rows, columns, outputs, window
    y = Rows.apply(image.permute(2, 3, 1, 0).contiguous(), w, taps[0][1], taps[0][2], taps[1][1])
    y = y.permute(3, 2, 0, 1).flatten(2)
    y = y if bias is None else y + bias.reshape(outputs, -1)
    return y.unflatten(2, grid.output[1:])


class Rows(torch.autograd.Function):
    """(rows in, columns in, channels, n) to (rows, columns, outputs, n), with a matrix (outputs, taps of a row x
    channels) for each row, row of taps and column. A row's windows overlap where they stand, and are not copied.
    Examples are last, as there are more of them than channels: a processor multiplies several at once."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor, stride: int, dilation: int, step: int) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        ctx.strides = stride, dilation, step
        y = x.new_zeros(w.shape[0], *w.shape[2:4], x.shape[3])
        for i in range(w.shape[0]):
            for k in range(w.shape[1]):
                y[i].baddbmm_(w[i, k], _windows(x[i * stride + k * dilation], w, step))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (x, w), (stride, dilation, step) = ctx.saved_tensors, ctx.strides
        if torch.is_grad_enabled():  # a gradient of this one will be asked for, and writing in place has none
            inputs = [t for t, needed in zip((x, w), ctx.needs_input_grad, strict=False) if needed]
            found = iter(torch.autograd.grad(_copied(x, w, *ctx.strides), inputs, gradients[0], create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:2]), None, None, None
        gradient = gradients[0].contiguous()
        of_x = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        of_w = torch.empty_like(w) if ctx.needs_input_grad[1] else None
        channels, columns = x.shape[2], w.shape[2]
        for i, given in enumerate(gradient):
            for k in range(w.shape[1]):
                row = i * stride + k * dilation
                if of_w is not None:
                    torch.bmm(given, _windows(x[row], w, step).mT, out=of_w[i, k])
                if of_x is None:
                    continue
                for tap, part in enumerate((w[i, k].mT @ given).split(channels, 1)):
                    last = tap + (columns - 1) * step + 1
                    of_x[row, tap:last:step] += part
        return of_x, of_w, None, None, None


def _copied(x: torch.Tensor, w: torch.Tensor, stride: int, dilation: int, step: int) -> torch.Tensor:
    """The same of windows that are copied."""
    y: Any = 0
    for k in range(w.shape[1]):
        rows = x[k * dilation :: stride][: w.shape[0]]
        windows = rows.unfold(1, w.shape[4] // x.shape[2], step)  # rows, columns, channels, n, taps
        y = y + w[:, k] @ windows.permute(0, 1, 4, 2, 3).flatten(2, 3)
    return y


def _windows(row: torch.Tensor, w: torch.Tensor, step: int) -> torch.Tensor:
    """(columns, window, n) of a row (columns in, channels, n), a view."""
    _, channels, n = row.shape
    return row.as_strided((w.shape[2], w.shape[4], n), (channels * n * step, n, 1), row.storage_offset())
