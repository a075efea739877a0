"""Run folders: written whole or not at all, found, numbered, refused when they are none."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
from pathlib import Path

import pytest
from made_runs import CONDITIONS, DATA, DOCUMENTS, REMEDIES, link_to, make_pipe, write_run

from lookbook import plots
from lookbook.cli.terminal import as_typed
from lookbook.core.files import write_document
from lookbook.data.sources import resolve
from lookbook.errors import DamagedFileError, InputError, LookbookWarning, OutputError
from lookbook.evaluation.evaluate import evaluate
from lookbook.exports.formats import export
from lookbook.runs.places import check_target, free_folder
from lookbook.runs.store import list_runs, read_run


def test_a_run_is_written_whole_and_read_back(tmp_path):
    run = write_run(tmp_path / "a", DOCUMENTS, {"model.onnx": b"123"})
    assert run == read_run(tmp_path / "a")
    assert run.model.read_bytes() == b"123"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_nothing_behind_and_what_was_there_intact(tmp_path, monkeypatch):
    old = write_run(tmp_path / "old", DOCUMENTS, {"model.onnx": b"123"})
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError) as caught:
        write_run(tmp_path / "new", DOCUMENTS, {"model.onnx": b"123"})
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'new'}: No space left on device; nothing was changed; make room "
        "or choose another place with `out`"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    with pytest.raises(OutputError):
        write_document(tmp_path / "old" / "metrics.json", {"changed": True})
    assert read_run(tmp_path / "old") == old
    with pytest.raises(OutputError):
        write_run(tmp_path / "a" / "b" / "new", DOCUMENTS, {})
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_limit_of_the_operating_system_is_told_as_it_says(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputError, match="File too large"):
            write_run(tmp_path / "new", DOCUMENTS, {"model.onnx": bytes(5000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_is_not_utf8_holds_a_run_like_any_other(own_run):
    odd = own_run.folder.with_name(os.fsdecode(b"caf\xe9"))
    own_run.folder.rename(odd)
    (odd / "evaluation.json").unlink()
    assert evaluate(read_run(odd)).conditions.run == odd.name
    assert read_run(odd).evaluation().conditions.run == "caf?"


def test_two_trainings_at_once_get_a_number_each(tmp_path):
    folder = free_folder("mnist", "quick", tmp_path)
    runs = [write_run(folder, DOCUMENTS, {}, numbered=True) for _ in range(3)]
    assert [run.folder.name for run in runs] == ["mnist-quick-1", "mnist-quick-2", "mnist-quick-3"]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_whose_place_was_taken_meanwhile_is_kept_beside_it(tmp_path):
    write_run(tmp_path / "mine", DOCUMENTS, {})
    for number in (2, 3):
        with pytest.raises(OutputError) as caught:
            write_run(tmp_path / "mine", DOCUMENTS, {"model.onnx": b"123"})
        place = tmp_path / f"mine-{number}"
        assert str(caught.value) == (
            f"{tmp_path / 'mine'} was made by another program meanwhile and is not overwritten; "
            f"the run is in {place}"
        )
        assert read_run(place).model.read_bytes() == b"123"


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError) as caught:
        check_target(tmp_path / "mine")
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} exists and is not overwritten; choose another `out`"
    )


def test_runs_are_numbered_and_listed_newest_first(tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    for day in (3, 1, 2):
        conditions = CONDITIONS | {"started": f"2026-01-0{day}T00:00:00"}
        write_run(
            free_folder(resolve("some/where/data.npz").stem, "quick", root),
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
        f"{tmp_path} is not a run: it has no conditions.json; `lookbook.list_runs()` lists the runs"
    )


def test_a_missing_run_is_told_with_those_that_exist(place):
    with pytest.raises(InputError) as caught:
        read_run("nothing", root=place / "runs")
    assert str(caught.value) == "no run nothing; runs here: bars-tutorial-1"


def test_damaged_documents_are_named(own_run):
    (own_run.folder / "history.json").write_text("[{")
    with pytest.raises(DamagedFileError, match=r"history\.json does not hold what .* truncated"):
        read_run(own_run.folder)
    (own_run.folder / "history.json").unlink()
    with pytest.raises(DamagedFileError) as caught:
        read_run(own_run.folder)
    assert str(caught.value) == (
        f"the run {own_run.folder} is damaged: it lacks history.json; restore it, or train again"
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (make_pipe, "it is no file, but a folder, a pipe or a device"),
        (Path.mkdir, "it is no file, but a folder, a pipe or a device"),
        (link_to("/dev/zero"), "it is a link, which is not followed"),
        (link_to("../../outside.json"), "it is a link, which is not followed"),
        (link_to("nowhere"), "it is a link, which is not followed"),
    ],
    ids=["pipe", "folder", "device", "outside", "nowhere"],
)
@pytest.mark.parametrize("name", ["history.json", "evaluation.json", "model.onnx"])
def test_a_run_is_made_of_plain_files_alone(own_run, make, why, name):
    path = own_run.folder / name
    shutil.move(path, own_run.folder.parent.parent / "outside.json")
    make(path)
    with pytest.raises(DamagedFileError, match=f"^{path} cannot be read: {why}; "):
        evaluate(read_run(own_run.folder))


@pytest.mark.parametrize("name", ["recipe", "conditions", "evaluation"])
def test_a_damaged_run_does_not_hide_the_others(own_run, name):
    root = own_run.folder.parent
    broken = shutil.copytree(own_run.folder, root / "broken")
    shutil.copytree(own_run.folder, root / ".lookbook-unfinished")
    (root / ".lookbook-unfinished" / "conditions.json").write_text("{")
    (broken / f"{name}.json").write_text("null")
    with pytest.warns(LookbookWarning) as caught:
        found = list_runs(root)
    assert [run.folder.name for run in found] == [own_run.folder.name]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith(f"left out the run broken: {broken / name}.json does not hold what ")
    assert message.endswith(f"; {REMEDIES[name]}")
    assert caught[0].filename == __file__


def test_a_run_without_permission_does_not_hide_the_others(own_run, monkeypatch):
    root = own_run.folder.parent
    shutil.copytree(own_run.folder, root / "locked")

    def read(folder):
        if folder.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return read_run(folder)

    monkeypatch.setattr("lookbook.runs.store.read_run", read)
    with pytest.warns(LookbookWarning) as caught:
        found = list_runs(root)
    assert [run.folder.name for run in found] == [own_run.folder.name]
    assert str(caught[0].message) == (
        f"left out the run locked: {root / 'locked'}: Permission denied; check its permissions, "
        "and those of the folders above it"
    )


def test_a_missing_model_is_told(own_run):
    own_run.model.unlink()
    remedy = f"restore the file, or train again: {own_run.train_again()}"
    with pytest.raises(DamagedFileError) as caught:
        own_run.check_files()
    assert str(caught.value) == f"{own_run.model} is missing; {remedy}"
    own_run.model.mkdir()
    with pytest.raises(DamagedFileError) as caught:
        own_run.check_files()
    assert str(caught.value) == (
        f"{own_run.model} cannot be read: it is no file, but a folder, a pipe or a device; {remedy}"
    )


def test_an_emptied_table_of_hashes_is_told(own_run):
    own_run.conditions.sha256.clear()
    with pytest.raises(DamagedFileError) as caught:
        own_run.check_files()
    assert str(caught.value) == (
        f"{own_run.folder}/conditions.json lacks the SHA-256 of weights.safetensors; restore the "
        f"file, or train again: {own_run.train_again()}"
    )


def test_a_changed_model_is_told(own_run):
    recorded = own_run.conditions["sha256"]["model.onnx"]
    own_run.model.write_bytes(b"123")
    with pytest.raises(DamagedFileError) as caught:
        own_run.check_files()
    assert str(caught.value) == (
        f"{own_run.model} is damaged: its SHA-256 is {hashlib.sha256(b'123').hexdigest()}, the run "
        f"recorded {recorded}; restore the file, or train again: {own_run.train_again()}"
    )


@pytest.mark.parametrize(
    ("recipe", "data", "option"),
    [
        ({"name": "standard", "mirror": True}, "fashion-mnist", ""),
        ({"name": "standard", "mirror": False}, "fashion-mnist", " --no-mirror"),
        ({"name": "standard", "mirror": False}, "mnist", ""),
        ({"name": "standard", "mirror": True}, "mnist", " --mirror"),
        ({"name": "tutorial", "mirror": False}, "mnist", ""),
    ],
)
def test_the_command_says_whether_to_mirror_where_that_is_not_usual(tmp_path, recipe, data, option):
    documents = {
        "recipe": DOCUMENTS["recipe"] | recipe,
        "conditions": CONDITIONS | {"data": DATA | {"name": data}},
    }
    run = write_run(tmp_path / "a", DOCUMENTS | documents, {})
    command = f"lookbook train {data} --recipe {recipe['name']} --epochs 2 --seed 3"
    assert as_typed(run.train_again()) == command + option


@pytest.mark.parametrize(
    ("data", "final", "rest"),
    [
        ({}, False, "mnist --recipe r --epochs 2 --seed 3"),
        ({}, True, "mnist --recipe r --epochs 2 --seed 3 --final"),
        (
            {"name": "/my images/it's", "from_files": True},
            False,
            "'/my images/it'\"'\"'s' --recipe r --epochs 2 --seed 3 --size 28",
        ),
        (
            {"name": "/wide", "from_files": True, "size": [28, 30]},
            False,
            "/wide --recipe r --epochs 2 --seed 3",
        ),
    ],
)
def test_the_command_that_trains_the_same_again(tmp_path, data, final, rest):
    conditions = CONDITIONS | {"data": DATA | data, "final": final}
    run = write_run(tmp_path / "a", DOCUMENTS | {"conditions": conditions}, {})
    assert as_typed(run.train_again()) == f"lookbook train {rest}"


# ---- nothing is written through a link in a run ----


def test_a_link_in_a_run_is_not_written_through(own_run, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (own_run.folder / "figures").symlink_to(outside)
    (own_run.folder / "kit").symlink_to(outside)
    kept = outside / "page.html"
    kept.write_text('<meta name="generator" content="lookbook 0">')
    (own_run.folder / "try.html").symlink_to(kept)
    before = kept.read_bytes()
    with pytest.raises(InputError) as caught:
        own_run.place("figures")
    assert str(caught.value) == (
        f"{own_run.folder / 'figures'} is a link, and nothing is written through it; remove it, or "
        "choose another place with `out`"
    )
    for form in ("folder", "html"):
        with pytest.raises(InputError):
            export(own_run, form)
    (own_run.folder / "figures").unlink()
    (own_run.folder / "figures").mkdir()
    (own_run.folder / "figures" / "a.png").symlink_to(outside / "a.png")
    with pytest.raises(InputError, match="was not drawn by lookbook"):
        plots.check_place(own_run.folder / "figures" / "a.png")
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("page.html", before)]


def test_a_link_by_the_name_of_a_part_is_not_written_through(own_run, tmp_path):
    """As one that waits for this process to write its evaluation."""
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (own_run.folder / f".metrics.json.{os.getpid()}").symlink_to(outside)
    write_document(own_run.folder / "metrics.json", own_run.metrics)
    assert outside.read_text() == "mine"
    assert read_run(own_run.folder).metrics == own_run.metrics


@pytest.mark.parametrize("make", [make_pipe, link_to("/dev/zero")], ids=["pipe", "device"])
def test_what_stands_where_a_page_is_to_be_is_not_waited_for(own_run, make):
    make(own_run.folder / "try.html")
    with pytest.raises(InputError, match=r"^cannot write .*try\.html: it is "):
        export(own_run, "html")
