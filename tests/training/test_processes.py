"""Training on several processes: as on one, one writes, and a death or an error is told once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shared_fits
import torch

from lookbook.core.environment import Launch
from lookbook.errors import InputError
from lookbook.runs.store import read_run
from lookbook.training.processes import ONE, Several

HERE = Path(__file__).parent
#: a command line that keeps a checkpoint at each chance
EAGER = """
import sys
from lookbook.training import checkpoints
checkpoints.APART = checkpoints.TIMES = 0.0
from lookbook.cli.main import main
main()
"""


def torchrun(*arguments: object, processes: int = 2) -> list[str]:
    """Return a command that starts processes which find each other on a free port."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*launcher, "--nproc-per-node", str(processes), *map(str, arguments)]


def run(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def said(text: str) -> list[str]:
    """Return the lines of this program, without those of torchrun below them."""
    lines = text.split("Traceback (most recent call last):\n  File", maxsplit=1)[0].splitlines()
    return [line for line in lines if line and not re.match(r"[WE]\d{4} ", line)]


# ---- the same steps ----


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Fit once alone, once on two processes; return what each of the three found."""
    folder = tmp_path_factory.mktemp("fits")
    script = str(HERE / "shared_fits.py")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shared_fits.main(folder)
    torch.set_num_threads(threads)
    found = run(torchrun(script, folder), folder)
    assert found.returncode == 0, found.stderr
    return [torch.load(folder / name) for name in ("0-of-1.pt", "0-of-2.pt", "1-of-2.pt")]


@pytest.mark.slow
@pytest.mark.parametrize("name", shared_fits.FITS)
def test_two_processes_make_the_steps_of_one(fits, name):
    alone, first, second = (found[name] for found in fits)
    for key, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][key]), "both move alike"
    # losses of the first steps, image by image; those of images not yet seen are infinite
    for steps, (one, both) in enumerate(zip(alone["losses"], first["losses"], strict=True)):
        assert torch.equal(torch.isinf(one), torch.isinf(both)), "both choose alike"
        if steps == 0:
            torch.testing.assert_close(both, one, atol=2e-4, rtol=2e-4)
    assert [each[1] for each in first["history"]][:1] == [each[1] for each in alone["history"]][:1]
    np.testing.assert_allclose(first["history"], alone["history"], atol=0.02)
    assert torch.equal(first["val_logits"], second["val_logits"])
    torch.testing.assert_close(first["val_logits"], alone["val_logits"], atol=0.1, rtol=0.1)


# ---- shares ----


def several(rank: int, size: int) -> Several:
    processes = Several.__new__(Several)
    processes.rank, processes.size = rank, size
    return processes


def test_shares_of_a_step_are_all_of_it_once():
    steps = [slice(0, 32), slice(32, 65), slice(65, 70)]
    shares = [several(rank, 3).share(steps) for rank in range(3)]
    for step in range(3):
        places = [share.places[step] for share in shares]
        images = [i for place in places for i in range(place.start, place.stop)]
        assert images == list(range(steps[step].start, steps[step].stop))
    for share in shares:
        for part, place in share.both:
            assert share.own[part].tolist() == list(range(place.start, place.stop))


def test_a_process_alone_has_all():
    share = ONE.share([slice(0, 5), slice(5, 8)])
    assert share.own.tolist() == list(range(8))
    assert share.parts == share.places == [slice(0, 5), slice(5, 8)]


def test_a_step_of_fewer_images_than_processes_is_refused():
    with pytest.raises(InputError, match="4 processes cannot share a step of 3 images"):
        several(0, 4).share([slice(0, 3)])


# ---- who it is ----


def test_threads_are_the_cores_of_a_machine_divided_by_its_processes(monkeypatch):
    monkeypatch.setattr("lookbook.core.environment.usable_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torchrun's
    assert Launch(rank=5, size=6, local_rank=2, local_size=3).threads == 2
    assert Launch(size=16, local_size=16).threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # the user's
    assert Launch(size=2, local_size=2).threads == 3


def test_a_launch_is_what_torchrun_says(monkeypatch):
    for name, value in {
        "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "localhost", "MASTER_PORT": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert Launch.here() == Launch(rank=3, size=4, local_rank=1, local_size=2)
    monkeypatch.delenv("MASTER_ADDR")
    assert Launch.here() == Launch()


# ---- runs ----


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and a command line that keeps a checkpoint at each chance."""
    folder = tmp_path_factory.mktemp("runs")
    images, labels = shared_fits.made(500, 2)
    part = {"x_train": images[:400], "y_train": labels[:400]}
    np.savez(folder / "made.npz", **part, x_test=images[400:], y_test=labels[400:])
    (folder / "eager.py").write_text(EAGER)
    return folder


def begin(place: Path, out: str, *options: object) -> subprocess.Popen[str]:
    """Start a long training, and wait until it is under way."""
    command = torchrun("eager.py", "train", "made.npz", "--out", out, *options)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    training = subprocess.Popen(command, cwd=place, text=True, **pipes)
    assert training.stderr
    for line in training.stderr:
        if re.match("epoch +3/", line):
            return training
    raise AssertionError("it ended before")


def workers(training: subprocess.Popen[str]) -> list[int]:
    """Return the processes that torchrun started, the first one first."""
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    ranks = {}
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_text()
        if found := re.search(r"\0RANK=(\d+)", variables):
            ranks[int(found[1])] = int(child)
    return [ranks[rank] for rank in sorted(ranks)]


@pytest.mark.slow
def test_the_first_process_writes_and_speaks_alone_and_a_stopped_training_goes_on(place):
    options = ("--recipe", "small", "--epochs", 30, "--seed", 3)
    whole = run(torchrun("eager.py", "train", "made.npz", "--out", "whole", *options), place)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.count("validation accuracy") == 1
    assert len(said(whole.stderr)) == 30  # an epoch a line
    assert json.loads((place / "whole" / "conditions.json").read_text())["processes"] == 2

    training = begin(place, "part", *options)
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=60)
    stopped = [line for line in said(err) if "Ctrl-C" in line]
    assert len(stopped) == 1
    again = "torchrun --nproc-per-node 2 -m lookbook train --resume part"
    assert stopped[0].endswith(f"; the run can be used; go on: {again}")
    assert out.count("validation accuracy") == 1
    assert read_run(place / "part").metrics.stopped

    resumed = run(torchrun("eager.py", "train", "--resume", "part"), place)
    assert resumed.returncode == 0, resumed.stderr
    assert "last bits" not in resumed.stderr
    hashes = [read_run(place / name).conditions.sha256 for name in ("whole", "part")]
    assert hashes[0]["weights.safetensors"] == hashes[1]["weights.safetensors"]
    assert not list(place.glob("*.unfinished"))


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_all_with_one_message(place, killed):
    out = f"killed-{killed}"
    training = begin(place, out, "--recipe", "small", "--epochs", 900)
    start = time.monotonic()
    os.kill(workers(training)[killed], signal.SIGKILL)
    printed, err = training.communicate(timeout=60)
    assert time.monotonic() - start < 30
    told = [line for line in said(err) if not line.startswith("epoch")]
    assert told == [
        "error: another process of this training ended, or was told to, and the training ends "
        "with it; go on, in as many processes: torchrun --nproc-per-node 2 -m lookbook train "
        f"--resume {out}"
    ]
    assert printed == ""
    assert training.returncode != 0
    assert not (place / out).exists()
    assert (place / f"{out}.unfinished" / "training.safetensors").exists()
    assert not list(place.glob(".lookbook-*")), "nothing half written"


