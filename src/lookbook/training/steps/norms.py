"""Batch norm of a step that several processes share: one mean and variance for all its images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

#: adds what all processes have in a tensor up, in its place
Sum = Callable[["Tensor"], None]
#: gradients of a norm: by its maps, its weight and its bias
_ALL = (True, True, True)


def share_statistics(network: nn.Module, add_up: Sum) -> None:
    """Make all batch norms of a network learn by the statistics of a step on all its processes.

    `torch.nn.SyncBatchNorm` does so on accelerators alone, and would be another class, which
    neither answers nor is exported as ours.
    """
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.forward = partial(_normalize, norm, add_up)  # type: ignore[method-assign]


def own_statistics(network: nn.Module) -> None:
    """Take back what `share_statistics` did."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            del norm.forward


def _normalize(
    norm: nn.BatchNorm2d, add_up: Sum, maps: Float[Tensor, "N C H W"]
) -> Float[Tensor, "N C H W"]:
    if not norm.training:
        return type(norm).forward(norm, maps)
    n, mean, var = _statistics(maps.detach(), add_up)
    _note(norm, mean, var * (n / (n - 1)))
    result: Tensor = _SharedNorm.apply(  # type: ignore[no-untyped-call]  # torch has no types
        maps, norm.weight, norm.bias, mean, var, n, norm.eps, add_up
    )
    return result


def _statistics(
    maps: Float[Tensor, "N C H W"], add_up: Sum
) -> tuple[int, Float[Tensor, "C"], Float[Tensor, "C"]]:
    """Return how many values each channel has, on all processes, their mean and variance."""
    nothing = torch.zeros(maps.shape[1], device=maps.device)
    mean, var = torch.batch_norm_update_stats(maps, nothing, nothing.clone(), 0.0)
    # in float64: the difference of two squares says how little a channel varies
    mean, var = mean.double(), var.double()
    moments = torch.stack([torch.ones_like(mean), mean, var + mean.square()])
    moments *= maps.numel() // len(mean)
    add_up(moments)
    n = int(moments[0, 0])
    mean, squares = moments[1:] / n
    return n, mean.float(), (squares - mean.square()).clamp_min(0).float()


def _note(norm: nn.BatchNorm2d, mean: Float[Tensor, "C"], var: Float[Tensor, "C"]) -> None:
    """Move what the norm answers by towards the statistics of a step."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    for running, now in ((norm.running_mean, mean), (norm.running_var, var)):
        if running is not None and norm.momentum is not None:
            running.lerp_(now, norm.momentum)


class _SharedNorm(torch.autograd.Function):
    """A batch norm in training, by the kernels of PyTorch's own, with sums over all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Float[Tensor, "N C H W"],
        weight: Float[Tensor, "C"],
        bias: Float[Tensor, "C"],
        mean: Float[Tensor, "C"],
        var: Float[Tensor, "C"],
        n: int,
        eps: float,
        add_up: Sum,
    ) -> Float[Tensor, "N C H W"]:
        """Normalize by mean and variance."""
        ctx.save_for_backward(maps, weight, mean, var)
        ctx.n, ctx.eps, ctx.add_up = n, eps, add_up
        return F.batch_norm(maps, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, given: Float[Tensor, "N C H W"]) -> tuple[Tensor | None, ...]:
        """Return gradients; those of weight and bias are of this process's images alone."""
        maps, weight, mean, var = ctx.saved_tensors
        # by mean and variance as if they were constants, then by what the images change in them
        backward = torch.ops.aten.native_batch_norm_backward
        alone, by_weight, by_bias = backward(
            given, maps, weight, mean, var, None, None, train=False, eps=ctx.eps, output_mask=_ALL
        )
        sums = torch.stack([by_weight, by_bias])
        ctx.add_up(sums)
        slope, shift = -weight * (var + ctx.eps).rsqrt() / ctx.n * sums
        change = F.batch_norm(maps, mean, var, slope, shift, training=False, eps=ctx.eps)
        return alone.add_(change), by_weight, by_bias, *[None] * 5
