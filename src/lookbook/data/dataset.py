"""Turn names, folders and files into a Dataset, and split it."""

from __future__ import annotations

import hashlib
import inspect
import math
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookbook.data import image_folder
from lookbook.data.catalog import BUILTIN
from lookbook.data.download import fetch, find_builtin, is_fetched, load_kept
from lookbook.data.idx import read_idx
from lookbook.data.image_folder import CLASSES, PARTS, TEST_SHARE, Part, few, left_out, plain, text
from lookbook.data.inputs import SIDES, as_images, as_labels, dim_levels
from lookbook.data.npz import DAMAGE, ArrayFile, open_arrays
from lookbook.errors import DamagedFileError, InputError, LookbookWarning, closest
from lookbook.images.preprocessing import (
    Polarity,
    find_polarity,
    load_image,
    match_all,
    read_size,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64, Shaped, UInt8

    from lookbook.data.image_folder import Layout

#: side to which images of several sizes are brought where the user names none
USUAL_SIZE = 64
#: test images of a class below which what is said of it may be chance
FEW = 5
_DATA = (
    f"DATA is one of {', '.join(BUILTIN)}, a folder of class folders, an .npz file, or a folder of "
    "IDX files"
)
#: where a test part comes from
Measured = Literal["test", "validation", "split"]
#: what of labelled data is measured on: a part of its own, or all of it
Labelled = Literal["test", "validation", "all"]
#: bytes of pixels that are computed with at once, where there may be any number
CHUNK = 2**27


@dataclass(frozen=True)
class Dataset:
    """Images, their labels, the names of the classes and of the files; nothing else travels.

    >>> images = np.zeros((4, 8, 8), np.uint8)
    >>> dataset = Dataset(images, np.array([0, 1, 0, 1]), ("cat", "dog"))
    >>> len(dataset), dataset.channels, dataset.counts.tolist()
    (4, 1, [2, 2])

    Raises
    ------
    InputError
        Types, shapes, sizes or labels are not those of a set of small images.
    """

    images: UInt8[np.ndarray, "N H W *C"]
    labels: Int64[np.ndarray, "N"]
    classes: tuple[str, ...]
    #: names of the image files, from their folder on; empty where the data is arrays
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Dataset({self.images.shape} {self.images.dtype}, {len(self.classes)} classes)"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.shape[3] if self.images.ndim == 4 else 1

    @property
    def counts(self) -> Int64[np.ndarray, "K"]:
        """How many images each class has."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @property
    def polarity(self) -> Polarity:
        """Whether the images show light things on dark ground, the reverse, or both."""
        return find_polarity(self.images)

    def match(self, polarity: Polarity) -> Dataset:
        """Return the dataset with odd images inverted: see `photos.match_all`."""
        return replace(self, images=match_all(self.images, polarity)[0])

    def take(self, indices: Int64[np.ndarray, "M"]) -> Dataset:
        """Return the dataset of the images at these indices."""
        files = tuple(self.files[i] for i in indices) if self.files else ()
        return Dataset(self.images[indices], self.labels[indices], self.classes, files)

    def sha256(self) -> str:
        """Return the hash of images, labels and class names: equal only for equal data."""
        return hash_arrays(self.images, self.labels, self.classes)


def hash_arrays(
    raw: Shaped[np.ndarray, "N *shape"], labels: Int64[np.ndarray, "N"], classes: tuple[str, ...]
) -> str:
    """Return the SHA-256 of inputs, labels and class names."""
    named = tuple(map(plain, classes))  # a Mac's folders are not other data
    digest = hashlib.sha256(repr((raw.shape, named)).encode())
    digest.update(np.ascontiguousarray(raw).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _check(dataset: Dataset) -> None:
    images, labels, classes = dataset.images, dataset.labels, dataset.classes
    as_images(images)
    if len(images) == 0 or labels.shape != (len(images),):
        raise InputError(
            f"each image needs one label: got {len(images):,} images and labels of shape "
            f"{labels.shape}; save as many of one as of the other"
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in images.shape[1:3]):
        raise InputError(
            f"images must be {SIDES[0]} to {SIDES[1]} pixels on a side, got "
            f"{images.shape[1]}×{images.shape[2]}; resize them before you save them"
        )
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        raise InputError(
            f"expected {CLASSES[0]} to {CLASSES[1]} classes, got {len(classes)}; add or join some"
        )
    names = list(map(plain, classes))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two classes are called {twice!r}; give each a name of its own")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise InputError(
            f"labels must be in 0..{len(classes) - 1}, got {labels[wrong[0]]} at index {wrong[0]}; "
            "name all classes in the array 'classes', or mend the labels"
        )


def load(
    data: str | Path,
    part: Part = "train",
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> Dataset:
    """Return one part of DATA; the others are not read.

    Parameters
    ----------
    data
        A built-in name; a folder of class folders, with folders for the parts around them or not;
        an `.npz` file; a folder of IDX files. A built-in name goes before a folder of that name:
        write `./mnist`, or give a `Path`, for the folder.
    part
        "train", "test", or "validation" of a folder that has one, such as `train/` and `valid/`;
        where such a folder has no test part, its validation part is returned for it, with a
        warning. Data without parts is split, class by class and always in the same way: one
        image in five is for testing; of image files the fifth whose names' hashes are lowest,
        so that a file that is added or removed moves at most one other.
    size
        Side, or height and width, to which image files are brought. Without it they keep their
        size where all have the same, and become 64×64 where not.
    channels
        1 or 3; without it image files are colour where any of them is.

    Raises
    ------
    InputError
        There is no such data or part, or it is not as described.
    DownloadError
        A built-in dataset could not be fetched.
    """
    if part not in PARTS:
        known = ", ".join(map(repr, PARTS))
        raise InputError(f"part is one of {known}, got {part!r}{closest(str(part), list(PARTS))}")
    if data == "":
        raise InputError(f"DATA is empty; {_DATA}")
    path = Path(data)
    size = (size, size) if isinstance(size, int) else size
    if size and not all(SIDES[0] <= side <= SIDES[1] for side in size):
        raise InputError(f"--size must be {SIDES[0]} to {SIDES[1]} pixels, got {max(size)}")
    if isinstance(data, str) and (_is_builtin(data) or _is_unknown_name(data)):
        dataset = find_builtin(data)
        if part == "validation":
            raise _no_validation(data)
        if part == "train":
            _warn_shadowed(path)
        images, labels = load_kept(fetch(dataset), part)
        return _without_size(Dataset(images, labels, dataset.classes), size, data)
    if path.is_dir() and not _idx_files(path):
        return _load_folder(path, part, size, channels)
    if not (path.is_dir() or is_npz(path)):
        raise _no_data(data)
    if part == "validation":
        raise _no_validation(data)
    return _without_size(_load_arrays(path, part), size, data)


def is_npz(path: Path) -> bool:
    """Say whether this is a file called .npz, in whatever case."""
    return path.suffix.lower() == ".npz" and path.is_file()


def _no_data(data: str | Path) -> InputError:
    if re.match(r"[a-z][a-z0-9+]+://", str(data), re.IGNORECASE):
        return InputError(
            f"{data} is an address, and nothing is fetched from there; download it, unpack it, and "
            f"name the file or folder; {_DATA}"
        )
    if not Path(data).exists():
        return InputError(f"{data} does not exist; {_DATA}")
    what = "is neither a folder nor an .npz file"
    if re.search(r"\.(zip|rar|7z|tgz|tar(\.\w+)?)$", str(data), re.IGNORECASE):
        what = "is an archive; unpack it, and name what was in it"
    return InputError(f"{data} {what}; {_DATA}")


def _no_validation(data: str | Path) -> InputError:
    return InputError(
        f"{data} has no validation part of its own: training takes one from its training part, as "
        "lookbook.data.dataset.split_validation does"
    )


def _warn(message: str) -> None:
    """Warn where this module was called from, however deep in it."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_globals["__name__"] == __name__:
        frame, level = frame.f_back, level + 1
    warnings.warn(LookbookWarning(message), stacklevel=level)


def identify(data: str | Path) -> str:
    """Return the name under which `load` finds DATA from any folder.

    >>> identify("mnist")
    'mnist'
    >>> identify("/data/./clothes")
    '/data/clothes'
    """
    return str(data) if _is_builtin(data) else str(Path(data).resolve())


def is_image_folder(data: str | Path) -> bool:
    """Say whether DATA is a folder of image files, whose size can be chosen."""
    path = Path(data)
    return not _is_builtin(data) and path.is_dir() and not _idx_files(path)


def measured_part(data: str | Path) -> Measured:
    """Say what DATA, which `load` takes, gives for its test part.

    A test part of its own, else a validation part of its own, else what is split off.
    """
    path = Path(data)
    if _is_builtin(data):
        return "test"
    if path.is_file():
        with _open_npz(path) as arrays:
            return "test" if _find_arrays(arrays, path) in _SPLIT else "split"
    if files := _idx_files(path):
        return "test" if len({_is_training(file) for file in files}) == 2 else "split"
    parts = image_folder.find_layout(path).parts
    return "test" if "test" in parts else "validation" if "validation" in parts else "split"


def is_split_here(data: str | Path) -> bool:
    """Say whether DATA is a folder of image files without parts, which `folders` splits."""
    return is_image_folder(data) and measured_part(data) == "split"


def has_validation_part(data: str | Path) -> bool:
    """Say whether DATA, which `load` takes, has a validation part of its own."""
    return is_image_folder(data) and "validation" in image_folder.find_layout(Path(data)).parts


def measured_on_validation(data: str | Path) -> str:
    """Return the note on data whose validation part stands for the test part that it lacks."""
    return (
        f"{data} has no test part: its validation part is measured on, by which percentages and "
        "thresholds are set; new images may be answered a little worse"
    )


def few_tested(classes: tuple[str, ...], counts: Int64[np.ndarray, "K"]) -> str:
    """Return the note on classes that few test images show; nothing where there are none.

    >>> few_tested(("cat", "dog"), np.array([2, 9]))
    'fewer than 5 test images show cat (2): what is measured there may be chance; add images'
    """
    named = [f"{classes[k]} ({counts[k]:,})" for k in np.flatnonzero(counts < FEW)]
    if not named:
        return ""
    return (
        f"fewer than {FEW} test images show {few(named)}: what is measured there may be chance; "
        "add images"
    )


def load_labelled(
    data: str | Path, classes: tuple[str, ...], *, size: tuple[int, int], channels: int
) -> tuple[Dataset, Labelled]:
    """Return the test part of DATA, or all of it where it has no parts, and which of them it is.

    Its labels are numbers of these `classes`; not all of them need to be there.

    Raises
    ------
    InputError
        There is no such data, its images are of another size or kind, or of other classes.
    """
    if is_image_folder(data):
        files = image_folder.list_labelled(Path(data), classes)
        for note in files.notes():
            _warn(note)
        labels = np.array(files.labels, dtype=np.int64)
        found = _read_images(files.paths, labels, classes, size, channels, Path(data))
        return found, files.part or "all"
    part: Labelled = "test"
    if _is_builtin(data) or not (Path(data).is_dir() or is_npz(Path(data))):
        found = load(data, "test")
    else:
        part = "all" if measured_part(data) == "split" else "test"
        found = _load_arrays(Path(data), "test", whole=True)
    if (found.size, found.channels) != (size, channels):
        raise InputError(
            f"the images of {data} are {_kind(found.size, found.channels)}, the model takes "
            f"{_kind(size, channels)}: save them so, or as files in class folders, which are "
            "brought to its size"
        )
    return _with_classes(found, classes, data), part


def _kind(size: tuple[int, int], channels: int) -> str:
    return f"{size[0]}×{size[1]} in {'colour' if channels == 3 else 'grey'}"


def _with_classes(dataset: Dataset, classes: tuple[str, ...], data: str | Path) -> Dataset:
    """Return a dataset whose labels are numbers of other classes, known by their names."""
    known = {image_folder.plain(name): number for number, name in enumerate(classes)}
    numbers = [known.get(image_folder.plain(name), -1) for name in dataset.classes]
    unnamed = dataset.classes == tuple(map(str, range(len(dataset.classes))))
    if unnamed and len(numbers) <= len(classes) and set(numbers) == {-1}:
        _warn(f"{data} names no classes: its labels are taken for the numbers of the model's")
        numbers = list(range(len(numbers)))
    labels = np.array(numbers)[dataset.labels]
    if (labels < 0).any():
        strangers = [dataset.classes[k] for k in np.unique(dataset.labels[labels < 0])]
        raise image_folder.unknown_classes(data, strangers, classes)
    return Dataset(dataset.images, labels, classes, dataset.files)


def is_here(data: str | Path) -> bool:
    """Say whether DATA can be read without being fetched."""
    if _is_builtin(data):
        return is_fetched(BUILTIN[str(data)])
    return Path(data).exists()


def load_data(data: str | Path = "fashion-mnist") -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return `(x_train, y_train), (x_test, y_test)`, as Keras's datasets do.

    Images are uint8, labels are uint8 as in the files of the MNIST family.

    >>> (x_train, y_train), (x_test, y_test) = load_data("fashion-mnist")
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    """
    train, test = load(data, "train"), load(data, "test")
    return (
        (train.images, train.labels.astype(np.uint8)),
        (test.images, test.labels.astype(np.uint8)),
    )


def split_validation(dataset: Dataset, *, seed: int) -> tuple[Dataset, Dataset]:
    """Carve a validation part from a training part: see `choose_validation`.

    >>> dataset = load("fashion-mnist")
    >>> training, validation = split_validation(dataset, seed=0)
    >>> len(training), len(validation), validation.counts.tolist()
    (55000, 5000, [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])

    Raises
    ------
    InputError
        There are too few images to take any away.
    """
    chosen = choose_validation(dataset.labels, seed=seed)
    if len(chosen) == 0:
        raise InputError(
            f"{len(dataset)} images are too few for a validation part; at least two of a class "
            "are needed"
        )
    kept = np.setdiff1d(np.arange(len(dataset)), chosen)
    return dataset.take(kept), dataset.take(chosen)


def join(first: Dataset, second: Dataset) -> Dataset:
    """Return the images of both, which have the same classes, size and channels.

    >>> part = Dataset(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]), ("cat", "dog"))
    >>> len(join(part, part))
    4
    """
    images = np.concatenate([first.images, second.images])
    labels = np.concatenate([first.labels, second.labels])
    return Dataset(images, labels, first.classes, first.files + second.files)


def sample(raw: Shaped[np.ndarray, "N *shape"], most: int) -> Shaped[np.ndarray, "M *shape"]:
    """Take evenly spaced inputs: image folders are in the order of their classes.

    >>> sample(np.arange(10), 5).tolist()
    [0, 2, 4, 6, 8]
    """
    n = len(raw)
    return raw if n <= most else raw[np.arange(most) * n // most]


def chunks(n: int, size: int) -> list[slice]:
    """Cut `n` things of `size` bytes into pieces that fit into memory, of one thing at least.

    >>> chunks(5, CHUNK // 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, CHUNK // size)
    return [slice(start, start + step) for start in range(0, n, step)]


def choose_validation(labels: Int64[np.ndarray, "N"], *, seed: int) -> Int64[np.ndarray, "M"]:
    """Choose the validation part: 15 % of the images, stratified, by the seed alone.

    More than 5,000 would tell little more, and could be learnt from.
    """
    return stratified_choice(labels, min(5000, round(0.15 * len(labels))), seed=seed)


def stratified_choice(
    labels: Int64[np.ndarray, "N"], n: int, *, seed: int
) -> Int64[np.ndarray, "M"]:
    """Choose about `n` indices, from each class in proportion, never the last of a class.

    >>> labels = np.array([0] * 6 + [1] * 4)
    >>> labels[stratified_choice(labels, 5, seed=0)].tolist()
    [0, 0, 0, 1, 1]
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    groups = np.split(by_class, np.cumsum(np.bincount(labels))[:-1])
    share = n / len(labels)
    taken = [
        group[: min(max(1, round(share * len(group))), len(group) - 1)]
        for group in groups
        if len(group)
    ]
    return np.sort(np.concatenate(taken))


def _is_builtin(data: str | Path) -> bool:
    return isinstance(data, str) and data in BUILTIN


def _is_unknown_name(data: str) -> bool:
    """Say whether this is neither there nor looks like a path: a mistyped name, mostly."""
    return not Path(data).exists() and not any(mark in data for mark in "/\\.~")


def _warn_shadowed(path: Path) -> None:
    if path.exists():
        warnings.warn(
            LookbookWarning(
                f"./{path} is there, too; the built-in dataset is taken; write ./{path} for the "
                "folder"
            ),
            stacklevel=3,
        )


def _load_arrays(path: Path, part: Part, *, whole: bool = False) -> Dataset:
    """Load IDX or .npz files; warn of what no model can learn from.

    Those without parts are split, or taken as a `whole`.
    """
    dataset, is_split = (_load_idx if path.is_dir() else _load_npz)(path, part)
    if not (is_split or whole):
        dataset = _own_split(dataset, part)
    # numbers that were skipped, mostly
    empty = [name for name, n in zip(dataset.classes, dataset.counts, strict=True) if n == 0]
    if part == "train" and empty:
        _warn(f"no training image shows {few(empty)}; no model can learn that")
    if part == "train" and (note := dim_levels(dataset.images)):
        _warn(note)
    return dataset


def _without_size(dataset: Dataset, size: tuple[int, int] | None, data: str | Path) -> Dataset:
    """Refuse a size for images that have one; the run's own size is taken as it is."""
    if size not in (None, dataset.size):
        raise InputError(
            f"--size is for folders of image files; the images of {data} are "
            f"{dataset.size[0]}×{dataset.size[1]}"
        )
    return dataset


# ---- .npz ----

#: names under which .npz files keep their arrays: ours and MedMNIST's, Keras's
_SPLIT = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_WHOLE = (("images", "labels"), ("x", "y"))
#: bytes of an array that is refused that are looked at, to say what to do
_GLANCE = 2**24


def _load_npz(path: Path, part: Part) -> tuple[Dataset, bool]:
    """Return a part, or all of a file without parts, and whether it has some."""
    with _open_npz(path) as arrays:
        names = _find_arrays(arrays, path)
        images_name, labels_name = names[-2:] if part == "test" else names[:2]
        labels = _read_labels(arrays, labels_name, path)
        classes = _read_classes(arrays, path)
        if classes is None:
            known = labels if names[1] == labels_name else _read_labels(arrays, names[1], path)
            classes = _numbered(known)
        images = _read_images_of(arrays, images_name)
    dataset = Dataset(images, labels, classes)
    return dataset, names in _SPLIT


def _read_images_of(arrays: ArrayFile, name: str) -> UInt8[np.ndarray, "N H W *C"]:
    header = arrays.header(name)
    fits = header.dtype == np.uint8 and len(header.shape) in (3, 4)
    return as_images(arrays.read(name, None if fits else _GLANCE), header.shape)


def _read_labels(arrays: ArrayFile, name: str, path: Path) -> Int64[np.ndarray, "N"]:
    """Read labels: of shape (N,), or of (N, 1) as MedMNIST has them."""
    header = arrays.header(name)
    labels = arrays.read(name, None if header.dtype.kind in "iu" else _GLANCE)
    return as_labels(labels, f"labels in {path}", header.shape)


def _read_classes(arrays: ArrayFile, path: Path) -> tuple[str, ...] | None:
    """Read the names of the classes; None where there are none."""
    if "classes" not in arrays.names:
        return None
    header = arrays.header("classes")
    n = math.prod(header.shape)
    if header.dtype.kind not in "SUiu" or not CLASSES[0] <= n <= CLASSES[1]:
        raise InputError(
            f"classes in {path} must be {CLASSES[0]} to {CLASSES[1]} names, got {header.dtype} of "
            f"shape {header.shape}; save them as numpy.array(['cat', 'dog'])"
        )
    names = arrays.read("classes").ravel().tolist()
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _find_arrays(arrays: ArrayFile, path: Path) -> tuple[str, ...]:
    """Return the names of the arrays: four of two parts, or two of images yet to be split."""
    names = next((some for some in (*_SPLIT, *_WHOLE) if set(some) <= set(arrays.names)), None)
    if names is None:
        raise InputError(
            f"{path} holds the arrays {', '.join(sorted(arrays.names)) or 'nothing'}; "
            "expected images and labels, or train_images, train_labels, test_images and test_labels"
        )
    return names


@contextmanager
def _open_npz(path: Path) -> Iterator[ArrayFile]:
    """Open an .npz file; whatever its damage does to its reader becomes one error."""
    if not zipfile.is_zipfile(path):  # an .npy file holds one array
        raise DamagedFileError(
            f"{path} is no .npz file, or is cut short; save it again with numpy.savez"
        )
    try:
        with open_arrays(path) as arrays:
            yield arrays
    except InputError:
        raise
    except DAMAGE as error:
        raise DamagedFileError(
            f"{path} cannot be read ({error}); expected arrays of numbers, as numpy.savez writes "
            "them (objects are refused)"
        ) from error


def _numbered(labels: Int64[np.ndarray, "N"]) -> tuple[str, ...]:
    """Name classes after their numbers."""
    if labels.min(initial=0) < 0:
        raise InputError(
            f"labels must be in 0.., got {labels.min()} at index {labels.argmin()}; "
            "number the classes from 0"
        )
    highest = int(labels.max(initial=0))
    if highest >= CLASSES[1]:
        raise InputError(
            f"labels must be in 0..{CLASSES[1] - 1}, got {highest} at index {labels.argmax()}; "
            "number the classes from 0"
        )
    return tuple(str(number) for number in range(highest + 1))


# ---- IDX ----


def _idx_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file()
        and path.name[0] != "."
        and ("idx3-ubyte" in path.name or "idx1-ubyte" in path.name)
    )


