"""Export formats: which there are, and where each is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, get_args

from lookbook.core.files import MODEL, PAGE, check_above, check_free
from lookbook.errors import InputError, check_types
from lookbook.runs.store import Run, as_run

Form = Literal["int8", "html", "folder"]
#: form → its name in the run
NAMES = {"int8": "model.int8.onnx", "html": "try.html", "folder": "kit"}


def export(
    run: Run | str | Path,
    to: Form,
    out: str | Path | None = None,
    *,
    onnxruntime: str | Path | None = None,
) -> Path:
    """Write a run's model for use elsewhere; return the file or folder.

    Parameters
    ----------
    run
        A run, its folder, or its name in `runs/`.
    to
        `"html"`: a page to try the model on. `"folder"`: the model with its card and examples.
        `"int8"`: a model file in 8 bits, where they cost next to no accuracy.
    out
        File or folder; without it a place in the run.
    onnxruntime
        For a page: the folder of the npm package `onnxruntime-web`, which the page then holds, for
        networks that its own engine does not compute.

    Raises
    ------
    InputError
        There is no such run or form, or `out` exists already.
    ExportError
        The page would be too large, or 8 bits would lose too much; nothing is written.
    DamagedFileError
        A file of the run is not what was written.
    OutputError
        The place cannot be written.
    """
    check_types(
        out=(out, str | os.PathLike | None), onnxruntime=(onnxruntime, str | os.PathLike | None)
    )
    check_onnxruntime(onnxruntime, to)
    chosen = as_run(run)
    target = place(chosen, to, None if out is None else Path(out))
    from lookbook.exports import (  # noqa: PLC0415  # 0.5 s, not for a bad place
        bundle,
        int8,
        onnxruntime_page,
        web_demo,
    )

    if onnxruntime is not None:
        return onnxruntime_page.write_onnxruntime_page(chosen, target, Path(onnxruntime))
    if to == "int8":
        return int8.quantize(chosen, target).path
    return (web_demo.write_web_demo if to == "html" else bundle.write_bundle)(chosen, target)


def check_onnxruntime(folder: str | Path | None, to: str) -> None:
    """Refuse ONNX Runtime Web for anything but a page."""
    if folder is not None and to != "html":
        raise InputError("`onnxruntime` is for a page alone; leave it out")


def place(run: Run, to: str, out: Path | None) -> Path:
    """Return where an export goes; refuse a bad place before any work is done for it."""
    if to not in get_args(Form):  # of any type
        raise InputError(f"no form {to!r} to export to; expected {', '.join(get_args(Form))}")
    if out is None and run.is_bundled:  # it may lie where nobody may write
        out = Path(f"{run.folder.name}-{NAMES[to]}")
    if out is None:
        own = run.folder / NAMES[to]
        if to != "folder":  # which is never overwritten
            check_free(own, PAGE if to == "html" else MODEL)
        return own
    if os.path.lexists(out):
        raise InputError(f"{out} exists and is not overwritten; choose another `out`")
    check_above(out)
    if to == "int8" and out.suffix != ".onnx":
        raise InputError(f"{out} must end in .onnx, by which model files are known")
    return out
