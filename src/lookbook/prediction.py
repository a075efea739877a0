"""Predict: a run's model + test pictures or picture files → classes with their percentages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.builtin import BUILTIN
from lookbook.datasets import Dataset
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


def predict(run: Run, inputs: list[str]) -> list[Prediction]:
    """Predict test pictures (`test:2000`) and picture files.

    Raises
    ------
    InputError
        An index is out of range, or a file is no picture.
    DamagedFileError
        The run's model is not what was written.
    """
    found, failures = predict_each(run, inputs)
    if failures:
        raise failures[0]
    return found


def predict_each(run: Run, inputs: list[str]) -> tuple[list[Prediction], list[InputError]]:
    """Predict as `predict` does, but answer what can be answered: predictions, and what failed."""
    run.check_files()
    model = Model.open(run.model)
    test = load_part(run, "test") if any(is_test(name) for name in inputs) else None
    found, failures = [], []
    for name in inputs:
        try:
            if test is not None and is_test(name):
                found.append(predict_test(model, test, _index(name, len(test))))
            else:
                found.append(predict_file(model, Path(name)))
        except InputError as error:
            failures.append(error)
    return found, failures


def predict_examples(run: Run) -> tuple[list[Prediction], list[Prediction]]:
    """Predict the test pictures that a run's figures show: its examples, and the first fifteen."""
    run.check_files()
    model = Model.open(run.model)
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


def predict_test(model: Model, test: Dataset, index: int) -> Prediction:
    """Predict one picture of the test part."""
    _, probs = model.predict(test.images[index : index + 1])
    truth = int(test.labels[index])
    return Prediction(f"{TEST}{index}", test.images[index], probs[0], model.classes, truth)


def predict_file(model: Model, path: Path) -> Prediction:
    """Predict one picture file, brought to the model's size, colour and polarity."""
    height, width, *channels = model.input_shape
    image = fit_picture(read_picture(path), (height, width), colour=bool(channels))
    inverted = False
    if not channels:
        image, inverted = match_polarity(image, model.polarity)
    _, probs = model.predict(image[None])
    return Prediction(str(path), image, probs[0], model.classes, inverted=inverted)


def _index(name: str, n: int) -> int:
    number = name.removeprefix(TEST)
    # ASCII alone, and not longer than Python reads
    counts = number.isascii() and number.isdigit() and len(number) < 20
    if not counts or int(number) >= n:
        raise InputError(
            f"no test picture {number!r}: the test part has {n:,}; expected test:0 to test:{n - 1}"
        )
    return int(number)
