"""Take turns at measuring: count them, say how long the rest takes, keep results and failures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from bench.harness import peer_process
from bench.harness.arithmetic import remaining_seconds
from bench.harness.peer_process import KERAS, Peer, PeerError, say
from lookbook.cli.terminal import duration

T = TypeVar("T")
#: what a file of results holds
Results = dict[str, Any]


@dataclass
class Record:
    """What was measured and what failed; each entry begins with the words that say which it is."""

    measurements: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def turns(self, turns: Iterable[T], kind: Callable[[T], str]) -> Iterator[T]:
        """Give one turn after the other, until Ctrl-C; say which it is and how long the rest takes.

        Turns of one `kind` take about the same time. Never two at once, and those that are
        compared side by side: what else the machine does then hits all alike.
        """
        left = [(kind(turn), turn) for turn in turns]
        took: dict[str, float] = {}
        for number, (name, turn) in enumerate(left):
            if self.stopped:
                return
            seconds = remaining_seconds(took, [name for name, _ in left[number:]])
            rest = "" if seconds is None else f", about {duration(seconds)} left"
            say(f"{number + 1} of {len(left)}: {name}{rest}")
            start = time.perf_counter()
            yield turn
            took[name] = time.perf_counter() - start

    def ask(self, which: dict[str, Any], command: list[str], required: set[str]) -> dict[str, Any]:
        """Run a script and keep what it says; where it fails or is stopped, keep that."""
        load = os.getloadavg()
        start = time.perf_counter()
        try:
            found = peer_process.parse(peer_process.output_of(command), required)
        except PeerError as error:
            self.fail(which, str(error))
            return {}
        except KeyboardInterrupt:
            self.stop()
            return {}
        seconds = time.perf_counter() - start
        kept = {**which, **found, "process_seconds": seconds, "load_average_before": load}
        self.measurements.append(kept)
        return kept

    def python_of(self, peer: Peer, scratch: Path = peer_process.SCRATCH) -> Path | None:
        """Return the Python that runs a peer, or None where it cannot be set up."""
        try:
            return peer_process.set_up(peer, scratch)
        except (PeerError, OSError) as error:
            self.fail({"name": peer.name, "seed": None}, str(error))
        except KeyboardInterrupt:
            self.stop()
        return None

    def keras_python(self) -> Path | None:
        """Return the Python that has Keras on TensorFlow."""
        return self.python_of(KERAS)

    def fail(self, which: dict[str, Any], message: str) -> None:
        """Keep a failure, and say it; the others go on."""
        self.failures.append({**which, "message": message})
        say(f"{describe(self.failures[-1])}; the others go on")

    def hide(self, place: Path) -> None:
        """Leave out of all failures where the user's images lie: it is nobody's business."""
        for failure in self.failures:
            failure["message"] = failure["message"].replace(str(place), "FOLDER")

    def stop(self) -> None:
        """Give no further turn, keep that Ctrl-C stopped the rest, and say it."""
        self.stopped = True
        self.failures.append({"name": "the rest", "message": "stopped by Ctrl-C"})
        say("stopped; what was measured is kept")

    def results(
        self, name: str, conditions: dict[str, Any], *, trial: bool, entries: Any = None
    ) -> Results:
        """Return what a benchmark writes: under which conditions what was measured."""
        return {
            "name": name,
            "trial": trial,
            "conditions": conditions,
            **({} if entries is None else {"entries": entries}),
            "measurements": self.measurements,
            "failures": self.failures,
        }


def describe(failure: dict[str, Any]) -> str:
    r"""Say in one line what failed; all of the message is in the .json.

    >>> describe({"name": "a peer", "seed": 1, "message": "Traceback ...\nValueError: no"})
    'failed: a peer, seed 1: ValueError: no'
    >>> describe({"name": "a peer", "seed": None, "message": "no network"})
    'failed: a peer, set-up: no network'
    """
    known = {name: value for name, value in failure.items() if name != "message"}
    words = ("set-up" if value is None else f"{name} {value}" for name, value in known.items())
    which = ", ".join(words).removeprefix("name ")
    return f"failed: {which}: {failure['message'].splitlines()[-1]}"
