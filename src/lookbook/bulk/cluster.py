"""Cluster of Ray: parts are answered by its processes, on this machine or on many."""

from __future__ import annotations

import logging
import os
import signal
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from lookbook.bulk.parts import ArrayPart, FilePart, Part
from lookbook.bulk.prediction import row_versions
from lookbook.bulk.processes import MOST_TRIES, killed
from lookbook.bulk.rows import answer_part
from lookbook.core.names import text
from lookbook.errors import InputError, LookbookError, LookbookWarning

if TYPE_CHECKING:
    from lookbook.bulk.processes import Numbered
    from lookbook.bulk.unfinished import Summary, Unfinished
    from lookbook.inference.predictor import Predictor
    from lookbook.inference.tables import Cells

#: parts that each core of the cluster is given: one in work, one that waits
AHEAD = 2
#: seconds in which a cluster must answer, and between two looks at what else may end the work
ANSWER_SECONDS, LOOK_SECONDS = 5, 0.2
#: bytes that Ray keeps results in, where it is started here: those of a part take less than 1 MB
STORE_BYTES = 200_000_000
#: what a connection by HTTP/2 begins with; place, and value, of the kind of the first frame back
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
_KIND, _SETTINGS = 3, b"\4"


class _Job(NamedTuple):
    """What a process of the cluster is told first."""

    predictor: Predictor
    #: the folder from which files are named
    folder: str
    versions: dict[str, str]


class _Answer(NamedTuple):
    """What a process of the cluster says of a part."""

    cells: Cells
    notes: list[str]
    #: places of files that its machine, which is named, does not have
    unseen: list[int]
    host: str


class Cluster:
    """Processes of a cluster that answer parts, in their order; closed, all of them end.

    Parameters
    ----------
    n
        How many processes, where Ray is started here.
    predictor, unfinished
        What answers, and where parts are written: by this process.
    parts
        What is to be done.
    address : str, default=None
        HOST:PORT of a cluster that this machine is part of; without it, Ray is started here, and
        ended with the work. A program that has called `ray.init` keeps that cluster.

    Raises
    ------
    InputError
        Ray is not installed, or the address is none.
    LookbookError
        No cluster answers there.
    """

    def __init__(
        self,
        n: int,
        predictor: Predictor,
        unfinished: Unfinished,
        parts: Numbered,
        *,
        address: str | None = None,
    ) -> None:
        self._ray = _import_ray()
        self._unfinished, self._parts = unfinished, parts
        self._error: BaseException | None = None
        self._running: dict[Any, int] = {}
        self._stack = ExitStack()
        if not self._ray.is_initialized():
            self._stack.enter_context(_connected(self._ray, address, n))
        self._job = self._ray.put(_Job(predictor, str(Path.cwd()), row_versions()))
        # begun again where its process, or its machine, is gone; not where it raises
        once_more = {"num_cpus": 1, "max_retries": MOST_TRIES - 1}
        self._answer = self._ray.remote(**once_more)(_answer)

    def run(self, hear: Callable[[int], None], note: Callable[[int, Summary], None]) -> None:
        """Have all parts answered; tell how many images are done, and of each part that is written.

        Raises
        ------
        LookbookError
            Its machines do not see a file of arrays, or have other versions; or a part ended
            three processes.
        Exception
            What one of them met: a damaged file; or a full disk here.
        """
        waiting, done = deque(self._parts), 0
        while waiting or self._running:
            while waiting and len(self._running) < AHEAD * self._cores():
                number = waiting.popleft()
                # in a list it stays a reference, which a process opens once
                self._running[self._answer.remote([self._job], self._parts[number])] = number
            ready, _ = self._ray.wait(list(self._running), timeout=LOOK_SECONDS)
            if self._error:
                raise self._error
            for each in ready:
                number = self._running.pop(each)
                summary = self._write(number, self._get(each, self._parts[number]))
                done += summary.images
                note(number, summary)
                hear(done)

    def close(self) -> None:
        """End what is not done, and Ray where it was started here."""
        for each in self._running:
            self._ray.cancel(each, force=True)
        self._stack.close()

    def fail(self, error: BaseException) -> None:
        """End `run` by an error, from another thread."""
        self._error = error

    def _cores(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def _get(self, answered: Any, part: Part) -> _Answer:
        """Return what was answered; an error as it was raised there."""
        errors = self._ray.exceptions
        try:
            answer: _Answer = self._ray.get(answered)
        except errors.RayTaskError as error:
            raise (error.cause or error) from None
        except errors.RayError as error:
            raise killed(part) from error
        return answer

    def _write(self, number: int, answer: _Answer) -> Summary:
        """Write the rows of a part, and say of files what only this machine knows."""
        part, cells = self._parts[number], dict(answer.cells)
        if answer.unseen and isinstance(part, FilePart):
            errors = list(cells["error"])
            for place in answer.unseen:
                if Path(part.paths[place]).exists():
                    errors[place] = str(_not_there(part.name(place), answer.host))
            cells["error"] = errors
        for each in answer.notes:
            warnings.warn(LookbookWarning(each), stacklevel=2)
        return self._unfinished.write(number, cells)


def _not_there(name: str, host: str) -> LookbookError:
    return LookbookError(
        f"{name} is not on {host}, a machine of the cluster; put it into a folder that all of its "
        "machines share, by the same name"
    )


# ---- in a process of the cluster ----


def _answer(jobs: list[Any], part: Part) -> _Answer:
    """Return the rows of a part; `jobs` holds the reference of the one job."""
    host = socket.gethostname()
    predictor = _open(jobs[0])
    if isinstance(part, ArrayPart) and not Path(part.array.path).exists():
        raise _not_there(text(part.array.path), host)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LookbookWarning)
        cells = answer_part(predictor, part)
    notes = [str(each.message) for each in told if each.category is LookbookWarning]
    return _Answer(cells, notes, _list_unseen(part, cells), host)


