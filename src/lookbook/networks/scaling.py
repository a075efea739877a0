"""What raw inputs become before a network sees them: scaled, components, or bytes as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from lookbook.core.arrays import sample
from lookbook.networks.devices import as_tensor

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Shaped, UInt8
    from torch import Tensor

#: training images on which statistics are taken before the first step
SAMPLE = 2000


class Scaler(nn.Module):
    """Turn raw inputs into what a network expects: images to 0..1, features to mean 0, spread 1.

    It is part of the model file, so that nobody has to scale anything before a prediction.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, raw: Shaped[np.ndarray, "N *shape"]) -> None:
        super().__init__()
        if raw.dtype == "uint8":
            # the tutorial's: (x - 0) / (255 - 0)
            shift, scale = torch.zeros(1), torch.full((1,), 1 / 255)
        else:
            shift = torch.from_numpy(raw.mean(axis=0))
            spread = torch.from_numpy(raw.std(axis=0))
            scale = torch.where(spread > 0, 1 / spread, 0.0)  # a constant feature says nothing
        self.register_buffer("shift", shift.float())
        self.register_buffer("scale", scale.float())

    def forward(self, raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        """Scale a batch; images come out as N C H W."""
        return channels_first((raw.float() - self.shift) * self.scale)


class Components(nn.Module):
    """Turn images into their principal components, of mean 0 and mean square 1.

    A first dense layer that is trained on them is a first layer on pixels, whose weights are
    limited to what the images show: see `Classifier.folded`. A step then costs a quarter, and
    learns more, as the pixels' directions without any content are gone.
    """

    #: components at the most
    MOST = 192

    mean: Tensor
    basis: Tensor

    def __init__(self, raw: UInt8[np.ndarray, "N *shape"]) -> None:
        super().__init__()
        # of large images fewer: there, the time grows with the third power of their number
        few = SAMPLE if raw[0].size <= SAMPLE else 4 * self.MOST
        rows = _as_rows(as_tensor(sample(raw, few))).float()
        mean = rows.mean(0)
        rows = rows - mean
        # whichever is smaller: pixels by pixels, or images by images
        wide = rows.shape[1] > len(rows)
        values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        basis = F.normalize(rows.T @ vectors, dim=0) if wide else vectors
        kept = min(self.MOST, len(values))
        mean_square = values[-kept:].clamp_min(1e-6).mean() / len(rows)
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis[:, -kept:] / mean_square.sqrt())

    def forward(self, raw: UInt8[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        """Return the components of a batch."""
        return _as_rows(raw).to(self.basis.dtype) @ self.basis - self.mean @ self.basis

    def of_all(self, raw: UInt8[Tensor, "N *shape"], dtype: torch.dtype) -> Float[Tensor, "N K"]:
        """Return the components of a whole set, computed piece by piece in that type."""
        basis = self.basis.to(dtype)
        shift = -(self.mean @ self.basis).to(dtype)
        # one array from the start: pieces that are joined in the end take twice the memory
        components = torch.empty(len(raw), basis.shape[1], dtype=dtype, device=raw.device)
        for piece, place in zip(raw.split(4096), components.split(4096), strict=True):
            torch.addmm(shift, _as_rows(piece).to(dtype), basis, out=place)
        return components


class Bytes(nn.Module):
    """Hand images on as N C H W, still as bytes: the whitening layer scales them."""

    def forward(self, raw: UInt8[Tensor, "N *shape"]) -> UInt8[Tensor, "N C H W"]:
        """Return a view of the batch."""
        return channels_first(raw)


def _as_rows(raw: UInt8[Tensor, "N *shape"]) -> UInt8[Tensor, "N D"]:
    """Return images as rows in the order in which a dense network reads N C H W."""
    return channels_first(raw).flatten(1)


def channels_first(raw: Shaped[Tensor, "N *shape"]) -> Shaped[Tensor, "N *shape"]:
    """Return images as N C H W, and anything else as it is."""
    if raw.dim() == 3:
        return raw.unsqueeze(1)
    return raw.permute(0, 3, 1, 2) if raw.dim() == 4 else raw
