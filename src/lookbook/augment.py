"""Change a batch of pictures so that more is learnt from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Bool, Int64, Shaped
    from torch import Tensor


def mirror(
    images: Shaped[Tensor, "N C H W"], mirrored: Bool[Tensor, "N"]
) -> Shaped[Tensor, "N C H W"]:
    """Mirror those pictures that are `mirrored`, left for right.

    >>> import torch
    >>> images = torch.tensor([[[[1, 2]]], [[[3, 4]]]])
    >>> mirror(images, torch.tensor([True, False])).flatten().tolist()
    [2, 1, 3, 4]
    """
    return images.flip(3).where(mirrored[:, None, None, None], images)


def shift(
    images: Shaped[Tensor, "N C H W"], offsets: Int64[Tensor, "N 2"], most: int
) -> Shaped[Tensor, "N C H W"]:
    """Move each picture down and right by its offsets, of -most..most; what comes in is 0.

    >>> import torch
    >>> images = torch.tensor([[[[1, 2], [3, 4]]], [[[1, 2], [3, 4]]]])
    >>> shift(images, torch.tensor([[0, 1], [-1, 0]]), most=1).tolist()
    [[[[0, 1], [0, 3]]], [[[3, 4], [0, 0]]]]
    """
    height, width = images.shape[2:]
    # every way to cut a picture's size out of a wider one, as a view: N C most*2+1 most*2+1 H W
    cuts = F.pad(images, (most,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    down, right = (most - offsets).unbind(1)
    return cuts.permute(0, 2, 3, 1, 4, 5)[torch.arange(len(images)), down, right]
