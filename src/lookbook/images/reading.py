"""Image files to one array, all of one size; damaged ones are named."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.core.environment import usable_cores
from lookbook.core.names import few, text
from lookbook.errors import InputError
from lookbook.images.batch import USUAL_SIZE, Batch, Request, read_batch, to_usual_size
from lookbook.images.decoding import MAX_MEMORY
from lookbook.images.workers import Worker, can_start

if TYPE_CHECKING:
    from jaxtyping import UInt8

#: fewest and most files of a batch: few at first and at last, so that no process waits for another
BATCH = (2, 64)
#: seconds of reading that are worth another process, which takes 0.1 s to start; and seconds of it
#: that tell how long all takes
WORTH_A_WORKER, SEEN = 0.4, 0.02
#: bytes that each of many processes may take to decode an image: photographs of 15 megapixels
MIN_SHARE = 64_000_000


class ReadImages(NamedTuple):
    """What came of image files: the images of those that can be read, in their order."""

    images: UInt8[np.ndarray, "M H W *C"]
    #: which of the files they are
    kept: list[int]
    damaged: list[Path]
    #: one note for each image that came out too dark
    dim: list[str]


def read_images(
    paths: Sequence[Path], size: tuple[int, int] | None = None, channels: int | None = None
) -> ReadImages:
    """Return image files as uint8 images of one size, H×W; each file is opened once.

    Where that takes longer than starting them, other processes read beside this one: one for each
    core that may be used.

    Parameters
    ----------
    paths
        The files.
    size
        Height and width to which each is brought; without it their own where all share one of 8 to
        224 pixels a side, else 64×64.
    channels
        1 or 3; without it they are colour where any of them is, else grey.

    Raises
    ------
    InputError
        None of them can be read.
    """
    reading = _Reading(paths, size, colour=channels != 1)
    reading.read()
    images, kept = reading.images, np.flatnonzero(reading.is_read).tolist()
    damaged = [path for path, is_read in zip(paths, reading.is_read, strict=True) if not is_read]
    if images is None:
        raise InputError(
            f"none of the {len(paths)} image files can be read "
            f"({few([text(str(path)) for path in sorted(damaged)])}); save them again, as PNG or "
            "JPEG"
        )
    if damaged:
        images = images[kept]
    if channels is None and all((image == image[..., :1]).all() for image in images):
        # grey, whatever the files call it: the channels are equal, one of them says it all
        images = np.ascontiguousarray(images[..., 0])
    return ReadImages(images, kept, damaged, [reading.dim[place] for place in sorted(reading.dim)])


class _Reading:
    """Files that are being read, batch by batch, by this process and by its workers."""

    def __init__(
        self, paths: Sequence[Path], size: tuple[int, int] | None, *, colour: bool
    ) -> None:
        self.images: UInt8[np.ndarray, "N H W *C"] | None = None
        self.is_read = np.zeros(len(paths), dtype=bool)
        #: notes on images that came out too dark
        self.dim: dict[int, str] = {}
        self._paths, self._size, self._colour = [str(path) for path in paths], size, colour
        self._max_memory: int | None = None
        self._n_workers = self._n_taken = 0
        self._may_start = can_start()
        self._taking = threading.Lock()
        self._done: queue.SimpleQueue[tuple[int, Batch]] = queue.SimpleQueue()

    def read(self) -> None:
        """Read them all."""
        n, n_done = len(self._paths), 0
        with ExitStack() as stack:
            while n_done < n:
                first, batch = self._next()
                self._keep(first, batch)
                n_done += batch.n
                if n_done == batch.n:  # the first, which loads the decoders, too
                    start, n_first = time.perf_counter(), n_done
                elif self._may_start and (seconds := time.perf_counter() - start) > SEEN:
                    self._start_workers(seconds / (n_done - n_first) * (n - n_done), stack)
        if self._n_workers:
            # a worker refuses what takes much memory, and a killed one answers nothing
            self._max_memory = None
            for place in np.flatnonzero(~self.is_read).tolist():
                self._keep(place, read_batch(self._request(range(place, place + 1))))

    def _next(self) -> tuple[int, Batch]:
        """Return the next batch and its first file: a worker's where one is done, else read."""
        if self._done.empty() and (taken := self._take()):
            return taken.start, read_batch(self._request(taken))
        return self._done.get()

    def _take(self) -> range:
        """Return which files to read next; none where all are read, or being read."""
        with self._taking:
            n_left = len(self._paths) - self._n_taken
            fewest, most = BATCH
            share = n_left // (4 * (1 + self._n_workers)) if self._n_workers else fewest
            taken = range(self._n_taken, self._n_taken + min(n_left, max(fewest, min(share, most))))
            self._n_taken = taken.stop
            return taken

    def _request(self, places: range) -> Request:
        paths = self._paths[places.start : places.stop]
        return Request(paths, self._size, self._colour, self._max_memory)

    def _keep(self, first: int, batch: Batch) -> None:
        """Put a batch to its place."""
        images = batch.images
        if images is None:
            return
        if self.images is None:
            self.images = np.empty((len(self._paths), *images.shape[1:]), np.uint8)
        if images.shape[1:] != self.images.shape[1:]:
            images = np.stack(to_usual_size(images))
            self._size = USUAL_SIZE
            if self.images.shape[1:3] != USUAL_SIZE:
                self.images = self._resized(self.images)
        places = [first + place for place in batch.kept]
        self.images[places], self.is_read[places] = images, True
        self.dim |= {first + place: note for place, note in batch.dim.items()}

    def _resized(self, own: UInt8[np.ndarray, "N H W *C"]) -> UInt8[np.ndarray, "N 64 64 *C"]:
        """Return what was read in another size than its own."""
        images = np.empty((len(own), *USUAL_SIZE, *own.shape[3:]), np.uint8)
        for place in np.flatnonzero(self.is_read):
            images[place] = to_usual_size(own[place : place + 1])[0]
        return images

    def _start_workers(self, seconds: float, stack: ExitStack) -> None:
        """Start workers for what one process would read in so many seconds."""
        n = min(usable_cores() - 1, int(seconds / WORTH_A_WORKER))
        self._may_start = n <= 0
        with suppress(OSError, RuntimeError):  # the system has none to give: this one reads on
            for _ in range(n):
                worker = stack.enter_context(Worker())
                feeder = threading.Thread(target=self._feed, args=(worker,))
                self._n_workers += 1
                self._max_memory = max(MAX_MEMORY // (1 + n), MIN_SHARE)
                feeder.start()
                stack.callback(feeder.join)
                stack.callback(worker.kill)  # first of the three

    def _feed(self, worker: Worker) -> None:
        """Have a worker read files until there are none left to take, or it is gone."""
        while taken := self._take():
            batch = worker.read(self._request(taken))
            self._done.put((taken.start, batch or Batch(len(taken), None, [], {})))
            if batch is None:
                return
