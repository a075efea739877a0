"""The order of the images: every one once, batches as good as equal, later the hardest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import made_images
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.training.loop import fit
from lookbook.training.steps import sampler


@pytest.mark.parametrize("n", [1, 2, 31, 33, 65, 189, 320, 321, 1000, 20_001])
@pytest.mark.parametrize("batch_size", [32, 500])
@pytest.mark.parametrize("epochs", [0.4, 1, 2.7])
def test_no_batch_is_a_remainder_and_every_image_comes_once(n, batch_size, epochs):
    recipe = replace(TUTORIAL, batch_size=batch_size, epochs=epochs)
    order = sampler.Sampler(recipe, n, seed=0, bytes_each=64)
    sizes, seen, done = [], [], 0
    while done < order.steps:
        chosen, parts = order.next_batches(order.steps - done)
        sizes += [len(chosen[part]) for part in parts]
        seen += chosen.tolist()
        done += len(parts)
        order.note(chosen, torch.zeros(len(chosen)))
    assert len(sizes) == order.steps == max(1, sum(_steps(n, batch_size, epochs)))
    assert sum(sizes) == len(seen)
    assert max(sizes) <= batch_size
    assert min(sizes) >= min(n, batch_size // 2)
    for begin in range(0, len(seen), n):
        each_pass = seen[begin : begin + n]
        assert len(set(each_pass)) == len(each_pass)
    assert len(seen) == pytest.approx(epochs * n, abs=max(sizes))


def _steps(n, batch_size, epochs):
    """Steps of each pass; of the last one that part which was asked for."""
    each = math.ceil(n / batch_size)
    return [each] * int(epochs) + [round((epochs - int(epochs)) * each)]


@pytest.mark.parametrize("counts", [(200, 15, 8), (3, 1), (60, 60, 61)])
def test_balanced_epochs_show_each_class_as_often(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    n, seen = len(labels), np.zeros(len(labels), int)
    recipe = replace(STANDARD, batch_size=32, epochs=20, hardest=1.0)
    order = sampler.Sampler(recipe, n, 0, 64, sampler.balance(labels))
    while order.epoch < 20 or not order.at_end:
        chosen, _ = order.next_batches(10**6)
        if order._done == 0:
            shown = np.bincount(labels[order._order], minlength=len(counts))
            assert len(order._order) == n
            assert np.abs(shown - n / len(counts)).max() <= 1
        seen += np.bincount(chosen, minlength=n)
        order.note(chosen, torch.zeros(len(chosen)))
    for label, count in enumerate(counts):
        each = seen[labels == label]
        assert each.mean() == pytest.approx(20 * n / len(counts) / count, rel=0.06)
        assert each.max() - each.min() <= 14  # drawn anew in each epoch: none is left out


def test_weights_decide_how_often_an_image_is_shown_and_none_of_weight_0_is():
    weights = np.array([0, 1, 1, 2.5, 0.5, 0])
    seen = np.zeros(6, int)
    order = sampler.Sampler(replace(TUTORIAL, epochs=200), 6, 0, 64, weights)
    while order.epoch < 200 or not order.at_end:
        chosen, _ = order.next_batches(10**6)
        seen += np.bincount(chosen, minlength=6)
        order.note(chosen, torch.zeros(len(chosen)))
    assert seen[[0, 5]].tolist() == [0, 0]
    assert seen / seen.sum() == pytest.approx(weights / weights.sum(), abs=0.02)


def test_an_image_that_an_epoch_repeats_is_changed_each_time_otherwise():
    order = sampler.Sampler(STANDARD, 40, 0, 64, np.array([40.0] + [1.0] * 39))
    chosen, _ = order.next_batches(10**6)
    repeated = torch.flatten((chosen == 0).nonzero())
    assert len(repeated) == 20
    assert len(order.uniforms(chosen)[repeated].unique(dim=0)) == 20
    assert 0 < int(order.are_mirrored(chosen)[repeated].sum()) < 20


def test_later_epochs_take_the_images_of_the_greatest_loss():
    images, labels = made_images(1000, seed=0)
    labels[:50] = (labels[:50] + 1) % 3  # wrong labels stay hard
    seen = []
    recipe = replace(STANDARD, epochs=4, hardest=0.3, batch_size=100)
    with pytest.MonkeyPatch.context() as patch:
        draw = sampler.Sampler._draw
        patch.setattr(sampler.Sampler, "_draw", lambda self: seen.append(draw(self)) or seen[-1])
        fitted = fit((images, labels), None, recipe, 3)
    assert [len(order) for order in seen] == [1000, 300, 300, 300]
    assert [entry.images for entry in fitted.history] == [1000, 300, 300, 300]
    assert all(len(set(order.tolist())) == len(order) for order in seen)
    share_of_wrong = np.mean([(order < 50).float().mean() for order in seen[2:]])
    assert share_of_wrong > 2 * 0.05


def test_the_following_indices_are_those_that_come_next():
    order = sampler.Sampler(replace(STANDARD, batch_size=10), 5000, 0, 300_000)
    for _ in range(3):
        chosen, _ = order.next_batches(10_000)
        following = order.following(len(chosen))
        order._done += len(chosen)
        again, _ = order.next_batches(10_000)
        assert again[: len(following)].tolist() == following[: len(again)].tolist()
        assert len(following)
