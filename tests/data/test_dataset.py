"""Names, folders and files become a Dataset, or a message that says what to mend."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import re
import socket
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_download import arrays_in, made_dataset
from test_idx import write_idx

from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import Dataset
from lookbook.data.download import fetch
from lookbook.data.sources import load, load_data, resolve
from lookbook.data.splits import split_validation, stratified_choice
from lookbook.errors import DamagedFileError, InputError, LookbookError, LookbookWarning
from lookbook.runs.places import free_folder

KINDS = (
    ".apng, .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg, .mpo, .pbm, .pgm, .png, .pnm, .ppm, .tif, "
    ".tiff, .webp"
)


def images_of(n: int, *shape: int) -> np.ndarray:
    """Images that differ: each one's first pixel is its number."""
    shape = shape or (9, 8)
    images = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n).reshape(n, *[1] * (len(shape) - 2))
    return images


def numbers_of(dataset: Dataset) -> list[int]:
    """The numbers that `images` gave."""
    return dataset.images[:, 0, 0].reshape(len(dataset), -1)[:, 0].tolist()


def refusal(data: Path | str, part: str = "train", **options) -> str:
    with pytest.raises(InputError) as caught:
        load(str(data), part, **options)
    return str(caught.value)


# ---- what a dataset is ----


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
            "images must be 8 to 224 pixels on a side, got 8×7; resize them before you save them",
        ),
        (
            np.zeros((2, 225, 224), np.uint8),
            [0, 1],
            2,
            "images must be 8 to 224 pixels on a side, got 225×224; resize them before you save "
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


@pytest.mark.parametrize("size", [(8, 8), (8, 224), (224, 224)])
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


# ---- splits ----


@st.composite
def labels_and_number(draw):
    labels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=80))
    return np.array(labels), draw(st.integers(0, len(labels)))


@given(labels_and_number(), st.integers(0, 2**32))
def test_a_stratified_choice_takes_each_class_in_proportion(case, seed):
    labels, n = case
    chosen = stratified_choice(labels, n, seed=seed)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert stratified_choice(labels, n, seed=seed).tolist() == chosen.tolist()
    for label in set(labels.tolist()):
        there = int((labels == label).sum())
        taken = int((labels[chosen] == label).sum())
        assert taken < there  # the last one stays
        assert abs(taken - n * there / len(labels)) <= 1


def test_a_stratified_choice_depends_on_the_seed():
    labels = np.arange(1000) % 4
    first, second = (set(stratified_choice(labels, 500, seed=seed).tolist()) for seed in (0, 1))
    assert 150 < len(first & second) < 350  # chance gives 250 ± 11


@given(labels_and_number(), st.integers(0, 100))
def test_the_validation_part_is_disjoint_and_complete(case, seed):
    labels, _ = case
    dataset = Dataset(images_of(len(labels)), labels, tuple("abcdef"))
    if np.bincount(labels).max() == 1:
        with pytest.raises(InputError) as caught:
            split_validation(dataset, seed=seed)
        assert str(caught.value) == (
            f"{len(labels)} images are too few for a validation part; at least two of a class "
            "are needed"
        )
        return
    training, validation = split_validation(dataset, seed=seed)
    assert sorted(numbers_of(training) + numbers_of(validation)) == list(range(len(labels)))
    assert (training.counts[dataset.counts > 0] > 0).all()
    assert len(validation) <= 0.15 * len(labels) + 6  # rounded class by class
    for part in (training, validation):
        assert part.labels.tolist() == labels[numbers_of(part)].tolist()


def test_the_training_part_of_fashion_mnist_is_split_evenly(fashion):
    training, validation = split_validation(fashion, seed=3)
    assert training.counts.tolist() == [5500] * 10
    assert validation.counts.tolist() == [500] * 10


# ---- names ----


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


# ---- .npz ----


