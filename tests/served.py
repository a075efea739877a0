"""A server in a process of its own, and clients that count what they get."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Served:
    """A server that answers."""

    process: subprocess.Popen[str]
    port: int
    #: lines of its standard error; whole once it has ended
    said: list[str]
    reading: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> int:
        """Tell it to end; return its exit code."""
        self.process.terminate()
        code = self.process.wait(40)
        self.reading.join(10)
        return code


@contextmanager
def serving(*arguments: str | Path, on_one_core: bool = False) -> Iterator[Served]:
    """Start a server on a free port, and end it."""
    program = [sys.executable, "-m", "lookbook", "serve", *map(str, arguments), "--port", "0"]
    if on_one_core and (taskset := shutil.which("taskset")):
        program = [taskset, "-c", str(min(os.sched_getaffinity(0))), *program]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    patience = threading.Timer(120, process.kill)
    patience.start()
    said: list[str] = []
    found = None
    for line in process.stdout:
        if found := re.search(r"^serving .* on http://127\.0\.0\.1:(\d+)$", line):
            break
    patience.cancel()
    if not found:
        said = process.stderr.readlines()
    assert found, "".join(said)
    # what it says is read, so that it never waits
    reading = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
    reading.start()
    try:
        yield Served(process, int(found[1]), said, reading)
    finally:
        process.kill()
        process.wait()


def inference(images: np.ndarray, name: str = "m") -> bytes:
    """Return a whole request."""
    given = {"name": "images", "datatype": "UINT8", "shape": images.shape}
    body = json.dumps({"inputs": [given | {"data": images.ravel().tolist()}]}).encode()
    head = (
        f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Client:
    """Asks on one connection after the other, and notes each request that has no whole answer."""

    port: int
    requests: list[bytes]
    #: requests on a connection
    most: int = 50
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: dict[int, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    #: told of each answer: number of the request, status, body
    check: Callable[[int, int, bytes], None] = lambda _i, _status, _body: None

    async def ask(self, numbers: Iterator[int]) -> None:
        """Ask until there are no more numbers, or the server takes no connections."""
        opened, n_asked = None, 0
        for i in numbers:
            if opened is None:
                try:
                    opened = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    return
            is_kept = await self._ask(i, *opened)
            n_asked += 1
            if not is_kept or n_asked == self.most:
                opened[1].close()
                opened, n_asked = None, 0

    async def _ask(
        self, i: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Ask once; say whether the connection can be used again."""
        if reader.at_eof():
            return False  # closed before anything was sent: nothing is lost
        try:
            writer.write(self.requests[i % len(self.requests)])
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.lost.append(f"{i}: {error!r}")
            return False
        status = int(head.split(b" ", 2)[1])
        if status == 429 and b"\r\nretry-after: 1\r\n" not in head:
            self.lost.append(f"{i}: 429 does not say when to ask again")
        self.statuses[status] += 1
        self.check(i, status, body)
        return b"connection: close" not in head.lower()


def ask_all(clients: list[Client], numbers: Iterator[int], seconds: float = 60) -> None:
    """Have all clients ask at once."""

    async def main() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(client.ask(numbers) for client in clients))

    asyncio.run(main())
