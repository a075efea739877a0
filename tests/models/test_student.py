"""The student is shown no held-out photograph, and goes on after a stop as if there was none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookbook.networks.devices import settle
from models.clothing import student as clothing
from models.clothing.answers import SMALL, Bank
from models.clothing.student import RECIPE, Student, batch_at, change, distil


@pytest.fixture
def bank():
    """A bank of noise, each image of which is made of one or two of 12 photographs."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (72, SMALL, SMALL, 3), dtype=np.uint8)
    logits, features = (rng.normal(size=(72, n)).astype(np.float32) for n in (10, 1280))
    return Bank(images, logits, features, rng.integers(0, 12, (72, 2)))


def test_no_image_is_made_of_a_held_out_photograph(bank):
    kept = bank.without(np.array([3, 7]))
    assert not np.isin(kept.pairs, [3, 7]).any()
    lost = np.isin(bank.pairs, [3, 7]).any(axis=1).sum()
    assert len(kept.images) == len(kept.logits) == len(kept.features) == 72 - lost < 72


def test_each_image_is_drawn_once_an_epoch():
    epochs = [np.concatenate([batch_at(4 * e + i, 20, 5) for i in range(4)]) for e in range(2)]
    assert all(sorted(each.tolist()) == list(range(20)) for each in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()


def test_changed_images_are_of_the_same_size_and_levels():
    images = torch.full((6, 3, 80, 80), 100, dtype=torch.uint8)
    changed = change(images, torch.Generator().manual_seed(0))
    assert changed.shape == images.shape
    # one tint an image: no border shows that it was moved or turned
    assert changed.std((2, 3)).max() == 0
    assert 80 <= changed.min() < changed.max() <= 123


def test_what_was_stopped_ends_in_the_same_weights(bank, tmp_path, monkeypatch):
    recipe = settle(replace(RECIPE, batch_size=18, epochs=1))
    monkeypatch.setattr(clothing, "PAUSE", -1)  # a checkpoint at each step

    def start() -> Student:
        return Student.start(bank.images, 10, seed=0)

    whole = start()
    distil(bank, whole, recipe, tmp_path / "whole.pt", lambda _: None)

    def stop(said: str) -> None:
        if said.startswith("step 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(bank, start(), recipe, tmp_path / "stopped.pt", stop)
    resumed = start()
    distil(bank, resumed, recipe, tmp_path / "stopped.pt", lambda _: None)
    assert whole.steps == resumed.steps == 4
    pairs = zip(whole.result.parameters(), resumed.result.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    # averaged weights are the result: they lag behind those of the last step
    assert not torch.equal(whole.result.head.weight, whole.network.head.weight)
