"""Run cases in processes of their own, within limits, and tell what each came to.

A case may answer, or refuse with one message. It may not end in another exception, die, take more
than 10 s of the processor, wait for ever, take more than 600 MB beyond the data, write raw lines or
control characters to the terminal, or give a wrong answer without a word.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lookbook.cli import main as cli
from lookbook.cli import process
from lookbook.errors import LookbookError

#: what a case may take: seconds of the processor, MB beyond the data
SECONDS, MEGABYTES = 10, 600
#: MB of addresses: more ends in an error, not in a machine that swaps
ADDRESSES = 3000
#: characters of a message that fits on a screen
SCREEN = 2000
#: number under which the file is open that takes all output
SCREEN_FILE = 100
#: cases of one process
BATCH = 500
#: exit code of a process in which the attack itself went wrong
OWN_FAULT = 99
#: what a case may come to
ALLOWED = ("answered", "refused")

#: of the terminal: line breaks and marks of the bar are the program's own
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class FoundError(Exception):
    """Something is not as it should be."""

    kind = ""


class WrongAnswerError(FoundError):
    """A wrong answer was given, without a word."""

    kind = "silent"


class MessageError(FoundError):
    """What was shown is not one message."""

    kind = "message"


@dataclass(frozen=True)
class Outcome:
    """What one case came to."""

    number: int
    kind: str
    what: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What a case gave: how many bytes of data, or that it was refused; and what is to be told."""

    data: int = 0
    refused: bool = False
    what: str = ""


#: tries one damaged input
Act = Callable[[], Answer]


class Attack(ABC):
    """One kind of input, and what is done with it."""

    #: seconds without any work after which a process waits for ever
    still = 8.0

    def prepare(self, folder: Path) -> None:  # noqa: B027  # not every kind needs it
        """Make what all cases begin with, in a process of its own."""

    def start(self, folder: Path) -> None:  # noqa: B027
        """Read what was prepared, in each process of cases."""

    @abstractmethod
    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Make one damaged input; return what tries it."""


def run(attack: Attack, numbers: list[int], seed: int, folder: Path) -> Iterator[Outcome]:
    """Try cases; what a case is depends on the seed and its number alone."""
    process.end_at_once = lambda _code: None  # one process runs command after command
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        with _the_end(), tempfile.TemporaryFile() as file, _screen(file):
            attack.prepare(folder)
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise RuntimeError(f"what cases begin with could not be made: exit code {code}")
    while numbers:
        told = 0
        for outcome in _batch(attack, numbers[:BATCH], seed, folder):
            yield outcome
            told += 1
        numbers = numbers[told:]


def _batch(attack: Attack, numbers: list[int], seed: int, folder: Path) -> Iterator[Outcome]:
    """Try cases in one process, until all are tried or it dies."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as screen:
        child = os.fork()
        if child == 0:
            os.close(reading)
            with _the_end(), _screen(screen):
                _work(attack, numbers, seed, folder, writing)
        os.close(writing)
        watch = _Watch(child, attack.still)
        told = 0
        for line in _lines(reading, watch):
            yield Outcome(**json.loads(line))
            told += 1
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        screen.seek(0)
        last = screen.read()[-300:].decode(errors="replace").strip()
    if code == OWN_FAULT:
        raise RuntimeError(f"the attack itself went wrong at case {numbers[told]}")
    if told < len(numbers):
        yield Outcome(numbers[told], *_death(code, waited=watch.ended, last=last))


def _lines(reading: int, watch: _Watch) -> Iterator[bytes]:
    """Read lines of a process until it ends; end it where it waits for ever."""
    rest = b""
    while True:
        if select.select([reading], [], [], 1.0)[0]:
            chunk = os.read(reading, 2**16)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        else:
            watch.look()
    os.close(reading)


def _death(code: int, *, waited: bool, last: str) -> tuple[str, str]:
    """Say of which kind the end of a process was in the middle of a case."""
    if waited:
        return "hang", "waits for ever"
    if code == -signal.SIGXCPU:
        return "hang", f"more than {SECONDS} s of the processor"
    return "died", f"exit code {code}: {last}"


class _Watch:
    """Ends a process that neither works nor wants to."""

    def __init__(self, child: int, most: float) -> None:
        self.child, self.most, self.ended = child, most, False
        self.ticks, self.since = "", time.monotonic()

    def look(self) -> None:
        """Look at the process; once a second."""
        text = Path(f"/proc/{self.child}/stat").read_text()
        state, *fields = text.rpartition(")")[2].split()
        ticks = f"{fields[10]} {fields[11]}"
        if state != "S" or ticks != self.ticks:
            self.ticks, self.since = ticks, time.monotonic()
        if time.monotonic() - self.since > self.most:
            self.ended = True
            os.kill(self.child, signal.SIGKILL)


