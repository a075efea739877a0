"""Change a batch of pictures so that more is learnt from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


def mirror_alternately(
    images: Float[Tensor, "N C H W"], mirrored: Bool[Tensor, "N"], epoch: int
) -> Float[Tensor, "N C H W"]:
    """Mirror those pictures that are `mirrored` in odd epochs, and the others in even ones.

    Over two passes each picture is seen once as it is and once mirrored, where chance would show
    half of them twice the same way. Source: Jordan (2024), alternating flip.

    >>> import torch
    >>> images = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])
    >>> mirror_alternately(images, torch.tensor([True, False]), epoch=1).flatten().tolist()
    [2.0, 1.0, 3.0, 4.0]
    >>> mirror_alternately(images, torch.tensor([True, False]), epoch=2).flatten().tolist()
    [1.0, 2.0, 4.0, 3.0]
    """
    now = mirrored if epoch % 2 else ~mirrored
    return images.flip(3).where(now[:, None, None, None], images)
