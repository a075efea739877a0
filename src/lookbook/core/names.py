"""Names of files as text and as they are compared, whatever system wrote them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

#: names that folders of any data have
_SAYS_NOTHING = frozenset({"data", "dataset", "images", "train", "training"})


def few(names: Sequence[str]) -> str:
    """Name the first three.

    >>> few(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def text(name: str) -> str:
    r"""Return a file's name as text: one that is not UTF-8 is read as CP949, of a Korean Windows.

    >>> text(os.fsdecode("고양이".encode("cp949")) + "/1.png"), text(os.fsdecode(b"caf\xe9"))
    ('고양이/1.png', 'caf\\xe9')
    """
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:  # half a letter, which no file system gives but an array may
        return name.encode("utf-8", "backslashreplace").decode()
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "backslashreplace")


def names_within(folder: Path, paths: Iterable[Path]) -> list[str]:
    """Return the names of files below a folder, from there on: `Path.relative_to` takes 5 µs more.

    >>> names_within(Path("a"), [Path("a/b/1.png")]), names_within(Path(), [Path("b/1.png")])
    (['b/1.png'], ['b/1.png'])
    """
    start = str(folder / "x")[:-1]
    return [str(path).removeprefix(start).replace(os.sep, "/") for path in paths]


def plain(name: str) -> str:
    """Return a name as it is compared: Hangul of a Mac comes in parts of syllables (NFD).

    >>> plain(unicodedata.normalize("NFD", "고양이")) == "고양이"
    True
    """
    return unicodedata.normalize("NFC", text(name))


def stem(path: Path) -> str:
    """Return the name of a folder or file, without the ending of an array file.

    >>> stem(Path("a/bars.NPZ")), stem(Path("photos.2024"))
    ('bars', 'photos.2024')
    """
    return path.stem if path.suffix.lower() == ".npz" else path.name


def title(path: Path) -> str:
    """Return what data is called; a folder whose name says nothing after the one around it, too.

    >>> title(Path("/me/bars.npz")), title(Path("/me/clothes/train"))
    ('bars', 'clothes/train')
    """
    around = path.parent.name if path.name.lower() in _SAYS_NOTHING else ""
    return f"{around}/{path.name}" if around else stem(path)
