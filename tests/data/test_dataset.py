"""What a Dataset holds, and the message about what is none."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.core import arrays
from lookbook.data.dataset import Dataset, join
from lookbook.errors import InputError
from made_data import images_of


@pytest.mark.parametrize(
    ("images", "labels", "classes", "message"),
    [
        (
            np.zeros((2, 9, 8), np.float32),
            [0, 1],
            2,
            "images must be uint8 (0 to 255), got float32 of shape (2, 9, 8) from 0 to 0; use "
            "(images * 255).round().astype('uint8')",
        ),
        (
            np.zeros((2, 784), np.uint8),
            [0, 1],
            2,
            "images must have the shape (N, H, W), or (N, H, W, 3) in colour, got uint8 of shape "
            "(2, 784); use images.reshape(-1, 28, 28)",
        ),
        (
            np.zeros((2, 3, 9, 8), np.uint8),
            [0, 1],
            2,
            "images must have the shape (N, H, W), or (N, H, W, 3) in colour, got uint8 of shape "
            "(2, 3, 9, 8); channels come last: use numpy.moveaxis(images, 1, -1)",
        ),
        (
            np.zeros((3, 9, 8), np.uint8),
            [0, 1],
            2,
            "each image needs one label: got 3 images and labels of shape (2,); save as many "
            "of one as of the other",
        ),
        (
            np.zeros((0, 9, 8), np.uint8),
            [],
            2,
            "each image needs one label: got 0 images and labels of shape (0,); save as many "
            "of one as of the other",
        ),
        (
            np.zeros((2, 8, 7), np.uint8),
            [0, 1],
            2,
            "images must be 8 to 288 pixels on a side, got 8×7; resize them before you save them",
        ),
        (
            np.zeros((2, 289, 224), np.uint8),
            [0, 1],
            2,
            "images must be 8 to 288 pixels on a side, got 289×224; resize them before you save "
            "them",
        ),
        (
            np.zeros((2, 9, 8), np.uint8),
            [0, 0],
            1,
            "expected 2 to 200 classes, got 1; add or join some",
        ),
        (
            np.zeros((2, 9, 8), np.uint8),
            [0, 0],
            201,
            "expected 2 to 200 classes, got 201; add or join some",
        ),
        (
            np.zeros((2, 9, 8), np.uint8),
            [0, 10],
            10,
            "labels must be in 0..9, got 10 at index 1; name all classes in the array 'classes', "
            "or mend the labels",
        ),
        (
            np.zeros((2, 9, 8), np.uint8),
            [-1, 0],
            10,
            "labels must be in 0..9, got -1 at index 0; name all classes in the array 'classes', "
            "or mend the labels",
        ),
    ],
)
def test_what_is_no_dataset(images, labels, classes, message):
    with pytest.raises(InputError) as caught:
        Dataset(images, np.array(labels, dtype=np.int64), tuple(map(str, range(classes))))
    assert str(caught.value) == message


def test_class_names_differ():
    with pytest.raises(InputError) as caught:
        Dataset(images_of(3), np.array([0, 1, 2]), ("cat", "dog", "cat"))
    assert str(caught.value) == "two classes are called 'cat'; give each a name of its own"


@pytest.mark.parametrize("size", [(8, 8), (8, 288), (288, 288)])
@pytest.mark.parametrize("classes", [2, 200])
def test_the_limits_are_allowed(size, classes):
    dataset = Dataset(
        images_of(2, *size), np.array([0, classes - 1]), tuple(map(str, range(classes)))
    )
    assert dataset.size == size
    assert dataset.channels == 1
    assert dataset.counts.sum() == 2
    assert len(dataset.counts) == classes


def test_the_hash_is_equal_only_for_equal_data():
    images, labels = images_of(4), np.array([0, 1, 0, 1])
    dataset = Dataset(images, labels, ("a", "b"))
    assert dataset.sha256() == Dataset(images[::-1][::-1], labels.copy(), ("a", "b")).sha256()
    others = {
        Dataset(images, labels, ("a", "c")).sha256(),
        Dataset(images, labels[::-1].copy(), ("a", "b")).sha256(),
        Dataset(images[::-1], labels, ("a", "b")).sha256(),
        Dataset(images.reshape(4, 8, 9), labels, ("a", "b")).sha256(),
    }
    assert len(others | {dataset.sha256()}) == 5


def test_images_on_the_disk_stay_there_and_are_the_same_data(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", 300)
    grey = np.full((40, 12, 10), 20, np.uint8)
    grey[::13] = 240
    labels = np.arange(40) % 2
    grey.tofile(tmp_path / "images")
    images = np.memmap(tmp_path / "images", np.uint8, "r", shape=grey.shape)
    rows = np.random.default_rng(0).permutation(40)[:30]
    found = []
    for each in (images, grey):
        whole = Dataset(each, labels, ("cat", "dog"))
        dataset = join(whole.match(whole.polarity).take(rows), whole)
        assert arrays.is_mapped(dataset.images) == (each is images)
        found.append((whole.sha256(), whole.polarity, dataset.polarity, dataset.sha256()))
    assert found[0] == found[1]
    assert found[0][1] == "light on dark"
