"""Callbacks: what they hear, in which order, and that they change nothing."""

from __future__ import annotations

import logging
from itertools import chain

import numpy as np
import pytest

import lookbook
from conftest import made_images
from lookbook.recipes import QUICK, SMALL, Recipe
from lookbook.training.callbacks import Callback, StopWhen, TimeBefore
from lookbook.training.loop import fit
from lookbook.training.pipeline import resume, train

TINY = Recipe("tiny", widths=(7,), learning_rate=0.01, batch_size=8, epochs=3)


class Diary(Callback):
    """Writes down all that it hears."""

    def __init__(self) -> None:
        self.heard = []

    def on_train_begin(self, state):
        self.heard.append(("begin", state.stage, len(state.history)))

    def on_step_end(self, state):
        self.heard.append(("step", state.stage, len(state.history)))

    def on_progress(self, state, progress):
        self.heard.append(("progress", progress.epoch, progress.images, progress.epoch_ended))

    def on_epoch_end(self, state, progress):
        assert state.history[-1].images == progress.images
        assert state.history[-1].val_accuracy == progress.val_accuracy
        self.heard.append(("epoch", progress.epoch, progress.images, progress.epoch_ended))

    def on_train_end(self, state):
        self.heard.append(("end", state.stage, len(state.history)))


class StopAt(Callback):
    """Stops when it hears something for the n-th time."""

    def __init__(self, method: str, n: int = 1) -> None:
        self.left = n
        setattr(self, method, self._hear)

    def _hear(self, state, _progress=None):
        self.left -= 1
        if self.left == 0:
            state.stop()


@pytest.fixture
def data(tmp_path):
    images, labels = made_images(300, seed=3)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    return str(tmp_path / "images.npz")


def test_a_callback_hears_of_every_step_and_epoch_in_their_order():
    images, labels = made_images(100, seed=0)
    diary = Diary()
    fit((images, labels), (images, labels), TINY, 3, callbacks=[diary])
    epochs = [
        [("step", "training", epoch)] * 13
        + [("progress", epoch + 1, 100, False), ("epoch", epoch + 1, 100, True)]
        for epoch in range(3)
    ]
    begin, end = ("begin", "training", 0), ("end", "training", 3)
    assert diary.heard == [begin, *chain(*epochs), end]


@pytest.mark.parametrize("recipe", [TINY, QUICK, SMALL], ids=lambda recipe: recipe.name)
def test_callbacks_leave_the_weights_as_they_are_bit_by_bit(recipe, data, tmp_path):
    alone = train(data, recipe, epochs=2, out=tmp_path / "alone")
    watched = train(data, recipe, epochs=2, out=tmp_path / "watched", callbacks=[Diary(), Diary()])
    assert watched.weights.read_bytes() == alone.weights.read_bytes()
    assert [dict(e) | {"seconds": 0} for e in watched.history] == [
        dict(e) | {"seconds": 0} for e in alone.history
    ]


@pytest.mark.parametrize(
    ("method", "images"),
    [
        ("on_train_begin", [7]),  # the first step is done
        ("on_step_end", [7]),
        ("on_progress", [100]),  # 13 steps are done at once
        ("on_epoch_end", [100]),
    ],
)
def test_a_callback_stops_the_training_wherever_it_is_called(method, images):
    diary = Diary()
    fitted = fit(made_images(100, seed=0), None, TINY, 3, callbacks=[StopAt(method), diary])
    assert fitted.stopped
    assert [record.images for record in fitted.history] == images
    assert diary.heard[-1] == ("end", "training", 1)


@pytest.mark.parametrize(
    ("method", "n"), [("on_train_begin", 1), ("on_step_end", 40), ("on_epoch_end", 2)]
)
def test_what_a_callback_stopped_goes_on_to_the_same_weights(method, n, data, tmp_path):
    whole = train(data, TINY, out=tmp_path / "whole")
    stopped = train(data, TINY, out=tmp_path / "run", callbacks=[StopAt(method, n)])
    assert stopped.metrics["stopped"]
    diary = Diary()
    run = resume(tmp_path / "run", callbacks=[diary])
    assert run.weights.read_bytes() == whole.weights.read_bytes()
    assert [e["pictures"] for e in run.history] == [e["pictures"] for e in whole.history]
    assert diary.heard[-1] == ("end", "training", 3)


def test_a_stop_in_the_last_step_is_none(data, tmp_path):
    run = train(data, TINY, out=tmp_path / "run", callbacks=[StopAt("on_epoch_end", 3)])
    assert not run.metrics["stopped"]
    assert not (tmp_path / "run.unfinished").exists()


def test_functions_and_callbacks_hear_of_both_networks_of_a_final_run(data, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lookbook")
    diary, told = Diary(), []
    options = {"epochs": 1, "final": True, "callbacks": [diary]}
    train(data, TINY, out=tmp_path / "run", tell=told.append, **options)
    stages = [stage for what, stage, _ in (one[:3] for one in diary.heard) if what == "begin"]
    assert stages == ["training", "calibration twin"]
    assert [one.stage for one in told if one.epoch_ended] == stages
    assert caplog.messages == []  # somebody else is told


def test_an_early_stop_of_ones_own_ends_where_the_loss_rises(data, tmp_path):
    """As the docstring of `Callback` has it."""

    class EarlyStop(lookbook.Callback):
        def on_epoch_end(self, state, progress):
            losses = [epoch.val_loss for epoch in state.history]
            if losses.index(min(losses)) < len(losses) - 2:
                state.stop()

    fast = Recipe("fast", widths=(64,), learning_rate=0.3, batch_size=8, epochs=50)
    run = train(data, fast, out=tmp_path / "run", callbacks=[EarlyStop()])
    losses = [entry["val_loss"] for entry in run.history]
    assert len(losses) < 50
    assert losses.index(min(losses)) == len(losses) - 3


def test_a_function_is_asked_after_each_step():
    asked = iter([False] * 4 + [True] * 9)
    fitted = fit(made_images(100, seed=0), None, TINY, 3, callbacks=[StopWhen(lambda: next(asked))])
    assert [record.images for record in fitted.history] == [38]
    assert len(list(asked)) == 8


def test_the_time_before_a_training_was_resumed_is_noted(data, tmp_path):
    stopped = train(data, QUICK, out=tmp_path / "run", callbacks=[StopAt("on_step_end", 3)])
    before = TimeBefore()
    run = resume(tmp_path / "run", callbacks=[before])
    assert 0 < before.seconds <= stopped.history[-1].seconds
    assert before.seconds < run.history[0].seconds
