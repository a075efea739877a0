"""Published collections of image files: copied, hashed, and refused where they are others."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil

import pytest

import lookbook
from lookbook.cli.commands.data import fetch
from lookbook.data.catalog import BUILTIN, CLOTHING
from lookbook.data.formats.collection import Copied, copy_collection, hash_files
from lookbook.data.sources import resolve
from lookbook.errors import DamagedFileError, DownloadError, LookbookWarning
from made_data import save_album, save_image

PARTS = ("train", "validation")


def sha256_of(folder):
    """The hash of a part, as its documentation says, without the code that is tested."""
    lines = sorted(
        f"{path.parent.name}/{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in folder.glob("*/*.png")
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@pytest.fixture
def folder(tmp_path):
    """A copy of the collection: ten images of each of two classes, in two parts."""
    for part in PARTS:
        save_album(tmp_path / "copy" / part)
    save_image(tmp_path / "copy" / "validation" / "dog" / "last.png", 200)
    return tmp_path / "copy"


@pytest.fixture
def made(folder, tmp_path, monkeypatch):
    """A collection of the name `made`, whose validation part alone has a published hash."""
    folders = {"train": None, "validation": sha256_of(folder / "validation"), "test": None}
    classes = tuple(sorted(path.name for path in (folder / "train").iterdir()))
    made = dataclasses.replace(
        CLOTHING, name="made", title="Made", classes=classes, folders=folders
    )
    monkeypatch.setitem(BUILTIN, "made", made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_the_hash_of_a_part_is_of_names_and_content(folder):
    files = [(f"{path.parent.name}/{path.name}", path) for path in folder.glob("train/*/*.png")]
    assert hash_files(files) == hash_files(files[::-1]) == sha256_of(folder / "train")


def test_a_copy_is_kept_and_read_as_it_is_split(made, folder):
    kept, parts = copy_collection(made, folder)
    assert parts == [Copied("train", 20, verified=False), Copied("validation", 21, verified=True)]
    shutil.rmtree(folder)  # the copy is its own
    source = resolve("made")
    assert (source.identity, source.title, source.is_here()) == ("made", "Made", True)
    assert len(lookbook.load("made")) == 20
    assert len(lookbook.load("made", "validation")) == 21
    with pytest.warns(LookbookWarning, match="made has no test part"):
        assert len(lookbook.load("made", "test")) == 21
    assert copy_collection(made, None) == (kept, parts)


def test_what_is_not_there_is_not_downloaded(made):
    for ask in (lambda: copy_collection(made, None), lambda: lookbook.load("made")):
        with pytest.raises(DownloadError) as caught:
            ask()
        assert str(caught.value) == (
            "Made is not here, and is not downloaded by this program; get a copy of "
            f"{made.homepage}, then: lookbook fetch made --from FOLDER"
        )


def test_a_part_with_another_hash_than_published_is_refused(made, folder):
    save_image(folder / "validation" / "dog" / "last.png", 201)
    with pytest.raises(DownloadError, match="validation is not that part of Made"):
        copy_collection(made, folder)
    assert not resolve("made").is_here()


def test_a_part_without_a_published_hash_stays_what_it_was(made, folder):
    kept, _ = copy_collection(made, folder)
    save_image(folder / "train" / "dog" / "more.png", 9)
    with pytest.raises(DownloadError, match="train is not what was recorded when Made "):
        copy_collection(made, folder)
    assert len(lookbook.load("made")) == 20
    shutil.rmtree(kept)
    assert copy_collection(made, folder)[1][0].images == 21


def test_a_copy_that_was_changed_is_refused(made, folder):
    kept, _ = copy_collection(made, folder)
    next((kept / "train").glob("*/*.png")).unlink()
    with pytest.raises(DamagedFileError, match="is not what was fetched; fetch it again"):
        lookbook.load("made")
    copy_collection(made, folder)
    assert len(lookbook.load("made")) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "validation"), "has train/ but no test/"),
        (shutil.rmtree, "0 class folders"),
        (lambda folder: save_image(folder / "train" / "fox" / "1.png"), "has the classes "),
    ],
)
def test_a_folder_of_other_things_is_refused(made, folder, change, message):
    change(folder)
    folder.mkdir(exist_ok=True)
    with pytest.raises(DownloadError) as caught:
        copy_collection(made, folder)
    assert f"{folder} does not hold Made: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.usefixtures("made")
def test_the_command_says_what_is_verified(folder, capsys):
    fetch("made", folder)
    out = capsys.readouterr().out
    assert "Made is there: " in out
    assert "20 images  (no hash of it is published: recorded as it is, and compared" in out
    assert "21 images  (verified)" in out


def test_a_run_on_it_is_measured_on_its_validation_part(made, folder, tmp_path):
    copy_collection(made, folder)
    run = lookbook.train("made", "quick", epochs=1, out=tmp_path / "run")
    assert (run.conditions.data.name, run.conditions.data.measured_on) == ("made", "validation")
    with pytest.warns(LookbookWarning, match="made has no test part"):
        assert lookbook.evaluate(run).n == 21
