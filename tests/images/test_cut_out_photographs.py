"""Photographs as a model takes them: cut out, in grey, light on black."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookbook.images import photographs
from lookbook.images.photographs import READ_FOR, prepare, read_for
from lookbook.images.specification import Preprocessing

STEPS = Preprocessing.of((28, 28), "light on dark", photographs=True)


def photograph(
    size: tuple[int, int] = (300, 400), thing="navy", ground="white", box=(0.3, 0.2, 0.7, 0.8)
) -> Image.Image:
    """A rectangle on plain ground; its box in shares of width and height."""
    image = Image.new("RGB", size, ground)
    ends = [round(share * side) for share, side in zip(box, 2 * size, strict=True)]
    image.paste(thing, ends)
    return image


def test_what_was_cut_out_is_as_large_as_fits_in_the_middle():
    image, inverted, cutout = prepare(photograph(), STEPS)
    rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
    # 120 × 240 of the photograph
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 27, 7, 20)
    assert inverted
    assert max(cutout.photograph.shape) == 192
    assert cutout.photograph.shape[:2] == cutout.mask.shape == (192, 144)
    assert cutout.mask.mean() == pytest.approx(0.24, abs=0.02)


@pytest.mark.parametrize("size", [(28, 28), (28, 20), (20, 28), (64, 64), (8, 8)])
def test_any_size_is_filled(size):
    steps = Preprocessing.of(size, "light on dark", photographs=True)
    image = prepare(photograph(), steps).image
    assert image.shape == size
    assert image.any(1).all() or image.any(0).all()


@pytest.mark.parametrize(("thing", "ground"), [("navy", "white"), ("white", "navy")])
def test_the_ground_is_black_whichever_is_lighter(thing, ground):
    image = prepare(photograph(thing=thing, ground=ground), STEPS).image
    assert (image[:, :6] == 0).all()
    assert (image[2:-2, 9:-9] >= 20).all()


def test_an_image_of_the_size_of_the_model_is_taken_as_it_is():
    pixels = np.zeros((28, 28), np.uint8)
    pixels[5:20, 8:20] = np.arange(12) * 20
    for given in (Image.fromarray(pixels), Image.fromarray(pixels).convert("RGB")):
        image, inverted, cutout = prepare(given, STEPS)
        np.testing.assert_array_equal(image, pixels)
        assert (inverted, cutout) == (False, None)
    image, inverted, _ = prepare(Image.fromarray(255 - pixels), STEPS)
    np.testing.assert_array_equal(image, pixels)
    assert inverted


def test_levels_inside_are_brought_to_one_range():
    """Bright and dark prints of one pattern come out alike; faint folds stay faint."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 2, (24, 12)).repeat(10, 0).repeat(10, 1)
    found = []
    for low, high in ((40, 120), (20, 150)):
        image = photograph()
        levels = np.where(pattern, high, low).astype(np.uint8)
        image.paste(Image.merge("RGB", [Image.fromarray(levels)] * 3), (90, 80))
        found.append(prepare(image, STEPS).image.astype(int))
    assert np.abs(found[0] - found[1]).mean() < 6
    flat = prepare(photograph(), STEPS).image[4:-4, 10:-10]
    assert np.ptp(flat.astype(int)) < 10


def test_files_are_read_in_colour_and_small_enough(tmp_path):
    photograph((1600, 1200)).save(tmp_path / "large.jpg")
    turned = photograph((800, 600))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    large = read_for(tmp_path / "large.jpg", STEPS)
    assert large.mode == "RGB"
    assert 16 * READ_FOR[0] <= max(large.size) < 1600
    width, height = read_for(tmp_path / "turned.jpg", STEPS).size
    assert height / width == pytest.approx(8 / 6)
    plain = Preprocessing.of((28, 28), "light on dark")
    assert read_for(tmp_path / "large.jpg", plain).mode == "L"


@pytest.mark.parametrize("size", [(1600, 1200), (900, 767), (385, 700)])
def test_a_file_and_its_image_are_prepared_alike(tmp_path, size):
    image = photograph(size)
    noise = np.random.default_rng(0).integers(0, 40, (*size[::-1], 3), np.uint8)
    Image.fromarray(np.asarray(image) // 2 + noise).save(tmp_path / "photograph.png")
    file, own = (
        prepare(given, STEPS)
        for given in (
            read_for(tmp_path / "photograph.png", STEPS),
            Image.open(tmp_path / "photograph.png"),
        )
    )
    np.testing.assert_array_equal(own.cutout.photograph, file.cutout.photograph)
    np.testing.assert_array_equal(own.image, file.image)


def test_grey_is_that_of_pillow():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    expected = np.asarray(ImageOps.grayscale(image))
    np.testing.assert_array_equal(photographs._luma(np.asarray(image)), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 3), (192, 192), (5000, 40)])
def test_any_proportions_are_prepared(size):
    prepared = prepare(Image.new("RGB", size, "teal"), STEPS)
    assert prepared.image.shape == (28, 28)
    assert prepared.cutout.is_whole
