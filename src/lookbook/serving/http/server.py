"""Server: a socket, the processes that share it, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from lookbook.core.environment import usable_cores
from lookbook.core.templates import Lang
from lookbook.errors import InputError
from lookbook.serving.batcher import Batcher
from lookbook.serving.http.application import Application, State
from lookbook.serving.http.connections import Connection, refuse_new
from lookbook.serving.http.limits import Bodies, Token
from lookbook.serving.http.origins import allow_origins
from lookbook.serving.metrics import Metrics
from lookbook.serving.readers import Readers
from lookbook.serving.repository import Repository, Source

#: connections that the system holds until they are accepted
BACKLOG = 2048
#: seconds for which a thread of Python may keep another waiting
SWITCH_SECONDS = 0.0005
#: seconds between two looks for new versions
REFRESH_SECONDS = 1.0
#: seconds in which connections that were begun before the end are made: far clients take a while
HANDSHAKE_SECONDS = 0.5
#: seconds that clients have, once the server is to end, to send on open connections
LINGER_SECONDS = 3.0
#: seconds in which it must have ended
END_SECONDS = 25.0
_log = logging.getLogger("lookbook.serving")


@dataclass(frozen=True)
class Settings:
    """What a server is started with; its workers get them, too."""

    sources: tuple[Source, ...]
    host: str
    port: int
    workers: int
    max_batch: int
    max_queue: int
    #: bytes
    max_body: int
    token_file: Path | None = None
    origins: tuple[str, ...] = ()
    logs_requests: bool = False
    #: in which pages open; None: that of the browser
    lang: Lang | None = None

    def token(self) -> Token | None:
        """Read the token."""
        return None if self.token_file is None else Token.read(self.token_file)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket with an address; it does not listen yet.

    Raises
    ------
    InputError
        The address is none, is not ours, or is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"no host {host!r}; expected a name or an address of this machine"
        ) from error
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"cannot listen on {host}: it is no address of this machine; choose another `host`"
            ) from error
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another `port`"
        ) from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the address of a socket, as a browser takes it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # all addresses
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def load(settings: Settings) -> Repository:
    """Open all models.

    Raises
    ------
    LookbookError
        As `Repository.load`.
    """
    repository = Repository(list(settings.sources), settings.max_batch, settings.lang)
    repository.load()
    return repository


def run(
    settings: Settings,
    repository: Repository,
    listening: socket.socket,
    tell: Callable[[], None],
    parent: int | None = None,
) -> None:
    """Serve in this process until SIGTERM or Ctrl-C; `tell` hears when it answers.

    Parameters
    ----------
    settings, repository, listening
        What is served, and where.
    tell
        Called once.
    parent
        Number of the process that started this one; without it, it ends.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, repository, listening, tell, parent))


def _loop_factory() -> Any:
    """Return what makes event loops: uvloop's, which Windows does not have."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415

    return uvloop.new_event_loop


async def _serve(
    settings: Settings,
    repository: Repository,
    listening: socket.socket,
    tell: Callable[[], None],
    parent: int | None,
) -> None:
    from lookbook.serving.http.routes import make_routes  # noqa: PLC0415  # 0.4 s

    metrics = Metrics()
    cores = max(1, usable_cores() // settings.workers)
    batcher = Batcher(
        asyncio.get_running_loop(), settings.max_queue, metrics, cores if cores > 1 else 0
    )
    readers = Readers(cores, reads_small=cores == 1)
    # 5 ms: a thread that has computed a batch would wait so long for Python's lock, several times
    sys.setswitchinterval(SWITCH_SECONDS)
    state = State(
        repository, batcher, readers, metrics, settings.max_body,
        Bodies(settings.max_body), settings.token(),
        origins=settings.origins, logs_requests=settings.logs_requests,
    )  # fmt: skip
    application: Any = Application(state, make_routes(state))
    if settings.origins:
        application = allow_origins(application, settings.origins)
    config = uvicorn.Config(
        application, http=Connection, proxy_headers=False, ws="none", lifespan="off",
        log_config=None, access_log=False, server_header=False, date_header=False,
        backlog=BACKLOG,
    )  # fmt: skip
    refreshing = asyncio.create_task(_refresh(repository))
    await Server(config, state, listening, tell, parent).serve(sockets=[listening])
    refreshing.cancel()
    batcher.close()
    readers.close()


async def _refresh(repository: Repository) -> None:
    """Look for new versions, now and then."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await asyncio.to_thread(repository.refresh)
        except Exception:  # noqa: BLE001  # the next look may succeed
            _log.exception("looking for versions")


class Server(uvicorn.Server):
    """A server of uvicorn that answers what has arrived, on every connection, before it ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: State,
        listening: socket.socket,
        tell: Callable[[], None],
        parent: int | None,
    ) -> None:
        super().__init__(config)
        self._state, self._listening, self._tell, self._parent = state, listening, tell, parent

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Hear of a signal: from now on the server is not ready."""
        self._state.is_ready = False
        self.should_exit = True
        del sig, frame

    async def on_tick(self, counter: int) -> bool:
        """Note the queue; close connections that are late; end with who started this process."""
        self._state.metrics.note_queue(self._state.batcher.n_images)
        if counter % 10 == 0:
            self._close_late()
            self._state.readers.end_late(time.monotonic())
            if self._parent is not None and os.getppid() != self._parent:
                self.handle_exit(0, None)
        return await super().on_tick(counter)

    def _connections(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept what the system has accepted, answer what has arrived, close, end."""
        del sockets
        loop = asyncio.get_running_loop()
        ends = loop.time() + END_SECONDS
        with contextlib.suppress(OSError):
            refuse_new(self._listening)
        made = loop.time() + HANDSHAKE_SECONDS
        while (now := loop.time()) < ends:  # where no filter can be set, new ones may always come
            if now > made and not select.select([self._listening], [], [], 0)[0]:
                break
            self._end_connections()
            await asyncio.sleep(0.005)
        for server in self.servers:
            server.close()
        self._listening.close()
        lingers = loop.time() + LINGER_SECONDS
        while self._connections() and loop.time() < ends:
            self._end_connections()
            self._close_late()
            if loop.time() > lingers:
                self._close_unused()
            await asyncio.sleep(0.02)
        for connection in self._connections():
            connection.transport.close()

    def _close_late(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            connection.close_if_late(now)

    def _end_connections(self) -> None:
        """Let what is answered from now on close its connection."""
        for connection in self._connections():
            connection.end()

    def _close_unused(self) -> None:
        for connection in self._connections():
            connection.close_if_unused()
