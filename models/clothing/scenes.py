"""Scenes without clothes, rendered: rooms, landscapes, streets, still lifes, surfaces."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

#: width and height
SIZE = (320, 240)
Colour = tuple[int, int, int]
Random = np.random.Generator


def render(n: int, seed: int = 0) -> list[Image.Image]:
    """Return so many scenes, of all kinds in turn; the same for the same seed."""
    rng = np.random.default_rng(seed)
    kinds: tuple[Callable[[Random], Image.Image], ...] = (
        *(_room, _landscape, _street, _still_life, _surface),
    )
    return [_photographed(kinds[i % len(kinds)](rng), rng) for i in range(n)]


def _photographed(image: Image.Image, rng: Random) -> Image.Image:
    """Blur a little, light from one side, and add noise, as a camera does."""
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))
    pixels = np.asarray(image, dtype=np.float32)
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * math.pi)
    light = math.cos(angle) * (columns / width - 0.5) + math.sin(angle) * (rows / height - 0.5)
    lit = pixels * (1 + rng.uniform(0, 0.6) * light[..., None])
    noisy = lit + rng.normal(0, rng.uniform(1, 8), pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _colour(rng: Random, low: int = 20, high: int = 235) -> Colour:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def _near(colour: Colour, by: int) -> Colour:
    red, green, blue = (max(0, min(255, each + by)) for each in colour)
    return red, green, blue


def _sloped(top: Colour, bottom: Colour) -> Image.Image:
    """Return an image whose colour changes from top to bottom."""
    share = np.linspace(0, 1, SIZE[1])[:, None, None]
    pixels = (1 - share) * np.array(top) + share * np.array(bottom)
    return Image.fromarray(np.repeat(pixels, SIZE[0], axis=1).astype(np.uint8))


def _room(rng: Random) -> Image.Image:
    """Draw a wall, a floor, a window, a picture, a table and a lamp."""
    width, height = SIZE
    wall, floor, wood = _colour(rng, 90), _colour(rng), _colour(rng)
    image = _sloped(wall, _near(wall, -20))
    draw = ImageDraw.Draw(image)
    skirting = int(height * rng.uniform(0.55, 0.75))
    draw.rectangle((0, skirting, width, height), fill=floor)
    for x in range(-width, 2 * width, int(rng.integers(20, 60))):
        draw.line((x, height, (x + width) // 2, skirting), fill=_near(floor, -15))
    left, top = int(rng.integers(10, 160)), int(rng.integers(10, 50))
    draw.rectangle((left, top, left + 90, top + 80), fill=(200, 225, 250), outline=wood, width=6)
    draw.line((left + 45, top, left + 45, top + 80), fill=wood, width=4)
    x, y = int(rng.integers(40, 200)), skirting - int(rng.integers(0, 30))
    draw.polygon([(x, y), (x + 100, y), (x + 120, y + 20), (x - 20, y + 20)], fill=wood)
    for leg in (x - 15, x + 110):
        draw.rectangle((leg, y + 20, leg + 6, y + 80), fill=_near(wood, -30))
    draw.rectangle((x + 40, y - 30, x + 44, y), fill=(60, 60, 60))
    draw.polygon(
        [(x + 25, y - 30), (x + 60, y - 30), (x + 50, y - 55), (x + 35, y - 55)], _colour(rng)
    )
    return image


def _landscape(rng: Random) -> Image.Image:
    """Draw a sky, hills, trees and a sun."""
    width, height = SIZE
    image = _sloped((90, 150, int(rng.integers(200, 255))), (210, 225, 240))
    draw = ImageDraw.Draw(image)
    x, y = int(rng.integers(20, 300)), int(rng.integers(15, 60))
    draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill=(255, 240, 180))
    for layer in range(3):
        base, shade = height * (0.45 + 0.17 * layer), (50 + 30 * layer, 110 + 15 * layer, 60)
        phase, waves = rng.uniform(0, 6), rng.uniform(1, 4)
        ridge = [
            (x, base + 22 * math.sin(phase + waves * x / width * 2 * math.pi))
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, height), *ridge, (width, height)], fill=shade)
    for _ in range(int(rng.integers(2, 9))):
        x, y, size = (int(rng.integers(*ends)) for ends in ((0, width), (130, 220), (10, 35)))
        draw.rectangle((x - 2, y, x + 2, y + size), fill=(90, 60, 40))
        draw.ellipse(
            (x - size, y - 2 * size, x + size, y + 4), fill=(30, int(rng.integers(70, 140)), 40)
        )
    return image


def _street(rng: Random) -> Image.Image:
    """Draw houses with windows, a road and a car."""
    width, height = SIZE
    image = _sloped((150, 180, 220), (220, 225, 230))
    draw, x = ImageDraw.Draw(image), 0
    while x < width:
        wide, top, wall = int(rng.integers(40, 100)), int(rng.integers(20, 110)), _colour(rng, 60)
        draw.rectangle((x, top, x + wide, 185), fill=wall, outline=_near(wall, -40))
        pane = _colour(rng, 120, 255)
        for row in range(top + 10, 165, 28):
            for column in range(x + 8, x + wide - 12, 22):
                draw.rectangle((column, row, column + 11, row + 16), fill=pane)
        x += wide
    draw.rectangle((0, 185, width, height), fill=(90, 90, 95))
    for x in range(0, width, 40):
        draw.rectangle((x, 212, x + 20, 215), fill=(230, 230, 230))
    x, body = int(rng.integers(20, 220)), _colour(rng)
    draw.rounded_rectangle((x, 180, x + 90, 204), 8, fill=body)
    draw.polygon([(x + 15, 180), (x + 28, 163), (x + 64, 163), (x + 78, 180)], fill=_near(body, 30))
    for wheel in (x + 20, x + 70):
        draw.ellipse((wheel - 9, 196, wheel + 9, 214), fill=(25, 25, 25))
    return image


def _still_life(rng: Random) -> Image.Image:
    """Draw balls, boxes and cups on a table."""
    width, height = SIZE
    ground = _colour(rng, 60)
    image = _sloped(_near(ground, 40), ground)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 7))):
        x, y = int(rng.integers(30, width - 50)), int(rng.integers(60, height - 50))
        size, colour = int(rng.integers(15, 55)), _colour(rng)
        kind = int(rng.integers(3))
        draw.ellipse((x - size, y + size - 6, x + size + 12, y + size + 8), fill=_near(ground, -45))
        if kind == 0:
            for step in range(6):
                r = size * (1 - step / 7)
                lit = x - size * 0.06 * step, y - size * 0.06 * step
                box = (lit[0] - r, lit[1] - r, lit[0] + r, lit[1] + r)
                draw.ellipse(box, fill=_near(colour, 14 * step))
        elif kind == 1:
            draw.rectangle((x - size, y - size, x + size, y + size), fill=colour)
            side = [(x + size, y - size), (x + size + 15, y - size - 15)]
            side += [(x + size + 15, y + size - 15), (x + size, y + size)]
            draw.polygon(side, fill=_near(colour, -35))
        else:
            draw.rectangle((x - size // 2, y - size, x + size // 2, y + size), fill=colour)
            draw.ellipse(
                (x - size // 2, y - size - 8, x + size // 2, y - size + 8), _near(colour, 30)
            )
            handle = (x + size // 2 - 6, y - size // 2, x + size, y + size // 2)
            draw.arc(handle, -90, 90, fill=colour, width=6)
    return image


def _surface(rng: Random) -> Image.Image:
    """Draw bricks, tiles, or the grain of wood."""
    width, height = SIZE
    base, joint = _colour(rng, 60, 200), _colour(rng, 120, 230)
    image = Image.new("RGB", SIZE, joint)
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.4:
        rows, columns = np.mgrid[0:height, 0:width]
        rings = np.sin(columns / rng.uniform(4, 14) + 4 * np.sin(rows / rng.uniform(20, 80)))
        pixels = np.array(base) + 22 * rings[..., None]
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    wide, high, shifted = int(rng.integers(25, 70)), int(rng.integers(15, 45)), rng.random() < 0.6
    for number, y in enumerate(range(0, height, high)):
        for x in range(-wide * (number % 2) // 2 if shifted else 0, width, wide):
            shade = _near(base, int(rng.integers(-20, 20)))
            draw.rectangle((x + 1, y + 1, x + wide - 2, y + high - 2), fill=shade)
    return image
