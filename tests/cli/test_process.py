"""The process around a command: streams that are closed or full, a folder that is gone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings

import pytest

from lookbook.cli import main as cli

#: what the tests so marked use, a full device or the files of a process, is Linux's own
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has such a file")

#: long work that tells how far it is, complains past Python, and leaves a file
WORK = """
import os, sys
from pathlib import Path
from types import SimpleNamespace
from lookbook.cli import process, progress
process.open_streams()
with Path("kept").open("wb") as kept, progress.show_progress() as tell:
    for epoch in range(3):
        tell(SimpleNamespace(stage="training", epoch=epoch, epochs=3, images=9, loss=0.5,
             images_per_epoch=9, accuracy=0.5, val_loss=None, val_accuracy=None, seconds=1.0,
             seconds_left=0.0, epoch_ended=True))
    try:
        os.write(2, b"a library complains")
    except OSError:
        pass
    kept.write(b"whole")
print("done")
"""


@pytest.mark.parametrize(
    "streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", pytest.param("2>/dev/full", marks=LINUX)]
)
def test_work_is_kept_where_nobody_can_be_told_of_it(tmp_path, streams):
    command = f'"{sys.executable}" -c "$WORK" {streams}'
    ended = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=os.environ | {"WORK": WORK}, check=False
    )
    assert ended.returncode == 0
    # a closed number is not given to the file, where the complaint would stand in it
    assert (tmp_path / "kept").read_bytes() == b"whole"


def test_work_is_kept_where_who_listened_has_gone(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run([sys.executable, "-c", WORK], cwd=tmp_path, stderr=writing, check=False)
    os.close(writing)
    assert ended.returncode == 0
    assert (tmp_path / "kept").read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("command", "streams", "code"),
    [
        ("runs", ">&-", 0),
        ("runs", "<&- >&- 2>&-", 0),
        ("evaluate runs/nothing", "2>&-", 2),
        pytest.param("nonsense", "2>/dev/full", 2, marks=LINUX),
    ],
)
def test_a_command_ends_as_usual_whatever_its_streams_are(place, command, streams, code):
    line = f'"{sys.executable}" -m lookbook {command} {streams}'
    ended = subprocess.run(
        ["sh", "-c", line], cwd=place, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


@pytest.fixture
def main(monkeypatch, capsys):
    """The program in this process: exit code and what it said."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["lookbook", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    return call


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["train", LONG],
        ["train", "--resume", LONG],
        ["look", LONG],
        ["fetch", "--from", LONG],
        ["evaluate", LONG],
        ["predict", LONG, "test:0"],
        ["predict", f"{LONG}.onnx", "test:0"],
        ["predict", "{run}", f"{LONG}.png"],
        ["report", "{run}", "--out", LONG],
        ["report", "--predictions", LONG, "--data", "mnist"],
        ["export", "{run}", "--to", "html", "--out", LONG],
        ["export", "{run}", "--to", "folder", "--out", LONG],
    ],
)
def test_a_name_that_no_file_can_have_is_one_message(main, run, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = main(*(word.format(run=run.folder) for word in words))
    assert code in {1, 2}
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert ": File name too long; " in said
    assert "; choose " in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [
        (errno.EACCES, 1, "check its permissions, and those of the folders above it"),
        (errno.EROFS, 1, "choose a place that can be written"),
        (errno.ENOSPC, 1, "make room there"),
        (errno.ENOENT, 2, "check the name"),
        (errno.ENOTDIR, 2, "check the name"),
    ],
)
@pytest.mark.parametrize("name", ["some/file", None])
def test_what_the_system_refuses_is_one_message(main, monkeypatch, number, code, remedy, name):
    def refuse(*_args, **_kwargs):
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr("lookbook.runs.store.list_runs", refuse)
    said = f"error: {name or 'a file'}: {os.strerror(number)}; {remedy}\n"
    assert main("runs") == (code, said)


def test_a_working_folder_that_is_gone_is_told_before_anything_else(main, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = (
        "error: the working folder cannot be used (No such file or directory): it was deleted, or "
        "its permissions were taken; go to another one with cd\n"
    )
    assert main("train", "mnist") == (1, said)
    monkeypatch.chdir(tmp_path)


#: the program on a word of its own: a package that registers, starts and keeps what ends with it
ENDING = """
import atexit, sys, tempfile, threading, time
from lookbook.cli import main
class Late:
    def __del__(self):
        print("taken down")
def work():
    time.sleep(0.2)
    print("thread")
late, folder = Late(), tempfile.TemporaryDirectory(dir=".")
sys.modules["torch"] = sys  # as if it had been imported
atexit.register(print, "first handler")
atexit.register(print, "last handler")
threading.Thread(target=work).start()
sys.argv = ["lookbook", *sys.argv[1:]]
main.main()
"""


@pytest.mark.parametrize(("words", "code"), [(["runs"], 0), (["nonsense"], 2)])
def test_the_end_waits_for_threads_and_calls_what_is_registered(tmp_path, words, code):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENDING, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code
    # and PyTorch, like everything else, is left as it is
    *before, last, first = ended.stdout.splitlines()
    assert (last, first) == ("last handler", "first handler")
    assert "thread" in before  # beside what the command prints, in the order of a busy machine
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
