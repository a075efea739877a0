"""Image folders: their parts, classes and image files."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from lookbook.core.names import few, plain, text
from lookbook.data.array_checks import CLASSES, unknown_classes
from lookbook.errors import InputError
from lookbook.images.preprocessing import SUFFIXES, read_size

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
#: how messages call the parts
TITLES: dict[Part, str] = {"train": "training", "validation": "validation", "test": "test"}
#: what is said to be read
KINDS = ", ".join(sorted(SUFFIXES))

#: words for the parts in folder names, alone or with others: "Test", "1.Training", "seg_train"
_WORDS: dict[Part, str] = {
    "train": "train|training|훈련|학습",
    "validation": "val|valid|validation|dev|검증",
    "test": "test|testing|시험|테스트",
}
_SET = "set|data|images?|split|part|데이터|세트|셋|용"
_PART_NAMES = {
    part: re.compile(f"(?<![a-z])(?:{words})(?:{_SET})*(?![a-z])") for part, words in _WORDS.items()
}
_REST = re.compile(rf"{_SET}|[\W\d_]")
#: folders that storage systems lay beside images, for thumbnails and what was deleted
_SYSTEM = frozenset(
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


@dataclass(frozen=True)
class Layout:
    """What a folder of class folders is made of."""

    folder: Path
    #: part → its folder; of a folder without parts, "train" is the folder itself
    parts: dict[Part, Path]
    #: name of each class as it is compared → as it was found
    classes: dict[str, str]
    #: what the user should know of it
    notes: tuple[str, ...] = ()

    @property
    def has_parts(self) -> bool:
        """Say whether the parts stand in folders of their own."""
        return len(self.parts) > 1


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


# ---- parts and classes ----


def find_layout(folder: Path) -> Layout:
    """Tell parts from classes.

    Raises
    ------
    InputError
        There are too few or too many class folders, or one part without another.
    """
    parts = _find_parts(folder)
    training = parts.get("train", folder)
    by_name = _by_name(_folders(training))
    classes = {name: text(paths[0].name) for name, paths in by_name.items()}
    if not CLASSES[0] <= len(classes) <= CLASSES[1]:
        raise InputError(
            f"{training} has {len(classes)} class folder{'' if len(classes) == 1 else 's'}"
            f"{_hint(training)}; expected {CLASSES[0]} to {CLASSES[1]}, each named after its class "
            "and full of image files"
        )
    notes = [*_describe_parts(folder, parts), *_describe_names(by_name)]
    if not parts:
        notes += _describe_inner(folder, by_name)
    return Layout(folder, parts or {"train": folder}, classes, tuple(notes))


def _find_parts(folder: Path) -> dict[Part, Path]:
    """Return the folders of the parts; nothing where the folder has none."""
    folders = _folders(folder)
    groups: dict[str, dict[Part, list[Path]]] = {}
    for path in folders:
        for part, rest in _part_of(path):
            groups.setdefault(rest, {}).setdefault(part, []).append(path)
    for rest, named in sorted(groups.items()):
        every = [path for paths in named.values() for path in paths]
        full = {part: [_unwrapped(p, part) for p in named[part] if _folders(p)] for part in named}
        full = {part: paths for part, paths in full.items() if paths}
        if not full and "train" in named and len(named) > 1 and (not rest or every == folders):
            raise InputError(
                f"{folder} has {_slashes(every)}, which are named after parts of a dataset and "
                "hold no class folders; expected one folder for each class in each of them, or "
                "other names if they are classes"
            )
        whole = "train" in full and len(full) > 1
        if not whole and (rest or not full.keys() & {"train", "test"}):
            continue
        if not whole:
            raise _half_a_split(folder, full, [path for path in every if not _folders(path)])
        for part, paths in full.items():
            if len(paths) > 1:
                raise InputError(
                    f"{folder} has several folders for the {TITLES[part]} part: "
                    f"{_slashes(paths)}; expected one; join them, or take some out"
                )
        return {part: full[part][0] for part in PARTS if part in full}
    return {}


def _part_of(path: Path) -> Iterator[tuple[Part, str]]:
    """Give the part that a folder is named after, if any, and what else is in its name."""
    name = plain(path.name).casefold()
    for part, pattern in _PART_NAMES.items():
        if pattern.search(name):
            yield part, _REST.sub("", pattern.sub("", name, count=1))
            return


def _half_a_split(folder: Path, full: dict[Part, list[Path]], empty: list[Path]) -> InputError:
    there = full["train" if "train" in full else "test"][0]
    lacking = "test" if "train" in full else "train"
    without = f"; {_slashes(empty)} in it has no class folders" if empty else ""
    return InputError(
        f"{folder} has {there.relative_to(folder)}/ but no {lacking}/ (links are not "
        f"followed{without}); add it with the same class folders, or name {there} to have a test "
        "part split off"
    )


def _slashes(paths: Iterable[Path]) -> str:
    return ", ".join(f"{text(path.name)}/" for path in paths)


def _unwrapped(folder: Path, part: Part) -> Path:
    """Go into a folder that holds nothing but one of its kind: test_set/test_set/."""
    while len(inner := _folders(folder)) == 1 and part in dict(_part_of(inner[0])):
        folder = inner[0]
    return folder


def _describe_parts(folder: Path, parts: dict[Part, Path]) -> Iterator[str]:
    """Say what is taken for which part, where it is not train/ and test/ alone."""
    if not parts:
        return
    usual = {part: folder / part for part in ("train", "test")}
    used = {path.relative_to(folder).parts[0] for path in parts.values()}
    others = [p for p in _folders(folder) if p.name not in used and next(_images(p), None)]
    others += [Path(entry.path) for entry in _entries(folder) if _is_image(entry)]
    if parts == usual and not others:
        return
    taken = ", ".join(
        f"{TITLES[part]} part {text(path.relative_to(folder).as_posix())}/"
        for part, path in parts.items()
    )
    rest = "" if "test" in parts else "; without a test part, `evaluate` uses the validation part"
    if others:
        rest += f"; not read: {few([text(path.name) for path in others])}"
    yield f"{text(str(folder))} is taken as it is split: {taken}{rest}"


def _describe_names(by_name: dict[str, list[Path]]) -> Iterator[str]:
    """Say which names are not as they were found, or not of one folder."""
    odd = [p for paths in by_name.values() for p in paths if text(p.name) != p.name]
    if odd:
        yield (
            f"{len(odd)} folder names are not UTF-8, as archives from older Windows have them; "
            f"they are read as {few([text(path.name) for path in odd])}"
        )
    for name, paths in by_name.items():
        if len(paths) > 1:
            yield (
                f"{len(paths)} folders are called {name}, in letters or in parts of letters (NFC, "
                "NFD); they are taken as one class"
            )


def _describe_inner(around: Path, by_name: dict[str, list[Path]]) -> Iterator[str]:
    """Warn where the folders inside look more like classes, or like parts, than those around."""
    inner = []
    for path in (path for paths in by_name.values() for path in paths):
        if any(_is_image(entry) for entry in _entries(path)):
            return
        inner.append({plain(folder.name) for folder in _folders(path)})
    if common := set.intersection(*inner):
        yield (
            f"the classes are the outer folders in {text(str(around))} ({few(list(by_name))}); "
            f"those inside each of them ({few(sorted(common))}) are not: if they should be, put "
            "them outside, or call the outer ones train/ and test/"
        )


def _hint(folder: Path) -> str:
    """Say what may be meant, where class folders lack."""
    links = sum(entry.is_symlink() for entry in _entries(folder))
    if links:
        return f" (links are not followed: {links} stand there)"
    inner = folder
    while len(within := _folders(inner)) == 1:
        inner = within[0]
    if inner != folder and len(within) >= CLASSES[0]:
        return f", but {text(str(inner))} has {len(within)} folders: name that one"
    return ""


# ---- what stands in a folder ----


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """List what stands in a folder, sorted, without what is hidden."""
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if e.name[0] != "."), key=lambda e: e.name)
    except OSError as error:
        raise InputError(
            f"the folder {text(str(folder))} cannot be read: {error.strerror}; allow reading it, "
            "or take it out"
        ) from error


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, without links and without those of the storage system."""
    return [
        Path(entry.path)
        for entry in _entries(folder)
        if entry.is_dir(follow_symlinks=False) and entry.name.casefold() not in _SYSTEM
    ]


