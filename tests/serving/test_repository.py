"""Models by name and version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lookbook.core import translation
from lookbook.errors import DamagedFileError, InputError
from lookbook.exports.formats import export
from lookbook.runs.store import read_run
from lookbook.serving.refusals import Refusal
from lookbook.serving.repository import Repository, ServedModel, Source

RUN = "runs/bars-tutorial-1"


def loaded(*named: str | Path) -> Repository:
    repository = Repository([Source.parse(str(each)) for each in named], max_batch=4)
    repository.load()
    return repository


def test_a_run_a_file_and_a_bundle_are_models(place, tmp_path):
    export(read_run(place / RUN), to="folder", out=tmp_path / "bundle")
    shutil.copy(place / RUN / "model.onnx", tmp_path / "other.onnx")
    repository = loaded(
        place / RUN, f"clothes={place / RUN / 'model.onnx'}", tmp_path / "bundle",
        tmp_path / "other.onnx",
    )  # fmt: skip
    assert repository.names == ["bars-tutorial-1", "clothes", "bundle", "other"]
    assert {repository.get(name).model.classes for name in repository.names} == {
        ("top", "middle", "bottom")
    }
    assert repository.versions("clothes") == ["1"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("a b=x", "cannot stand in an address"),
        ("=x", "cannot stand in an address"),
        ("a=", "names no file or folder"),
        ("../../..", "cannot stand in an address"),
    ],
)
def test_names_that_cannot_stand_in_an_address_are_refused(named, expected, monkeypatch):
    monkeypatch.chdir("/")
    with pytest.raises(InputError, match=expected):
        Source.parse(named)


def test_what_is_no_model_is_refused(place, tmp_path):
    with pytest.raises(InputError, match="two models are called 'bars-tutorial-1'"):
        loaded(place / RUN, place / RUN / "model.onnx")
    with pytest.raises(InputError, match=r"no file or folder /.*/nothing; expected a run"):
        loaded(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"no run nothing; runs here|there are none yet"):
        loaded("nothing")
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(DamagedFileError, match="is not a model of lookbook"):
        loaded(tmp_path / "a.onnx")
    (tmp_path / "versions/1").mkdir(parents=True)
    with pytest.raises(InputError, match=r"none that can be opened: .*1 holds no model: .*; copy"):
        loaded(tmp_path / "versions")
    (tmp_path / "versions/1/model.onnx").write_bytes(b"no model")
    with pytest.raises(
        DamagedFileError,
        match=r"versions holds versions, and none that can be opened: .*/versions/1/model\.onnx is "
        "not a model of lookbook, or it is damaged: .*; copy a whole one there",
    ):
        loaded(tmp_path / "versions")
    (tmp_path / "coat.jpg").write_bytes(b"no model")
    with pytest.raises(
        InputError,
        match=r"coat\.jpg is no model; expected a run, a model\.onnx, a bundle, or a folder with",
    ):
        loaded(tmp_path / "coat.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no model: expected a run,"):
        loaded(tmp_path / "empty")


def test_the_log_names_no_call_as_a_remedy(tmp_path, caplog):
    (tmp_path / "versions/1").mkdir(parents=True)
    (tmp_path / "versions/1/model.onnx").write_bytes(b"no model")
    with pytest.raises(DamagedFileError):  # as where the file itself is named
        loaded(tmp_path / "versions")
    assert caplog.messages == [
        f"versions: version 1 is not taken: {tmp_path}/versions/1/model.onnx is not a model of "
        "lookbook, or it is damaged: it is no ONNX file, or it was cut"
    ]


def test_why_no_version_opens_is_said_in_korean_too(tmp_path, monkeypatch):
    (tmp_path / "versions/1").mkdir(parents=True)
    (tmp_path / "versions/1/model.onnx").write_bytes(b"no model")
    with pytest.raises(DamagedFileError) as refused:
        loaded(tmp_path / "versions")
    monkeypatch.setattr(translation, "_lang", "ko")
    said = translation.translate(str(refused.value))
    assert "열 수 있는 것이 없습니다" in said
    assert "or it is damaged" not in said


def test_versions_come_and_go_and_the_newest_is_meant(place, tmp_path, caplog):
    versions = tmp_path / "clothes"
    shutil.copytree(place / RUN, versions / "2")
    repository = loaded(versions)
    assert (repository.names, repository.versions("clothes")) == (["clothes"], ["2"])
    old = repository.get("clothes")
    whole = (place / RUN / "model.onnx").read_bytes()
    (versions / "10").mkdir()
    repository.refresh()
    (versions / "10/model.onnx").write_bytes(whole[:1000])  # as while it is copied
    repository.refresh()
    assert repository.get("clothes") is old
    (versions / "10/model.onnx").write_bytes(whole)
    repository.refresh()
    assert repository.versions("clothes") == ["2", "10"]
    assert repository.get("clothes").version == "10"
    assert repository.get("clothes", "2") is old
    shutil.rmtree(versions / "2")
    repository.refresh()
    assert repository.versions("clothes") == ["10"]
    shutil.rmtree(versions / "10")
    repository.refresh()
    repository.refresh()
    assert repository.versions("clothes") == ["10"]  # the last one stays
    assert [said for said in caplog.messages if "no version is left" in said] == [
        "clothes: no version is left; those that answered last go on"
    ]


def test_what_is_called_as_a_version_and_is_none_is_said_once(place, tmp_path, caplog):
    shutil.copytree(place / RUN, tmp_path / "1")
    shutil.copytree(place / RUN, tmp_path / "06")
    (tmp_path / "7").write_text("no folder")
    (tmp_path / "8").symlink_to(tmp_path / "nothing")
    (tmp_path / "notes").mkdir()
    made = Repository([Source.parse(f"m={tmp_path}")], max_batch=8)
    made.load()
    made.refresh()
    assert made.versions("m") == ["1"]
    said = [each for each in caplog.messages if "is no version" in each]
    assert said == [
        f"m: {tmp_path / name} is no version: expected a folder called 1, 2, … without a 0 in front"
        for name in ("06", "7", "8")
    ]


def test_a_version_that_cannot_be_looked_at_keeps_no_other_away(place, tmp_path, caplog):
    versions = tmp_path / "clothes"
    shutil.copytree(place / RUN, versions / "1")
    (versions / "2").mkdir()
    (versions / "2/model.onnx").symlink_to(tmp_path / "nothing")
    repository = loaded(versions)
    assert repository.versions("clothes") == ["1"]
    shutil.copytree(place / RUN, versions / "3")
    repository.refresh()
    assert repository.versions("clothes") == ["1", "3"]
    newest = repository.get("clothes")
    repository.refresh()
    assert repository.get("clothes") is newest
    assert len([said for said in caplog.messages if "version 2 is not taken" in said]) == 1
    shutil.copy(place / RUN / "model.onnx", tmp_path / "nothing")  # the link leads somewhere now
    repository.refresh()
    assert repository.versions("clothes") == ["1", "2", "3"]


def test_an_error_of_any_class_keeps_no_other_version_away(place, tmp_path, caplog, monkeypatch):
    versions, load = tmp_path / "clothes", ServedModel.load
    shutil.copytree(place / RUN, versions / "1")
    repository = loaded(versions)
    for name in ("2", "3"):
        shutil.copytree(place / RUN, versions / name)

    def load_but_2(source, version, path, **settings):
        if version == "2":
            raise MemoryError
        return load(source, version, path, **settings)

    monkeypatch.setattr(ServedModel, "load", load_but_2)
    for _ in range(2):
        repository.refresh()
        assert repository.versions("clothes") == ["1", "3"]
    assert caplog.messages == ["clothes: version 2 is not taken"]


def test_a_folder_that_cannot_be_listed_keeps_no_other_model_away(place, tmp_path, monkeypatch):
    for name in ("a", "b"):
        shutil.copytree(place / RUN, tmp_path / name / "1")
    repository = loaded(tmp_path / "a", tmp_path / "b")
    shutil.copytree(place / RUN, tmp_path / "b/2")
    list_all = Path.iterdir

    def list_but_a(path):
        if path.name == "a":
            raise PermissionError(path)
        return list_all(path)

    monkeypatch.setattr(Path, "iterdir", list_but_a)
    repository.refresh()
    assert repository.versions("a") == ["1"]
    assert repository.versions("b") == ["1", "2"]


@pytest.mark.parametrize(("name", "version"), [("b", None), ("a", "2"), ("a", "01"), ("", "")])
def test_what_there_is_not_is_refused_with_what_there_is(place, name, version):
    with pytest.raises(Refusal, match="there are") as refused:
        loaded(f"a={place / RUN}").get(name, version)
    assert refused.value.status == 404
