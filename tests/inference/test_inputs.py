"""What can be predicted: folders as they were named, in order, whatever is in them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from lookbook.errors import LookbookWarning
from lookbook.inference.inputs import list_inputs
from lookbook.inference.prediction import predict_each


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a/z.png", "a/고양이.jpg", "a-b/1.png", "a/.hidden.png", "c/d/e/1.png"):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9)).save(tmp_path / "album" / name)
    return tmp_path / "album"


INSIDE = ["a/z.png", "a/고양이.jpg", "a-b/1.png", "b.png", "c/d/e/1.png"]


@pytest.mark.parametrize("given", ["album", "./album", "album/../album", "album/a/.."])
@pytest.mark.usefixtures("album")
def test_files_of_a_folder_are_called_as_it_was_named(given):
    assert list_inputs([given]) == [f"{given}/{name}" for name in INSIDE]
    assert list_inputs([f"{given}/"]) == [f"{given}/{name}" for name in INSIDE]


def test_they_are_sorted_as_paths_are(album):
    paths = list_inputs(album)
    assert paths == [str(path) for path in sorted(album / name for name in INSIDE)]


def test_inputs_keep_their_order_and_may_be_named_twice(album):
    given = ["album/b.png", album / "a", "test:3", "album/b.png", "album/a/z.png"]
    within = [str(album / "a" / "z.png"), str(album / "a" / "고양이.jpg")]
    assert list_inputs(given) == [given[0], *within, *given[2:]]


def test_a_folder_without_images_stays(album):
    (album / "empty").mkdir()
    assert list_inputs(["album/empty"]) == ["album/empty"]
    assert "album/empty" not in list_inputs("album")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_stays_in_its_place(album):
    (album / "a").chmod(0)
    try:
        assert list_inputs(["album"]) == ["album/a", *(f"album/{name}" for name in INSIDE[2:])]
    finally:
        (album / "a").chmod(0o755)


@pytest.mark.usefixtures("album")
def test_a_folder_that_cannot_be_read_stays_in_its_place(monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path) == "album/a":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list_inputs(["album"]) == ["album/a", *(f"album/{name}" for name in INSIDE[2:])]


def test_what_is_left_out_is_told(album):
    (album / "notes.txt").write_text("no image")
    (album / "link.png").symlink_to(album / "b.png")
    with pytest.warns(LookbookWarning) as told:
        assert list_inputs(["album"]) == [f"album/{name}" for name in INSIDE]
    assert [str(note.message)[:15] for note in told] == ["left out 1 file", "left out 1 file"]


def test_a_file_where_nobody_may_look_costs_no_other_answer(run, tmp_path, monkeypatch):
    image, locked = tmp_path / "own.png", tmp_path / "locked" / "a.png"
    Image.new("L", (10, 12)).save(image)
    look = Path.stat

    def refuse(path, **options):  # root may look everywhere: refuse by hand
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    error, answer = predict_each(run, list_inputs([locked, image]))
    assert str(error) == f"{locked} cannot be read: Permission denied; check its permissions"
    assert (error.source, answer.source) == (str(locked), str(image))
