"""Load of a server: keep-alive connections that send prepared requests, and time the answers.

One thread with epoll on plain sockets: an answer costs it about 20 µs, so that the core of the
clients waits for that of the server (`Load.busy` says how long it did not). `wrk` costs less, but
does not say how many answers each connection got.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

#: bytes that are read at once: answers are smaller
CHUNK = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)

Address = tuple[str, int]
#: called with the number of the request, the status and the body of its answer
Look = Callable[[int, int, bytes], None]


@dataclass
class Load:
    """What came of a load: how many answers of which kind, how soon, and to whom."""

    seconds: float = 0.0
    #: seconds from the moment when a request was due to the end of its answer, for each 200
    latencies: list[float] = field(default_factory=list)
    #: the same from the moment when it was sent: on a free connection, which may have come later
    on_the_way: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    #: answers with 200 on each connection
    answers: list[int] = field(default_factory=list)
    #: moments (`time.monotonic`) at which requests were sent that got no answer
    lost: list[float] = field(default_factory=list)
    #: share of the time in which the clients' process ran
    busy: float = 0.0
    #: requests that were due while no connection was free
    late: int = 0
    #: whether the connection was refused, after which there is no load
    refused: bool = False

    @property
    def rate(self) -> float:
        """Answers with 200 a second."""
        return self.statuses[200] / self.seconds

    @property
    def least_share(self) -> float:
        """Answers of the connection with the fewest, as a share of the median connection's."""
        ordered = sorted(self.answers)
        middle = ordered[len(ordered) // 2]
        return ordered[0] / middle if middle else 0.0


class Connection:
    """One keep-alive connection, with at most one request on its way."""

    __slots__ = ("answers", "due", "number", "received", "sent", "socket", "waits")

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.settimeout(None)  # with a time-out, each read would ask first
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.answers, self.number = 0, 0
        self.due = self.sent = 0.0
        self.waits = False


def whole_answer(received: bytes) -> tuple[int, bytes, bool] | None:
    r"""Return status, body and whether the connection ends, or None where bytes are missing.

    >>> whole_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    (200, b'hi', False)
    >>> whole_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(received, 0, end + 2)
    if length is None:
        raise ValueError(f"an answer without Content-Length: {received[:200]!r}")
    whole = end + 4 + int(length.group(1))
    if len(received) < whole:
        return None
    closes = _CLOSES.search(received, 0, end + 2) is not None
    return int(received[9:12]), received[end + 4 : whole], closes


class Clients:
    """Connections to one server, which send these requests in turn.

    Parameters
    ----------
    address
        Host and port.
    requests
        Whole HTTP requests, headers and body.
    n
        Number of connections.
    look
        What looks at every answer; None for nobody.
    """

    def __init__(
        self, address: Address, requests: Sequence[bytes], n: int, look: Look | None = None
    ) -> None:
        self.address, self.requests, self.look = address, requests, look
        self.next = cycle(range(len(requests))).__next__
        self.poll = select.epoll()
        self.open: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.load = Load()
        for _ in range(n):
            self._connect()

    def _connect(self) -> None:
        try:
            one = Connection(self.address)
        except OSError:
            self.load.refused = True
            return
        self.open[one.socket.fileno()] = one
        self.poll.register(one.socket, select.EPOLLIN)
        self.idle.append(one)

    def close(self) -> None:
        """Close all connections."""
        for one in self.open.values():
            one.socket.close()
        self.open.clear()
        self.poll.close()

    def settle(self) -> None:
        """Send one request on each connection, uncounted: the server has accepted all of them."""
        look, self.look = self.look, None
        self.closed(most=len(self.open))
        self.look, self.load = look, Load()
        for one in self.open.values():
            one.answers = 0

    # ---- two kinds of load ----

    def closed(self, seconds: float = 0.0, *, most: int | None = None) -> Load:
        """Send the next request of a connection once it has its answer; stop after that time.

        With `most`, stop once so many requests were sent, whatever the time. What is on its way
        then is waited for.
        """
        return self._run(seconds, None, most)

    def paced(self, rate: float, seconds: float = 0.0, *, most: int | None = None) -> Load:
        """Send so many requests a second, whether those before have their answers or not.

        It ends as `closed`. Latencies count from the moment when a request was due.
        """
        return self._run(seconds, rate, most)

    def _run(self, seconds: float, rate: float | None, most: int | None) -> Load:
        load = self.load
        start, used = time.monotonic(), time.process_time()
        end, sent = start + seconds, 0
        while self.open:
            now = time.monotonic()
            ends = now >= end if most is None else sent >= most
            if not ends:
                due = len(self.idle) if rate is None else 1 + int((now - start) * rate) - sent
                due = due if most is None else min(due, most - sent)
                load.late = max(load.late, due - len(self.idle))
                for _ in range(min(due, len(self.idle))):
                    self._send(now if rate is None else start + sent / rate)
                    sent += 1
            elif len(self.idle) == len(self.open):
                break
            self._receive(0.0 if rate is not None and not ends else 0.05)
        load.seconds = time.monotonic() - start  # to the last answer
        load.busy = (time.process_time() - used) / load.seconds
        load.answers += [one.answers for one in self.open.values()]
        return load

    # ---- sending and receiving ----

    def _send(self, due: float) -> None:
        one = self.idle.pop()
        one.due, one.number = due, self.next()
        try:
            one.socket.sendall(self.requests[one.number])
        except OSError:  # closed before the request was sent: it is none that was accepted
            self._lose(one, answer_was_due=False)
            return
        one.sent, one.waits = time.monotonic(), True

    def _receive(self, timeout: float) -> None:
        for handle, _ in self.poll.poll(timeout):
            one = self.open[handle]
            try:
                data = one.socket.recv(CHUNK)
            except OSError:
                data = b""
            if not data:
                self._lose(one, answer_was_due=one.waits)
                continue
            one.received = one.received + data if one.received else data
            answer = whole_answer(one.received)
            if answer is not None:
                self._finish(one, *answer)

    def _finish(self, one: Connection, status: int, body: bytes, closes: bool) -> None:  # noqa: FBT001
        one.received, one.waits = b"", False
        self.load.statuses[status] += 1
        if status == 200:
            now = time.monotonic()
            self.load.latencies.append(now - one.due)
            self.load.on_the_way.append(now - one.sent)
            one.answers += 1
        if self.look is not None:
            self.look(one.number, status, body)
        if closes:
            self._lose(one, answer_was_due=False)
        else:
            self.idle.append(one)

    def _lose(self, one: Connection, *, answer_was_due: bool) -> None:
        """Forget a connection that the server closed, and open another."""
        if answer_was_due:
            self.load.lost.append(one.sent)
        self.load.answers.append(one.answers)
        del self.open[one.socket.fileno()]
        if one in self.idle:
            self.idle.remove(one)
        one.socket.close()
        if not self.load.refused:
            self._connect()
