"""Facts about images of the cache: what takes long to find out is kept beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from lookbook.core.environment import source_sha256
from lookbook.core.files import write_bytes
from lookbook.errors import OutputError

if TYPE_CHECKING:
    from jaxtyping import Shaped

Fact = TypeVar("Fact")


def recall(images: Shaped[np.ndarray, "N *shape"], question: str, find: Callable[[], Fact]) -> Fact:
    """Return what `find` finds out about images: of all images of an entry, once.

    It is JSON, and is found again where the question, the file of images or this program is another
    one.
    """
    identity = identify(images)
    if identity is None or not isinstance(images, np.memmap):
        return find()
    asked = hashlib.sha256(repr((identity, question, _program())).encode()).hexdigest()
    path = _file_of(images).with_name(f"fact-{asked[:16]}.json")
    known = read_document(path)
    if known is None:
        known = {"answer": find()}
        with suppress(OutputError):  # it is found again
            write_document(path, known)
    answer: Fact = known["answer"]
    return answer


def identify(images: Shaped[np.ndarray, "N *shape"]) -> str | None:
    """Return what tells the file of all images of an entry from others; None for other images."""
    if not isinstance(images, np.memmap) or not images.flags.c_contiguous:
        return None
    file = _file_of(images)
    try:
        stat = file.stat()
    except OSError:  # it was cleared, and what is mapped stays until it is let go
        return None
    if stat.st_size != images.nbytes or read_document(file.with_name("meta.json")) is None:
        return None
    return repr((file.parent.name, file.name, images.shape, stat.st_mtime_ns))


@cache
def _program() -> str:
    return source_sha256()


def _file_of(images: np.memmap[Any, Any]) -> Path:
    return Path(str(images.filename))


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write JSON with its hash in the last line.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written.
    """
    content = json.dumps(document)
    checksum = hashlib.sha256(content.encode()).hexdigest()
    write_bytes(path, f"{content}\n{checksum}".encode(), argument=None)


def read_document(path: Path) -> dict[str, Any] | None:
    """Return what `write_document` wrote; None where nothing, or something else, stands there."""
    try:
        content, _, checksum = path.read_text().rpartition("\n")
        document: dict[str, Any] = json.loads(content)
    except (OSError, ValueError):
        return None
    return document if checksum == hashlib.sha256(content.encode()).hexdigest() else None
