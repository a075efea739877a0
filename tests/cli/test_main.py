"""The program as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from conftest import lookbook, made_images
from lookbook.cli import main as cli
from lookbook.cli import progress, terminal
from lookbook.errors import InputError, LookbookWarning
from lookbook.runs.store import read_run
from lookbook.training.loop import Progress

RUN = "runs/bars-tutorial-1"


def error_of(ended):
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


# ---- wrong use: the whole message, and the exit code ----


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
            "are fashion-mnist, mnist, kmnist, emnist-letters, emnist-balanced; your own: a folder "
            "of class folders, an .npz file, or a folder of IDX files\n",
        ),
        (
            ["fetch", "cifar"],
            "error: no dataset is called 'cifar'; built in are fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced; your own: a folder of class folders, an .npz file, "
            "or a folder of IDX files\n",
        ),
        (
            ["look", "images/mine"],
            "error: images/mine does not exist; DATA is one of fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced, a folder of class folders, an .npz file, or a folder "
            "of IDX files\n",
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
            "quick, small, medium, standard, strong, large, compact\n",
        ),
        (
            ["train", "--out", RUN],
            f"error: {RUN} exists and is not overwritten; choose another --out\n",
        ),
        (
            ["train", "fashion-mnist.npz"],
            "error: fashion-mnist.npz does not exist; DATA is one of fashion-mnist, mnist, kmnist, "
            "emnist-letters, emnist-balanced, a folder of class folders, an .npz file, or a folder "
            "of IDX files\n",
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


# ---- nothing to compute: nothing heavy is imported ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["runs"], ["train", "--recipe", "x"], ["evaluate", "x"]],
)
def test_commands_without_work_import_nothing_heavy(place, arguments):
    code = (
        "import sys\nfrom lookbook.cli.main import main\n"
        f"sys.argv = ['lookbook', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'onnxruntime', 'matplotlib', 'sklearn', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True
    )
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["evaluate", RUN], ["predict", RUN, "test:1"], ["figures", RUN]]
)
def test_what_predicts_never_imports_torch(place, arguments, tmp_path):
    arguments = [*arguments, "--out", str(tmp_path)] if arguments[0] == "figures" else arguments
    code = (
        "import sys\nfrom lookbook.cli.main import main\n"
        f"sys.argv = ['lookbook', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True
    )
    assert ended.stderr.splitlines()[-1] == "False"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["fetch", "look", "train", "evaluate", "predict", "figures", "runs", "demo"]
)
def test_every_command_has_help_with_an_example(command, tmp_path):
    ended = lookbook(command, "--help", cwd=tmp_path)
    assert ended.returncode == 0
    assert f"Example: lookbook {command}" in ended.stdout


@pytest.mark.slow
def test_words_complete_in_a_shell(place):
    def complete(words, number):
        return lookbook(
            cwd=place,
            _LOOKBOOK_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(number),
        ).stdout.split()

    assert complete("lookbook fe", 1) == ["fetch"]
    assert complete("lookbook look kmn", 2) == ["kmnist"]
    assert complete("lookbook train --recipe t", 3) == ["tutorial"]
    assert complete("lookbook evaluate runs/", 2) == [RUN]
    assert complete("lookbook evaluate bars", 2) == ["bars-tutorial-1"]


# ---- the commands on data of one's own ----


@pytest.mark.slow
def test_look_shows_and_draws(bars, tmp_path):
    ended = lookbook("look", bars, "--index", "4", cwd=tmp_path)
    assert ended.returncode == 0
    assert "training part  (300, 12, 10) uint8, labels (300,)" in ended.stdout
    assert "| label | class  |" in ended.stdout
    assert "training image 4: middle" in ended.stdout
    with np.load(bars) as arrays:
        row = arrays["train_images"][4][10]
    assert " ".join(map(str, row)) + "\n" in ended.stdout
    drawn = sorted(path.name for path in (tmp_path / "look" / "bars").iterdir())
    assert drawn == ["balance.png", "picture.png", "pictures.png"]
    assert ended.stdout.endswith(f"next: lookbook train {bars}\n")


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


@pytest.fixture
def class_folders(tmp_path):
    """Colour images of several sizes in class folders with names that need care."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(["물방울", "it's <b>", "🍎 apple"]):
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 90, (20 + i % 3, 24, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


@pytest.mark.slow
def test_a_folder_of_class_folders_from_look_to_figures(class_folders):
    for command in (
        ["look", "mine", "--size", "16"],
        ["train", "mine", "--size", "16", "--epochs", "12"],
        ["evaluate", "runs/mine-standard-1"],
        ["predict", "runs/mine-standard-1", "test:0", "mine/물방울/3.png"],
        ["figures", "runs/mine-standard-1"],
    ):
        ended = lookbook(*command, cwd=class_folders)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    run = read_run(class_folders / "runs" / "mine-standard-1")
    assert run.conditions["data"]["size"] == [16, 16]
    assert (run.evaluation() or {})["accuracy"] > 0.9


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


def test_good_inputs_are_answered_beside_bad_ones(place):
    ended = lookbook("predict", RUN, "nothing.png", "test:5", cwd=place)
    assert ended.returncode == 2
    assert ended.stdout.startswith("test:5: ")
    assert ended.stderr == "error: no image file nothing.png; check the name\n"


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
def test_look_hands_the_size_on_and_says_that_colour_has_a_red_channel(class_folders):
    ended = lookbook("look", "mine", "--size", "16", cwd=class_folders)
    assert ended.stdout.endswith("next: lookbook train mine --size 16\n")
    assert "\nrow 10 of its red channel, 0 to 255\n" in ended.stdout
    assert "no ink" not in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [["--epochs", "0"], ["--epochs", "inf"], ["--epochs", "nan"], ["--seed", "-1"]]
)
def test_numbers_out_of_range_are_wrong_use(bars, tmp_path, option):
    ended = lookbook("train", bars, *option, cwd=tmp_path)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_the_version(tmp_path):
    ended = lookbook("--version", cwd=tmp_path)
    assert ended.stdout == f"lookbook {version('lookbook')}\n"


