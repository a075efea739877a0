"""Data sources: names, folders and files as datasets."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookbook.core.names import few, plain, text
from lookbook.data import image_folder
from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import Dataset, warn
from lookbook.data.download import fetch, find_builtin, is_fetched, load_kept
from lookbook.data.idx import idx_files, is_training, load_idx
from lookbook.data.image_folder import PARTS, Part, left_out
from lookbook.data.inputs import SIDES, dim_levels
from lookbook.data.npz import SPLIT, find_arrays, load_npz, open_npz
from lookbook.data.splits import (
    draw_test,
    places,
    split_arrays,
    too_few_to_split,
    warn_few_tested,
)
from lookbook.errors import InputError, LookbookWarning, closest
from lookbook.images.preprocessing import load_image, read_size

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64

    from lookbook.data.image_folder import Layout

#: side to which images of several sizes are brought where the user names none
USUAL_SIZE = 64
_DATA = (
    f"DATA is one of {', '.join(BUILTIN)}, a folder of class folders, an .npz file, or a folder of "
    "IDX files"
)
#: where a test part comes from
Measured = Literal["test", "validation", "split"]
#: what of labelled data is measured on: a part of its own, or all of it
Labelled = Literal["test", "validation", "all"]


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
        raise InputError(f"`size` must be {SIDES[0]} to {SIDES[1]} pixels, got {max(size)}")
    if isinstance(data, str) and (_is_builtin(data) or _is_unknown_name(data)):
        dataset = find_builtin(data)
        if part == "validation":
            raise _no_validation(data)
        if part == "train":
            _warn_shadowed(path)
        images, labels = load_kept(fetch(dataset), part)
        return _without_size(Dataset(images, labels, dataset.classes), size, data)
    if path.is_dir() and not idx_files(path):
        return _load_folder(path, part, size, channels)
    if not (path.is_dir() or is_npz(path)):
        raise _no_data(data)
    if part == "validation":
        raise _no_validation(data)
    return _without_size(_load_arrays(path, part), size, data)


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
        "lookbook.data.splits.split_validation does"
    )


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
    return not _is_builtin(data) and path.is_dir() and not idx_files(path)


def measured_part(data: str | Path) -> Measured:
    """Say what DATA, which `load` takes, gives for its test part.

    A test part of its own, else a validation part of its own, else what is split off.
    """
    path = Path(data)
    if _is_builtin(data):
        return "test"
    if path.is_file():
        with open_npz(path) as arrays:
            return "test" if find_arrays(arrays, path) in SPLIT else "split"
    if files := idx_files(path):
        return "test" if len({is_training(file) for file in files}) == 2 else "split"
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
            warn(note)
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
    known = {plain(name): number for number, name in enumerate(classes)}
    numbers = [known.get(plain(name), -1) for name in dataset.classes]
    unnamed = dataset.classes == tuple(map(str, range(len(dataset.classes))))
    if unnamed and len(numbers) <= len(classes) and set(numbers) == {-1}:
        warn(f"{data} names no classes: its labels are taken for the numbers of the model's")
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
    dataset, is_split = (load_idx if path.is_dir() else load_npz)(path, part)
    if not (is_split or whole):
        dataset = split_arrays(dataset, part)
    # numbers that were skipped, mostly
    empty = [name for name, n in zip(dataset.classes, dataset.counts, strict=True) if n == 0]
    if part == "train" and empty:
        warn(f"no training image shows {few(empty)}; no model can learn that")
    if part == "train" and (note := dim_levels(dataset.images)):
        warn(note)
    return dataset


def _without_size(dataset: Dataset, size: tuple[int, int] | None, data: str | Path) -> Dataset:
    """Refuse a size for images that have one; the run's own size is taken as it is."""
    if size not in (None, dataset.size):
        raise InputError(
            f"`size` is for folders of image files; the images of {data} are "
            f"{dataset.size[0]}×{dataset.size[1]}"
        )
    return dataset


def _load_folder(
    folder: Path, part: Part, size: tuple[int, int] | None, channels: int | None
) -> Dataset:
    layout = image_folder.find_layout(folder)
    if part == "train":
        for note in layout.notes:
            warn(note)
    source: Part = part
    if layout.has_parts and part not in layout.parts:
        if part == "validation":
            raise _no_validation(folder)
        source = "validation"
        warn(measured_on_validation(folder))
    files = image_folder.list_files(layout, source)
    if part == "train" or layout.has_parts:  # without parts, both list the same files
        for note in files.notes():
            warn(note)
    paths, labels = files.paths, np.array(files.labels, dtype=np.int64)
    at = places(paths, folder)
    # in the order of their places the classes are mixed, so that the first images show several
    chosen = at.argsort(kind="stable")
    if not layout.has_parts:
        chosen = chosen[_own_draw(at, labels, part, layout)[chosen]]
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
    at: Float64[np.ndarray, "N"], labels: Int64[np.ndarray, "N"], part: Part, layout: Layout
) -> Bool[np.ndarray, "N"]:
    """Say of each image of a folder without parts whether it is of this one."""
    if part == "validation":
        raise _no_validation(layout.folder)
    drawn = draw_test(at, labels)
    if not drawn.any():
        raise too_few_to_split(len(labels))
    if part == "test":
        return drawn
    warn_few_tested(tuple(layout.classes.values()), labels[drawn])
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
        warn(left_out(damaged, "no images, or damaged"))
    if dim:
        of = f"{len(dim)} of {len(paths)} images come out too dark"
        warn(f"{of}; the first: {dim[0].message}")
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
