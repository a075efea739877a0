"""Made data of every format, and what tests ask of what is loaded."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookbook.data.catalog import BuiltinDataset, Digest
from lookbook.data.dataset import Dataset
from lookbook.data.sources import load
from lookbook.errors import InputError

FILES = {
    (part, what): f"{start}-{what}-idx{3 if what == 'images' else 1}-ubyte.gz"
    for part, start in (("train", "train"), ("test", "t10k"))
    for what in ("images", "labels")
}


def images_of(n: int, *shape: int) -> np.ndarray:
    """Images that differ: each one's first pixel is its number."""
    shape = shape or (9, 8)
    images = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n).reshape(n, *[1] * (len(shape) - 2))
    return images


def numbers_of(dataset: Dataset) -> list[int]:
    """The numbers that `images_of` gave."""
    return dataset.images[:, 0, 0].reshape(len(dataset), -1)[:, 0].tolist()


def refusal(data: Path | str, part: str = "train", **options) -> str:
    with pytest.raises(InputError) as caught:
        load(str(data), part, **options)
    return str(caught.value)


def left_out(caught: pytest.WarningsRecorder) -> list[str]:
    return [str(warning.message) for warning in caught]


def save_npz(path: Path, **arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def write_idx(path: Path, array: np.ndarray) -> Path:
    """Write an array as LeCun's page describes the format; `.gz` compresses."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = head + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def made_dataset(folder: Path, *, seed: int = 0, **changes) -> BuiltinDataset:
    """Write a small dataset's files into a folder, and describe it with their real hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    digests = {}
    for (part, what), name in FILES.items():
        n = 12 if part == "train" else 6
        low, high, shape = (0, 256, (n, 9, 8)) if what == "images" else (0, 3, (n,))
        path = write_idx(folder / name, rng.integers(low, high, shape, dtype=np.uint8))
        content = gzip.decompress(path.read_bytes())
        digests[name] = (Digest("sha256", hashlib.sha256(content).hexdigest()),)
    facts = {
        "name": "made",
        "title": "Made",
        "homepage": "https://example.org/made",
        "licence": "MIT",
        "classes": ("a", "b", "c"),
        "files": FILES,
        "mirrors": (),
        "digests": digests,
    }
    return BuiltinDataset(**(facts | changes))


def arrays_in(folder: Path) -> dict[str, np.ndarray]:
    """Read the files that `made_dataset` wrote, without the code that is tested."""
    found = {}
    for (part, what), name in FILES.items():
        content = gzip.decompress((folder / name).read_bytes())
        start = 16 if what == "images" else 8
        array = np.frombuffer(content[start:], np.uint8)
        found[f"{part}-{what}"] = array.reshape(-1, 9, 8) if what == "images" else array
    return found


def save_image(path: Path, value: int | tuple[int, int, int] = 0, *, size=(10, 12)) -> Path:
    """Save an image of one shade; size is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = "L" if isinstance(value, int) else "RGB"
    Image.new(mode, size[::-1], value).save(path)
    return path


def save_album(folder: Path) -> Path:
    """Save ten grey images of each of two classes; the shade of each is its number."""
    for number in range(20):
        save_image(folder / ("cat" if number < 10 else "dog") / f"{number:02}.png", number)
    return folder


def fill(folder: Path, n: int = 30, *, first: int = 0, classes=("cat", "dog")) -> Path:
    """Give each class n images whose shades are their numbers."""
    for number in range(n * len(classes)):
        name = classes[number % len(classes)]
        save_image(folder / name / f"{first + number:03}.png", first + number)
    return folder
