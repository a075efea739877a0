"""Files of arrays: what is in them is read, whatever is damaged is refused, and costs no memory."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookbook.data.dataset import Dataset
from lookbook.data.formats.npz import DAMAGE, MAX_LIST, open_arrays
from lookbook.data.sources import load, resolve
from lookbook.errors import DamagedFileError, InputError, LookbookError, LookbookWarning
from lookbook.evaluation.probabilities import read
from made_data import images_of, left_out, numbers_of, refusal, save_npz

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 9, 8), dtype=np.uint8)
LABELS = np.arange(20) % 2


def npy(header: bytes, numbers: bytes = b"", version: int = 1) -> bytes:
    """An .npy file of this header, as the specification of the format has it."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + numbers


def zipped(path: Path, packed: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", packed) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def damage(path: Path) -> str:
    with pytest.raises(DamagedFileError) as caught:
        load(path)
    return str(caught.value).removeprefix(f"{path} cannot be read (").partition(");")[0]


# ---- what is read ----


@pytest.mark.parametrize(
    "array",
    [
        IMAGES,
        np.asfortranarray(IMAGES),
        LABELS.astype(">i2"),
        np.float32([[0.5], [np.nan]]),
        np.array(["고양이", "dog"]),
        np.array([b"cat", b""]),
        np.array(7),
        np.zeros((0, 3)),
        np.array([True]),
    ],
)
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, array, save):
    path = tmp_path / "data"
    with path.open("wb") as file:
        save(file, array)
    with open_arrays(path) as arrays:
        (name,) = arrays.names
        header, found = arrays.header(name), arrays.read(name)
    assert (header.shape, header.dtype) == (array.shape, array.dtype)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_of_a_large_array_the_first_rows_can_be_read(tmp_path):
    np.savez(tmp_path / "data.npz", images=IMAGES)
    with open_arrays(tmp_path / "data.npz") as arrays:
        np.testing.assert_array_equal(arrays.read("images", IMAGES.nbytes // 4), IMAGES[:5])
        np.testing.assert_array_equal(arrays.read("images", IMAGES.nbytes), IMAGES)
        assert arrays.read("images", 1).shape == (1, 9, 8)


def test_a_training_part_is_no_second_copy_of_the_data(tmp_path, monkeypatch):
    """Of a file without parts four in five images are for training: they stay where they are."""
    images = np.zeros((1000, 100, 100), np.uint8)
    images[:, 0, 0] = np.arange(1000) % 251
    np.savez_compressed(tmp_path / "data.npz", images=images, labels=np.arange(1000) % 2)
    monkeypatch.setattr("lookbook.core.arrays.CHUNK", 10**6)
    tracemalloc.start()
    training = load(tmp_path / "data.npz")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < images.nbytes + 4 * 10**6
    rest = load(tmp_path / "data.npz", "test")
    both = np.concatenate([training.images, rest.images])
    assert sorted(both[:, 0, 0].tolist()) == sorted(images[:, 0, 0].tolist())


# ---- what is damaged ----

FIELDS = b"'fortran_order': False, 'shape': (20,), }\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (npy(b"{'descr': '|u1', " + FIELDS, bytes(19)), "its header announces 20 bytes, it has 19"),
        (npy(b"{'descr': '|u1', " + FIELDS, bytes(21)), "its header announces 20 bytes, it has 21"),
        (
            npy(b"{'descr': [('a', '<i4'), ('b', 'O')], " + FIELDS),
            "it holds objects, which are refused",
        ),
        (
            npy(b"{'descr': [('a', '<i4')], " + FIELDS, bytes(80)),
            "arrays of [('a', '<i4')] hold neither numbers nor text",
        ),
        (
            npy(b"{'descr': '<M8[s]', " + FIELDS, bytes(160)),
            "arrays of datetime64[s] hold neither numbers nor text",
        ),
        (
            npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, -2)}\n"),
            "its header announces -4 bytes, it has 0",
        ),
        (b"", "it is cut short"),
        (saved(IMAGES)[:50], "it is cut short"),
        (b"PK\x03\x04" + bytes(20), "it is cut short, or no array"),
        (npy(b"", version=3), "version 3.0 of arrays is for fields with names"),
        (
            b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1),
            "its header would have 4,294,967,295 bytes",
        ),
    ],
)
def test_headers_that_are_damaged_are_told(tmp_path, content, why):
    path = zipped(tmp_path / "data.npz", images=saved(IMAGES), labels=content)
    assert damage(path) == why


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (20,),\n",  # tokenize.TokenError
        b"{'descr': '''|u1', " + FIELDS,
        b"{'descr': '|u1',\x00" + FIELDS,
        b"(" * 5000 + b"\n",
        b"{'descr': '<i99999999999', " + FIELDS,
        b"{'descr': ('|u1', 2), " + FIELDS,
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 99999999999999999999)}\n",
        b"{'descr': '<U0', " + FIELDS,
        b"[]\n",
        b"\xff\n",
        b"",
    ],
)
def test_headers_that_are_none_end_in_a_message(tmp_path, header):
    path = zipped(tmp_path / "data.npz", images=saved(IMAGES), labels=npy(header))
    assert damage(path)
    (tmp_path / "probs.npy").write_bytes(npy(header))
    with pytest.raises(InputError, match=r"probs\.npy is no \.npy or \.npz file of numbers"):
        read(tmp_path / "probs.npy")


