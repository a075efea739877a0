"""The cache of large folders: the same as read into memory, whatever happens to it."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from kinds import SHAPES, write_folder
from lookbook.core import arrays
from lookbook.core.listeners import listen
from lookbook.data.cache import entries, filling, folders
from lookbook.data.sources import load
from lookbook.errors import LookbookWarning, OutputError

COUNTS = {"cat": 30, "dog": 25}


@pytest.fixture(autouse=True)
def keeps_all(tmp_path, monkeypatch):
    """Keep the smallest folder, and bring no rows into memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "FEWEST", 1)
    monkeypatch.setattr(folders, "WORTH_BYTES", 1)
    monkeypatch.setattr(filling, "COMMIT", 0)
    monkeypatch.setattr(arrays, "CHUNK", 2000)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "data", (12, 10, 3), COUNTS)


def in_memory(monkeypatch, data, part="train", **options):
    with monkeypatch.context() as patch:
        patch.setattr(folders, "FEWEST", 10**9)
        return load(data, part, **options)


def assert_same(one, other):
    np.testing.assert_array_equal(np.asarray(one.images), np.asarray(other.images))
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.files, one.classes, one.sha256()) == (other.files, other.classes, other.sha256())


def files_read(data, part="train", **options):
    """Load, and return how many files were read for it."""
    steps = []
    with listen(lambda done, n: steps.append((done, n))):
        dataset = load(data, part, **options)
    starts = [i for i, (_, n) in enumerate(steps) if i == 0 or steps[i - 1][0] == steps[i - 1][1]]
    return dataset, sum(steps[i][1] - steps[i][0] for i in starts)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_is_the_same_and_read_once(tmp_path, monkeypatch, shape):
    data = write_folder(tmp_path / "data", shape, COUNTS)
    for part in ("train", "test"):
        expected = in_memory(monkeypatch, data, part)
        found, _ = files_read(data, part)
        assert_same(found, expected)
        assert arrays.is_mapped(found.images)
        size = {"size": found.size, "channels": found.channels}
        for options in ({}, size):
            again, n = files_read(data, part, **options)
            assert_same(again, expected)
            assert n == 0
        other = {"size": 9, "channels": 4 - found.channels}
        assert_same(load(data, part, **other), in_memory(monkeypatch, data, part, **other))


@pytest.mark.filterwarnings("ignore::lookbook.errors.LookbookWarning")
def test_grey_in_colour_files_sizes_that_differ_and_damaged_files(tmp_path, monkeypatch):
    data = write_folder(tmp_path / "data", (12, 10), COUNTS)
    for path in sorted((data / "cat").iterdir()):
        Image.open(path).convert("RGB").save(path)
    for number in (3, 17):
        (data / "dog" / f"{number:03}.png").write_bytes(b"no image")
    with pytest.warns(LookbookWarning, match="left out 1 file|left out 2 files"):
        expected = in_memory(monkeypatch, data)
    for _ in range(2):
        with pytest.warns(LookbookWarning, match="left out 1 file|left out 2 files"):
            assert_same(load(data), expected)
    Image.new("RGB", (70, 30), "red").save(data / "cat" / "other.png")
    Image.new("RGB", (30, 70), "blue").save(data / "cat" / "another.png")
    for part in ("train", "test"):
        expected = in_memory(monkeypatch, data, part)
        for _ in range(2):
            assert_same(load(data, part), expected)


def test_copies_across_the_split_stay_together(folder, monkeypatch):
    for number in range(12):
        shutil.copy(folder / "cat" / f"{number:03}.png", folder / "cat" / f"again{number}.png")
    for part in ("train", "test"):
        expected = in_memory(monkeypatch, folder, part)
        assert_same(load(folder, part), expected)
        assert_same(load(folder, part), expected)


def test_a_changed_file_is_read_again(folder):
    before = load(folder)
    path = folder / before.files[0]
    Image.new("RGB", (10, 12), "red").save(path)
    assert load(folder).images[0].tolist() == np.full((12, 10, 3), [255, 0, 0]).tolist()
    os.utime(path, (1, 1))
    assert files_read(folder)[1] > 0


def test_stopped_in_the_middle_it_goes_on(folder, monkeypatch):
    def stop(done, _n):
        if done > 20:
            raise KeyboardInterrupt

    expected = in_memory(monkeypatch, folder)
    n = len(expected)
    with pytest.raises(KeyboardInterrupt), listen(stop):
        load(folder)
    found, read = files_read(folder)
    assert_same(found, expected)
    assert 0 < read <= 55 - 20 < n


def test_what_was_spoiled_is_made_anew(folder, monkeypatch):
    expected = in_memory(monkeypatch, folder)
    load(folder)
    for name, spoil in (
        ("images-*", lambda path: os.truncate(path, 100)),
        ("meta.json", lambda path: path.write_text(path.read_text().replace("cat", "dog") + " ")),
        ("images-*", lambda path: path.unlink()),
    ):
        for kept in entries.list_kept():
            for path in kept.place.glob(name):
                spoil(path)
        found, read = files_read(folder)
        assert_same(found, expected)
        assert read == 55
    for kept in entries.list_kept():  # as it is while it is filled
        (kept.place / "meta.json").unlink()
        (kept.place / "filling.jsonl").write_text(json.dumps({"done": 3})[:5])
    assert_same(load(folder), expected)


def test_a_full_disk_is_told_and_nothing_is_lost(folder, monkeypatch):
    expected = in_memory(monkeypatch, folder)
    usage = shutil.disk_usage(folder)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.warns(LookbookWarning, match=f"{os.strerror(errno.ENOSPC)}.*memory; make room"):
        assert_same(load(folder), expected)
    monkeypatch.setattr(os, "sysconf", lambda _: 0)
    with pytest.raises(OutputError, match="make room"):
        load(folder)


def test_small_folders_leave_nothing_behind(folder, monkeypatch):
    monkeypatch.setattr(folders, "WORTH_BYTES", 10**9)
    assert not arrays.is_mapped(load(folder).images)
    assert entries.list_kept() == []


def test_what_is_split_off_a_large_folder_is_kept_with_it(folder, monkeypatch):
    monkeypatch.setattr(folders, "WORTH_BYTES", 10_000)
    load(folder)
    assert sorted(each.images for each in entries.list_kept()) == [11, 44]
    assert files_read(folder)[1] == 0


def test_what_is_kept_is_listed_and_cleared(folder):
    load(folder)
    kept = entries.list_kept()
    assert {each.folder for each in kept} == {str(folder.resolve())}
    assert sum(each.images for each in kept) == 55
    assert sum(each.n_bytes for each in kept) > 55 * 12 * 10 * 3
    assert entries.clear(kept) == sum(each.n_bytes for each in kept)
    assert entries.list_kept() == []
