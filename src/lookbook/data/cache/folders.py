"""Cache of large image folders: decoded once into a file that is memory-mapped from then on.

An entry is a folder: `images-64x64x3`, the images one after the other; `filling.json`, how far it
is, second by second; at the end `meta.json` in its stead. Its name is a hash of the files' names,
sizes and times, in their order, and of what they are brought to: files that change make another.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.core.environment import usable_cores
from lookbook.core.names import names_within
from lookbook.data.cache.entries import Entry
from lookbook.data.cache.filling import fill
from lookbook.data.dataset import warn
from lookbook.data.download import cache_folder
from lookbook.errors import OutputError
from lookbook.images.batch import Request, read_batch
from lookbook.images.reading import ReadImages, read_images

if TYPE_CHECKING:
    from lookbook.data.cache.entries import Size

#: files below which a folder is always read into memory, and of others how many tell what it takes
FEWEST, TRIED = 500, 4
#: bytes of images, or seconds of reading, from which a folder is kept
WORTH_BYTES, WORTH_SECONDS = 256_000_000, 8.0
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
    entries = [Entry(place / _key(listing, *each)) for each in asked]
    for entry in entries:
        if (kept := entry.open(paths, size, channels)) is not None:
            return kept
    if not (keep or entries[0].is_begun):
        n_bytes, seconds = _estimate(paths, size, channels)
        if n_bytes < WORTH_BYTES and seconds < WORTH_SECONDS:
            return read_images(paths, size, channels)
    try:
        return fill(entries[0], paths, size, channels, folder)
    except OSError as error:
        _without_cache(error, paths, size, channels)
    return read_images(paths, size, channels)


def _hash_listing(paths: Sequence[Path], folder: Path) -> str:
    digest = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape"))
    for path, name in zip(paths, names_within(folder, paths), strict=True):
        stat = path.stat()
        line = f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0"
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
