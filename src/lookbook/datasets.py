"""Turn names, folders and files into a Dataset, and split it."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.builtin import BUILTIN, Part
from lookbook.download import fetch, find_builtin, load_kept
from lookbook.errors import DamagedFileError, InputError, LookbookWarning
from lookbook.idx import read_idx
from lookbook.photos import SUFFIXES, fit_picture, read_picture, read_size

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

#: smallest and largest side of a picture, in pixels
SIDES = (8, 224)
#: fewest and most classes
CLASSES = (2, 200)
#: side to which pictures of several sizes are brought where the user names none
USUAL_SIZE = 64
#: share of the pictures that becomes the test part where the data has none
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Dataset:
    """Pictures, their labels and the names of the classes; nothing else travels.

    >>> images = np.zeros((4, 8, 8), np.uint8)
    >>> dataset = Dataset(images, np.array([0, 1, 0, 1]), ("cat", "dog"))
    >>> len(dataset), dataset.channels, dataset.counts.tolist()
    (4, 1, [2, 2])

    Raises
    ------
    InputError
        Types, shapes, sizes or labels are not those of a set of small pictures.
    """

    images: UInt8[np.ndarray, "N H W *C"]
    labels: Int64[np.ndarray, "N"]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        _check(self)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return self.images.shape[3] if self.images.ndim == 4 else 1

    @property
    def counts(self) -> Int64[np.ndarray, "K"]:
        """How many pictures each class has."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def take(self, indices: Int64[np.ndarray, "M"]) -> Dataset:
        """Return the dataset of the pictures at these indices."""
        return Dataset(self.images[indices], self.labels[indices], self.classes)

    def sha256(self) -> str:
        """Return the hash of pictures, labels and class names: equal only for equal data."""
        digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def _check(dataset: Dataset) -> None:
    images, labels, classes = dataset.images, dataset.labels, dataset.classes
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"pictures must be uint8 of shape (N, H, W) or (N, H, W, 3), got {images.dtype} of "
            f"shape {images.shape}"
        )
    if images.ndim == 4 and images.shape[3] != 3:
        raise InputError(
            f"colour pictures need 3 channels in the last place, got shape {images.shape}"
        )
    if len(images) == 0 or labels.shape != (len(images),):
        raise InputError(
            f"each picture needs one label: got {len(images):,} pictures and labels of shape "
            f"{labels.shape}"
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in images.shape[1:3]):
        raise InputError(
            f"pictures must be {SIDES[0]} to {SIDES[1]} pixels on a side, got "
            f"{images.shape[1]}×{images.shape[2]}; bring them to one size with --size"
        )
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        raise InputError(
            f"{CLASSES[0]} to {CLASSES[1]} classes can be told apart, got {len(classes)}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise InputError(
            f"labels must be in 0..{len(classes) - 1}, got {labels[wrong[0]]} at index {wrong[0]}; "
            "name all classes in the array 'classes', or mend the labels"
        )


def load(
    data: str,
    part: Part = "train",
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
) -> Dataset:
    """Return the training or the test part of DATA; the other part is not read.

    Parameters
    ----------
    data
        A built-in name; a folder of class folders, with `train/` and `test/` around them or not;
        an `.npz` file; a folder of IDX files.
    part
        "train" or "test". Data without a test part of its own is split: one picture in five,
        class by class, always the same ones.
    size
        Side, or height and width, to which picture files are brought. Without it they keep their
        size where all have the same, and become 64×64 where not.
    channels
        1 or 3; without it picture files are colour where any of them is.

    Raises
    ------
    InputError
        There is no such data, or it is not as described.
    DownloadError
        A built-in dataset could not be fetched.
    """
    path = Path(data)
    if data in BUILTIN or (not path.exists() and not _looks_like_path(data)):
        dataset = find_builtin(data)
        images, labels = load_kept(fetch(dataset), part)
        return _without_size(Dataset(images, labels, dataset.classes), size, data)
    if path.suffix == ".npz" and path.is_file():
        return _without_size(_load_npz(path, part), size, data)
    if not path.is_dir():
        what = "is neither a folder nor an .npz file" if path.exists() else "does not exist"
        raise InputError(
            f"{data} {what}; DATA is one of {', '.join(BUILTIN)}, a folder of class folders, an "
            ".npz file, or a folder of IDX files"
        )
    if _idx_files(path):
        return _without_size(_load_idx(path, part), size, data)
    return _load_folder(path, part, (size, size) if isinstance(size, int) else size, channels)


