"""Folders: which are parts, which are classes, and which files are images."""

from __future__ import annotations

import inspect
import os
import socket
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookbook.data.formats import image_folder
from lookbook.data.formats.image_folder import find_layout, list_files
from lookbook.data.sources import load, resolve
from lookbook.errors import InputError, LookbookWarning
from made_data import fill, left_out, numbers_of, refusal, save_album, save_image


@pytest.fixture
def album(tmp_path):
    """Ten grey images of each of two classes; the shade of each is its number."""
    return save_album(tmp_path / "album")


# ---- parts ----


@pytest.mark.parametrize(
    ("training", "other", "title"),
    [
        ("training", "validation", "validation"),
        ("train", "valid", "validation"),
        ("Train", "Test", "test"),
        ("TRAIN", "TESTING", "test"),
        ("training_set", "test_set", "test"),
        ("1.Training", "2.Validation", "validation"),
        ("seg_train", "seg_test", "test"),
        ("train images", "Val Images", "validation"),
        ("학습데이터", "시험 데이터", "test"),
        ("훈련", "검증", "validation"),
    ],
)
def test_folders_named_after_parts_are_the_split(tmp_path, training, other, title):
    """And said to be, whatever their names' case and language are; never two classes."""
    fill(tmp_path / training, 5)
    fill(tmp_path / other, 3, first=100)
    with pytest.warns(LookbookWarning) as caught:
        train, test = load(tmp_path), load(tmp_path, "test")
    said = f"{tmp_path} is taken as it is split: training part {training}/, {title} part {other}/"
    assert left_out(caught)[0].startswith(said)
    assert train.classes == test.classes == ("cat", "dog")
    assert sorted(numbers_of(train)) == list(range(10))
    assert sorted(numbers_of(test)) == list(range(100, 106))
    assert resolve(tmp_path).measured_part() == title


def test_a_split_with_all_parts_and_something_beside_them(tmp_path):
    for first, part in enumerate(("train", "val", "test", "more")):
        fill(tmp_path / part, 3, first=10 * first)
    with pytest.warns(LookbookWarning) as caught:
        load(tmp_path)
    assert left_out(caught) == [
        f"{tmp_path} is taken as it is split: training part train/, validation part val/, test "
        "part test/; not read: more"
    ]
    parts = [load(tmp_path, part) for part in ("validation", "test")]
    assert [sorted(numbers_of(one)) for one in parts] == [list(range(10, 16)), list(range(20, 26))]


def test_parts_that_are_wrapped_once_more(tmp_path):
    fill(tmp_path / "training_set" / "training_set", 3)
    fill(tmp_path / "test_set" / "test_set", 3, first=50)
    with pytest.warns(LookbookWarning, match="test part test_set/test_set/"):
        assert load(tmp_path).classes == ("cat", "dog")


def test_a_folder_that_is_wrapped_once_more_is_named(tmp_path):
    fill(tmp_path / "outer" / "inner", 3)
    assert refusal(tmp_path) == (
        f"{tmp_path} has 1 class folder, but {tmp_path}/outer/inner has 2 folders: name that one; "
        "expected 2 to 200, each named after its class and full of image files"
    )


@pytest.mark.parametrize(
    "names", [("training", "validation"), ("Train", "Test"), ("a_train", "a_test")]
)
def test_parts_without_class_folders_are_no_classes(tmp_path, names):
    for name in names:
        save_image(tmp_path / name / "1.png")
    message = refusal(tmp_path)
    assert "which are named after parts of a dataset and hold no class folders" in message
    assert all(f"{name}/" in message for name in names)


def test_a_part_that_is_there_twice(tmp_path):
    for name in ("train", "Train", "test"):
        fill(tmp_path / name, 3)
    assert refusal(tmp_path) == (
        f"{tmp_path} has several folders for the training part: Train/, train/; expected one; join "
        "them, or take some out"
    )


@pytest.mark.parametrize("names", [("valid", "invalid"), ("train", "bus"), ("test tube", "flask")])
def test_classes_that_are_called_like_parts(tmp_path, names):
    for name in names:
        for number in range(3):
            save_image(tmp_path / name / f"{number}.png")
    save_image(tmp_path / names[1] / "kind" / "1.png")
    assert load(tmp_path).classes == tuple(sorted(names))


