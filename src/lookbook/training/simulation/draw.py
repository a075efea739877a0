"""Random numbers and smooth fields for a batch of images, and where their pixels come from."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class Draw(NamedTuple):
    """Random numbers for `n` images, one each, as (N, 1, 1, 1)."""

    n: int
    generator: torch.Generator

    def uniform(self, low: float, high: float) -> Float[Tensor, "N 1 1 1"]:
        """Return numbers of low to high."""
        return low + (high - low) * torch.rand(self.n, 1, 1, 1, generator=self.generator)

    def normal(self, spread: float) -> Float[Tensor, "N 1 1 1"]:
        """Return normally distributed numbers around 0."""
        return spread * torch.randn(self.n, 1, 1, 1, generator=self.generator)

    def chance(self, share: float) -> Bool[Tensor, "N 1 1 1"]:
        """Return yes for that share of the images."""
        return torch.rand(self.n, 1, 1, 1, generator=self.generator) < share

    def sign(self) -> Float[Tensor, "N 1 1 1"]:
        """Return −1 or 1."""
        return torch.where(self.chance(0.5), 1.0, -1.0)

    def noise(self, cells: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "N 1 H W"]:
        """Return fields of normal noise that change over so many cells, down and across."""
        drawn = torch.randn(self.n, 1, *cells, generator=self.generator)
        return _spread(cells[0], size[0]) @ drawn @ _spread(cells[1], size[1]).T

    def grain(self, shape: tuple[int, ...]) -> Float[Tensor, "N C H W"]:
        """Return normal noise for each pixel."""
        return torch.randn(shape, generator=self.generator)

    def of(self, n: int) -> Draw:
        """Return the same for another number of images."""
        return self._replace(n=n)


@cache
def _spread(cells: int, side: int) -> Float[Tensor, "S C"]:
    """Return the matrix that spreads cells smoothly over a side: cubic interpolation."""
    identity = torch.eye(cells)[None, None]
    return F.interpolate(identity, (cells, side), mode="bicubic")[0, 0].T.contiguous()


def dilate(mask: Bool[Tensor, "N 1 H W"], by: int) -> Bool[Tensor, "N 1 H W"]:
    """Return a mask and what is within so many pixels of it, across and down.

    Products with band matrices: an eighth of the time of `max_pool2d`.

    >>> import torch
    >>> dilate(torch.eye(4)[None, None] > 1, 1).any().item()
    False
    >>> dilate(torch.tensor([[[[True, False, False]] * 2]]), 1)[0, 0, 0].tolist()
    [True, True, False]
    """
    down, across = (_band(side, by) for side in mask.shape[2:])
    return down @ mask.float() @ across > 0.5


@cache
def _band(side: int, by: int) -> Float[Tensor, "S S"]:
    """Return a matrix of ones within so many places of the diagonal."""
    places = torch.arange(side)
    return ((places[:, None] - places).abs() <= by).float()


class Places(NamedTuple):
    """Where in its image each pixel comes from; −1 to 1 is the whole of it, across and down."""

    x: Float[Tensor, "N 1 S S"]
    y: Float[Tensor, "N 1 S S"]

    @classmethod
    def of(cls, size: tuple[int, int], reach: float = 1.0) -> Places:
        """Return pixels where they are, from −reach to reach in height and width."""
        down, across = (torch.linspace(-1 + 1 / side, 1 - 1 / side, side) * reach for side in size)
        return cls(across.view(1, 1, 1, -1), down.view(1, 1, -1, 1))

    def turned(self, angle: Float[Tensor, "N 1 1 1"]) -> Places:
        """Return them turned about the middle; radians."""
        cos, sin = torch.cos(angle), torch.sin(angle)
        return Places(cos * self.x - sin * self.y, sin * self.x + cos * self.y)

    def turned_about(
        self,
        angle: Float[Tensor, "N 1 1 1"],
        x: Float[Tensor, "N 1 1 1"],
        y: Float[Tensor, "N 1 1 1"],
    ) -> Places:
        """Return them turned about a point."""
        turned = self.moved(x, y).turned(angle)
        return turned.moved(-x, -y)

    def moved(self, x: Float[Tensor, "N 1 1 1"], y: Float[Tensor, "N 1 1 1"]) -> Places:
        """Return them with this point in the middle."""
        return Places(self.x - x, self.y - y)

    def chosen(self, which: Bool[Tensor, "N"]) -> Places:
        """Return those of some of the images."""
        return Places(self.x[which], self.y[which])

    def take(self, layers: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C S S"]:
        """Return what is there, 0 outside of the image."""
        x, y = torch.broadcast_tensors(self.x[:, 0], self.y[:, 0])
        grid = torch.empty(*x.shape, 2)
        grid[..., 0], grid[..., 1] = x, y
        return F.grid_sample(layers, grid, align_corners=False)


class Box(NamedTuple):
    """Ends of what a mask covers, in places."""

    left: Float[Tensor, "N 1 1 1"]
    right: Float[Tensor, "N 1 1 1"]
    top: Float[Tensor, "N 1 1 1"]
    bottom: Float[Tensor, "N 1 1 1"]

    @classmethod
    def of(cls, mask: Float[Tensor, "N 1 H W"]) -> Box:
        """Return the ends of a mask; of an empty one those of the image."""
        return cls(*_ends(mask.amax(2)), *_ends(mask.amax(3)))

    @property
    def middle(self) -> tuple[Float[Tensor, "N 1 1 1"], Float[Tensor, "N 1 1 1"]]:
        """Its middle, across and down."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def width(self) -> Float[Tensor, "N 1 1 1"]:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> Float[Tensor, "N 1 1 1"]:
        """From top to bottom."""
        return self.bottom - self.top

    def chosen(self, which: Bool[Tensor, "N"]) -> Box:
        """Return those of some of the images."""
        return Box(*(each[which] for each in self))


def _ends(
    covered: Float[Tensor, "N 1 S"],
) -> tuple[Float[Tensor, "N 1 1 1"], Float[Tensor, "N 1 1 1"]]:
    is_covered = covered[:, 0] > 0.5
    is_covered = is_covered | ~is_covered.any(1, keepdim=True)
    side = is_covered.shape[1]
    first = is_covered.float().argmax(1)
    last = side - is_covered.flip(1).float().argmax(1)
    low, high = (2 * each / side - 1 for each in (first, last))
    return low.view(-1, 1, 1, 1), high.view(-1, 1, 1, 1)


def over(
    above: Float[Tensor, "N 2 S S"], below: Float[Tensor, "N 2 S S"]
) -> Float[Tensor, "N 2 S S"]:
    """Lay levels and mask on others; levels are multiplied by their mask."""
    return above + below * (1 - above[:, 1:]).clamp(0, 1)
