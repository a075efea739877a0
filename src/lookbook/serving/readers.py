"""Readers: processes that read uploaded image files, so that one bad file cannot end the server.

Processes and not threads: half of the reading is Python's own, which would keep the event loop
waiting, and a file that takes too long, or too much memory, can be left to its process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lookbook.errors import InputError
from lookbook.images.batch import Batch, Request
from lookbook.images.workers import Worker
from lookbook.inference.predictor import Sample

if TYPE_CHECKING:
    from lookbook.core.bounded_io import NamedBytes
    from lookbook.images.specification import Preprocessing

#: seconds in which a file must be read
SECONDS = 20.0


class Readers:
    """So many processes, each started when there is something for it to read."""

    def __init__(self, n: int) -> None:
        self._threads = ThreadPoolExecutor(n, thread_name_prefix="reader")
        self._own = threading.local()
        self._workers: set[Worker] = set()

    async def read(
        self, files: Sequence[NamedBytes], steps: Preprocessing
    ) -> list[Sample | InputError]:
        """Return the images of files as a model takes them, or why there are none."""
        loop = asyncio.get_running_loop()
        reading = [loop.run_in_executor(self._threads, self._read, file, steps) for file in files]
        return list(await asyncio.gather(*reading))

    def close(self) -> None:
        """End all processes."""
        for worker in list(self._workers):
            worker.kill()
        self._threads.shutdown(cancel_futures=True)

    # ---- in a thread that waits for its process ----

    def _read(self, file: NamedBytes, steps: Preprocessing) -> Sample | InputError:
        request = Request([file], steps.size, steps.colour, steps=steps)
        with self._worker() as worker:
            patience = threading.Timer(SECONDS, worker.kill)
            patience.start()
            batch = worker.read(request)
            patience.cancel()
            if batch is None:
                self._forget(worker)
        return _sample_of(file.name, batch)

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        """Give this thread's process, or a new one in the place of one that ended."""
        if getattr(self._own, "worker", None) is None:
            self._own.worker = Worker()
            self._workers.add(self._own.worker)
        yield self._own.worker

    def _forget(self, worker: Worker) -> None:
        self._workers.discard(worker)
        worker.kill()
        worker.__exit__(None, None, None)
        self._own.worker = None


def _sample_of(name: str, batch: Batch | None) -> Sample | InputError:
    """Return the image of a batch of one file, or why there is none."""
    if batch is not None and batch.images is not None:
        return Sample(name, batch.images[0], bool(batch.inverted[0]), cutout=batch.cutouts.get(0))
    reason = f"{name} cannot be read: it takes too much time or memory; shrink it first"
    error = InputError(batch.errors.get(0, reason) if batch is not None else reason)
    error.source = name
    return error
