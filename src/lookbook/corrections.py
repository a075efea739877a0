"""Write suspected labels as a table, and take back what a person decided."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.errors import InputError, closest

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from lookbook.audit import Findings
    from lookbook.datasets import Dataset

#: columns of the table; a person fills in the last one
COLUMNS = ("part", "index", "picture", "label", "suggestion", "confidence", "correction")


def to_csv(findings: Findings, given: Dataset, training: Dataset, test: Dataset) -> str:
    """Write the suspects of both parts as a table in which a person fills in `correction`.

    Labels that were corrected before, where `training` differs from what was `given`, come first,
    with their corrections: the new table holds all that is known.

    `picture` is the beginning of the SHA-256 of its pixels, so that a correction can never reach
    another picture.
    """
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(COLUMNS)
    for index in np.flatnonzero(given.labels != training.labels):
        before, now = (part.classes[part.labels[index]] for part in (given, training))
        table.writerow(["train", index, _digest(given.images[index]), before, now, "", now])
    parts = (("train", training, findings.training), ("test", test, findings.test))
    for name, part, suspects in parts:
        rows = zip(suspects.indices, suspects.opinions, suspects.shares, strict=True)
        for index, opinion, (share, _) in rows:
            label, suggestion = part.classes[part.labels[index]], part.classes[opinion]
            picture = _digest(part.images[index])
            table.writerow([name, int(index), picture, label, suggestion, f"{share:.3f}", ""])
    return buffer.getvalue()


def _digest(image: UInt8[np.ndarray, "H W *C"]) -> str:
    # the prefix keeps spreadsheets from reading a number
    return "sha256:" + hashlib.sha256(image.tobytes()).hexdigest()[:16]


def read(path: Path, training: Dataset) -> list[tuple[int, int]]:
    """Return (index, label) of each training picture that a person gave another label.

    Rows without a correction, and those of the test part, are left out; so are pictures whose label
    was confirmed. Of two rows for one picture the later one holds.

    Raises
    ------
    InputError
        It is no such table, a class or a picture in it is not of this data, or nothing in it is
        corrected.
    """
    rows = _rows(path)
    numbers = {name: k for k, name in enumerate(training.classes)}
    found: dict[int, int] = {}
    for number, row in enumerate(rows, 2):  # line 1 holds the names of the columns
        name = row["correction"].strip()
        if not name or row["part"] != "train":
            continue
        where = f"{path}, line {number}"
        if name not in numbers:
            raise InputError(
                f"{where}: no class is called '{name}'{closest(name, list(numbers))}; "
                f"classes: {', '.join(numbers)}"
            )
        index = int(row["index"]) if row["index"].isascii() and row["index"].isdigit() else -1
        if not 0 <= index < len(training):
            raise InputError(
                f"{where}: the training part has no picture {row['index']}, it has "
                f"{len(training):,}; write the table again: lookbook report RUN --corrections FILE"
            )
        if _digest(training.images[index]) != row["picture"]:
            raise InputError(
                f"{where}: training picture {index} is not the one that was judged: the data has "
                "changed; write the table again: lookbook report RUN --corrections FILE"
            )
        found[index] = numbers[name]
    changed = [(index, k) for index, k in found.items() if k != training.labels[index]]
    if not changed:
        raise InputError(
            f"{path} corrects no training picture; write the right class into the column "
            "'correction' of those that are wrong"
        )
    return changed


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
    except FileNotFoundError as error:
        raise InputError(
            f"no file {path}; write one: lookbook report RUN --corrections {path}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table ({error})") from error
    first = text.partition("\n")[0]
    # in much of Europe, spreadsheets write semicolons
    delimiter = ";" if first.count(";") > first.count(",") else ","
    table = csv.DictReader(io.StringIO(text), restval="", delimiter=delimiter)
    if missing := set(COLUMNS) - set(table.fieldnames or ()):
        raise InputError(
            f"{path} is no table of corrections: it lacks the columns "
            f"{', '.join(sorted(missing))}; write one: lookbook report RUN --corrections FILE"
        )
    return list(table)


def apply(training: Dataset, corrected: list[tuple[int, int]]) -> Dataset:
    """Return the training part with these labels.

    >>> import numpy as np
    >>> from lookbook.datasets import Dataset
    >>> images = np.zeros((2, 8, 8), np.uint8)
    >>> part = Dataset(images, np.array([0, 1]), ("cat", "dog"))
    >>> apply(part, [(1, 0)]).labels.tolist(), part.labels.tolist()
    ([0, 0], [0, 1])
    """
    labels = training.labels.copy()
    for index, label in corrected:
        labels[index] = label
    return replace(training, labels=labels)
