"""Batches of image files in their order, read by this process and by others beside it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress

from lookbook.core.environment import usable_cores
from lookbook.images.batch import Batch, Request, read_batch
from lookbook.images.decoding import MAX_MEMORY
from lookbook.images.workers import Worker, can_start

#: fewest and most files of a batch: few at first and at last, so that no process waits for another
BATCH = (2, 64)
#: seconds of reading that are worth another process, which takes 0.1 s to start; and seconds of it
#: that tell how long all takes
WORTH_A_WORKER, SEEN = 0.4, 0.02
#: bytes that each of many processes may take to decode an image: photographs of 15 megapixels
MIN_SHARE = 64_000_000


class Pool:
    """Files that are being read, batch by batch, by this process and by its workers.

    Where that takes longer than starting them, other processes read beside this one: one for each
    core that may be used.

    Parameters
    ----------
    n
        How many files there are.
    request
        What to read of a range of them; it is called by several threads.
    ahead
        Most files that are read, or being read, before those are taken that come first.
    """

    def __init__(self, n: int, request: Callable[[range], Request], ahead: int) -> None:
        self._n, self._request, self._ahead = n, request, max(ahead, BATCH[0])
        self._n_workers = self._n_taken = self._n_given = 0
        self._max_memory: int | None = None
        self._may_start = can_start()
        #: files that this process read but for the first batch, which loads the decoders; how long
        self._n_seen, self._seconds = 0, 0.0
        #: what is taken next, and whether it is wanted still
        self._turn, self._is_closed = threading.Condition(), False
        #: held while a worker reads
        self._reads: list[threading.Lock] = []
        self._done: queue.SimpleQueue[tuple[int, Batch]] = queue.SimpleQueue()

    def batches(self) -> Generator[tuple[int, Batch]]:
        """Yield the number of its first file, and each batch; closed early, it ends the workers."""
        done: dict[int, Batch] = {}
        with ExitStack() as stack:
            while (first := self._n_given) < self._n:
                while first not in done:
                    place, batch = self._next()
                    done[place] = batch
                    self._consider_workers(stack)
                batch = self._complete(first, done.pop(first))
                yield first, batch
                with self._turn:
                    self._n_given += batch.n
                    self._turn.notify_all()

    def _next(self) -> tuple[int, Batch]:
        """Return a batch and its first file: a worker's where one is done, else read here."""
        if self._done.empty() and (taken := self._take()):
            start = time.perf_counter()
            batch = read_batch(self._request_of(taken))
            if taken.start:
                self._n_seen += batch.n
                self._seconds += time.perf_counter() - start
            return taken.start, batch
        return self._done.get()

    def _take(self, *, waits: bool = False) -> range:
        """Return which files to read next; none where all are taken, or too many are read ahead."""
        with self._turn:
            while waits and not self._is_closed and self._n_taken - self._n_given >= self._ahead:
                self._turn.wait()
            n_left = 0 if self._is_closed else self._n - self._n_taken
            fewest, most = BATCH
            share = n_left // (4 * (1 + self._n_workers)) if self._n_workers else fewest
            room = max(0, self._ahead - self._n_taken + self._n_given)
            n = min(max(fewest, share), most, n_left, room)
            taken = range(self._n_taken, self._n_taken + n)
            self._n_taken = taken.stop
            return taken

    def _request_of(self, places: range) -> Request:
        return self._request(places)._replace(max_memory=self._max_memory)

    def _complete(self, first: int, batch: Batch) -> Batch:
        """Read again, alone, what took more memory than a share, or what a killed worker had."""
        if len(batch.kept) + len(batch.errors) == batch.n:
            return batch
        with ExitStack() as pause:
            for lock in self._reads:
                pause.enter_context(lock)
            return read_batch(self._request(range(first, first + batch.n)))

    def _consider_workers(self, stack: ExitStack) -> None:
        """Start workers where what is left would take one process long enough."""
        if not self._may_start or self._seconds < SEEN or not self._n_seen:
            return
        seconds = self._seconds / self._n_seen * (self._n - self._n_taken)
        n = min(usable_cores() - 1, int(seconds / WORTH_A_WORKER))
        self._may_start = n <= 0
        with suppress(OSError, RuntimeError):  # the system has none to give: this one reads on
            for _ in range(n):
                worker = stack.enter_context(Worker())
                lock = threading.Lock()
                feeder = threading.Thread(target=self._feed, args=(worker, lock))
                self._n_workers += 1
                self._reads.append(lock)
                self._max_memory = max(MAX_MEMORY // (1 + n), MIN_SHARE)
                feeder.start()
                stack.callback(feeder.join)
                stack.callback(self._end, worker)  # first of the three

    def _feed(self, worker: Worker, lock: threading.Lock) -> None:
        """Have a worker read files until there are none left to take, or it is gone."""
        while taken := self._take(waits=True):
            with lock:
                batch = worker.read(self._request_of(taken))
            self._done.put((taken.start, batch or Batch.none_of(len(taken))))
            if batch is None:
                return

    def _end(self, worker: Worker) -> None:
        worker.kill()
        with self._turn:
            self._is_closed = True
            self._turn.notify_all()
