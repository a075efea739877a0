"""A small part of the attacks: `python -m tests.attack` tries all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attack import cage
from lookbook.cli import process

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_damaged_inputs_are_answered_or_refused_with_one_message():
    asked = ["images", "250", "arrays", "200", "documents", "15", "models", "12", "points", "5"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.attack", "--seed", "3", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(ended.stdout.splitlines()) == 5, ended.stdout


class Faults(cage.Attack):
    """A program with a fault of each kind."""

    def mutate(self, rng, number):
        del rng
        return (self.crash, self.die, self.spin, self.wait, self.fill, self.print, self.lie)[number]

    still = 1.5

    def crash(self):
        raise KeyError("a")

    def die(self):
        os._exit(3)

    def spin(self):
        while True:
            pass

    def wait(self):
        time.sleep(100)

    def fill(self):
        return cage.Answer(data=len(bytes(b"x" * 100 * 2**20)) // 100)

    def print(self):
        os.write(2, b"TIFFReadDirectory: nothing\n")
        return cage.Answer()

    def lie(self):
        raise cage.WrongAnswerError("other weights")


@pytest.mark.slow
def test_the_cage_finds_each_kind_of_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(cage, "SECONDS", 1)
    monkeypatch.setattr(cage, "MEGABYTES", 50)
    found = {one.number: one.kind for one in cage.run(Faults(), list(range(7)), 0, tmp_path)}
    expected = ("traceback", "died", "hang", "hang", "memory", "noise", "silent")
    assert found == dict(enumerate(expected))


class Kept(Faults):
    """The same in a process that keeps what it freed, as one that trained does."""

    def start(self, folder):
        del folder
        process.tune()
        blocks = [bytearray(b"x") * (16 * 2**20) for _ in range(20)]
        blocks.clear()
        assert cage.status("VmRSS") > 300


def test_memory_that_was_freed_before_is_not_overlooked_when_it_is_taken_again(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(cage, "MEGABYTES", 50)
    (found,) = cage.run(Kept(), [4], 0, tmp_path)
    assert found.kind == "memory"
    assert found.megabytes in range(95, 105)
