"""The loop: against a slow plain version, the same twice, stopped, gone wrong."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import made_images
from lookbook.core import arrays
from lookbook.core.arrays import softmax
from lookbook.errors import TrainingError
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import QUICK, STANDARD, TUTORIAL, Recipe
from lookbook.training.callbacks import Listener, StopWhen
from lookbook.training.loop import fit, logit_adjustment

TINY = Recipe("tiny", widths=(7,), learning_rate=0.01, batch_size=8, epochs=2)


def slow_fit(images, labels, recipe, seed):
    """Adam as Kingma and Ba (2015) write it, in float64 NumPy, with gradients by hand."""
    start = build_classifier(recipe, images, labels.max() + 1, seed)
    weights = [p.detach().numpy().astype(np.float64) for p in start.network.parameters()]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    shuffler = torch.Generator().manual_seed(seed)
    pixels = images.reshape(len(images), -1) / 255
    step, losses = 0, []
    for _ in range(recipe.epochs):
        order = torch.randperm(len(labels), generator=shuffler).numpy()
        total = 0.0
        bounds = np.linspace(0, len(order), math.ceil(len(order) / recipe.batch_size) + 1)
        for begin, end in pairwise(bounds.astype(int)):
            chosen = order[begin:end]
            x, y = pixels[chosen], labels[chosen]
            hidden = np.maximum(x @ weights[0].T + weights[1], 0)
            probs = softmax(hidden @ weights[2].T + weights[3])
            total += -np.log(probs[np.arange(len(y)), y]).sum()
            error = probs.copy()
            error[np.arange(len(y)), y] -= 1
            error /= len(y)
            back = (error @ weights[2]) * (hidden > 0)
            gradients = [back.T @ x, back.sum(0), error.T @ hidden, error.sum(0)]
            step += 1
            for i, g in enumerate(gradients):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                m, v = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
                weights[i] = weights[i] - recipe.learning_rate * m / (np.sqrt(v) + 1e-7)
        losses.append(total / len(order))
    return weights, losses


@pytest.mark.parametrize(("times", "part"), [(50, 0.5), (100, 0.25)])
def test_common_classes_are_granted_more_where_too_few_images_leave_nothing_to_calibrate_by(
    times, part
):
    labels = torch.tensor([0, 0, 0, 0, 1] * times)
    found = logit_adjustment(labels, 3)
    assert found[:2].tolist() == pytest.approx((part * np.log([0.8, 0.2])).tolist(), abs=0.01)
    assert found.isfinite().all()  # a class without images, too


def test_fit_agrees_with_a_slow_plain_version():
    images, labels = made_images(50, seed=0)  # 50 is no multiple of 8: batches of 7 and 8
    expected, losses = slow_fit(images, labels, TINY, seed=3)
    fitted = fit((images, labels), None, TINY, 3, seed=3)
    for found, wanted in zip(fitted.classifier.network.parameters(), expected, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), wanted, atol=2e-5)
    assert [entry.loss for entry in fitted.history] == pytest.approx(losses, abs=1e-5)


def test_history_counts_images_and_agrees_with_the_networks_own_answers():
    images, labels = made_images(50, seed=0)
    other, others = made_images(30, seed=5)
    fitted = fit((images, labels), (other, others), TINY, 3, seed=0)
    last = fitted.history[-1]
    with torch.no_grad():
        logits, *_ = fitted.classifier(torch.from_numpy(other))
    np.testing.assert_allclose(fitted.val_logits, logits.numpy(), atol=1e-5)
    assert last.images == 50
    assert last.val_accuracy == (logits.argmax(1).numpy() == others).mean()
    assert last.val_loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(others))), abs=1e-5
    )


def bits(fitted):
    return b"".join(p.detach().numpy().tobytes() for p in fitted.classifier.parameters())


def test_the_same_seed_gives_bit_identical_weights_and_another_seed_others():
    data = made_images(200, seed=0)
    first, second, other = (fit(data, None, TUTORIAL.with_epochs(2), 3, seed=s) for s in (4, 4, 5))
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)


@pytest.mark.parametrize("recipe", [QUICK, STANDARD], ids=lambda recipe: recipe.name)
def test_images_on_the_disk_give_the_same_weights_bit_by_bit(tmp_path, monkeypatch, recipe):
    monkeypatch.setattr(arrays, "CHUNK", 1)
    recipe = replace(recipe, epochs=2, batch_size=32)
    images, labels = made_images(400, seed=0)
    images.tofile(tmp_path / "images")
    mapped = np.memmap(tmp_path / "images", np.uint8, "r", shape=images.shape)
    rows = np.random.default_rng(0).permutation(400)[:300]
    for each in (images, mapped), (images[rows], arrays.take_rows(mapped, rows)):
        answers = labels[rows] if len(each[0]) == 300 else labels
        memory, disk = (fit((part, answers), None, recipe, 10).classifier for part in each)
        for name, tensor in memory.state_dict().items():
            assert torch.equal(tensor, disk.state_dict()[name]), name


#: trains on 8,192 images on the disk, twice as the first time leaves memory behind, then on 16,384;
#: says what anonymous memory was at the most
_FIT_ON_DISK = """
import sys, threading, time
import numpy as np
from dataclasses import replace
from lookbook.core import arrays
from lookbook.data.dataset import Dataset
from lookbook.data.splits import split_validation
from lookbook.recipes import STANDARD
from lookbook.training.calibration import learn_novelty
from lookbook.training.loop import fit

