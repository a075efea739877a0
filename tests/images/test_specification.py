"""The steps from an image file to what a model takes, as data with a version."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from PIL import Image

from lookbook.images import preprocessing
from lookbook.images.specification import (
    VERSIONS,
    Preprocessing,
    UnknownVersionError,
    check_version,
)

#: level of a whole image → what it counts as
POLARITIES = {63: "light on dark", 64: "mixed", 191: "mixed", 192: "dark on light"}
GREY = Preprocessing((12, 10), 1, "light on dark")


def test_the_steps_as_a_model_file_holds_them():
    """Whoever changes a value here gives it another version: older programs refuse it then."""
    assert VERSIONS == (1, 2)
    assert GREY.to_json() == {
        "size": [12, 10],
        "channels": 1,
        "polarity": "light on dark",
        "version": 1,
        "orientation": "exif",
        "depth": "upper 8 bits",
        "background": "contrasting",
        "first_step": 16,
        "padding": "border median",
        "resampling": "bilinear",
        "grounds": [64, 191],
    }


def test_steps_that_cut_out_are_the_second_version():
    steps = Preprocessing.of((12, 10), "light on dark", photographs=True)
    assert steps.to_json() == GREY.to_json() | {"version": 2, "segmentation": "grabcut"}
    assert msgspec.convert(steps.to_json(), Preprocessing) == steps
    for other in ({"version": 1}, {"channels": 3}, {"polarity": "mixed"}, {"segmentation": "sam"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(steps.to_json() | other, Preprocessing)


@pytest.mark.parametrize(
    "steps", [GREY, Preprocessing((8, 224), 3, "mixed"), Preprocessing((8, 9), 1, "dark on light")]
)
def test_steps_are_read_as_they_were_written(steps):
    assert msgspec.convert(steps.to_json(), Preprocessing) == steps


def test_features_are_not_prepared():
    assert Preprocessing.of((5,), "mixed") is None
    assert Preprocessing.of((12, 10), "light on dark") == GREY
    assert Preprocessing.of((12, 10, 3), "mixed").colour


@pytest.mark.parametrize("version", [0, 3, 17])
def test_steps_of_another_version_are_refused(version):
    document = GREY.to_json() | {"version": version, "padding": "none"}
    with pytest.raises(UnknownVersionError) as caught:
        check_version(document)
    assert caught.value.version == version
    with pytest.raises(ValueError, match="version"):
        msgspec.convert(
            {"size": [12, 10], "channels": 1, "polarity": "mixed", "version": version},
            Preprocessing,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "1"},
        {"resampling": "nearest"},
        {"padding": None},
        {"first_step": 8},
        {"grounds": [0, 255]},
        {"channels": 4},
        {"size": [12]},
        {"polarity": "dark"},
    ],
)
def test_values_that_version_1_does_not_have_are_refused(wrong):
    with pytest.raises(ValueError, match=re.escape(f"$.{next(iter(wrong))}")):
        msgspec.convert(GREY.to_json() | wrong, Preprocessing)


def test_the_numbers_are_those_that_images_are_prepared_by():
    """Border medians at each end of the two grounds, and the sizes where averaging begins."""
    for level, expected in (
        (63, "light on dark"),
        (64, "mixed"),
        (191, "mixed"),
        (192, "dark on light"),
    ):
        assert preprocessing.find_polarity(np.full((1, 8, 8), level, np.uint8)) == expected
    assert GREY.grounds == (64, 191)
    for times, by in ((2, 2), (1.9, 1)):
        side = int(8 * times * GREY.first_step)
        noise = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
        image = Image.fromarray(noise)
        expected = image.reduce(by).resize((8, 8), Image.Resampling.BILINEAR)
        found = preprocessing.fit_image(image, (8, 8), colour=False)
        np.testing.assert_array_equal(found, np.asarray(expected))
