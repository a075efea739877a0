"""The order of the images: every one once, batches as good as equal, later the hardest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import made_images
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.training import sampler
from lookbook.training.loop import fit


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