def test_the_same_folders_inside_all_classes_are_told(tmp_path):
    for fold in ("fold 1", "fold 2"):
        fill(tmp_path / fold, 3)
    with pytest.warns(LookbookWarning) as caught:
        assert load(tmp_path).classes == ("fold 1", "fold 2")
    assert left_out(caught)[0] == (
        f"the classes are the outer folders in {tmp_path} (fold 1, fold 2); those inside each of "
        "them (cat, dog) are not: if they should be, put them outside, or call the outer ones "
        "train/ and test/"
    )


@pytest.mark.parametrize("part", ["Test", "validation", "val", "", None, 0])
def test_a_part_that_is_none_is_refused_for_every_kind_of_data(tmp_path, part):
    fill(tmp_path / "album")
    arrays = {"images": np.zeros((20, 8, 8), np.uint8), "labels": np.arange(20) % 2}
    np.savez(tmp_path / "data.npz", **arrays)
    for data in (tmp_path / "album", tmp_path / "data.npz", "fashion-mnist"):
        with pytest.raises(ValueError, match="part") as caught:
            load(data, part)
        if part == "Test":
            assert str(caught.value) == (
                "part is one of 'train', 'validation', 'test', got 'Test'; did you mean 'test'?"
            )
        if part == "validation":
            assert str(caught.value).startswith(f"{data} has no validation part of its own: ")


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    fill(tmp_path)
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert refusal(tmp_path) == (
        f"the folder {tmp_path}/dog cannot be read: Permission denied; allow reading it, or take "
        "it out"
    )


# ---- names ----


def test_hangul_in_letters_and_in_parts_of_letters_is_one_class(tmp_path):
    """A Mac writes NFD, everybody else NFC; the hash of the data does not tell them apart."""
    names = ("가방", "구두")
    decomposed = tuple(unicodedata.normalize("NFD", name) for name in names)
    fill(tmp_path / "one" / "train", 6, classes=names)
    fill(tmp_path / "one" / "test", 6, classes=decomposed)
    assert load(tmp_path / "one", "test").classes == names
    fill(tmp_path / "mac", classes=decomposed)
    fill(tmp_path / "pc", classes=names)
    mac, pc = load(tmp_path / "mac"), load(tmp_path / "pc")
    assert (mac.classes, pc.classes) == (decomposed, names)  # as found
    assert mac.sha256() == pc.sha256()  # the same split, too
    fill(tmp_path / "pc", 6, first=90, classes=decomposed[:1])
    with pytest.warns(LookbookWarning, match="2 folders are called 가방, in letters or in parts"):
        both = load(tmp_path / "pc")
    assert both.classes in (names, (decomposed[0], names[1]))
    assert both.counts[0] > pc.counts[0]


def test_names_that_are_not_utf_8(tmp_path):
    """As an archive from a Korean Windows unpacks elsewhere."""
    for name in ("고양이", "개"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name.encode("cp949")))
        fill(folder.parent, 6, classes=(folder.name,))
    with pytest.warns(LookbookWarning) as caught:
        dataset = load(tmp_path)
    assert left_out(caught)[0] == (
        "2 folder names are not UTF-8, as archives from older Windows have them; they are read as "
        "개, 고양이"
    )
    assert dataset.classes == ("개", "고양이")
    assert all(name.encode() and name.startswith(("개/", "고양이/")) for name in dataset.files)
    (tmp_path / os.fsdecode(b"caf\xe9 \xff")).mkdir()
    assert next(iter(find_layout(tmp_path).classes.values())) == "caf\\xe9 \\xff"


# ---- files ----


