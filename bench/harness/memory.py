"""Watch the memory of programs while they are measured."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: seconds between two looks
LOOK_SECONDS = 0.2


@dataclass
class Memory:
    """The most memory that programs took which this one started, together."""

    peak: int = 0

    def look(self) -> None:
        """Add up what they have now."""
        self.peak = max(self.peak, _anonymous_bytes())


@contextmanager
def watched_memory() -> Iterator[Memory]:
    """Look at the memory of all programs that run in a block."""
    memory, ended = Memory(), threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            memory.look()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()


def _anonymous_bytes() -> int:
    """Return the memory of this process's descendants that no file stands behind."""
    own = Path("/proc/self").resolve().name
    parents, sizes = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue  # it has ended
        pid = status.parent.name
        parents[pid] = lines["PPid"].strip()
        sizes[pid] = 1024 * int(lines.get("RssAnon", "0 kB").split()[0])
    return sum(size for pid, size in sizes.items() if own in _ancestors(pid, parents))


def _ancestors(pid: str, parents: dict[str, str]) -> set[str]:
    found = set()
    while (pid := parents.get(pid, "0")) != "0":
        found.add(pid)
    return found
