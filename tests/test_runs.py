"""Run folders: written whole or not at all, found, numbered, refused when they are none."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest

from lookbook.errors import DamagedFileError, InputError, OutputError
from lookbook.runs import (
    check_target,
    free_folder,
    list_runs,
    read_run,
    write_document,
    write_run,
)

DOCUMENTS = {
    "recipe": {"name": "r"},
    "history": [],
    "metrics": {},
    "conditions": {"started": "2026-01-01T00:00:00", "sha256": {}},
}


def test_a_run_is_written_whole_and_read_back(tmp_path):
    run = write_run(tmp_path / "a", DOCUMENTS, {"model.onnx": b"123"})
    assert run == read_run(tmp_path / "a")
    assert run.model.read_bytes() == b"123"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_behind_and_what_was_there_intact(tmp_path, monkeypatch):
    write_run(tmp_path / "old", DOCUMENTS, {"model.onnx": b"123"})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError) as caught:
        write_run(tmp_path / "new", DOCUMENTS, {"model.onnx": b"123"})
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'new'}: No space left on device; nothing was changed; make room "
        "or choose another place with --out"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(OutputError):
        write_document(tmp_path / "old" / "metrics.json", {"changed": True})
    assert read_run(tmp_path / "old").metrics == {}


def test_a_limit_of_the_operating_system_is_told_as_it_says(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_run(tmp_path / "new", DOCUMENTS, {"model.onnx": bytes(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_found_before_any_work():
    with pytest.raises(OutputError, match=r"^cannot write /proc/nowhere/run: "):
        check_target(Path("/proc/nowhere/run"))


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError) as caught:
        check_target(tmp_path / "mine")
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} exists and is not overwritten; choose another --out"
    )


def test_runs_are_numbered_and_listed_newest_first(tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    for day in (3, 1, 2):
        conditions = DOCUMENTS["conditions"] | {"started": f"2026-01-0{day}T00:00:00"}
        write_run(
            free_folder("some/where/data.npz", "quick", root),
            DOCUMENTS | {"conditions": conditions},
            {},
        )
    assert [run.folder.name for run in list_runs(root)] == [
        "data-quick-1",
        "data-quick-3",
        "data-quick-2",
    ]


def test_a_run_is_found_by_its_name_and_by_its_path(place):
    by_name = read_run("bars-tutorial-1", root=place / "runs")
    assert by_name == read_run(place / "runs" / "bars-tutorial-1")


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        read_run(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is not a run: it has no conditions.json; lookbook runs lists the runs"
    )


def test_a_missing_run_is_told_with_those_that_exist(place):
    with pytest.raises(InputError) as caught:
        read_run("nothing", root=place / "runs")
    assert str(caught.value) == "no run nothing; runs here: bars-tutorial-1"


def test_damaged_documents_are_named(own_run):
    (own_run.folder / "history.json").write_text("[{")
    with pytest.raises(DamagedFileError, match=r"history\.json is damaged"):
        read_run(own_run.folder)
    (own_run.folder / "history.json").unlink()
    with pytest.raises(DamagedFileError) as caught:
        read_run(own_run.folder)
    assert str(caught.value) == f"the run {own_run.folder} is damaged: it lacks history.json"


def test_a_damaged_run_does_not_hide_the_others(own_run):
    root = own_run.folder.parent
    shutil.copytree(own_run.folder, root / "broken")
    (root / "broken" / "recipe.json").write_text("{")
    assert [run.folder.name for run in list_runs(root)] == [own_run.folder.name]


def test_a_missing_model_is_told(own_run):
    own_run.model.unlink()
    with pytest.raises(DamagedFileError, match="its SHA-256 is missing"):
        own_run.check_files()
