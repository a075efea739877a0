"""`lookbook predict` on good inputs and bad ones."""

from __future__ import annotations

from conftest import lookbook

RUN = "runs/bars-tutorial-1"


def test_good_inputs_are_answered_beside_bad_ones(place):
    ended = lookbook("predict", RUN, "nothing.png", "test:5", cwd=place)
    assert ended.returncode == 2
    assert ended.stdout.startswith("test:5: ")
    assert ended.stderr == "error: no image file nothing.png; check the name\n"


def test_a_figure_that_cannot_be_written_is_named_by_its_flag(call):
    code, _, told = call("predict", "bars-tutorial-1", "test:0", "--figure", "/proc/nowhere/a.png")
    assert code == 1
    assert told.endswith("No such file or directory; choose another place with --figure\n")
