"""A photograph of a T-shirt on a wooden floor, rendered: python -m models.clothing.garment FILE.

It is the README's example, for the project has no photographs of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

#: pixels on a side, and how many times as many it is drawn in
SIDE, FINER = 480, 2
#: half of the outline, from the middle of the neck down, in shares of the side; the other half is
#: its mirror image
OUTLINE = (
    (0.000, 0.225), (0.050, 0.220), (0.088, 0.198), (0.112, 0.170), (0.190, 0.190),
    (0.262, 0.232), (0.325, 0.318), (0.382, 0.420), (0.300, 0.472), (0.232, 0.392),
    (0.224, 0.470), (0.226, 0.600), (0.232, 0.740), (0.240, 0.842), (0.120, 0.858),
    (0.000, 0.862),
)  # fmt: skip
FABRIC, WOOD = (58, 104, 134), (176, 132, 92)


def render(seed: int = 0) -> Image.Image:
    """Return the photograph; the same for the same seed."""
    rng = np.random.default_rng(seed)
    side = SIDE * FINER
    shape = _shape(side)
    floor, shirt = _floor(side, rng), _shirt(side, shape, rng)
    shadow = ImageChops.offset(shape, side // 90, side // 60)
    shadow = shadow.filter(ImageFilter.GaussianBlur(side / 90)).point(lambda level: level * 0.55)
    floor = Image.composite(Image.new("RGB", floor.size, (30, 18, 8)), floor, shadow)
    whole = Image.composite(shirt, floor, shape.filter(ImageFilter.GaussianBlur(1.2)))
    whole = whole.rotate(-7, Image.Resampling.BICUBIC, fillcolor=None)
    edge = round(0.085 * side)
    whole = whole.crop((edge, edge, side - edge, side - edge))
    return _photographed(whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS), rng)


def _shape(side: int) -> Image.Image:
    """Draw the outline, rounded."""
    half = [(0.5 + x, y) for x, y in OUTLINE]
    whole = [*half, *((1 - x, y) for x, y in reversed(half))]
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([(x * side, y * side) for x, y in whole], fill=255)
    # corners become round where a blurred mask is cut off at its middle
    return mask.filter(ImageFilter.GaussianBlur(side / 110)).point(
        lambda level: min(255, max(0, (level - 118) * 12))
    )


def _shirt(side: int, shape: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draw fabric that is creased, thicker at its edges, with a collar, seams and hems."""
    heights = _creases(side, rng)
    inside = np.asarray(shape.filter(ImageFilter.GaussianBlur(side / 70)), np.float32) / 255
    heights += 9 * inside
    down, right = np.gradient(heights)
    light = 1 - 1.2 * right - 1.5 * down
    weave = 1 + 0.03 * rng.standard_normal((side, side))
    fabric = np.array(FABRIC) * (light.clip(0.45, 1.6) * weave)[..., None]
    lines = _lines(side)
    fabric *= 1 - 0.3 * np.asarray(lines, np.float32)[..., None] / 255
    return Image.fromarray(fabric.clip(0, 255).astype(np.uint8))


def _creases(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return heights of fabric: long soft folds, and smaller ones across them."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    heights = np.zeros((side, side), np.float32)
    for scale, size in ((3, 3.2), (6, 1.5), (14, 0.35)):
        bent = _noise(side, 3, rng) * 0.06
        angle = rng.uniform(-0.5, 0.5)
        along = np.cos(angle) * columns + np.sin(angle) * rows + bent
        fades = 0.5 + 0.5 * _noise(side, 4, rng)
        heights += size * fades.clip(0, 1.4) * np.sin(scale * 2 * np.pi * along / 2)
        heights += 0.7 * size * _noise(side, 2 * scale, rng)
    return heights


def _noise(side: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise of so many cells on a side, of spread 1."""
    small = Image.fromarray(rng.standard_normal((cells + 3, cells + 3)).astype(np.float32))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def _lines(side: int) -> Image.Image:
    """Draw the collar, where sleeves are sewn on, and hems."""
    lines = Image.new("L", (side, side))
    draw = ImageDraw.Draw(lines)
    for mirror in (1, -1):

        def at(*points: tuple[float, float], mirror: int = mirror) -> list[tuple[float, float]]:
            return [((0.5 + mirror * x) * side, y * side) for x, y in points]

        draw.line(at((0, 0.252), (0.06, 0.245), (0.105, 0.218), (0.135, 0.178)), 255, side // 240)
        draw.line(at((0.262, 0.232), (0.238, 0.300), (0.232, 0.392)), 255, side // 240)
        draw.line(at((0.366, 0.412), (0.296, 0.456)), 255, side // 240)
        draw.line(at((0, 0.842), (0.12, 0.838), (0.237, 0.824)), 255, side // 240)
    return lines.filter(ImageFilter.GaussianBlur(side / 500))


def _floor(side: int, rng: np.random.Generator) -> Image.Image:
    """Draw planks with the grain of wood."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    grain = np.zeros((side, side))
    planks = 6
    number = np.floor(columns * planks).astype(int)
    for plank in range(planks):
        here = number == plank
        bent = rows * rng.uniform(1, 2) + 0.6 * _noise(side, 3, rng) * 0.2
        rings = np.sin(60 * (columns + 0.05 * np.sin(5 * bent + plank)) + 3 * bent)
        grain[here] = (rng.uniform(-0.09, 0.09) + 0.05 * rings)[here]
    fibres = np.repeat(rng.standard_normal((side // 16, side)), 16, axis=0)[:side]
    grain += 0.025 * fibres[:side]
    joint = np.abs(columns * planks - np.round(columns * planks)) < 0.012
    grain[joint & (np.round(columns * planks) > 0)] -= 0.45
    return Image.fromarray((np.array(WOOD) * (1 + grain[..., None])).clip(0, 255).astype(np.uint8))


def _photographed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light from the upper left, darker corners, a little noise."""
    pixels = np.asarray(image, np.float32)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    light = 1.08 - 0.16 * columns - 0.18 * rows - 0.35 * (rows**2 + columns**2)
    noisy = pixels * light[..., None] + rng.normal(0, 2.5, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    render().save(Path(sys.argv[1]), quality=92)
