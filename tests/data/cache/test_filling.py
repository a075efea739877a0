"""Two processes that want the same folder: one reads it, the other waits and has the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from kinds import write_folder
from lookbook.core.listeners import listen
from lookbook.data.cache import entries, filling, folders
from lookbook.data.sources import load

#: load the folder that is named, slowly where that is asked for, and write the hash of its images
LOAD = """
import sys, time
from lookbook.core.listeners import listen
from lookbook.data.cache import filling, folders
from lookbook.data.sources import load
folders.FEWEST = folders.WORTH_BYTES = 1
filling.COMMIT = 0
pause = float(sys.argv[2])
with listen(lambda done, n: (time.sleep(pause), print(done, n, flush=True))):
    print(load(sys.argv[1]).sha256(), flush=True)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "FEWEST", 1)
    monkeypatch.setattr(folders, "WORTH_BYTES", 1)
    monkeypatch.setattr(filling, "COMMIT", 0)
    monkeypatch.setattr(filling, "LOOK", 0.05)
    return write_folder(tmp_path / "data", (12, 10, 3), {"cat": 30, "dog": 25})


def start(folder, pause):
    command = [sys.executable, "-c", LOAD, str(folder), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def until_begun(process):
    """Wait until a process has kept some images."""
    while process.stdout.readline().split()[0] == "0":
        pass


@pytest.mark.slow
def test_two_at_once_read_each_file_once_and_have_the_same(folder):
    processes = [start(folder, 0.02) for _ in range(2)]
    lines = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert lines[0][-1] == lines[1][-1] == load(folder).sha256()
    assert sum(each.images for each in entries.list_kept()) == 55


@pytest.mark.slow
def test_who_waits_hears_how_far_the_other_is_and_goes_on_where_that_was_killed(folder):
    other = start(folder, 0.3)
    until_begun(other)
    heard = []

    def hear(done, n):
        heard.append((done, n))
        if len(heard) == 3:
            other.send_signal(signal.SIGKILL)

    with listen(hear):
        found = load(folder)
    other.wait(timeout=60)
    assert heard[0][0] > 0
    assert heard[0][1] == heard[1][1] == 44
    assert (44, 44) in heard
    assert len(found) == 44
    assert found.sha256() == load(folder).sha256()


def test_what_is_cleared_while_it_is_used_stays_in_use(folder):
    part = load(folder)
    before = part.sha256()
    entries.clear(entries.list_kept())
    assert part.sha256() == before
    assert part.polarity == load(folder).polarity


def test_two_that_find_the_same_damage_both_read_again(folder, monkeypatch):
    before = load(folder).sha256()
    for kept in entries.list_kept():
        os.truncate(next(kept.place.glob("images-*")), 100)
    remove = entries.shutil.rmtree

    def another_was_faster(place):
        remove(place)
        remove(place)

    monkeypatch.setattr(entries.shutil, "rmtree", another_was_faster)
    assert load(folder).sha256() == before
