"""Processes that read image files: they answer as this one does, and end with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookbook.images.batch import Request, read_batch
from lookbook.images.workers import Worker


@pytest.fixture
def request_of(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    (tmp_path / "1.png").write_bytes(b"no image")
    return Request([str(path) for path in sorted(tmp_path.iterdir())], None, colour=True)


def test_a_worker_answers_as_this_process_does(request_of):
    expected = read_batch(request_of)
    with Worker() as worker:
        for _ in range(2):
            found = worker.read(request_of)
            np.testing.assert_array_equal(found.images, expected.images)
            assert (found.n, found.kept, found.dim) == (3, [0, 2], {})


def test_a_killed_worker_answers_nothing(request_of):
    with Worker() as worker:
        worker.kill()
        assert worker.read(request_of) is None


PARENT = """
import time
from lookbook.images.batch import Request
from lookbook.images.workers import Worker
worker = Worker()
worker.read(Request([], None, colour=True))
print(worker._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whether a process is there")
def test_a_worker_ends_with_the_process_that_started_it():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        worker = Path(f"/proc/{int(parent.stdout.readline())}")
        assert runs(worker)
        parent.kill()
    until = time.monotonic() + 60
    while runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(worker)


def runs(process: Path) -> bool:
    """Say whether a process is there, and not one that ended and that nobody asked about."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
