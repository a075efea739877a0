"""Images and labels that come as arrays: checks, and what to do with others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.names import few
from lookbook.errors import InputError
from lookbook.images.specification import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Int64, Shaped, UInt8

#: fewest and most classes
CLASSES = (2, 200)
#: level of 255 below which images are as good as black, whatever they show
NEARLY_BLACK = 16


def as_images(
    images: Shaped[np.ndarray, "N H W *C"], shape: tuple[int, ...] | None = None
) -> UInt8[np.ndarray, "N H W *C"]:
    """Return images of bytes; a last axis of one channel, which says grey, is dropped.

    >>> as_images(np.zeros((2, 28, 28, 1), np.uint8)).shape
    (2, 28, 28)

    Parameters
    ----------
    images
        The array, or enough of it to say what it is.
    shape
        The shape of all of it.

    Raises
    ------
    InputError
        It holds no bytes, or has another shape than images have.
    """
    images, shape = np.asarray(images), shape or np.shape(images)
    squeezed = without_grey_axis(images, shape)
    if images.dtype != np.uint8:
        raise InputError(
            f"images must be uint8 (0 to 255), got {images.dtype} of shape {shape}"
            f"{advise_on_levels(images, 'images')}"
        )
    return squeezed


def without_grey_axis(
    images: Shaped[np.ndarray, "N H W *C"], shape: tuple[int, ...], name: str = "images"
) -> Shaped[np.ndarray, "N H W *C"]:
    """Return images of any numbers without a last axis of one channel, which says grey.

    Raises
    ------
    InputError
        They have another shape than images have.
    """
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise InputError(
            "images must have the shape (N, H, W), or (N, H, W, 3) in colour, got "
            f"{images.dtype} of shape {shape}{_advise_on_shape(shape, name)}"
        )
    return images


def advise_on_levels(images: Shaped[np.ndarray, "..."], name: str) -> str:
    """Say how numbers that are no bytes become levels of 0 to 255, by what they are.

    >>> advise_on_levels(np.array([-1.0, 1.0]), "X")
    " from -1 to 1; use ((X + 1) * 127.5).round().astype('uint8')"
    """
    if images.dtype.kind == "b":
        return f"; they are masks: use {name}.astype('uint8') * 255"
    if images.dtype.kind not in "iuf" or not images.size:
        return "; numbers are needed, one for each pixel and channel"
    low, high = images.min(), images.max()
    if not np.isfinite([low, high]).all():
        return "; they hold NaN or infinity: look for them with np.isfinite"
    floats = images.dtype.kind == "f"
    whole = not floats or bool((images == np.rint(images)).all())
    undo = "undo what normalised them, to levels of 0 to 255, then .astype('uint8')"
    ways = (
        (floats and low >= 0 and high <= 1, f"use ({name} * 255).round().astype('uint8')"),
        (floats and low >= -1 and high <= 1, f"use (({name} + 1) * 127.5).round().astype('uint8')"),
        (whole and low >= 0 and high <= 255, f"use {name}.astype('uint8')"),
        (low >= 0 and high <= 255, f"use {name}.round().astype('uint8')"),
        (whole and low >= 0 and high < 2**16, f"of 16 bits use ({name} // 256).astype('uint8')"),
    )
    return f" from {low:g} to {high:g}; {next((way for fits, way in ways if fits), undo)}"


def _advise_on_shape(shape: tuple[int, ...], name: str) -> str:
    side = math.isqrt(shape[-1]) if len(shape) == 2 else 0
    if side and side * side == shape[-1] and SIDES[0] <= side <= SIDES[1]:
        return f"; use {name}.reshape(-1, {side}, {side})"
    if len(shape) == 4 and shape[1] in (1, 3):
        return f"; channels come last: use numpy.moveaxis({name}, 1, -1)"
    if len(shape) == 4 and shape[3] in (2, 4):
        return f"; leave out transparency: use {name}[..., :{shape[3] - 1}]"
    return f"; one image alone is {name}[None]" if len(shape) == 2 else ""


def as_labels(
    labels: Shaped[np.ndarray, "N *one"], name: str = "labels", shape: tuple[int, ...] | None = None
) -> Int64[np.ndarray, "N"]:
    """Return the numbers of classes: of shape (N,), or of (N, 1) as MedMNIST has them.

    >>> as_labels(np.array([[1], [0]], np.uint8))
    array([1, 0])

    Parameters
    ----------
    labels
        The array, or enough of it to say what it is.
    name
        What a message calls them.
    shape
        The shape of all of it.

    Raises
    ------
    InputError
        They are no whole numbers, one for each image.
    """
    labels, shape = np.asarray(labels), shape or np.shape(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"{name} must be whole numbers of shape (N,), the classes' numbers from 0, got "
            f"{labels.dtype} of shape {shape}{_advise_on_labels(labels)}"
        )
    return labels.astype(np.int64)


def _advise_on_labels(labels: Shaped[np.ndarray, "N *K"]) -> str:
    if labels.dtype.kind in "SUO":
        return "; of names use: classes, labels = numpy.unique(names, return_inverse=True)"
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2) or not labels.size:
        return ""
    floats = labels.dtype.kind == "f"
    if labels.ndim == 1:
        odd = labels[labels != np.rint(labels)] if floats else labels[:0]
        return f"; {odd[0]:g} is no class" if len(odd) else "; use labels.astype('int64')"
    marks = np.count_nonzero(labels, axis=1)
    if (marks == 1).all():
        return "; of a column for each class use labels.argmax(axis=1)"
    if floats and np.allclose(labels.sum(axis=1), 1, atol=0.01):
        return "; of probabilities labels.argmax(axis=1) is the likeliest class"
    row = int(np.flatnonzero(marks != 1)[0])
    return (
        f"; row {row} marks {marks[row]} classes: an image has one class here, so choose one for "
        "each image, or leave it out"
    )


def dim_levels(images: Shaped[np.ndarray, "N H W *C"]) -> str | None:
    """Say of images that they are as good as black, all of them, and what may have been done.

    >>> dim_levels(np.ones((2, 8, 8), np.uint8))
    'all images are nearly black, no level is above 1 of 255; ...'
    """
    high = int(images.max(initial=0))
    if high >= NEARLY_BLACK:
        return None
    likely = (
        "if they were divided by 255 before they became bytes, leave that out; masks of 0 and 1 "
        "need images * 255"
        if high <= 1
        else "if they had more than 8 bits, bring them to 0 to 255 first"
    )
    return f"all images are nearly black, no level is above {high} of 255; {likely}"


def numbered(labels: Int64[np.ndarray, "N"]) -> tuple[str, ...]:
    """Name classes after their numbers."""
    if labels.min(initial=0) < 0:
        raise InputError(
            f"labels must be in 0.., got {labels.min()} at index {labels.argmin()}; "
            "number the classes from 0"
        )
    highest = int(labels.max(initial=0))
    if highest >= CLASSES[1]:
        raise InputError(
            f"labels must be in 0..{CLASSES[1] - 1}, got {highest} at index {labels.argmax()}; "
            "number the classes from 0"
        )
    return tuple(str(number) for number in range(highest + 1))


def unknown_classes(
    data: str | Path, strangers: Sequence[str], classes: Sequence[str]
) -> InputError:
    """Return the error for classes that a model does not know."""
    return InputError(
        f"{data} has classes that the model does not know: {few(strangers)}; it knows "
        f"{few(classes)}; give them the same names, or take them out"
    )
