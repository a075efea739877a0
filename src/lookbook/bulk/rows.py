"""Rows of a part: what a table says of its images, in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from lookbook.bulk.parts import ArrayPart, FilePart, Part
from lookbook.core.names import text
from lookbook.images.batch import read_batch
from lookbook.images.preprocessing import match_all
from lookbook.inference import tables
from lookbook.inference.prediction import COLUMNS, row_of
from lookbook.inference.predictor import samples_of

if TYPE_CHECKING:
    from jaxtyping import Float32

    from lookbook.errors import InputError
    from lookbook.inference.predictor import Predictor, Sample
    from lookbook.inference.tables import Cells

#: what hears how many images of a part are done
Tell = Callable[[int], None]


def answer_part(predictor: Predictor, part: Part, tell: Tell = lambda _: None) -> Cells:
    """Return what a table says of the images of a part: every engine makes its rows by this.

    Parameters
    ----------
    predictor
        For one thread (`Predictor.on_one_core`): only then are the rows, bit by bit, the same
        whatever process makes them.
    part
        One of `Source.parts`. Both can be pickled, and neither holds an image.
    tell
        It hears how many images of it are done.

    Returns
    -------
    Cells
        A column for each name in `prediction.COLUMNS`, in that order, with a cell for each image
        of the part, in its order: a list, or of what every image has an array (float64, bool).
        `None` are the cells of what has no answer, but for `file` and `error`. `to_arrow` makes a
        table of Arrow of it.

    Raises
    ------
    DamagedFileError
        A file of arrays is damaged; of image files the row says it.

    Notes
    -----
    What `predict` says as a note, of images that are too dark, is a `LookbookWarning`.
    """
    if isinstance(part, ArrayPart):
        return _answer_array(predictor, part, tell)
    return _answer_files(predictor, part, tell)


def to_arrow(cells: Cells) -> object:
    """Return rows as a `pyarrow.Table`, whose schema is that of a Parquet table of `predict`.

    Raises
    ------
    InputError
        pyarrow is not installed.
    """
    return tables.to_arrow(COLUMNS, cells)


# ---- image files: each takes so long that an object for it does not count ----


def _answer_files(predictor: Predictor, part: FilePart, tell: Tell) -> Cells:
    rows: list[tables.Row] = []
    for together in predictor.batch(_read(predictor, part)):
        rows += map(row_of, predictor.answer(together))
        tell(len(rows))
    return dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))


def _read(predictor: Predictor, part: FilePart) -> Iterator[Sample | InputError]:
    """Yield the images of files, or why there are none, as `Predictor.read_each` does."""
    size = predictor.batch_size
    for start in range(0, len(part), size):
        paths = part.paths[start : start + size]
        yield from samples_of(paths, read_batch(predictor.request(paths)))


# ---- arrays: no object for an image but its name ----


def _answer_array(predictor: Predictor, part: ArrayPart, tell: Tell) -> Cells:
    size, polarity = predictor.batch_size, predictor.model.polarity
    probs = np.empty((len(part), len(predictor.model.classes)), np.float32)
    novelties = np.empty(len(part), np.float32)
    for start in range(0, len(part), size):
        places = part.places[start : start + size]
        images, _ = match_all(predictor.model.validate(part.array.read(places)), polarity)
        _, probs[start : start + size], novelties[start : start + size] = predictor.outputs(images)
        tell(min(start + size, len(part)))
    return _to_cells(predictor, part, probs, novelties)


def _to_cells(
    predictor: Predictor,
    part: ArrayPart,
    probs: Float32[np.ndarray, "N K"],
    novelties: Float32[np.ndarray, "N"],
) -> Cells:
    """Say what there is to answers, as `row_of` does of each alone."""
    n, every = len(part), np.arange(len(part))
    classes = np.array(predictor.model.classes, object)
    first = probs.argmax(axis=1)
    confidences = probs[every, first].astype(np.float64)
    probs[every, first] = -1
    second = probs.argmax(axis=1)
    # compared as float64: rounded to float32, a threshold is another number
    strange, unsure = predictor.thresholds.judge_all(confidences, novelties.astype(np.float64))
    path = text(part.array.path)
    return {
        "file": [f"{path}:{place}" for place in part.places],
        "class": classes[first],
        "probability": confidences,
        "second_class": classes[second],
        "second_probability": probs[every, second].astype(np.float64),
        "unsure": unsure,
        "novel": strange,
        "error": [None] * n,
        "seen": ["whole"] * n,
    }
