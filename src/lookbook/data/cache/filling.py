"""Fill an entry of the cache with decoded image files, from where that was left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lookbook.core.arrays import chunks
from lookbook.core.files import write_bytes
from lookbook.core.listeners import tell_images
from lookbook.data.cache.entries import Entry, State, state_of
from lookbook.data.cache.facts import write_document
from lookbook.images.batch import USUAL_SIZE, Batch, Request, to_usual_size
from lookbook.images.pool import Pool
from lookbook.images.reading import ReadImages, none_readable

if TYPE_CHECKING:
    from io import BufferedRandom

    from jaxtyping import UInt8

    from lookbook.data.cache.entries import Size

#: seconds after which what was read is on the disk, whatever happens; files that are read ahead
COMMIT, AHEAD = 1.0, 512
#: seconds after which a process that waits for another looks how far that is
LOOK = 1.0


def fill(
    entry: Entry, paths: Sequence[Path], size: Size | None, channels: int | None, folder: Path
) -> ReadImages:
    """Read files into an entry, from where that was left; others that want the same wait."""
    entry.place.mkdir(parents=True, exist_ok=True)
    with _only_one(entry, len(paths)):
        # another process may have been faster
        if (kept := entry.open(paths, size, channels)) is not None:
            tell_images(len(paths), len(paths))
            return kept
        entry.place.mkdir(exist_ok=True)
        state = _Filling(entry, paths, folder, size, colour=channels != 1).run()
        if not state.kept:
            shutil.rmtree(entry.place)
            raise none_readable(list(paths))
        if channels is None and len(state.shape) == 3:
            state = _as_grey(entry.place, state)
        about = {"folder": str(folder.resolve()), "files": len(paths), **vars(state)}
        write_document(entry.meta, about)
        entry.filling.unlink()
    return cast("ReadImages", entry.open(paths, None, None))


@contextmanager
def _only_one(entry: Entry, n: int) -> Iterator[None]:
    """Wait until no other process fills an entry; meanwhile tell how far that one is."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  # not needed where the cache is filled

    lock = FileLock(entry.place.with_suffix(".lock"))
    while not lock.is_locked:
        try:
            lock.acquire(timeout=LOOK)
        except Timeout:
            state = _resume(entry)
            tell_images(0 if state is None else state.done, n)
    try:
        yield
    finally:
        lock.release()


class _Filling:
    """Files that are being read into an entry, one after the other."""

    def __init__(
        self,
        entry: Entry,
        paths: Sequence[Path],
        folder: Path,
        size: Size | None,
        *,
        colour: bool,
    ) -> None:
        self._entry, self._folder, self._colour = entry, str(folder.resolve()), colour
        self._paths = [str(path) for path in paths]
        self._state = _resume(entry) or State(size=size)
        self._file: BufferedRandom | None = None

    def run(self) -> State:
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


def _resume(entry: Entry) -> State | None:
    """Return how far an entry is; None where nothing of it can be used."""
    with suppress(OSError, ValueError, KeyError):
        state = state_of(json.loads(entry.filling.read_text()))
        file = entry.place / state.file
        if not state.kept or file.stat().st_size >= state.kept * state.bytes_each:
            return state
    return None


def _all_to_usual_size(images: UInt8[np.ndarray, "M H W *C"]) -> UInt8[np.ndarray, "M 64 64 *C"]:
    return np.stack(to_usual_size(images))


def _first_channel(images: UInt8[np.ndarray, "M H W 3"]) -> UInt8[np.ndarray, "M H W"]:
    return np.ascontiguousarray(images[..., 0])


def _convert(place: Path, state: State, shape: tuple[int, ...], change: Any) -> None:
    """Write images in another shape into another file; the old one goes when that is written."""
    old = place / state.file
    parts = list(_parts(old, state))
    state.shape = shape
    with (place / state.file).open("wb") as file:
        for part in parts:
            file.write(change(part).tobytes())
        file.flush()
        os.fsync(file.fileno())


def _parts(file: Path, state: State) -> Iterator[UInt8[np.ndarray, "M H W *C"]]:
    """Give the images of a file chunk by chunk."""
    if state.kept:
        images = np.memmap(file, np.uint8, "r", shape=(state.kept, *state.shape))
        for part in chunks(state.kept, state.bytes_each):
            yield images[part]


def _as_grey(place: Path, state: State) -> State:
    """Keep one channel of images all of whose channels are equal."""
    parts = _parts(place / state.file, state)
    if all((part == part[..., :1]).all() for part in parts):
        old = place / state.file
        _convert(place, state, state.shape[:2], _first_channel)
        old.unlink()
    return state
