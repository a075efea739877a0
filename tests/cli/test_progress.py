"""How far a training is, in terminals."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from kinds import write_folder
from lookbook.cli import progress
from lookbook.core.listeners import tell_images
from lookbook.training.callbacks import Progress


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


def test_a_pipe_is_told_of_many_images_now_and_then(monkeypatch, capsys):
    now = iter((0.0, 4.0, 12.0, 15.0, 24.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.show_images() as tell:
        for done in (10, 25, 30, 50):
            tell(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "25/100 images, about 40.0 s left",
        "50/100 images, about 25.0 s left",
    ]


class Clock:
    """Time that stands still between what is told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)

    def tell(self, n, *steps):
        for seconds, done in steps:
            self.now += seconds
            tell_images(done, n)


def test_a_pipe_is_told_of_a_reading_that_takes_long(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with progress.show_reading():
        clock.tell(100, (0, 0), (9, 30), (2, 50), (8, 90), (3, 99), (1, 100))
        clock.tell(40, (0, 0), (9, 10), (9, 30), (2, 40))
    assert capsys.readouterr().err.splitlines() == [
        "reading  50/100 images, about 11.0 s left",
        "reading  99/100 images, about 0.22 s left",
        "reading  30/40 images, about 6.0 s left",
    ]
    clock.tell(10, (20, 5))
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_left_as_it_was_when_a_reading_is_interrupted(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    clock = Clock(monkeypatch)

    def read():
        with progress.show_reading():
            clock.tell(100, (0, 0), (0.875, 10), (0.25, 12), (0.125, 13), (0.125, 14))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()
    assert shown.getvalue() == (
        "\x1b[2Kreading  12/100 images, about 8.2 s left\r"
        "\x1b[2Kreading  14/100 images, about 8.4 s left\r"
        "\x1b[2K"
    )


def test_a_short_reading_shows_nothing_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    clock = Clock(monkeypatch)
    with progress.show_reading():
        clock.tell(100, (0, 0), (0.5, 40), (0.25, 90), (0.25, 100))
    assert shown.getvalue() == ""


def test_nothing_is_shown_of_a_reading_where_only_results_are(monkeypatch, capsys):
    monkeypatch.setattr(progress.terminal, "is_quiet", lambda: True)
    clock = Clock(monkeypatch)
    with progress.show_reading():
        clock.tell(10, (0, 0), (60, 5))
    assert capsys.readouterr() == ("", "")


def test_the_bar_of_a_training_shows_the_reading_before_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    clock = Clock(monkeypatch)
    with progress.show_progress():
        clock.tell(100, (0, 0), (2, 20))
    lines = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown.getvalue()).splitlines()
    (line,) = {line.rstrip() for line in lines if "reading" in line}
    assert len(line) <= 80
    assert line.startswith("reading ")
    assert line.endswith(" 20/100 images, about 8.0 s left")


def test_a_command_shows_how_far_its_readings_are(call, monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(progress._ImagesLine, "tell", lambda _, *each: heard.append(each))
    album = write_folder(tmp_path / "album", (12, 10), {"a": 30, "b": 30})
    code, _, said = call("look", album)
    assert (code, said) == (0, "")
    ends = [each for each in heard if each[0] in (0, each[1])]
    # each part once: what was read to find copies is what is looked at
    assert ends == [(0, 48), (48, 48), (0, 12), (12, 12)]
