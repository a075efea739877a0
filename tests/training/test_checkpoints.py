"""Resume: a training that was stopped or killed ends with the same weights."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import structs
from PIL import Image

from conftest import made_images
from kinds import write_folder
from lookbook.core.files import cannot_write
from lookbook.errors import DamagedFileError, InputError, LookbookWarning
from lookbook.networks import devices
from lookbook.recipes import QUICK, STANDARD, TUTORIAL, Recipe
from lookbook.runs.config import TrainConfig
from lookbook.runs.places import list_unfinished
from lookbook.runs.schema import Counted
from lookbook.runs.store import read_request, read_run, sealed
from lookbook.training import checkpoints
from lookbook.training.pipeline import resume, train

#: every kind of state: momenta of Muon, losses of images, distortions, mirrored passes, a part
CONV = replace(
    STANDARD, widths=(16,) * 5, batch_size=50, epochs=3.5, hardest=0.5, shift=1, distort=0.2
)
DENSE = replace(QUICK, batch_size=64, epochs=4)


@pytest.fixture(autouse=True)
def as_they_are(monkeypatch):
    """Take recipes as they are: suited to few images, they make thirty passes over all."""
    monkeypatch.setattr(Recipe, "suited_to", lambda self, *_args, **_options: self)


@pytest.fixture
def data(tmp_path):
    images, labels = made_images(700, seed=3)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return str(tmp_path / "images.npz")


@pytest.fixture(scope="module")
def whole_runs():
    """Recipe → its run where nothing stopped it."""
    return {}


def stop_after(steps):
    left = iter(range(steps))
    return lambda: next(left, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [CONV, DENSE, replace(TUTORIAL, epochs=2)], ids=lambda r: r.name)
@pytest.mark.parametrize("steps", [1, 9, 17])
def test_a_stopped_run_ends_with_the_same_weights(data, tmp_path, recipe, steps, whole_runs):
    if recipe not in whole_runs:
        whole_runs[recipe] = train(data, recipe, out=tmp_path / "whole")
    whole = whole_runs[recipe]
    stopped = train(data, recipe, out=tmp_path / "run", should_stop=stop_after(steps))
    assert stopped.metrics["stopped"]
    assert list_unfinished(tmp_path) == [tmp_path / "run"]
    run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert not run.metrics["stopped"]
    assert [e["pictures"] for e in run.history] == [e["pictures"] for e in whole.history]
    assert run.metrics["temperature"] == whole.metrics["temperature"]
    assert list_unfinished(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} - {"whole"} == {"images.npz", "run"}


def test_a_training_of_another_size_goes_on_too(tmp_path):
    data = str(write_folder(tmp_path / "data", (12, 20, 3), {"a": 40, "b": 40}))
    whole = train(data, DENSE, out=tmp_path / "whole", size=(16, 9))
    train(data, DENSE, out=tmp_path / "run", size=(16, 9), should_stop=stop_after(2))
    assert read_request(tmp_path / "run")[1].size == (16, 9)
    run = resume(tmp_path / "run")
    assert not run.metrics.stopped
    assert run.conditions.data.size == (16, 9)
    assert run.weights.read_bytes() == whole.weights.read_bytes()


def test_a_training_with_balanced_classes_goes_on_too(tmp_path):
    images, labels = made_images(300, seed=0)
    kept = np.flatnonzero((labels == 0) | (np.arange(300) < 30))
    np.savez(tmp_path / "uneven.npz", images=images[kept], labels=labels[kept])
    data = str(tmp_path / "uneven.npz")
    whole = train(data, DENSE, out=tmp_path / "whole")
    assert whole.recipe.class_weights == "balanced"
    train(data, DENSE, out=tmp_path / "run", should_stop=stop_after(3))
    run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.conditions.class_weights == whole.conditions.class_weights


@pytest.mark.slow
def test_a_twin_goes_on_too(data, tmp_path):
    whole = train(data, CONV, out=tmp_path / "whole", final=True)
    steps = 30  # the first network is done after 26
    stopped = train(data, CONV, out=tmp_path / "run", final=True, should_stop=stop_after(steps))
    assert stopped.metrics["stopped"]
    run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.metrics["validation"] == whole.metrics["validation"]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_simulated_photographs_go_on_too(tmp_path, steps):
    """Stopped within what is simulated at once, and after it."""
    recipe = replace(CONV, batch_size=200, epochs=0.03, photographs=0.5, label_smoothing=0.1)
    whole = train("fashion-mnist", recipe, out=tmp_path / "whole")
    train("fashion-mnist", recipe, out=tmp_path / "run", should_stop=stop_after(steps))
    run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.model.read_bytes() == whole.model.read_bytes()


KEEPS_EACH_EPOCH = """
import time
from lookbook.cli import main
from lookbook.training import callbacks, checkpoints
checkpoints.APART = checkpoints.TIMES = 0
callbacks.Listener.on_epoch_end = lambda *_: time.sleep({})
main.app()
"""


@pytest.mark.slow
def test_a_killed_program_goes_on_to_the_same_weights(data, tmp_path):
    """SIGKILL, again and again, wherever it hits; the last one ends by itself."""
    options = [data, "--recipe", "tutorial", "--epochs", "200", "--out", "run"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "lookbook", "train", *options[:-1], "whole"],
        cwd=tmp_path,
        env=one_thread,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    whole = read_run(tmp_path / "whole")
    kills = 0
    while True:
        # those to be killed take seconds, so that they are, however busy the machine is
        rests = 0.05 if kills < 3 else 0
        child = subprocess.Popen(
            [sys.executable, "-c", KEEPS_EACH_EPOCH.format(rests), "train", *options],
            cwd=tmp_path,
            env=one_thread,
            stderr=subprocess.DEVNULL,
        )
        if kills == 3:
            break
        _wait_for_a_new_point(child, tmp_path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kills += 1
        assert not (tmp_path / "run").exists()
        options = ["--resume", "run"]
    assert child.wait() == 0
    assert read_run(tmp_path / "run").weights.read_bytes() == whole.weights.read_bytes()


def _wait_for_a_new_point(child, place):
    point = place / "run.unfinished" / "training.safetensors"
    before = point.stat().st_mtime_ns if point.exists() else 0
    end = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < end:
        if point.exists() and point.stat().st_mtime_ns != before:
            return
        time.sleep(0.005)


def test_points_are_kept_seldom(data, tmp_path, monkeypatch):
    kept = []
    keep = checkpoints.ResumePoint.keep
    monkeypatch.setattr(
        checkpoints.ResumePoint, "keep", lambda self, *a: (kept.append(1), keep(self, *a))
    )
    monkeypatch.setattr(checkpoints, "APART", 3600.0)  # longer than any machine needs
    monkeypatch.setattr(checkpoints, "COST", 36.0)
    train(data, DENSE, out=tmp_path / "short")
    assert kept == []
    monkeypatch.setattr(checkpoints, "APART", 0.0)
    train(data, replace(TUTORIAL, epochs=20), out=tmp_path / "long")
    seconds = read_run(tmp_path / "long").metrics["fit_seconds"]
    # each costs a hundredth of the time until the next at most
    assert 0 < len(kept) < 20
    assert seconds > 0


def test_changed_images_are_refused(data, tmp_path):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    images, labels = made_images(700, seed=4)
    np.savez(data, images=images, labels=labels)
    with pytest.raises(InputError) as caught:
        resume(tmp_path / "run")
    assert str(caught.value) == (
        f"the training images of {data} are not those that {tmp_path}/run began with; "
        f"bring them back, or delete {tmp_path}/run.unfinished and train again"
    )


@pytest.mark.slow
def test_other_versions_are_told(data, tmp_path, monkeypatch):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    monkeypatch.setattr("lookbook.training.pipeline.versions", lambda: {"torch": "1.0"})
    with pytest.warns(LookbookWarning, match="weights may differ in the last bits"):
        resume(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.usefixtures("busy")
def test_what_decides_the_arithmetic_is_recorded_and_load_changes_nothing(
    data, tmp_path, monkeypatch
):
    """A run in bfloat16 goes on in it, with as many threads, whatever the machine would say now."""
    half = replace(CONV, half=True)
    monkeypatch.setattr("lookbook.networks.devices.has_fast_half", lambda _device: True)
    whole = train(data, half, out=tmp_path / "whole")
    train(data, half, out=tmp_path / "run", should_stop=stop_after(9))
    monkeypatch.setattr("lookbook.networks.devices.has_fast_half", lambda _device: False)
    with devices.threads(torch.get_num_threads() + 1):
        run = resume(tmp_path / "run")
    assert run.conditions["threads"] == whole.conditions["threads"]
    assert run.recipe["half"]
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    other = train(data, half, out=tmp_path / "other")
    assert not other.recipe["half"]
    assert other.weights.read_bytes() != whole.weights.read_bytes()


def test_a_finished_run_has_nothing_to_go_on_with(run):
    with pytest.raises(InputError) as caught:
        resume(run.folder)
    assert str(caught.value) == (
        f"{run.folder} is finished: there is nothing to go on with; evaluate it: "
        f"`lookbook.evaluate('{run.folder}')`"
    )


def test_a_finished_run_is_found_by_its_name_too(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, "runs/bars-quick-1")
    with pytest.raises(InputError) as caught:
        resume("bars-quick-1")
    assert str(caught.value) == (
        "runs/bars-quick-1 is finished: there is nothing to go on with; evaluate it: "
        "`lookbook.evaluate('runs/bars-quick-1')`"
    )


@pytest.mark.slow
def test_what_is_not_there_is_told_with_what_is(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        read_request("nothing")
    assert str(caught.value) == (
        "no unfinished run nothing; no run here is unfinished; start one: `lookbook.train(...)`"
    )
    train(data, CONV, should_stop=stop_after(5))
    with pytest.raises(InputError) as caught:
        read_request("nothing")
    assert str(caught.value) == ("no unfinished run nothing; unfinished here: images-standard-1")
    shutil.rmtree("runs/images-standard-1")
    with pytest.raises(InputError) as caught:
        read_run("runs/images-standard-1")
    assert str(caught.value) == (
        "runs/images-standard-1 is not finished; go on: `lookbook.resume('runs/images-standard-1')`"
    )
    assert resume("images-standard-1").folder.name == "images-standard-1"


def test_a_place_that_was_begun_is_not_begun_again(data, tmp_path):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(InputError) as caught:
        train(data, CONV, out=tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path}/run was begun and is not finished; go on: "
        f"`lookbook.resume('{tmp_path}/run')`, or delete {tmp_path}/run.unfinished"
    )


def test_the_first_point_comes_as_soon_as_it_costs_a_hundredth(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    point = checkpoints.ResumePoint(tmp_path / "run", CONFIG, numbered=False)
    weights = {"weights": torch.zeros(250_000)}  # 1 MB: 10 ms, and 5 ms for the file
    assert point.find("training", weights) is None
    now = 1.4
    assert not point.is_due()
    now = 1.6
    assert point.is_due()
    point.keep("training", weights, COUNTED)
    now = 1.6 + 4.9
    assert not point.is_due()
    now = 1.6 + 5.1
    assert point.is_due()


#: what a point counts
COUNTED = Counted(seconds=1.0, steps_done=1, sums=(0.5, 1, 2), history=[])
#: what a training was asked for that is never begun
CONFIG = TrainConfig(
    data="x",
    recipe=TUTORIAL,
    seed=0,
    size=None,
    final=False,
    fit_seconds=None,
    train_sha256="0" * 64,
    split=1,
    versions={},
    threads=1,
)


@pytest.fixture
def two_points(tmp_path):
    """A resumed training that kept two points, and what its tensors are like."""
    like = {"network.a": torch.zeros(3, 4), "passes.order": torch.arange(0)}
    for step in (1, 2):
        point = checkpoints.ResumePoint(tmp_path / "run", CONFIG, numbered=False, begun=step == 2)
        now = {"network.a": torch.full((3, 4), float(step)), "passes.order": torch.arange(step)}
        point.keep("training", now, structs.replace(COUNTED, steps_done=step))
    return checkpoints.ResumePoint(tmp_path / "run", CONFIG, numbered=False, begun=True), like


def test_every_flipped_bit_of_a_point_is_found(two_points):
    point, like = two_points
    newest, before = point._files("training")
    tensors, counted = point.find("training", like)
    assert (counted.steps_done, tensors["network.a"].max()) == (2, 2)
    before.unlink()
    whole = newest.read_bytes()
    for place in range(len(whole)):
        newest.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with pytest.raises(DamagedFileError, match="is damaged"):
            point.find("training", like)


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda _: b""])
def test_the_point_before_is_taken_where_the_newest_is_damaged(two_points, damage):
    point, like = two_points
    newest, before = point._files("training")
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(LookbookWarning) as caught:
        tensors, counted = point.find("training", like)
    assert (counted.steps_done, tensors["network.a"].max()) == (1, 1)
    said = str(caught[0].message)
    assert said.startswith(f"{newest} is damaged (")
    assert said.endswith(f"); it goes on from the point before, {before}")
    before.write_bytes(b"")
    with pytest.raises(DamagedFileError) as raised:
        point.find("training", like)
    assert str(raised.value).startswith(f"{newest} is damaged (")
    assert str(raised.value).endswith(
        f"), and so is the point before it; delete {point.folder} and train again"
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"network.a": torch.zeros(4, 3)}, r"network.a is .* shape \(3, 4\), expected .* \(4, 3\)"),
        ({"network.a": torch.zeros(3, 4, dtype=torch.float64)}, "expected torch.float64"),
        ({"network.b": torch.zeros(1)}, "its tensors are those of another network"),
        ({"passes.order": torch.zeros(0, 2)}, "passes.order is torch.int64"),
    ],
)
def test_a_point_of_another_network_is_refused(two_points, other, why):
    point, like = two_points
    with pytest.raises(DamagedFileError, match=why):
        point.find("training", like | other)


def test_a_point_that_is_no_file_of_its_own_is_refused(two_points, tmp_path):
    point, like = two_points
    newest, before = point._files("training")
    before.unlink()
    newest.rename(tmp_path / "elsewhere")
    newest.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DamagedFileError, match="cannot be read: it is a link"):
        point.find("training", like)


def test_a_changed_request_is_refused(data, tmp_path):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    path = tmp_path / "run.unfinished" / "request.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(DamagedFileError) as caught:
        resume(tmp_path / "run")
    assert str(caught.value) == (
        f"{path} is damaged: its SHA-256 is another one; delete {path.parent} and train again"
    )


def test_a_full_disk_at_a_point_does_not_end_the_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "APART", 0.0)

    def full(path, _content):
        raise cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(checkpoints, "write_bytes", full)
    with pytest.warns(LookbookWarning) as caught:
        run = train(data, DENSE, out=tmp_path / "run")
    assert not run.metrics["stopped"]
    assert len(caught) == 1
    assert str(caught[0].message).startswith(
        "the training goes on, but not again after a stop or a kill: cannot write "
    )


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x08" + bytes(40)])
def test_a_damaged_point_is_told(data, tmp_path, content):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    point = tmp_path / "run.unfinished" / "training.safetensors"
    point.write_bytes(content)
    with pytest.raises(DamagedFileError, match="is damaged") as caught:
        resume(tmp_path / "run")
    assert str(caught.value).endswith(f"delete {tmp_path}/run.unfinished and train again")


@pytest.mark.slow
def test_a_training_goes_on_from_the_point_before_to_the_same_weights(data, tmp_path, monkeypatch):
    whole = train(data, CONV, out=tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "APART", 0.0)
    monkeypatch.setattr(checkpoints, "TIMES", 0.0)
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(20))
    newest = tmp_path / "run.unfinished" / "training.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    with pytest.warns(LookbookWarning, match="it goes on from the point before"):
        run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()


@pytest.mark.slow
def test_two_trainings_at_once_keep_a_folder_each(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr("lookbook.runs.config.free_folder", lambda *_: tmp_path / "runs" / "x-1")
    monkeypatch.setattr("lookbook.runs.config.check_target", lambda _: None)
    first = train(data, CONV, should_stop=stop_after(5))
    (tmp_path / "runs" / "x-2").mkdir()
    second = train(data, CONV, should_stop=stop_after(7))
    assert [first.folder.name, second.folder.name] == ["x-1", "x-3"]
    assert list_unfinished(tmp_path / "runs") == [first.folder, second.folder]


@pytest.mark.slow
def test_what_was_made_from_a_stopped_run_is_kept(data, tmp_path):
    train(data, CONV, out=tmp_path / "run", should_stop=stop_after(5))
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.warns(LookbookWarning, match=r"is kept in .*/run-stopped-1$"):
        resume(tmp_path / "run")
    assert (tmp_path / "run-stopped-1" / "notes.txt").read_text() == "mine"
    assert read_run(tmp_path / "run-stopped-1").metrics["stopped"]
    assert not read_run(tmp_path / "run").metrics["stopped"]


def save_files(folder, n):
    images, labels = made_images(n, seed=0, classes=2)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / f"class {label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


@pytest.mark.filterwarnings("ignore:.* is taken as it is split")
def test_a_validation_part_of_its_own_must_be_the_same(tmp_path):
    save_files(tmp_path / "data" / "train", 120)
    save_files(tmp_path / "data" / "valid", 6)
    data = str(tmp_path / "data")
    whole = train(data, DENSE, out=tmp_path / "whole")
    train(data, DENSE, out=tmp_path / "run", should_stop=stop_after(2))
    image = tmp_path / "data" / "valid" / "class 0" / "0.png"
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(InputError, match=r"are not those that .* began with; bring them back"):
        resume(tmp_path / "run")
    image.write_bytes(content)
    run = resume(tmp_path / "run")
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert run.metrics["validation"]["n"] == 6


def test_a_training_whose_folder_was_split_otherwise_is_told_so(tmp_path):
    """As one that an earlier version began."""
    save_files(tmp_path / "data", 60)
    train(str(tmp_path / "data"), DENSE, out=tmp_path / "run", should_stop=stop_after(1))
    path = tmp_path / "run.unfinished" / "request.json"
    request = json.loads(path.read_text())
    del request["split"], request["validation_sha256"]
    del request["sha256"]
    path.write_text(json.dumps(sealed(request | {"train_sha256": "0" * 64})))
    with pytest.raises(InputError) as caught:
        resume(tmp_path / "run")
    assert str(caught.value) == (
        f"{tmp_path}/run was begun by a version that split {tmp_path}/data otherwise; delete "
        f"{tmp_path}/run.unfinished and train again"
    )
