"""CSV tables that spreadsheets show as they are, and in the encodings in which these save."""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lookbook.errors import InputError

#: bytes of the largest table that is read: about 400,000 suspected labels
MAX_BYTES = 2**25
#: what a spreadsheet takes for a formula; and the same after the marks that keep it from that
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
#: letters of a cell that a message shows
_MOST_SHOWN = 40


def to_csv(rows: Iterable[Iterable[object]]) -> str:
    r"""Write rows as CSV; what a spreadsheet would compute gets an apostrophe before it.

    >>> to_csv([["cat", "=1+1"]])
    "cat,'=1+1\r\n"
    """
    buffer = io.StringIO()
    table = csv.writer(buffer)  # it ends lines with \r\n, and quotes names that hold either
    table.writerows([guard(str(cell)) for cell in row] for row in rows)
    return buffer.getvalue()


def guard(cell: str) -> str:
    """Set an apostrophe before what a spreadsheet would compute."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unguard(cell: str) -> str:
    return cell[1:] if _GUARDED.match(cell) else cell


def read_csv(path: Path, remedy: str) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Read a table: the names of its columns, and each row with the number of its last line.

    It may be UTF-8, the UTF-16 of a spreadsheet's "Unicode text", or the CP949 or CP1252 of an
    older one, with commas, semicolons or tabs. Cells that lack are empty; apostrophes that `to_csv`
    set are taken away.

    Parameters
    ----------
    path
        The file.
    remedy
        How to make such a file, for the messages.

    Raises
    ------
    InputError
        It cannot be read, or is no table; while the rows are asked for, too.
    """
    text = _decode(_read(path, remedy), path)
    first, _, rest = text.partition("\n")
    delimiter, skipped = max(",;\t", key=first.count), 0
    if re.fullmatch(r"sep=.\r?", first):  # what spreadsheets write for each other
        delimiter, text, skipped = first[4], rest, 1
    lines = _cells(path, text, delimiter, skipped)
    _, names = next(lines, (0, []))
    empty = dict.fromkeys(names, "")
    rows = ((line, empty | dict(zip(names, cells, strict=False))) for line, cells in lines)
    return names, rows


def _cells(path: Path, text: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Give the number and the cells of each line that is not empty."""
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in table:
            if cells:
                yield skipped + table.line_num, list(map(_unguard, cells))
    except csv.Error as error:
        raise InputError(
            f"{path}, line {skipped + table.line_num}: it cannot be read as a table ({error}); is "
            "a quotation mark never closed?"
        ) from error


def _read(path: Path, remedy: str) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe or a device might never end
            raise InputError(f"{path} is no file that holds a table; {remedy}")
        if about.st_size > MAX_BYTES:
            raise InputError(
                f"{path} has {about.st_size:,} bytes, a table at most {MAX_BYTES:,}; {remedy}"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"no file {path}; {remedy}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read as a table ({error.strerror})") from error


def _decode(content: bytes, path: Path) -> str:
    for encoding in _encodings(content):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(
        f"{path} cannot be read as a table: its letters are neither UTF-8 nor UTF-16, CP949 or "
        "CP1252; save it from the spreadsheet as CSV UTF-8"
    )


def _encodings(content: bytes) -> tuple[str, ...]:
    """Name what a table may be written in, as its first bytes tell."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if b"\0" in content[:2]:
        return ("utf-16-be",) if content[:1] == b"\0" else ("utf-16-le",)
    return "utf-8-sig", "cp949", "cp1252"


def shorten(cell: str) -> str:
    """Return what a message shows of a cell.

    >>> shorten("cat"), len(shorten(1000 * "9"))
    ('cat', 41)
    """
    return cell if len(cell) <= _MOST_SHOWN else f"{cell[:_MOST_SHOWN]}…"
