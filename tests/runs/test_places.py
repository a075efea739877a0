"""Places of runs: refused before any work is done for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import DOCUMENTS, write_run

from lookbook.errors import InputError, OutputError
from lookbook.runs.places import check_target, free_folder


def test_a_place_that_cannot_be_written_is_found_before_any_work():
    with pytest.raises(OutputError, match=r"^cannot write /proc/nowhere/run: "):
        check_target(Path("/proc/nowhere/run"))


def test_a_name_that_cannot_be_is_found_before_any_work(tmp_path):
    with pytest.raises(OutputError) as caught:
        check_target(tmp_path / ("x" * 300))
    assert str(caught.value) == (
        f"cannot write {tmp_path / ('x' * 300)}: File name too long; nothing was changed; choose "
        "another place with `out`"
    )


def test_checking_a_place_changes_nothing(tmp_path):
    check_target(tmp_path / "a" / "b" / "run")
    assert list(tmp_path.iterdir()) == []
    assert write_run(tmp_path / "a" / "b" / "run", DOCUMENTS, {}).folder.is_dir()


@pytest.mark.parametrize("name", ["a\ud800b", "a\0b"])
def test_a_name_that_no_file_can_have_is_refused_before_any_work(tmp_path, name):
    with pytest.raises(InputError) as caught:
        check_target(tmp_path / name)
    assert str(caught.value) == (
        f"the folder {str(tmp_path / name)!a} has letters that UTF-8 cannot write; choose another "
        "name"
    )


def test_a_link_to_nothing_is_not_overwritten(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError) as caught:
        check_target(tmp_path / "link")
    assert str(caught.value) == (
        f"{tmp_path / 'link'} exists and is not overwritten; choose another `out`"
    )
    (tmp_path / "r-1").symlink_to(tmp_path / "nothing")
    assert free_folder("r", "1", tmp_path).name == "r-1-1"
    assert write_run(tmp_path / "r-1", DOCUMENTS, {}, numbered=True).folder.name == "r-2"
