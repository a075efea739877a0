"""Image files in and below a folder, in order, and what is left out there."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lookbook.core.names import few, text
from lookbook.errors import InputError
from lookbook.images.preprocessing import SUFFIXES, read_size

#: what is said to be read
KINDS = ", ".join(sorted(SUFFIXES))
#: folders that storage systems lay beside images, for thumbnails and what was deleted
SYSTEM = frozenset(
    (
        *("@eadir", "@recently-snapshot", "@recycle", "@tmp", "#recycle", "#snapshot"),
        *("$recycle.bin", "system volume information", "lost+found", "__macosx"),
        *("network trash folder", "temporary items"),
    )
)
#: the same, inside the folder of a class alone: there it is no class
_THUMBNAILS = frozenset(("thumb", "thumbs", "thumbnail", "thumbnails", "_thumbs", "_thumbnails"))
_SYSTEM_FILES = re.compile("synophoto_|synoindex_")
#: files that no one misses
_SILENT = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
#: endings of photographs as iPhones write them
_HEIC = frozenset((".heic", ".heif"))


@dataclass
class Files:
    """The image files of one part, and what was left out there."""

    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    system: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    loose: list[Path] = field(default_factory=list)
    #: the part that they are, where that was not asked for
    part: Literal["test", "validation"] | None = None

    @property
    def notes(self) -> list[str]:
        """What the user should know was left out."""
        kinds = Counter(path.suffix.lower() or "without an ending" for path in self.others)
        counted = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(4))
        more = ", …" if len(kinds) > 4 else ""
        reasons = (
            (self.links, "links, pipes, sockets or devices, which are not followed"),
            (self.system, "thumbnails and the like, which systems lay beside images"),
            (self.loose, "in no class folder"),
            (self.others, f"of kinds that are not read: {counted}{more}"),
        )
        return [left_out(paths, why) for paths, why in reasons if paths]


def left_out(paths: Iterable[Path], why: str) -> str:
    """Return the note on files that are left out."""
    names = [text(str(path)) for path in sorted(paths)]
    return f"left out {len(names):,} file{'' if len(names) == 1 else 's'} ({why}): {few(names)}"


def no_images(what: str, files: Files) -> InputError:
    """Return the error for a folder that holds none.

    HEIC photographs can be converted, and links copied with what they lead to.
    """
    if any(path.suffix.lower() in _HEIC for path in files.others):
        return InputError(
            f"{what} but HEIC photographs, which are not read; convert them to JPEG first (an "
            "iPhone takes JPEG with Settings > Camera > Formats > Most Compatible)"
        )
    if files.links:
        return InputError(
            f"{what} but links ({len(files.links)}), which are not followed; put the files "
            "themselves there (cp -RL copies what links lead to)"
        )
    return InputError(f"{what}; expected {KINDS}")


def entries_of(folder: str | Path) -> list[os.DirEntry[str]]:
    """List what stands in a folder, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if e.name[0] != "."), key=lambda e: e.name)
    except OSError as error:
        raise InputError(
            f"the folder {text(str(folder))} cannot be read: {error.strerror}; allow reading it, "
            "or take it out"
        ) from error


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder, without links and without those of the storage system."""
    return [
        Path(entry.path)
        for entry in entries_of(folder)
        if entry.is_dir(follow_symlinks=False) and entry.name.casefold() not in SYSTEM
    ]


def is_image(entry: os.DirEntry[str]) -> bool:
    """Say whether this is a file with the ending of an image."""
    return entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in SUFFIXES


def _walk(folder: Path) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Give what is no folder in and below a folder, and whether it lies among a system's own."""
    waiting = [(folder, folder.name.casefold() in SYSTEM)]
    while waiting:
        here, system = waiting.pop()
        for entry in entries_of(here):
            if entry.is_dir(follow_symlinks=False):
                own = entry.name.casefold() in SYSTEM | _THUMBNAILS
                waiting.append((Path(entry.path), system or own))
            else:
                yield entry, system


def images_below(folder: Path) -> Iterator[Path]:
    """Give the files in and below a folder that have the ending of an image."""
    return (Path(entry.path) for entry, _ in _walk(folder) if is_image(entry))


def list_images(folder: str | Path) -> tuple[list[str], list[str]]:
    """List the image files in and below any folder, sorted; and the notes on what was left out.

    Each is called as the folder was, joined with its path inside. So is a folder in it that cannot
    be read.

    Raises
    ------
    InputError
        There are none, or the folder cannot be read.
    """
    files, names = Files(), []
    for found in _in_order(str(folder)):
        entry, system = (found, False) if isinstance(found, str) else found
        if isinstance(entry, str):
            names.append(entry)
        elif (kind := _kind(entry, system=system)) == "paths":
            names.append(entry.path)  # a third of a Path's memory
        elif kind:
            getattr(files, kind).append(Path(entry.path))
    if not names:
        raise no_images(f"{folder} holds no image files", files)
    return names, files.notes


def _in_order(folder: str) -> Iterator[tuple[os.DirEntry[str], bool] | str]:
    """Give what `_walk` gives, sorted; and the names of folders in it that cannot be read."""
    waiting = [(iter(entries_of(folder)), Path(folder).name.casefold() in SYSTEM)]
    while waiting:
        entries, system = waiting[-1]
        if (entry := next(entries, None)) is None:
            waiting.pop()
        elif not entry.is_dir(follow_symlinks=False):
            yield entry, system
        else:
            own = entry.name.casefold() in SYSTEM | _THUMBNAILS
            try:
                waiting.append((iter(entries_of(entry.path)), system or own))
            except InputError:
                yield entry.path


def sort_files(folder: Path, files: Files) -> None:
    """Tell what stands in a class folder apart."""
    for entry, system in _walk(folder):
        if kind := _kind(entry, system=system):
            getattr(files, kind).append(Path(entry.path))


def _kind(entry: os.DirEntry[str], *, system: bool) -> str | None:
    """Say which of the `Files` something is; none where no one misses it."""
    name = entry.name.casefold()
    if not entry.is_file(follow_symlinks=False):
        return "links"
    if system or _SYSTEM_FILES.match(name):
        return "system" if _reads(entry) else None
    if _reads(entry):
        return "paths"
    return None if name in _SILENT else "others"


def _reads(entry: os.DirEntry[str]) -> bool:
    """Say whether a file is an image by its ending or, where it has none, by its first bytes."""
    ending = Path(entry.name).suffix.lower()
    nameless = not re.search(r"[^\W\d]", ending)  # no ending, or one of figures, as a date has
    return ending in SUFFIXES or (nameless and read_size(Path(entry.path)) is not None)