def _by_name(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Group folders by their names as these are compared, in the order of the names."""
    found: dict[str, list[Path]] = {}
    for path in folders:
        found.setdefault(plain(path.name), []).append(path)
    return dict(sorted(found.items()))


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Say whether this is a file with the ending of an image."""
    return entry.is_file(follow_symlinks=False) and Path(entry.name).suffix.lower() in SUFFIXES


def _walk(folder: Path) -> Iterator[tuple[os.DirEntry[str], bool]]:
    """Give what is no folder in and below a folder, and whether it lies among a system's own."""
    waiting = [(folder, folder.name.casefold() in _SYSTEM)]
    while waiting:
        here, system = waiting.pop()
        for entry in _entries(here):
            if entry.is_dir(follow_symlinks=False):
                own = entry.name.casefold() in _SYSTEM | _THUMBNAILS
                waiting.append((Path(entry.path), system or own))
            else:
                yield entry, system


def _images(folder: Path) -> Iterator[Path]:
    """Give the files in and below a folder that have the ending of an image."""
    return (Path(entry.path) for entry, _ in _walk(folder) if _is_image(entry))


# ---- the files of a part ----


def list_files(layout: Layout, part: Part) -> Files:
    """List the image files in the class folders of one part, or of all where there are none.

    Raises
    ------
    InputError
        There are none, or there are classes that the training part lacks.
    """
    folder = layout.parts[part] if layout.has_parts else layout.folder
    by_name = _by_name(_folders(folder))
    if strangers := by_name.keys() - layout.classes:
        raise InputError(
            f"{folder} has class folders that the training part lacks: "
            f"{', '.join(sorted(strangers))}; add them there, or remove them here"
        )
    files = Files()
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            if entry.name.casefold() in _SYSTEM:
                files.system += _images(Path(entry.path))
        elif not entry.is_file(follow_symlinks=False):
            files.links.append(Path(entry.path))
        elif _is_image(entry):
            files.loose.append(Path(entry.path))
    for label, name in enumerate(layout.classes):
        for path in by_name.get(name, []):
            _sort(path, files)
        files.labels += [label] * (len(files.paths) - len(files.labels))
    if not files.paths:
        raise InputError(f"{folder} holds no image files in its class folders; expected {KINDS}")
    return files


def list_labelled(folder: Path, classes: Sequence[str]) -> Files:
    """List the image files of a folder whose class folders are some of these classes.

    Of a folder with parts, those of its test part, else of its validation part.

    Raises
    ------
    InputError
        There are none, or there are other classes.
    """
    parts = _find_parts(folder)
    kinds: tuple[Literal["test", "validation"], ...] = ("test", "validation")
    part = next((one for one in kinds if one in parts), None)
    around = folder if part is None else parts[part]
    known = {plain(name): name for name in classes}
    if strangers := sorted(_by_name(_folders(around)).keys() - known.keys()):
        raise unknown_classes(around, strangers, classes)
    files = list_files(Layout(around, {"train": around}, known), "train")
    files.part = part
    return files


def list_kinds(folder: Path) -> tuple[Files, list[str]]:
    """List the image files in all folders of a folder, and the names of these.

    Raises
    ------
    InputError
        There are none.
    """
    kinds = {name: text(paths[0].name) for name, paths in _by_name(_folders(folder)).items()}
    return list_files(Layout(folder, {"train": folder}, kinds), "train"), list(kinds)


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
        raise InputError(f"{folder} holds no image files; expected {KINDS}")
    return names, files.notes


def _in_order(folder: str) -> Iterator[tuple[os.DirEntry[str], bool] | str]:
    """Give what `_walk` gives, sorted; and the names of folders in it that cannot be read."""
    waiting = [(iter(_entries(folder)), Path(folder).name.casefold() in _SYSTEM)]
    while waiting:
        entries, system = waiting[-1]
        if (entry := next(entries, None)) is None:
            waiting.pop()
        elif not entry.is_dir(follow_symlinks=False):
            yield entry, system
        else:
            own = entry.name.casefold() in _SYSTEM | _THUMBNAILS
            try:
                waiting.append((iter(_entries(entry.path)), system or own))
            except InputError:
                yield entry.path


def _sort(folder: Path, files: Files) -> None:
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