@contextmanager
def _the_end() -> Iterator[None]:
    """End a child with its block, whatever happens there."""
    code = OWN_FAULT
    try:
        yield
        code = 0
    except BaseException:  # noqa: BLE001  # a child must not go on in its parent's place
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _work(attack: Attack, numbers: list[int], seed: int, folder: Path, writing: int) -> None:
    """Try cases in this process, and write a line for each."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    kind = zlib.crc32(type(attack).__name__.encode())
    attack.start(folder)
    limit = (status("VmSize") + ADDRESSES) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in numbers:
        rng = np.random.default_rng([seed, kind, number])
        outcome = _try(attack.mutate(rng, number), number)
        os.write(writing, json.dumps(vars(outcome)).encode() + b"\n")


def _try(act: Act, number: int) -> Outcome:
    """Try one case in this process, within its limits."""
    # what was freed and kept, as `process.tune` asks for, would be taken again and not be seen
    ctypes.CDLL(None).malloc_trim(0)
    used, before = time.process_time(), status("VmRSS")
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS + 1, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5")
    kind, what, data = _judge(act)
    seconds, megabytes = time.process_time() - used, status("VmHWM") - before - data / 2**20
    raw = take()
    if kind in ALLOWED:
        if seconds > SECONDS:
            kind = "hang"
        elif megabytes > MEGABYTES:
            kind = "memory"
        elif raw:
            kind, what = "noise", raw[:200]
    return Outcome(number, kind, what, round(seconds, 3), round(megabytes))


def _judge(act: Act) -> tuple[str, str, int]:
    """Say what comes of a case: of which kind it is, what is told, bytes of data that it gave."""
    try:
        answer = act()
    except LookbookError as error:
        if _ran_out_of_memory(error):
            return "memory", str(error)[:SCREEN], 0
        return "refused" if len(str(error)) <= SCREEN else "message", str(error)[:SCREEN], 0
    except FoundError as error:
        return error.kind, str(error), 0
    except MemoryError as error:
        return "memory", str(error), 0
    except BaseException as error:  # noqa: BLE001  # this is what is looked for
        steps = traceback.extract_tb(error.__traceback__)
        own = [step for step in steps if "/lookbook/" in step.filename] or steps
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return "traceback", f"{type(error).__name__}: {str(error)[:150]} ({place})", 0
    return "refused" if answer.refused else "answered", answer.what, answer.data


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Say whether a refusal came of asking for memory that was not there: too late."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def status(field: str) -> int:
    """Return a size of this process, in MB, as the system says: VmRSS, VmHWM, VmSize."""
    text = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, flags=re.MULTILINE)
    assert found
    return int(found[1]) // 1024


@contextmanager
def _screen(file: IO[bytes]) -> Iterator[None]:
    """Let all output of this process go into a file."""
    kept = os.dup(1), os.dup(2)
    os.dup2(file.fileno(), SCREEN_FILE)
    take()
    try:
        yield
    finally:
        for stream, number in enumerate(kept, 1):
            os.dup2(number, stream)


def take() -> str:
    """Return what was written since the last time, by whatever means."""
    sys.stdout.flush()
    sys.stderr.flush()
    text = Path(f"/proc/self/fd/{SCREEN_FILE}").read_text(encoding="utf-8", errors="replace")
    os.truncate(SCREEN_FILE, 0)
    os.lseek(SCREEN_FILE, 0, os.SEEK_SET)
    for stream in (1, 2):  # the program may have closed or moved them
        os.dup2(SCREEN_FILE, stream)
    return text


def command(*words: str | Path) -> str:
    """Run a command as `lookbook` does; return its output.

    Raises
    ------
    LookbookError
        It said what is wrong, in one message.
    MessageError
        It failed without one, or wrote what a terminal obeys.
    """
    take()
    sys.argv = ["lookbook", *map(str, words)]
    try:
        cli.main()
        code: Any = 0
    except SystemExit as ended:
        code = ended.code or 0
    text = take()
    if found := _CONTROL.search(text):
        raise MessageError(f"control character {found[0]!r} in {text[:150]!r}")
    if "Traceback" in text or len(text) > 20 * SCREEN:
        raise MessageError(text[-SCREEN:])
    errors = re.findall(r"^(?:error: |Usage: )", text, flags=re.MULTILINE)
    if code not in (0, 1, 2) or (code and len(errors) != 1):
        raise MessageError(f"exit code {code}, {len(errors)} messages: {text[-300:]!r}")
    if re.search("Unable to allocate|bad_alloc|Failed to allocate", text):
        raise MemoryError(text[-300:])
    if code:
        raise LookbookError(text.strip())
    return text