def test_thumbnails_that_systems_lay_beside_images_are_left_out(tmp_path):
    fill(tmp_path, 6)
    for path in sorted(tmp_path.rglob("*.png")):
        for size in "SM", "XL":
            save_image(path.parent / "@eaDir" / path.name / f"SYNOPHOTO_THUMB_{size}.jpg")
    save_image(tmp_path / "@eaDir" / "cat" / "SYNOPHOTO_THUMB_M.jpg")
    save_image(tmp_path / "#recycle" / "old.png")
    save_image(tmp_path / "cat" / "Thumbs" / "000.png")
    save_image(tmp_path / "cat" / "SYNOPHOTO_THUMB_B.jpg")
    with pytest.warns(LookbookWarning) as caught:
        train, test = load(tmp_path), load(tmp_path, "test")
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(12))
    assert train.classes == ("cat", "dog")
    assert left_out(caught)[0].startswith(
        "left out 28 files (thumbnails and the like, which systems lay beside images): "
    )


def test_what_pillow_reads_is_read_and_the_rest_is_listed(tmp_path):
    fill(tmp_path, 6)
    kinds = {"a.jfif": "JPEG", "b.JPE": "JPEG", "c": "PNG", "IMG.2024.01": "WEBP", "d.pnm": "PPM"}
    for shade, (name, kind) in enumerate(kinds.items(), 200):
        Image.new("L", (12, 10), shade).save(tmp_path / "cat" / name, kind)
    for name in ("a.HEIC", "b.heic", "c.avif", "README", "e.jpg~"):
        (tmp_path / "dog" / name).write_bytes(b"another kind")
    save_image(tmp_path / "beside.png")
    with pytest.warns(LookbookWarning) as caught:
        train, test = load(tmp_path, channels=1), load(tmp_path, "test", channels=1)
    assert Counter(np.concatenate([train.labels, test.labels]).tolist()) == {0: 11, 1: 6}
    assert left_out(caught)[:2] == [
        f"left out 1 file (in no class folder): {tmp_path}/beside.png",
        "left out 5 files (of kinds that are not read: 2 .heic, 1 without an ending, 1 .avif, 1 "
        f".jpg~): {tmp_path}/dog/README, {tmp_path}/dog/a.HEIC, {tmp_path}/dog/b.heic, …",
    ]


def test_folders_of_any_depth(tmp_path):
    fill(tmp_path, 2)
    deep = tmp_path / "cat"
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    save_image(deep / "1.png")
    layout, limit = find_layout(tmp_path), sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert len(list_files(layout, "train").paths) == 5
    finally:
        sys.setrecursionlimit(limit)


def test_names_of_parts_are_told_from_others():
    def part_of(name: str) -> str:
        return next((part for part, rest in image_folder._part_of(Path(name)) if not rest), "")

    named = {
        "train": "train TRAIN Training_Set trainset train-data 01_train 훈련용 학습데이터",
        "validation": "val Valid validation DEV val_set 검증",
        "test": "test Testing test_images testset 2.Test 시험",
        "": "trains station contest device valley latest attest 훈련소 시험관 pretrain",
    }
    for part, names in named.items():
        assert {name: part_of(name) for name in names.split()} == dict.fromkeys(names.split(), part)


def test_layouts_are_refused_with_a_message_that_fits_a_screen(tmp_path):
    for number in range(250):
        (tmp_path / f"{number:03} {'x' * 200}").mkdir()
    with pytest.raises(InputError) as caught:
        find_layout(tmp_path)
    assert len(str(caught.value)) < 400


# ---- classes ----


