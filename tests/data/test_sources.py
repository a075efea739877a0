"""Names, folders and files become a Dataset, or a message that says what to mend."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from made_data import (
    arrays_in,
    images_of,
    left_out,
    made_dataset,
    numbers_of,
    refusal,
    save_album,
    save_image,
    save_npz,
)

from lookbook.data.catalog import BUILTIN
from lookbook.data.download import fetch
from lookbook.data.sources import load, load_data, resolve
from lookbook.errors import InputError, LookbookWarning
from lookbook.runs.places import free_folder

KINDS = (
    ".apng, .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg, .mpo, .pbm, .pgm, .png, .pnm, .ppm, .tif, "
    ".tiff, .webp"
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A built-in dataset called `made`, in a cache of its own; the folder of its files."""
    source = tmp_path / "publisher"
    dataset = made_dataset(source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(BUILTIN, "made", dataset)
    fetch(dataset, folder=source)
    return source


def test_a_built_in_name(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()  # a folder of that name does not hide it; ./made is the folder
    expected = arrays_in(made)
    with pytest.warns(LookbookWarning) as caught:
        load("made")
    assert left_out(caught) == [
        "./made is there, too; the built-in dataset is taken; write ./made for the folder"
    ]
    assert caught[0].filename == __file__
    load("made", "test")
    (tmp_path / "made").rename(tmp_path / "other")
    for part in ("train", "test"):
        dataset = load("made", part)
        np.testing.assert_array_equal(dataset.images, expected[f"{part}-images"])
        np.testing.assert_array_equal(dataset.labels, expected[f"{part}-labels"])
        assert dataset.classes == ("a", "b", "c")
    (tmp_path / "other").rename(tmp_path / "made")
    assert refusal("./made").startswith("made has 0 class folders; ")
    with pytest.raises(InputError, match=r"^made has 0 class folders; "):
        load(Path("made"))
    assert [resolve("made").identity, resolve("./made").identity] == [
        "made",
        str(tmp_path / "made"),
    ]
    assert resolve(Path("made")).identity == str(tmp_path / "made")
    assert not resolve("made").resizable
    assert resolve("./made").resizable
    assert resolve("made").measured_part() == "test"


def test_load_data_gives_what_keras_gives(made):
    expected = arrays_in(made)
    (x_train, y_train), (x_test, y_test) = load_data("made")
    for name, array in {
        "train-images": x_train,
        "train-labels": y_train,
        "test-images": x_test,
        "test-labels": y_test,
    }.items():
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected[name])


def test_names_and_paths_that_do_not_exist(tmp_path):
    known = ", ".join(BUILTIN)
    assert refusal("fashionmnist") == (
        "no dataset is called 'fashionmnist'; did you mean 'fashion-mnist'?; built in are "
        f"{known}; your own: a folder of class folders, an .npz file, or a folder of IDX files"
    )
    rest = (
        f"DATA is one of {known}, a folder of class folders, an .npz file, or a folder of IDX files"
    )
    missing, file = tmp_path / "missing", tmp_path / "notes.txt"
    file.write_text("no images")
    assert refusal("") == f"DATA is empty; {rest}"
    assert refusal(missing) == f"{missing} does not exist; {rest}"
    assert refusal(file) == f"{file} is neither a folder nor an .npz file; {rest}"
    for name in ("data.zip", "data.tar.gz"):
        (tmp_path / name).touch()
        assert refusal(tmp_path / name) == (
            f"{tmp_path / name} is an archive; unpack it, and name what was in it; {rest}"
        )
    for address in ("https://example.org/data.npz", "S3://bucket/data"):
        assert refusal(address) == (
            f"{address} is an address, and nothing is fetched from there; download it, unpack it, "
            f"and name the file or folder; {rest}"
        )


def test_an_npz_file_in_capitals_is_one(tmp_path):
    path = save_npz(tmp_path / "x.npz", images=images_of(10), labels=np.arange(10) % 2)
    assert len(load(path.rename(tmp_path / "X.NPZ"))) == 8
    assert resolve(tmp_path / "X.NPZ").measured_part() == "split"
    assert free_folder(resolve(tmp_path / "X.NPZ").stem, "quick").name == "X-quick-1"


@pytest.mark.parametrize("size", [0, 7, 225, 10**9, (64, 300)])
def test_a_size_out_of_range(tmp_path, size):
    worst = size if isinstance(size, int) else 300
    assert refusal(tmp_path, size=size) == f"`size` must be 8 to 224 pixels, got {worst}"


# ---- folders: sizes and colours ----


@pytest.fixture
def album(tmp_path):
    """Ten grey images of each of two classes; the shade of each is its number."""
    return save_album(tmp_path / "album")


def test_images_of_one_size_keep_it(album):
    assert load(str(album)).size == (10, 12)
    assert load(str(album), size=16).size == (16, 16)
    assert load(str(album), "test", size=(9, 11)).size == (9, 11)


def test_images_of_several_sizes_become_64(album):
    save_image(album / "dog" / "other.png", 90, size=(30, 31))
    train = load(str(album), "train")
    test = load(str(album), "test")
    sizes = {train.size, test.size}
    assert (64, 64) in sizes  # the odd one is in one of the parts
    assert load(str(album), "test", size=train.size).size == train.size


@pytest.mark.parametrize("size", [(7, 30), (225, 225)])
def test_images_of_one_size_that_is_out_of_range_become_64(tmp_path, size):
    for number in range(6):
        save_image(tmp_path / str(number % 2) / f"{number}.png", size=size)
    assert load(str(tmp_path)).size == (64, 64)


def test_grey_images_stay_grey_whatever_their_files_call_them(album):
    assert load(album).images.shape[1:] == (10, 12)
    for number in range(20, 24):
        shade = (number, number, number)
        save_image(album / "cat" / f"{number}.png", shade)
    dataset = load(str(album))
    assert dataset.channels == 1
    assert dataset.images.max() > 20


def test_one_colour_image_makes_all_colour(album):
    for number in range(5):
        save_image(album / "cat" / f"red {number}.png", (200, 0, number))
    dataset = load(str(album))
    assert dataset.images.shape[1:] == (10, 12, 3)
    assert dataset.images[dataset.labels == 1].std(axis=-1).max() == 0


def test_the_channels_of_a_run_are_kept(album):
    assert load(album, "test", channels=3).images.shape[1:] == (10, 12, 3)
    for number in range(5):
        save_image(album / "cat" / f"red {number}.png", (255, 0, 0))
    grey = load(str(album), "train", channels=1)
    assert grey.images.shape[1:] == (10, 12)
    assert grey.images.max() == 76  # 0.299 · 255: luma of ITU-R 601


# ---- folders: what cannot be read ----


def test_a_folders_images_know_their_files(album):
    (album / "dog" / "12.png").write_bytes(b"damaged")
    for part in ("train", "test"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookbookWarning)  # of the damaged one
            dataset = load(album, part)
        expected = [f"{'dog' if n >= 10 else 'cat'}/{n:02}.png" for n in numbers_of(dataset)]
        assert list(dataset.files) == expected
        assert list(dataset.take(np.array([2, 0])).files) == [expected[2], expected[0]]


def test_the_first_images_show_several_classes(album):
    assert set(load(album).labels[:8].tolist()) == {0, 1}


def test_an_empty_class_folder(album):
    (album / "bird").mkdir()
    (album / "bird" / "photo.heic").write_bytes(b"telephones write these")
    with pytest.warns(LookbookWarning, match=r"left out 1 file \(of kinds .*: 1 \.heic\)"):
        message = refusal(album)
    assert message == (
        f"{album}/bird holds no image that can be read; expected {KINDS}; add some, or remove "
        "that folder"
    )


def test_a_class_folder_of_damaged_images(album):
    save_image(album / "bird" / "1.png").write_bytes(b"damaged")
    with pytest.warns(LookbookWarning, match="left out 1 file "):
        message = refusal(album)
    assert message == (
        f"{album}/bird holds no image that can be read; expected {KINDS}; add some, or remove "
        "that folder"
    )


def test_class_folders_without_images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("no image")
    assert refusal(tmp_path) == (
        f"{tmp_path} holds no image files in its class folders; expected {KINDS}"
    )


def test_damaged_images_are_left_out_and_listed(album, tmp_path):
    folder = tmp_path / "both"
    save_image(folder / "test" / "dog" / "1.png")
    train = album.rename(folder / "train")
    paths = [train / "cat" / "00.png", train / "cat" / "01.png", train / "dog" / "10.png"]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:-30])
    paths[2].write_text("<svg/>")
    with pytest.warns(LookbookWarning) as caught:
        dataset = load(str(folder))
    assert left_out(caught) == [
        f"left out 3 files (no images, or damaged): {', '.join(map(str, paths))}"
    ]
    assert caught[0].filename == __file__
    assert sorted(numbers_of(dataset)) == [*range(2, 10), *range(11, 20)]
    assert dataset.size == (10, 12)  # the damaged ones have no say in that
    assert len(load(str(folder), "test")) == 1


def test_images_that_are_all_damaged(tmp_path):
    for number in range(10):
        save_image(tmp_path / str(number % 2) / f"{number}.png").write_bytes(b"damaged")
    message = refusal(tmp_path)
    n = message.split()[3]
    listed = re.search(r"\((.*), …\)", message)[1].split(", ")
    assert len(listed) == 3
    assert set(listed) <= set(map(str, tmp_path.rglob("*.png")))
    assert message == (
        f"none of the {n} image files can be read ({', '.join(listed)}, …); save them again, as "
        "PNG or JPEG"
    )