def _is_training(path: Path) -> bool:
    return "train" in path.name.casefold()


def _load_idx(folder: Path, part: Part) -> tuple[Dataset, bool]:
    """Return a part, or all of a folder without parts, and whether it has some."""
    files = _idx_files(folder)
    train = [path for path in files if _is_training(path)]
    test = [path for path in files if not _is_training(path)]
    split = bool(train and test)
    pair = _pair(folder, files if not split else train if part == "train" else test)
    images, labels = read_idx(pair[0]), read_idx(pair[1]).astype(np.int64)
    if len(images) != len(labels):
        raise InputError(
            f"{pair[0].name} holds {len(images):,} images, {pair[1].name} {len(labels):,} "
            f"labels; they do not belong together, look for the right ones of {folder}"
        )
    known = read_idx(_pair(folder, train)[1]).astype(np.int64) if split else labels
    return Dataset(images, labels, _numbered(known)), split


def _pair(folder: Path, files: list[Path]) -> tuple[Path, Path]:
    """Return the file of images and the file of labels."""
    images = [path for path in files if "images" in path.name]
    labels = [path for path in files if "labels" in path.name]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{folder} must hold one file of images and one of labels for each part, found "
            f"{', '.join(path.name for path in _idx_files(folder))}; expected names such as "
            "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
        )
    return images[0], labels[0]


