"""Inputs that can be predicted: files, folders of them, PIL images, arrays."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from lookbook.core.bounded_io import NamedBytes
from lookbook.data.formats.image_files import list_images
from lookbook.errors import InputError, LookbookWarning

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from PIL import Image

#: what the names of test images begin with
TEST = "test:"

#: what can be predicted: `test:2000`, a file, a folder of files, pixels of one image or several
Input: TypeAlias = "str | Path | Image.Image | UInt8[np.ndarray, '...']"

#: columns of several images, as Ray Data passes them
ImageColumns: TypeAlias = "Mapping[str, Sequence[Any] | np.ndarray]"


def list_inputs(inputs: Input | Iterable[Input]) -> list[Input]:
    """List what is to be predicted, one or several; of folders the image files in them.

    A folder without any, or that cannot be read, stays in the list, and gets its error where it is
    to be predicted.

    Raises
    ------
    InputError
        Something is none that can be predicted.
    """
    listed: list[Input] = []
    for given in [inputs] if _is_one(inputs) else _several(inputs):
        if isinstance(given, str | Path) and not is_test(str(given)) and _is_folder(given):
            try:
                names, notes = list_images(given)
            except InputError:
                listed.append(given)
                continue
            for note in notes:
                warnings.warn(LookbookWarning(note), stacklevel=3)
            listed += names
        elif _is_one(given):
            listed.append(given)
        else:
            raise _no_input(given)
    return listed


def read_columns(
    batch: ImageColumns,
) -> Iterator[tuple[str, str | NamedBytes | Image.Image | InputError]]:
    """Yield name and content of each image of a batch: see `Predictor.__call__`.

    Raises
    ------
    InputError
        Their names are not in it.
    """
    if "path" not in batch:
        raise InputError(
            f"a batch lacks the column path, it has {', '.join(batch)}; expected the names of "
            "files, as ray.data.read_images(FOLDER, include_paths=True) gives them"
        )
    for place, name in enumerate(map(str, batch["path"])):
        if "bytes" in batch:
            yield name, NamedBytes(name, batch["bytes"][place])
        elif "image" in batch:
            yield name, _image_of(batch["image"][place], name)
        else:
            yield name, name


def _image_of(pixels: Any, name: str) -> Image.Image | InputError:
    """Return pixels as an image, or the error that they are none."""
    from PIL import Image  # noqa: PLC0415  # only for files

    pixels = np.asarray(pixels)
    levels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    if len(levels.shape) == 3 and len(levels) == 1 and levels.shape[2] > 4:
        levels = levels[0]  # so Ray passes grey images beside those in colour
    with suppress(TypeError, ValueError):  # Pillow's for other types and shapes
        if levels.size:
            return Image.fromarray(levels)
    error = InputError(
        f"{name} has {pixels.dtype} pixels of shape {pixels.shape}; expected uint8 of shape "
        "(H, W), (H, W, 3) or (H, W, 4)"
    )
    error.source = name
    return error


def _is_folder(path: str | Path) -> bool:
    """Say whether this is a folder; what lies where nobody may look is none."""
    try:
        return Path(path).is_dir()
    except PermissionError:
        return False


def _is_one(given: object) -> TypeGuard[Input]:
    """Say whether it is one thing to predict; names in an array are several."""
    if isinstance(given, str | Path):
        return True
    # of the class: PIL would decode its image to answer for an object
    has_pixels = any(hasattr(type(given), name) for name in ("__array__", "__array_interface__"))
    return has_pixels and getattr(getattr(given, "dtype", None), "kind", None) not in {"O", "U"}


def _several(given: object) -> Iterable[Any]:
    if isinstance(given, bytes | bytearray) or not isinstance(given, Iterable):
        raise _no_input(given)
    return given


def is_test(name: str) -> bool:
    """Say whether an input names a test image."""
    return name.startswith(TEST)


def name_of(given: object, name: str) -> str:
    """Return what a file or an image of PIL is called, or else `name`."""
    if isinstance(given, str | Path):
        return str(given)
    return str(getattr(given, "filename", "")) or name


def refuse_other_names(name: str | Path) -> None:
    """Refuse what is not the name of a file."""
    if isinstance(name, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        raise InputError(
            f"{name} is an address, and nothing is fetched from any; save the image, then name "
            "its file"
        )
    if _is_folder(name):
        list_images(name)  # says that there are none


def refuse_absent(names: Sequence[str]) -> None:
    """Refuse names of which none stands for anything, before a table of nothing is written.

    Raises
    ------
    InputError
        There is no such file or folder.
    """
    if not any(is_test(name) or Path(name).exists() for name in names):
        refuse_other_names(names[0])
        raise InputError(f"no image file {names[0]}; check the name")


def unreadable(name: str, reason: str) -> InputError:
    """Return the error for a file that cannot be read, or for what is none."""
    error = InputError(reason)
    try:
        refuse_other_names(name)
    except InputError as better:
        error = better
    error.source = name
    return error


def _no_input(given: object) -> InputError:
    return InputError(
        f"a {type(given).__name__} is nothing to predict; expected test:NUMBER, an image file, a "
        "folder of them, a PIL image or an array, or a list of these"
    )
