"""Shapes that a catalogue lacks: shoes in pairs, from above and from the side, and hats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from lookbook.training.simulation.draw import Box, Draw, Places, over

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def pair_from_above(
    garment: Float[Tensor, "N 2 H W"], box: Box, places: Places, draw: Draw
) -> Float[Tensor, "N 2 S S"]:
    """Return two ovals side by side, with the levels of a shoe's side, each with an opening."""
    places = places.turned(
        torch.where(draw.chance(0.6), draw.normal(0.25), draw.uniform(-math.pi, math.pi))
    )
    slim, splay, stagger = draw.uniform(0.3, 0.52), draw.normal(0.12), draw.normal(0.12)
    gap, widening, roundness = (
        draw.uniform(0.75, 1.25),
        draw.uniform(-0.1, 0.35),
        draw.uniform(0.35, 0.7),
    )
    foreshortened = torch.where(draw.chance(0.5), draw.uniform(0.6, 1), 1.0)
    opening = draw.uniform(-0.85, -0.7), draw.uniform(-0.3, 0.4), draw.uniform(0.4, 0.85)
    contrast = draw.uniform(-0.7, 0.5) * draw.chance(0.8)
    shoes = []
    for side in (-1, 1):
        shoe = places.moved(side * slim * gap, side * stagger).turned(side * splay)
        length = -shoe.y / foreshortened  # from −1 at the heel to 1 at the toe
        half = slim * (1 - length.clamp(-1, 1) ** 2).clamp_min(1e-4) ** roundness
        across = shoe.x / (half * (1 + widening * length)).clamp_min(1e-3)
        mask = torch.sigmoid((1 - across.abs()) * half * 40) * (length.abs() < 1)
        levels = _levels_at(
            garment,
            Places(
                box.middle[0] + 0.45 * box.width * length,
                box.bottom - box.height * (0.75 - 0.6 * across.abs().clamp(0, 1)),
            ),
        )
        middle, reach = (opening[0] + opening[1]) / 2, (opening[1] - opening[0]) / 2
        inside = ((length - middle) / reach) ** 2 + (across / opening[2]) ** 2 < 1
        levels = levels + contrast * inside
        shoes.append(torch.cat([levels * mask, mask], dim=1))
    return over(*shoes)


def pair_from_the_side(
    garment: Float[Tensor, "N 2 H W"],
    box: Box,  # noqa: ARG001  # as all shapes
    places: Places,
    draw: Draw,
) -> Float[Tensor, "N 2 S S"]:
    """Return a shoe in front of its twin, which mostly points the same way."""
    x, y, angle = draw.uniform(-0.25, 0.25), draw.uniform(-0.22, 0.22), draw.normal(0.5)
    height = torch.exp(draw.uniform(-0.4, 0.2))
    mirror = draw.sign()
    twin = mirror * torch.where(draw.chance(0.8), 1.0, -1.0)
    shoes = []
    for side, pointing in ((-1, mirror), (1, twin)):
        shoe = places.moved(side * x, side * y).turned(angle + draw.normal(0.15))
        shoes.append(Places(1.3 * pointing * shoe.x, 1.3 * height * shoe.y).take(garment))
    return over(*shoes)


def hat(
    garment: Float[Tensor, "N 2 H W"], box: Box, places: Places, draw: Draw
) -> Float[Tensor, "N 2 S S"]:
    """Return a dome, mostly with a brim on one side or all around, with levels of a garment."""
    places = places.turned(draw.normal(0.25))
    square, height = draw.uniform(1.6, 3), draw.uniform(0.5, 1.1)
    dome = (places.x.abs() / 0.75) ** square + ((-places.y).clamp_min(0) / height) ** square < 1
    dome = dome & (places.y < draw.uniform(0, 0.3))
    around = draw.chance(0.35)
    x = torch.where(around, 0.0, draw.sign() * draw.uniform(0.3, 0.8))
    half = torch.where(around, draw.uniform(0.9, 1.3), draw.uniform(0.5, 0.9))
    below = places.moved(x, draw.uniform(-0.05, 0.2))
    brim = (below.x / half) ** 2 + (below.y / draw.uniform(0.12, 0.35)) ** 2 < 1
    brim = brim & ~draw.chance(0.25)
    x, y = box.middle
    levels = _levels_at(
        garment, Places(x + 0.3 * box.width * places.x, y + 0.3 * box.height * places.y)
    )
    levels = levels + brim * draw.uniform(-0.5, 0.5) * draw.chance(0.7)
    mask = (dome | brim).float()
    return torch.cat([levels * mask, mask], dim=1)


def _levels_at(garment: Float[Tensor, "N 2 H W"], places: Places) -> Float[Tensor, "N 1 S S"]:
    """Return levels of a garment; its mean where it has a hole or ends."""
    taken = places.take(garment)
    levels, mask = taken[:, :1], taken[:, 1:]
    sums = garment.sum((2, 3), keepdim=True)
    mean = sums[:, :1] / sums[:, 1:].clamp_min(1)
    return torch.where(mask > 0.5, levels / mask.clamp_min(0.05), mean)
