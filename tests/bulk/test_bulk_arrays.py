"""Arrays of images in files: any part of them, whatever they lie in; and what is none."""

from __future__ import annotations

import gzip
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest

from conftest import made_images
from lookbook.bulk.arrays import ImageArray, find_array
from lookbook.errors import DamagedFileError, InputError
from lookbook.inference.model import Model


@pytest.fixture
def images():
    return made_images(300, seed=7)[0]


@pytest.fixture
def model(run):
    return Model.open(run.model)


def write_idx(path, images):
    head = struct.pack(">HBB3I", 0, 8, 3, *images.shape)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as file:
        file.write(head + images.tobytes())


def write(path, images):
    match path.name.split("-")[0]:
        case "npy":
            np.save(path, images)
        case "stored":
            np.savez(path, labels=np.arange(len(images)), images=images)
        case "packed":
            np.savez_compressed(path, labels=np.arange(len(images)), x_test=images, x_train=images)
        case _:
            write_idx(path, images)
    return path


KINDS = ("npy-a.npy", "stored-a.npz", "packed-고양이.npz", "t10k-images-idx3-ubyte", "idx-a.gz")


@pytest.mark.parametrize("name", KINDS)
def test_any_part_of_an_array_is_read_in_any_order(tmp_path, name, images, model):
    path = write(tmp_path / name, images)
    found = pickle.loads(pickle.dumps(find_array(path, model)))
    assert isinstance(found, ImageArray)
    assert (len(found), found.offset is None) == (300, name[:4] == "pack" or name[-2:] == "gz")
    for places in (range(3), range(3, 200), range(250, 300), range(10, 20), range(299, 300)):
        np.testing.assert_array_equal(found.read(places), images[places.start : places.stop])
    found.verify()


def test_bytes_before_a_zip_file_move_its_arrays(tmp_path, images, model):
    path = write(tmp_path / "stored-a.npz", images)
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    np.testing.assert_array_equal(find_array(path, model).read(range(5, 9)), images[5:9])


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_short_or_changed_is_told(tmp_path, name, images, model):
    path = write(tmp_path / name, images)
    found, content = find_array(path, model), path.read_bytes()
    middle = 30_000 if found.offset else len(content) // 2
    for damaged in (content[:middle], content[:middle] + b"\7\7\7" + content[middle + 3 :]):
        path.write_bytes(damaged)
        if len(damaged) == len(content) and name[-3:] not in {"npz", ".gz"}:
            continue  # these have no checksum
        with pytest.raises(DamagedFileError, match=f"^{path} (cannot be read|is damaged)"):
            found.verify()
    path.write_bytes(content[:middle])
    with pytest.raises(DamagedFileError, match=f"^{path} (cannot be read|is damaged)"):
        found.read(range(290, 300))
    if name[:6] != "idx-a.":  # which is found to be short where it is unpacked
        with pytest.raises(DamagedFileError, match=f"^{path} (cannot be read|is damaged)"):
            find_array(path, model)


def test_a_file_that_is_gone_is_told(tmp_path, images, model):
    found = find_array(write(tmp_path / "npy-a.npy", images), model)
    (tmp_path / "npy-a.npy").unlink()
    with pytest.raises(DamagedFileError, match="cannot be read"):
        found.read(range(3))


def test_other_files_are_none_of_arrays(tmp_path, model):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "b").write_bytes(b"")
    assert [find_array(tmp_path / name, model) for name in ("a.png", "b", "nowhere.png")] == 3 * [
        None
    ]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((3, 5, 5), np.uint8)}, r"takes images of shape \(N, 12, 10\) with"),
        ({"images": np.zeros((0, 12, 10), np.uint8)}, r"holds an array of shape \(0, 12, 10\): no"),
        ({"images": np.ones((3, 12, 10))}, r"^images must be uint8 \(0 to 255\), got float64"),
        ({"images": np.zeros((12, 10, 3), np.uint8).T}, "has its columns first, so that no image"),
        (
            {name: np.zeros((3, 12, 10), np.uint8) for name in "ab"},
            r"holds the arrays a \(3, 12, 10\), b \(3, 12, 10\); expected one of images, called",
        ),
        ({}, "holds no arrays; expected one of images"),
    ],
)  # fmt: skip
def test_what_the_model_does_not_take_is_refused(tmp_path, model, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        find_array(tmp_path / "a.npz", model)


def test_of_several_arrays_the_one_that_fits_is_taken(tmp_path, images, model):
    np.savez(tmp_path / "a.npz", faces=images[:5], others=np.zeros((7, 3, 3), np.uint8))
    assert find_array(tmp_path / "a.npz", model).name == "faces"


@pytest.mark.parametrize("save", [np.save, lambda path, images: np.savez(path, images=images)])
def test_objects_are_refused_and_what_is_expected_is_said(tmp_path, images, model, save):
    with (tmp_path / "a").open("wb") as file:
        save(file, images.astype(object))
    with pytest.raises(InputError) as caught:
        find_array(tmp_path / "a", model)
    assert str(caught.value) == (
        f"{tmp_path / 'a'} holds objects, which are refused; expected numbers from 0 to 255: save "
        "its images again, as images.astype('uint8')"
    )


@pytest.mark.parametrize("left", [4, 6, 40, 100, 30_000])
@pytest.mark.parametrize("name", ["npy-a.npy", "stored-a.npz"])
def test_a_file_that_is_cut_short_is_called_so(tmp_path, images, model, name, left):
    path = write(tmp_path / name, images)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(DamagedFileError) as caught:
        find_array(path, model)
    assert re.search("it is cut short|announces [0-9,]+ bytes", str(caught.value))


def test_what_is_no_archive_is_damaged(tmp_path, model):
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("images.npy", "no array")
    for name in "ab":
        with pytest.raises(DamagedFileError, match=f"{name}.npz cannot be read"):
            find_array(tmp_path / f"{name}.npz", model)
