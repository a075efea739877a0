"""Facts about images of the cache: found once, and again where anything is another."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinds import write_folder
from lookbook.data import dataset
from lookbook.data.cache import entries, facts, folders
from lookbook.data.cache.facts import identify, recall
from lookbook.data.formats import folder_source
from lookbook.data.sources import load
from lookbook.errors import OutputError


@pytest.fixture(autouse=True)
def keeps_all(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "FEWEST", 1)
    monkeypatch.setattr(folders, "WORTH_BYTES", 1)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", (12, 10, 3), {"cat": 30, "dog": 25})


@pytest.fixture
def images(folder):
    return load(folder).images


def counted() -> tuple[list[int], Callable[[], list[int]]]:
    """Return the times that something was found, and what finds it."""
    times = []
    return times, lambda: times.append(1) or [len(times)]


def found(folder):
    """Return what a training asks of its data."""
    part = load(folder)
    return part.sha256(), part.polarity, part.groups.numbers.tolist()


def test_a_second_start_finds_nothing_out(folder, monkeypatch):
    before = found(folder)

    def again(*_):
        raise AssertionError("found out again")

    for module, name in (
        (folder_source, "group_copies"),
        (dataset, "find_polarity"),
        (dataset, "_hash_all"),
    ):
        monkeypatch.setattr(module, name, again)
    assert found(folder) == before
    (folder / "dog").rename(folder / "wolf")
    with pytest.raises(AssertionError, match="found out again"):
        found(folder)


def test_each_question_is_answered_for_itself(images):
    times, find = counted()
    assert [recall(images, name, find) for name in "aabab"] == [[1], [1], [2], [1], [2]]
    assert len(times) == 2


def test_it_is_found_again_of_other_bytes_and_by_another_program(images, monkeypatch):
    _, find = counted()
    file = Path(images.filename)
    assert recall(images, "a", find) == [1]
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    assert recall(images, "a", find) == [2]
    monkeypatch.setattr(facts, "_program", lambda: "another")
    assert recall(images, "a", find) == [3]
    for path in file.parent.glob("fact-*.json"):
        path.write_text(path.read_text().replace("[3]", "[7]"))
    assert recall(images, "a", find) == [4]


@pytest.mark.parametrize("take", [np.array, lambda a: a[1:], lambda a: a[::-1], lambda a: a[[0]]])
def test_what_is_no_whole_entry_leaves_nothing_behind(images, take):
    times, find = counted()
    before = sorted(Path(images.filename).parent.iterdir())
    for _ in range(2):
        recall(take(images), "a", find)
    assert len(times) == 2
    assert sorted(Path(images.filename).parent.iterdir()) == before


def test_a_users_own_array_is_left_alone(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((4, 8, 8), np.uint8))
    mine = np.load(tmp_path / "mine.npy", mmap_mode="r")
    (tmp_path / "meta.json").write_text("{}")
    assert identify(mine) is None
    assert recall(mine, "a", lambda: 3) == 3
    assert len(list(tmp_path.iterdir())) == 2


def test_where_it_cannot_be_kept_it_is_found_again(images, monkeypatch):
    def full(*_):
        raise OutputError("no room")

    monkeypatch.setattr(facts, "write_document", full)
    _, find = counted()
    assert [recall(images, "a", find) for _ in range(2)] == [[1], [2]]


def test_they_go_with_their_entry(folder):
    found(folder)
    kept = entries.list_kept()
    assert {len(list(each.place.glob("fact-*.json"))) for each in kept} == {0, 3}
    entries.clear(kept)
    assert entries.list_kept() == []
