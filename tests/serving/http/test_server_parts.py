"""Parts of the server alone: looking for versions, its ticks, its end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import uvicorn

from lookbook.serving.http import server
from lookbook.serving.http.server import Server
from lookbook.serving.metrics import Metrics


def test_looking_for_versions_goes_on_after_any_error(monkeypatch, caplog):
    monkeypatch.setattr(server, "REFRESH_SECONDS", 0.01)
    n_looks = 0

    class Failing:
        def refresh(self) -> None:
            nonlocal n_looks
            n_looks += 1
            raise RuntimeError("of ONNX Runtime")

    async def main() -> None:
        looking = asyncio.create_task(server._refresh(Failing()))
        while n_looks < 2 and not looking.done():
            await asyncio.sleep(0.01)
        looking.cancel()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert n_looks >= 2
    assert caplog.messages[0] == "looking for versions"


def test_the_queue_of_a_process_is_noted_though_another_one_writes_the_metrics():
    state = SimpleNamespace(metrics=Metrics(), batcher=SimpleNamespace(n_images=5))
    one = Server(uvicorn.Config(None), state, None, lambda: None, None)
    asyncio.run(one.on_tick(1))
    assert state.metrics._registry.get_sample_value("lookbook_queue_images") == 5


NOTE = "from lookbook.serving.metrics import Metrics; Metrics().note_queue(3); input(chr(10))"
WRITE = "from lookbook.serving.metrics import Metrics; print(Metrics().write(4).decode())"


def test_queues_of_all_processes_are_added_up(tmp_path):
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    pipe = {"env": environment, "text": True, "stdout": subprocess.PIPE, "stdin": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", NOTE], **pipe) as other:
        other.stdout.readline()  # it has noted its own
        written = subprocess.run([sys.executable, "-c", WRITE], **pipe, check=True).stdout
        other.communicate("\n")
    assert "\nlookbook_queue_images 7.0\n" in written


def test_clients_that_go_on_connecting_do_not_keep_it_from_its_end(monkeypatch):
    monkeypatch.setattr(server, "END_SECONDS", 0.2)
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 0.1)
    monkeypatch.setattr(server, "refuse_new", lambda _listening: None)

    async def main(listening: socket.socket) -> None:
        one = Server(uvicorn.Config(None), None, listening, lambda: None, None)
        one.servers = []
        async with asyncio.timeout(5):
            await one.shutdown()

    # nobody accepts: there is always one more
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        asyncio.run(main(listening))