@pytest.mark.parametrize("packed", [False, True])
def test_each_bit_of_the_numbers_is_checked(tmp_path, packed):
    """Of the last bytes, too, behind which numpy reads no further."""
    path, save = tmp_path / "data.npz", np.savez_compressed if packed else np.savez
    save(path, images=IMAGES[:4], labels=LABELS[:4])
    content, images = path.read_bytes(), load(path, "test").images
    with zipfile.ZipFile(path) as file:
        member = file.getinfo("images.npy")
    start = content.index(b"images.npy") + len("images.npy") + 20  # behind the extra field
    refused = 0
    places = range(start, start + member.compress_size, 3)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            np.testing.assert_array_equal(load(path, "test").images, images)
        except DamagedFileError:
            refused += 1
    assert refused >= len(places) - 1  # the end of what is packed has bits to spare


@pytest.mark.parametrize(
    "classes",
    [
        np.zeros(2, [("a", "i4")]),
        np.array([0.5, 1.5]),
        np.array(["cat"]),
        np.array([True, False]),
        np.zeros(201, "S1"),
        np.array([1j, 2j]),
    ],
)
def test_classes_that_are_no_names(tmp_path, classes):
    path = tmp_path / "data.npz"
    np.savez(path, images=IMAGES, labels=LABELS, classes=classes)
    with pytest.raises((InputError, DamagedFileError)) as caught:
        load(path)
    if classes.dtype.names is None:
        assert str(caught.value) == (
            f"classes in {path} must be 2 to 200 names, got {classes.dtype} of shape "
            f"{classes.shape}; save them as numpy.array(['cat', 'dog'])"
        )
    else:
        assert "hold neither numbers nor text" in str(caught.value)


def test_class_names_in_bytes_may_be_hangul(tmp_path):
    classes = np.array(["고양이".encode(), b"dog"])
    np.savez(tmp_path / "data.npz", images=IMAGES, labels=LABELS, classes=classes)
    assert load(tmp_path / "data.npz").classes == ("고양이", "dog")


# ---- what would take memory ----


def memory_for(path: Path, message: str) -> int:
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match=message):
        load(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("name", ["images", "labels", "classes"])
def test_an_array_that_unpacks_to_far_more_than_its_file_costs_no_memory(tmp_path, name):
    """Zeros, deflated to a thousandth of 70 MB."""
    shape = (90_000, 28, 28) if name == "images" else (70_000_000,)
    bomb = npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': %r}\n" % (shape,))
    parts = {"images": saved(IMAGES), "labels": saved(LABELS), "classes": saved(np.arange(2))}
    zipped(tmp_path / "data.npz", **(parts | {name: bomb + bytes(int(np.prod(shape)))}))
    assert memory_for(tmp_path / "data.npz", "bytes that unpack to .* are refused") < 10**7


def test_an_array_that_announces_more_than_is_there_costs_no_memory(tmp_path):
    bomb = npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000,)}\n")
    path = zipped(tmp_path / "data.npz", images=bomb, labels=saved(LABELS))
    assert memory_for(path, "its header announces 80,000,000,000 bytes, it has 0") < 10**7


def test_a_file_of_very_many_arrays_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(MAX_LIST[1] // 1000):
            file.writestr(f"{number:0999}", b"")
    assert memory_for(path, "it would take too long to read") < 3 * MAX_LIST[1]


def test_an_array_that_is_packed_otherwise_is_refused(tmp_path):
    path = zipped(
        tmp_path / "data.npz", zipfile.ZIP_LZMA, images=saved(IMAGES), labels=saved(LABELS)
    )
    assert damage(path) == "labels is compressed in a way that numpy does not write"


def test_what_readers_of_damage_raise_is_known():
    assert not issubclass(KeyboardInterrupt, DAMAGE)
    assert not issubclass(LookbookError, DAMAGE)


# ---- images and labels ----


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
            f"{npz} cannot be read (it holds objects, which are refused); expected arrays of "
            "numbers, as numpy.savez writes them"
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
