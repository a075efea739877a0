"""What all parts of the benchmark share: a run, its test images, two cores, how long to measure."""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.harness.peer_process import SCRIPTS
from bench.serving import requests
from bench.serving.servers import MODEL, kept_to
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import Run

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from bench.serving.load import Load

#: test images that are sent in turn: random ones would all be unsure, and take all views
IMAGES = 1000
#: requests a second of one connection that hardly keeps a server busy
IDLE_RATE = 50.0
INFER = f"/v2/models/{MODEL}/infer"


@dataclass(frozen=True)
class Setting:
    """A run that is served on one core and asked from another."""

    run: Run
    #: core of the servers, and of the clients
    server_core: int
    client_core: int
    #: seconds of each load
    seconds: float
    rounds: int
    #: minutes of fuzzing
    minutes: float
    #: little of everything
    trial: bool
    #: JPEG files, for the part that sends photographs
    photographs: tuple[Path, ...] = ()

    @cached_property
    def images(self) -> UInt8[np.ndarray, "N H W"]:
        """Test images."""
        return load_part(self.run, "test").images[:IMAGES]

    @cached_property
    def in_json(self) -> list[bytes]:
        """A request in JSON for each image."""
        return [requests.in_json(image[None], INFER) for image in self.images]

    @cached_property
    def in_binary(self) -> list[bytes]:
        """A request with binary tensors for each image."""
        return [requests.in_binary(image[None], INFER) for image in self.images]

    def alone(self, *options: str) -> list[str]:
        """Return the command that measures without a server, on its core."""
        script = str(SCRIPTS / "serving_alone.py")
        return [*kept_to(self.server_core), sys.executable, script, *options]


@contextmanager
def as_client(setting: Setting) -> Iterator[None]:
    """Keep this process on the core of the clients, without pauses of its own."""
    before = os.sched_getaffinity(0)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    os.sched_setaffinity(0, {setting.client_core})
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        os.sched_setaffinity(0, before)


def figures(load: Load) -> dict[str, object]:
    """Return what is kept of a load: rate, latencies in milliseconds, shares and statuses."""
    p50, p99 = np.quantile(load.latencies, [0.5, 0.99]) if load.latencies else (np.nan, np.nan)
    return {
        "rate": load.rate,
        "p50_ms": 1e3 * float(p50),
        "p99_ms": 1e3 * float(p99),
        "p99_on_the_way_ms": 1e3 * float(np.quantile(load.on_the_way or [np.nan], 0.99)),
        "least_share": load.least_share,
        "statuses": {str(status): n for status, n in sorted(load.statuses.items())},
        "lost": len(load.lost),
        "busy": load.busy,
        "late": load.late,
    }
