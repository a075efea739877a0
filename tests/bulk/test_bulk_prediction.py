"""Bulk prediction: one table, in order, whoever is killed; and what is done stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from kinds import SHAPES, squares
from lookbook.bulk import parts, processes
from lookbook.bulk.prediction import BulkPrediction
from lookbook.bulk.processes import Processes
from lookbook.bulk.unfinished import Unfinished
from lookbook.errors import (
    DamagedFileError,
    InputError,
    LookbookError,
    LookbookWarning,
    OutputError,
)
from lookbook.estimator import LookbookClassifier
from lookbook.images.workers import Child
from lookbook.inference.prediction import write_table
from lookbook.inference.predictor import Predictor

KINDS = (".csv", ".jsonl", ".parquet")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "ARRAY_IMAGES", 130)
    monkeypatch.setattr(parts, "FILES", 70)


@pytest.fixture
def album(tmp_path):
    """More files than a part, one of them broken."""
    folder = tmp_path / "사진첩"
    folder.mkdir()
    for number, image in enumerate(made_images(150, seed=7)[0]):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    (folder / "070.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def array(tmp_path):
    np.savez(tmp_path / "많은 옷.npz", images=made_images(1000, seed=7)[0])
    return tmp_path / "많은 옷.npz"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ---- the table ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3])
def test_files_make_the_table_that_predict_writes(run, album, tmp_path, kind, n):
    if kind == ".parquet":
        pytest.importorskip("pyarrow")
    expected, out = tmp_path / f"expected{kind}", tmp_path / "new" / f"옷{kind}"
    write_table(Predictor(run).predict_each(album), expected)
    done = BulkPrediction(run, [album], out).run(n)
    if kind == ".parquet":
        from pyarrow import parquet

        assert parquet.read_table(out).equals(parquet.read_table(expected))
    else:
        assert out.read_bytes() == expected.read_bytes()
    assert names(out.parent) == [out.name]
    assert (done.images, done.n_failed, done.failed) == (150, 1, (str(album / "070.png"),))
    assert sum(done.verdicts.values()) == 149


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_of_images_makes_the_table_that_predict_writes(shape, tmp_path):
    images, labels = squares(shape, 400)
    model = LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_
    folder = tmp_path / "f"
    folder.mkdir()
    for number, image in enumerate(images[:100]):
        Image.fromarray(255 - image if number % 3 else image).save(folder / f"{number:03}.png")
    np.savez_compressed(tmp_path / "a.npz", images=images)
    write_table(Predictor(model).predict_each(folder), tmp_path / "expected.csv")
    BulkPrediction(model, [folder], tmp_path / "files.csv").run(2)
    assert (tmp_path / "files.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    BulkPrediction(model, [tmp_path / "a.npz"], tmp_path / "array.jsonl").run(2)
    rows = [json.loads(line) for line in (tmp_path / "array.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == [f"{tmp_path}/a.npz:{i}" for i in range(400)]
    alone = Predictor(model).on_one_core().predict(images)
    assert [row["probability"] for row in rows] == [one.confidence for one in alone]


def test_all_images_are_told_and_counted(run, array, tmp_path):
    told = []
    work = BulkPrediction(run, [array], tmp_path / "a.csv")
    done = work.run(2, lambda *each: told.append(each))
    assert told[-1] == (1000, 1000)
    assert [n for _, n in told] == [1000] * len(told)
    assert (done.images, work.done, len(work)) == (1000, 1000, 1000)
    least = min(json_rows(run, array, tmp_path), key=lambda row: row["probability"])
    assert done.least_sure == (least["file"], least["probability"])


def json_rows(run, array, tmp_path):
    out = tmp_path / "rows.jsonl"
    BulkPrediction(run, [array], out).run(1)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


# ---- stops, and what goes on ----


def stop_after(monkeypatch, n):
    """Have the parent stop as by Ctrl-C when so many parts are written."""
    write, run = [], Processes.run

    def stopped(self, hear, note):
        def noted(number, summary):
            note(number, summary)
            write.append(number)
            if len(write) == n:
                raise KeyboardInterrupt

        run(self, hear, noted)

    monkeypatch.setattr(Processes, "run", stopped)


def test_what_is_done_stays_and_is_not_done_again(run, array, tmp_path, monkeypatch):
    expected = json_rows(run, array, tmp_path)
    out = tmp_path / "out" / "a.jsonl"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        work = BulkPrediction(run, [array], out)
        with pytest.raises(KeyboardInterrupt):
            work.run(1)
    assert work.done == 384
    assert names(out.parent) == ["a.jsonl.unfinished"]
    written = {path: path.stat().st_mtime_ns for path in work.folder.glob("*.jsonl")}
    assert len(written) >= 3

    seen = []
    append = Unfinished.join

    def join(self, n):
        seen.append({path: path.stat().st_mtime_ns for path in written})
        append(self, n)

    monkeypatch.setattr(Unfinished, "join", join)
    with pytest.warns(LookbookWarning, match=r"^going on: (384|512) of 1,000 images are done$"):
        done = BulkPrediction(run, [array], out).run(2)
    assert seen == [written]
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == expected
    assert names(out.parent) == ["a.jsonl"]
    assert done.images == 1000


@pytest.mark.parametrize("other", ["model", "input", "coverage"])
def test_parts_of_something_else_are_not_mixed_in(run, array, tmp_path, monkeypatch, other):
    out = tmp_path / "a.jsonl"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            BulkPrediction(run, [array], out).run(1)
    folder = Unfinished(out, "").folder
    (folder / "mine.txt").write_text("mine")
    coverage = 0.5 if other == "coverage" else None
    if other == "model":
        images, labels = made_images(120, seed=0)
        run = LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_
    if other == "input":
        os.utime(array, (1, 1))
    if other == "coverage":
        images, labels = made_images(600, seed=0)
        run = LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_
    expected = tmp_path / "expected.jsonl"
    BulkPrediction(run, [array], expected, coverage=coverage).run(1)
    with pytest.warns(LookbookWarning, match="is of another model, other images or other options"):
        BulkPrediction(run, [array], out, coverage=coverage).run(1)
    assert out.read_bytes() == expected.read_bytes()
    assert names(folder) == ["mine.txt"]


def test_a_part_that_is_not_as_it_was_written_is_done_again(run, array, tmp_path, monkeypatch):
    out = tmp_path / "a.jsonl"
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        work = BulkPrediction(run, [array], out)
        with pytest.raises(KeyboardInterrupt):
            work.run(1)
    first, second, *_ = sorted(work.folder.glob("*.jsonl"))
    first.write_bytes(first.read_bytes()[:-1])
    second.with_suffix(".json").write_bytes(b"{")
    with pytest.warns(LookbookWarning, match=r"^going on: (128|256) of 1,000 images are done$"):
        BulkPrediction(run, [array], out).run(1)
    assert len(out.read_text("utf-8").splitlines()) == 1000


def test_a_folder_that_is_not_ours_is_left_alone(run, array, tmp_path):
    folder = tmp_path / "a.csv.unfinished"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.csv\.unfinished exists and was not written by"):
            BulkPrediction(run, [array], tmp_path / "a.csv").run(1)
        assert (folder / "mine.txt").exists()
    (folder / "mine.txt").unlink()
    folder.rmdir()
    folder.write_text("mine")
    with pytest.raises(InputError, match=r"a\.csv\.unfinished exists and was not written by"):
        BulkPrediction(run, [array], tmp_path / "a.csv").run(1)


def test_two_commands_do_not_write_one_table(run, array, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    answer = Processes.run

    def run_twice(self, hear, note):
        with pytest.raises(InputError, match=r"a\.csv is being written by another process; wait"):
            BulkPrediction(run, [array], out).run(1)
        answer(self, hear, note)

    monkeypatch.setattr(Processes, "run", run_twice)
    BulkPrediction(run, [array], out).run(1)
    assert names(out.parent) == ["a.csv", array.name]


# ---- kills of the command itself ----


def keep_each_moment(monkeypatch, place, kept):
    """Copy a folder as a kill would leave it, before whatever changes its files."""
    moments = {}

    def noting(change):
        def changed(path, *args, **options):
            files = tuple(sorted(place.rglob("*")))
            if path.is_relative_to(place) and files not in moments:
                moments[files] = shutil.copytree(place, kept / str(len(moments)))
            return change(path, *args, **options)

        return changed

    for name in ("mkdir", "replace", "rmdir", "unlink"):
        monkeypatch.setattr(Path, name, noting(getattr(Path, name)))
    return moments


@pytest.mark.parametrize("begun", ["nothing", "parts of other images"])
@pytest.mark.filterwarnings("ignore::lookbook.LookbookWarning")
def test_after_a_kill_at_any_moment_the_same_command_makes_the_table(
    run, array, tmp_path, monkeypatch, begun
):
    monkeypatch.setattr(parts, "ARRAY_IMAGES", 600)
    expected, place = tmp_path / "expected.csv", tmp_path / "place"
    place.mkdir()
    if begun != "nothing":
        with monkeypatch.context() as patch:
            stop_after(patch, 1)
            with pytest.raises(KeyboardInterrupt):
                BulkPrediction(run, [array], place / "a.csv").run(1)
        os.utime(array, (1, 1))
    BulkPrediction(run, [array], expected).run(1)
    with monkeypatch.context() as patch:
        moments = keep_each_moment(patch, place, tmp_path / "kept").values()
        BulkPrediction(run, [array], place / "a.csv").run(1)
    assert {"a.csv", "a.csv.unfinished"} in [set(names(moment)) for moment in moments]
    for moment in moments:
        BulkPrediction(run, [array], moment / "a.csv").run(1)
        assert (moment / "a.csv").read_bytes() == expected.read_bytes()
        assert names(moment) == ["a.csv"]


def test_parts_are_deleted_before_what_they_are_known_by(run, array, tmp_path, monkeypatch):
    (tmp_path / "place").mkdir()
    moments = keep_each_moment(monkeypatch, tmp_path / "place", tmp_path / "kept")
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: sorted(listed(path), reverse=True))
    BulkPrediction(run, [array], tmp_path / "place" / "a.csv").run(1)
    deleting = [files for files in moments if tmp_path / "place" / "a.csv" in files]
    left = [{path.name for path in files} - {"a.csv", "a.csv.unfinished"} for files in deleting]
    assert len(left) > 16
    assert all({"lock", "manifest.json"} <= each for each in left[:-2])
    assert left[-2:] == [{"lock"}, set()]


def test_ctrl_c_while_parts_are_deleted_leaves_the_table_alone(run, array, tmp_path, monkeypatch):
    unlink, out, pressed = Path.unlink, tmp_path / "a.csv", []

    def press(path, **options):
        if out.exists() and not pressed and path.parent.exists():
            pressed.append(path)
            raise KeyboardInterrupt
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", press)
    assert BulkPrediction(run, [array], out).run(1).images == 1000
    assert pressed[0].parent.name == "a.csv.unfinished"
    assert names(tmp_path) == ["a.csv", array.name]


# ---- processes that are killed ----


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    children = []

    class Noted(Child):
        def __init__(self, *args):
            super().__init__(*args)
            children.append(self)

    monkeypatch.setattr(processes, "Child", Noted)
    return children


def test_a_process_that_is_killed_is_replaced(run, array, tmp_path, started, monkeypatch):
    expected = json_rows(run, array, tmp_path)
    started.clear()
    take, killed = Processes._take, []

    def kill_then_take(self):
        number = take(self)
        if number in {2, 5} and number not in killed:
            killed.append(number)
            threading.Timer(0.001, lambda: os.kill(started[-1].pid, signal.SIGKILL)).start()
            time.sleep(0.01)
        return number

    monkeypatch.setattr(Processes, "_take", kill_then_take)
    out = tmp_path / "a.jsonl"
    BulkPrediction(run, [array], out).run(2)
    assert len(started) >= 3
    assert [json.loads(line) for line in out.read_text("utf-8").splitlines()] == expected
    for child in started:
        assert child._process.poll() is not None


def test_a_part_that_kills_three_processes_is_named(run, array, tmp_path, started, monkeypatch):
    class Fatal(Child):
        def send(self, task):
            if task.number == 3:
                self.kill()
            super().send(task)
            started.append(self)

    monkeypatch.setattr(processes, "Child", Fatal)
    work = BulkPrediction(run, [array], tmp_path / "a.csv")
    with pytest.raises(LookbookError) as caught:
        work.run(1)
    assert str(caught.value).startswith(
        f"the images from {array}:384 to {array}:511 ended 3 processes, one after the other"
    )
    assert caught.value.exit_code == 1
    assert work.done == 384
    assert names(tmp_path) == ["a.csv.unfinished", array.name]


def test_what_a_process_meets_is_told(run, array, tmp_path):
    work = BulkPrediction(run, [array], tmp_path / "a.csv")
    array.write_bytes(array.read_bytes()[:60_000])
    with pytest.raises(DamagedFileError, match=f"^{array} cannot be read"):
        work.run(2)


def test_a_wrong_checksum_leaves_no_table(run, array, tmp_path):
    content = bytearray(array.read_bytes())
    content[60_000] ^= 255
    array.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"cannot be read \(Bad CRC-32"):
        BulkPrediction(run, [array], tmp_path / "a.csv").run(1)
    assert not (tmp_path / "a.csv").exists()


def test_a_file_that_comes_to_the_place_of_the_table_is_left(run, array, tmp_path, monkeypatch):
    join = Unfinished.join

    def disturbed(self, n):
        (tmp_path / "a.csv").write_text("mine")
        join(self, n)

    monkeypatch.setattr(Unfinished, "join", disturbed)
    with pytest.raises(InputError, match="exists and was not written by lookbook"):
        BulkPrediction(run, [array], tmp_path / "a.csv").run(1)
    assert (tmp_path / "a.csv").read_text() == "mine"
    assert (tmp_path / "a.csv.unfinished").is_dir()


_PROGRAM = """
import resource, signal, sys
from lookbook.bulk import parts
from lookbook.bulk.prediction import BulkPrediction
parts.ARRAY_IMAGES = 130
model, array, out, most = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
work = BulkPrediction(model, [array], out)
work.run(2, lambda done, n: print(done, n, flush=True))
"""


def start(run, array, out, most=0):
    command = [sys.executable, "-c", _PROGRAM, run.model, array, out, most]
    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_full_disk_is_told_and_keeps_what_is_done(run, array, tmp_path):
    out = tmp_path / "a.jsonl"
    ended = start(run, array, out, 60_000).communicate()  # room for parts, and not for all
    assert "a.jsonl.unfinished/" in ended[1]
    assert "File too large; make room or choose another place with `out`" in ended[1]
    assert names(tmp_path) == ["a.jsonl.unfinished", array.name]
    with pytest.warns(LookbookWarning, match="going on: 1,000 of 1,000 images are done"):
        BulkPrediction(run, [array], out).run(1)
    assert len(out.read_text("utf-8").splitlines()) == 1000
    full = start(run, array, tmp_path / "b.jsonl", 10_000).communicate()
    assert OutputError.__name__ in full[1]
    assert "File too large" in full[1]


@pytest.mark.slow
def test_a_parent_that_is_killed_at_any_time_loses_and_doubles_nothing(run, tmp_path):
    np.save(tmp_path / "many.npy", made_images(60_000, seed=7)[0])
    expected, out = tmp_path / "expected.jsonl", tmp_path / "a.jsonl"
    assert start(run, tmp_path / "many.npy", expected).wait() == 0
    reached = []
    for _ in range(4):
        started = start(run, tmp_path / "many.npy", out)
        first = int(started.stdout.readline().split()[0])
        reached.append(first)
        while (line := started.stdout.readline()) and int(line.split()[0]) < first + 9_000:
            pass
        started.kill()
        started.communicate()
    assert reached == sorted(reached)
    assert reached[-1] > 20_000
    assert start(run, tmp_path / "many.npy", out).wait() == 0
    assert out.read_bytes() == expected.read_bytes()
    assert names(tmp_path) == ["a.jsonl", "expected.jsonl", "many.npy"]
    assert Path(f"{out}.unfinished").exists() is False


@pytest.mark.parametrize("n", [0, -1, 2000])
def test_processes_are_a_number_of_them(run, array, tmp_path, n):
    with pytest.raises(InputError, match=f"^`processes` is a number from 1 to 1,024, got {n}$"):
        BulkPrediction(run, [array], tmp_path / "a.csv").run(n)