def watch():
    while True:
        with open("/proc/self/status") as status:
            most.append(next(int(line.split()[1]) for line in status if "RssAnon" in line))
        time.sleep(0.01)

arrays.CHUNK = 2**22
most = []
threading.Thread(target=watch, daemon=True).start()
recipe = replace(STANDARD, widths=(4, 4, 4), batch_size=500)
for n in (8192, 8192, 16_384):
    images = np.memmap(sys.argv[1], np.uint8, "r", shape=(n, 64, 64, 3))
    whole = Dataset(images, np.arange(n) % 2, ("cat", "dog"))
    whole = whole.match(whole.polarity)
    training, validation = split_validation(whole, seed=0)
    training.sha256()
    parts = [(part.images, part.labels) for part in (training, validation)]
    few = replace(recipe, epochs=2000 / n)
    fitted = fit(parts[0], (parts[1][0][:500], parts[1][1][:500]), few, 2)
    learn_novelty(fitted.classifier, parts[0])
    # the middle one: what is taken for a moment is caught or not, by chance
    print(1024 * sorted(most)[len(most) // 2])
    most.clear()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_images_on_the_disk_are_not_copied_into_memory(tmp_path):
    with (tmp_path / "images").open("wb") as file:
        for seed in range(16):
            rng = np.random.default_rng(seed)
            rng.integers(0, 256, (1024, 64, 64, 3), np.uint8).tofile(file)
    ended = subprocess.run(
        [sys.executable, "-c", _FIT_ON_DISK, tmp_path / "images"],
        # what is free is given back at once (glibc), and does not count
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    _, few, many = map(int, ended.stdout.split())
    # 100 MB of images more
    assert many - few < 40_000_000


def test_the_state_of_torchs_own_generator_decides_nothing():
    data = made_images(60, seed=0)
    torch.manual_seed(1)
    first = fit(data, None, TINY, 3)
    torch.manual_seed(2)
    assert bits(first) == bits(fit(data, None, TINY, 3))


def test_progress_counts_every_image_and_ends_each_epoch_once():
    told = []
    fit(made_images(100, seed=0), None, TINY, 3, callbacks=[Listener(told.append)])
    ends = [(p.epoch, p.images, p.seconds_left) for p in told if p.epoch_ended]
    assert ends == [(1, 100, pytest.approx(ends[0][2])), (2, 100, 0.0)]
    assert all(p.seconds_left >= 0 and p.images_per_epoch == 100 for p in told)


def test_a_stop_ends_at_the_step_and_keeps_what_is_learnt():
    asked = iter([False] * 4 + [True] * 9)
    stop = StopWhen(lambda: next(asked))
    fitted = fit(made_images(100, seed=0), None, TINY, 3, callbacks=[stop])
    assert fitted.stopped
    assert [entry.images for entry in fitted.history] == [38]  # of 100 in 13 steps


def test_a_loss_that_is_not_finite_stops_training_with_advice():
    steep = replace(TINY, learning_rate=1e30)
    with pytest.raises(TrainingError) as caught:
        fit(made_images(100, seed=0), None, steep, 3)
    assert str(caught.value) == (
        "the loss is no longer finite in epoch 1; try a smaller learning rate, and look for "
        "damaged images: `lookbook.load(data)`"
    )


def test_a_part_of_an_epoch_takes_that_part_of_the_images():
    images, labels = made_images(800, seed=0)
    fitted = fit((images, labels), None, QUICK.with_epochs(1.5), 3)  # two steps an epoch
    assert [entry.images for entry in fitted.history] == [800, 400]
    fitted = fit((images, labels), None, replace(TINY, epochs=1.5), 3)
    assert [entry.images for entry in fitted.history] == [800, 400]


def test_an_image_left_over_breaks_no_norm():
    """189 images once left one alone: the norms had nothing to take a mean of."""
    for n in (189, 33, 2):
        fitted = fit(made_images(n, seed=0), None, STANDARD.suited_to(n).with_epochs(1), 3)
        assert fitted.history[-1].images == n


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no accelerator here")
def test_an_accelerator_learns_what_the_processor_learns():
    data = made_images(300, seed=0)
    fitted = fit(data, data, TUTORIAL.with_epochs(4), 3)
    assert fitted.history[-1].val_accuracy > 0.95
