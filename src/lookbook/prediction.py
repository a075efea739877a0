"""Predict: a model + test pictures or picture files → classes with their percentages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookbook.builtin import BUILTIN
from lookbook.datasets import Dataset, load
from lookbook.errors import InputError
from lookbook.evaluation import load_part
from lookbook.model import Model
from lookbook.photos import fit_picture, match_polarity, read_picture
from lookbook.runs import Run

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8

TEST = "test:"
#: classes whose probabilities are all shown; of more, the ten most probable are
MOST_SHOWN = 20


@dataclass(frozen=True)
class Prediction:
    """What a model says about one picture."""

    #: `test:2000`, or the name of a file
    source: str
    #: what the model saw
    image: UInt8[np.ndarray, "H W *C"]
    probs: Float32[np.ndarray, "K"]
    classes: tuple[str, ...]
    #: the true class, where it is known
    truth: int | None = None
    #: the picture was inverted to match what the model learnt from
    inverted: bool = False
    #: how strange the picture is to the model, about 1 for those it learnt from
    novelty: float = 0.0
    #: stranger than nearly all validation pictures: perhaps none of the classes
    strange: bool = False
    #: less sure than an answer should be, of those that were asked for
    unsure: bool = False
    #: classes of the set that was asked for, the likeliest first
    likely: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        return f"Prediction({self.source!r}, {self.name!r}, {self.confidence:.4f})"

    @property
    def label(self) -> int:
        """Number of the most probable class."""
        return int(self.probs.argmax())

    @property
    def name(self) -> str:
        """Name of the most probable class."""
        return self.classes[self.label]

    @property
    def confidence(self) -> float:
        """Probability of the most probable class, 0 to 1."""
        return float(self.probs[self.label])

    @property
    def right(self) -> bool | None:
        """Whether the prediction is the true class; None where that is not known."""
        return None if self.truth is None else self.label == self.truth

    def shown_classes(self) -> list[int]:
        """Return the classes to show: all in their order, or the ten most probable of many."""
        if len(self.classes) <= MOST_SHOWN:
            return list(range(len(self.classes)))
        return [int(k) for k in np.argsort(-self.probs, kind="stable")[:10]]


@dataclass(frozen=True)
class Thresholds:
    """From where on a prediction says more than its probabilities; None: it does not."""

    #: a smaller probability of the most probable class is "not sure"
    sure: float | None = None
    #: classes of at least that probability are likely
    likely: float | None = None
    #: a greater novelty is strange
    strange: float | None = None

    @classmethod
    def of(cls, model: Model, coverage: float | None = None, sets: float | None = None) -> Self:
        """Return the thresholds that the model's validation pictures set: see `predict`."""
        for name, share in (("coverage", coverage), ("sets", sets)):
            if share is not None and not 0 < share <= 1:
                raise InputError(f"{name} is a share above 0 and up to 1, got {share}")
        kept = model.calibration
        if kept is None and (coverage or sets):
            raise InputError(
                "this model had too few validation pictures to set a threshold by: it takes 50; "
                "leave --coverage and --sets out, or train with more pictures"
            )
        if kept is None:
            return cls()
        return cls(
            None if coverage is None else kept.sure_from(coverage),
            None if sets is None else kept.likely_from(sets),
            kept.strange_from,
        )


