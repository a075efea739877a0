"""What must never happen, counted: answers that differ, are lost, are refused otherwise than so."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness.record import Record
from bench.serving import requests
from bench.serving.load import Clients
from bench.serving.servers import LOOKBOOK, Running, ask, running
from bench.serving.setting import INFER, Setting, as_client, figures
from lookbook.inference.model import Model, Outputs

OUTPUTS = Outputs._fields
#: images that the queue of `lookbook serve` takes where nothing else is asked for
MOST_QUEUED = 256
#: of 1 to 8 images each: as many as the queue takes, so that none is refused
MOST_IMAGES = 8
MOST_CONNECTIONS = MOST_QUEUED // MOST_IMAGES


# ---- the same bits ----


def measure_identity(setting: Setting, record: Record) -> None:
    """Compare answers among many others with those to the same requests alone, bit by bit."""
    most = 2_000 if setting.trial else 100_000
    images = setting.images
    sizes = np.random.default_rng(0).integers(1, MOST_IMAGES + 1, 400 if setting.trial else 2_000)
    batches = [images[np.arange(i, i + n) % len(images)] for i, n in enumerate(sizes)]
    forms = (requests.in_binary, requests.in_json)
    asked = [forms[i % 2](batch, INFER, OUTPUTS) for i, batch in enumerate(batches)]
    expected: dict[int, bytes] = {}
    others: Counter[str] = Counter()

    def keep(number: int, status: int, body: bytes) -> None:
        expected[number] = body
        others[f"alone: {status}"] += status != 200

    def compare(number: int, status: int, body: bytes) -> None:
        others["answers that differ"] += status == 200 and body != expected[number]

    with running(LOOKBOOK, setting.run.model, setting.server_core) as server, as_client(setting):
        first = Clients(server.address, asked, 1, keep)
        first.closed(most=len(asked))
        first.close()
        clients = Clients(server.address, asked, MOST_CONNECTIONS, compare)
        load = clients.closed(most=most)
        clients.close()
    record.measurements.append(
        {
            "part": "identity",
            "n": most,
            "requests": len(asked),
            "differ": others["answers that differ"],
            "refused_alone": sum(others.values()) - others["answers that differ"],
            "differ_from_model": _differ_from_model(setting, batches, expected),
            **figures(load),
        }
    )


def _differ_from_model(
    setting: Setting, batches: list[np.ndarray], answers: dict[int, bytes]
) -> int:
    """Count the binary answers that differ from `Model.predict` of one image after the other."""
    model = Model.open(setting.run.model)
    alone = {image.tobytes(): model.predict(image[None]) for image in setting.images}
    differ = 0
    for number in range(0, len(batches), 2):
        parts = zip(*(alone[image.tobytes()] for image in batches[number]), strict=True)
        wanted = b"".join(np.concatenate(part).tobytes() for part in parts)
        differ += requests.tensors_of(answers[number]) != wanted
    return differ


# ---- overload ----


def measure_overload(setting: Setting, record: Record) -> None:
    """Send three times what the server can answer, of requests with one image and with 16."""
    seconds = 3.0 if setting.trial else 60.0
    for n in (1, 16):
        rows = [setting.images[np.arange(i, i + n) % len(setting.images)] for i in range(500)]
        asked = [requests.in_binary(images, INFER) for images in rows]
        with (
            running(LOOKBOOK, setting.run.model, setting.server_core) as server,
            as_client(setting),
        ):
            found = _overload(server, asked, MOST_QUEUED // n, seconds)
        record.measurements.append({"part": "overload", "images": n, "seconds": seconds, **found})


def _overload(server: Running, asked: list[bytes], n: int, seconds: float) -> dict[str, Any]:
    closed = Clients(server.address, asked, min(64, n))  # none is refused
    closed.settle()
    capacity = closed.closed(seconds / 6).rate
    closed.close()
    at_capacity = _paced(server, asked, capacity, seconds / 3)
    before = server.memory()
    health: list[tuple[int | None, float]] = []
    with _beside(lambda: _look_at_health(server, health)):
        beyond = _paced(server, asked, 3 * capacity, seconds)
    return {
        "capacity": capacity,
        "at_capacity": at_capacity,
        "beyond": beyond,
        "memory": [before, server.memory()],
        "health_statuses": dict(Counter(str(status) for status, _ in health)),
        "health_ms": 1e3 * max(took for _, took in health),
    }


def _paced(server: Running, asked: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    clients = Clients(server.address, asked, 2 * MOST_QUEUED)
    try:
        clients.settle()
        return {"offered": rate, **figures(clients.paced(rate, seconds))}
    finally:
        clients.close()


def _look_at_health(server: Running, found: list[tuple[int | None, float]]) -> None:
    for path in ("/v2/health/live", "/metrics"):
        start = time.monotonic()
        found.append((ask(server.address, path), time.monotonic() - start))


class _beside:  # noqa: N801  # a context manager that reads as one
    """Do something about once a second, in a thread, until the end of the block."""

    def __init__(self, call: Callable[[], None], pause: float = 1.0) -> None:
        self.call, self.pause, self.ends = call, pause, threading.Event()
        self.thread = threading.Thread(target=self._repeat)

    def _repeat(self) -> None:
        self.call()
        while not self.ends.wait(self.pause):
            self.call()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ends.set()
        self.thread.join()


# ---- ends and new versions, under load ----


def measure_stops(setting: Setting, record: Record) -> None:
    """Send SIGTERM at random moments under load, and count requests without an answer."""
    drawn = np.random.default_rng(0)
    for number in record.turns(range(3 if setting.trial else 100), lambda _: "stop"):
        asked = (setting.in_binary, setting.in_json)[number % 2]
        with running(LOOKBOOK, setting.run.model, setting.server_core) as server:
            found = _stop(setting, server, asked, float(drawn.uniform(0.05, 1.0)))
        record.measurements.append({"part": "stops", "number": number, **found})


def _stop(setting: Setting, server: Running, asked: list[bytes], after: float) -> dict[str, Any]:
    stopped: list[float] = []

    def stop() -> None:
        stopped.append(time.monotonic())
        server.process.send_signal(signal.SIGTERM)

    with as_client(setting):
        clients = Clients(server.address, asked, 16)
        timer = threading.Timer(after, stop)
        timer.start()
        load = clients.closed(after + 30)
        clients.close()
        timer.join()
    code = server.process.wait(40)
    return {
        "after": after,
        "answers": sum(load.statuses.values()),
        "statuses": {str(status): n for status, n in sorted(load.statuses.items())},
        "lost_before": sum(moment < stopped[0] for moment in load.lost),
        "lost_after": sum(moment >= stopped[0] for moment in load.lost),
        "exit_code": code,
        "seconds": time.monotonic() - stopped[0],
    }


_VERSION = re.compile(rb'"model_version": ?"([^"]*)"')


def measure_swaps(setting: Setting, record: Record) -> None:
    """Add versions of a model under load; count answers by version, and what was lost."""
    n = 3 if setting.trial else 10
    versions: Counter[str] = Counter()

    def look(_: int, __: int, body: bytes) -> None:
        named = _VERSION.search(body)
        versions[named.group(1).decode() if named else "none"] += 1

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        _add(setting, folder / "1")
        with running(LOOKBOOK, folder, setting.server_core) as server, as_client(setting):
            adding = threading.Thread(target=_add_slowly, args=(setting, folder, n))
            clients = Clients(server.address, setting.in_json, 16, look)
            adding.start()
            load = clients.closed(2.0 * n + 6)
            clients.close()
            adding.join()
    found = {"part": "swaps", "versions": dict(versions), "n": n}
    record.measurements.append(found | figures(load))


def _add_slowly(setting: Setting, folder: Path, n: int) -> None:
    for version in range(2, n + 1):
        time.sleep(2.0)
        _add(setting, folder / str(version))


def _add(setting: Setting, folder: Path) -> None:
    """Copy a model as people do: the folder first, then its file bit by bit."""
    folder.mkdir(parents=True)
    with setting.run.model.open("rb") as source, (folder / "model.onnx").open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 16)
