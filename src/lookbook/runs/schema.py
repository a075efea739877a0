"""Schema of a run's documents: type and range of every value, greatest sizes.

Here stands what is read, and nothing that training could not have written. Keys that are not named
may be there, too: they are kept as they are, but for their depth.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

# 5 ms to import; pydantic took 34 ms, which every `lookbook runs` would wait for
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from lookbook.core.document import Document

Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Seconds = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Some = Annotated[int, Meta(ge=1, le=2**53)]
Side = Annotated[int, Meta(ge=8, le=224)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
#: a path, or the name of built-in data
Place = Annotated[str, Meta(min_length=1, max_length=4096, pattern="^[^\x00]+$")]
Classes = Annotated[list[str], Meta(min_length=2, max_length=200)]


class Recipe(Struct):
    """Fields of `lookbook.recipes.Recipe`."""

    name: str
    epochs: Positive
    widths: Annotated[list[Annotated[int, Meta(ge=1, le=2**16)]], Meta(max_length=100)]
    network: Literal["dense", "conv"] = "dense"
    fine: bool = False
    scaling: Literal["min-max", "components", "whitening"] = "min-max"
    optimizer: Literal["adam", "muon"] = "adam"
    learning_rate: Number = 0.0
    schedule: Literal["constant", "linear"] = "constant"
    batch_size: Some = 1
    hardest: Share = 1.0
    label_smoothing: Share = 0.0
    mirror: bool = False
    shift: Count = 0
    distort: Seconds = 0.0
    half: bool = False


class KnownRecipe(Recipe, forbid_unknown_fields=True):
    """A recipe that is to be trained by: what is not known cannot be obeyed."""


class EpochRecord(Struct, frozen=True):
    """One epoch of `history.json`, or the part of one that was done."""

    epoch: Some
    images: Some = field(name="pictures")
    images_per_epoch: Some = field(name="pictures_per_epoch")
    loss: Number
    accuracy: Share
    val_loss: Number | None
    val_accuracy: Share | None
    seconds: Seconds
    learning_rate: Number = 0.0


class Validation(Document, Struct, frozen=True, kw_only=True):
    """What the validation part shows."""

    accuracy: Share
    #: its 95 % interval
    interval: tuple[Share, Share]
    loss: Number
    calibration_error: Share
    #: the accuracy of always answering the commonest class
    commonest_share: Share = 0.0
    n: Some
    #: which network
    of: str


class Metrics(Struct):
    """`metrics.json`."""

    fit_seconds: Seconds
    calibration_seconds: Seconds
    validation: Validation | None
    temperature: Positive
    parameters: Count
    training_pictures: Some
    stopped: bool
    epochs: Seconds = 1.0
    weaknesses: Annotated[
        list[Literal["under_one_epoch", "not_above_commonest"]], Meta(max_length=2)
    ] = []


class Data(Struct):
    """Which data it was, and how to load it again."""

    name: Place
    size: tuple[Side, Side]
    channels: Literal[1, 3]
    from_files: bool
    classes: Classes
    train_pictures: Some
    train_sha256: Digest
    validation_sha256: Digest | None = None
    measured_on: str | None = None
    polarity: Literal["light on dark", "dark on light", "mixed"] = "mixed"
    split: int | str | None = None
    corrections: list[tuple[Count, Count]] = []

    def __post_init__(self) -> None:
        n, k = self.train_pictures, len(self.classes)
        if any(index >= n or label >= k for index, label in self.corrections):
            raise ValueError("it corrects images or classes that are not there")


class Machine(Struct):
    """Where it was trained."""

    processor: str
    cores: Some
    accelerator: str | None
    system: str


class Conditions(Struct):
    """`conditions.json`."""

    started: str
    data: Data
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    final: bool
    threads: Some
    machine: Machine
    versions: dict[str, str]
    seconds: dict[str, Seconds]
    sha256: dict[str, Digest]


class ClassScore(Document, Struct, frozen=True, kw_only=True):
    """How good the answers about one class are."""

    name: str = field(name="class")
    precision: Share
    recall: Share
    f1: Share
    n: Count


class Confused(Document, Struct, frozen=True, kw_only=True):
    """Two classes that are taken for each other."""

    pair: tuple[str, str]
    count: Count
    first_as_second: Count
    second_as_first: Count


class ThresholdScores(Document, Struct, frozen=True, kw_only=True):
    """What thresholds of the validation part do on the test part; each aims at `coverage`."""

    coverage: Share
    #: share of the images that get an answer where it may be "not sure"
    answered: Share
    #: share of these that is right; 0 where there are none
    right: Share
    #: share of the sets of likely classes that hold the truth
    held: Share
    #: classes in such a set, on average
    set_size: Seconds
    #: share that counts as none of the classes
    refused: Share


class Mistake(Document, Struct, frozen=True, kw_only=True):
    """A test image that is answered wrongly."""

    index: Count
    file: str | None
    true: str
    predicted: str
    confidence: Share
    of_true: Share


class Measured(Document, Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was evaluated, and how; earlier versions lack what has a default."""

    run: str
    recipe: str
    data: str
    part: str = ""
    test_sha256: Digest
    images_sha256: Digest | None = None
    labels_sha256: Digest | None = None
    seed: int
    seconds: Seconds


