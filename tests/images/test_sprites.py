"""Sprites: many images as one, and each comes back from its place."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lookbook.images import sprites


@pytest.mark.parametrize(
    ("shape", "kind", "levels"),
    [((30, 28, 28), "PNG", 256), ((2000, 28, 28), "PNG", 16), ((10, 100, 50), "PNG", 256)],
)
def test_grey_images_come_back_from_a_sprite(shape, kind, levels):
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (shape[0], 1, 1)) * np.linspace(0, 1, shape[1] * shape[2]).reshape(
        shape[1:]
    )
    images = small.astype(np.uint8)
    sprite = sprites.pack(images)
    sheet = Image.open(io.BytesIO(sprite.content))
    assert (sheet.format, sprite.levels) == (kind, levels)
    grid = np.asarray(sheet.convert("L"))
    height, width = sprite.side
    assert max(height, width) <= sprites.MOST_SIDE
    expected = sprites.shrink(images)
    for i in (0, 1, sprite.columns, shape[0] - 1):
        row, column = divmod(i, sprite.columns)
        part = grid[row * height : (row + 1) * height, column * width : (column + 1) * width]
        room = 0 if levels == 256 else 8
        assert np.abs(part.astype(int) - expected[i]).max() <= room
    assert base64.b64decode(sprite.address.split(",")[1]) == sprite.content


def test_images_of_noise_are_packed_too():
    """They take more bytes than any other, more than Pillow sets aside for an optimised file."""
    images = np.random.default_rng(0).integers(0, 256, (60, 64, 64, 3), np.uint8)
    sprite = sprites.pack(images)
    assert Image.open(io.BytesIO(sprite.content)).size[0] == sprite.columns * 64


def test_colours_stay_in_their_own_image():
    images = np.zeros((9, 16, 16, 3), np.uint8)
    images[4, ..., 0] = 255
    sprite = sprites.pack(images)
    grid = np.asarray(Image.open(io.BytesIO(sprite.content))).astype(int)
    assert sprite.media_type == "image/jpeg"
    assert np.abs(grid[16:32, 16:32] - (255, 0, 0)).max() < 12
    grid[16:32, 16:32] = 0
    assert grid.max() < 12
