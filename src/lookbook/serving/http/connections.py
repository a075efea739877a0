"""Connections: what has arrived is answered before one closes, and none may be slow for ever."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from lookbook.serving.batcher import Job
from lookbook.serving.http.application import REFUSED, Answer, Application, Request
from lookbook.serving.refusals import Refusal

#: seconds in which a request must have arrived, head and body
RECEIVE_SECONDS = 30.0
#: seconds for which who asked may take nothing of an answer
SEND_SECONDS = 30.0
#: seconds for which a connection without a request is kept
IDLE_SECONDS = 75
#: what is said of what is no request, where the parser does not say why
_EXPECTED = (
    "expected an HTTP/1.1 request, not TLS: a known method, an address of at most 64 KB, headers "
    "without control characters, one length of its body"
)
#: as Linux calls the filter of what a socket receives
_SO_ATTACH_FILTER = 26

_log = logging.getLogger("lookbook.serving")


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that can be told to end, and is when it takes too long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_ending = False
        #: when what is being received began to arrive; None: nothing is
        self.receiving_since: float | None = None
        self._idle_since = self.loop.time()
        #: bytes that waited to be sent at the last look, and since when none of them were taken
        self._unsent = 0
        self._unsent_since = self._idle_since
        self._task: asyncio.Task[None] | None = None
        #: a short inference request: it, what uvicorn knows of it, and its job once it has arrived
        self._short: tuple[Request, RequestResponseCycle] | None = None
        self._job: Job | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being received or answered."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and self.receiving_since is None and not self.pipeline

    @property
    def _is_answering(self) -> bool:
        """Whether a part of an answer was sent."""
        cycle = self.cycle
        return cycle is not None and cycle.response_started and not cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what nobody waits for any more out of the queue."""
        is_waited_for = self.cycle is not None and not self.cycle.response_complete
        super().connection_lost(exc)
        if is_waited_for and self._task is not None:
            self._task.cancel()  # leaves the queue
        if self._short is not None:
            self.app.leave(self._short[0], self._job)
            self._short = self._job = None

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, and note since when a request does."""
        if self.receiving_since is None:
            self.receiving_since = self.loop.time()
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is not taken
        except httptools.HttpParserError as error:  # uvicorn logs that there is one, and not which
            # of a callback's error the parser says only that there is one
            self._close_with(Refusal(400, _EXPECTED), str(error.__context__ or error))

    def on_message_begin(self) -> None:
        """Note since when a request arrives, behind the end of another in one packet, too."""
        self.receiving_since = self.receiving_since or self.loop.time()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Note that a request has arrived; have a short one answered."""
        self.receiving_since = None
        super().on_message_complete()
        if self._short is not None and self._short[1] is self.cycle:
            request, cycle = self._short
            self._job = self.app.infer(request, bytes(cycle.body), self._answer)

    def on_headers_complete(self) -> None:
        """Have a request answered; the last one where the connection is to end."""
        if self.parser.should_upgrade() and self._has_body():
            # the parser passes over such a body
            refusal = Refusal(400, "expected no Upgrade beside a body; send HTTP/1.1")
            self._close_with(refusal, "Upgrade beside a body")
            return
        super().on_headers_complete()
        if self._is_ending:
            self._close_after_last()

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a task, but for a short inference request: callbacks take half of its time."""
        is_simple = cycle.more_body and not (
            cycle.waiting_for_100_continue or self.flow.write_paused
        )
        if (
            is_simple
            and isinstance(app, Application)
            and (request := app.short_request(cycle.scope))
        ):
            self._short, self._task = (request, cycle), None
            return
        self._task = task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _answer(self, answer: Answer) -> None:
        """Send the answer to the short inference request."""
        if self._short is None:  # the connection is gone
            return
        (request, cycle), self._short, self._job = self._short, None, None
        lines = [STATUS_LINE[answer.status]]
        for name, value in answer.headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", answer.content)
        self.transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        self.app.count(request, answer.status)
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    def on_response_complete(self) -> None:
        """Go on with the next request that waits here, or be idle: a timer each time takes 1 µs."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            if self.pipeline:  # uvicorn would read more after each answer, without bound
                self.flow.pause_reading()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle_since = self.loop.time()

    def _close_with(self, refusal: Refusal, cause: str) -> None:
        """Say, as all errors are said, what was expected, and close; the log says what came.

        A request whose head has arrived ends with that status. Where there is none, nobody else
        logs one.
        """
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.scope["state"][REFUSED] = refusal.status
            _log.warning("a connection is closed: %s", cause)
        else:
            _log.warning("no request: %s", cause, extra={"status": refusal.status})
        head = STATUS_LINE[refusal.status] + b"content-type: application/json\r\n"
        length = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(refusal.body)
        self.transport.write(head + length + refusal.body)
        self.transport.close()

    def end(self) -> None:
        """Close after the answer to the last request that has arrived; until then answer."""
        self._is_ending = True
        if self.cycle is not None and not self.cycle.response_complete:
            self._close_after_last()

    def _close_after_last(self) -> None:
        """Let the last of the requests that wait here close the connection, and none before it."""
        cycles = [cycle for cycle, _ in self.pipeline]
        last = cycles[0] if cycles else self.cycle
        for cycle in (self.cycle, *cycles):
            cycle.keep_alive = cycle is not last

    def close_if_late(self, now: float) -> None:
        """Close if a request takes too long to arrive, or to come, or its answer to be taken."""
        since = self.receiving_since
        if self._is_stuck(now):
            self.transport.abort()  # to close waits until all is sent
        elif self.transport.is_closing():
            return
        elif since is not None and now - since > RECEIVE_SECONDS:
            within = f"a whole request within {RECEIVE_SECONDS:.0f} seconds"
            if self._is_answering:
                self.transport.close()
            else:
                self._close_with(Refusal(408, f"expected {within}"), f"not {within}")
        elif now - self._idle_since > IDLE_SECONDS:
            self.close_if_unused()

    def _is_stuck(self, now: float) -> bool:
        """Say whether for too long nothing was taken of what waits to be sent."""
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent or not self._unsent:
            self._unsent_since = now
        self._unsent = unsent
        return now - self._unsent_since > SEND_SECONDS

    def close_if_unused(self) -> None:
        """Close if nothing has arrived, not even what nobody has read yet."""
        if self.is_idle and not _has_bytes(self.transport.get_extra_info("socket")):
            self.transport.close()


def _has_bytes(connected: socket.socket | None) -> bool:
    """Say whether bytes lie in a socket that nobody has read."""
    if connected is None:
        return False
    try:
        fresh = socket.socket(fileno=socket.dup(connected.fileno()))
    except OSError:
        return False
    with fresh:
        try:
            return bool(fresh.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False


def refuse_new(listening: socket.socket) -> None:
    """Let no further connection be begun, where the system can do that; those begun are made.

    Without it, one may be made between the last that is accepted and the end of the socket, and is
    then reset. A filter that takes no request for a connection lets who asks try again until the
    socket is gone. It takes what ends a handshake: who was answered believes to be connected.
    """
    if sys.platform != "linux" or listening.family not in (socket.AF_INET, socket.AF_INET6):
        return
    import ctypes  # noqa: PLC0415  # for the end alone

    content = b"".join(struct.pack("HBBI", *each) for each in _NO_SYN)
    buffer = ctypes.create_string_buffer(content)
    program = struct.pack("HL", len(_NO_SYN), ctypes.addressof(buffer))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


#: instructions on a TCP packet: of SYN and ACK, is SYN alone set? then keep 0 bytes of it, else all
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)
