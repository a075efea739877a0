"""IDX files, the format of MNIST, plain or gzip-compressed."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.bounded_io import fill
from lookbook.data.array_checks import numbered
from lookbook.data.dataset import Dataset
from lookbook.data.formats.source import ArraySource, Measured
from lookbook.errors import DamagedFileError, InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from lookbook.data.formats.image_folder import Part

#: bytes of the largest content that is read: 2 million images of 28×28 and some
MAX_BYTES = 2**31
#: content above 64 MiB must come from at least one byte in so many: MNIST's files hold 1 in 5
MOST_EXPANSION = 100


def read_content(path: Path) -> bytes:
    """Return the decompressed bytes of an IDX file: its header and exactly as much as that says.

    Nothing beyond what the header announces is ever decompressed, and a header that announces far
    more than the file can hold is refused: a small file that unpacks to gigabytes costs no memory.

    Raises
    ------
    DamagedFileError
        The file is no IDX file of bytes, is cut short, or holds more than its header says.
    """
    head, body = _read(path)
    return head + body.tobytes()


def _read(path: Path) -> tuple[bytes, UInt8[np.ndarray, "M"]]:
    """Return header and body of an IDX file."""
    with open_idx(path) as (stream, head):
        expected = math.prod(shape_of(head))
        if expected > MAX_BYTES:
            raise _too_much(path, expected)
        body = np.empty(expected, np.uint8)
        n = fill(body, stream)
        n += len(stream.read(1))  # or the end, where the checksum of gzip is compared
        if n != expected:
            found = "more" if n > expected else f"{n:,}"
            raise DamagedFileError(
                f"{path} is damaged: its header announces {expected:,} bytes, it holds {found}; "
                "fetch it again"
            )
    return head, body


@contextmanager
def open_idx(path: Path) -> Iterator[tuple[io.BufferedIOBase, bytes]]:
    """Open the unpacked content of an IDX file behind its header; give both.

    Raises
    ------
    DamagedFileError
        The file is no IDX file of bytes, or cannot hold what its header says; in the block, it
        cannot be unpacked.
    """
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            unpacked = gzip.GzipFile(fileobj=file) if compressed else file
            yield unpacked, _read_head(unpacked, path)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedFileError(f"{path} cannot be read ({error}); fetch it again") from error


def _read_head(stream: io.BufferedIOBase, path: Path) -> bytes:
    head = stream.read(4)
    if len(head) < 4 or head[:3] != b"\x00\x00\x08" or not 1 <= head[3] <= 4:
        raise DamagedFileError(
            f"{path} is not an IDX file of bytes: it begins with {head.hex() or 'nothing'}, "
            "expected 00000801 (labels) or 00000803 (images)"
        )
    sizes = stream.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DamagedFileError(f"{path} is cut short inside its header; fetch it again")
    expected = math.prod(shape_of(head + sizes))
    if expected > max(2**26, MOST_EXPANSION * path.stat().st_size):
        raise _too_much(path, expected)
    return head + sizes


def _too_much(path: Path, expected: int) -> DamagedFileError:
    return DamagedFileError(
        f"{path} is damaged: its header announces {expected:,} bytes, which "
        f"{path.stat().st_size:,} bytes cannot hold; fetch it again"
    )


def parse_content(content: bytes) -> UInt8[np.ndarray, "..."]:
    """Return the array that verified IDX content holds.

    >>> parse_content(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    start = 4 + 4 * content[3]
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape_of(content[:start]))


def shape_of(head: bytes) -> list[int]:
    """Return the shape that a header says."""
    shape: list[int] = np.frombuffer(head[4:], dtype=">u4").tolist()
    return shape


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Return the array that an IDX file holds; it can be written to, as torch wants it.

    Raises
    ------
    DamagedFileError
        As `read_content`.
    """
    head, body = _read(path)
    return body.reshape(shape_of(head))


# ---- datasets ----


def idx_files(folder: Path) -> list[Path]:
    """List the IDX files in a folder, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and path.name[0] != "."
        and ("idx3-ubyte" in path.name or "idx1-ubyte" in path.name)
    )


def is_training(path: Path) -> bool:
    """Say whether a file is named after the training part."""
    return "train" in path.name.casefold()


def load_idx(folder: Path, part: Part) -> tuple[Dataset, bool]:
    """Return a part, or all of a folder without parts, and whether it has some."""
    files = idx_files(folder)
    train = [path for path in files if is_training(path)]
    test = [path for path in files if not is_training(path)]
    split = bool(train and test)
    pair = _pair(folder, files if not split else train if part == "train" else test)
    images, labels = read_idx(pair[0]), read_idx(pair[1]).astype(np.int64)
    if len(images) != len(labels):
        raise InputError(
            f"{pair[0].name} holds {len(images):,} images, {pair[1].name} {len(labels):,} "
            f"labels; they do not belong together, look for the right ones of {folder}"
        )
    known = read_idx(_pair(folder, train)[1]).astype(np.int64) if split else labels
    return Dataset(images, labels, numbered(known)), split


def _pair(folder: Path, files: list[Path]) -> tuple[Path, Path]:
    """Return the file of images and the file of labels."""
    images = [path for path in files if "images" in path.name]
    labels = [path for path in files if "labels" in path.name]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{folder} must hold one file of images and one of labels for each part, found "
            f"{', '.join(path.name for path in idx_files(folder))}; expected names such as "
            "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
        )
    return images[0], labels[0]


class IdxSource(ArraySource):
    """A folder of IDX files."""

    def measured_part(self) -> Measured:
        return "test" if len(set(map(is_training, idx_files(self.path)))) == 2 else "split"

    def _load_arrays(self, part: Part) -> tuple[Dataset, bool]:
        return load_idx(self.path, part)
