"""Arrays as they come: taken as images and labels, or told what to do with them."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.data.array_checks import advise_on_levels, as_images, as_labels, dim_levels
from lookbook.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (3, 9, 8), dtype=np.uint8)


def test_images_are_taken_as_they_are_without_an_axis_that_says_grey():
    assert as_images(GREY) is GREY
    np.testing.assert_array_equal(as_images(GREY[..., None]), GREY)
    colour = np.stack([GREY] * 3, axis=-1)
    assert as_images(colour) is colour


UNDO = "undo what normalised them, to levels of 0 to 255, then .astype('uint8')"


@pytest.mark.parametrize(
    ("levels", "advice"),
    [
        (np.array([0.0, 0.5, 1.0]), " from 0 to 1; use (X * 255).round().astype('uint8')"),
        (np.array([-1.0, 1.0]), " from -1 to 1; use ((X + 1) * 127.5).round().astype('uint8')"),
        (np.array([0.0, 255.0]), " from 0 to 255; use X.astype('uint8')"),
        (np.array([0.0, 254.6]), " from 0 to 254.6; use X.round().astype('uint8')"),
        (np.array([0, 1]), " from 0 to 1; use X.astype('uint8')"),
        (np.array([7, 200], np.int16), " from 7 to 200; use X.astype('uint8')"),
        (
            np.array([0, 65535], np.uint16),
            " from 0 to 65535; of 16 bits use (X // 256).astype('uint8')",
        ),
        (np.array([-2.1, 2.6]), f" from -2.1 to 2.6; {UNDO}"),
        (np.array([-3, 255]), f" from -3 to 255; {UNDO}"),
        (np.array([True]), "; they are masks: use X.astype('uint8') * 255"),
        (np.array([0, np.nan]), "; they hold NaN or infinity: look for them with np.isfinite"),
        (np.array([-np.inf, 1]), "; they hold NaN or infinity: look for them with np.isfinite"),
        (np.array(["a"]), "; numbers are needed, one for each pixel and channel"),
        (np.zeros(0), "; numbers are needed, one for each pixel and channel"),
    ],
)
def test_what_to_do_with_levels_follows_from_what_they_are(levels, advice):
    assert advise_on_levels(levels, "X") == advice


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([-1.0, 0.0, 1.0]), [0, 128, 255]),
        (np.array([0, 128 * 256, 65535], np.uint16), [0, 128, 255]),
        (np.array([0.0, 254.6]), [0, 255]),
        (np.array([False, True]), [0, 255]),
    ],
)
def test_what_is_advised_gives_levels_of_0_to_255(levels, expected):
    advice = advise_on_levels(levels, "X").rpartition("use ")[2]
    found = eval(advice, {"X": levels})
    assert found.dtype == np.uint8
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 784), "; use images.reshape(-1, 28, 28)"),
        ((2, 3, 9, 8), "; channels come last: use numpy.moveaxis(images, 1, -1)"),
        ((2, 1, 9, 8), "; channels come last: use numpy.moveaxis(images, 1, -1)"),
        ((2, 9, 8, 4), "; leave out transparency: use images[..., :3]"),
        ((2, 9, 8, 2), "; leave out transparency: use images[..., :1]"),
        ((28, 30), "; one image alone is images[None]"),
        ((5,), ""),
    ],
)
def test_what_to_do_with_a_shape_that_images_do_not_have(shape, advice):
    with pytest.raises(InputError) as caught:
        as_images(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        "images must have the shape (N, H, W), or (N, H, W, 3) in colour, got uint8 of shape "
        f"{shape}{advice}"
    )


@pytest.mark.parametrize("kind", ["u1", "<i8", ">i2", "u8"])
def test_labels_may_have_an_axis_of_one(kind):
    labels = np.array([2, 0, 1], kind)
    for each in (labels, labels[:, None]):
        found = as_labels(each)
        assert found.dtype == np.int64
        assert found.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (
            np.array(["cat", "dog"]),
            "of names use: classes, labels = numpy.unique(names, return_inverse=True)",
        ),
        (np.array([1.0, 2.0]), "use labels.astype('int64')"),
        (np.array([True, False]), "use labels.astype('int64')"),
        (np.array([1.0, 0.5]), "0.5 is no class"),
        (np.array([1.0, np.nan]), "nan is no class"),
        (np.eye(3), "of a column for each class use labels.argmax(axis=1)"),
        (np.eye(3, dtype=int), "of a column for each class use labels.argmax(axis=1)"),
        (
            np.array([[0.1, 0.9], [0.5, 0.5]]),
            "of probabilities labels.argmax(axis=1) is the likeliest class",
        ),
        (
            np.array([[1, 0, 0], [1, 0, 1]]),
            "row 1 marks 2 classes: an image has one class here, so choose one for each image, "
            "or leave it out",
        ),
        (
            np.array([[1, 0, 0], [0, 0, 0]]),
            "row 1 marks 0 classes: an image has one class here, so choose one for each image, "
            "or leave it out",
        ),
    ],
)
def test_what_to_do_with_labels_follows_from_what_they_are(labels, advice):
    with pytest.raises(InputError) as caught:
        as_labels(labels)
    assert str(caught.value) == (
        "labels must be whole numbers of shape (N,), the classes' numbers from 0, got "
        f"{labels.dtype} of shape {labels.shape}; {advice}"
    )


@pytest.mark.parametrize(
    ("highest", "likely"),
    [
        (1, "if they were divided by 255 before they became bytes, leave that out; masks of 0 and "
            "1 need images * 255"),
        (15, "if they had more than 8 bits, bring them to 0 to 255 first"),
        (16, None),
    ],
)  # fmt: skip
def test_images_that_are_all_as_good_as_black_are_told(highest, likely):
    told = dim_levels(np.array([[[0, highest]]], np.uint8))
    assert told == (
        f"all images are nearly black, no level is above {highest} of 255; {likely}"
        if likely
        else None
    )