def load_data(data: str = "fashion-mnist") -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return `(x_train, y_train), (x_test, y_test)`, as Keras's datasets do.

    Pictures are uint8, labels are uint8 as in the files of the MNIST family.

    >>> (x_train, y_train), (x_test, y_test) = load_data("fashion-mnist")
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    """
    train, test = load(data, "train"), load(data, "test")
    return (
        (train.images, train.labels.astype(np.uint8)),
        (test.images, test.labels.astype(np.uint8)),
    )


def split_validation(dataset: Dataset, *, seed: int, most: int = 5000) -> tuple[Dataset, Dataset]:
    """Carve a validation part from a training part: stratified, decided by the seed alone.

    The validation part has 15 % of the pictures, at most `most`.

    >>> dataset = load("fashion-mnist")
    >>> training, validation = split_validation(dataset, seed=0)
    >>> len(training), len(validation), validation.counts.tolist()
    (55000, 5000, [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])

    Raises
    ------
    InputError
        There are too few pictures to take any away.
    """
    n = min(most, round(0.15 * len(dataset)))
    chosen = stratified_choice(dataset.labels, n, seed=seed)
    if len(chosen) == 0:
        raise InputError(
            f"{len(dataset)} pictures are too few for a validation part; at least two of a class "
            "are needed"
        )
    kept = np.setdiff1d(np.arange(len(dataset)), chosen)
    return dataset.take(kept), dataset.take(chosen)


def stratified_choice(
    labels: Int64[np.ndarray, "N"], n: int, *, seed: int
) -> Int64[np.ndarray, "M"]:
    """Choose about `n` indices, from each class in proportion, never the last of a class.

    >>> stratified_choice(np.array([0] * 6 + [1] * 4), 5, seed=0).tolist()
    [0, 2, 4, 6, 8]
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


def _looks_like_path(data: str) -> bool:
    return any(mark in data for mark in "/\\.~")


def _without_size(dataset: Dataset, size: int | tuple[int, int] | None, data: str) -> Dataset:
    """Refuse a size for pictures that have one; the run's own size is taken as it is."""
    wanted = (size, size) if isinstance(size, int) else size
    if wanted not in (None, dataset.size):
        raise InputError(
            f"--size is for folders of picture files; the pictures of {data} are "
            f"{dataset.size[0]}×{dataset.size[1]}"
        )
    return dataset


# ---- .npz ----

#: names under which .npz files keep their arrays: ours, Keras's, MedMNIST's
_PARTS: dict[Part, tuple[tuple[str, str], ...]] = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
_WHOLE = (("images", "labels"), ("x", "y"))


def _load_npz(path: Path, part: Part) -> Dataset:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = set(arrays.files)
            split = [pair for pair in _PARTS[part] if names.issuperset(pair)]
            whole = [pair for pair in _WHOLE if names.issuperset(pair)]
            if not split and not whole:
                raise InputError(
                    f"{path} holds the arrays {', '.join(sorted(names)) or 'nothing'}; expected "
                    "images and labels, or train_images, train_labels, test_images and test_labels"
                )
            images, labels = (arrays[name] for name in (split or whole)[0])
            given = arrays["classes"] if "classes" in names else None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise DamagedFileError(
            f"{path} cannot be read ({error}); expected arrays of numbers, as numpy.savez writes "
            "them (objects are refused)"
        ) from error
    labels = _integer_labels(labels.squeeze(-1) if labels.ndim == 2 else labels, path)
    classes = _class_names(given, labels)
    dataset = Dataset(_as_pictures(images), labels, classes)
    return dataset if split else _own_split(dataset, part)


