"""Schema of a run's documents: type and range of every value, greatest sizes.

Here stands what is written and read, and nothing that training could not have written. Keys that
are not named may be there, too: they are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from lookbook import recipes
from lookbook.class_counts import are_uneven
from lookbook.core.document import Document
from lookbook.core.environment import Environment, Machine
from lookbook.images.specification import SIDES, Polarity
from lookbook.runs.backbone_schema import FrozenBackbone
from lookbook.runs.balance_schema import ClassBalance
from lookbook.runs.photograph_schema import PhotographEvaluation
from lookbook.runs.ranges import (
    Classes,
    Count,
    Digest,
    Number,
    Place,
    Positive,
    Seconds,
    Share,
    Side,
    Some,
)
from lookbook.runs.recipe_choice import RecipeChoice

#: why a trained network is not to be relied on: see `metrics.weaknesses`
Weakness = Literal["under_one_epoch", "not_above_commonest"]


class Recipe(Struct):
    """Ranges of what `recipe.json` holds: a `lookbook.recipes.Recipe`."""

    name: str
    epochs: Positive
    widths: Annotated[list[Annotated[int, Meta(ge=1, le=2**16)]], Meta(max_length=100)]
    network: Literal["dense", "conv", "efficientnet", "backbone"] = "dense"
    fine: bool = False
    scaling: Literal["min-max", "components", "whitening"] = "min-max"
    optimizer: Literal["adam", "muon", "relative"] = "adam"
    learning_rate: Number = 0.0
    schedule: Literal["constant", "linear"] = "constant"
    batch_size: Some = 1
    hardest: Share = 1.0
    label_smoothing: Share = 0.0
    mirror: bool = False
    shift: Count = 0
    crop: Share = 0.0
    distort: Seconds = 0.0
    photographs: Share = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    half: bool = False


class KnownRecipe(Recipe, forbid_unknown_fields=True):
    """A recipe that is to be trained by: what is not known cannot be obeyed."""


class EpochRecord(Document, Struct, frozen=True):
    """One epoch of `history.json`, or the part of one that was done."""

    epoch: Some
    images: Some = field(name="pictures")
    images_per_epoch: Some = field(name="pictures_per_epoch")
    loss: Number
    accuracy: Share
    val_loss: Number | None
    val_accuracy: Share | None
    seconds: Seconds
    #: at the end of the epoch; None: an earlier version did not keep it
    learning_rate: Number | None = None


#: which networks answered where there are few images: see `training.cross_validation`
CROSS_VALIDATED = "networks of a cross-validation, each trained without the images it answered"


class Validation(Document, Struct, frozen=True, kw_only=True):
    """How good answers to images are that training did not see: the validation part, mostly."""

    accuracy: Share
    #: its 95 % interval
    interval: tuple[Share, Share]
    loss: Number
    calibration_error: Share
    #: the accuracy of always answering the commonest class; 0: an earlier version did not say
    commonest_share: Share = 0.0
    #: whether the largest class has more than 1.5 times the images of the smallest, and what each
    #: class counts the same for; None: an earlier version did not say
    uneven: bool = False
    balanced_accuracy: Share | None = None
    macro_f1: Share | None = None
    n: Some
    #: which network it is that answered
    of: str

    @property
    def cross_validated(self) -> bool:
        """Whether these are out-of-fold answers to what the model learnt from."""
        return self.of == CROSS_VALIDATED


class Metrics(Document, Struct, frozen=True, kw_only=True):
    """`metrics.json`."""

    fit_seconds: Seconds
    #: with the fits of a twin, or of a cross-validation, where there were any
    calibration_seconds: Seconds
    #: None where no image was held back, or the training was stopped too early
    validation: Validation | None
    #: passes over the images that were made; 1: an earlier version did not say
    epochs: Seconds = 1.0
    weaknesses: Annotated[list[Weakness], Meta(max_length=2)] = []
    temperature: Positive
    parameters: Count
    training_images: Some = field(name="training_pictures")
    #: it was ended before the recipe's end
    stopped: bool


class KeptTogether(Document, Struct, frozen=True, kw_only=True):
    """Which images a split did not part."""

    #: pattern or array that the user named; None: what images show alone
    by: str | None = None
    #: groups of more than one image among those that were split, and images in them
    groups: Count
    images: Count
    #: exact and near copies, by the numbers of images in all that was split
    copies: list[list[Count]] = []


class DataInfo(Document, Struct, frozen=True, kw_only=True):
    """Which data it was, and how to load it again from any folder."""

    name: Place
    #: height and width
    size: tuple[Side, Side]
    channels: Literal[1, 3]
    from_files: bool
    classes: Annotated[tuple[str, ...], Meta(min_length=2, max_length=200)]
    train_images: Some = field(name="train_pictures")
    train_sha256: Digest
    #: of a validation part that the data has of its own
    validation_sha256: Digest | None = None
    #: part that is evaluated; None: an earlier version did not say
    measured_on: str | None = None
    polarity: Polarity = "mixed"
    #: version of the rule that splits folders
    split: int | str | None = None
    #: (index, label) of images that a person gave another label
    corrections: list[tuple[Count, Count]] = []
    #: None: nothing is split here, or by an earlier version, which parted copies
    kept_together: KeptTogether | None = None

    @property
    def calibrated_apart(self) -> bool:
        """Whether the validation part is measured on, and others set percentages and thresholds.

        So it is with the bundled model: they are by images of its training part.
        """
        return self.measured_on == "validation" and self.validation_sha256 is None

    def __post_init__(self) -> None:
        n, k = self.train_images, len(self.classes)
        if any(index >= n or label >= k for index, label in self.corrections):
            raise ValueError("it corrects images or classes that are not there")


class Conditions(Document, Struct, frozen=True, kw_only=True):
    """`conditions.json`."""

    #: in UTC
    started: str
    data: DataInfo
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    #: the validation part was learnt from, too
    final: bool
    device: str = ""
    threads: Some
    #: how many shared the training, each on so many threads; unset: one
    processes: Some | UnsetType = UNSET
    machine: Machine
    versions: dict[str, str]
    #: None: an earlier version
    class_weights: ClassBalance | None = None
    #: unset: a recipe was named, images are grey, or an earlier version
    recipe_choice: RecipeChoice | UnsetType = UNSET
    #: each part of the training
    seconds: dict[str, Seconds]
    #: each file
    sha256: dict[str, Digest]

    @property
    def environment(self) -> Environment:
        """Where it was trained, and by which versions."""
        return Environment(machine=self.machine, versions=self.versions)


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
    macro_f1: Share = 0.0
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

    @property
    def uneven(self) -> bool:
        """Whether the largest class has more than 1.5 times the images of the smallest."""
        return are_uneven([one.n for one in self.per_class])

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


class CopiesInTest(Document, Struct, frozen=True, kw_only=True):
    """Test images that are copies of training images."""

    #: the same pixel by pixel, and nearly so
    exact: Count
    near: Count
    #: the accuracy on all other test images; None where there are none
    accuracy_without: Share | None


class Evaluation(Scores, frozen=True, kw_only=True):
    """`evaluation.json`: what a run's model does on the test part."""

    #: those whose true class the model held least likely; earlier versions did not name them
    largest_losses: list[Mistake] | UnsetType = UNSET
    uncalibrated_loss: Number
    #: None where too few validation images set any
    thresholds: ThresholdScores | None
    #: None: not looked for, as the test part was split off here or is a published one, or the
    #: training images are no longer those of the run; earlier versions did not look for them
    copies: CopiesInTest | UnsetType | None = UNSET
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