def predict(
    source: Run | Model,
    inputs: list[str],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> list[Prediction]:
    """Predict test pictures (`test:2000`) and picture files.

    Parameters
    ----------
    source
        A run, or a model file alone, which knows the test pictures of built-in datasets only.
    inputs
        Names of test pictures and of files.
    coverage
        Share of pictures that are to get an answer, 0 to 1: the least sure others are "not sure".
    sets
        Probability, 0 to 1, with which the set of likely classes is to hold the right one.

    Raises
    ------
    InputError
        An index is out of range, a file is no picture, or the model has no thresholds.
    DamagedFileError
        The run's model is not what was written.
    """
    found, failures = predict_each(source, inputs, coverage=coverage, sets=sets)
    if failures:
        raise failures[0]
    return found


def predict_each(
    source: Run | Model,
    inputs: list[str],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> tuple[list[Prediction], list[InputError]]:
    """Predict as `predict` does, but answer what can be answered: predictions, and what failed."""
    model = open_model(source)
    thresholds = Thresholds.of(model, coverage, sets)
    test = _load_test(source) if any(is_test(name) for name in inputs) else None
    found, failures = [], []
    for name in inputs:
        try:
            if test is not None and is_test(name):
                found.append(predict_test(model, test, _index(name, len(test)), thresholds))
            else:
                found.append(predict_file(model, Path(name), thresholds))
        except InputError as error:
            failures.append(error)
    return found, failures


def open_model(source: Run | Model) -> Model:
    """Return the model of a run, after a look at its hash, or the model itself."""
    if isinstance(source, Model):
        return source
    source.check_files()
    return Model.open(source.model)


def _load_test(source: Run | Model) -> Dataset:
    """Return the test part of what a model was trained on."""
    if isinstance(source, Run):
        return load_part(source, "test")
    data = source.about["data"]
    # a folder of one's own may have a built-in's name
    if not data.get("builtin"):
        raise InputError(
            "a model file alone does not say where its test pictures are; name the run instead, or "
            "picture files"
        )
    height, width, *channels = source.input_shape
    return load(data["name"], "test", size=(height, width), channels=3 if channels else 1)


def predict_examples(run: Run) -> tuple[list[Prediction], list[Prediction]]:
    """Predict the test pictures that a run's figures show: its examples, and the first fifteen."""
    model = open_model(run)
    test = load_part(run, "test")
    chosen = choose_examples(run.conditions["data"]["name"], len(test)), range(min(15, len(test)))
    examples, first = ([predict_test(model, test, i) for i in indices] for indices in chosen)
    return examples, first


def choose_examples(data: str, n: int) -> list[int]:
    """Choose the test pictures that stand for all `n`: a built-in dataset names its own.

    >>> choose_examples("pictures/mine", 90)
    [0, 45]
    """
    named = BUILTIN[data].examples if data in BUILTIN else ()
    return [index for index in named if index < n] or [0, n // 2]


def is_test(name: str) -> bool:
    """Say whether an input names a test picture."""
    return name.startswith(TEST)


def predict_test(
    model: Model, test: Dataset, index: int, thresholds: Thresholds | None = None
) -> Prediction:
    """Predict one picture of the test part."""
    source, image, truth = f"{TEST}{index}", test.images[index], int(test.labels[index])
    return _say(model, source, image, thresholds, truth=truth)


def predict_file(model: Model, path: Path, thresholds: Thresholds | None = None) -> Prediction:
    """Predict one picture file, brought to the model's size, colour and polarity."""
    if len(model.input_shape) == 1:
        raise InputError(
            f"this model takes rows of {model.input_shape[0]} features and no pictures: use "
            "lookbook.Model.open(FILE).predict(rows)"
        )
    height, width, *channels = model.input_shape
    image = fit_picture(read_picture(path), (height, width), colour=bool(channels))
    inverted = False
    if not channels:
        image, inverted = match_polarity(image, model.polarity)
    return _say(model, str(path), image, thresholds, inverted=inverted)


def _say(
    model: Model,
    source: str,
    image: UInt8[np.ndarray, "H W *C"],
    thresholds: Thresholds | None,
    **known: Any,
) -> Prediction:
    """Say what a model makes of one picture."""
    found = model.predict(image[None])
    probs, novelty = found.probs[0], float(found.novelty[0])
    given = thresholds or Thresholds.of(model)
    likely = None
    if given.likely is not None:
        order = np.argsort(-probs, kind="stable")
        likely = tuple(int(k) for k in order if probs[k] >= given.likely)
    return Prediction(
        source,
        image,
        probs,
        model.classes,
        novelty=novelty,
        strange=given.strange is not None and novelty > given.strange,
        unsure=given.sure is not None and float(probs.max()) < given.sure,
        likely=likely,
        **known,
    )


def _index(name: str, n: int) -> int:
    number = name.removeprefix(TEST)
    # ASCII alone, and not longer than Python reads
    counts = number.isascii() and number.isdigit() and len(number) < 20
    if not counts or int(number) >= n:
        raise InputError(
            f"no test picture {number!r}: the test part has {n:,}; expected test:0 to test:{n - 1}"
        )
    return int(number)
