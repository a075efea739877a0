"""Tables: what spreadsheets make of them is read, and nothing in them is a formula."""

from __future__ import annotations

import csv
import io
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookbook.core.csv_tables import MAX_BYTES, read_csv, to_csv
from lookbook.errors import InputError

REMEDY = "make one"


def rows_of(path: Path) -> list[tuple[int, dict[str, str]]]:
    return list(read_csv(path, REMEDY)[1])


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-5", "@SUM(A1)", "\tcat", "'=x"])
def test_no_cell_is_a_formula_and_each_comes_back(tmp_path, name):
    written = to_csv([["class"], [name]])
    (cell,) = list(csv.reader(io.StringIO(written, newline="")))[1]
    assert cell == f"'{name}"
    path = tmp_path / "table.csv"
    path.write_text(written, "utf-8", newline="")
    assert rows_of(path)[0][1] == {"class": name}


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path_factory, cells):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    names = [f"column {i}" for i in range(len(cells))]
    written = to_csv([names, cells])
    path.write_text(written, "utf-8-sig", newline="")
    assert [row for _, row in rows_of(path)] == [dict(zip(names, cells, strict=True))]
    for row in csv.reader(io.StringIO(written, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("hint", ["", "sep={}\r\n"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)
def test_what_spreadsheets_write(tmp_path, delimiter, hint, encoding):
    name = "Hüte" if encoding == "cp1252" else "고양이"
    lines = (["index", "class"], ["7", name], [], ["8"])
    text = hint.format(delimiter) + "".join(delimiter.join(line) + "\r\n" for line in lines)
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    line = 3 if hint else 2
    assert read_csv(path, REMEDY)[0] == ["index", "class"]
    assert rows_of(path) == [
        (line, {"index": "7", "class": name}),
        (line + 2, {"index": "8", "class": ""}),
    ]


def test_what_is_no_table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(f'a,b\n1,"{200_000 * "x"}"\n')
    with pytest.raises(InputError, match=r"line 2: it cannot be read as a table \(field larger"):
        rows_of(path)
    path.write_bytes(b"a,b\n\x81\x81\xff\xff\n")
    with pytest.raises(InputError, match="its letters are neither UTF-8 nor UTF-16, CP949 or"):
        rows_of(path)
    with pytest.raises(InputError, match=r"none\.csv; make one$"):
        rows_of(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"cannot be read as a table \(File name too long\)"):
        rows_of(tmp_path / (300 * "x"))
    path.write_text("")
    assert read_csv(path, REMEDY)[0] == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_not_opened(tmp_path, make):
    make(tmp_path / "table.csv")
    with pytest.raises(InputError, match="is no file that holds a table; make one"):
        rows_of(tmp_path / "table.csv")


@pytest.mark.slow
def test_a_file_of_any_size_takes_bounded_memory(tmp_path):
    path = tmp_path / "table.csv"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="has 33,554,433 bytes, a table at most 33,554,432"):
        rows_of(path)
    path.write_text("a,b\n" + 50_000 * "1,2\n")
    tracemalloc.start()
    assert sum(1 for _ in read_csv(path, REMEDY)[1]) == 50_000
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3e6  # the text, and a copy of four bytes a letter: no list of rows
