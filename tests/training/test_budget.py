"""A budget of time: kept, and spent on the recipe that makes most of it."""

from __future__ import annotations

import time
from itertools import count

import numpy as np
import pytest
import torch

from conftest import lookbook, made_images
from lookbook.errors import InputError
from lookbook.networks import devices
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.training import budget, loop
from lookbook.training.budget import plan
from lookbook.training.callbacks import Listener
from lookbook.training.loop import fit
from lookbook.training.pipeline import train


@pytest.fixture
def speeds(monkeypatch):
    """10,000 images a second to learn from, 5,000 to answer, found out in no time."""
    monkeypatch.setattr(budget, "_learning_speed", lambda *_: 10_000)
    monkeypatch.setattr(budget, "_answering_seconds", lambda _training, n, *_: n / 5_000)
    monkeypatch.setattr(budget, "pick_threads", lambda _seconds: 1)
    monkeypatch.setattr(budget.time, "perf_counter", lambda: 0.0)


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize(
    ("seconds", "name"),
    [(3, "quick"), (10, "medium"), (50, "standard"), (200, "strong"), (500, "large")],
)
def test_more_time_goes_to_a_larger_network(seconds, name):
    training = np.zeros((100_000, 8, 8), np.uint8), np.zeros(100_000, np.int64)
    planned = plan(seconds, training, 1000, 10)
    assert planned.recipe.name == name
    assert planned.fit_seconds == pytest.approx(seconds - budget.WRITING - 0.2)
    twice = plan(seconds, training, 1000, 10, recipe=TUTORIAL, fits=2)
    assert twice.recipe == TUTORIAL
    assert twice.fit_seconds == pytest.approx((seconds - budget.WRITING) / 2 - 0.2)


@pytest.mark.usefixtures("speeds")
@pytest.mark.parametrize(
    ("seconds", "name"), [(1.5, "quick"), (3, "medium"), (10, "standard"), (400, "large")]
)
def test_few_images_are_passed_often_before_a_larger_network_pays(seconds, name):
    training = np.zeros((15_000, 8, 8, 3), np.uint8), np.zeros(15_000, np.int64)
    assert plan(seconds, training, 100, 10).recipe.name == name


def test_a_short_time_is_not_spent_on_measuring(monkeypatch):
    monkeypatch.setattr(budget, "_learning_speed", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(budget, "_answering_seconds", lambda *_: 0.1)
    training = made_images(300, seed=0)
    assert plan(1.1, training, 50, 3).recipe.name == "quick"
    assert plan(9.0, training, 50, 3, recipe=TUTORIAL).recipe.name == "tutorial"


@pytest.mark.usefixtures("speeds")
def test_a_budget_too_short_for_anything_is_refused():
    training = np.zeros((1000, 8, 8), np.uint8), np.zeros(1000, np.int64)
    # a second late is in time, where little was left: see `LATE`
    assert plan(0.4, training, 500, 10).fit_seconds == pytest.approx(0.7)
    assert plan(1.2, training, 500, 10).fit_seconds == pytest.approx(0.8)
    with pytest.raises(InputError) as caught:
        plan(-0.4, training, 500, 10, spent=1.4)
    assert str(caught.value) == (
        "the budget is too short: 1.9 s go into everything but training here; "
        "give more with `budget`"
    )


def test_speeds_are_measured():
    training = made_images(300, seed=0)
    assert budget._learning_speed(STANDARD, training, 3, 2.0) > 0
    for recipe in (TUTORIAL, STANDARD):
        assert budget._answering_seconds(training, 10, recipe, 3, 0.01) > 0


@pytest.mark.slow
def test_a_speed_is_that_of_a_training_under_way(monkeypatch):
    """Neither what comes before the first step counts nor that step, however long they take."""
    data = made_images(300, seed=0)
    clock = count()  # a millisecond goes by whenever somebody looks
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock) / 1000)
    free = budget._learning_speed(STANDARD, data, 3, 1000)
    build = loop.build_classifier

    def build_slowly(*arguments):
        for _ in range(10_000):
            next(clock)
        return build(*arguments)

    monkeypatch.setattr(loop, "build_classifier", build_slowly)
    assert budget._learning_speed(STANDARD, data, 3, 1000) == pytest.approx(free)