def _own_split(dataset: Dataset, part: Part) -> Dataset:
    """Choose one image in five for the test part: always the same, whatever a run's seed is."""
    n = len(dataset)
    test = stratified_choice(dataset.labels, round(TEST_SHARE * n), seed=0)
    if len(test) == 0:
        raise _too_few_to_split(n)
    if part == "test":
        return dataset.take(test)
    _warn_few_tested(dataset.classes, dataset.labels[test])
    return _keep(dataset, np.setdiff1d(np.arange(n), test))


def _keep(dataset: Dataset, indices: Int64[np.ndarray, "M"]) -> Dataset:
    """Return the dataset of the images at ascending indices, in the place of all of them.

    For arrays that were just read, and that nobody else has: most of them again would be much.
    """
    images = dataset.images
    for rows in chunks(len(indices), images[0].nbytes):
        moved = indices[rows]
        images[rows.start : rows.start + len(moved)] = images[moved]
    return Dataset(images[: len(indices)], dataset.labels[indices], dataset.classes)


def _warn_few_tested(classes: tuple[str, ...], labels: Int64[np.ndarray, "M"]) -> None:
    if note := few_tested(classes, np.bincount(labels, minlength=len(classes))):
        _warn(note)


def _too_few_to_split(n: int) -> InputError:
    return InputError(
        f"{n} images are too few to split a test part off; at least two of a class are needed"
    )


