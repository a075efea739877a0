"""Probabilities of another program, checked and brought into the order of the data."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core import csv_tables
from lookbook.data.formats.npz import DAMAGE, open_arrays
from lookbook.errors import InputError, LookbookWarning

if TYPE_CHECKING:
    from jaxtyping import Float, Float32

    from lookbook.data.dataset import Dataset

#: column of a table that names the image of each row; arrays of an .npz file that name rows and
#: columns
FILE, FILES, CLASSES = "file", "files", "classes"
#: names that a message lists
NAMED = 5


@dataclass(frozen=True)
class Handed:
    """Probabilities as a file holds them: with names of rows and columns, or without."""

    path: Path
    probs: np.ndarray
    files: list[str] | None
    classes: list[str] | None

    def arrange(self, test: Dataset, training: Dataset) -> Float32[np.ndarray, "N K"]:
        """Return a row for each test image, a column for each class.

        Rows and columns without names are taken in the order of `test`, which nothing can check: a
        warning says so. Rows of training images are left out.

        Raises
        ------
        InputError
            A name is not of this data, an image or a class lacks, or these are no probabilities.
        """
        probs = self.probs
        if self.files is not None:
            probs = probs[_rows(self.files, test, training, self.path)]
        elif test.files:
            _warn_of_order(self.path, "rows", "lookbook.load(DATA, 'test').files")
        if self.classes is None:
            _warn_of_order(self.path, "columns", _few(test.classes))
        else:
            probs = probs[:, _columns(self.classes, test.classes, self.path)]
        return check(probs, test)


def read(path: Path) -> Handed:
    """Read probabilities.

    Parameters
    ----------
    path
        An `.npy` file of one array. An `.npz` file with `probs`, and, where rows and columns have
        names, `files` and `classes`. A table (CSV) whose columns are named after the classes, but
        for the column `file`, where there is one.

    Raises
    ------
    InputError
        There is no such file, or it holds something else.
    """
    return _read_table(path) if path.suffix.lower() == ".csv" else _read_arrays(path)


def _warn_of_order(path: Path, what: str, order: str) -> None:
    message = f"the {what} of {path} bear no names; they are taken in this order: {order}"
    warnings.warn(LookbookWarning(message), stacklevel=3)


def check(probs: Float[np.ndarray, "N K"], test: Dataset) -> Float32[np.ndarray, "N K"]:
    """Return probabilities whose rows sum to 1 as exactly as can be.

    Raises
    ------
    InputError
        They are no probabilities of these images.
    """
    expected = (len(test), len(test.classes))
    if probs.shape != expected or probs.dtype.kind != "f":
        raise InputError(
            f"probs must be floats of shape {expected}, a row for each image and a column for "
            f"each class, got {probs.dtype} of shape {probs.shape}"
        )
    sums = probs.sum(axis=1, dtype=np.float64)
    if not np.isfinite(sums).all():
        row = int(np.flatnonzero(~np.isfinite(sums))[0])
        raise InputError(
            f"probs must be finite, row {row} holds {_odd(probs[row])}; mend the model"
        )
    low, high = float(probs.min()), float(probs.max())
    if np.abs(sums - 100).max() < 1 and low >= 0:
        raise InputError("probs must be between 0 and 1, got percentages; divide them by 100")
    if low < 0 or high > 1.01:
        raise InputError(
            f"probs must be between 0 and 1, got {low:.4g} to {high:.4g}: logits, it seems; apply "
            "softmax first, as in scipy.special.softmax(logits, axis=1)"
        )
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 0.01:  # half precision loses three digits
        raise InputError(
            f"each row of probs must sum to 1, as those of a softmax do, row {worst} sums to "
            f"{sums[worst]:.4f}; of scores that judge each class alone (sigmoid), divide each row "
            "by its sum"
        )
    return np.asarray(probs / sums[:, None], np.float32)


def _odd(row: Float[np.ndarray, "K"]) -> float:
    return float(row[~np.isfinite(row)][0]) if not np.isfinite(row).all() else float("inf")


# ---- files ----

_REMEDY = "save probabilities with numpy.save, or as a table: file,CLASS,CLASS,…"


def _read_table(path: Path) -> Handed:
    names, lines = csv_tables.read_csv(path, _REMEDY)
    classes = [name for name in names if name != FILE]
    files, rows = [], []
    for line, cells in lines:
        files.append(cells.get(FILE, ""))
        try:
            rows.append([float(cells[name]) for name in classes])
        except ValueError as error:
            raise InputError(
                f"{path}, line {line}: {error}; expected a probability for each class"
            ) from error
    if not rows:
        raise InputError(f"{path} holds no rows; {_REMEDY}")
    return Handed(path, np.array(rows), files if FILE in names else None, classes)


def _read_arrays(path: Path) -> Handed:
    arrays = _load(path)
    probs, named = arrays["probs"], []
    for axis, key in enumerate((FILES, CLASSES)):
        names = None if key not in arrays else [str(name) for name in arrays[key].ravel()]
        if names is not None and (probs.ndim != 2 or len(names) != probs.shape[axis]):
            raise InputError(
                f"{path}: probs has the shape {probs.shape}, {key} names {len(names):,}; expected "
                f"one name for each {('row', 'column')[axis]}"
            )
        named.append(names)
    return Handed(path, probs, *named)


def _load(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"no file {path}; {_REMEDY}")
    try:
        with open_arrays(path, alone="probs") as arrays:
            held = sorted(arrays.names)
            found = {key: arrays.read(key) for key in ("probs", FILES, CLASSES) if key in held}
    except DAMAGE as error:
        raise InputError(
            f"{path} is no .npy or .npz file of numbers ({error}); {_REMEDY}"
        ) from error
    if "probs" not in found:
        raise InputError(
            f"{path} holds the arrays {', '.join(held)}; expected probs, and, for another order "
            "than that of the data, files and classes"
        )
    return found


# ---- order ----


def _columns(given: Sequence[str], classes: Sequence[str], path: Path) -> list[int]:
    """Return where the column of each class is."""
    places = {_plain(name): at for at, name in enumerate(given)}
    if len(places) < len(given):
        raise InputError(f"{path} names a class twice; expected each once")
    strange = [name for name in given if _plain(name) not in set(map(_plain, classes))]
    lacking = [name for name in classes if _plain(name) not in places]
    if strange or lacking:
        raise InputError(
            f"{path}: its columns are not the classes of the data; "
            f"{_listed('no class', strange)}{_listed('lacking', lacking)}"
            f"the classes are {_few(classes)}"
        )
    return [places[_plain(name)] for name in classes]


def _rows(given: Sequence[str], test: Dataset, training: Dataset, path: Path) -> list[int]:
    """Return where the row of each test image is; rows of training images are left out."""
    if not test.files:
        raise InputError(
            f"{path} names files, but the images of this data are arrays without names; leave "
            "the names out, and give the rows in the order of the test part"
        )
    known = _Files((*test.files, *training.files))
    rows: dict[int, int] = {}
    for row, name in enumerate(given):
        index = known.find(name, path)
        if rows.setdefault(index, row) != row:
            raise InputError(f"{path} names {name} twice; expected each file once")
    lacking = [name for index, name in enumerate(test.files) if index not in rows]
    if lacking:
        raise InputError(
            f"{path} has no row for {len(lacking):,} of {len(test):,} test images; "
            f"{_listed('lacking', lacking)}lookbook.load(DATA, 'test').files lists all of them"
        )
    return [rows[index] for index in range(len(test))]


class _Files:
    """Files that are found by the end of their path, as far as it is needed to tell them apart."""

    def __init__(self, files: Iterable[str]) -> None:
        self.parts = [_parts(name) for name in files]
        self.by_name: dict[str, list[int]] = {}
        for index, parts in enumerate(self.parts):
            self.by_name.setdefault(parts[-1], []).append(index)

    def find(self, name: str, path: Path) -> int:
        """Return the one file that a name in `path` means."""
        asked = _parts(name)
        fitting = [
            index
            for index in self.by_name.get(asked[-1], [])
            if all(a == b for a, b in zip(asked[::-1], self.parts[index][::-1], strict=False))
        ]
        if not fitting:
            raise InputError(
                f"{path} names {csv_tables.shorten(name)}, which is no image of this data; "
                f"expected names like {'/'.join(self.parts[0])}"
            )
        # of files that a longer path ends with, the one that more of it names
        inside = [index for index in fitting if len(self.parts[index]) <= len(asked)]
        fitting = [max(inside, key=lambda index: len(self.parts[index]))] if inside else fitting
        if len(fitting) > 1:
            both = " and ".join("/".join(self.parts[index]) for index in fitting[:2])
            raise InputError(
                f"{path} names {csv_tables.shorten(name)}, which may be {both}; write the "
                "folders, too"
            )
        return fitting[0]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in _plain(name).replace("\\", "/").split("/") if part) or ("",)


def _plain(name: str) -> str:
    """Return a name as it is compared: Hangul may be written in parts."""
    return unicodedata.normalize("NFC", name).strip()


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what}: {_few(names)}; " if names else ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(csv_tables.shorten, names[:NAMED])) + (", …" if len(names) > NAMED else "")
