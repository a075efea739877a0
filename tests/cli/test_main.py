"""The program as a user meets it: wrong use, what it imports, how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import imported, lookbook

#: what the tests so marked use, a full device or the files of a process, is Linux's own
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has such a file")

RUN = "runs/bars-tutorial-1"


def error_of(ended):
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["evaluate", "runs/nothing"],
            "error: no run runs/nothing; runs here: bars-tutorial-1\n",
        ),
        (
            ["train", "fashion-mnits"],
            "error: no dataset is called 'fashion-mnits'; did you mean 'fashion-mnist'?; built in "
            "are fashion-mnist, mnist, kmnist, emnist-letters, emnist-balanced, "
            "clothing; your own: a folder "
            "of class folders, an .npz file, or a folder of IDX files\n",
        ),
        (
            ["fetch", "cifar"],
            "error: no dataset is called 'cifar'; built in are fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced, "
            "clothing; your own: a folder of class folders, an .npz file, "
            "or a folder of IDX files\n",
        ),
        (
            ["look", "images/mine"],
            "error: images/mine does not exist; DATA is one of fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced, "
            "clothing, a folder of class folders, an .npz file, or "
            "a folder of IDX files\n",
        ),
        (
            ["figures", "runs"],
            "error: runs is not a run: it has no conditions.json; lookbook runs lists the runs\n",
        ),
        (
            ["predict", RUN, "test:90"],
            "error: no test image '90': the test part has 90; expected test:0 to test:89\n",
        ),
        (
            ["predict", RUN, "test:first"],
            "error: no test image 'first': the test part has 90; expected test:0 to test:89\n",
        ),
        (
            ["predict", RUN, "nothing.png"],
            "error: no image file nothing.png; check the name\n",
        ),
        (
            ["predict", RUN, "notes.png"],
            "error: notes.png is not an image that can be read; expected one of BMP, GIF, JPEG, "
            "PNG, PPM, TIFF, WEBP\n",
        ),
        (
            ["train", "--recipe", "tutorail"],
            "error: no recipe is called 'tutorail'; did you mean 'tutorial'?; recipes: tutorial, "
            "quick, small, medium, standard, strong, large, compact, photo, transfer\n",
        ),
        (
            ["train", "--out", RUN],
            f"error: {RUN} exists and is not overwritten; choose another --out\n",
        ),
        (
            ["train", "fashion-mnist.npz"],
            "error: fashion-mnist.npz does not exist; DATA is one of fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced, "
            "clothing, a folder of class folders, an .npz file, or "
            "a folder of IDX files\n",
        ),
        (
            ["look", "{bars}", "--index", "300"],
            "error: no training image 300: there are 300; expected --index 0 to 299\n",
        ),
        (
            ["predict", RUN, "test:0", "--figure", "notes.png"],
            "error: notes.png exists and was not drawn by lookbook; choose another name or "
            "folder\n",
        ),
    ],
)
def test_wrong_use(place, bars, command, message):
    (place / "notes.png").write_text("not an image")
    ended = lookbook(*(str(part).format(bars=bars) for part in command), cwd=place)
    assert error_of(ended) == message
    assert ended.returncode == 2


def test_an_unknown_option_is_wrong_use(tmp_path):
    ended = lookbook("train", "--speed", "9", cwd=tmp_path)
    assert ended.returncode == 2
    assert "No such option: --speed" in ended.stderr


@LINUX
def test_a_place_that_cannot_be_written_is_a_failure(bars, tmp_path):
    ended = lookbook("train", bars, "--out", "/proc/nowhere/run", cwd=tmp_path)
    assert ended.returncode == 1
    assert error_of(ended) == (
        "error: cannot write /proc/nowhere/run: No such file or directory; nothing was changed; "
        "choose another place with --out\n"
    )


@pytest.mark.slow
def test_a_full_disk_is_a_failure_and_leaves_nothing_behind(bars, tmp_path):
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from lookbook.cli.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", limited, "train", str(bars), "--epochs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "error: cannot write runs/bars-standard-1: File too large; nothing was changed; "
        "make room or choose another place with --out"
    )
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights_are_a_failure(own_run):
    own_run.weights.write_bytes(own_run.weights.read_bytes()[:-9])
    ended = lookbook("predict", own_run.folder, "test:0", cwd=own_run.folder.parent)
    assert ended.returncode == 1
    assert error_of(ended).startswith(f"error: {own_run.weights} is damaged: its SHA-256 is ")
    assert "restore the file, or train again: lookbook train " in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["runs"], ["train", "--recipe", "x"], ["evaluate", "x"]],
)
def test_commands_without_work_import_nothing_heavy(place, arguments):
    _, names, _ = imported(*arguments, cwd=place)
    heavy = {"numpy", "torch", "onnxruntime", "matplotlib", "sklearn", "PIL"}
    assert "lookbook" in names
    assert not heavy & names


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["evaluate", RUN], ["predict", RUN, "test:1"], ["figures", RUN]]
)
def test_what_predicts_never_imports_torch(place, arguments, tmp_path):
    arguments = [*arguments, "--out", str(tmp_path)] if arguments[0] == "figures" else arguments
    code, names, _ = imported(*arguments, cwd=place)
    assert code == 0
    assert "torch" not in names


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["fetch", "look", "train", "evaluate", "predict", "figures", "runs", "demo"]
)
def test_every_command_has_help_with_an_example(command, tmp_path):
    ended = lookbook(command, "--help", cwd=tmp_path)
    assert ended.returncode == 0
    assert f"Example: lookbook {command}" in ended.stdout


def test_the_version(tmp_path):
    ended = lookbook("--version", cwd=tmp_path)
    assert ended.stdout == f"lookbook {version('lookbook')}\n"


@LINUX
@pytest.mark.parametrize(
    "command",
    [
        ["predict", RUN, "test:0", "--out", "a.csv"],
        ["predict", RUN, "DATA", "--processes", "1", "--out", "a.parquet"],
        ["predict", RUN, "test:0", "--figure", "a.png"],
        ["train", "DATA", "--out", "a"],
        *(["export", RUN, "--to", form, "--out", "a.onnx"] for form in ("folder", "html", "int8")),
        ["report", RUN, "--out", "a.html"],
        ["report", RUN, "--corrections", "a.csv"],
        ["figures", RUN, "--out", "a"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("below", ["", "new"])
def test_a_place_in_what_is_no_folder_is_refused_by_that(call, bars, tmp_path, command, below):
    file = tmp_path / "mine.txt"
    file.write_text("mine")
    place = file / below / command[-1]
    words = [bars if word == "DATA" else word for word in command[:-1]]
    code, shown, told = call(*words, place)
    assert (code, shown) == (2, "")
    named = rf"{place}(/\S+\.png)?"
    assert re.fullmatch(f"error: {file} is not a folder; choose another place for {named}\n", told)
    assert file.read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["runs"], ["evaluate", RUN, "--json"], ["--version"], ["-h"]])
def test_a_full_output_is_told_and_a_closed_one_is_not(place, command):
    def ended(stdout):
        return subprocess.run(
            [sys.executable, "-m", "lookbook", *command],
            cwd=place,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    with Path("/dev/full").open("w") as full:
        told = ended(full)
    assert told.stderr == "error: cannot write the output: No space left on device\n"
    assert told.returncode == 1
    reading, writing = os.pipe()
    os.close(reading)
    assert ended(writing).stderr == ""
    os.close(writing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "stopped by Ctrl-C; lookbook runs lists what can go on\n"),
        ("look", "stopped by Ctrl-C\n"),
    ],
)
def test_ctrl_c_before_the_first_step_writes_nothing(bars, tmp_path, command, message):
    code = (
        "import signal\nfrom lookbook.cli import main\nfrom lookbook.data.formats import npz\n"
        # what starts in the background is given no Ctrl-C
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupted(*_args, **_kwargs):\n    signal.raise_signal(signal.SIGINT)\n"
        "npz.load_npz = interrupted\n"
        f"import sys; sys.argv = ['lookbook', {command!r}, {str(bars)!r}]\n"
        "main.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == message
    assert list(tmp_path.rglob("*.*")) == []


@pytest.mark.slow
def test_the_wheel_holds_all_that_is_needed_and_runs_from_any_folder(tmp_path):
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target",
         str(tmp_path / "site"), str(root)],
        check=True, capture_output=True,
    )  # fmt: skip
    installed = {path.name for path in (tmp_path / "site" / "lookbook").iterdir()}
    assert installed >= {p.name for p in (root / "src" / "lookbook").glob("*.py")} | {"py.typed"}
    ended = lookbook("--help", cwd=tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert ended.returncode == 0
    licence = list((tmp_path / "site").glob("lookbook-*.dist-info/licenses/LICENSE"))
    assert len(licence) == 1