@pytest.mark.slow
def test_another_number_of_processes_goes_on_and_says_so(place):
    training = begin(place, "fewer", "--recipe", "small", "--epochs", 30)
    training.send_signal(signal.SIGINT)
    training.communicate(timeout=60)
    alone = [sys.executable, "eager.py", "train", "--resume", "fewer"]
    found = run(alone, place)
    assert found.returncode == 0, found.stderr
    note = (
        "fewer was begun by 2 processes and goes on in 1: its weights may differ in the last bits"
    )
    assert f"note: {note}" in found.stderr
    conditions = json.loads((place / "fewer" / "conditions.json").read_text())
    assert "processes" not in conditions


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "absent.npz"], "error: absent.npz does not exist"),
        (["train", "made.npz", "--recipe", "tutorail"], "error: no recipe is called 'tutorail'"),
        (["train", "made.npz", "--out", "."], "error: . exists and is not overwritten"),
        (["train", "made.npz", "--corrections", "made.npz"], "error: made.npz"),
        (["runs"], "error: torchrun is for lookbook train alone: runs takes one process"),
        (["train", "--wrong"], "No such option"),
    ],
)
def test_what_is_wrong_is_said_once(place, words, message):
    found = run(torchrun("-m", "lookbook", *words), place)
    assert found.returncode != 0
    assert found.stdout == ""
    assert "\n".join(said(found.stderr)).count("rror") == 1, found.stderr
    assert message in found.stderr


@pytest.mark.slow
def test_a_budget_is_the_first_process_clock(place):
    start = time.monotonic()
    words = ("train", "made.npz", "--budget", "8s", "--final", "--out", "budget")
    found = run(torchrun("-m", "lookbook", *words), place)
    assert found.returncode == 0, found.stderr
    assert time.monotonic() - start < 30
    run_ = read_run(place / "budget")
    assert run_.conditions.seconds["planning"] > 0
    assert run_.conditions.processes == 2
