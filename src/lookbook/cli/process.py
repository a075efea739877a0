"""Process of the command line: signals, exit codes, time at start and end."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookbook.core.environment import Launch
from lookbook.errors import ProcessEndedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: seconds in which torchrun ends a process where another one ended by itself
PATIENCE = 5.0

_STARTED = time.perf_counter()


def seconds_so_far() -> float:
    """Return how long this process lives, where the system tells; else since its first import."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return time.perf_counter() - _STARTED


#: how an error calls the standard output
OUTPUT = "the output"


class _Stream(io.FileIO):
    """The standard output or, `for_messages`, the standard error, where both may be full or closed.

    What was computed must not be lost with a line about it: messages that cannot be written are
    left out. An error of the output is named, so that it is told from those of other files, and
    told once: Python would try to write the rest again while it ends.
    """

    def __init__(self, number: int, *, for_messages: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self._for_messages = for_messages
        self._failed = False

    def write(self, block: Buffer, /) -> int:
        try:
            return super().write(block)
        except OSError as error:
            if self._for_messages or self._failed:
                return memoryview(block).nbytes
            self._failed = True
            error.filename = OUTPUT
            raise


def open_streams() -> None:
    """Make the standard streams such that none of them ends the work; letters they lack become `?`.

    Where one was closed, the next file that is opened would take its number, and whatever a library
    has to complain about would be written into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # takes the lowest number, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003  # takes no name
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue  # a test listens, or a notebook
        buffered = io.BufferedWriter(_Stream(number, for_messages=name == "stderr"))
        encoding = "utf-8" if stream is None else stream.encoding
        at_once = name == "stderr" or buffered.isatty()
        fresh = io.TextIOWrapper(buffered, encoding, errors="replace", line_buffering=at_once)
        setattr(sys, name, fresh)


def tune() -> None:
    """Set what PyTorch leaves to its process; to be called before torch is imported."""
    import ctypes  # noqa: PLC0415  # for training alone

    # PyTorch's threads spin while they wait for each other. Where another program takes one of
    # two cores, a step of 0.5 ms then takes 10 ms and more; with this limit 2 ms, and it costs
    # nothing measurable where the machine is free.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # freed memory stays for the next step: fetching its pages from the system again took a tenth
    # of the first fit of a process (250,000 page faults, 40 ms a step for 35)
    # (glibc alone has it; Windows has no library of that name)
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        trim_threshold, mmap_max = -1, -4
        mallopt(trim_threshold, (1 << 31) - 1)
        mallopt(mmap_max, 0)  # no block is too large for that: maps of a step have 70 MB


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage in a block that imports torch.

    Its 180,000 objects stay; looking through them again and again took a tenth of the import.

    >>> with uncollected():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def stop_on_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Make Ctrl-C a request to stop after the step; before the first one, or twice, it ends all."""
    asked = training = False

    def ask(_number: int, _frame: Any) -> None:
        nonlocal asked
        if has_joined() and not Launch.here().is_first:
            return  # what the first process hears holds for all
        if asked or not training:
            raise KeyboardInterrupt
        asked = True

    def should_stop() -> bool:
        nonlocal training
        training = True
        return asked

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield should_stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def silent_beside_the_first() -> Iterator[None]:
    """Let one of several processes that train together print nothing in a block, but the first.

    What a fault of the program prints in the end is heard from each.
    """
    if Launch.here().is_first:
        yield
        return
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w") as nothing:
        sys.stdout = sys.stderr = nothing
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def speaks() -> bool:
    """Say whether this process is the one that tells of an error: of several, one does.

    An error of all is the first process's to tell, and torchrun ends the others before they would.
    """
    launch = Launch.here()
    if launch.size == 1:
        return True
    if has_joined():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        from lookbook.training import processes  # noqa: PLC0415  # it is there already

        return processes.speaks()
    if not launch.is_first:
        time.sleep(PATIENCE)
    return True


def has_joined() -> bool:
    """Say whether this process reached the others that train with it."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and bool(distributed.is_initialized())


def end_with_others() -> None:
    """Make the request to end, which torchrun sends where another process is gone, an error."""
    if Launch.here().size == 1:
        return
    from lookbook.training.processes import ENDED, join  # noqa: PLC0415  # torch

    join()  # until then, a process that waits for the others ends at once

    def end(_number: int, _frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ProcessEndedError(ENDED)

    signal.signal(signal.SIGTERM, end)


def end_at_once(code: str | int | None) -> None:
    """End as Python does, but without taking PyTorch down, piece by piece: 0.4 s a training.

    Threads end and what was registered at exit is called first, in Python's order: a tracker may
    still send what it was told, a temporary folder is to be removed.
    """
    if "torch" in sys.modules and not isinstance(code, str):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # as multiprocessing
        atexit._run_exitfuncs()  # noqa: SLF001  # all; a handler of ours would end before older ones
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
