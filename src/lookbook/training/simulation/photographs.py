"""Simulate photographs: images of a catalogue, bent, creased, lit and cut out as people's own are.

A model that is trained on a catalogue alone has never seen a sleeve that lies spread, a pair of
shoes from above, a crease, or an outline that a program found. Each image becomes something that a
photograph of such a garment might become: see `images.photographs`, whose last steps are repeated
here. Some become what is none of the classes: shorts of trousers, skirts of dresses, and hats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from lookbook.images.photographs import DARKEST, LEAST_CONTRAST, LEVELS, TAIL
from lookbook.training.simulation.draw import Box, Draw, Places, dilate, over
from lookbook.training.simulation.shapes import hat, pair_from_above, pair_from_the_side

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64, UInt8
    from torch import Tensor

    from lookbook.data.catalog import Garments

#: label of an image that shows none of the classes
NONE = -1
#: garments are drawn on a square so many times as wide as the image, with as many pixels a unit
REACH, FINER = 1.5, 2
#: images that are simulated at once
AT_ONCE = 500
#: share of trousers, dresses and others that become shorts, skirts and hats
ODD = 0.3
#: shares of shoes that are seen as a pair from above, and from the side
FROM_ABOVE, FROM_THE_SIDE = 0.5, 0.25
#: how far sleeves and legs are spread at most, in radians
SPREAD, STRIDE = math.radians(55), math.radians(12)


def simulate(
    images: Float[Tensor, "N 1 H W"],
    labels: Int64[Tensor, "N"],
    garments: Garments,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "N 1 H W"], Int64[Tensor, "N"]]:
    """Return images as photographs might show them, and their labels.

    Parameters
    ----------
    images
        Light things on black, 0 to 255.
    labels
        Classes, 0 to K−1.
    garments
        What the classes are: which have sleeves, legs, and so on.
    generator
        Draws all that is left to chance.

    Returns
    -------
    images, labels
        Levels of 0 to 255, what was cut out as large as fits; the label −1 where it now shows none
        of the classes.

    Examples
    --------
    >>> import torch
    >>> from lookbook.data.catalog import FASHION_MNIST
    >>> shirts = torch.zeros(2, 1, 28, 28)
    >>> shirts[:, :, 2:26, 6:22] = 180
    >>> generator = torch.Generator().manual_seed(0)
    >>> seen, labels = simulate(shirts, torch.tensor([6, 6]), FASHION_MNIST.garments, generator)
    >>> seen.shape, labels.tolist()
    (torch.Size([2, 1, 28, 28]), [6, 6])
    """
    draw = Draw(len(images), generator)
    mask = _outline(images)
    odd = _odd(labels, garments, draw)
    mask = _shorten(mask, odd & _among(labels, garments.trousers), draw, keep="upper")
    mask = _shorten(mask, odd & _among(labels, garments.dresses), draw, keep="lower")
    garment = torch.cat([_crease(images / 255, mask, draw) * mask, mask], dim=1)
    seen = _lay_out(garment, labels, odd, garments, draw)
    levels, outline = seen[:, :1] / seen[:, 1:].clamp_min(0.05), seen[:, 1:]
    levels, outline = _misjudge(levels, outline, draw)
    photographs = _as_catalogue(levels, outline, _size(images), draw)
    # of little the program would have found nothing
    lost = outline.sum((1, 2, 3)) < 0.02 * outline[0].numel()
    photographs = torch.where(lost.view(-1, 1, 1, 1), images, photographs)
    return photographs, torch.where(odd & ~lost, NONE, labels)


def simulate_all(
    images: UInt8[np.ndarray, "N H W"],
    labels: Int64[np.ndarray, "N"],
    garments: Garments,
    seed: int,
) -> tuple[UInt8[np.ndarray, "N H W"], Int64[np.ndarray, "N"]]:
    """Simulate as `simulate` does, arrays, a few hundred images at a time."""
    generator = torch.Generator().manual_seed(seed)
    parts = zip(
        torch.from_numpy(images).float()[:, None].split(AT_ONCE),
        torch.from_numpy(labels).long().split(AT_ONCE),
        strict=True,
    )
    made = [simulate(*part, garments, generator) for part in parts]
    seen, found = (torch.cat(each).numpy() for each in zip(*made, strict=True))
    return seen[:, 0].astype(np.uint8), found


def _outline(images: Float[Tensor, "N 1 H W"]) -> Float[Tensor, "N 1 H W"]:
    """Return what is not black, with its smallest gaps closed."""
    wider = F.max_pool2d((images > 5).float(), 3, 1, 1)
    return -F.max_pool2d(-wider, 3, 1, 1)


def _size(images: Float[Tensor, "N C H W"]) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _among(labels: Int64[Tensor, "N"], classes: tuple[int, ...]) -> Bool[Tensor, "N"]:
    return torch.isin(labels, torch.tensor(classes))


def _odd(labels: Int64[Tensor, "N"], garments: Garments, draw: Draw) -> Bool[Tensor, "N"]:
    """Choose images that are to show none of the classes."""
    able = _among(labels, (*garments.trousers, *garments.dresses, *garments.plain))
    return able & draw.chance(ODD).flatten()


def _shorten(
    mask: Float[Tensor, "N 1 H W"], which: Bool[Tensor, "N"], draw: Draw, *, keep: str
) -> Float[Tensor, "N 1 H W"]:
    """Keep the upper or the lower part of some masks: shorts of trousers, skirts of dresses."""
    box, y = Box.of(mask), Places.of(_size(mask)).y
    if keep == "upper":
        kept = y < box.top + draw.uniform(0.3, 0.5) * box.height
    else:
        kept = y > box.bottom - draw.uniform(0.35, 0.62) * box.height
    return mask * (kept | ~which.view(-1, 1, 1, 1))


def _crease(
    levels: Float[Tensor, "N 1 H W"], mask: Float[Tensor, "N 1 H W"], draw: Draw
) -> Float[Tensor, "N 1 H W"]:
    """Give a garment less of its own contrast, uneven light, creases, grain and a print."""
    size = _size(levels)
    here = Places.of(size)
    mean = (levels * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp_min(1)
    contrast = torch.where(draw.chance(0.5), 1.0, draw.uniform(0.1, 1))
    light = draw.uniform(-0.25, 0.25) * here.x + draw.uniform(-0.25, 0.25) * here.y
    folds = draw.uniform(0, 0.15) * draw.noise((6, 6), size)
    folds = folds + draw.uniform(0, 0.09) * draw.noise((14, 14), size)
    lying, upright = draw.noise((24, 4), size), draw.noise((4, 24), size)
    streaks = torch.where(draw.chance(0.5), lying, upright)
    folds = folds + draw.uniform(0, 0.1) * streaks
    grain = draw.uniform(0, 0.07) * draw.noise((24, 24), size)
    a_print = draw.chance(0.3) * draw.uniform(-0.6, 0.6) * (draw.noise((5, 5), size) > 0.8)
    return mean + (levels - mean) * contrast + light + folds + grain + a_print


def _lay_out(
    garment: Float[Tensor, "N 2 H W"],
    labels: Int64[Tensor, "N"],
    odd: Bool[Tensor, "N"],
    garments: Garments,
    draw: Draw,
) -> Float[Tensor, "N 2 S S"]:
    """Return levels and masks of garments as they lie: spread, turned, in pairs."""
    box = Box.of(garment[:, 1:])
    shoes = _among(labels, garments.shoes)
    height, width = _size(garment)
    flat = Places.of((FINER * height, FINER * width), REACH)
    wavy = flat.moved(*_waves(flat, draw))
    bent = _bend(wavy, shoes, odd & _among(labels, garments.dresses), odd, draw)
    seen = _spread_sleeves(garment, box, _among(labels, garments.sleeved) & ~odd, bent, draw)
    view = draw.uniform(0, 1).flatten()
    above = shoes & (view < FROM_ABOVE)
    beside = shoes & ~above & (view < FROM_ABOVE + FROM_THE_SIDE)
    for which, shape, places in (
        (_among(labels, garments.trousers), _stride, bent),
        (above, pair_from_above, wavy),
        (beside, pair_from_the_side, wavy),
        (odd & _among(labels, garments.plain), hat, wavy),
    ):
        if which.any():
            some = draw.of(int(which.sum()))
            seen[which] = shape(garment[which], box.chosen(which), places.chosen(which), some)
    return seen


def _waves(flat: Places, draw: Draw) -> tuple[Float[Tensor, "N 1 S S"], Float[Tensor, "N 1 S S"]]:
    """Return an elastic distortion, across and down. Source: Simard et al. (2003)."""
    height, size = draw.uniform(0, 0.04), (flat.y.shape[2], flat.x.shape[3])
    return height * draw.noise((5, 5), size), height * draw.noise((5, 5), size)


def _bend(
    places: Places,
    shoes: Bool[Tensor, "N"],
    skirts: Bool[Tensor, "N"],
    odd: Bool[Tensor, "N"],
    draw: Draw,
) -> Places:
    """Turn, widen, mirror, shear and taper, and look from a little above or beside."""
    shoes, skirts, odd = (each.view(-1, 1, 1, 1) for each in (shoes, skirts, odd))
    angle = torch.where(shoes, draw.uniform(-math.pi / 2, math.pi / 2), draw.normal(0.1))
    narrow = torch.exp(draw.uniform(-0.4, 0.05)) * torch.where(odd, draw.uniform(0.5, 1), 1.0)
    turned = places.turned(angle)
    x = draw.sign() * narrow * (turned.x + draw.uniform(-0.1, 0.1) * places.y)
    depth = 1 + 0.08 * (draw.uniform(-1, 1) * turned.y + draw.uniform(-0.5, 0.5) * x)
    x, y = x * depth, turned.y * depth
    taper = torch.where(skirts, draw.uniform(-0.5, 0.1), draw.uniform(-0.15, 0.15))
    return Places(x * (1 + taper * y), y)


def _spread_sleeves(
    garment: Float[Tensor, "N 2 H W"],
    box: Box,
    sleeved: Bool[Tensor, "N"],
    places: Places,
    draw: Draw,
) -> Float[Tensor, "N 2 S S"]:
    """Turn long sleeves that hang beside the torso outwards, about the shoulders."""
    here = Places.of(_size(garment))
    middle, half = box.middle[0], box.width / 2
    across = (here.x - middle) / half.clamp_min(0.05)
    spread = sleeved.view(-1, 1, 1, 1) & draw.chance(0.8) & _hang_down(garment, box, across)
    angle = torch.where(draw.chance(0.25), 0.0, draw.uniform(math.radians(-8), SPREAD))
    which = spread.flatten()
    torso, sleeves = torch.ones_like(across), []
    for side in (-1, 1):
        seam = _seam(garment, side * across, draw)
        sleeve = (spread & (side * across > seam)).float()
        torso = torso - sleeve
        turn = side * (angle + draw.normal(0.15))
        shoulder = middle + side * half * 0.475 * (1 + seam), box.top + 0.16 * box.height
        about = (each[which] for each in (turn, *shoulder))
        sleeves.append(places.chosen(which).turned_about(*about).take((garment * sleeve)[which]))
    seen = places.take(garment * torso)
    for sleeve in sleeves:
        seen[which] = over(seen[which], sleeve)
    return seen


def _hang_down(
    garment: Float[Tensor, "N 2 H W"], box: Box, across: Float[Tensor, "N 1 1 W"]
) -> Bool[Tensor, "N 1 1 1"]:
    """Say of which the outermost columns reach far down."""
    y = Places.of(_size(garment)).y
    low = (y > box.top + 0.55 * box.height) & (y < box.top + 0.85 * box.height)
    outer = (low & (across.abs() > 0.72)).float()
    covered = (garment[:, 1:] * outer).sum((1, 2, 3), keepdim=True)
    return covered > 0.45 * outer.sum((1, 2, 3), keepdim=True).clamp_min(1)


def _seam(
    garment: Float[Tensor, "N 2 H W"], outwards: Float[Tensor, "N 1 1 W"], draw: Draw
) -> Float[Tensor, "N 1 1 1"]:
    """Return where a sleeve begins, 0 in the middle to 1: the darkest column of the lower half."""
    columns = garment[:, :1, 3 * garment.shape[2] // 7 :].sum(2, keepdim=True)
    columns = columns + 0.5 * torch.rand(columns.shape, generator=draw.generator)
    is_candidate = (outwards > 0.4) & (outwards < 0.8)
    darkest = columns.masked_fill(~is_candidate, math.inf).argmin(3, keepdim=True)
    return outwards.expand_as(columns).gather(3, darkest)


def _stride(
    garment: Float[Tensor, "N 2 H W"], box: Box, places: Places, draw: Draw
) -> Float[Tensor, "N 2 S S"]:
    """Spread legs about the waist."""
    here = Places.of(_size(garment))
    middle, hip = box.middle[0], box.top + 0.2 * box.height
    angle = draw.uniform(math.radians(-2), STRIDE)
    legs = [
        places.turned_about(side * angle, middle, hip).take(
            garment * (side * (here.x - middle) >= -0.01)
        )
        for side in (-1, 1)
    ]
    return over(*legs)


def _misjudge(
    levels: Float[Tensor, "N 1 S S"], outline: Float[Tensor, "N 1 S S"], draw: Draw
) -> tuple[Float[Tensor, "N 1 S S"], Float[Tensor, "N 1 S S"]]:
    """Return what a program that cuts out might: ragged edges, parts missing, ground taken in."""
    size = _size(levels)
    ragged = outline + draw.uniform(0, 0.15) * draw.noise((14, 14), size)
    taken = (ragged > draw.uniform(0.35, 0.65)) & ~(
        (draw.noise((5, 5), size) > 1.3) & draw.chance(0.12)
    )
    near = dilate(taken, 4)
    ground = near & (draw.noise((5, 5), size) > 1.1) & draw.chance(0.12)
    shade = draw.uniform(0, 1) + 0.1 * draw.noise((7, 7), size)
    is_right = draw.chance(0.3)
    levels = torch.where(ground & ~taken & ~is_right, shade, levels)
    return levels, torch.where(is_right, outline > 0.5, taken | ground).float()


def _as_catalogue(
    levels: Float[Tensor, "N 1 S S"],
    outline: Float[Tensor, "N 1 S S"],
    size: tuple[int, int],
    draw: Draw,
) -> Float[Tensor, "N 1 H W"]:
    """Bring what was cut out to the size of the model, and its levels to their range.

    As `images.photographs.as_catalogue` does, but for the sharpness, which photographs differ in.
    """
    box = Box.of(outline)
    half = torch.maximum(box.width, box.height) / 2 * draw.uniform(1, 1.06)
    x, y = box.middle
    flat = Places.of(size)
    places = Places(x + half * flat.x, y + half * flat.y)
    cut = places.take(torch.cat([levels * outline, outline], dim=1))
    cover, levels = cut[:, 1:], cut[:, :1] / cut[:, 1:].clamp_min(0.05)
    soft = _blur(levels * cover) / _blur(cover).clamp_min(0.05)
    levels = levels + draw.uniform(-0.8, 3) * (levels - soft)
    levels = _relit(255 * levels, cover)
    levels = levels + draw.uniform(0, 10) * draw.grain(levels.shape)
    return (levels.clamp(DARKEST, 255) * cover).round()


def _blur(levels: Float[Tensor, "N 1 H W"]) -> Float[Tensor, "N 1 H W"]:
    kernel = torch.tensor([1.0, 2, 1]) / 4
    return F.conv2d(levels, (kernel[:, None] * kernel)[None, None], padding=1)


def _relit(
    levels: Float[Tensor, "N 1 H W"], cover: Float[Tensor, "N 1 H W"]
) -> Float[Tensor, "N 1 H W"]:
    """Bring the levels of what is covered to one range."""
    is_inside = cover.flatten(1) > 0.5
    ordered = levels.flatten(1).masked_fill(~is_inside, math.inf).sort(1).values
    last = is_inside.sum(1, keepdim=True).clamp_min(1) - 1
    low, high = (ordered.gather(1, (last * share).long()) for share in (TAIL, 1 - TAIL))
    low, high = low.view(-1, 1, 1, 1), high.view(-1, 1, 1, 1)
    stretch = (LEVELS[1] - LEVELS[0]) / (high - low).clamp_min(LEAST_CONTRAST)
    return LEVELS[0] + (levels - low) * stretch
