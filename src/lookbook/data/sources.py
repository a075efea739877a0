"""Data sources: names, folders and files as datasets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import Dataset
from lookbook.data.download import find_builtin
from lookbook.data.formats.builtin_source import BuiltinSource
from lookbook.data.formats.collection import CollectionSource
from lookbook.data.formats.folder_source import FolderSource
from lookbook.data.formats.idx import IdxSource, idx_files
from lookbook.data.formats.image_folder import Part
from lookbook.data.formats.npz import NpzSource
from lookbook.data.formats.source import DataSource, Measured, Size
from lookbook.data.groups import Grouping
from lookbook.errors import InputError, check_types

_DATA = (
    f"DATA is one of {', '.join(BUILTIN)}, a folder of class folders, an .npz file, or a folder of "
    "IDX files"
)


def resolve(data: str | Path) -> DataSource:
    """Return the source that DATA names; nothing of it is read or fetched yet.

    A built-in name goes before a folder of that name, but not before a `Path`. What is not there
    is a source, too: loading it says what is wrong.

    >>> resolve("mnist"), resolve("/data/./clothes").identity
    (BuiltinSource('mnist'), '/data/clothes')
    """
    if not isinstance(data, str | Path):
        raise InputError(f"expected the name or the path of data, got {type(data).__name__}")
    if isinstance(data, str) and data in BUILTIN:
        return CollectionSource(data) if BUILTIN[data].folders else BuiltinSource(data)
    path = Path(data)
    try:
        if data != "" and path.is_dir():
            return IdxSource(data) if idx_files(path) else FolderSource(data)
        if path.suffix.lower() == ".npz" and path.is_file():
            return NpzSource(data)
    except OSError as error:  # a report of a run does without its data
        return AbsentSource(data, error)
    return AbsentSource(data)


def load(
    data: str | Path,
    part: Part = "train",
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    groups: str | None = None,
) -> Dataset:
    r"""Return one part of DATA; parts that it came with are read when they are asked for.

    Parameters
    ----------
    data
        A built-in name; a folder of class folders, with folders for the parts around them or not;
        an `.npz` file; a folder of IDX files. A built-in name goes before a folder of that name:
        write `./mnist`, or give a `Path`, for the folder.
    part
        "train", "test", or "validation" of a folder that has one, such as `train/` and `valid/`;
        where such a folder has no test part, its validation part is returned for it, with a
        warning. Data without parts is split, class by class and always in the same way: one
        image in five is for testing; of image files the fifth whose names' hashes are lowest,
        so that a file that is added or removed moves at most one other. Images that are copies of
        each other, exact or near ones, stay in one part.
    size
        Side, or height and width, to which image files are brought. Without it they keep their
        size where all have the same, and become 64×64 where not.
    channels
        1 or 3; without it image files are colour where any of them is.
    groups
        What else stays in one part, such as all images of a person: a regular expression with one
        group, which is looked for in the files' names from the folder on (`person-(\d+)`), or the
        name of an array of an `.npz` file.

    Raises
    ------
    InputError
        There is no such data or part, or it is not as described.
    DownloadError
        A built-in dataset could not be fetched.
    """
    check_types(groups=(groups, str | None))
    grouping = None if groups is None else Grouping(groups)
    return resolve(data).load(part, size=size, channels=channels, grouping=grouping)


def load_data(data: str | Path = "fashion-mnist") -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return `(x_train, y_train), (x_test, y_test)`, as Keras's datasets do.

    Images are uint8, labels are uint8 as in the files of the MNIST family.

    >>> (x_train, y_train), (x_test, y_test) = load_data("fashion-mnist")
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    """
    parts = load(data, "train"), load(data, "test")
    train, test = ((part.images, part.labels.astype(np.uint8)) for part in parts)
    return train, test


@dataclass(frozen=True, repr=False)
class AbsentSource(DataSource):
    """What is not there, or is nothing that is read."""

    #: why it could not be looked at
    error: OSError | None = None

    def check(self) -> None:
        raise self._refusal()

    def measured_part(self) -> Measured:
        raise self._refusal()

    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset:
        raise self._refusal()

    def _refusal(self) -> InputError | OSError:
        """Return the error that says what is wrong."""
        if self.error is not None:
            return self.error
        name = str(self)
        if self.written == "":
            return InputError(f"DATA is empty; {_DATA}")
        if re.match(r"[a-z][a-z0-9+]+://", name, re.IGNORECASE):
            return InputError(
                f"{name} is an address, and nothing is fetched from there; download it, unpack it, "
                f"and name the file or folder; {_DATA}"
            )
        if not self.path.exists():
            if isinstance(self.written, str) and not any(mark in name for mark in "/\\.~"):
                find_builtin(name)  # a mistyped name, mostly: says which there are
            return InputError(f"{name} does not exist; {_DATA}")
        what = "is neither a folder nor an .npz file"
        if re.search(r"\.(zip|rar|7z|tgz|tar(\.\w+)?)$", name, re.IGNORECASE):
            what = "is an archive; unpack it, and name what was in it"
        return InputError(f"{name} {what}; {_DATA}")