def save_npz(path: Path, **arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def npz(tmp_path):
    return tmp_path / "data.npz"


SPLIT_NAMES = [
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
]


@pytest.mark.parametrize("names", SPLIT_NAMES)
def test_an_npz_file_with_two_parts(npz, names):
    images, labels = images_of(10), np.arange(10, dtype=np.uint8) % 3
    arrays = dict(zip(names, (images, labels, images[:4], labels[:4]), strict=True))
    save_npz(npz, **arrays, val_images=images, val_labels=labels)  # MedMNIST has those, too
    train, test = load(str(npz)), load(str(npz), "test")
    np.testing.assert_array_equal(train.images, images)
    np.testing.assert_array_equal(train.labels, labels)
    np.testing.assert_array_equal(test.images, images[:4])
    np.testing.assert_array_equal(test.labels, labels[:4])
    assert train.classes == test.classes == ("0", "1", "2")
    assert train.labels.dtype == np.int64
    assert resolve(npz).measured_part() == "test"
    assert not resolve(npz).resizable


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y")])
def test_an_npz_file_without_parts_is_split(npz, names):
    images, labels = images_of(50), np.arange(50) % 2
    save_npz(npz, **dict(zip(names, (images, labels), strict=True)))
    train, test = load(str(npz)), load(str(npz), "test")
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(50))
    assert (len(train), len(test)) == (40, 10)
    assert resolve(npz).measured_part() == "split"
    for part in (train, test):
        assert part.labels.tolist() == labels[numbers_of(part)].tolist()


def test_shapes_that_other_collections_use(npz):
    """A channel axis of one, labels of shape (N, 1), colour."""
    save_npz(npz, images=images_of(10, 9, 8, 1), labels=np.arange(10)[:, None] % 2)
    dataset = load(str(npz))
    assert dataset.images.shape == (8, 9, 8)
    assert dataset.labels.shape == (8,)
    save_npz(npz, images=images_of(10, 9, 8, 3), labels=np.arange(10) % 2)
    assert load(str(npz)).channels == 3


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (np.array(["고양이", "dog 🐕"]), ("고양이", "dog 🐕")),
        (np.array([b"cat", b"dog"]), ("cat", "dog")),
        (np.array([3, 8]), ("3", "8")),
    ],
)
def test_class_names_in_an_npz_file(npz, classes, names):
    save_npz(npz, images=images_of(10), labels=np.arange(10) % 2, classes=classes)
    assert load(str(npz)).classes == names


def test_both_parts_have_the_classes_of_the_training_part(npz):
    labels = np.array([0, 1, 2, 2])
    arrays = {"x_train": images_of(4), "y_train": labels, "x_test": images_of(2)}
    save_npz(npz, **arrays, y_test=labels[:2])
    assert load(str(npz), "test").classes == ("0", "1", "2")
    save_npz(npz, **arrays, y_test=np.array([3, 0]))
    assert refusal(npz, "test") == (
        "labels must be in 0..2, got 3 at index 0; name all classes in the array 'classes', or "
        "mend the labels"
    )


@pytest.mark.parametrize(
    "names", [(), ("pixels", "labels"), ("x_train", "y_train"), ("train_images", "test_images")]
)
def test_an_npz_file_that_lacks_arrays(npz, names):
    save_npz(npz, **dict.fromkeys(names, np.zeros(3)))
    held = ", ".join(sorted(names)) or "nothing"
    for part in ("train", "test"):
        assert refusal(npz, part) == (
            f"{npz} holds the arrays {held}; expected images and labels, or train_images, "
            "train_labels, test_images and test_labels"
        )


@pytest.mark.parametrize(
    ("labels", "advice"),
    [
        (np.arange(10) / 1, "; use labels.astype('int64')"),
        (np.eye(10), "; of a column for each class use labels.argmax(axis=1)"),
        (
            np.array(list("abcdefghij")),
            "; of names use: classes, labels = numpy.unique(names, return_inverse=True)",
        ),
        (np.array(3), ""),
    ],
)
def test_labels_that_are_no_whole_numbers(npz, labels, advice):
    save_npz(npz, images=images_of(10), labels=labels)
    assert refusal(npz) == (
        f"labels in {npz} must be whole numbers of shape (N,), the classes' numbers from 0, got "
        f"{labels.dtype} of shape {labels.shape}{advice}"
    )


def test_a_label_that_is_no_class_number(npz):
    labels = np.array([0, 1, 0, 10**12])
    save_npz(npz, images=images_of(4), labels=labels)
    assert refusal(npz) == (
        "labels must be in 0..199, got 1000000000000 at index 3; number the classes from 0"
    )
    save_npz(npz, images=images_of(4), labels=labels, classes=np.array(["a", "b"]))
    assert refusal(npz) == (
        "labels must be in 0..1, got 1000000000000 at index 3; name all classes in the array "
        "'classes', or mend the labels"
    )


def test_labels_below_0(npz):
    save_npz(npz, images=images_of(4), labels=np.array([-1, 1, -1, 1]))
    assert refusal(npz) == ("labels must be in 0.., got -1 at index 0; number the classes from 0")