def test_a_busy_machine_is_measured_by_its_first_step_alone(monkeypatch):
    """Planning takes at most a tenth of the time, even where a step takes seconds."""
    data = made_images(300, seed=0)
    clock = count()  # a second goes by whenever somebody looks
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(clock))
    assert 0 < budget._learning_speed(STANDARD, data, 3, 20) < 1000
    assert next(clock) < 30  # two steps ask more often


@pytest.mark.slow
@pytest.mark.parametrize(("on_one", "on_two", "picked"), [(0.3, 24.0, 1), (0.3, 0.16, 2)])
def test_a_plan_computes_on_as_many_threads_as_are_fastest_now(monkeypatch, on_one, on_two, picked):
    """Beside programs that take the cores, two threads wait for each other."""
    monkeypatch.setattr(devices, "_seconds_on", lambda n, _seconds: {1: on_one, 2: on_two}[n])
    training = np.zeros((600, 40, 40, 3), np.uint8), np.arange(600) % 3
    with devices.threads(2):
        planned = plan(600, training, 100, 3)  # no pause of a busy machine makes it too short
        assert (planned.threads, torch.get_num_threads()) == (picked, 2)


@pytest.mark.usefixtures("busy")
def test_threads_are_tried_for_a_moment_on_a_busy_machine_too():
    with devices.threads(2):
        assert devices.pick_threads(0.02) in {1, 2}
        assert torch.get_num_threads() == 2


def test_a_fit_ends_by_time_with_its_learning_rate_at_the_end(monkeypatch):
    data = made_images(300, seed=0)
    told = []
    ticks = count()  # a millisecond goes by whenever somebody looks: no busy machine decides
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(ticks) / 1000)
    fitted = fit(data, data, TUTORIAL, 3, seconds=1.0, callbacks=[Listener(told.append)])
    assert 1.0 <= fitted.seconds < 1.1
    assert fitted.history[-1].epoch > 1
    assert all(progress.epochs is None for progress in told)
    assert told[-1].seconds_left < 0.01
    assert fitted.history[-1].val_accuracy > 0.95


@pytest.mark.slow
def test_a_run_of_a_budget_says_how_many_epochs_it_made(bars, tmp_path):
    run = train(str(bars), out=tmp_path / "run", budget=4.0)
    last = run.history[-1]
    assert last["epoch"] - 1 <= run.recipe["epochs"] <= last["epoch"]
    assert {"planning", "fit"} <= set(run.conditions["seconds"])


@pytest.mark.slow
def test_the_program_keeps_its_budget(bars, tmp_path):
    """Only that the time governs, with room for a busy machine; benchmarks hold it to a tenth."""
    start = time.monotonic()
    ended = lookbook("train", bars, "--budget", "8s", "--out", "run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert 5 < time.monotonic() - start < 20


def test_how_it_is_said_may_stand_beside_resume(tmp_path):
    ended = lookbook("train", "--resume", "x", "--lang", "ko", "-q", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("오류: x: 그런 이름의 훈련이 없습니다.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "soon"], "a budget is a time like 30s, 2m or 1h, got 'soon'"),
        (["--budget", "-3s"], "a budget is a time like 30s, 2m or 1h, got '-3s'"),
        (["--budget", ""], "a budget is a time like 30s, 2m or 1h, got ''"),
        (
            ["--budget", "1m", "--epochs", "3"],
            "--budget and --epochs both say when training ends; give one of them",
        ),
        (
            ["--resume", "x", "--seed", "3"],
            "--resume goes alone, got --seed beside it: the run says itself what it is made of",
        ),
        (
            ["--resume", "x"],
            "no unfinished run x; no run here is unfinished; start one: lookbook train",
        ),
    ],
)
def test_wrong_use(tmp_path, options, message):
    ended = lookbook("train", *options, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"error: {message}\n")
