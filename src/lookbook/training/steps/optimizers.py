"""Optimizers with no start-up cost and little time a step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from lookbook.recipes import Recipe


class Optimizer(Protocol):
    """Whatever moves weights along their gradients."""

    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Move each weight; `rate` scales the learning rate, 0 to 1."""

    def average(self) -> None:
        """Put an average of the weights in their place, where there is one; no step follows."""

    def state(self) -> list[Tensor]:
        """Return the tensors that the next step depends on, besides the weights."""


def build_optimizer(recipe: Recipe, weights: Sequence[Tensor]) -> Optimizer:
    """Return the recipe's optimiser for these weights."""
    if not weights:
        return Still()
    if recipe.optimizer == "muon":
        return Muon(weights, recipe.learning_rate)
    if recipe.optimizer == "relative":
        return RelativeAdam(weights, recipe.learning_rate)
    return Adam(weights, recipe.learning_rate)


def rate_at(recipe: Recipe, share: float) -> float:
    """Return which part of the learning rate a step has when that share of the training is done.

    >>> from lookbook.recipes import QUICK, TUTORIAL
    >>> [round(rate_at(QUICK, share), 2) for share in (0.005, 0.1, 0.5, 0.995)]
    [0.05, 0.9, 0.5, 0.01]
    >>> rate_at(TUTORIAL, 0.5)
    1.0
    """
    return 1.0 if recipe.schedule == "constant" else min(share / 0.1, 1) * (1 - share)


class Still:
    """Moves nothing, where nothing is to be learnt by steps."""

    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Leave all as it is."""

    def average(self) -> None:
        """Leave all as it is."""

    def state(self) -> list[Tensor]:
        """Return nothing."""
        return []


class Adam:
    """Adam (Kingma and Ba, 2015), all weights in one fused kernel.

    `torch.optim.Adam` computes the same. Its first use loads PyTorch's compiler (0.9 s measured on
    two cores, which would be a tenth of the tutorial's training), and its bookkeeping costs 0.1 ms
    of the 0.5 ms that a step of the tutorial takes there.

    Parameters
    ----------
    weights
        What is trained.
    learning_rate
        Size of a step.
    beta2
        Share of the second moment that stays from step to step.
    eps
        Added to the root of the second moment; Keras's 1e-7 by default, as the tutorial has it.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> adam = Adam([weight], learning_rate=0.1)
    >>> adam.step([torch.tensor([2.0])])  # the first step has the learning rate's size
    >>> round(weight.item(), 4)
    0.9
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        learning_rate: float,
        *,
        beta2: float = 0.999,
        eps: float = 1e-7,
    ) -> None:
        self._weights = [weight.detach() for weight in weights]
        self._means = [torch.zeros_like(weight) for weight in self._weights]
        self._squares = [torch.zeros_like(weight) for weight in self._weights]
        self._steps = [torch.zeros((), device=weight.device) for weight in self._weights]
        self._learning_rate, self._beta2, self._eps = learning_rate, beta2, eps

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Move each weight; `rate` scales the learning rate."""
        torch._foreach_add_(self._steps, 1)
        torch._fused_adam_(
            self._weights,
            list(gradients),
            self._means,
            self._squares,
            [],
            self._steps,
            lr=rate * self._learning_rate,
            beta1=0.9,
            beta2=self._beta2,
            weight_decay=0.0,
            eps=self._eps,
            amsgrad=False,
            maximize=False,
        )

    def average(self) -> None:
        """Leave the weights as the last step left them: none is kept."""

    def state(self) -> list[Tensor]:
        """Return both moments and the numbers of steps."""
        return [*self._means, *self._squares, *self._steps]


class Muon:
    """Muon for filters, Adam for all other weights.

    The momentum of each filter bank, as a matrix of filters by inputs, is made orthogonal before it
    moves the weights, so that all directions move alike; filters keep their norm.
    Source: Jordan et al. (2024), "Muon"; settings follow the CIFAR-10 speed runs.

    Parameters
    ----------
    weights
        What is trained; those with four axes are filters.
    learning_rate
        Size of a step of the filters, whose banks have norm √(number of filters).
    """

    MOMENTUM = 0.6
    #: learning rates of matrices (the last layer) and of vectors (shifts), trained by Adam
    MATRIX_RATE, VECTOR_RATE = 0.05, 0.02

    def __init__(self, weights: Iterable[Tensor], learning_rate: float) -> None:
        self._weights = [weight.detach() for weight in weights]
        self._filters = [i for i, weight in enumerate(self._weights) if weight.dim() == 4]
        self._momenta = {i: torch.zeros_like(self._weights[i]) for i in self._filters}
        self._learning_rate = learning_rate
        self._others = []
        for dims, rate in ((2, self.MATRIX_RATE), (1, self.VECTOR_RATE)):
            chosen = [i for i, weight in enumerate(self._weights) if weight.dim() == dims]
            adam = Adam([self._weights[i] for i in chosen], rate, beta2=0.99)
            self._others.append((chosen, adam))

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Move each weight; `rate` scales the learning rates."""
        for i in self._filters:
            weight, gradient = self._weights[i], gradients[i]
            momentum = self._momenta[i].mul_(self.MOMENTUM).add_(gradient)
            move = orthogonalize(gradient.add(momentum, alpha=self.MOMENTUM).flatten(1))
            scale = math.sqrt(max(1.0, move.shape[0] / move.shape[1]))
            weight.mul_(math.sqrt(len(weight)) / weight.norm())
            weight.sub_(move.view_as(weight), alpha=rate * self._learning_rate * scale)
        for chosen, adam in self._others:
            adam.step([gradients[i] for i in chosen], rate)

    def average(self) -> None:
        """Leave the weights as the last step left them: none is kept."""

    def state(self) -> list[Tensor]:
        """Return the filters' momenta, and what Adam keeps of the others."""
        return [*self._momenta.values(), *(t for _, adam in self._others for t in adam.state())]


