"""Describe how an image file becomes what a model takes: versioned data, kept in the model file."""

from __future__ import annotations

from typing import Literal, Self

from msgspec import UNSET, Struct, UnsetType, structs

from lookbook.core.document import Document

#: versions of the steps that `photographs`, `web/photo.js` and a bundle's `picture.py` take: the
#: second one cuts out what lies in the middle of a photograph
VERSIONS = (1, 2)
#: smallest and largest side of an image that a model takes, in pixels
SIDES = (8, 288)
#: largest side that files of one size keep where none is asked for: a pass takes time by pixels
KEPT = 224
#: an image that is n times larger is first averaged over squares of n // 16 pixels
FIRST_STEP: Literal[16] = 16
#: medians of a border below the first show dark ground, beyond the second light ground
DARK: Literal[64] = 64
LIGHT: Literal[191] = 191

Polarity = Literal["light on dark", "dark on light", "mixed"]


class UnknownVersionError(ValueError):
    """Images are to be prepared by steps that are not known here."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


class Preprocessing(Document, Struct, frozen=True):
    """What is done to an image before a model takes it, in the order of the steps.

    Another step, or another value of one that has a single one here, is another `version`.
    """

    #: height and width
    size: tuple[int, int]
    #: 1: grey, ITU-R 601-2; 3: RGB
    channels: Literal[1, 3]
    #: grey images of the other polarity are inverted, last of all
    polarity: Polarity
    version: Literal[1, 2] = 1
    #: turned as its camera says
    orientation: Literal["exif"] = "exif"
    #: of 16-bit grey the upper 8 bits
    depth: Literal["upper 8 bits"] = "upper 8 bits"
    #: transparency is laid on white, or on black where what can be seen is light
    background: Literal["contrasting"] = "contrasting"
    #: one that is n times larger is averaged over squares of n // 16 pixels
    first_step: Literal[16] = FIRST_STEP
    #: to the proportions of `size`, nothing cut off
    padding: Literal["border median"] = "border median"
    #: a triangle, which widens where the image shrinks
    resampling: Literal["bilinear"] = "bilinear"
    #: medians of a border below and beyond which ground is dark and light
    grounds: tuple[Literal[64], Literal[191]] = (DARK, LIGHT)
    #: an image of another size than `size` is a photograph: what lies in its middle is cut out
    segmentation: Literal["grabcut"] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.version == 2) != self.cuts_out:
            raise ValueError("version 2 cuts out, and no other does")
        if self.cuts_out and (self.channels, self.polarity) != (1, "light on dark"):
            raise ValueError("what is cut out becomes light on dark, in grey")

    @classmethod
    def of(
        cls, shape: tuple[int, ...], polarity: Polarity, *, photographs: bool = False
    ) -> Self | None:
        """Return the steps for images of that shape, or None for rows of features.

        With `photographs`, those that cut out what lies in the middle.

        >>> Preprocessing.of((28, 20, 3), "mixed").channels
        3
        """
        if len(shape) == 1:
            return None
        steps = cls((shape[0], shape[1]), 3 if shape[2:] else 1, polarity)
        if not photographs:
            return steps
        return structs.replace(steps, version=2, segmentation="grabcut")

    @property
    def cuts_out(self) -> bool:
        """Whether what lies in the middle of photographs is cut out."""
        return self.segmentation is not UNSET

    @property
    def colour(self) -> bool:
        """Whether images are in colour."""
        return self.channels == 3


def check_version(document: object) -> None:
    """Refuse steps of another version; what tells none is not of another one.

    >>> check_version({"version": 1}), check_version(None)
    (None, None)

    Raises
    ------
    UnknownVersionError
        They are of another version.
    """
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version not in VERSIONS:
        raise UnknownVersionError(version)