def test_numbers_that_no_image_has_are_told(npz):
    save_npz(npz, images=images_of(10), labels=1 + np.arange(10) % 2)
    with pytest.warns(LookbookWarning) as caught:
        load(str(npz))
    assert left_out(caught)[1:] == ["no training image shows 0; no model can learn that"]
    assert {warning.filename for warning in caught} == {__file__}
    load(str(npz), "test")


def test_a_size_for_images_that_have_one(npz):
    save_npz(npz, images=images_of(10), labels=np.arange(10) % 2)
    assert load(str(npz), size=(9, 8)).size == (9, 8)
    assert refusal(npz, size=28) == (
        f"`size` is for folders of image files; the images of {npz} are 9×8"
    )


class Malicious:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_objects_in_an_npz_file_are_refused_and_never_run(npz, tmp_path):
    marker = tmp_path / "marker"
    evil = np.array([Malicious(marker)], dtype=object)
    arrays = {"images": images_of(10), "labels": np.arange(10) % 2, "classes": np.array(["a", "b"])}
    for name in arrays:
        np.savez(npz, **(arrays | {name: evil}), allow_pickle=True)
        with pytest.raises(DamagedFileError) as caught:
            load(str(npz))
        assert str(caught.value) == (
            f"{npz} cannot be read (Object arrays cannot be loaded when allow_pickle=False); "
            "expected arrays of numbers, as numpy.savez writes them (objects are refused)"
        )
    npz.write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(DamagedFileError, match=r"data\.npz is no \.npz file"):
        load(str(npz))
    assert not marker.exists()


def test_an_npz_file_cut_at_every_tenth(npz):
    save_npz(npz, images=images_of(50), labels=np.arange(50) % 2)
    whole = npz.read_bytes()
    for tenth in range(10):
        npz.write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(DamagedFileError) as caught:
            load(str(npz))
        assert str(caught.value) == (
            f"{npz} is no .npz file, or is cut short; save it again with numpy.savez"
        )


def test_a_single_array_under_the_name_of_several(npz):
    with npz.open("wb") as file:
        np.save(file, images_of(10))
    with pytest.raises(DamagedFileError, match=r"data\.npz is no \.npz file"):
        load(str(npz))


@pytest.mark.filterwarnings("ignore::UserWarning")  # zipfile's, and of numbers without images
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_changed_bytes_give_a_dataset_or_a_message(tmp_path_factory, packed, changes):
    path = tmp_path_factory.mktemp("changed") / "data.npz"
    save = np.savez_compressed if packed else np.savez
    save(path, images=images_of(6, 8, 8), labels=np.arange(6) % 2, classes=np.array(["새", "a"]))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        assert isinstance(load(str(path)), Dataset)
    except LookbookError as error:
        message = str(error)
        assert message


# ---- IDX ----


@pytest.fixture
def idx(tmp_path):
    """A folder with one part: 50 images of two classes, called t10k."""
    folder = tmp_path / "idx"
    folder.mkdir()
    write_idx(folder / "t10k-images-idx3-ubyte.gz", images_of(50))
    write_idx(folder / "t10k-labels-idx1-ubyte.gz", np.arange(50, dtype=np.uint8) % 2)
    return folder


@pytest.mark.parametrize("name", ["t10k", "train", "emnist-letters-test"])
def test_idx_files_of_one_part_are_split(idx, name):
    for path in idx.iterdir():
        path.rename(idx / path.name.replace("t10k", name))
    train, test = load(str(idx)), load(str(idx), "test")
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(50))
    assert (len(train), len(test)) == (40, 10)
    assert train.classes == test.classes == ("0", "1")
    assert resolve(idx).measured_part() == "split"
    assert not resolve(idx).resizable


@pytest.mark.parametrize("ending", ["-idx{}-ubyte", ".idx{}-ubyte", "-idx{}-ubyte.gz"])
def test_idx_files_of_two_parts(idx, ending):
    train_labels = np.arange(60, dtype=np.uint8) % 3
    write_idx(idx / f"train-images{ending.format(3)}", images_of(60))
    write_idx(idx / f"train-labels{ending.format(1)}", train_labels)
    (idx / "._train-images-idx3-ubyte").write_bytes(b"what macOS leaves in archives")
    train, test = load(str(idx)), load(str(idx), "test")
    assert numbers_of(train) == list(range(60))
    assert train.labels.tolist() == train_labels.tolist()
    assert numbers_of(test) == list(range(50))
    assert train.classes == test.classes == ("0", "1", "2")
    assert resolve(idx).measured_part() == "test"