# ---- folders of image files ----


def _load_folder(
    folder: Path, part: Part, size: tuple[int, int] | None, channels: int | None
) -> Dataset:
    layout = image_folder.find_layout(folder)
    if part == "train":
        for note in layout.notes:
            _warn(note)
    source: Part = part
    if layout.has_parts and part not in layout.parts:
        if part == "validation":
            raise _no_validation(folder)
        source = "validation"
        _warn(measured_on_validation(folder))
    files = image_folder.list_files(layout, source)
    if part == "train" or layout.has_parts:  # without parts, both list the same files
        for note in files.notes():
            _warn(note)
    paths, labels = files.paths, np.array(files.labels, dtype=np.int64)
    places = image_folder.places(paths, folder)
    # in the order of their places the classes are mixed, so that the first images show several
    chosen = places.argsort(kind="stable")
    if not layout.has_parts:
        chosen = chosen[_own_draw(places, labels, part, layout)[chosen]]
    paths, labels = [paths[i] for i in chosen], labels[chosen]
    dataset = _read_images(paths, labels, tuple(layout.classes.values()), size, channels, folder)
    if part == "train" and not dataset.counts.all():
        empty = layout.parts["train"] / dataset.classes[dataset.counts.argmin()]
        raise InputError(
            f"{empty} holds no image that can be read; expected {image_folder.KINDS}; add some, or "
            "remove that folder"
        )
    return dataset


