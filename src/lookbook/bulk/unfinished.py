"""An unfinished table: the parts that are done, in a folder beside its place, until all are."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np

from lookbook.core.files import cannot_write, encode, open_plain, to_json, write_bytes
from lookbook.errors import InputError, LookbookWarning
from lookbook.inference import tables
from lookbook.inference.prediction import COLUMNS
from lookbook.inference.thresholds import Verdict, judge

if TYPE_CHECKING:
    from lookbook.inference.tables import Cells

#: what the place of a table gets at its end, to be that of the folder
ENDING = ".unfinished"
MANIFEST, LOCK = "manifest.json", "lock"
#: names of the files of a part and of what is being written, which are ours to delete
_OURS = re.compile(r"\.?([0-9a-f]{16}-(\d{6,}|table)\.\w+|manifest\.json)(\.\d+)?")
#: bytes of the largest document that is read
_MOST = 2**20


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What rows depend on: parts of one table all have the same."""

    #: versions of this program and of ONNX Runtime
    versions: dict[str, str]
    model_sha256: str
    #: of the names, sizes and times of all files, in their order
    input_sha256: str
    images: int
    parts: int
    coverage: float | None
    #: ending of the table
    kind: str

    @property
    def key(self) -> str:
        """Return what the names of its parts begin with: those of two manifests cannot mix."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a part, or all of them, came to."""

    images: int
    #: bytes of its table
    size: int = 0
    verdicts: dict[Verdict, int] = {}
    n_failed: int = 0
    #: the first of those without an answer
    failed: tuple[str, ...] = ()
    #: the image of the least sure answer, and its probability
    least_sure: tuple[str, float] | None = None

    @classmethod
    def of(cls, cells: Cells) -> Self:
        """Count the rows of a part."""
        names, errors = list(cells["file"]), list(cells["error"])
        failed = [i for i, error in enumerate(errors) if error is not None]
        answered = np.delete(np.arange(len(names)), failed)
        columns = ("unsure", "novel", "probability")
        unsure, novel, probs = (np.asarray(cells[name])[answered] for name in columns)
        counts = Counter(zip(unsure.tolist(), novel.tolist(), strict=True))
        verdicts: Counter[Verdict] = Counter()
        for (is_unsure, is_novel), n in counts.items():
            verdicts[judge(unsure=is_unsure, strange=is_novel)] += n
        least = int(answered[probs.argmin()]) if len(answered) else None
        return cls(
            images=len(names),
            verdicts=dict(verdicts),
            n_failed=len(failed),
            failed=tuple(names[i] for i in failed[:4]),
            least_sure=None if least is None else (names[least], float(probs.min())),
        )

    @classmethod
    def joined(cls, summaries: Sequence[Summary]) -> Self:
        """Return what several parts came to."""
        verdicts: Counter[Verdict] = Counter()
        for each in summaries:
            verdicts.update(each.verdicts)
        least = [each.least_sure for each in summaries if each.least_sure]
        return cls(
            images=sum(each.images for each in summaries),
            size=sum(each.size for each in summaries),
            verdicts=dict(verdicts),
            n_failed=sum(each.n_failed for each in summaries),
            failed=tuple(name for each in summaries for name in each.failed)[:4],
            least_sure=min(least, key=lambda each: each[1], default=None),
        )


@dataclass(frozen=True)
class Unfinished:
    """The parts of a table that are done. It can be pickled: other processes write parts."""

    out: Path
    key: str

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.out.with_name(self.out.name + ENDING)

    def write(self, number: int, cells: Cells) -> Summary:
        """Write the rows of a part; it is done when that is whole on the disk.

        Raises
        ------
        OutputError
            The disk is full, or the place cannot be written.
        """
        path = self._path(number)
        with tables.open_table(path, COLUMNS) as table:
            table.add_all(cells)
        summary = msgspec.structs.replace(Summary.of(cells), size=path.stat().st_size)
        write_bytes(path.with_suffix(".json"), encode(to_json(summary)))
        return summary

    def read(self, number: int) -> Summary | None:
        """Return what a part came to; None where it is not done, or not as it was written."""
        path = self._path(number)
        try:
            with open_plain(path.with_suffix(".json")) as file:
                summary = msgspec.json.decode(file.read(_MOST), type=Summary)
            return summary if path.stat().st_size == summary.size else None
        except (OSError, msgspec.DecodeError):
            return None

    def join(self, n: int) -> None:
        """Make the table of so many parts, put it in its place, and delete the parts.

        Raises
        ------
        InputError
            Another file has come to that place meanwhile.
        OutputError
            The disk is full, or the place cannot be written.
        """
        whole = self._path("table")
        with tables.open_table(whole, COLUMNS) as table:
            for number in range(n):
                table.append(self._path(number))
        tables.check_table(self.out, COLUMNS)
        try:
            self._place(whole)
            self.delete()
        except KeyboardInterrupt:
            if whole.exists():
                raise
            self.delete()  # the table is in its place, and nothing else is left to do

    def _place(self, whole: Path) -> None:
        try:
            whole.replace(self.out)
        except OSError as error:
            raise cannot_write(self.out, error) from error

    def delete(self) -> None:
        """Delete what was written here, and the folder, unless something else lies in it."""
        _delete_parts(self.folder)
        for name in (MANIFEST, LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, number: int | str) -> Path:
        name = f"{number:06}" if isinstance(number, int) else number
        return self.folder / f"{self.key}-{name}{self.out.suffix.lower()}"


@contextmanager
def open_unfinished(out: Path, manifest: Manifest) -> Iterator[Unfinished]:
    """Open the parts of a table that an earlier command left, or none yet, for this process alone.

    Parts of another model, of other inputs or options are deleted, with a note.

    Raises
    ------
    InputError
        Another process writes the table, or what lies at the place of its parts is not ours.
    OutputError
        The place cannot be written.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  # for this alone

    unfinished = Unfinished(out, manifest.key)
    folder = unfinished.folder
    is_new = _check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"{out} is being written by another process; wait for it, or choose another `out`"
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        if not is_new and _read_manifest(folder) != manifest:
            warnings.warn(
                LookbookWarning(
                    f"{folder} is of another model, other images or other options: all begins anew"
                ),
                stacklevel=3,
            )
            _delete_parts(folder)
        write_bytes(folder / MANIFEST, encode(to_json(manifest)))
        yield unfinished
    finally:
        lock.release()


def _check(folder: Path) -> bool:
    """Say whether nothing is there yet that a manifest tells of; refuse what is not ours."""
    if not folder.exists() and not folder.is_symlink():
        return True
    if not folder.is_dir() or folder.is_symlink():
        raise InputError(f"{folder} exists and was not written by lookbook; choose another name")
    names = {path.name for path in folder.iterdir()} - {LOCK}
    # killed while it wrote the first manifest, a command leaves that under another name
    if MANIFEST not in names and not all(map(_OURS.fullmatch, names)):
        raise InputError(f"{folder} exists and was not written by lookbook; choose another name")
    return MANIFEST not in names


def _delete_parts(folder: Path) -> None:
    """Delete all that is ours but the manifest: a kill in the middle leaves what is known by it."""
    for path in folder.iterdir():
        if path.name != MANIFEST and _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _read_manifest(folder: Path) -> Manifest | None:
    try:
        with open_plain(folder / MANIFEST) as file:
            return msgspec.json.decode(file.read(_MOST), type=Manifest)
    except (OSError, msgspec.DecodeError):
        return None
