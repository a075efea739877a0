"""Tables of answers as CSV, JSON lines or Parquet, written row by row, and whole."""

from __future__ import annotations

import csv
import io
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from lookbook.core.csv_tables import guard, to_csv
from lookbook.core.files import check_ours, encode, open_whole
from lookbook.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Shaped

#: names of the columns, and what is in them; any cell may be empty
Columns: TypeAlias = "Mapping[str, type[str | float | bool]]"
Row: TypeAlias = "Sequence[str | float | bool | None]"

#: many rows in columns: of each name as many cells, as a list or an array
Cells: TypeAlias = "Mapping[str, Sequence[str | float | bool | None] | Shaped[np.ndarray, 'N']]"

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

    @abstractmethod
    def add_all(self, cells: Cells) -> None:
        """Write many rows, which come in columns."""

    @abstractmethod
    def append(self, path: Path) -> None:
        """Write the rows of another table of this kind and these columns."""

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

    def add_all(self, cells: Cells) -> None:
        columns = (_csv_cells(cells[name]) for name in self._names)
        buffer = io.StringIO()
        csv.writer(buffer).writerows(zip(*columns, strict=True))
        self._write(buffer.getvalue())

    def append(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(_MARK)) == _MARK:
                self._is_ascii = False
            else:
                file.seek(0)
            file.seek(len(encode(to_csv([self._names]))), io.SEEK_CUR)
            shutil.copyfileobj(file, self._file, FIRST_LINE)

    def _write(self, lines: str) -> None:
        self._is_ascii &= lines.isascii()
        self._file.write(encode(lines))

    @staticmethod
    def is_one(file: BinaryIO, columns: Columns) -> bool:
        head = encode(to_csv([columns]))
        return file.read(len(_MARK) + len(head)).removeprefix(_MARK).startswith(head)


def _cell(value: str | float | bool | None) -> str:  # noqa: FBT001  # as it comes
    """Write a value: JSON's words for true and false, nothing for none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _csv_cells(column: Sequence[Any] | Shaped[np.ndarray, "N"]) -> Sequence[Any]:
    """Write a column: each name that occurs often is looked at once."""
    values = _as_list(column)
    if isinstance(values[0], float):
        return values  # which the writer writes as `str` does
    known = {value: guard(_cell(value)) for value in set(values)}
    return [known[value] for value in values]


def _as_list(column: Sequence[Any] | Shaped[np.ndarray, "N"]) -> Sequence[Any]:
    """Return the values of a column as Python has them."""
    return column if isinstance(column, Sequence) else column.tolist()


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


#: one encoder: `json.dumps` would make a new one for each line
_to_json = json.JSONEncoder(ensure_ascii=False).encode


class _JsonLines(Table):
    """A table with an object on each line."""

    def add(self, row: Row) -> None:
        self._file.write(encode(self._line(row)))

    def add_all(self, cells: Cells) -> None:
        rows = zip(*(_as_list(cells[name]) for name in self._names), strict=True)
        self._file.write(encode("".join(map(self._line, rows))))

    def append(self, path: Path) -> None:
        with path.open("rb") as file:
            shutil.copyfileobj(file, self._file, FIRST_LINE)

    def _line(self, row: Row) -> str:
        return _to_json(dict(zip(self._names, row, strict=True))) + "\n"

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
        _, parquet = _import_pyarrow()
        self._columns = columns
        self._schema = to_schema(columns)
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == GROUP:
            self._write()

    def add_all(self, cells: Cells) -> None:
        """Write many rows, as groups of their own."""
        if self._rows:
            self._write()
        self._writer.write_table(to_arrow(self._columns, cells), GROUP)

    def append(self, path: Path) -> None:
        """Write the groups of another table."""
        _, parquet = _import_pyarrow()
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                self._writer.write_table(file.read_row_group(group))

    def end(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()

    def abandon(self) -> None:
        pa, _ = _import_pyarrow()
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()  # once it is deleted, it would complain

    def _write(self) -> None:
        columns = zip(self._columns, zip(*self._rows, strict=True), strict=True)
        self._writer.write_table(to_arrow(self._columns, dict(columns)))
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


def to_schema(columns: Columns) -> Any:
    """Return columns as a schema of Arrow.

    Raises
    ------
    InputError
        pyarrow is not installed.
    """
    pa, _ = _import_pyarrow()
    kinds = {str: pa.string(), float: pa.float64(), bool: pa.bool_()}
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def to_arrow(columns: Columns, cells: Cells) -> Any:
    """Return many rows as a table of Arrow, an empty cell as null.

    Raises
    ------
    InputError
        As `to_schema`.
    """
    pa, _ = _import_pyarrow()
    schema = to_schema(columns)
    arrays = [pa.array(cells[each.name], each.type) for each in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


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