def _own_draw(
    places: Float64[np.ndarray, "N"], labels: Int64[np.ndarray, "N"], part: Part, layout: Layout
) -> Bool[np.ndarray, "N"]:
    """Say of each image of a folder without parts whether it is of this one."""
    if part == "validation":
        raise _no_validation(layout.folder)
    drawn = image_folder.draw_test(places, labels)
    if not drawn.any():
        raise _too_few_to_split(len(labels))
    if part == "test":
        return drawn
    _warn_few_tested(tuple(layout.classes.values()), labels[drawn])
    return ~drawn


def _read_images(
    paths: list[Path],
    labels: Int64[np.ndarray, "N"],
    classes: tuple[str, ...],
    size: tuple[int, int] | None,
    channels: int | None,
    folder: Path,
) -> Dataset:
    """Read image files and bring them to one size; unreadable ones are left out and listed."""
    size = size or _common_size(paths)
    images, kept, damaged = [], [], []
    with warnings.catch_warnings(record=True) as dim:
        warnings.simplefilter("always")
        for number, path in enumerate(paths):
            try:
                images.append(load_image(path, size, colour=channels != 1))
                kept.append(number)
            except InputError:
                damaged.append(path)
    if not images:
        raise InputError(
            f"none of the {len(paths)} image files can be read "
            f"({few([text(str(path)) for path in sorted(damaged)])}); save them again, as PNG or "
            "JPEG"
        )
    if damaged:
        _warn(left_out(damaged, "no images, or damaged"))
    if dim:
        of = f"{len(dim)} of {len(paths)} images come out too dark"
        _warn(f"{of}; the first: {dim[0].message}")
    if channels is None and all((image == image[..., :1]).all() for image in images):
        # grey, whatever the files call it: the channels are equal, one of them says it all
        images = [image[..., 0] for image in images]
    files = tuple(text(paths[number].relative_to(folder).as_posix()) for number in kept)
    return Dataset(np.stack(images), labels[kept], classes, files)


def _common_size(paths: list[Path]) -> tuple[int, int]:
    """Return the size that all readable images have, else the usual one."""
    sizes = {read_size(path) for path in paths} - {None}
    common = sizes.pop() if len(sizes) == 1 else None
    if common and all(SIDES[0] <= side <= SIDES[1] for side in common):
        return common
    return USUAL_SIZE, USUAL_SIZE