class RelativeAdam:
    """Adam on weights as multiples of their sizes at the start: for pretrained ones.

    Of filters it is the size of each (norms that are folded into filters leave them of many sizes),
    of the last layer that of all its weights. Steps shrink from the last weights to the first,
    which need the least change. Filters keep their sizes, as norms would see to: without, maps fade
    or grow from layer to layer (at twice the learning rate, nothing was left of 3,000 photographs).
    Sources: Shazeer and Stern (2018), "Adafactor", relative step sizes; Howard and Ruder (2018),
    "Universal language model fine-tuning", rates that fall from layer to layer; Tarvainen and
    Valpola (2017), "Mean teachers", an exponential moving average of the weights (of the first 100
    steps each counts as much), which is what is used in the end of many passes.

    Parameters
    ----------
    weights
        What is trained, first layer to last, as they are at the start.
    learning_rate
        Size of a step of the last weights, as a share of their size.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.full((1, 2), 0.5))
    >>> RelativeAdam([weight], learning_rate=0.1).step([torch.ones(1, 2)])
    >>> weight.data
    tensor([[0.4500, 0.4500]])
    """

    #: of the first weights, beside the last
    FIRST = 1 / 7
    #: what counts as the size of a shift
    SHIFT = 0.1
    #: share of the average that is kept in a step (docs/log.md, an average of the weights)
    KEPT = 0.99

    def __init__(self, weights: Iterable[Tensor], learning_rate: float) -> None:
        self._weights = [weight.detach() for weight in weights]
        last = len(self._weights) - 1
        falls = [self.FIRST ** ((last - i) / max(1, last)) for i in range(last + 1)]
        pairs = zip(self._weights, falls, strict=True)
        self._scales = [fall * self._size(weight) for weight, fall in pairs]
        # in one layout, whatever that of the weights: the fused kernel goes through memory
        self._multiples = [
            (weight / scale).contiguous()
            for weight, scale in zip(self._weights, self._scales, strict=True)
        ]
        self._filters = [(each, _filter_sizes(each)) for each in self._multiples if each.dim() == 4]
        self._adam = Adam(self._multiples, learning_rate, beta2=0.98, eps=1e-10)
        self._averages = [each.clone() for each in self._multiples]
        self._steps = torch.zeros(())

    def _size(self, weight: Tensor) -> Tensor:
        if weight.dim() == 1:
            return torch.full_like(weight[0], self.SHIFT)
        whole = weight.square().mean().sqrt()
        if weight.dim() == 2:
            return whole.clamp_min(1e-3)
        # a filter that is all but zero may grow, too
        return _filter_sizes(weight) + 1e-3 * whole

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], rate: float = 1.0) -> None:
        """Move each weight; `rate` scales the learning rate."""
        self._adam.step([gradient.contiguous() for gradient in gradients], rate)
        for filters, sizes in self._filters:
            filters.mul_(sizes / _filter_sizes(filters))
        self._steps += 1
        share = max(1 - self.KEPT, 1 / float(self._steps))
        torch._foreach_lerp_(self._averages, self._multiples, share)
        self._set(self._multiples)

    def _set(self, multiples: list[Tensor]) -> None:
        torch._foreach_copy_(self._weights, torch._foreach_mul(multiples, self._scales))

    @torch.no_grad()
    def average(self) -> None:
        """Put the average of the weights in their place."""
        self._set(self._averages)

    def state(self) -> list[Tensor]:
        """Return what Adam keeps, the multiples, their averages, and the sizes at the start."""
        sizes = [sizes for _, sizes in self._filters]
        kept = [*self._multiples, *self._averages, *self._scales, *sizes]
        return [*self._adam.state(), *kept, self._steps]


def _filter_sizes(filters: Tensor) -> Tensor:
    """Return the root of the mean square of each filter."""
    sizes: Tensor = filters.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return sizes.clamp_min(1e-12)


def orthogonalize(matrix: Tensor, steps: int = 3) -> Tensor:
    """Return about the nearest matrix whose rows (or columns) are orthonormal.

    Newton-Schulz iterations of the fifth order, tuned to bring all singular values near 1 soon
    rather than to 1 in the end; done on the product of the matrix with itself.

    >>> values = torch.linalg.svdvals(orthogonalize(torch.diag(torch.tensor([3.0, 1.0]))))
    >>> bool((values - 1).abs().max() < 0.35)
    True
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    # every step multiplies x by a polynomial of x·xᵀ; these are small beside x, and commute
    gram = x @ x.T
    factor = unit = torch.eye(len(gram), device=gram.device)
    for i in range(steps):
        polynomial = torch.addmm(b * gram, gram, gram, alpha=c).add_(unit, alpha=a)
        factor = polynomial @ factor if i else polynomial
        gram = polynomial @ gram @ polynomial if i + 1 < steps else gram
    result: Tensor = factor @ x
    return result.T if tall else result
