"""Changes of images, against what NumPy does with one of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lookbook.training.steps.augmentation import affine, color_jitter, random_crop, translate

STILL = torch.full((1, 5), 0.5)


def made(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width), dtype=np.uint8)
    return torch.from_numpy(pixels)[None]


def with_chance(place, value):
    uniforms = STILL.clone()
    uniforms[0, place] = value
    return uniforms


@pytest.mark.parametrize("most", [1, 2])
def test_every_shift_comes_as_often(most):
    ways = 2 * most + 1
    uniforms = torch.cartesian_prod(*[torch.arange(0, 1, 0.01)] * 2)
    image = torch.zeros(1, 1, 9, 9, dtype=torch.uint8)
    image[0, 0, 4, 4] = 1
    found = translate(image.expand(len(uniforms), -1, -1, -1), uniforms, most).float().mean(0)[0]
    inside = found[4 - most : 5 + most, 4 - most : 5 + most]
    np.testing.assert_allclose(inside, np.full((ways, ways), 1 / ways**2), rtol=0.1)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("way", [0.0, 1.0])
def test_a_quarter_of_a_turn(way):
    image = made(9, 9)
    found = affine(image, with_chance(3, way), math.pi / 2 / 0.8)[0]
    turned = np.rot90(image[0].numpy(), k=1 if way else -1, axes=(1, 2))
    np.testing.assert_allclose(found, turned.astype(float), atol=0.01)


def test_half_a_turn_of_an_image_that_is_not_square():
    image = made(8, 13)
    found = affine(image, with_chance(3, 1.0), math.pi / 0.8)[0]
    np.testing.assert_allclose(found, image[0].flip(1, 2).float(), atol=0.01)


@pytest.mark.parametrize(("place", "axis"), [(0, 1), (1, 2)])
def test_a_move_by_one_pixel_mirrors_the_border(place, axis):
    image = made(12, 10)
    side = image.shape[1 + axis]
    found = affine(image, with_chance(place, 1.0), 5 / side)[0].numpy()
    moved = np.roll(image[0].numpy(), -1, axis).astype(float)
    last = [slice(None)] * 3
    last[axis] = -1
    moved[tuple(last)] = image[0].numpy()[tuple(last)]
    np.testing.assert_allclose(found, moved, atol=0.01)


def test_a_zoom_by_two_takes_every_second_pixel():
    height = width = 9
    rows = torch.arange(9.0)[None, None, :, None].expand(1, 1, height, width) * 10
    found = affine(rows, with_chance(2, 0.0), math.log(2))[0, 0, :, 4]
    np.testing.assert_allclose(found, 40 + (np.arange(9) - 4) * 5, atol=0.01)


def test_no_image_goes_further_than_the_strength_says():
    generator = torch.Generator().manual_seed(0)
    uniforms = torch.rand(200, 5, generator=generator)
    image = torch.zeros(200, 1, 41, 41)
    image[:, :, 18:23, 18:23] = 1.0
    found = affine(image, uniforms, 0.25)[:, 0]
    places = torch.arange(41.0) - 20
    weights = found.sum((1, 2))
    for axis in (1, 2):
        middle = (found.sum(3 - axis) * places).sum(1) / weights
        # a turn mixes both moves
        assert middle.abs().max() < 41 * 0.05 * math.sqrt(2) * math.exp(0.35)
    # the area shrinks or grows by the square of the zoom
    assert 25 * math.exp(-0.5) * 0.9 < weights.min() < 20
    assert 30 < weights.max() < 25 * math.exp(0.5) * 1.1


def test_light_changes_within_bounds_and_not_without_chance():
    images = made(9, 9).expand(300, -1, -1, -1)
    still = color_jitter(images, STILL.expand(300, -1), 0.25)
    np.testing.assert_allclose(still, images.float(), atol=1e-3)
    uniforms = torch.rand(300, 5, generator=torch.Generator().manual_seed(0))
    found = color_jitter(images, uniforms, 0.25)
    assert found.min() >= 0
    assert found.max() <= 255
    spread = found.std((1, 2, 3)) / images[0].float().std()
    assert math.exp(-0.45) < spread.min() < 0.9
    assert 1.1 < spread.max() < math.exp(0.45)


def test_more_contrast_keeps_the_mean_and_one_colour_leaves_the_others():
    image = (made(9, 9).float() / 4 + 90).byte()
    stronger = color_jitter(image, with_chance(0, 1.0), 0.25)
    assert stronger.mean() == pytest.approx(image.float().mean().item(), abs=0.01)
    factor = stronger.std() / image.float().std()
    assert factor.item() == pytest.approx(math.exp(0.3), rel=1e-4)
    redder = color_jitter(image, with_chance(2, 1.0), 0.25)[0] / image[0]
    np.testing.assert_allclose(redder[0], np.full((9, 9), math.exp(0.1)), rtol=1e-5)
    np.testing.assert_allclose(redder[1:], np.ones((2, 9, 9)), rtol=1e-5)


def test_a_crop_is_a_part_of_the_image_in_two_thirds_of_its_pixels():
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(72.0), indexing="ij")
    images = torch.stack([rows, columns])[None].expand(3, -1, -1, -1)
    uniforms = torch.full((3, 5), 0.5)
    # from the upper left, the middle and the lower right; all of it, or the least
    uniforms[:, :3] = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 1.0], [1.0, 1.0, 0.0]])
    cut = random_crop(images, uniforms, 0.5)
    assert cut.shape == (3, 2, 32, 48)
    least, most = cut.amin((2, 3)), cut.amax((2, 3))
    torch.testing.assert_close(least, torch.tensor([[0.0, 0], [0, 0], [24, 36]]), atol=0.5, rtol=0)
    torch.testing.assert_close(
        most, torch.tensor([[23.0, 35], [47, 71], [47, 71]]), atol=0.5, rtol=0
    )


def test_a_crop_turns_a_little_without_shear():
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(120.0), indexing="ij")
    images = torch.stack([rows, columns])[None]
    cut = random_crop(images, torch.tensor([[0.5, 0.5, 0.0, 1.0, 0.5]]), 0.6)[0]
    across, down = cut[:, 20, 41] - cut[:, 20, 39], cut[:, 21, 40] - cut[:, 19, 40]
    assert abs(float(across @ down)) < 1e-3 * float(across @ across)
    angle = math.atan2(float(across[0]), float(across[1]))
    assert abs(abs(angle) - 0.15) < 1e-3
