"""Where a run may be written, and where an unfinished one lies."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from lookbook.core.files import cannot_write, check_above
from lookbook.errors import InputError, write_call

#: where runs are kept if the user names no place
ROOT = Path("runs")
#: what an unfinished run was asked for
REQUEST = "request.json"


def unfinished(folder: Path) -> Path:
    """Return where a training keeps what it needs to go on, until its run is finished."""
    return folder.with_name(f"{folder.name}.unfinished")


def list_unfinished(root: Path = ROOT) -> list[Path]:
    """Return the runs in a folder whose training was stopped or killed, by name."""
    return sorted(path.parent.with_suffix("") for path in root.glob(f"*.unfinished/{REQUEST}"))


def free_folder(stem: str, recipe_name: str, root: Path = ROOT) -> Path:
    """Return the next `runs/<data>-<recipe>-<number>` that is free."""
    number = 1
    while any(map(os.path.lexists, places_of(root / f"{stem}-{recipe_name}-{number}"))):
        number += 1
    return root / f"{stem}-{recipe_name}-{number}"


def places_of(folder: Path) -> tuple[Path, Path]:
    """Return where a run lies, finished or not."""
    return folder, unfinished(folder)


def check_target(folder: Path) -> None:
    """Make sure, before any work, that a new run can be written there.

    Raises
    ------
    InputError
        The folder exists, or would lie in what is no folder.
    OutputError
        It cannot be made there.
    """
    check_text(f"the folder {str(folder)!a}", folder, of_system=True)
    check_above(folder)
    try:
        if stands(folder):
            raise InputError(f"{folder} exists and is not overwritten; choose another `out`")
        if stands(unfinished(folder)):
            raise InputError(
                f"{folder} was begun and is not finished; go on: "
                f"{write_call('resume', str(folder))}, or delete {unfinished(folder)}"
            )
        # what lacks above it is made when the run is written
        nearest = next(parent for parent in folder.parents if stands(parent))
        tempfile.TemporaryDirectory(dir=nearest, prefix=".lookbook-").cleanup()
    except OSError as error:
        raise cannot_write(folder, error, unchanged=True) from error


def check_text(what: str, name: str | Path, *, of_system: bool = False) -> None:
    """Refuse a name that no document can hold, or, `of_system`, no file can have.

    Raises
    ------
    InputError
        It has a byte or a letter that UTF-8, or the system, cannot write.
    """
    try:
        os.fsencode(name) if of_system else str(name).encode()
        right = "\0" not in str(name)
    except UnicodeEncodeError:
        right = False
    if not right:
        raise InputError(f"{what} has letters that UTF-8 cannot write; choose another name")


def stands(path: Path) -> bool:
    """Say whether anything has this name, be it a link to nothing."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True