def _as_pictures(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Drop a channel axis that says grey."""
    return images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images


def _integer_labels(labels: np.ndarray[Any, Any], path: Path) -> Int64[np.ndarray, "N"]:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels in {path} must be whole numbers of shape (N,), got {labels.dtype} of shape "
            f"{labels.shape}"
        )
    return labels.astype(np.int64)


def _class_names(
    given: np.ndarray[Any, Any] | None, labels: Int64[np.ndarray, "N"]
) -> tuple[str, ...]:
    if given is not None:
        return tuple(str(name) for name in given)
    return tuple(str(number) for number in range(int(labels.max(initial=0)) + 1))


# ---- IDX ----


def _idx_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and ("idx3-ubyte" in path.name or "idx1-ubyte" in path.name)
    )


def _load_idx(folder: Path, part: Part) -> Dataset:
    files = _idx_files(folder)
    train = [path for path in files if "train" in path.name]
    test = [path for path in files if "train" not in path.name]
    chosen = (train if part == "train" else test) if train and test else files
    images = [path for path in chosen if "images" in path.name]
    labels = [path for path in chosen if "labels" in path.name]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"{folder} must hold one file of pictures and one of labels for each part, found "
            f"{', '.join(path.name for path in files)}; expected names such as "
            "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
        )
    pictures, numbers = read_idx(images[0]), read_idx(labels[0]).astype(np.int64)
    if len(pictures) != len(numbers):
        raise InputError(
            f"{images[0].name} holds {len(pictures):,} pictures, {labels[0].name} {len(numbers):,} "
            "labels; they do not belong together"
        )
    dataset = Dataset(pictures, numbers, _class_names(None, numbers))
    return dataset if train and test else _own_split(dataset, part)


def _own_split(dataset: Dataset, part: Part) -> Dataset:
    return dataset.take(_own_indices(dataset.labels, part))


def _own_indices(labels: Int64[np.ndarray, "N"], part: Part) -> Int64[np.ndarray, "M"]:
    """Choose one picture in five for the test part: always the same, whatever a run's seed is."""
    test = stratified_choice(labels, round(TEST_SHARE * len(labels)), seed=0)
    return test if part == "test" else np.setdiff1d(np.arange(len(labels)), test)


# ---- folders of picture files ----


def _load_folder(
    folder: Path, part: Part, size: tuple[int, int] | None, channels: int | None
) -> Dataset:
    has_train, has_test = (_has_folders(folder / name) for name in ("train", "test"))
    if has_train and not has_test:
        raise InputError(
            f"{folder} has train/ but no test/; add test/ with the same class folders, or name "
            f"{folder / 'train'} to have a test part split off"
        )
    split = has_train and has_test
    paths, labels, classes = _list_pictures(folder / "train" if split else folder)
    if split and part == "test":
        paths, labels, classes = _list_pictures(folder / "test", classes)
    if not split:
        chosen = _own_indices(labels, part)
        paths, labels = [paths[i] for i in chosen], labels[chosen]
    return _read_pictures(paths, labels, classes, size, channels)


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and any(path.is_dir() for path in folder.iterdir())


def _list_pictures(
    folder: Path, classes: tuple[str, ...] | None = None
) -> tuple[list[Path], Int64[np.ndarray, "N"], tuple[str, ...]]:
    """List the picture files in class folders, sorted by name; links are left out and counted."""
    found = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."))
    classes = found if classes is None else classes
    if strangers := set(found) - set(classes):
        raise InputError(
            f"{folder} has class folders that the training part lacks: "
            f"{', '.join(sorted(strangers))}"
        )
    if len(classes) < CLASSES[0]:
        raise InputError(
            f"{folder} has {len(classes)} class folders; expected at least {CLASSES[0]}, each "
            "named after its class and full of picture files"
        )
    paths, labels, links = [], [], []
    for label, name in enumerate(classes):
        inside = sorted((folder / name).rglob("*")) if (folder / name).is_dir() else []
        for path in inside:
            if path.is_symlink():
                links.append(path)
            elif path.suffix.lower() in SUFFIXES and path.is_file():
                paths.append(path)
                labels.append(label)
    if links:
        _warn_left_out(links, "links, which are not followed")
    if not paths:
        raise InputError(
            f"{folder} holds no picture files; expected {', '.join(sorted(SUFFIXES))} in its "
            "class folders"
        )
    return paths, np.array(labels, dtype=np.int64), classes


def _warn_left_out(paths: list[Path], why: str) -> None:
    shown = ", ".join(str(path) for path in paths[:3]) + (", …" if len(paths) > 3 else "")
    warnings.warn(LookbookWarning(f"left out {len(paths)} files ({why}): {shown}"), stacklevel=4)


def _read_pictures(
    paths: list[Path],
    labels: Int64[np.ndarray, "N"],
    classes: tuple[str, ...],
    size: tuple[int, int] | None,
    channels: int | None,
) -> Dataset:
    """Read picture files and bring them to one size; unreadable ones are left out and listed."""
    size = size or _common_size(paths)
    images, kept, damaged = [], [], []
    colourful = False
    for number, path in enumerate(paths):
        try:
            picture = read_picture(path)
        except InputError:
            damaged.append(path)
            continue
        colourful = colourful or picture.mode == "RGB"
        images.append(fit_picture(picture, size, colour=channels != 1))
        kept.append(number)
    if damaged:
        _warn_left_out(damaged, "no pictures, or damaged")
    if not images:
        raise InputError(f"none of the {len(paths)} picture files in {paths[0].parent} can be read")
    pixels = np.stack(images)
    # grey where no file has colour: the channels are equal, one of them says it all
    grey = channels is None and not colourful
    return Dataset(pixels[..., 0].copy() if grey else pixels, labels[kept], classes)


def _common_size(paths: list[Path]) -> tuple[int, int]:
    """Return the size that all readable pictures have, else the usual one."""
    sizes = {read_size(path) for path in paths} - {None}
    common = sizes.pop() if len(sizes) == 1 else None
    if common and all(SIDES[0] <= side <= SIDES[1] for side in common):
        return common
    return USUAL_SIZE, USUAL_SIZE