def test_idx_files_that_are_not_a_pair(idx):
    write_idx(idx / "t10k-images-idx3-ubyte", images_of(50))
    message = (
        f"{idx} must hold one file of images and one of labels for each part, found {{}}; "
        "expected names such as train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
    )
    assert refusal(idx) == message.format(
        "t10k-images-idx3-ubyte, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )
    for path in idx.glob("*images*"):
        path.unlink()
    assert refusal(idx) == message.format("t10k-labels-idx1-ubyte.gz")


def test_idx_files_that_do_not_belong_together(idx):
    write_idx(idx / "t10k-labels-idx1-ubyte.gz", np.zeros(49, np.uint8))
    assert refusal(idx) == (
        "t10k-images-idx3-ubyte.gz holds 50 images, t10k-labels-idx1-ubyte.gz 49 labels; they "
        f"do not belong together, look for the right ones of {idx}"
    )


def test_idx_files_that_are_damaged(idx):
    path = idx / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"not IDX"))
    with pytest.raises(DamagedFileError, match=re.escape(str(path))):
        load(str(idx))


# ---- folders of image files ----


def save_image(path: Path, value: int | tuple[int, int, int] = 0, *, size=(10, 12)) -> Path:
    """Save an image of one shade; size is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(value, int) else "RGB"
    Image.new(mode, size[::-1], value).save(path)
    return path


@pytest.fixture
def album(tmp_path):
    """Ten grey images of each of two classes; the shade of each is its number."""
    folder = tmp_path / "album"
    for number in range(20):
        save_image(folder / ("cat" if number < 10 else "dog") / f"{number:02}.png", number)
    return folder


def left_out(caught: pytest.WarningsRecorder) -> list[str]:
    return [str(warning.message) for warning in caught]


def drawn(album: Path) -> list[int]:
    """The numbers of the images for the test part, worked out from the files' names."""
    numbers = []
    for folder in album.iterdir():
        places = {
            hashlib.sha256(f"{folder.name}/{path.name}".encode()).hexdigest(): int(path.stem)
            for path in folder.iterdir()
        }
        numbers += [places[digest] for digest in sorted(places)[: len(places) // 5]]
    return sorted(numbers)


def test_class_folders_are_split(album):
    train, test = load(album), load(album, "test")
    assert sorted(numbers_of(test)) == drawn(album)
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(20))
    assert train.counts.min() > 0
    assert test.counts.min() > 0
    assert resolve(album).resizable
    assert resolve(album).measured_part() == "split"
    assert train.classes == test.classes == ("cat", "dog")
    assert train.size == (10, 12)
    for part in (train, test):
        assert part.labels.tolist() == [int(number >= 10) for number in numbers_of(part)]
    assert load(str(album)).sha256() == train.sha256()


def test_files_that_are_added_move_no_others(album):
    train, test = (set(numbers_of(load(album, part))) for part in ("train", "test"))
    for number in range(20, 120):
        save_image(album / ("cat" if number % 2 else "dog") / f"{number}.png", number)
    assert train <= set(numbers_of(load(album)))
    share = set(numbers_of(load(album, "test"))) - test
    assert share.isdisjoint(train)
    assert 8 <= len(share) <= 32  # chance gives 20 ± 4


def test_a_folders_images_know_their_files(album):
    (album / "dog" / "12.png").write_bytes(b"damaged")
    for part in ("train", "test"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookbookWarning)  # of the damaged one
            dataset = load(album, part)
        expected = [f"{'dog' if n >= 10 else 'cat'}/{n:02}.png" for n in numbers_of(dataset)]
        assert list(dataset.files) == expected
        assert list(dataset.take(np.array([2, 0])).files) == [expected[2], expected[0]]


def test_both_parts_show_a_class_of_two_images(tmp_path):
    for number in range(60):
        save_image(tmp_path / f"{number // 2:02}" / f"{number}.png", number)
    for part in ("train", "test"):
        assert load(tmp_path, part).counts.tolist() == [1] * 30


def test_the_first_images_show_several_classes(album):
    assert set(load(album).labels[:8].tolist()) == {0, 1}


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


def test_too_few_images_to_split(tmp_path):
    for name in ("cat", "dog"):
        save_image(tmp_path / name / "1.png")
    for part in ("train", "test"):
        assert refusal(tmp_path, part) == (
            "2 images are too few to split a test part off; at least two of a class are needed"
        )


def test_the_only_image_of_a_class_is_for_training(album):
    save_image(album / "bird" / "1.png", 99)
    assert load(album).counts[0] == 1
    assert load(album, "test").counts[0] == 0


# sizes and colours


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


# what is left out


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
