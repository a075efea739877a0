"""Atomic writing of files, and reading of plain files alone."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from lookbook.errors import InputError, OutputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: how the head of a page begins that this program wrote, and how a model file does
PAGE, MODEL = b'<meta name="generator" content="lookbook ', b"lookbook"
#: errors of a full disk, or of a limit on what a user or a file may take
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_document(path: Path, document: Any) -> None:
    """Write a JSON file of a run, so that a reader sees the old or the new one, never a part.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written.
    """
    write_bytes(path, encode(to_json(document)), argument=None)


def write_bytes(path: Path, content: bytes, *, argument: str | None = "out") -> None:
    """Write one file, so that a reader sees the old one or the new one, never a part.

    Parameters
    ----------
    path, content
        The file, and what it is to hold.
    argument
        What its place was given as; None where nobody chose it.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written.
    """
    with open_whole(path, argument=argument) as file:
        file.write(content)


@contextmanager
def open_whole(path: Path, *, argument: str | None = "out") -> Iterator[BinaryIO]:
    """Open a file that stands at its place when the block ends, and does not if that fails.

    `argument` is as for `write_bytes`.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written; while it is written to, too.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with _as_output_error(path, argument):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)  # a link of that name would be written through
        file = io.BufferedRandom(_NamedFile(fresh, path, argument))
    try:
        yield file
        with _as_output_error(path, argument):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            fresh.replace(path)
    finally:
        with suppress(OSError):
            file.close()  # which writes what is left of it
        with _as_output_error(path, argument):
            fresh.unlink(missing_ok=True)


class _NamedFile(io.FileIO):
    """A new file whose errors say what it is to become: others may be read in the same block."""

    def __init__(self, fresh: Path, path: Path, argument: str | None) -> None:
        super().__init__(fresh, "x+")
        self._path, self._argument = path, argument

    def write(self, block: Buffer, /) -> int:
        with _as_output_error(self._path, self._argument):
            return super().write(block)


@contextmanager
def _as_output_error(path: Path, argument: str | None) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error, argument=argument) from error


def check_above(path: Path) -> None:
    """Make sure, before any work, that a file or folder can come there: in a folder, or a new one.

    Raises
    ------
    InputError
        What it would lie in is no folder.
    """
    above = next((each for each in path.parents if os.path.lexists(each)), None)
    if above is not None and not above.is_dir():
        raise InputError(f"{above} is not a folder; choose another place for {path}")


def check_free(path: Path, mark: bytes) -> None:
    """Make sure, before any work, that no file is there but one of ours, known by its mark.

    Raises
    ------
    InputError
        Another file is there, or it cannot be read.
    """
    check_ours(path, lambda file: mark in file.read(2000))


def check_ours(path: Path, is_ours: Callable[[BinaryIO], bool]) -> None:
    """Make sure, before any work, that no file is there but one of ours.

    Raises
    ------
    InputError
        Another file is there, or it cannot be read; or it would lie in what is no folder.
    """
    check_above(path)
    try:
        with open_plain(path) as file:
            ours = is_ours(file)
    except FileNotFoundError:
        return
    except OSError as error:
        # opened to be replaced: that it is read for this, nobody asked for
        raise InputError(f"cannot write {path}: {error.strerror}; choose another name") from error
    if not ours:
        raise InputError(f"{path} exists and was not written by lookbook; choose another name")


def cannot_write(
    path: Path, error: OSError, *, argument: str | None = "out", unchanged: bool = False
) -> OutputError:
    """Return the error for a result that could not be written where an argument named it.

    >>> str(cannot_write(Path("a.csv"), OSError(errno.EROFS, "Read-only"), argument="corrections"))
    'cannot write a.csv: Read-only; choose another place with `corrections`'
    """
    state = "nothing was changed; " if unchanged else ""
    full = error.errno in _FULL
    if argument is None:
        remedy = "make room there" if full else "allow writing there"
        return OutputError(f"cannot write {path}: {error.strerror or error}; {state}{remedy}")
    room = "make room or " if full else ""
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; {state}"
        f"{room}choose another place with `{argument}`"
    )


def to_json(document: Any) -> str:
    """Return a document as readable JSON that ends with a line break."""
    whole = json.dumps(document, indent=2, ensure_ascii=False, default=msgspec.to_builtins)
    return whole + "\n"


def encode(text: str) -> bytes:
    r"""Return a text as UTF-8; `?` stands for what that cannot hold, in names from old systems.

    >>> encode("caf\udce9")
    b'caf?'
    """
    return text.encode(errors="replace")


def write_synced(path: Path, content: bytes) -> None:
    """Write one file, and wait until it is on the disk.

    Raises
    ------
    OSError
        The disk is full, or the place cannot be written; part of the file may be there.
    """
    path.unlink(missing_ok=True)  # a link of that name would be written through
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file to be read: no link, pipe or device, which may lead anywhere or nowhere.

    Raises
    ------
    OSError
        It cannot be opened, or is no plain file.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link, which is not followed", path)
    # a pipe to which nobody writes would be waited for
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file, but a folder, a pipe or a device", path)
        with open(descriptor, "rb", closefd=False) as file:  # no path any more
            yield file
    finally:
        os.close(descriptor)


def read_plain(path: Path, most: int) -> bytes:
    """Return what a file of a run holds.

    Raises
    ------
    OSError
        As `open_plain`, or it takes more bytes than `most`.
    """
    with open_plain(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it takes more than {most:,} bytes", path)
    return content
