"""Image folders: their parts, classes and image files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lookbook.core.names import few, plain, text
from lookbook.data.array_checks import CLASSES, unknown_classes
from lookbook.data.formats.image_files import (
    SYSTEM,
    Files,
    entries_of,
    folders_in,
    images_below,
    is_image,
    no_images,
    sort_files,
)
from lookbook.errors import InputError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
#: how messages call the parts
TITLES: dict[Part, str] = {"train": "training", "validation": "validation", "test": "test"}
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
    by_name = _by_name(folders_in(training))
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
    folders = folders_in(folder)
    groups: dict[str, dict[Part, list[Path]]] = {}
    for path in folders:
        for part, rest in _part_of(path):
            groups.setdefault(rest, {}).setdefault(part, []).append(path)
    for rest, named in sorted(groups.items()):
        every = [path for paths in named.values() for path in paths]
        full = {part: [_unwrapped(p, part) for p in named[part] if folders_in(p)] for part in named}
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
            raise _half_a_split(folder, full, [path for path in every if not folders_in(path)])
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
    while len(inner := folders_in(folder)) == 1 and part in dict(_part_of(inner[0])):
        folder = inner[0]
    return folder


def _describe_parts(folder: Path, parts: dict[Part, Path]) -> Iterator[str]:
    """Say what is taken for which part, where it is not train/ and test/ alone."""
    if not parts:
        return
    usual = {part: folder / part for part in ("train", "test")}
    used = {path.relative_to(folder).parts[0] for path in parts.values()}
    others = [p for p in folders_in(folder) if p.name not in used and next(images_below(p), None)]
    others += [Path(entry.path) for entry in entries_of(folder) if is_image(entry)]
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
        if any(is_image(entry) for entry in entries_of(path)):
            return
        inner.append({plain(folder.name) for folder in folders_in(path)})
    if common := set.intersection(*inner):
        yield (
            f"the classes are the outer folders in {text(str(around))} ({few(list(by_name))}); "
            f"those inside each of them ({few(sorted(common))}) are not: if they should be, put "
            "them outside, or call the outer ones train/ and test/"
        )


def _hint(folder: Path) -> str:
    """Say what may be meant, where class folders lack."""
    links = sum(entry.is_symlink() for entry in entries_of(folder))
    if links:
        return f" (links are not followed: {links} stand there)"
    inner = folder
    while len(within := folders_in(inner)) == 1:
        inner = within[0]
    if inner != folder and len(within) >= CLASSES[0]:
        return f", but {text(str(inner))} has {len(within)} folders: name that one"
    return ""


def _by_name(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Group folders by their names as these are compared, in the order of the names."""
    found: dict[str, list[Path]] = {}
    for path in folders:
        found.setdefault(plain(path.name), []).append(path)
    return dict(sorted(found.items()))


# ---- the files of a part ----


def list_files(layout: Layout, part: Part) -> Files:
    """List the image files in the class folders of one part, or of all where there are none.

    Raises
    ------
    InputError
        There are none, or there are classes that the training part lacks.
    """
    folder = layout.parts[part] if layout.has_parts else layout.folder
    by_name = _by_name(folders_in(folder))
    if strangers := by_name.keys() - layout.classes:
        raise InputError(
            f"{folder} has class folders that the training part lacks: "
            f"{', '.join(sorted(strangers))}; add them there, or remove them here"
        )
    files = Files()
    for entry in entries_of(folder):
        if entry.is_dir(follow_symlinks=False):
            if entry.name.casefold() in SYSTEM:
                files.system += images_below(Path(entry.path))
        elif not entry.is_file(follow_symlinks=False):
            files.links.append(Path(entry.path))
        elif is_image(entry):
            files.loose.append(Path(entry.path))
    for label, name in enumerate(layout.classes):
        for path in by_name.get(name, []):
            sort_files(path, files)
        files.labels += [label] * (len(files.paths) - len(files.labels))
    if not files.paths:
        raise no_images(f"{folder} holds no image files in its class folders", files)
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
    if strangers := sorted(_by_name(folders_in(around)).keys() - known.keys()):
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
    kinds = {name: text(paths[0].name) for name, paths in _by_name(folders_in(folder)).items()}
    return list_files(Layout(folder, {"train": folder}, kinds), "train"), list(kinds)
