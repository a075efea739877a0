"""IDX files: what is written is read, and nothing else."""

from __future__ import annotations

import gzip
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lookbook.data.formats.idx import MAX_BYTES, read_idx
from lookbook.data.sources import load, resolve
from lookbook.errors import DamagedFileError
from made_data import images_of, numbers_of, refusal, write_idx


@given(
    array=arrays(np.uint8, array_shapes(max_dims=4, max_side=6, min_side=0)),
    name=st.sampled_from(["plain-idx", "packed-idx.gz", "called-so.gz"]),
)
def test_what_is_written_is_read(tmp_path_factory, array, name):
    path = write_idx(tmp_path_factory.mktemp("idx") / name, array)
    read = read_idx(path.rename(path.with_suffix("")))  # the name decides nothing
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "begins"),
    [
        (b"", "nothing"),
        (b"\0\0\x08", "000008"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "00000d01"),  # floats
        (b"\0\0\x08\x05" + bytes(24), "00000805"),  # five dimensions
        (b"\0\0\x08\x00", "00000800"),
        (b"<htm", "3c68746d"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, content, begins):
    path = tmp_path / "labels"
    for stored in (content, gzip.compress(content)):
        path.write_bytes(stored)
        with pytest.raises(DamagedFileError) as caught:
            read_idx(path)
        assert str(caught.value) == (
            f"{path} is not an IDX file of bytes: it begins with {begins}, expected 00000801 "
            "(labels) or 00000803 (images)"
        )


def test_the_body_must_be_as_long_as_the_header_says(tmp_path):
    content = write_idx(tmp_path / "labels", np.arange(10, dtype=np.uint8)).read_bytes()
    for body, found in ((content[:-1], "9"), (content + b"x", "more"), (content[:8], "0")):
        for stored in (body, gzip.compress(body)):
            path = tmp_path / "changed"
            path.write_bytes(stored)
            with pytest.raises(DamagedFileError) as caught:
                read_idx(path)
            assert str(caught.value) == (
                f"{path} is damaged: its header announces 10 bytes, it holds {found}; fetch it "
                "again"
            )


def test_a_file_that_ends_inside_its_header(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(b"\0\0\x08\x03\0\0\0")
    with pytest.raises(DamagedFileError) as caught:
        read_idx(path)
    assert str(caught.value) == f"{path} is cut short inside its header; fetch it again"


def test_a_compressed_file_cut_anywhere(tmp_path):
    rng = np.random.default_rng(0)
    path = write_idx(tmp_path / "images.gz", rng.integers(0, 256, (20, 9, 9), dtype=np.uint8))
    content = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(content[: tenth * len(content) // 10])
        with pytest.raises(DamagedFileError, match=r"images\.gz"):
            read_idx(path)
    path.write_bytes(content[:-1])  # the last byte of the checksum
    with pytest.raises(DamagedFileError) as caught:
        read_idx(path)
    assert str(caught.value) == (
        f"{path} cannot be read (Compressed file ended before the end-of-stream marker was "
        "reached); fetch it again"
    )


def test_a_changed_bit_is_noticed_by_the_checksum(tmp_path):
    path = write_idx(tmp_path / "images.gz", np.zeros((20, 9, 9), np.uint8))
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"cannot be read \(CRC check failed"):
        read_idx(path)


@pytest.mark.parametrize("announced", [1000, 200 * 2**20, MAX_BYTES, 2**32 - 1])
def test_a_bomb_costs_no_memory(tmp_path, announced):
    """A gzip file of some kB that unpacks to 200 MiB, whatever its header says."""
    member = gzip.compress(bytes(2**20))
    head = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, announced))
    path = tmp_path / "labels.gz"
    path.write_bytes(head + 200 * member)
    tracemalloc.start()
    with pytest.raises(DamagedFileError, match="its header announces"):
        read_idx(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_a_header_that_announces_too_much(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(struct.pack(">BBBBIII", 0, 0, 8, 3, 60000, 2800, 2800) + bytes(100))
    with pytest.raises(DamagedFileError) as caught:
        read_idx(path)
    assert str(caught.value) == (
        f"{path} is damaged: its header announces 470,400,000,000 bytes, which 116 bytes cannot "
        "hold; fetch it again"
    )


def test_what_the_system_cannot_read(tmp_path):
    with pytest.raises(DamagedFileError) as caught:
        read_idx(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} cannot be read ([Errno 21] Is a directory: '{tmp_path}'); fetch it again"
    )


# ---- folders of them ----


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
