"""`lookbook train`, with the commands that follow it, and `lookbook demo`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_images
from kinds import squares, write_folder
from lookbook.cli.commands import train as train_commands
from lookbook.runs.store import read_run, sealed
from lookbook.training.callbacks import Callback
from lookbook.training.pipeline import train

RUN = "runs/bars-tutorial-1"


@pytest.mark.slow
def test_train_evaluate_predict_figures_runs(bars, tmp_path):
    ended = lookbook(
        "train", bars, "--recipe", "tutorial", "--epochs", "3", "--seed", "2", cwd=tmp_path
    )
    assert ended.returncode == 0
    lines = ended.stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("255/255 images" in line and "val accuracy" in line for line in lines)
    assert ended.stdout.endswith(f"next: lookbook evaluate {RUN}\n      lookbook report {RUN}\n")

    ended = lookbook("evaluate", RUN, cwd=tmp_path)
    assert ended.stdout.startswith("test accuracy ")
    first = lookbook("evaluate", RUN, "--json", cwd=tmp_path)
    found = json.loads(first.stdout)
    assert set(found) >= {"accuracy", "loss", "n", "interval", "ece", "confusion_matrix"}
    assert found["n"] == 90
    assert found["accuracy"] == np.trace(found["confusion_matrix"]) / 90
    # the test part is read once: the data may be gone now
    again = lookbook("evaluate", RUN, "--json", cwd=tmp_path)
    assert again.stdout == first.stdout

    image = tmp_path / "own.png"
    Image.fromarray(made_images(6, seed=7)[0][4]).save(image)
    ended = lookbook("predict", RUN, "test:5", "own.png", "--figure", "p.png", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "test:5: " in ended.stdout
    assert "true class: bottom" in ended.stdout
    assert "own.png: " in ended.stdout
    assert Image.open(tmp_path / "p.png").info["Software"] == "lookbook"
    ended = lookbook("predict", RUN, "test:5", "own.png", "--json", cwd=tmp_path)
    one, other = json.loads(ended.stdout)
    assert one["true_class"] == "bottom"
    assert other["true_class"] is None
    assert sum(one["probs"]) == pytest.approx(1, abs=1e-5)

    ended = lookbook("figures", RUN, cwd=tmp_path)
    assert ended.returncode == 0
    drawn = sorted(path.name for path in (tmp_path / RUN / "figures").iterdir())
    assert drawn == ["confusion.png", "first-15.png", "history.png", "predictions.png"]

    ended = lookbook("runs", cwd=tmp_path)
    assert RUN in ended.stdout
    assert "% test" in ended.stdout


@pytest.mark.slow
def test_train_says_which_start_was_taken_and_why_and_what_to_install(tmp_path):
    write_folder(tmp_path / "mine", (60, 64, 3), {"cat": 20, "dog": 20})
    taken = lookbook("train", "mine", "--epochs", "1", cwd=tmp_path)
    assert "recipe               transfer, epochs: 1\n" in taken.stdout
    said = "pretrained weights, which suit 32 colour images of 128 pixels\n"
    assert f"start                {said}" in taken.stdout
    assert "note: pretrained" not in taken.stderr
    assert "runs/mine-transfer-1" in taken.stdout
    asked = lookbook("train", "mine", "--epochs", "1", "--from-scratch", cwd=tmp_path)
    assert "start                from scratch, as was asked for\n" in asked.stdout
    assert "note: pretrained" not in asked.stderr
    refused = lookbook("train", "mine", "--recipe", "transfer", "--from-scratch", cwd=tmp_path)
    assert "leave --from-scratch out, or take another one: --recipe standard" in refused.stderr


@pytest.mark.slow
def test_train_names_the_extra_where_it_would_pay_and_nowhere_else(tmp_path):
    write_folder(tmp_path / "mine", (60, 64, 3), {"cat": 20, "dog": 20})
    images, labels = squares((20, 20, 3), 100)
    np.savez(tmp_path / "tiny.npz", images=images, labels=labels)
    write_folder(tmp_path / "grey", (60, 64), {"cat": 20, "dog": 20})
    for data, quiet, expected in (
        ("mine", [], "note: pretrained weights make more of 32 colour images of 128 pixels; "
         "install them: pip install 'lookbook[pretrained]'"),
        ("mine", ["--quiet"], ""), ("tiny.npz", [], ""), ("grey", [], ""),
    ):  # fmt: skip
        code = (
            "import sys; from lookbook.recipes import PRETRAINED; sys.modules[PRETRAINED] = None;"
            "from lookbook.cli.main import main; main()"
        )
        command = ["train", data, "--epochs", "1", *quiet]
        ended = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        notes = [line for line in ended.stderr.splitlines() if "pretrained" in line]
        assert notes == [expected] * bool(expected)
        start = "start                from scratch: pretrained weights are not installed\n"
        assert (start in ended.stdout) == (data == "mine")


@pytest.mark.slow
def test_two_hundred_classes(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (800, 8, 8), dtype=np.uint8), np.arange(800) % 200
    np.savez(tmp_path / "many.npz", images=images, labels=labels)
    for command in (
        ["look", "many.npz"],
        ["train", "many.npz", "--epochs", "1"],
        ["evaluate", "runs/many-standard-1"],
        ["predict", "runs/many-standard-1", "test:0"],
        ["figures", "runs/many-standard-1"],
    ):
        ended = lookbook(*command, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_the_next_command_can_be_pasted(bars, tmp_path):
    spaced = tmp_path / "my bars.npz"
    spaced.symlink_to(bars)
    ended = lookbook("look", "my bars.npz", cwd=tmp_path)
    assert ended.stdout.endswith("next: lookbook train 'my bars.npz'\n")
    ended = lookbook("train", spaced.name, "--epochs", "0.5", "--out", "a run", cwd=tmp_path)
    assert "next: lookbook evaluate 'a run'\n" in ended.stdout
    assert "epoch 1/1  127/127 images" in ended.stderr
    assert read_run(tmp_path / "a run").recipe["epochs"] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [["--epochs", "0"], ["--epochs", "inf"], ["--epochs", "nan"], ["--seed", "-1"]]
)
def test_numbers_out_of_range_are_wrong_use(bars, tmp_path, option):
    ended = lookbook("train", bars, *option, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_a_demo_is_done_again_where_one_of_its_files_is_missing(own_run, monkeypatch):
    monkeypatch.chdir(own_run.folder.parent.parent)
    folder = Path("runs") / own_run.folder.name
    files = train_commands._demo_files(folder)
    assert {path.name for path in files} >= {"evaluation.json", "history.png", "picture.png"}
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert train_commands._unchanged_demo().folder == folder
    for path in files:
        path.rename("away")
        assert train_commands._unchanged_demo() is None
        Path("away").rename(path)


@pytest.mark.slow
def test_ctrl_c_stops_at_the_step_and_keeps_a_usable_run(bars, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "lookbook",
            "train",
            str(bars),
            "--recipe",
            "tutorial",
            "--epochs",
            "100000",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch ")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    run = read_run(tmp_path / RUN)
    assert run.metrics["stopped"]
    last = run.history[-1]
    assert err.splitlines()[-1] == (
        f"stopped by Ctrl-C in epoch {last['epoch']}, after {last['pictures']} of 255 images; "
        f"the run can be used; go on: lookbook train --resume {RUN}"
    )
    assert "Traceback" not in err
    assert f"next: lookbook evaluate {RUN}" in out
    assert lookbook("evaluate", RUN, cwd=tmp_path).returncode == 0


class Aged(Callback):
    """Lets a training have gone on for 100 s, and stops it at its first step."""

    def on_step_end(self, state):
        state._clock._start -= 100
        state.stop()


def test_a_resumed_training_says_how_long_all_of_it_took(bars, tmp_path):
    train(str(bars), "tutorial", epochs=1, out=tmp_path / "run", callbacks=[Aged()])
    ended = lookbook("train", "--resume", "run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    whole, before = re.search(
        r"^time +(1 min \d+ s)  \(.*\bfit 1 min \d+ s.*\n +(1 min \d+ s) of it before it was "
        r"stopped or killed\n",
        ended.stdout,
        re.MULTILINE,
    ).groups()
    assert int(whole.split()[2]) >= int(before.split()[2]) >= 40
    fit = read_run(tmp_path / "run").metrics.fit_seconds
    assert 60 + int(whole.split()[2]) >= fit - 1


def test_unfinished_trainings_are_listed_with_the_command_that_goes_on(
    bars, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    train(str(bars), "tutorial", epochs=1, out="runs/alone", callbacks=[Aged()])
    left = Path("runs/alone.unfinished")
    for name in ("shared", "torn"):
        shutil.copytree(left, f"runs/{name}.unfinished")
    request = json.loads((left / "request.json").read_text())
    del request["sha256"]
    for folder, text in {
        "shared": json.dumps(sealed(request | {"processes": 3})),
        "torn": json.dumps(request | {"processes": 3, "sha256": "0" * 64}),
    }.items():
        Path(f"runs/{folder}.unfinished/request.json").write_text(text)
    train_commands.list_runs()
    assert capsys.readouterr().out.splitlines()[:3] == [
        "unfinished: runs/alone; go on: lookbook train --resume runs/alone",
        "unfinished: runs/shared; go on: torchrun --nproc-per-node 3 -m lookbook train --resume "
        "runs/shared",
        "unfinished: runs/torn; go on: lookbook train --resume runs/torn",
    ]