# ---- outputs of every kind ----


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "arrow"), [("ascii", ">"), ("cp949", "→"), ("utf-8", "→")])
def test_a_terminal_of_any_encoding_is_served(place, bars, tmp_path, encoding, arrow):
    for command, where in (
        (["look", bars, "--out", tmp_path], place),
        (["predict", RUN, "test:5"], place),
        (["runs"], place),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", "lookbook", *map(str, command)],
            cwd=where,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )
        shown = ended.stdout.decode(encoding)
        assert ended.returncode == 0, ended.stderr
        assert "?" not in shown
        if command[0] != "runs":
            assert ("#" in shown) if encoding != "utf-8" else ("█" in shown)
        if command[0] == "predict":
            assert f"\n{arrow}  bottom" in shown


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


#: steers a terminal, in one byte and in two, and turns the letters that follow around
HOSTILE = "a\x1b[31m\x9b2J\u202eb\nerror: c.png"


def steers(text: str) -> bool:
    """Say whether a text has anything but letters and the ends of its lines."""
    return not text.replace("\n", "").isprintable()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_name_cannot_steer_the_terminal(call, tmp_path, options):
    for folder in ("there", "not-there"):
        image = tmp_path / folder / HOSTILE
        if folder == "there":
            image.parent.mkdir()
            Image.new("L", (10, 12)).save(image, format="PNG")
        code, *streams = call("predict", RUN, image, *options)
        assert code == (0 if folder == "there" else 2)
        text = "".join(streams)
        assert not steers(text)
        assert "\\u202e" in text
        assert not [line for line in text.splitlines() if line.startswith("error: c.png")]
        if code == 0 and options:
            assert json.loads(streams[0])[0]["input"] == str(image)


@pytest.mark.parametrize(
    "words",
    [[HOSTILE], ["train", f"--{HOSTILE}"], ["train", HOSTILE], ["predict", HOSTILE, "x.png"]],
)
def test_words_of_the_command_line_cannot_steer_the_terminal(call, words):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "\\x1b[31m" in err
    assert not steers(err)


def test_a_note_cannot_steer_the_terminal(capsys):
    with terminal.harmless_streams():
        cli._show_warning(HOSTILE, LookbookWarning)
    assert capsys.readouterr().err == "note: a\\x1b[31m\\x9b2J\\u202eb\\nerror: c.png\n"


def test_names_of_all_languages_are_shown_as_they_are():
    for name in ("물방울", "日本語\u3000名", "👩\u200d🔬", "نص", "a\tb\n"):
        assert terminal.harmless(name) == name


# ---- texts ----


def test_tables_of_wide_letters_line_up():
    shown = terminal.table([["가방", "1"], ["two\nlines", "22"]], right={1})
    assert shown == "가방         1\ntwo\\nlines  22"
    assert terminal.label_table(("가방", "Ankle boot")).splitlines()[2:] == [
        "|     0 | 가방       |",
        "|     1 | Ankle boot |",
    ]


