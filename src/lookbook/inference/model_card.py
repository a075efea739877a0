"""What a model file says of itself: the JSON in its metadata, as a typed object."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from lookbook.core.document import Document
from lookbook.errors import DamagedFileError
from lookbook.images.specification import Polarity, Preprocessing, check_version
from lookbook.inference.thresholds import CalibrationSet, PhotographCalibration
from lookbook.recipes import NamedRecipe
from lookbook.runs.backbone_schema import FrozenBackbone
from lookbook.runs.ranges import Number
from lookbook.runs.schema import Validation


class Data(Struct, frozen=True):
    """The data that it was trained on: the last part of its name, where that is a path."""

    name: str
    builtin: bool = False
    train_sha256: str = ""


class Views(Struct, frozen=True):
    """The views in which an image is looked at, where one leaves the network unsure."""

    mirror: bool
    shift: int
    #: probability up to which all views count, and from which on their share falls to 0
    sure: float
    ramp: float


class ModelCard(Document, Struct, frozen=True, kw_only=True):
    """What a model file says of itself; it may hold more, which `Model.about` has."""

    #: names, in the order of the probabilities
    classes: list[str]
    #: whether the images it learnt from show light things on dark ground, or the reverse
    polarity: Polarity
    temperature: Number
    #: where training balanced classes: what the temperature is multiplied by in answers with each
    caution: list[Number] | UnsetType = UNSET
    #: None where there were too few validation images
    calibration: CalibrationSet | None
    #: what is written is the whole `Recipe`
    recipe: NamedRecipe
    validation: Validation | None
    #: why it is not to be relied on: see `metrics.weaknesses`
    weaknesses: list[str] = []
    data: Data
    licence: str
    #: the version that wrote the file
    lookbook: str
    #: how an image file becomes what it takes; None where it takes rows of features
    preprocessing: Preprocessing | None = None
    #: (H, W), (H, W, 3), or (D,) for rows of features
    input_shape: Annotated[tuple[Annotated[int, Meta(gt=0)], ...], Meta(min_length=1, max_length=3)]
    input_dtype: Literal["uint8", "float32"]
    views: Views | None
    #: of a model that cuts out what photographs show: how sure its answers to these are
    photographs: PhotographCalibration | UnsetType | None = UNSET
    #: of its weights and arithmetic, where it was quantized
    bits: Literal[8] | UnsetType = UNSET
    #: a user's network that is part of it, and how that takes pixels; its licence is its own
    backbone: FrozenBackbone | UnsetType = UNSET

    def __post_init__(self) -> None:
        shape = self.input_shape
        right = (
            shape[2:] in {(), (3,)},
            self.input_dtype == ("float32" if len(shape) == 1 else "uint8"),
            math.isfinite(self.temperature),
            self.caution is UNSET or len(self.caution) == len(self.classes),
            self.preprocessing
            == Preprocessing.of(shape, self.polarity, photographs=self.cuts_out_photographs),
            self.cuts_out_photographs or self.photographs is UNSET,
        )
        if not all(right):
            raise ValueError("what it says of itself does not hold")

    @property
    def cuts_out_photographs(self) -> bool:
        """Whether what lies in the middle of photographs is cut out before it answers."""
        return self.preprocessing is not None and self.preprocessing.cuts_out

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Return what a document says; one of a file before `preprocessing` means its version 1.

        Raises
        ------
        DamagedFileError
            It lacks something that every model file tells.
        UnknownVersionError
            Images are to be prepared by steps of a version that is not known here.
        ValueError
            A value is none that a model file has.
        """
        needed = {each.name for each in msgspec.structs.fields(cls) if each.required}
        if lacking := sorted(needed - set(document)):
            raise DamagedFileError(
                f"it does not tell its {lacking[0]}, as another version may have written it"
            )
        check_version(document.get("preprocessing"))
        steps = document.get("preprocessing")
        if steps is None:
            steps = Preprocessing.of(tuple(document["input_shape"]), document["polarity"])
        return msgspec.convert(document | {"preprocessing": steps}, cls)
