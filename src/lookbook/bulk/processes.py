"""Processes that answer parts, each by one thread; one that is killed is replaced."""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from lookbook.bulk.rows import answer_part
from lookbook.errors import LookbookError, LookbookWarning
from lookbook.images.workers import FOLDERS, Child

if TYPE_CHECKING:
    from lookbook.bulk.parts import Part
    from lookbook.bulk.unfinished import Summary, Unfinished
    from lookbook.inference.predictor import Predictor

#: how often a part is begun: the third time that it ends its process, something is wrong with it
MOST_TRIES = 3
#: seconds between two words of a process on how far it is
TELL_SECONDS = 0.1

#: numbers of parts, and what they are
Numbered: TypeAlias = "Mapping[int, Part]"


class Workers(Protocol):
    """What answers parts, and ends when it is closed; `Processes` says the contract."""

    def run(self, hear: Callable[[int], None], note: Callable[[int, Summary], None]) -> None:
        """Have all parts answered."""

    def close(self) -> None:
        """End what is not done."""

    def fail(self, error: BaseException) -> None:
        """End `run` by an error, from another thread."""


#: what makes so many of them, for a predictor, an unfinished table and its parts
Engine: TypeAlias = "Callable[[int, Predictor, Unfinished, Numbered], Workers]"


class _Job(NamedTuple):
    """What a process is told first."""

    predictor: Predictor
    unfinished: Unfinished


class _Task(NamedTuple):
    """A part to answer."""

    number: int
    part: Part
    #: for a process that is new
    job: _Job | None


class _Done(NamedTuple):
    """What a process says of a part that is written."""

    summary: Summary
    notes: list[str]


class _Event(NamedTuple):
    """What happened to a part: so many of its images are done, it is written, or all must end."""

    number: int
    what: int | _Done | BaseException


class Processes:
    """So many processes that answer parts, in their order; closed, all of them end.

    Parameters
    ----------
    n
        How many.
    predictor, unfinished
        What answers, and where parts are written.
    parts
        What is to be done.
    """

    def __init__(
        self, n: int, predictor: Predictor, unfinished: Unfinished, parts: Numbered
    ) -> None:
        self._job, self._parts = _Job(predictor, unfinished), parts
        self._waiting = deque(parts)
        self._tries: Counter[int] = Counter()
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        self._children: set[Child] = set()
        self._lock, self._is_closed = threading.Lock(), False
        self._threads = [
            threading.Thread(target=self._feed, name=f"part-{i}", daemon=True)
            for i in range(min(n, len(parts)))
        ]

    def run(self, hear: Callable[[int], None], note: Callable[[int, Summary], None]) -> None:
        """Have all parts answered; tell how many images are done, and of each part that is written.

        Raises
        ------
        LookbookError
            A part ended three processes.
        Exception
            What one of them met: a damaged file, a full disk.
        """
        for thread in self._threads:
            thread.start()
        done, partly = 0, Counter[int]()
        left = set(self._parts)
        while left:
            number, what = self._events.get()
            if isinstance(what, BaseException):
                raise what
            if isinstance(what, int):
                partly[number] = what
            else:
                left.discard(number)
                del partly[number]
                done += what.summary.images
                note(number, what.summary)
                for each in what.notes:
                    warnings.warn(LookbookWarning(each), stacklevel=2)
            hear(done + partly.total())

    def close(self) -> None:
        """End all processes; what they have not written is lost."""
        with self._lock:
            self._is_closed = True
            for child in self._children:
                child.kill()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def fail(self, error: BaseException) -> None:
        """End `run` by an error, from another thread."""
        self._events.put(_Event(-1, error))

    # ---- in a thread for each process ----

    def _feed(self) -> None:
        """Give a process part after part, and another one where it is gone."""
        child = None
        try:
            while (number := self._take()) is not None:
                job = None if child else self._job
                child = child or self._start()
                if not self._answer(child, _Task(number, self._parts[number], job)):
                    self._end(child)
                    child = None
        except BaseException as error:  # noqa: BLE001  # for the thread that waits
            self.fail(error)
        finally:
            if child is not None:
                self._end(child)

    def _take(self) -> int | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self._is_closed else None

    def _start(self) -> Child:
        child = Child("lookbook.bulk.processes", ("-I",), FOLDERS)
        with self._lock:
            self._children.add(child)
            if self._is_closed:
                child.kill()
        return child

    def _end(self, child: Child) -> None:
        child.kill()
        child.__exit__(None, None, None)
        with self._lock:
            self._children.discard(child)

    def _answer(self, child: Child, task: _Task) -> bool:
        """Have a part answered; say whether its process goes on."""
        reached = 0
        try:
            child.send(task)
            while isinstance(what := child.receive(), int):
                reached = what
                self._events.put(_Event(task.number, what))
        except Exception:  # noqa: BLE001  # it is gone
            self._begin_again(task, reached)
            return False
        self._events.put(_Event(task.number, what))
        return isinstance(what, _Done)

    def _begin_again(self, task: _Task, reached: int) -> None:
        """Have another process answer the part of one that is gone."""
        with self._lock:
            self._tries[task.number] += 1
            if self._tries[task.number] < MOST_TRIES:
                self._waiting.appendleft(task.number)
                return
        self.fail(killed(task.part, reached))


def killed(part: Part, reached: int = 0) -> LookbookError:
    """Return the error for a part that ends its processes, of which so many images were done."""
    first, last = part.name(reached), part.name(len(part) - 1)
    return LookbookError(
        f"the images from {first} to {last} ended {MOST_TRIES} processes, one after the other: a "
        "damaged file may do so, or too little memory; take fewer `processes`, or leave out what "
        "is damaged"
    )


# ---- in such a process ----


def serve(number: int) -> None:
    """Answer parts that come on standard input, until it ends, on the file of that number."""
    job: _Job | None = None
    with os.fdopen(number, "wb") as answers:

        def send(message: object) -> None:
            pickle.dump(message, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()

        while True:
            try:
                task: _Task = pickle.load(sys.stdin.buffer)  # noqa: S301  # of who started this
            except EOFError:
                return
            if task.job is not None:
                job = task.job._replace(predictor=task.job.predictor.on_one_core())
            assert job is not None  # noqa: S101  # it comes with the first part
            try:
                send(_answer(job, task, send))
            except MemoryError:
                return  # another may have more
            except Exception as error:  # noqa: BLE001  # for who asked
                send(error)


def _answer(job: _Job, task: _Task, send: Callable[[object], None]) -> _Done:
    """Write the rows of a part, and say from time to time how many of them there are."""
    last = time.monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL_SECONDS:
            last = time.monotonic()
            send(done)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LookbookWarning)
        cells = answer_part(job.predictor, task.part, tell)
    summary = job.unfinished.write(task.number, cells)
    return _Done(summary, [str(each.message) for each in told if each.category is LookbookWarning])