@pytest.mark.parametrize(("stage", "width"), [("training", 80), ("calibration twin", 100)])
def test_the_bar_fits_its_terminal_and_names_the_twin(monkeypatch, stage, width):
    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    with progress.show_progress() as tell:
        seen = (55_000, 55_000, 0.5047, 0.8227, None, None, 1.0, 8.7)
        tell(Progress(stage, 2, 10, *seen, epoch_ended=False))
    lines = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "\r", shown.getvalue()).splitlines()
    name = "" if stage == "training" else "calibration twin  "
    assert any(line.startswith(f"{name}epoch  2/10 ") for line in lines)
    if stage == "training":
        assert any(
            line.rstrip().endswith("55,000/55,000  accuracy 82.3 %  8.7 s left") for line in lines
        )
    assert max(map(len, lines)) <= width


def test_a_demo_is_done_again_where_one_of_its_files_is_missing(own_run, monkeypatch):
    monkeypatch.chdir(own_run.folder.parent.parent)
    folder = Path("runs") / own_run.folder.name
    files = cli._demo_files(folder)
    assert {path.name for path in files} >= {"evaluation.json", "history.png", "picture.png"}
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert cli._unchanged_demo().folder == folder
    for path in files:
        path.rename("away")
        assert cli._unchanged_demo() is None
        Path("away").rename(path)


# ---- Ctrl-C and terminals ----


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
        "import signal\nfrom lookbook.cli import main\nfrom lookbook.data import dataset\n"
        # what starts in the background is given no Ctrl-C
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def interrupted(*_args, **_kwargs):\n    signal.raise_signal(signal.SIGINT)\n"
        "dataset._load_npz = interrupted\n"
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
def test_a_terminal_sees_a_moving_bar_with_images_and_time_left(bars, tmp_path):
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "lookbook", "train", str(bars), "--epochs", "60"],
        cwd=tmp_path,
        stdout=child,
        stderr=child,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "140"},
    )
    os.close(child)
    shown = b""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ready, _, _ = select.select([parent], [], [], 1)
        try:
            block = os.read(parent, 65536) if ready else b""
        except OSError:  # the other end is closed: the program is done
            break
        shown += block
    os.close(parent)
    assert process.wait(timeout=30) == 0
    text = shown.decode()
    assert "255/255 images" in text
    assert "s left" in text
    assert "next: lookbook evaluate" in text


# ---- the package as it is installed ----


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


def test_probabilities_in_a_damaged_file_are_refused(bars, tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.ones((90, 3)))
    whole = (tmp_path / "p.npz").read_bytes()
    for n in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "p.npy").write_bytes(whole[:n])
        ended = lookbook("report", "--predictions", "p.npy", "--data", bars, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: p.npy is no .npy or .npz file of numbers (")
        assert "); save probabilities with numpy.save, or as a table" in ended.stderr


def in_process(*words):
    """Run a command in this process: nothing needs to be imported anew."""
    cli.app([str(word) for word in words], prog_name="lookbook", standalone_mode=False)


@pytest.fixture
def _notes_are_said(monkeypatch):
    """Say notes as the program does; the tests' own settings make errors of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", LookbookWarning)
        monkeypatch.setattr(warnings, "showwarning", cli._show_warning)
        yield
    progress.set_quiet(False)


@pytest.mark.usefixtures("_notes_are_said")
def test_quiet_leaves_results_and_errors_alone(bars, own_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "conditions.json").write_text("{")
    train = ("train", bars, "--recipe", "tutorial", "--epochs", "1")
    shown = []
    for quiet in ((), ("-q",)):
        for command in (("evaluate", own_run.folder), ("runs",), train):
            in_process(*command, *quiet)
        shown.append(capsys.readouterr())
    loud, silent = shown
    assert silent.err == ""
    assert "next:" not in silent.out
    assert "note: left out the run damaged" in loud.err
    assert "epoch 1/1" in loud.err
    assert loud.out.count("next: lookbook ") == 3
    # what was found is said all the same
    for result in ("test accuracy ", "runs/bars-tutorial-1", "validation accuracy "):
        assert result in silent.out
    with pytest.raises(InputError, match="no run nothing"):
        in_process("evaluate", "nothing", "--quiet")


def test_every_command_can_be_quiet():
    commands = typer.main.get_command(cli.app).commands
    for name, command in commands.items():
        assert any("--quiet" in parameter.opts for parameter in command.params), name