def _list_unseen(part: Part, cells: Cells) -> list[int]:
    if isinstance(part, ArrayPart):
        return []
    failed = [place for place, error in enumerate(cells["error"]) if error is not None]
    return [place for place in failed if not Path(part.paths[place]).exists()]


@lru_cache(maxsize=1)
def _open(job: Any) -> Predictor:
    """Open a job, once in a process; files are named from the folder of who gave it."""
    opened: _Job = import_module("ray").get(job)
    if (here := row_versions()) != opened.versions:
        raise LookbookError(
            f"{socket.gethostname()}, a machine of the cluster, has {_versions(here)}, this one "
            f"has {_versions(opened.versions)}; install the same on all of them"
        )
    with suppress(OSError):
        os.chdir(opened.folder)
    return opened.predictor.on_one_core()


def _versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version[:12]}" for name, version in found.items())


# ---- the cluster itself ----


def _import_ray() -> Any:
    # it asks nobody, and sends nothing to anybody
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        return import_module("ray")
    except ImportError as error:
        raise InputError("Ray is not installed; install it: pip install 'lookbook[ray]'") from error


def check_cluster(address: str | None) -> None:
    """Make sure, before anything is made, that there is Ray, and what answers at an address.

    Raises
    ------
    InputError, LookbookError
        As `Cluster`.
    """
    _import_ray()
    if address is not None:
        _check(address)


@contextmanager
def _connected(ray: Any, address: str | None, n: int) -> Iterator[None]:
    """Connect to a cluster, or start one here; what Ray has to say goes to its own logs."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    with ExitStack() as stack:
        if address is None:
            options |= {"address": "local", "num_cpus": n, "object_store_memory": STORE_BYTES}
            options |= {"include_dashboard": False, "_temp_dir": stack.enter_context(_folder())}
        else:
            _check(address)
            options["address"] = address
        stack.callback(ray.shutdown)
        with _keep_sigterm():
            try:
                ray.init(**options)
            except (Exception, SystemExit) as error:  # it ends the process where none answers
                raise _no_cluster(address or "this machine", str(error).split("\n")[0]) from error
        yield


def _folder() -> TemporaryDirectory[str]:
    """Return a folder for Ray's logs and sockets, whose names may have 107 bytes."""
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108  # what is in it is its own
    return TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True)


@contextmanager
def _keep_sigterm() -> Iterator[None]:
    """Leave it to the program what SIGTERM does: Ray sets a handler of its own."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(ValueError):  # in another thread than the first, it set none
            signal.signal(signal.SIGTERM, before)


def _check(address: str) -> None:
    """Refuse at once an address where no cluster answers: Ray would try for two minutes.

    Raises
    ------
    InputError
        It is none.
    LookbookError
        Nothing answers there, or another program than Ray, which speaks HTTP/2.
    """
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()):
        raise InputError(f"{address} is no `address` of a cluster; expected HOST:PORT")
    try:
        with socket.create_connection((host, int(port)), ANSWER_SECONDS) as connection:
            connection.sendall(_PREFACE)
            frame = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, getattr(error, "strerror", "") or str(error)) from error
    if frame[_KIND : _KIND + 1] != _SETTINGS:
        raise _no_cluster(address, "another program listens there")


def _no_cluster(address: str, reason: str) -> LookbookError:
    return LookbookError(
        f"no Ray cluster answers at {address} ({reason}); start one: "
        "ray start --head --port 6379, and then name HOST:6379"
    )