class Request(Struct, forbid_unknown_fields=True):
    """Ranges of what `request.json` holds: a `TrainConfig`, and its hash."""

    data: Place
    recipe: KnownRecipe
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    #: in the range of a `Side`: msgspec 0.22 takes `Side | tuple[Side, Side]`, and crashes
    size: int | tuple[int, int] | None
    final: bool
    fit_seconds: Positive | None
    train_sha256: Digest
    versions: dict[str, str]
    sha256: Digest
    validation_sha256: Digest | None = None
    split: int | str | None = None
    corrections: list[tuple[Count, Count]] = []
    kept_together: KeptTogether | None = None
    processor: str = ""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    processes: Annotated[int, Meta(ge=2, le=65536)] = 2
    recipe_choice: RecipeChoice | None = None
    backbone: FrozenBackbone | None = None

    def __post_init__(self) -> None:
        sides = self.size if isinstance(self.size, tuple) else (self.size,)
        for side in sides:
            if side is not None and not SIDES[0] <= side <= SIDES[1]:
                raise ValueError(f"`size` must be {SIDES[0]} to {SIDES[1]} pixels, got {side}")


class Demo(Document, Struct, frozen=True):
    """`demo.json`: how long each step took."""

    seconds: dict[str, Seconds]


class Counted(Struct):
    """What a checkpoint counted."""

    seconds: Seconds
    steps_done: Some
    sums: tuple[Number, Count, Count]
    history: list[EpochRecord]


@dataclass(frozen=True)
class Form:
    """What a document must hold, what it is handed on as, and how many bytes it may take."""

    needed: Any
    #: None: as what it must hold
    whole: Any = None
    most_bytes: int = 8_000_000


#: name of a document → its form
FORMS = {
    "recipe": Form(Recipe, recipes.Recipe),
    # an entry an epoch, and there may be a million
    "history": Form(Annotated[list[EpochRecord], Meta(min_length=1)], most_bytes=500_000_000),
    "metrics": Form(Metrics),
    "conditions": Form(Conditions),
    "evaluation": Form(Evaluation),
    "photographs": Form(PhotographEvaluation),
    "request": Form(Request, dict[str, Any]),
    "demo": Form(Demo),
    "counted": Form(Counted),
}


def decode(name: str, content: bytes) -> Any:
    """Return the document of that name, as its form says.

    >>> decode("demo", b'{"seconds": {"fetch": 1.5}, "more": [1]}')
    Demo(seconds={'fetch': 1.5})

    Raises
    ------
    ValueError
        It is no JSON, or not of its form; the message says where.
    """
    form = FORMS[name]
    try:
        document = msgspec.json.decode(content, type=form.needed)
        return document if form.whole is None else msgspec.json.decode(content, type=form.whole)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except msgspec.DecodeError as error:
        # a value may be of any length; where it stands is said at the end
        said = str(error)
        raise ValueError(said if len(said) < 200 else f"{said[:100]} … {said[-80:]}") from error