def test_class_folders_in_train_and_test(album, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    album.rename(folder / "train")
    save_image(folder / "test" / "dog" / "x.png", 77)  # a part may lack a class
    (folder / "validation").mkdir()
    train, test = load(str(folder)), load(str(folder), "test")
    assert sorted(numbers_of(train)) == list(range(20))
    assert numbers_of(test) == [77]
    assert resolve(folder).measured_part() == "test"
    assert resolve(folder).resizable
    assert test.labels.tolist() == [1]
    assert train.classes == test.classes == ("cat", "dog")


@pytest.mark.parametrize(("there", "lacking"), [("train", "test"), ("test", "train")])
def test_one_part_without_the_other(album, tmp_path, there, lacking):
    folder = tmp_path / "half"
    folder.mkdir()
    album.rename(folder / there)
    (folder / lacking).mkdir()  # empty
    assert refusal(folder) == (
        f"{folder} has {there}/ but no {lacking}/ (links are not followed; {lacking}/ in it has no "
        f"class folders); add it with the same class folders, or name {folder / there} to have a "
        "test part split off"
    )


def test_a_class_that_training_lacks(album, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    album.rename(folder / "train")
    for name in ("dog", "bird", "ant"):
        save_image(folder / "test" / name / "x.png")
    assert refusal(folder, "test") == (
        f"{folder}/test has class folders that the training part lacks: ant, bird; add them there, "
        "or remove them here"
    )


@pytest.mark.parametrize("classes", [0, 1, 201])
def test_too_few_and_too_many_class_folders(tmp_path, classes):
    for number in range(classes):
        (tmp_path / f"{number:03}").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert refusal(tmp_path) == (
        f"{tmp_path} has {classes} class folder{'' if classes == 1 else 's'}; expected 2 to 200, "
        "each named after its class and full of image files"
    )


def test_names_in_every_script(tmp_path):
    names = ("Jupe d'été", "👗 옷", "한글 이름", "高跟鞋")
    for name in names:
        for number in range(3):
            save_image(tmp_path / name / f"사진 {number} 📷.PNG", number)
    assert load(str(tmp_path)).classes == tuple(sorted(names))


# ---- what is left out ----


def test_what_is_no_image_is_left_out_and_listed(album):
    for name in ("Thumbs.db", "notes.txt", ".DS_Store", "._00.png", ".cache/1.png", "raw/01.cr2"):
        path = album / "cat" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    (album / ".git").mkdir()
    (album / "labels.csv").write_text("file,label\n")
    with pytest.warns(LookbookWarning) as caught:
        parts = load(album), load(album, "test")
    assert sorted(number for one in parts for number in numbers_of(one)) == list(range(20))
    expected = f"{album}/cat/notes.txt, {album}/cat/raw/01.cr2"
    assert set(left_out(caught)[::2]) == {  # each part says it
        f"left out 2 files (of kinds that are not read: 1 .txt, 1 .cr2): {expected}"
    }


def test_folders_inside_class_folders_belong_to_the_class(album):
    save_image(album / "cat" / "indoors" / "night.png" / "1.PNG", 200)
    assert load(str(album)).counts.sum() + load(str(album), "test").counts.sum() == 21


def test_links_and_pipes_are_left_out_and_listed(album, tmp_path, monkeypatch):
    """To an image, to a folder around it (a loop), to nothing, to a folder elsewhere."""
    elsewhere = save_image(tmp_path / "elsewhere" / "1.png", 250).parent
    (album / "cat" / "link.png").symlink_to(elsewhere / "1.png")
    (album / "cat" / "loop").symlink_to(album)
    (album / "dog" / "broken.png").symlink_to(album / "nothing")
    (album / "outside").symlink_to(elsewhere)
    os.mkfifo(album / "dog" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(album / "dog")  # the name of a socket must be short
        listening.bind("socket.png")
    with pytest.warns(LookbookWarning) as caught:
        train, test = load(str(album)), load(str(album), "test")
    assert left_out(caught)[:1] == [
        "left out 6 files (links, pipes, sockets or devices, which are not followed): "
        f"{album}/cat/link.png, {album}/cat/loop, {album}/dog/broken.png, …"
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert train.classes == ("cat", "dog")
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(20))


def test_parts_that_are_links_are_not_followed(album, tmp_path):
    folder = tmp_path / "both"
    save_image(folder / "test" / "dog" / "1.png")
    (folder / "train").symlink_to(album)
    assert refusal(folder).startswith(
        f"{folder} has test/ but no train/ (links are not followed); "
    )
    (folder / "test").rename(tmp_path / "moved")
    (folder / "test").symlink_to(album)
    assert refusal(folder).startswith(
        f"{folder} has 0 class folders (links are not followed: 2 stand there); expected 2 to 200"
    )
    (tmp_path / "named").symlink_to(album)  # but a link that the user names is one
    assert load(tmp_path / "named").classes == ("cat", "dog")
