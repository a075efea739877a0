"""`lookbook predict` on good inputs and bad ones, `lookbook evaluate` on photographs."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from conftest import lookbook, made_images

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


@pytest.fixture
def photos(tmp_path):
    """Nine photographs, three of each class, and two of another kind: black, and no image."""
    images, labels = made_images(9, seed=7)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / ("top", "middle", "bottom")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((100, 120), 0).save(folder / f"{number}.png")
    (tmp_path / "photos" / "black").mkdir()
    Image.new("RGB", (50, 60)).save(tmp_path / "photos" / "black" / "1.png")
    (tmp_path / "photos" / "black" / "2.jpg").write_bytes(b"no image")
    return tmp_path / "photos"


def test_photographs_are_told_kind_by_kind(own_run, photos, call):
    code, shown, told = call("evaluate", own_run.folder, "--photos", photos)
    assert code == 0
    assert told.startswith("note: left out 1 file (no images, or damaged): ")
    lines = shown.splitlines()
    assert lines[0].startswith("accuracy           100.0 % ± 0.0  (top, middle, bottom)")
    assert (
        f"{photos}  (10 photographs; each kind counts the same; with standard errors, 1 cann"
        in (shown)
    )
    rows = [line.split() for line in lines if line.startswith(("top", "black"))]
    assert rows[0][:3] == ["top", "100.0", "%"]
    assert rows[0][5:] == ["3", "–"]
    assert rows[1][:2] == ["black", "–"]
    assert lines[-1] == f"next: lookbook report {own_run.folder}"


def test_photographs_are_told_in_korean_and_as_json(own_run, photos, call):
    code, shown, _ = call("evaluate", own_run.folder, "--photos", photos, "--lang", "ko")
    assert code == 0
    assert shown.startswith("정확도")
    assert "가장 확신한 절반" in shown
    code, shown, _ = call("evaluate", own_run.folder, "--photos", photos, "--json")
    assert json.loads(shown) == json.loads((own_run.folder / "photographs.json").read_text())


def test_photographs_and_other_data_do_not_go_together(call, photos):
    code, _, told = call("evaluate", RUN, "--photos", photos, "--data", photos)
    assert code == 2
    assert told.startswith("error: --photos goes without --data: ")


def test_an_evaluation_leaves_that_of_photographs_alone(own_run, photos, call):
    assert call("evaluate", own_run.folder, "--photos", photos)[0] == 0
    kept = (own_run.folder / "photographs.json").read_bytes()
    shutil.rmtree(photos)
    assert call("evaluate", own_run.folder)[0] == 0
    assert (own_run.folder / "photographs.json").read_bytes() == kept
    code, _, told = call("evaluate", own_run.folder, "--photos", photos)
    assert code == 2
    assert told.startswith(f"error: {photos} is no folder; ")
