"""Predictions for test images, image files and arrays: classes with their percentages."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from msgspec import UNSET, Struct, UnsetType, field

from lookbook.core.document import Document
from lookbook.core.names import text
from lookbook.data.dataset import Dataset
from lookbook.data.sources import load
from lookbook.errors import InputError
from lookbook.images.preprocessing import match_polarity
from lookbook.inference import tables
from lookbook.inference.inputs import TEST, Input, is_test, list_inputs
from lookbook.inference.model import Model, open_source
from lookbook.inference.predictor import Prediction, Predictor, Sample, Seen, only_answers
from lookbook.inference.thresholds import Verdict
from lookbook.runs.data_parts import load_as_given, load_part, polarity_of
from lookbook.runs.store import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from lookbook.images.specification import Polarity


def predict(
    source: Run | Model | str | Path | None,
    inputs: Input | Iterable[Input],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> list[Prediction]:
    """Predict test images (`test:2000`), image files, folders of them, and pixels.

    Parameters
    ----------
    source
        A run, its folder or its name in `runs/`; or a model or its file, which knows the test
        images of built-in datasets only; or None for the bundled model.
    inputs
        One or more: `test:NUMBER`, an image file, a folder, a PIL image, an array of one image
        or of several, in the shape that the model takes.
    coverage
        Share of images that are to get an answer, 0 to 1: the least sure others are "not sure";
        nine in ten where nothing else is asked for.
    sets
        Probability, 0 to 1, with which the set of likely classes is to hold the right one.

    Raises
    ------
    InputError
        An index is out of range, a file is no image, an array is none that the model takes, or
        the model has no thresholds.
    DamagedFileError
        The run's model is not what was written.
    """
    return only_answers(predict_each(source, list_inputs(inputs), coverage=coverage, sets=sets))


def predict_each(
    source: Run | Model | str | Path | None,
    inputs: Iterable[Input],
    *,
    coverage: float | None = None,
    sets: float | None = None,
) -> Generator[Prediction | InputError]:
    """Predict as `predict` does, batch by batch: of what cannot be answered it gives the error."""
    opened = open_source(source)
    predictor = Predictor(opened, coverage=coverage, sets=sets)
    return predictor.answer_each(_samples(predictor, opened, inputs))


def _samples(
    predictor: Predictor, opened: Run | Model, inputs: Iterable[Input]
) -> Iterator[Sample | InputError]:
    """Yield the images of all inputs, the test images among them; or why there are none."""
    test = None
    polarity = polarity_of(opened) if isinstance(opened, Run) else opened.polarity
    n = 0
    for are_tests, together in groupby(inputs, _is_test):
        given = list(together)
        n += len(given)
        if not are_tests:
            yield from predictor.read_each(given, n - len(given))
            continue
        for name in given:
            try:
                test = test or _load_test(opened)
                yield read_test(test, _index(str(name), len(test)), polarity)
            except InputError as error:
                error.source = str(name)
                yield error


def _is_test(given: Input) -> bool:
    return isinstance(given, str) and is_test(given)


def _load_test(source: Run | Model) -> Dataset:
    """Return the test part of what a model was trained on."""
    if isinstance(source, Run):
        return load_as_given(source, "test")
    data = source.card.data
    # a folder of one's own may have a built-in's name
    if not data.builtin:
        raise InputError(
            "a model file alone does not say where its test images are; name the run instead, or "
            "image files"
        )
    height, width, *channels = source.input_shape
    return load(data.name, "test", size=(height, width), channels=3 if channels else 1)


#: columns of a table of answers; without an answer all are empty but for the file and the error
COLUMNS: tables.Columns = {
    "file": str,
    "class": str,
    "probability": float,
    "second_class": str,
    "second_probability": float,
    "unsure": bool,
    "novel": bool,
    "error": str,
    "seen": str,
}


def write_table(answers: Iterable[Prediction | InputError], out: str | Path) -> Path:
    """Write answers as a table with a row each, in their order; its columns are `COLUMNS`.

    Parameters
    ----------
    answers
        What `predict` returned, or what `Predictor.predict_each` yields: then no more than a few
        are in memory, and an input without an answer is a row with its error.
    out
        The file: CSV (.csv), JSON lines (.jsonl) or Parquet (.parquet, which needs
        `lookbook[parquet]`). It is written whole, or not at all; only an earlier table is replaced.

    Raises
    ------
    InputError
        The ending is another one, or the file is there and is no such table.
    OutputError
        It cannot be written.
    """
    out = Path(out)
    with tables.open_table(out, COLUMNS) as table:
        for each in answers:
            table.add(row_of(each))
    return out


def check_table(out: Path, *, sets: float | None) -> None:
    """Refuse a place for a table before any work is done, and what it has no column for.

    Raises
    ------
    InputError
        As `write_table`.
    """
    if sets is not None:
        raise InputError(
            "a table has no column for the likely classes; leave `sets` out, or have them as JSON"
        )
    tables.check_table(out, COLUMNS)


def row_of(answer: Prediction | InputError) -> tables.Row:
    """Return what a table says of an input."""
    if isinstance(answer, InputError):
        return text(answer.source), None, None, None, None, None, None, text(str(answer)), None
    first, second = (int(k) for k in np.argsort(-answer.probs, kind="stable")[:2])
    return (
        text(answer.source),
        answer.classes[first],
        float(answer.probs[first]),
        answer.classes[second],
        float(answer.probs[second]),
        answer.unsure,
        answer.strange,
        None,
        answer.seen,
    )


def to_arrow(answers: Iterable[Prediction | InputError]) -> pa.Table:
    """Return answers as a table of Arrow, with a row each; its columns are `COLUMNS`.

    Raises
    ------
    InputError
        pyarrow is not installed.
    """
    rows = [row_of(each) for each in answers]
    cells = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return tables.to_arrow(COLUMNS, dict(zip(COLUMNS, cells, strict=True)))


class PredictionDocument(Document, Struct, frozen=True, kw_only=True):
    """A prediction, as `predict --json` prints it, and the server answers."""

    source: str = field(name="input")
    name: str = field(name="class")
    label: int
    confidence: float
    true_class: str | None
    right: bool | None
    probs: list[float]
    classes: tuple[str, ...]
    inverted: bool
    seen: Seen
    novelty: float
    verdict: Verdict
    strange: bool
    unsure: bool
    likely: list[str] | None
    #: of the bundled model alone
    model: Literal["bundled"] | UnsetType = UNSET

    @classmethod
    def of(cls, one: Prediction) -> Self:
        """Return what is printed of a prediction."""
        return cls(
            source=one.source,
            name=one.name,
            label=one.label,
            confidence=one.confidence,
            true_class=None if one.truth is None else one.classes[one.truth],
            right=one.right,
            probs=[float(p) for p in one.probs],
            classes=one.classes,
            inverted=one.inverted,
            seen=one.seen,
            novelty=one.novelty,
            verdict=one.verdict,
            strange=one.strange,
            unsure=one.unsure,
            likely=None if one.likely is None else [one.classes[k] for k in one.likely],
            model="bundled" if one.by_bundled else UNSET,
        )


def predict_examples(
    run: Run, test: Dataset | None = None
) -> tuple[list[Prediction], list[Prediction]]:
    """Predict the test images that a run's figures show: its examples, and the first fifteen."""
    predictor = Predictor(run)
    test = test or load_part(run, "test")
    chosen = choose_examples(run.source.examples, len(test)), range(min(15, len(test)))
    samples = ([read_test(test, index) for index in indices] for indices in chosen)
    examples, first = (only_answers(predictor.answer_each(each)) for each in samples)
    return examples, first


def choose_examples(named: tuple[int, ...], n: int) -> list[int]:
    """Choose the test images that stand for all `n`: those that its source names, if any.

    >>> choose_examples((), 90)
    [0, 45]
    """
    return [index for index in named if index < n] or [0, n // 2]


def read_test(test: Dataset, index: int, polarity: Polarity = "mixed") -> Sample:
    """Return one image of the test part, inverted where it is not of this polarity."""
    image, inverted = match_polarity(test.images[index], polarity)
    return Sample(f"{TEST}{index}", image, inverted, int(test.labels[index]))


def _index(name: str, n: int) -> int:
    number = name.removeprefix(TEST)
    # ASCII alone, and not longer than Python reads
    counts = number.isascii() and number.isdigit() and len(number) < 20
    if not counts or int(number) >= n:
        raise InputError(
            f"no test image {number!r}: the test part has {n:,}; expected test:0 to test:{n - 1}"
        )
    return int(number)
