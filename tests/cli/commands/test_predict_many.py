"""`predict --processes`: what it prints, refuses, and says where it stops."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from lookbook.bulk.prediction import BulkPrediction

RUN = "runs/bars-tutorial-1"


@pytest.fixture
def array(tmp_path):
    np.savez(tmp_path / "옷.npz", images=made_images(300, seed=7)[0])
    return tmp_path / "옷.npz"


@pytest.mark.parametrize("processes", [(), ("--processes", 1)])
def test_a_table_is_written_without_a_word_where_that_is_asked_for(
    call, array, tmp_path, processes
):
    Image.fromarray(made_images(1, seed=7)[0][0]).save(tmp_path / "a.png")
    inputs = array if processes else tmp_path / "a.png"
    out = tmp_path / "table.csv"
    assert call("predict", RUN, inputs, "--out", out, "-q", *processes) == (0, "", "")
    assert out.exists()


def test_a_table_of_arrays_and_files_is_written_and_counted(call, array, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    Image.fromarray(made_images(1, seed=7)[0][0]).save(tmp_path / "a.png")
    out = tmp_path / "table.csv"
    inputs = [array, tmp_path / "a.png", tmp_path / "broken.png"]
    code, shown, told = call("predict", RUN, *inputs, "--out", out, "--processes", 2)
    assert code == 1
    assert told == (
        f"error: 1 of 302 images have no answer: {tmp_path / 'broken.png'}; the column error of "
        f"{out} says why\n"
    )
    assert [line.split() for line in shown.splitlines()[:2]] == [
        ["wrote", str(out)],
        ["images", "302"],
    ]
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [
        *(f"{array}:{i}" for i in range(300)),
        *map(str, inputs[1:]),
    ]
    assert {row["class"] for row in rows} == {"top", "middle", "bottom", ""}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--processes writes a table; name it, such as --out predictions.csv"),
        (["--out", "a.csv", "--json"], "--json goes without --processes, which writes a table"),
        (["--out", "a.csv", "--figure", "a.png"], "--figure goes without --processes"),
        (["--out", "a.csv", "--sets", "0.9"], "--sets goes without --processes"),
        (["--out", "a.txt"], "expected a name that ends in .csv, .jsonl (JSON lines) or .parquet"),
        (["--out", "bars.npz"], "expected a name that ends in .csv"),
        (["--out", "/dev/null"], "cannot be told to be a table"),
        (["--out", "a.csv", "--processes", "0"], "greater than or equal to 1"),
        (["--out", "a.csv", "--processes", "abc"], "unable to parse string as an integer"),
    ],
)
def test_wrong_use_is_one_sentence_and_no_work(call, array, options, message):
    code, shown, told = call("predict", RUN, array, "--processes", 2, *options)
    assert (code, shown) == (2, "")
    assert message in " ".join(told.replace("│", " ").split())


def test_wrong_inputs_are_one_sentence(call, tmp_path):
    wrong, many = tmp_path / "wrong.npz", tmp_path / "many.npz"
    images = np.zeros((3, 12, 10), np.uint8)
    np.savez(wrong, images=images[:, :5])
    np.savez(many, a=images, b=images)
    for given, message in (
        ("test:3", "error: test:3 is a test image, which several processes do not predict"),
        (wrong, "error: the model takes images of shape (N, 12, 10) with N of 1 or"),
        (many, f"error: {many} holds the arrays a (3, 12, 10), b (3, 12, 10); expected"),
    ):
        code, shown, told = call(
            "predict", RUN, given, "--processes", 2, "--out", tmp_path / "a.csv"
        )
        assert (code, shown) == (2, "")
        assert told.startswith(message)
        assert told.count("\n") == 1
    assert not list(tmp_path.glob("a.csv*"))


def test_arrays_without_processes_say_what_to_do(call, array):
    code, _, told = call("predict", RUN, array)
    assert code == 2
    assert told == (
        f"error: {array} holds many images: their answers become a table, with --out "
        "predictions.csv --processes 2\n"
    )


def test_a_folder_without_images_and_a_file_that_is_not_there_are_rows(call, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "a.csv"
    inputs = [tmp_path / "empty", "nowhere.png"]
    code, _, told = call("predict", RUN, *inputs, "--processes", 1, "--out", out, "--lang", "ko")
    assert code == 1
    assert told.startswith("오류: 이미지 2장 가운데 2장은 답이 없습니다")
    with out.open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["error"].startswith(f"{tmp_path / 'empty'} holds no image files")
    assert second["error"] == "no image file nowhere.png; check the name"


@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "ko"])
def test_ctrl_c_says_what_is_kept_and_the_same_command_goes_on(place, tmp_path, lang):
    np.save(tmp_path / "many.npy", made_images(400_000, seed=7)[0])
    out = tmp_path / "table.parquet"
    command = [sys.executable, "-m", "lookbook", "predict", RUN, tmp_path / "many.npy"]
    command += ["--processes", "2", "--lang", lang, "--out", out]
    pipes = {"cwd": place, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen([*map(str, command)], **pipes)
    folder, until = tmp_path / "table.parquet.unfinished", time.monotonic() + 60
    while len(list(folder.glob("*.json"))) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGINT)
    shown, told = started.communicate(timeout=60)
    assert (started.returncode, shown) == (130, "")
    kept, stopped = told.splitlines()
    assert "Traceback" not in told
    if lang == "en":
        assert kept.endswith(
            f" of 400,000 images are done and kept in {folder}; the same command goes on"
        )
        assert stopped == "stopped by Ctrl-C"
    else:
        assert kept.startswith("이미지 400,000장 가운데 ")
        assert str(folder) in kept
    assert not out.exists()
    again = subprocess.run([*map(str, command)], **pipes, check=True)
    going_on = "note: going on: " if lang == "en" else "알림: 이어서 합니다"
    assert again.stderr.startswith(going_on)
    from pyarrow import parquet

    files = parquet.read_table(out)["file"].to_pylist()
    assert files == [f"{tmp_path}/many.npy:{i}" for i in range(400_000)]
    assert not folder.exists()


def test_ctrl_c_once_the_table_is_there_says_nothing_of_parts(call, array, tmp_path, monkeypatch):
    run = BulkPrediction.run

    def stopped(self, *args):
        run(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(BulkPrediction, "run", stopped)
    out = tmp_path / "a.csv"
    stopped_so = (130, "", "stopped by Ctrl-C\n")
    assert call("predict", RUN, array, "--processes", 1, "--out", out, "-q") == stopped_so
    assert out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "ray"], "error: --engine writes a table; name it, such as --out"),
        (
            ["--engine", "ray", "--json"],
            "error: --json goes without --engine, which writes",
        ),
        (["--address", "a:1"], "error: --address names a cluster of Ray; add --engine ray"),
        (
            ["--engine", "ray", "--processes", "2", "--address", "a:1", "--out", "a.csv"],
            "error: --address goes with --engine ray, and without --processes",
        ),
        (["--engine", "dask", "--out", "a.csv"], "'dask' is not"),
    ],
)
def test_an_engine_and_its_cluster_are_checked_before_any_work(call, array, options, message):
    code, shown, told = call("predict", RUN, array, *options)
    assert (code, shown) == (2, "")
    assert message in " ".join(told.replace("│", " ").split())


def test_without_ray_nothing_is_made_and_what_others_left_stays(call, array, tmp_path, monkeypatch):
    command = ["predict", RUN, array, "--engine", "ray", "--out", tmp_path / "a.csv"]
    monkeypatch.setitem(sys.modules, "ray", None)
    for left in ([], ["manifest.json", "0123456789abcdef-000000.csv"]):
        folder = tmp_path / "a.csv.unfinished"
        for name in left:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text("{}")
        assert call(*command) == (
            2, "", "error: Ray is not installed; install it: pip install 'lookbook[ray]'\n",
        )  # fmt: skip
        assert sorted(path.name for path in folder.glob("*")) == sorted(left)
        assert folder.exists() == bool(left)


@pytest.mark.slow
def test_a_wrong_address_of_a_cluster_is_one_sentence_in_time(call, array, tmp_path):
    start = time.monotonic()
    options = ["--engine", "ray", "--out", tmp_path / "a.csv", "--address"]
    code, _, told = call("predict", RUN, array, *options, "127.0.0.1:1")
    assert code == 1
    assert told.startswith("error: no Ray cluster answers at 127.0.0.1:1 (Connection refused);")
    assert len(told.splitlines()) == 1
    code, _, told = call("predict", RUN, array, *options, "nonsense")
    assert (code, told) == (
        2, "error: nonsense is no --address of a cluster; expected HOST:PORT\n",
    )  # fmt: skip
    assert time.monotonic() - start < 60
