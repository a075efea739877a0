"""Entries of the cache: a folder each, as `lookbook cache` lists and clears them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.data.cache.facts import read_document
from lookbook.data.download import cache_folder
from lookbook.images.reading import ReadImages

if TYPE_CHECKING:
    Size = tuple[int, int]


@dataclass
class State:
    """How far an entry is."""

    done: int = 0
    kept: int = 0
    #: of the images that are kept; empty where none is yet
    shape: tuple[int, ...] = ()
    #: what is read to: None, each file's own size, as long as all have the same
    size: Size | None = None
    damaged: list[int] = field(default_factory=list)
    dim: dict[int, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The name of the file of images."""
        return f"images-{'x'.join(map(str, self.shape))}"

    @property
    def bytes_each(self) -> int:
        """How many bytes an image takes."""
        return int(np.prod(self.shape))


class Entry:
    """One folder of the cache."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.meta, self.filling = place / "meta.json", place / "filling.json"

    @property
    def is_begun(self) -> bool:
        """Whether a part of it is there."""
        return self.filling.exists()

    def open(
        self, paths: Sequence[Path], size: Size | None, channels: int | None
    ) -> ReadImages | None:
        """Return what is kept, where all is there and of that size; what was damaged is removed.

        Another process may remove it meanwhile.
        """
        with suppress(FileNotFoundError):
            return self._open(paths, size, channels)
        return None

    def _open(
        self, paths: Sequence[Path], size: Size | None, channels: int | None
    ) -> ReadImages | None:
        meta = read_document(self.meta)
        if meta is None:
            if self.meta.exists():
                shutil.rmtree(self.place)
            return None
        state = state_of(meta)
        if size not in (None, state.shape[:2]) or channels not in (None, _channels(state.shape)):
            return None
        file = self.place / state.file
        if not file.exists() or file.stat().st_size != state.kept * state.bytes_each:
            shutil.rmtree(self.place)
            return None
        os.utime(self.meta)  # when it was last used
        images = np.memmap(file, np.uint8, "r", shape=(state.kept, *state.shape))
        kept = np.setdiff1d(np.arange(len(paths)), state.damaged).tolist()
        damaged = [paths[i] for i in state.damaged]
        return ReadImages(images, kept, damaged, [state.dim[i] for i in sorted(state.dim)])


def _channels(shape: tuple[int, ...]) -> int:
    return 3 if len(shape) == 3 else 1


def state_of(line: dict[str, Any]) -> State:
    """Return how far an entry is by what it says of itself."""
    size = None if line["size"] is None else (line["size"][0], line["size"][1])
    dim = {int(place): note for place, note in line["dim"].items()}
    counts = line["done"], line["kept"], tuple(line["shape"])
    return State(*counts, size, line["damaged"], dim)


@dataclass(frozen=True)
class Kept:
    """An entry of the cache, as `lookbook cache` lists it."""

    place: Path
    #: whose images they are
    folder: str
    images: int
    n_bytes: int
    #: seconds since 1970
    last_used: float
    is_whole: bool


def list_kept(folder: Path | None = None) -> list[Kept]:
    """List the entries of the cache, or those of one folder, the last used first."""
    place = cache_folder("images")
    found = [_kept(path) for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    wanted = None if folder is None else str(folder.resolve())
    chosen = [kept for kept in found if wanted in (None, kept.folder)]
    return sorted(chosen, key=lambda kept: -kept.last_used)


def _kept(place: Path) -> Kept:
    entry = Entry(place)
    meta = read_document(entry.meta)
    about: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        about = meta or json.loads(entry.filling.read_text())
    n_bytes = sum(path.stat().st_size for path in place.iterdir())
    used = (entry.meta if meta else place).stat().st_mtime
    return Kept(
        place, about.get("folder", ""), about.get("kept", 0), n_bytes, used, meta is not None
    )


def clear(kept: Sequence[Kept]) -> int:
    """Remove entries, but for those that are being filled; return how many bytes that frees."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  # not needed where the cache is filled

    freed = 0
    for each in kept:
        with suppress(Timeout), FileLock(each.place.with_suffix(".lock"), timeout=0):
            shutil.rmtree(each.place)
            freed += each.n_bytes
    return freed
