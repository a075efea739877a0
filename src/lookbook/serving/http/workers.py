"""Workers: processes that share a socket; one that dies is replaced."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Semaphore
from types import FrameType

from lookbook.serving import logs
from lookbook.serving.http import server
from lookbook.serving.http.connections import refuse_new
from lookbook.serving.http.server import BACKLOG, END_SECONDS, Settings
from lookbook.serving.metrics import SHARED_FOLDER, forget_process

#: seconds between two looks at the workers
LOOK_SECONDS = 0.1
#: seconds before a worker that died is replaced: one that cannot start is not tried all the time
PAUSE_SECONDS = 1.0
_log = logging.getLogger("lookbook.serving")


def run(settings: Settings, listening: socket.socket, tell: Callable[[], None]) -> None:
    """Serve in several processes until SIGTERM or Ctrl-C; `tell` hears when all answer."""
    listening.listen(BACKLOG)
    with tempfile.TemporaryDirectory(prefix="lookbook-metrics-") as folder:
        os.environ[SHARED_FOLDER] = folder
        _Workers(settings, listening).run(tell)


class _Workers:
    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._context = multiprocessing.get_context("spawn")
        self._answering = self._context.Semaphore(0)
        self._processes: list[SpawnProcess] = []
        self._is_ending = False

    def run(self, tell: Callable[[], None]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        self._processes = [self._start() for _ in range(self._settings.workers)]
        n_answering = 0
        while not self._is_ending:
            if n_answering < self._settings.workers and self._answering.acquire(block=False):
                n_answering += 1
                if n_answering == self._settings.workers:
                    tell()
            self._replace()
            time.sleep(LOOK_SECONDS)
        self._end()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_ending = True

    def _start(self) -> SpawnProcess:
        arguments = (self._settings, self._listening, self._answering, os.getpid())
        process = self._context.Process(target=_work, args=arguments)
        process.start()
        return process

    def _replace(self) -> None:
        """Start another process for each that has died."""
        for i, process in enumerate(self._processes):
            if process.is_alive() or self._is_ending:
                continue
            _log.warning("worker %d ended with code %s", process.pid, process.exitcode)
            forget_process(process.pid or 0)
            time.sleep(PAUSE_SECONDS)
            self._processes[i] = self._start()

    def _end(self) -> None:
        """Have all of them answer what has arrived, and end."""
        with contextlib.suppress(OSError):
            refuse_new(self._listening)
        for process in self._processes:
            process.terminate()
        self._listening.close()
        ends = time.monotonic() + END_SECONDS + 2
        for process in self._processes:
            process.join(max(0, ends - time.monotonic()))
            process.kill()
            process.join()


def _work(settings: Settings, listening: socket.socket, answering: Semaphore, parent: int) -> None:
    """Serve in a process of its own."""
    logs.set_up()
    server.run(settings, server.load(settings), listening, answering.release, parent)
