"""Where exports go: to no place that is taken, and over nothing but files of ours."""

from __future__ import annotations

import pytest

from conftest import lookbook
from lookbook.errors import InputError
from lookbook.exports import formats, web_demo


@pytest.mark.slow
def test_what_exists_is_not_overwritten(own_run, tmp_path):
    (tmp_path / "notes.txt").write_text("import lookbook")
    run, model = own_run.folder, own_run.model
    before = model.read_bytes()
    for command, place in (
        (["export", run, "--to", "html"], "notes.txt"),
        (["export", run, "--to", "int8"], "notes.txt"),
        (["export", run, "--to", "int8"], str(model)),
        (["export", run, "--to", "html"], str(model)),
    ):
        ended = lookbook(*command, "--out", place, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr == (
            f"error: {place} exists and is not overwritten; choose another --out\n"
        )
    ended = lookbook("report", run, "--out", "notes.txt", cwd=tmp_path)
    assert ended.stderr == (
        "error: notes.txt exists and was not written by lookbook; choose another name\n"
    )
    ended = lookbook("export", run, "--to", "int8", "--out", "small", cwd=tmp_path)
    assert ended.stderr == "error: small must end in .onnx, by which model files are known\n"
    assert (tmp_path / "notes.txt").read_text() == "import lookbook"
    assert model.read_bytes() == before


@pytest.mark.parametrize("to", ["html", "int8"])
def test_what_is_not_ours_in_a_run_is_not_overwritten(own_run, tmp_path, to):
    place = own_run.folder / formats.NAMES[to]
    place.write_text("mine")
    with pytest.raises(InputError) as caught:
        formats.export(own_run, to)
    assert str(caught.value) == (
        f"{place} exists and was not written by lookbook; choose another name"
    )
    assert place.read_text() == "mine"
    page = web_demo.write_web_demo(own_run, tmp_path / "try.html")
    place.write_bytes((page if to == "html" else own_run.model).read_bytes())
    assert formats.place(own_run, to, None) == place
