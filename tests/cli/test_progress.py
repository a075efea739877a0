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

from lookbook.cli import progress
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
        "25/100 images, about 36.0 s left",
        "50/100 images, about 24.0 s left",
    ]
