"""Cache of large image folders: decoded once into a file that is memory-mapped from then on.

An entry is a folder: `images-64x64x3`, the images one after the other; `filling.json`, how far it
is, second by second; at the end `meta.json` in its stead. Its name is a hash of the files' names,
sizes and times, in their order, and of what they are brought to: files that change make another.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lookbook.core.arrays import chunks
from lookbook.core.environment import usable_cores
from lookbook.core.files import write_bytes
from lookbook.core.listeners import tell_images
from lookbook.data.dataset import warn
from lookbook.data.download import cache_folder
from lookbook.errors import OutputError
from lookbook.images.batch import USUAL_SIZE, Batch, Request, read_batch, to_usual_size
from lookbook.images.pool import Pool
from lookbook.images.reading import ReadImages, none_readable, read_images

if TYPE_CHECKING:
    from io import BufferedRandom

    from jaxtyping import UInt8

    Size = tuple[int, int]

#: files below which a folder is always read into memory, and of others how many tell what it takes
FEWEST, TRIED = 500, 4
#: bytes of images, or seconds of reading, from which a folder is kept
WORTH_BYTES, WORTH_SECONDS = 256_000_000, 8.0
#: seconds after which what was read is on the disk, whatever happens; files that are read ahead
COMMIT, AHEAD = 1.0, 512
#: number of this way of keeping images
VERSION = 1


def read(
    paths: Sequence[Path],
    size: Size | None,
    channels: int | None,
    folder: Path,
    *,
    keep: bool = False,
) -> ReadImages:
    """Return what `read_images` does; images of a large folder stay on the disk, in the cache.

    Those that are to be kept do, too, however few they are.

    Raises
    ------
    InputError
        None of them can be read.
    OutputError
        The cache has no room for them, and memory neither.
    """
    if len(paths) < FEWEST and not keep:
        return read_images(paths, size, channels)
    try:
        place = cache_folder("images")
    except OutputError:  # this user has no home folder
        return read_images(paths, size, channels)
    listing = _hash_listing(paths, folder)
    asked = dict.fromkeys(((size, channels), (size, None), (None, channels), (None, None)))
    entries = [_Entry(place / _key(listing, *each)) for each in asked]
    for entry in entries:
        if (kept := entry.open(paths, size, channels)) is not None:
            return kept
    if not (keep or entries[0].is_begun):
        n_bytes, seconds = _estimate(paths, size, channels)
        if n_bytes < WORTH_BYTES and seconds < WORTH_SECONDS:
            return read_images(paths, size, channels)
    try:
        return _fill(entries[0], paths, size, channels, folder)
    except OSError as error:
        _without_cache(error, paths, size, channels)
    return read_images(paths, size, channels)


def _hash_listing(paths: Sequence[Path], folder: Path) -> str:
    digest = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape"))
    for path in paths:
        stat = path.stat()
        line = f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def _key(listing: str, size: Size | None, channels: int | None) -> str:
    return hashlib.sha256(repr((VERSION, listing, size, channels)).encode()).hexdigest()[:16]


def _estimate(paths: Sequence[Path], size: Size | None, channels: int | None) -> tuple[int, float]:
    """Return how many bytes all images take, and how many seconds reading them."""
    tried = [str(paths[i * len(paths) // TRIED]) for i in range(TRIED)]
    start = time.perf_counter()
    batch = read_batch(Request(tried, size, colour=channels != 1))
    seconds = (time.perf_counter() - start) / TRIED * len(paths) / usable_cores()
    each = 0 if batch.images is None else batch.images[0].nbytes
    return each * len(paths), seconds


def _without_cache(
    error: OSError, paths: Sequence[Path], size: Size | None, channels: int | None
) -> None:
    """Warn of a cache that cannot be written, or end where memory does not hold the images."""
    needed, _ = _estimate(paths, size, channels)
    place = cache_folder("images")
    gb, reason = needed / 1e9, error.strerror or str(error)
    # half of the memory; Windows does not say how much there is
    if hasattr(os, "sysconf") and needed > os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE / 2:
        raise OutputError(
            f"the cache {place} cannot keep {gb:.1f} GB of images ({reason}); make room there, "
            "or name another cache folder in XDG_CACHE_HOME"
        ) from error
    warn(
        f"the cache {place} cannot keep {gb:.1f} GB of images ({reason}), which are read into "
        "memory; make room there, or name another cache folder in XDG_CACHE_HOME"
    )


# ---- an entry ----


@dataclass
class _State:
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


class _Entry:
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
        """Return what is kept, where all is there and of that size; what was damaged is removed."""
        meta = _checked(self.meta)
        if meta is None:
            if self.meta.exists():
                shutil.rmtree(self.place)
            return None
        state = _state_of(meta)
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


def _checked(path: Path) -> dict[str, Any] | None:
    """Return what an entry says of itself; None where that is not what was written."""
    try:
        text, _, checksum = path.read_text().rpartition("\n")
        meta: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return meta if checksum == hashlib.sha256(text.encode()).hexdigest() else None


def _state_of(line: dict[str, Any]) -> _State:
    size = None if line["size"] is None else (line["size"][0], line["size"][1])
    dim = {int(place): note for place, note in line["dim"].items()}
    counts = line["done"], line["kept"], tuple(line["shape"])
    return _State(*counts, size, line["damaged"], dim)


# ---- filling it ----


def _fill(
    entry: _Entry, paths: Sequence[Path], size: Size | None, channels: int | None, folder: Path
) -> ReadImages:
    """Read files into an entry, from where that was left; others that want the same wait."""
    from filelock import FileLock  # noqa: PLC0415  # not needed where the cache is filled

    entry.place.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.place.with_suffix(".lock")):
        # another process may have been faster
        if (kept := entry.open(paths, size, channels)) is not None:
            return kept
        entry.place.mkdir(exist_ok=True)
        state = _Filling(entry, paths, folder, size, colour=channels != 1).run()
        if not state.kept:
            shutil.rmtree(entry.place)
            raise none_readable(list(paths))
        if channels is None and len(state.shape) == 3:
            state = _as_grey(entry.place, state)
        about = {"folder": str(folder.resolve()), "files": len(paths), **vars(state)}
        text = json.dumps(about)
        checksum = hashlib.sha256(text.encode()).hexdigest()
        write_bytes(entry.meta, f"{text}\n{checksum}".encode(), argument=None)
        entry.filling.unlink()
    return cast("ReadImages", entry.open(paths, None, None))


class _Filling:
    """Files that are being read into an entry, one after the other."""

    def __init__(
        self,
        entry: _Entry,
        paths: Sequence[Path],
        folder: Path,
        size: Size | None,
        *,
        colour: bool,
    ) -> None:
        self._entry, self._folder, self._colour = entry, str(folder.resolve()), colour
        self._paths = [str(path) for path in paths]
        self._state = _resume(entry) or _State(size=size)
        self._file: BufferedRandom | None = None

    def run(self) -> _State:
        """Read all that is not read yet."""
        start, n = self._state.done, len(self._paths)
        tell_images(start, n)
        committed = time.monotonic()
        pool = Pool(n - start, lambda places: self._request(start, places), AHEAD)
        try:
            with closing(pool.batches()) as batches:
                for first, batch in batches:
                    self._keep(start + first, batch)
                    tell_images(self._state.done, n)
                    if time.monotonic() > committed + COMMIT:
                        self._commit()
                        committed = time.monotonic()
        finally:
            self._commit()
            if self._file is not None:
                self._file.close()
        return self._state

    def _request(self, start: int, places: range) -> Request:
        paths = self._paths[start + places.start : start + places.stop]
        return Request(paths, self._state.size, self._colour)

    def _keep(self, first: int, batch: Batch) -> None:
        """Write a batch behind those before it."""
        state = self._state
        kept = {first + place for place in batch.kept}
        if batch.images is not None:
            images = batch.images
            if not state.shape:
                self._begin(images.shape[1:])
            if images.shape[1:] != state.shape:
                images = np.stack(to_usual_size(images))
                self._to_usual_size()
            self._opened().write(images.tobytes())
        state.kept += len(kept)
        state.done = first + batch.n
        state.damaged += [i for i in range(first, first + batch.n) if i not in kept]
        state.dim |= {first + place: note for place, note in batch.dim.items()}

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Refuse to begin what the disk has no room for."""
        self._state.shape = shape
        if shutil.disk_usage(self._entry.place).free < len(self._paths) * self._state.bytes_each:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _opened(self) -> BufferedRandom:
        """Return the file of images, with nothing behind those that are kept."""
        if self._file is None:
            path = self._entry.place / self._state.file
            path.touch()
            self._file = path.open("r+b")
            self._file.seek(self._state.kept * self._state.bytes_each)
            self._file.truncate()
        return self._file

    def _to_usual_size(self) -> None:
        """Bring images that were kept in their own size to the usual one."""
        self._state.size = USUAL_SIZE
        if self._state.shape[:2] == USUAL_SIZE:
            return
        self._commit()
        if self._file is not None:
            self._file.close()
            self._file = None
        old = self._entry.place / self._state.file
        shape = (*USUAL_SIZE, *self._state.shape[2:])
        _convert(self._entry.place, self._state, shape, _all_to_usual_size)
        self._commit()
        old.unlink(missing_ok=True)

    def _commit(self) -> None:
        """Make sure that what was read is on the disk, then say so."""
        if not self._state.done:
            return
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
        about = {"folder": self._folder, **vars(self._state)}
        write_bytes(self._entry.filling, json.dumps(about).encode(), argument=None)


