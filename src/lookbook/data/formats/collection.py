"""Published collections of image files as a data source: copied from a folder, hashed, kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.core.names import plain
from lookbook.data.dataset import Dataset
from lookbook.data.download import cache_folder, locked, scratch_folder
from lookbook.data.formats import image_folder
from lookbook.data.formats.builtin_source import PublishedSource
from lookbook.data.formats.folder_source import FolderSource
from lookbook.errors import DamagedFileError, DownloadError, InputError, OutputError

if TYPE_CHECKING:
    from lookbook.data.catalog import BuiltinDataset
    from lookbook.data.formats.image_folder import Layout, Part
    from lookbook.data.formats.source import Size
    from lookbook.data.groups import Grouping


class CollectionSource(PublishedSource, FolderSource):
    """A published collection of image files, by its name."""

    @property
    def is_verified(self) -> bool:
        # not all of its parts have a published hash: another copy may hold other images
        return False

    @property
    def path(self) -> Path:
        return cache_folder() / self.published.name

    def check(self) -> None:
        if not self.is_here():
            raise _lacking(self.published)

    @cached_property
    def layout(self) -> Layout:
        self.check()
        for part, files in _list_parts(self.path):
            if hash_files(files) != _recorded(self.path).get(part):
                raise DamagedFileError(
                    f"{self.path / part} is not what was fetched; fetch it again: lookbook fetch "
                    f"{self} --from FOLDER"
                )
        # it is split as it was published
        return replace(image_folder.find_layout(self.path), notes=())

    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset:
        if part == "train":
            self.warn_of_namesake()
        return super()._load_part(part, size, channels, grouping)


@dataclass(frozen=True)
class Copied:
    """A part of a collection, as it was copied."""

    part: Part
    images: int
    #: a published hash agrees; where there is none, it was recorded
    verified: bool


def copy_collection(
    dataset: BuiltinDataset, folder: Path | None, *, cache: Path | None = None
) -> tuple[Path, list[Copied]]:
    """Copy a collection's folders into the cache, hashed; return the copy and its parts.

    A part with a published hash must have it. Those of the others are recorded the first time, and
    must be the same whenever the collection is copied again. Without a `folder` it must be there.

    Raises
    ------
    DownloadError
        The folder does not hold the collection, or none is given and nothing is there.
    OutputError
        The cache cannot be written.
    """
    kept = (cache or cache_folder()) / dataset.name
    if folder is None and not (kept / "source.json").exists():
        raise _lacking(dataset)
    if folder is not None:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with locked(kept), scratch_folder(kept) as scratch:
                _copy(dataset, folder, scratch, kept)
        except OSError as error:
            raise OutputError(
                f"cannot write the cache {kept.parent}: {error.strerror or error}; make room "
                "there or allow writing, or name another cache folder in XDG_CACHE_HOME"
            ) from error
    parts = _list_parts(kept)
    return kept, [
        Copied(part, len(files), dataset.folders.get(part) is not None) for part, files in parts
    ]


def hash_files(files: Iterable[tuple[str, Path]]) -> str:
    """Return the SHA-256 of image files: of a line for each, its class and name and its own."""
    lines = [f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for name, path in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _lacking(dataset: BuiltinDataset) -> DownloadError:
    return DownloadError(
        f"{dataset.title} is not here, and is not downloaded by this program; get a copy of "
        f"{dataset.homepage}, then: lookbook fetch {dataset.name} --from FOLDER"
    )


def _list_parts(folder: Path) -> Iterator[tuple[Part, list[tuple[str, Path]]]]:
    """Give each part, and its image files with the names that are hashed: CLASS/FILE."""
    layout = image_folder.find_layout(folder)
    for part in layout.parts:
        paths = image_folder.list_files(layout, part).paths
        yield part, [(f"{plain(path.parent.name)}/{plain(path.name)}", path) for path in paths]


def _recorded(kept: Path) -> dict[str, str]:
    """Return the hashes of a copy's parts, as they were when it was made."""
    about = kept / "source.json"
    return dict(json.loads(about.read_text())["sha256"]) if about.exists() else {}


def _copy(dataset: BuiltinDataset, folder: Path, scratch: Path, kept: Path) -> None:
    """Copy a collection beside its place, then move it there in one step."""
    fresh, digests = scratch / "kept", dict[str, str]()
    for part, files in _find_parts(dataset, folder).items():
        for name, path in files:
            (fresh / part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, fresh / part / name)
        digests[part] = hash_files([(name, fresh / part / name) for name, _ in files])
        _check(dataset, part, folder, digests[part], kept)
    about = {"dataset": dataset.name, "source": str(folder), "sha256": digests}
    (fresh / "source.json").write_text(json.dumps(about, indent=2) + "\n")
    if kept.exists():
        kept.rename(scratch / "old")
    os.replace(fresh, kept)  # noqa: PTH105  # a rename in one step, onto nothing


def _find_parts(dataset: BuiltinDataset, folder: Path) -> dict[Part, list[tuple[str, Path]]]:
    """Return the parts of a collection in a folder.

    Raises
    ------
    DownloadError
        A part that others go by is not there, or there are other classes.
    """
    try:
        parts = dict(_list_parts(folder))
        classes = image_folder.find_layout(folder).classes
    except InputError as error:
        raise DownloadError(
            f"{folder} does not hold {dataset.title}: {error}; get a copy of {dataset.homepage}"
        ) from error
    if "validation" not in parts:
        raise DownloadError(
            f"{folder} does not hold {dataset.title}: it lacks validation/; get a copy of "
            f"{dataset.homepage}"
        )
    if set(classes) != set(dataset.classes):
        raise DownloadError(
            f"{folder} does not hold {dataset.title}: it has the classes {', '.join(classes)}; get "
            f"a copy of {dataset.homepage}"
        )
    return parts


def _check(dataset: BuiltinDataset, part: Part, folder: Path, found: str, kept: Path) -> None:
    """Refuse a part that is not what was published, or not what was recorded before."""
    published, before = dataset.folders.get(part), _recorded(kept).get(part)
    if published not in {None, found}:
        raise DownloadError(
            f"{folder / part} is not that part of {dataset.title} (SHA-256 of its files is "
            f"{found}, expected {published}); get a copy of {dataset.homepage}"
        )
    if before not in {None, found}:
        raise DownloadError(
            f"{folder / part} is not what was recorded when {dataset.title} was first fetched "
            f"(SHA-256 of its files is {found}, was {before}); to take it all the same, delete "
            f"{kept} first"
        )
