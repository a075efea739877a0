"""Made photographs, of which is known what they show."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

#: what stands out from what, in sRGB
COLOURS = {
    "dark on light": ((30, 40, 70), (225, 220, 210)),
    "light on dark": ((235, 230, 225), (60, 50, 45)),
    "red on green": ((190, 50, 50), (80, 140, 80)),
    "grey on wood": ((120, 120, 125), (165, 120, 75)),
}


def made(
    thing: tuple[int, ...], ground: tuple[int, ...], size: tuple[int, int] = (72, 96), *, seed=0
) -> tuple[np.ndarray, np.ndarray]:
    """A T of one colour on ground of another, both with grain and uneven light; and its mask."""
    width, height = size
    mask = Image.new("1", size)
    draw = ImageDraw.Draw(mask)
    draw.rectangle((0.32 * width, 0.2 * height, 0.68 * width, 0.85 * height), fill=1)
    draw.rectangle((0.15 * width, 0.2 * height, 0.85 * width, 0.4 * height), fill=1)
    image = Image.new("RGB", size, ground)
    image.paste(thing, mask=mask.convert("L"))
    image = image.filter(ImageFilter.GaussianBlur(0.6))
    rng = np.random.default_rng(seed)
    light = np.linspace(-20, 20, width)[None, :, None] + rng.normal(0, 6, (height, width, 3))
    return np.clip(np.asarray(image) + light, 0, 255).astype(np.uint8), np.asarray(mask)
