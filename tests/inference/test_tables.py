"""Tables: the same rows in every kind, whole or not at all, and only an earlier one is replaced."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from lookbook.core.csv_tables import read_csv
from lookbook.errors import InputError, OutputError
from lookbook.inference import tables
from lookbook.inference.tables import check_table, open_table

COLUMNS = {"file": str, "share": float, "novel": bool, "error": str}
KINDS = (".csv", ".jsonl", ".parquet", ".CSV")
ROWS = [
    ("a.png", 0.25, True, None),
    ("고양이, 2.png", 1e-9, False, None),
    ("'=1+1\n.png", None, None, "it cannot be read;\r\nsave it again"),
    ("=1+1.png", 0.9873465299606323, False, None),
]


@pytest.fixture(autouse=True)
def needs(request):
    if ".parquet" in request.node.name:
        pytest.importorskip("pyarrow")


def names(folder):
    return [path.name for path in folder.iterdir()]


def write(path, rows):
    with open_table(path, COLUMNS) as table:
        for row in rows:
            table.add(row)


def read(path):
    """Read rows back, with what each kind has for nothing, true and false."""
    match path.suffix.lower():
        case ".jsonl":
            rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        case ".parquet":
            from pyarrow import parquet

            rows = parquet.read_table(path).to_pylist()
        case _:
            kinds = {"": None, "true": True, "false": False}
            heads, lines = read_csv(path, "")
            assert heads == list(COLUMNS)
            rows = [{k: kinds.get(cell, cell) for k, cell in row.items()} for _, row in lines]
            for row in rows:
                row["share"] = row["share"] and float(row["share"])
    assert all(list(row) == list(COLUMNS) for row in rows)
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 4, 5000])
def test_rows_come_back_in_their_order(tmp_path, kind, n):
    path = tmp_path / "new" / f"table{kind}"
    rows = [
        (f"{number} {row[0]}", *row[1:]) for number, row in zip(range(n), ROWS * n, strict=False)
    ]
    write(path, rows)
    assert read(path) == rows
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_look_like_formulas_come_back(tmp_path, kind):
    write(tmp_path / f"table{kind}", ROWS)
    assert read(tmp_path / f"table{kind}") == ROWS


def test_csv_is_ascii_or_has_the_mark_of_spreadsheets(tmp_path):
    plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
    write(plain, ROWS[:1])
    assert plain.read_bytes() == b"file,share,novel,error\r\na.png,0.25,true,\r\n"
    write(marked, 9000 * ROWS[:2])  # more than is moved at once
    assert marked.read_bytes().decode("utf-8-sig").encode("utf-8-sig") == marked.read_bytes()
    rows = list(csv.reader(io.StringIO(marked.read_text("utf-8-sig"), newline="")))
    assert rows == [
        list(COLUMNS),
        *9000 * [["a.png", "0.25", "true", ""], [ROWS[1][0], "1e-09", "false", ""]],
    ]


def in_columns(rows):
    return dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_in_columns_and_from_other_tables_make_the_same_file(tmp_path, kind):
    rows = [(f"{i} {row[0]}", *row[1:]) for i, row in enumerate(3000 * ROWS)]
    expected, path, others = (tmp_path / f"{name}{kind}" for name in ("a", "b", "c"))
    write(expected, rows)
    with open_table(path, COLUMNS) as table:
        table.add_all(in_columns(rows))
    assert path.read_bytes() == expected.read_bytes()
    with open_table(path, COLUMNS) as table:
        for start in range(0, len(rows), tables.GROUP):
            with open_table(others, COLUMNS) as other:
                other.add_all(in_columns(rows[start : start + tables.GROUP]))
            table.append(others)
    assert path.read_bytes() == expected.read_bytes()
    with open_table(path, COLUMNS) as table:
        for row in rows[:2]:
            table.add(row)
        table.add_all(in_columns(rows[2:]))
    assert read(path) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_columns_may_be_arrays(tmp_path, kind):
    cells = in_columns(ROWS[:1] + ROWS[3:])
    write(tmp_path / f"a{kind}", [*zip(*cells.values(), strict=True)])
    with open_table(tmp_path / f"b{kind}", COLUMNS) as table:
        arrays = {"file": np.array(cells["file"], object), "share": np.array(cells["share"])}
        table.add_all(cells | arrays | {"novel": np.array(cells["novel"])})
    assert (tmp_path / f"b{kind}").read_bytes() == (tmp_path / f"a{kind}").read_bytes()


@pytest.mark.parametrize("marked", [[], [0], [1], [0, 1]])
def test_csv_that_is_joined_has_the_mark_of_spreadsheets_once(tmp_path, marked):
    with open_table(tmp_path / "whole.csv", COLUMNS) as table:
        for place in range(2):
            write(tmp_path / "part.csv", [ROWS[place in marked]])
            table.append(tmp_path / "part.csv")
    content = (tmp_path / "whole.csv").read_bytes()
    assert content.count("\ufeff".encode()) == content.startswith("\ufeff".encode()) == bool(marked)
    assert read(tmp_path / "whole.csv") == [ROWS[place in marked] for place in range(2)]


def interrupted(error):
    yield from 5000 * ROWS
    raise error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_is_not_whole_leaves_what_was_there(tmp_path, kind, error):
    path = tmp_path / f"table{kind}"
    for before in ([], [path.name]):
        with pytest.raises(error):
            write(path, interrupted(error))
        assert names(tmp_path) == before
        write(path, ROWS[:2])
    assert read(path) == ROWS[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_table_is_replaced_and_nothing_else(tmp_path, kind):
    path = tmp_path / f"table{kind}"
    write(path, ROWS)
    write(path, ROWS[:1])
    assert read(path) == ROWS[:1]
    for content in (b"", b"file,share\r\n", b"{}\n", b"PAR1 and more", 20_000 * b"[", b"\xff\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="exists and was not written by lookbook"):
            write(path, ROWS)
        assert path.read_bytes() == content


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_through_a_link_or_into_a_pipe(tmp_path, kind):
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    link, pipe = tmp_path / f"link{kind}", tmp_path / f"pipe{kind}"
    link.symlink_to(other)
    os.mkfifo(pipe)
    for path in (link, pipe):
        with pytest.raises(InputError, match=f"^cannot write {path}: it is "):
            write(path, ROWS)
    assert other.read_bytes() == b"mine"


@pytest.mark.parametrize(
    "name", ["table", "table.txt", "table.xlsx", ".csv", "table.csv.gz", "csv"]
)
def test_another_ending_is_refused_with_those_that_are_known(tmp_path, name):
    with pytest.raises(InputError, match=r"ends in \.csv, \.jsonl \(JSON lines\) or \.parquet$"):
        check_table(tmp_path / name, COLUMNS)


def test_a_folder_is_refused_with_the_name_of_a_file_in_it(tmp_path):
    with pytest.raises(InputError, match=f"folder; name a file in it, such as {tmp_path}/pred"):
        check_table(tmp_path, COLUMNS)


def test_parquet_says_how_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError) as error:
        write(tmp_path / "table.parquet", ROWS)
    assert str(error.value) == (
        "writing Parquet needs pyarrow; install it: pip install 'lookbook[parquet]'"
    )
    write(tmp_path / "table.csv", ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_cannot_be_written_is_told_before_any_row(kind):
    rows = iter(ROWS)
    with pytest.raises(OutputError, match=r"; choose another place with `out`$"):
        write(Path("/proc/nowhere") / f"table{kind}", rows)
    assert next(rows) == ROWS[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing(tmp_path, kind):
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        return before

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = limited()
    try:
        with pytest.raises(OutputError, match=f"table{kind}: File too large; make room or choose"):
            write(
                tmp_path / f"table{kind}",
                [(f"{i} {ROWS[1][0]}", i / 7, None, "") for i in range(9000)],
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert names(tmp_path) == []


def test_no_more_than_a_group_of_rows_is_kept(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path / "table.parquet", (2 * tables.GROUP + 1) * ROWS[:1])
    assert parquet.ParquetFile(tmp_path / "table.parquet").num_row_groups == 3
