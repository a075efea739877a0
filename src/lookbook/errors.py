"""Errors and warnings: what went wrong, what was expected, what to do next.

::

    Exception
     └── LookbookError              a message for the user: what came, what was expected, what to do
          ├── InputError            (also ValueError) wrong use: argument, path, image, array
          ├── DownloadError         no source gave a dataset that has the right hash
          ├── DamagedFileError      a file of a run or a dataset is not what was written
          ├── OutputError           (also OSError) a result could not be written
          ├── TrainingError         training could not give a usable model
          │    └── ProcessEndedError  another process that shared it is gone
          └── ExportError           a model in another form would lose too much, or be too large
    Warning
     └── LookbookWarning            something was left out or changed, and the work goes on

The command line prints the message and ends with `exit_code`: 2 for wrong use, 1 for failure.
A message names arguments and calls as Python takes them, in backquotes: "choose another `out`",
"go on: `lookbook.resume('runs/a')`". The command line writes flags and commands there. What the
command line alone can do, stands as a command.
"""

from __future__ import annotations

import errno
from types import NoneType
from typing import Any, Literal, get_args, get_origin

#: what the system calls a name that cannot be that of a file, or not of such a one
NAMES = (
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EINVAL,
)
#: what the system says, and what to do then
_REMEDIES = {
    errno.ENAMETOOLONG: "choose a shorter one: most systems take 255 bytes",
    errno.EACCES: "check its permissions, and those of the folders above it",
    errno.EPERM: "check its permissions, and those of the folders above it",
    errno.EROFS: "choose a place that can be written",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EMFILE: "close other programs, or raise the limit: ulimit -n",
    errno.ENFILE: "close other programs",
    errno.EIO: "check the disk",
}


class LookbookError(Exception):
    """An error whose message says what came, what was expected and what to do next."""

    exit_code = 1


class InputError(LookbookError, ValueError):
    """Wrong use: an argument, a path, an image or an array that cannot be taken."""

    exit_code = 2
    #: what it is about, of several inputs that are answered one by one
    source = ""


class DownloadError(LookbookError):
    """No source gave a dataset that has the right hash."""


class DamagedFileError(LookbookError):
    """A file is not what was once written: cut short, changed or of another kind."""


class OutputError(LookbookError, OSError):
    """A result could not be written: the disk is full, or the place is read-only."""


class TrainingError(LookbookError):
    """Training could not give a usable model."""


class ProcessEndedError(TrainingError):
    """Another process of a training that several share ended, or does not answer."""


class ExportError(LookbookError):
    """A model in another form would lose too much, or be too large."""


class LookbookWarning(UserWarning):
    """Something was left out or changed on the way, and the work goes on."""


def describe(error: OSError) -> str:
    """Write what the system could not do, of which file, and what to do next.

    >>> describe(OSError(errno.EACCES, "Permission denied", "/photos/a.png"))
    '/photos/a.png: Permission denied; check its permissions, and those of the folders above it'
    """
    name = "a file" if error.filename is None else str(error.filename)
    if len(name) > 200:
        name = f"{name[:90]}…{name[-90:]}"
    remedy = _REMEDIES.get(error.errno or 0, "check the name")
    return f"{name}: {error.strerror or error}; {remedy}"


def check_types(**arguments: tuple[object, Any]) -> None:
    """Refuse arguments of another type, or another value than the literals; a bool is no number.

    >>> check_types(size=(28, int | tuple | None), lang=("ko", Literal["en", "ko"]))
    >>> check_types(size=("a", int | tuple | None))
    Traceback (most recent call last):
    lookbook.errors.InputError: `size` must be int or tuple, got 'a'
    >>> check_types(lang=("fr", Literal["en", "ko"]))
    Traceback (most recent call last):
    lookbook.errors.InputError: `lang` must be 'en' or 'ko', got 'fr'

    Raises
    ------
    InputError
        Naming the first of them.
    """
    for name, (value, kind) in arguments.items():
        kinds = get_args(kind) or (kind,)
        if get_origin(kind) is Literal:
            right, expected = value in kinds, [repr(each) for each in kinds]
        else:
            right = isinstance(value, kinds) and (type(value) is not bool or bool in kinds)
            expected = [each.__name__ for each in kinds if each is not NoneType]
        if not right:
            raise InputError(f"`{name}` must be {' or '.join(expected)}, got {value!a}")


def write_call(function: str, *arguments: object, **named: object) -> str:
    """Write a call of this package, as errors advise it.

    >>> print(write_call("train", "mnist", seed=0, size=None))
    `lookbook.train('mnist', seed=0)`
    """
    words = [repr(each) for each in arguments]
    words += [f"{name}={value!r}" for name, value in named.items() if value is not None]
    inside = ", ".join(words).replace("`", r"\x60")  # the mark of its end
    return f"`lookbook.{function}({inside})`"


def closest(word: str, known: list[str]) -> str:
    """Name the known word nearest to a mistyped one, as the end of an error message.

    >>> closest("tutorail", ["tutorial", "quick"])
    "; did you mean 'tutorial'?"
    >>> closest("xyz", ["tutorial", "quick"])
    ''
    """
    from difflib import get_close_matches  # noqa: PLC0415  # only when something went wrong

    found = get_close_matches(word, known, n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