def _resume(entry: _Entry) -> _State | None:
    """Return how far an entry is; None where nothing of it can be used."""
    with suppress(OSError, ValueError, KeyError):
        state = _state_of(json.loads(entry.filling.read_text()))
        file = entry.place / state.file
        if not state.kept or file.stat().st_size >= state.kept * state.bytes_each:
            return state
    return None


def _all_to_usual_size(images: UInt8[np.ndarray, "M H W *C"]) -> UInt8[np.ndarray, "M 64 64 *C"]:
    return np.stack(to_usual_size(images))


def _first_channel(images: UInt8[np.ndarray, "M H W 3"]) -> UInt8[np.ndarray, "M H W"]:
    return np.ascontiguousarray(images[..., 0])


def _convert(place: Path, state: _State, shape: tuple[int, ...], change: Any) -> None:
    """Write images in another shape into another file; the old one goes when that is written."""
    old = place / state.file
    parts = list(_parts(old, state))
    state.shape = shape
    with (place / state.file).open("wb") as file:
        for part in parts:
            file.write(change(part).tobytes())
        file.flush()
        os.fsync(file.fileno())


def _parts(file: Path, state: _State) -> Iterator[UInt8[np.ndarray, "M H W *C"]]:
    """Give the images of a file chunk by chunk."""
    if state.kept:
        images = np.memmap(file, np.uint8, "r", shape=(state.kept, *state.shape))
        for part in chunks(state.kept, state.bytes_each):
            yield images[part]


def _as_grey(place: Path, state: _State) -> _State:
    """Keep one channel of images all of whose channels are equal."""
    parts = _parts(place / state.file, state)
    if all((part == part[..., :1]).all() for part in parts):
        old = place / state.file
        _convert(place, state, state.shape[:2], _first_channel)
        old.unlink()
    return state


# ---- what is kept ----


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
    entry = _Entry(place)
    meta = _checked(entry.meta)
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
