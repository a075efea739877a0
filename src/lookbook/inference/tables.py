"""Tables of answers as CSV, JSON lines or Parquet, written row by row, and whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from lookbook.core.csv_tables import to_csv
from lookbook.core.files import check_ours, encode, open_whole
from lookbook.errors import InputError

#: names of the columns, and what is in them; any cell may be empty
Columns: TypeAlias = "Mapping[str, type[str | float | bool]]"
Row: TypeAlias = "Sequence[str | float | bool | None]"

#: rows of a group in a Parquet file: as many are kept in memory
GROUP = 4096
#: bytes in which the first line of a file ends that was written here: names have up to 4,096
FIRST_LINE = 2**16
#: by this mark at their start, spreadsheets know that letters are UTF-8
_MARK = "\ufeff".encode()


class Table(ABC):
    """A table that is being written to a file."""

    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        self._file, self._names = file, list(columns)

    @abstractmethod
    def add(self, row: Row) -> None:
        """Write a row, at once or with others."""

    def end(self) -> None:  # noqa: B027  # nothing, where rows are written at once
        """Write what is left."""

    def abandon(self) -> None:  # noqa: B027
        """Let go of a file that nobody will see."""

    @staticmethod  # noqa: B027
    def check() -> None:
        """Refuse what cannot be written here."""

    @staticmethod
    @abstractmethod
    def is_one(file: BinaryIO, columns: Columns) -> bool:
        """Say whether a file holds such a table."""


@contextmanager
def open_table(path: Path, columns: Columns) -> Iterator[Table]:
    """Open a table that stands at its place when the block ends, and not before.

    Parameters
    ----------
    path
        The file: its ending says of which kind it is.
    columns
        Its columns.

    Raises
    ------
    InputError
        As `check_table`.
    OutputError
        It cannot be written.
    """
    check_table(path, columns)
    with open_whole(path) as file:
        table = _KINDS[path.suffix.lower()](file, columns)
        try:
            yield table
            table.end()
        except BaseException:
            table.abandon()
            raise


def check_table(path: Path, columns: Columns) -> None:
    """Refuse a place for a table before any work is done for it.

    Raises
    ------
    InputError
        It is a folder, its ending is none that is known, it is taken by what is no such table, or
        it is to be Parquet, and what writes that is not installed.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder; name a file in it, such as {path / 'predictions.csv'}"
        )
    if (kind := _KINDS.get(path.suffix.lower())) is None:
        raise InputError(
            f"{path} cannot be told to be a table; expected a name that ends in .csv, .jsonl (JSON "
            "lines) or .parquet"
        )
    kind.check()
    check_ours(path, lambda file: kind.is_one(file, columns))


class _Csv(Table):
    """A table as spreadsheets read it: what they would compute gets an apostrophe before it."""

    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        super().__init__(file, columns)
        self._is_ascii = True
        self._write(to_csv([columns]))

    def add(self, row: Row) -> None:
        self._write(to_csv([map(_cell, row)]))

    def end(self) -> None:
        """Set the mark before other letters than those of ASCII: all programs read ASCII alone."""
        if not self._is_ascii:
            _put_first(self._file, _MARK)

    def _write(self, line: str) -> None:
        self._is_ascii &= line.isascii()
        self._file.write(encode(line))

    @staticmethod
    def is_one(file: BinaryIO, columns: Columns) -> bool:
        head = encode(to_csv([columns]))
        return file.read(len(_MARK) + len(head)).removeprefix(_MARK).startswith(head)


def _cell(value: str | float | bool | None) -> str:  # noqa: FBT001  # as it comes
    """Write a value: JSON's words for true and false, nothing for none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _put_first(file: BinaryIO, moved: bytes) -> None:
    """Put bytes before all others of a file."""
    place = file.seek(0)
    while block := file.read(FIRST_LINE):
        whole = moved + block
        file.seek(place)
        place += file.write(whole[: len(block)])
        moved = whole[len(block) :]
        file.seek(place)
    file.write(moved)


class _JsonLines(Table):
    """A table with an object on each line."""

    def add(self, row: Row) -> None:
        said = json.dumps(dict(zip(self._names, row, strict=True)), ensure_ascii=False)
        self._file.write(encode(said + "\n"))

    @staticmethod
    def is_one(file: BinaryIO, columns: Columns) -> bool:
        try:
            first = json.loads(file.readline(FIRST_LINE))
        except (ValueError, RecursionError):
            return False
        return isinstance(first, dict) and list(first) == list(columns)


class _Parquet(Table):
    """A table in columns, written group by group."""

    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        super().__init__(file, columns)
        pa, parquet = _import_pyarrow()
        kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
        self._schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == GROUP:
            self._write()

    def end(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()

    def abandon(self) -> None:
        pa, _ = _import_pyarrow()
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()  # once it is deleted, it would complain

    def _write(self) -> None:
        pa, _ = _import_pyarrow()
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(c, each.type) for c, each in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

    @staticmethod
    def check() -> None:
        _import_pyarrow()

    @staticmethod
    def is_one(file: BinaryIO, columns: Columns) -> bool:
        pa, parquet = _import_pyarrow()
        try:
            return list(parquet.read_schema(file).names) == list(columns)
        except (pa.ArrowException, OSError):
            return False


#: ending → the kind of table
_KINDS: dict[str, type[Table]] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}


def _import_pyarrow() -> tuple[Any, Any]:
    """Return what writes Parquet.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "writing Parquet needs pyarrow; install it: pip install 'lookbook[parquet]'"
        ) from error
    return pa, parquet
