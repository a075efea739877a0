"""Corruptions do what they are called, at the levels that they name."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bright_rows import BrightRows
from lookbook.evaluation.robustness import LEVELS, corrupt, robustness_curves


@pytest.mark.parametrize("shape", [(28, 28), (14, 20), (16, 16, 3)])
@pytest.mark.parametrize(("kind", "levels"), LEVELS.items())
def test_every_change_begins_with_the_image_as_it_is(shape, kind, levels):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(corrupt(images, kind, levels[0]), images)
    changed = [corrupt(images, kind, level) for level in levels]
    assert all(one.shape == images.shape and one.dtype == np.uint8 for one in changed)
    distance = [np.abs(one.astype(int) - images).mean() for one in changed]
    assert min(distance[1:]) > 0
    np.testing.assert_array_equal(corrupt(images, kind, levels[-1]), changed[-1])  # no chance


@pytest.mark.parametrize(
    ("side", "expected"),
    [(8, [0, 1, 2]), (28, [0, 1, 2, 3, 4, 6, 8]), (56, [0, 2, 4, 6, 8, 12, 16])],
)
def test_shifts_are_of_as_many_pixels_as_they_say(side, expected):
    images = np.zeros((6, side, side), np.uint8)
    images[:, side // 2, side // 2] = 255
    looked_at = []

    class Watcher(BrightRows):
        def predict(self, images):
            looked_at.append(np.argwhere(images == 255)[:, 1:] - side // 2)
            return super().predict(images)

    curve = next(robustness_curves(Watcher(), images, np.ones(6, np.int64)))
    assert curve.levels == tuple(expected)
    assert [np.unique(np.abs(moved)).tolist() for moved in looked_at[: len(expected)]] == [
        [by] for by in expected
    ]


def test_changes_do_what_they_are_called():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10:18, 12:16] = 200
    down, right = ndimage.center_of_mass(corrupt(image, "shift", 3)[0])
    assert (abs(down - 13.5), abs(right - 13.5)) == (3, 3)
    np.testing.assert_array_equal(corrupt(image, "flip", 1), image[:, :, ::-1])
    np.testing.assert_array_equal(corrupt(image, "inverted", 1), 255 - image)
    turned = np.abs(
        corrupt(image, "rotation", 45)[0].astype(int)
        - ndimage.rotate(image[0], 45, reshape=False, order=1)
    )
    other = np.abs(
        corrupt(image, "rotation", 45)[0].astype(int)
        - ndimage.rotate(image[0], -45, reshape=False, order=1)
    )
    assert min(turned.mean(), other.mean()) < 1
    noise = corrupt(np.full((1, 99, 99), 128, np.uint8), "noise", 20).astype(int) - 128
    assert noise.std() == pytest.approx(20, abs=1)
    half = corrupt(image, "contrast", 0.4).astype(float)
    assert half.std() == pytest.approx(0.4 * image.std(), rel=0.01)
    blurred = corrupt(image, "blur", 2)[0].astype(float)
    np.testing.assert_allclose(
        blurred, ndimage.gaussian_filter(image[0].astype(float), 2), atol=0.51
    )
