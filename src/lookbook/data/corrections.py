"""Label corrections: suspected labels as a CSV table, and what a person decided."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core import csv_tables
from lookbook.core.names import text
from lookbook.errors import InputError, closest

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.evaluation.audit import Findings

#: columns that are read back, and those of the whole table; a person fills in the last one
COLUMNS = ("part", "index", "picture", "label", "suggestion", "confidence", "correction")
WRITTEN = (*COLUMNS[:2], "file", *COLUMNS[2:6], "suspected", "correction")


def to_csv(findings: Findings, given: Dataset, training: Dataset, test: Dataset) -> str:
    """Write labels that networks would change as a table in which a person fills in `correction`.

    Of each part all of them stand there, the least credible first; `suspected` are the first ones.

    Labels that were corrected before, where `training` differs from what was `given`, come first,
    with their corrections: the new table holds all that is known.

    `image` is the beginning of the SHA-256 of its pixels, so that a correction can never reach
    another image.
    """
    table: list[list[object]] = [list(WRITTEN)]
    for index in np.flatnonzero(given.labels != training.labels):
        before, now = (part.classes[part.labels[index]] for part in (given, training))
        image, file = _digest(given.images[index]), _file(given, int(index))
        table.append(["train", index, file, image, before, now, "", "", now])
    parts = (("train", training, findings.training), ("test", test, findings.test))
    for name, part, suspects in parts:
        rows = zip(suspects.indices, suspects.predicted, suspects.shares, strict=True)
        for place, (index, predicted, (share, _)) in enumerate(rows):
            label, suggestion = part.classes[part.labels[index]], part.classes[predicted]
            image, file = _digest(part.images[index]), _file(part, int(index))
            suspected = "yes" if place < suspects.suspected else "no"
            table.append(
                [name, index, file, image, label, suggestion, f"{share:.3f}", suspected, ""]
            )
    return csv_tables.to_csv(table)


def _file(part: Dataset, index: int) -> str:
    return text(part.files[index]) if part.files else ""


def _digest(image: UInt8[np.ndarray, "H W *C"]) -> str:
    # the prefix keeps spreadsheets from reading a number
    return "sha256:" + hashlib.sha256(image.tobytes()).hexdigest()[:16]


def read(path: Path, training: Dataset) -> list[tuple[int, int]]:
    """Return (index, label) of each training image that a person gave another label.

    Rows without a correction, and those of the test part, are left out; so are images whose label
    was confirmed. Of two rows for one image the later one holds.

    Raises
    ------
    InputError
        It is no such table, a class or an image in it is not of this data, or nothing in it is
        corrected.
    """
    numbers = {_plain(name): k for k, name in enumerate(training.classes)}
    found: dict[int, int] = {}
    for line, row in _rows(path):
        name = row["correction"].strip()
        if not name or row["part"] != "train":
            continue
        where = f"{path}, line {line}"
        if _plain(name) not in numbers:
            known = list(training.classes)
            listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise InputError(
                f"{where}: no class is called '{csv_tables.shorten(name)}'{closest(name, known)}; "
                f"classes: {listed}"
            )
        index = _number(row["index"])
        if not 0 <= index < len(training):
            raise InputError(
                f"{where}: the training part has no image {csv_tables.shorten(row['index'])}, it "
                f"has {len(training):,}; write the table again: lookbook report RUN "
                "--corrections FILE"
            )
        if _digest(training.images[index]) != row["picture"]:
            raise InputError(
                f"{where}: training image {index} is not the one that was judged: the data has "
                "changed; write the table again: lookbook report RUN --corrections FILE"
            )
        found[index] = numbers[_plain(name)]
    changed = [(index, k) for index, k in found.items() if k != training.labels[index]]
    if not changed:
        raise InputError(
            f"{path} corrects no training image; write the right class into the column "
            "'correction' of those that are wrong"
        )
    return changed


def _plain(name: str) -> str:
    """Return a class name as it is compared: spreadsheets may write Hangul in parts."""
    return unicodedata.normalize("NFC", name).strip()


def _number(text: str) -> int:
    """Read an index; -1 for what is none, or longer than any is."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    remedy = "write one: lookbook report RUN --corrections FILE"
    names, rows = csv_tables.read_csv(path, remedy)
    if missing := set(COLUMNS) - set(names):
        raise InputError(
            f"{path} is no table of corrections: it lacks the columns "
            f"{', '.join(sorted(missing))}; {remedy}"
        )
    return rows


def apply(training: Dataset, corrected: list[tuple[int, int]]) -> Dataset:
    """Return the training part with these labels.

    >>> import numpy as np
    >>> from lookbook.data.dataset import Dataset
    >>> images = np.zeros((2, 8, 8), np.uint8)
    >>> part = Dataset(images, np.array([0, 1]), ("cat", "dog"))
    >>> apply(part, [(1, 0)]).labels.tolist(), part.labels.tolist()
    ([0, 0], [0, 1])
    """
    labels = training.labels.copy()
    for index, label in corrected:
        labels[index] = label
    return replace(training, labels=labels)
