"""Listeners: what they hear of a reading, wherever it is, and no longer than they listen."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PIL import Image

from kinds import write_folder
from lookbook.core.listeners import listen, tell_images
from lookbook.data.sources import load
from lookbook.images import pool
from lookbook.images.reading import read_images


def test_the_innermost_listener_hears_and_the_one_around_it_again_after_it():
    outer, inner = [], []

    def fail():
        with listen(lambda *heard: inner.append(heard)):
            tell_images(2, 9)
            raise KeyError

    with listen(lambda *heard: outer.append(heard)):
        tell_images(1, 9)
        with pytest.raises(KeyError):
            fail()
        tell_images(3, 9)
    tell_images(4, 9)
    assert (outer, inner) == ([(1, 9), (3, 9)], [(2, 9)])


def test_another_thread_is_another_work():
    heard = []
    with listen(lambda *each: heard.append(each)):
        thread = threading.Thread(target=tell_images, args=(1, 2))
        thread.start()
        thread.join()
    assert heard == []


@pytest.mark.parametrize("cores", [1, 3])
def test_a_reading_tells_of_all_its_files_from_none_to_the_last(tmp_path, monkeypatch, cores):
    monkeypatch.setattr(pool, "usable_cores", lambda: cores)
    monkeypatch.setattr(pool, "WORTH_A_WORKER", 1e-12)
    monkeypatch.setattr(pool, "SEEN", 0)
    paths = []
    for number in range(90):
        paths.append(tmp_path / f"{number:02}.png")
        Image.fromarray(np.full((9, 9), number, np.uint8)).save(paths[-1])
    paths[40].write_bytes(b"no image")
    heard = []
    with listen(lambda *each: heard.append(each)):
        found = read_images(paths)
    assert found.damaged == [paths[40]]
    done = [first for first, _ in heard]
    assert done == sorted(set(done))
    assert (done[0], done[-1], {n for _, n in heard}) == (0, 90, {90})
    assert len(done) > 5


def test_a_part_of_a_folder_is_read_out_loud(tmp_path):
    heard = []
    with listen(lambda *each: heard.append(each)):
        part = load(str(write_folder(tmp_path / "data", (9, 9), {"a": 20, "b": 20})))
    # then the test part, which may hold copies of it
    assert [done for done, n in heard if done == n] == [len(part), 8] == [32, 8]