class Scores(Document, Struct, frozen=True, kw_only=True):
    """What probabilities are worth, by labels.

    Earlier versions lack what has a default: see `evaluation.metrics.baseline`.
    """

    accuracy: Share
    #: its 95 % interval
    interval: tuple[Share, Share]
    #: the class that has most images, and the accuracy of always answering it
    commonest: str = ""
    commonest_share: Share = 0.0
    #: whether the accuracy is clearly above that
    above_commonest: bool = False
    balanced_accuracy: Share = 0.0
    #: of the calibrated probabilities
    loss: Number
    n: Some
    #: expected calibration error, 15 bins; and that of probabilities that are exactly true
    ece: Share
    ece_by_chance: Share
    #: true class by predicted class
    confusion_matrix: list[list[Count]]
    per_class: list[ClassScore]
    most_confused: list[Confused]
    classes: Classes

    def __post_init__(self) -> None:
        k = len(self.classes)
        if {len(row) for row in self.confusion_matrix} != {k} or len(self.confusion_matrix) != k:
            raise ValueError(f"the confusion matrix of {k} classes must be {k}×{k}")
        if [one.name for one in self.per_class] != self.classes:
            raise ValueError("per_class must name the classes, in their order")
        counts = [sum(row) for row in self.confusion_matrix]
        if counts != [one.n for one in self.per_class] or sum(counts) != self.n:
            raise ValueError("the confusion matrix must count the images of each class")
        named = {name for one in self.most_confused for name in one.pair} | {self.commonest}
        if not named <= {*self.classes, ""}:
            raise ValueError("it names classes that are none of them")


class Evaluation(Scores, frozen=True, kw_only=True):
    """`evaluation.json`: what a run's model does on the test part."""

    #: those whose true class the model held least likely; earlier versions did not name them
    largest_losses: list[Mistake] | UnsetType = UNSET
    uncalibrated_loss: Number
    #: None where too few validation images set any
    thresholds: ThresholdScores | None
    conditions: Measured

    @property
    def on_validation(self) -> bool:
        """Whether the data had no test part, so that its validation part was measured on."""
        return self.conditions.part == "validation"


class OwnResult(Document, Struct, frozen=True, kw_only=True):
    """What a run's own evaluation found, to stand beside another."""

    accuracy: Share
    interval: tuple[Share, Share]
    n: Some
    part: str


class ExternalEvaluation(Evaluation, frozen=True, kw_only=True):
    """What a run's model does on other data than its own, beside its own result."""

    #: None where it was not evaluated yet
    own: OwnResult | None


class Request(Struct):
    """`request.json`: what `train` was asked for."""

    data: Place
    recipe: KnownRecipe
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    size: Side | None
    final: bool
    fit_seconds: Positive | None
    train_sha256: Digest
    versions: dict[str, str]
    sha256: Digest
    corrections: list[tuple[Count, Count]] = []
    processor: str = ""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1


class Demo(Struct):
    """`demo.json`: how long each step took."""

    seconds: dict[str, Seconds]


class Counted(Struct):
    """What a checkpoint counted."""

    seconds: Seconds
    steps_done: Some
    sums: tuple[Number, Count, Count]
    history: list[EpochRecord]


Flat = dict[str, Number | int | str | bool | None]
#: levels that a document may have: more would break what prints or writes it
MOST_LEVELS = 10


@dataclass(frozen=True)
class Form:
    """What a document must hold, what it is handed on as, and how many bytes it may take."""

    needed: Any
    whole: Any = dict[str, Any]
    most_bytes: int = 8_000_000


#: name of a document → its form
FORMS = {
    "recipe": Form(Recipe),
    # an entry an epoch, and there may be a million
    "history": Form(Annotated[list[EpochRecord], Meta(min_length=1)], list[Flat], 500_000_000),
    "metrics": Form(Metrics),
    "conditions": Form(Conditions),
    "evaluation": Form(Evaluation, Evaluation),
    "request": Form(Request),
    "demo": Form(Demo),
    "counted": Form(Counted, Counted),
}


def decode(name: str, content: bytes) -> Any:
    """Return the document of that name: its object where it has one, or lists and dictionaries.

    >>> decode("demo", b'{"seconds": {"fetch": 1.5}, "more": [1]}')
    {'seconds': {'fetch': 1.5}, 'more': [1]}

    Raises
    ------
    ValueError
        It is no JSON, or not of its form; the message says where.
    """
    form = FORMS[name]
    try:
        # first what is needed: of another form, nothing large is made
        msgspec.json.decode(content, type=form.needed)
        document = msgspec.json.decode(content, type=form.whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.DecodeError as error:
        # a value may be of any length; where it stands is said at the end
        said = str(error)
        raise ValueError(said if len(said) < 200 else f"{said[:100]} … {said[-80:]}") from error
    plain = msgspec.json.decode(content) if isinstance(document, Document) else document
    if isinstance(plain, dict) and not _is_shallow(plain, MOST_LEVELS):
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    return document


def _is_shallow(document: Any, levels: int) -> bool:
    """Say whether lists and objects in lists and objects are no more than so many levels."""
    if not isinstance(document, dict | list):
        return True
    inside = document.values() if isinstance(document, dict) else document
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inside)
