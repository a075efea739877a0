"""Readers: processes that read uploaded image files, so that one bad file cannot end the server.

Processes and not threads: half of the reading is Python's own, which would keep the event loop
waiting, and a file that takes too long, or too much memory, can be left to its process. Where there
is one core, the loop reads small files itself: a process would only take turns with it, which costs
half of what reading such a file does.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from lookbook.errors import InputError
from lookbook.images.batch import Batch, Request, read_batch
from lookbook.images.workers import Worker
from lookbook.inference.predictor import Sample
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from lookbook.core.bounded_io import NamedBytes
    from lookbook.images.specification import Preprocessing

#: seconds in which a process must have read what it was given
SECONDS = 20.0
#: seconds for which it may go on when nobody waits for it any more: another takes time to start
UNHEARD_SECONDS = 1.0
#: bytes of a file, and of its pixels, up to which the loop may read it: it takes a millisecond
SMALL_FILE, SMALL_IMAGE = 2**18, 2**21
#: most files that a process is given at once: it costs as much as reading a third of a file
MOST = 8
NO_PROCESS = "no process can be started to read image files; try again soon"
_log = logging.getLogger("lookbook.serving")

#: what becomes of a file
_Told = asyncio.Future[Sample | InputError | Refusal]


class _File(NamedTuple):
    """A file that waits, and who is told of it."""

    file: NamedBytes
    steps: Preprocessing
    told: _Told


class _Reading(NamedTuple):
    """What a process reads, and since when."""

    since: float
    files: list[_File]

    def is_late(self, now: float) -> bool:
        """Say whether it takes too long, or more than a moment for nobody."""
        is_heard = not all(each.told.cancelled() for each in self.files)
        return now - self.since > (SECONDS if is_heard else UNHEARD_SECONDS)


class Readers:
    """So many processes, each started when there is something for it to read.

    Its methods are for the thread of the event loop alone.

    Parameters
    ----------
    n
        How many processes.
    reads_small
        Whether small files are read in the thread of the loop.
    """

    def __init__(self, n: int, *, reads_small: bool = False) -> None:
        self._reads_small = reads_small
        self._given: SimpleQueue[_File | None] = SimpleQueue()
        #: process → what it reads; None: nothing
        self._reading: dict[Worker, _Reading | None] = {}
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"reader-{i}", daemon=True) for i in range(n)
        ]
        for thread in self._threads:
            thread.start()

    async def read(
        self, files: Sequence[NamedBytes], steps: Preprocessing
    ) -> list[Sample | InputError]:
        """Return the images of files as a model takes them, or why there are none.

        Raises
        ------
        Refusal
            No process can be started.
        """
        given: list[_Told] = []
        try:
            found = [
                await self._read_here(file, steps) or self._give(file, steps, given)
                for file in files
            ]
            return [
                await _hear(each) if isinstance(each, asyncio.Future) else each for each in found
            ]
        finally:
            self._leave(given)

    def _give(self, file: NamedBytes, steps: Preprocessing, given: list[_Told]) -> _Told:
        """Have a process read a file; note that it was given."""
        told: _Told = asyncio.get_running_loop().create_future()
        given.append(told)
        self._given.put(_File(file, steps, told))
        return told

    def _leave(self, given: list[_Told]) -> None:
        """Take out of the queue, with its bytes, what who asked does not wait for any more."""
        for told in given:
            told.cancel()  # changes nothing about one that has been told
        if not any(told.cancelled() for told in given):
            return
        with suppress(Empty):
            for _ in range(self._given.qsize()):
                one = self._given.get_nowait()
                if one is None or not one.told.cancelled():
                    self._given.put(one)

    async def _read_here(
        self, file: NamedBytes, steps: Preprocessing
    ) -> Sample | InputError | None:
        """Return the image of a small file, or why there is none; None: it is for a process."""
        if not self._reads_small or steps.cuts_out or len(file.content) > SMALL_FILE:
            return None
        batch = read_batch(Request([file], steps.size, steps.colour, SMALL_IMAGE, steps))
        await asyncio.sleep(0)  # others have their turn
        return _samples([file.name], batch)[0] if batch.kept or batch.errors else None

    def end_late(self, now: float) -> None:
        """End processes that have read for too long, by the clock `time.monotonic`."""
        for worker, reading in list(self._reading.items()):
            if reading is not None and reading.is_late(now):
                worker.kill()

    def close(self) -> None:
        """End all processes; what waits, or is being read, is left."""
        self._is_closed = True
        self._given.put(None)
        for worker in list(self._reading):
            worker.kill()
        for thread in self._threads:
            thread.join()

    # ---- in threads that wait for their processes ----

    def _work(self) -> None:
        worker: Worker | None = None
        while together := self._next():
            for _, group in groupby(together, lambda each: id(each.steps)):
                worker = self._answer(list(group), worker)
        if worker is not None:
            self._forget(worker)

    def _next(self) -> list[_File]:
        """Wait for files; return a share of those that wait, and none at the end."""
        together: list[_File] = []
        with suppress(Empty):  # others have left the queue meanwhile
            while len(together) < max(1, min(MOST, self._given.qsize() // len(self._threads))):
                if (one := self._given.get(block=not together)) is None:
                    self._given.put(None)  # for the next thread
                    break
                together.append(one)
        return together

    def _answer(self, files: list[_File], worker: Worker | None) -> Worker | None:
        """Have files read; return the process, or None where it has ended."""
        files = [each for each in files if not (self._is_closed or each.told.cancelled())]
        if not files:
            return worker
        try:
            worker = worker or Worker()
        except OSError as error:  # too many files are open, or memory is short
            _log.warning("%s: %s", NO_PROCESS, error)
            _tell(files, [Refusal(429, NO_PROCESS, {"retry-after": "1"}) for _ in files])
            return None
        steps = files[0].steps
        self._reading[worker] = _Reading(time.monotonic(), files)
        if self._is_closed:  # `close` may not have seen it
            worker.kill()
        batch = worker.read(
            Request([each.file for each in files], steps.size, steps.colour, steps=steps)
        )
        self._reading[worker] = None
        if batch is not None or len(files) == 1:
            _tell(files, _samples([each.file.name for each in files], batch))
        if batch is not None:
            return worker
        self._forget(worker)
        if len(files) == 1:
            return None
        worker = None
        for each in files:  # one of them ended it: the others have an answer
            worker = self._answer([each], worker)
        return worker

    def _forget(self, worker: Worker) -> None:
        del self._reading[worker]
        worker.kill()
        worker.__exit__(None, None, None)


async def _hear(told: _Told) -> Sample | InputError:
    """Wait for the image of a file, or why there is none."""
    if isinstance(heard := await told, Refusal):
        raise heard
    return heard


def _tell(files: list[_File], found: Sequence[Sample | InputError | Refusal]) -> None:
    """Tell what came of files, in the thread of their loop."""

    def tell() -> None:
        for each, sample in zip(files, found, strict=True):
            if not each.told.done():
                each.told.set_result(sample)

    files[0].told.get_loop().call_soon_threadsafe(tell)


def _samples(names: list[str], batch: Batch | None) -> list[Sample | InputError]:
    """Return the image of each file, or why there is none."""
    if batch is None:
        batch = Batch.none_of(len(names))
    images = iter([] if batch.images is None else batch.images)
    inverted = map(bool, batch.inverted)
    found: list[Sample | InputError] = []
    for place, name in enumerate(names):
        if place in batch.kept:
            found.append(
                Sample(name, next(images), next(inverted), cutout=batch.cutouts.get(place))
            )
            continue
        reason = f"{name} cannot be read: it takes too much time or memory; shrink it first"
        error = InputError(batch.errors.get(place, reason))
        error.source = name
        found.append(error)
    return found
