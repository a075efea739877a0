"""Batches of what is waiting: one bounded queue for all models, a thread for each core."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.inference.model import Outputs
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from lookbook.serving.metrics import Metrics
    from lookbook.serving.repository import ServedModel

#: images that may wait or be in work, in all queues of a process
MAX_QUEUE = 256
#: seconds for which the loop computes at most before it looks at its connections, whole batches
LOOK_SECONDS = 0.02
#: images that go through a network at once
MAX_BATCH = 32


class Job:
    """Images of one request, and what becomes of them."""

    __slots__ = (
        "done",
        "error",
        "images",
        "is_cancelled",
        "is_counted",
        "model",
        "outputs",
        "tell",
    )

    def __init__(
        self,
        model: ServedModel,
        images: Shaped[np.ndarray, "N *shape"],
        tell: Callable[[Job], None],
        *,
        is_counted: bool,
    ) -> None:
        self.model, self.images, self.tell, self.is_counted = model, images, tell, is_counted
        #: answers to its parts so far, by the number of the first image
        self.done: dict[int, Outputs] = {}
        self.outputs: Outputs | None = None
        self.error: Exception | None = None
        self.is_cancelled = False


class _Part(NamedTuple):
    """Images of a job that go through the network together."""

    job: Job
    #: number of the first of them
    start: int
    images: Shaped[np.ndarray, "N *shape"]


class Batcher:
    """Answers images in batches of what waits, in the order in which they came.

    Its methods are for the thread of the event loop alone. Nothing waits while nothing is in work.

    Parameters
    ----------
    loop
        Where answers are told.
    max_queue
        Images that may wait or be in work: more are refused.
    metrics
        Hears of batches and answers.
    threads
        How many batches are computed at once, each by one core: with several cores to a batch,
        ONNX Runtime parts it by load, and the last bits of `novelty` depend on where. 0: the loop
        computes itself, between two looks at its connections. Where there is one core, that gives
        9,500 answers a second for 7,700 of a thread, which has to wait for Python's lock.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_queue: int,
        metrics: Metrics,
        threads: int = 1,
    ) -> None:
        self.max_queue = max_queue
        #: images that wait or are in work
        self.n_images = 0
        self._loop, self._metrics = loop, metrics
        self._given: SimpleQueue[_Part | None] = SimpleQueue()
        #: what the threads have taken, and not yet computed
        self._waiting: deque[_Part] = deque()
        self._turn = threading.Lock()
        #: whether the loop is going to compute, and whether it is the end
        self._is_due = self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{i}", daemon=True)
            for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_full(self) -> bool:
        """Whether not one more image is taken."""
        return self.n_images >= self.max_queue

    def submit(
        self,
        model: ServedModel,
        images: Shaped[np.ndarray, "N *shape"],
        tell: Callable[[Job], None],
        *,
        is_counted: bool = True,
    ) -> Job:
        """Have images answered; `tell` hears of it in the loop's thread, unless it is cancelled.

        Answers that are not counted as sure or not, are counted by who asks.

        Raises
        ------
        Refusal
            There is no room for them.
        """
        n = len(images)
        self.check_room(n)
        job = Job(model, images, tell, is_counted=is_counted)
        self.n_images += n
        size = model.max_batch
        for start in range(0, n, size):
            self._put(_Part(job, start, images[start : start + size]))
        return job

    def _put(self, part: _Part) -> None:
        if self._threads:
            self._given.put(part)
            return
        self._waiting.append(part)
        self._come_back()

    def _come_back(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._compute_here)

    def _compute_here(self) -> None:
        """Compute a batch before the loop looks at its connections; of a long queue, several.

        To refuse a request costs a third of what it costs to answer one: with one batch a look,
        three times as many requests as can be answered left time for a third of them.
        """
        self._is_due = False
        end = time.monotonic() + LOOK_SECONDS
        while parts := self._take():
            self._end(parts, *self._compute(parts))
            if self.n_images <= self.max_queue // 2 or time.monotonic() > end:
                break
        if self._waiting:
            self._come_back()

    def check_room(self, n: int = 1) -> None:
        """Refuse images for which there is no room now, or never is.

        Raises
        ------
        Refusal
            As said.
        """
        if n > self.max_queue:
            raise Refusal(413, f"expected {self.max_queue:,} images or fewer at once, got {n:,}")
        if self.n_images + n > self.max_queue:
            raise Refusal(
                429,
                f"{self.n_images:,} images are waiting, and {self.max_queue:,} may; try again soon",
                {"retry-after": "1"},
            )

    @contextmanager
    def room_for(self, n: int) -> Iterator[None]:
        """Keep room for images that are on their way.

        Raises
        ------
        Refusal
            There is none.
        """
        self.check_room(n)
        self.n_images += n
        try:
            yield
        finally:
            self.n_images -= n

    async def answer(
        self, model: ServedModel, images: Shaped[np.ndarray, "N *shape"], *, is_counted: bool = True
    ) -> Outputs:
        """Return the answers to images; cancelled, it leaves the queue.

        Raises
        ------
        Refusal
            There is no room for them.
        Exception
            What the model raised.
        """
        told: asyncio.Future[None] = self._loop.create_future()

        def tell(_job: Job) -> None:
            if not told.done():
                told.set_result(None)

        job = self.submit(model, images, tell, is_counted=is_counted)
        try:
            await told
        except asyncio.CancelledError:
            self.cancel(job)
            raise
        return outputs_of(job)

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue; what is in work ends unheard."""
        if not job.is_cancelled and job.outputs is None and job.error is None:
            job.is_cancelled = True
            self.n_images -= len(job.images)

    def close(self) -> None:
        """End the threads after what is in work; what waits is left: nobody hears of it."""
        self._is_closed = True
        self._given.put(None)
        for thread in self._threads:
            thread.join()

    # ---- in the loop's thread ----

    def _end(self, parts: list[_Part], outputs: Outputs | None, error: Exception | None) -> None:
        """Hand out the answers to a batch."""
        start = 0
        for part in parts:
            job, n = part.job, len(part.images)
            if outputs is not None:
                rows = slice(start, start + n)
                job.done[part.start] = Outputs(
                    outputs.logits[rows], outputs.probs[rows], outputs.novelty[rows]
                )
            start += n
            if job.is_cancelled or job.error is not None:
                continue
            if error is not None:
                job.error = error
            elif n == len(job.images):
                job.outputs = job.done[0]
            elif sum(len(each.novelty) for each in job.done.values()) == len(job.images):
                job.outputs = _together([job.done[place] for place in sorted(job.done)])
            else:
                continue
            self.n_images -= len(job.images)
            job.tell(job)

    # ---- in the threads that compute ----

    def _work(self) -> None:
        while parts := self._next():
            outputs, error = self._compute(parts)
            self._loop.call_soon_threadsafe(self._end, parts, outputs, error)

    def _compute(self, parts: list[_Part]) -> tuple[Outputs | None, Exception | None]:
        """Return the answers to a batch, or what its model raised."""
        images = [part.images for part in parts]
        model = parts[0].job.model
        try:
            together = images[0] if len(images) == 1 else np.concatenate(images)
            outputs = model.model.predict(together)
            self._count(model, parts, outputs)
        except Exception as error:  # noqa: BLE001  # told to who asked
            return None, error
        return outputs, None

    def _count(self, model: ServedModel, parts: list[_Part], outputs: Outputs) -> None:
        """Count a batch, and how sure its answers are."""
        self._metrics.count_batch(model.name, len(outputs.novelty))
        strange, unsure = model.thresholds.judge_all(outputs.probs.max(axis=1), outputs.novelty)
        if not all(part.job.is_counted for part in parts):
            rows = np.repeat(
                [part.job.is_counted for part in parts], [*map(len, (p.images for p in parts))]
            )
            strange, unsure = strange[rows], unsure[rows]
        self._metrics.count_answers(model.name, model.version, strange, unsure)

    def _next(self) -> list[_Part]:
        with self._turn:
            return self._gather()

    def _gather(self) -> list[_Part]:
        """Wait for images; return those of one model that waited longest; none: it is the end."""
        waiting = self._waiting
        while True:
            if not waiting:
                if (part := self._given.get()) is None:
                    self._given.put(None)  # for the next thread
                    return []
                waiting.append(part)
            while not self._given.empty():
                if (part := self._given.get()) is None:
                    self._given.put(None)  # for the next time: what came before it is answered
                    break
                waiting.append(part)
            if parts := self._take():
                return parts

    def _take(self) -> list[_Part]:
        """Take a batch out of what waits: the first, and others of its model; no cancelled ones."""
        parts: list[_Part] = []
        others: list[_Part] = []
        n = 0
        while self._waiting:
            part = self._waiting.popleft()
            if self._is_closed or part.job.is_cancelled or part.job.error is not None:
                continue
            model = parts[0].job.model if parts else part.job.model
            if part.job.model is not model:
                others.append(part)
            elif n + len(part.images) > model.max_batch:
                others.append(part)
                break
            else:
                parts.append(part)
                n += len(part.images)
        self._waiting.extendleft(reversed(others))
        return parts


def outputs_of(job: Job) -> Outputs:
    """Return the answers of a job that has ended, or raise what its model raised."""
    if job.error is not None:
        raise job.error
    if job.outputs is None:
        raise RuntimeError("its answers are not there yet")
    return job.outputs


def _together(parts: list[Outputs]) -> Outputs:
    return Outputs(*map(np.concatenate, zip(*parts, strict=True)))
