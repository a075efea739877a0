"""Processes that read image files: they answer as this one does, and end with it."""

from __future__ import annotations

import pickle
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


@pytest.mark.parametrize("name", ["datetime", "numpy", "typing", "lookbook"])
def test_a_worker_runs_no_module_of_the_user(request_of, tmp_path, monkeypatch, name):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / f"{name}.py").write_text("print('cats and dogs'); open('ran', 'w').close()")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    with Worker() as worker:
        assert worker.read(request_of).kept == [0, 2]
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("error", [ModuleNotFoundError, MemoryError, AttributeError])
def test_an_answer_that_cannot_be_read_is_none(request_of, monkeypatch, error):
    def fail(_):
        raise error

    with Worker() as worker:
        monkeypatch.setattr(pickle, "load", fail)
        assert worker.read(request_of) is None


def test_a_worker_keeps_no_compiled_modules_where_its_parent_does_not(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with Worker() as worker:
        assert "-B" in worker._process.args


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
