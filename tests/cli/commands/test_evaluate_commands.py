"""`lookbook predict` on good inputs and bad ones, `lookbook evaluate` on photographs."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from conftest import lookbook, made_images
from lookbook.inference import prediction

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


# ---- a table ----


@pytest.fixture
def album(tmp_path):
    """A folder of images, one of them broken, and one that is none of the classes."""
    for number, image in enumerate(made_images(20, seed=5)[0]):
        path = tmp_path / "앨범" / f"{number % 3}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    path.write_bytes(b"no image")
    return tmp_path / "앨범"


def test_a_folder_becomes_a_table(call, album, tmp_path):
    out = tmp_path / "new" / "predictions.jsonl"
    code, shown, told = call("predict", RUN, album, "test:4", "--out", out)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    files = sorted(str(path) for path in album.rglob("*.png"))
    assert [row["file"] for row in rows] == [*files, "test:4"]
    assert [list(row) for row in rows] == 21 * [list(prediction.COLUMNS)]
    (broken,) = (row for row in rows if row["error"])
    assert broken["error"].startswith(f"{broken['file']} is not an image that can be read")
    assert {key for key, value in broken.items() if value is not None} == {"file", "error"}
    assert code == 1
    assert told == (
        f"error: 1 of 21 images have no answer: {broken['file']}; the column error of {out} says "
        "why\n"
    )
    lines = [re.split("  +", line) for line in shown.splitlines()]
    assert lines[:2] == [["wrote", str(out)], ["images", "21"]]
    assert ["no answer", "1", "(4.8 %)"] in lines
    least = min((row for row in rows if not row["error"]), key=lambda row: row["probability"])
    assert shown.endswith(
        f"next: lookbook predict {RUN} {shlex.quote(least['file'])} --figure prediction.png\n"
    )


def test_a_table_says_what_predict_says_as_json(call, album, tmp_path):
    out = tmp_path / "table.csv"
    code, shown, _ = call("predict", RUN, album, "--out", out, "--json", "--quiet")
    documents = json.loads(shown)
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (code, len(documents), len(rows)) == (1, 19, 20)
    for row, said in zip((row for row in rows if not row["error"]), documents, strict=True):
        assert row["file"] == said["input"]
        assert row["class"] == said["class"]
        assert float(row["probability"]) == said["confidence"]
        second = sorted(said["probs"])[-2]
        assert float(row["second_probability"]) == second
        assert row["second_class"] == said["classes"][said["probs"].index(second)]
        assert (row["unsure"], row["novel"]) == tuple(
            str(said[key]).lower() for key in ("unsure", "strange")
        )


def test_a_table_beside_a_figure(call, album, tmp_path):
    out, figure = tmp_path / "table.csv", tmp_path / "figure.png"
    code, shown, _ = call("predict", RUN, album / "0", "--out", out, "--figure", figure)
    assert code == 0
    assert (figure.exists(), out.exists()) == (True, True)
    assert shown.endswith(f"\ndrawn {figure}\n") or str(figure) in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--out", "table.txt"], "expected a name that ends in .csv, .jsonl (JSON lines) or"),
        (["--out", "."], "error: . is a folder; name a file in it, such as predictions.csv"),
        (["--out", "bars.npz"], "expected a name that ends in"),
        (["--out", "a.csv", "--sets", "0.9"], "leave --sets out, or have them as JSON"),
    ],
)
def test_a_table_is_refused_before_any_work(call, monkeypatch, given, said):
    monkeypatch.setattr(prediction, "predict_each", None)
    code, _, told = call("predict", RUN, "test:0", *given)
    assert code == 2
    assert said in told


def test_a_table_that_cannot_be_written_is_named_by_its_flag(call):
    code, _, told = call("predict", RUN, "test:0", "--out", "/proc/nowhere/a.csv")
    assert code == 1
    assert told.endswith("No such file or directory; choose another place with --out\n")


def test_a_table_where_nothing_has_an_answer(call, tmp_path):
    out = tmp_path / "table.csv"
    (tmp_path / "empty").mkdir()
    names = ["nothing.png", tmp_path / "empty", "https://a.b/c.png", "test:90"]
    code, shown, told = call("predict", RUN, *names, "--out", out, "--lang", "ko")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [*map(str, names)]
    assert all(row["error"] for row in rows)
    assert code == 1
    assert "답 없음" in shown
    assert told.startswith("오류: 이미지 4장 가운데 4장은 답이 없습니다: nothing.png, ")


@pytest.mark.parametrize("more", [(), ("--processes", 1)])
def test_names_of_nothing_at_all_leave_an_earlier_table_as_it_is(call, tmp_path, more):
    out = tmp_path / "table.csv"
    call("predict", RUN, "test:1", "--out", out)
    before = out.read_bytes()
    code, _, told = call("predict", RUN, "nope.jpg", "no/where.npz", "--out", out, *more)
    assert (code, told) == (2, "error: no image file nope.jpg; check the name\n")
    assert out.read_bytes() == before


@pytest.mark.slow
def test_ctrl_c_leaves_no_table_no_part_of_one_and_no_process(album, place, tmp_path):
    paths = [str(path) for path in album.rglob("*.png")]
    command = [sys.executable, "-m", "lookbook", "predict", RUN, *(600 * paths), "--out"]
    out = tmp_path / "out" / "table.csv"
    started = subprocess.Popen(
        [*command, str(out)], cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 60
    while not list(out.parent.glob(".*")) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(started.pid, signal.SIGINT)
    shown, told = started.communicate(timeout=60)
    assert (started.returncode, shown) == (130, "")
    assert told.endswith("stopped by Ctrl-C\n")
    assert list(out.parent.iterdir()) == []
    assert not [
        each
        for each in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{started.pid}\n" in read(each)
    ]


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
