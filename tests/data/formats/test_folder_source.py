"""Image folders as a data source: sizes, colours, names of files, damaged files."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from lookbook.core.listeners import listen
from lookbook.data.sources import load, resolve
from lookbook.errors import LookbookWarning
from made_data import left_out, numbers_of, refusal, save_album, save_image

KINDS = (
    ".apng, .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg, .mpo, .pbm, .pgm, .png, .pnm, .ppm, .tif, "
    ".tiff, .webp"
)


@pytest.fixture
def album(tmp_path):
    """Ten grey images of each of two classes; the shade of each is its number."""
    return save_album(tmp_path / "album")


def test_images_of_one_size_keep_it(album):
    assert load(str(album)).size == (10, 12)
    assert load(str(album), size=16).size == (16, 16)
    assert load(str(album), "test", size=(9, 11)).size == (9, 11)


def test_both_parts_of_one_source_are_read_once(album):
    expected = [load(str(album), part) for part in ("train", "test")]
    read = []
    source = resolve(str(album))
    with listen(lambda done, n: read.append(n) if done == n else None):
        train = source.load("train")
        test = source.load("test", size=train.size, channels=train.channels)
    assert sum(read) == 20
    assert [part.sha256() for part in (train, test)] == [part.sha256() for part in expected]
    (album / "dog" / "15.png").unlink()
    assert (
        source.load("test", size=train.size, channels=train.channels).sha256()
        == load(str(album), "test", size=train.size, channels=train.channels).sha256()
    )


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
