"""Teacher's answers to distorted and mixed photographs, a fixed bank of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int64, UInt8
    from torch import Tensor

    from lookbook.networks.efficientnet import EfficientNet

#: pixels on a side that photographs are cut from, that the teacher sees, and that the student sees
WHOLE, SEEN, SMALL = 192, 160, 80
#: of the images that the bank shows: whole ones, and those into which a part of another is laid
PLAIN, CUTMIX = 0.4, 0.3
#: images that are made at once, and that go through the teacher at once
MADE, AT_ONCE = 64, 8


@dataclass(frozen=True)
class Bank:
    """Images in the student's size, and what the teacher says of them.

    Sources: Hinton et al. (2015), "Distilling the knowledge in a neural network"; Beyer et al.
    (2022), "Knowledge distillation: a good teacher is patient and consistent", which shows teacher
    and student the same images, mixed ones too.
    """

    images: UInt8[np.ndarray, "N 80 80 3"]
    logits: Float32[np.ndarray, "N K"]
    features: Float32[np.ndarray, "N T"]
    #: the photographs that an image is made of
    pairs: Int64[np.ndarray, "N 2"]

    @classmethod
    def make(
        cls,
        photographs: UInt8[np.ndarray, "M 192 192 3"],
        teacher: EfficientNet,
        n: int,
        *,
        seed: int,
    ) -> Self:
        """Make `n` images, and ask the teacher."""
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.from_numpy(np.array(photographs)).permute(0, 3, 1, 2)
        rounds = -(-n // len(pixels))
        order = torch.cat([torch.randperm(len(pixels), generator=generator) for _ in range(rounds)])
        made = [_make(pixels, part, teacher, generator) for part in order[:n].split(MADE)]
        return cls(*(torch.cat(each).numpy() for each in zip(*made, strict=True)))

    def save(self, path: Path) -> None:
        """Write it into one file."""
        np.savez(path, **vars(self) | {"features": self.features.astype(np.float16)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what was written."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def without(self, held: Int64[np.ndarray, "H"]) -> Self:
        """Return what is made of other photographs alone."""
        kept = ~np.isin(self.pairs, held).any(axis=1)
        return type(self)(*(each[kept] for each in vars(self).values()))


@torch.inference_mode()
def _make(
    pixels: UInt8[Tensor, "M 3 192 192"],
    chosen: Int64[Tensor, "B"],
    teacher: EfficientNet,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images, logits, features and what each image is made of."""
    others = torch.randint(len(pixels), chosen.shape, generator=generator)
    uniforms = torch.rand(len(chosen), 4, generator=generator)
    shown = distort(pixels[chosen], generator)
    mixed = uniforms[:, 0] >= PLAIN
    shown[mixed] = _mix(shown[mixed], distort(pixels[others[mixed]], generator), uniforms[mixed])
    shown = shown.round()
    features = torch.cat([teacher.features(part) for part in shown.split(AT_ONCE)])
    small = F.avg_pool2d(shown, SEEN // SMALL).round().to(torch.uint8).permute(0, 2, 3, 1)
    pairs = torch.stack([chosen, torch.where(mixed, others, chosen)], dim=1)
    return small, teacher.head(features), features, pairs


def distort(
    pixels: UInt8[Tensor, "B 3 192 192"], generator: torch.Generator
) -> Float[Tensor, "B 3 160 160"]:
    """Cut a part out of each photograph, mirrored, turned, stretched and relit, one in ten grey."""
    u = torch.rand(len(pixels), 12, generator=generator)
    pixels = torch.where(_each(u[:, 0] < 0.5), pixels.flip(3), pixels).float()
    share, spread = 0.55 + 0.5 * u[:, 1], 2 * u - 1
    room, angle, stretch = (1 - share).abs(), 0.3 * spread[:, 4], torch.exp(0.15 * spread[:, 5])
    cos, sin = share * torch.cos(angle), share * torch.sin(angle)
    rows = [cos * stretch, -sin, room * spread[:, 2], sin, cos / stretch, room * spread[:, 3]]
    places = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(places, [len(pixels), 3, SEEN, SEEN], align_corners=False)
    shown = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    mean = shown.mean((1, 2, 3), keepdim=True)
    shown = mean + (shown - mean) * _each(torch.exp(0.42 * spread[:, 6]))
    gains = torch.exp(0.14 * spread[:, 8:11])[:, :, None, None]
    shown = (shown + _each(53.55 * spread[:, 7])) * gains
    return torch.where(_each(u[:, 11] < 0.1), shown.mean(1, keepdim=True), shown).clamp(0, 255)


def _mix(
    one: Float[Tensor, "B 3 S S"], other: Float[Tensor, "B 3 S S"], uniforms: Float[Tensor, "B 4"]
) -> Float[Tensor, "B 3 S S"]:
    """Lay a square of another image into each (CutMix), or average them (mixup)."""
    kind, amount, down, right = uniforms.unbind(1)
    share = _each(0.5 + 0.5 * amount)
    averaged = one * share + other * (1 - share)
    side = (SEEN * (0.2 + 0.5 * amount)).long()
    top, left = ((room * (SEEN - side + 1)).long() for room in (down, right))
    places = torch.arange(SEEN)
    rows, columns = (
        (places >= first[:, None]) & (places < (first + side)[:, None]) for first in (top, left)
    )
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(_each(kind < PLAIN + CUTMIX), torch.where(inside, other, one), averaged)


def _each(values: Tensor) -> Tensor:
    """Return one value an image, to be used with its pixels."""
    return values[:, None, None, None]
