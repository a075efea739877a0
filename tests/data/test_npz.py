"""Files of arrays: what is in them is read, whatever is damaged is refused, and costs no memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from lookbook.data.npz import DAMAGE, MAX_LIST, open_arrays
from lookbook.data.sources import load
from lookbook.errors import DamagedFileError, InputError, LookbookError
from lookbook.evaluation.probabilities import read

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


def refusal(path: Path) -> str:
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
            "Object arrays cannot be loaded when allow_pickle=False",
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
        (npy(b"", version=3), "version 3.0 of arrays is for fields with names"),
        (
            b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1),
            "its header would have 4,294,967,295 bytes",
        ),
    ],
)
def test_headers_that_are_damaged_are_told(tmp_path, content, why):
    path = zipped(tmp_path / "data.npz", images=saved(IMAGES), labels=content)
    assert refusal(path) == why


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
    assert refusal(path)
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
    assert refusal(path) == "labels is compressed in a way that numpy does not write"


def test_what_readers_of_damage_raise_is_known():
    assert not issubclass(KeyboardInterrupt, DAMAGE)
    assert not issubclass(LookbookError, DAMAGE)
