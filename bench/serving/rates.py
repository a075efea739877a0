"""Requests a second beside MLServer and a plain FastAPI handler, and latency while idle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.harness import peer_process
from bench.harness.peer_process import Peer, PeerError
from bench.harness.record import Record
from bench.serving.load import Clients
from bench.serving.servers import LOOKBOOK, SERVERS, Running, running
from bench.serving.setting import IDLE_RATE, Setting, as_client, figures

CONNECTIONS = (1, 16, 64, 512)


def measure_rates(setting: Setting, record: Record) -> None:
    """Ask all servers at all numbers of connections, in rounds: a start of a server is one draw."""
    turns = [(r, s) for r in range(setting.rounds) for s in _rotated(r)]
    for number, server in record.turns(turns, lambda turn: turn[1].name):
        try:
            with running(server, setting.run.model, setting.server_core) as found:
                for each in _ask(setting, server, found):
                    record.measurements.append({"part": "rates", "round": number, **each})
        except PeerError as error:
            record.fail({"name": server.name, "round": number}, str(error))


def _rotated(number: int) -> tuple[Peer, ...]:
    """Return the servers, each round beginning with another."""
    first = number % len(SERVERS)
    return SERVERS[first:] + SERVERS[:first]


def _ask(setting: Setting, server: Peer, found: Running) -> Iterator[dict[str, Any]]:
    kinds = {"JSON": setting.in_json}
    if server.ours:
        kinds["binary"] = setting.in_binary
    with as_client(setting):
        _load(found, setting.in_json, 16, setting.seconds / 3)  # what happens once, happens here
        for kind, asked in kinds.items():
            for n in CONNECTIONS:
                load = _load(found, asked, n, setting.seconds)
                yield {"server": server.name, "kind": kind, "connections": n, **load}


def _load(found: Running, asked: list[bytes], n: int, seconds: float) -> dict[str, Any]:
    clients = Clients(found.address, asked, n)
    try:
        clients.settle()
        return figures(clients.closed(seconds))
    finally:
        clients.close()


# ---- latency while idle ----


def measure_latency(setting: Setting, record: Record) -> None:
    """Ask for one image after the other, with pauses, and ask `Model.predict` the same way."""
    n = 100 if setting.trial else 400
    for number in range(setting.rounds):
        alone = np.array(_alone(setting, n))
        for kind, asked in (("JSON", setting.in_json), ("binary", setting.in_binary)):
            with running(LOOKBOOK, setting.run.model, setting.server_core) as found:
                served = _idle(setting, found, asked[:n])
            added = 1e3 * (served - alone)
            record.measurements.append(
                {
                    "part": "latency",
                    "round": number,
                    "kind": kind,
                    "n": n,
                    "served_ms": _quantiles(1e3 * served),
                    "alone_ms": _quantiles(1e3 * alone),
                    "added_ms": _quantiles(added),
                }
            )


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(each) for each in np.quantile(values, [0.5, 0.99])]


def _idle(setting: Setting, found: Running, asked: list[bytes]) -> np.ndarray:
    """Return the seconds that each request took, in their order."""
    with as_client(setting):
        clients = Clients(found.address, asked, 1)
        clients.settle()
        load = clients.paced(IDLE_RATE, most=len(asked))
        clients.close()
    return np.array(load.latencies)


def _alone(setting: Setting, n: int) -> list[float]:
    """Return the seconds that `Model.predict` takes for each image, on the core of the server."""
    options = ["model", str(setting.run.folder), "--n", str(n), "--pause", str(1 / IDLE_RATE)]
    command = setting.alone(*options)
    found = peer_process.parse(peer_process.output_of(command), {"seconds"})
    return list(found["seconds"])
