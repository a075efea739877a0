"""Head first: pretrained weights, and a head that suits their features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookbook.networks.classifier import build_classifier
from lookbook.networks.efficientnet import FROZEN
from lookbook.networks.pretrained import load_pretrained
from lookbook.recipes import TRANSFER
from lookbook.training import state
from lookbook.training.calibration import learn_novelty
from lookbook.training.callbacks import Callback
from lookbook.training.loop import fit
from lookbook.training.steps.head import as_maps, fit_alone, fit_head, on_features, warm_start


def striped(n, classes, seed=0):
    """Return images whose stripes are as many as their class says, twice over."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    across = np.arange(48)[None, :] + rng.integers(0, 48, (n, 1))
    rows = 128 + 90 * np.sin(2 * np.pi * across * (2 * labels[:, None] + 2) / 48)
    images = np.repeat(rows[:, None, :, None], 48, 1) + rng.normal(0, 12, (n, 48, 48, 3))
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def started():
    """Return a function that builds a classifier for some classes, and starts it."""

    def start(images, labels, n_classes):
        classifier = build_classifier(TRANSFER, images, n_classes, seed=0)
        warm_start(classifier, images, labels)
        return classifier.eval()

    return start


def answers(classifier, images):
    with torch.inference_mode():
        return classifier(torch.from_numpy(images))[0].argmax(1).numpy()


@pytest.mark.parametrize("sure", [0, np.inf])
def test_features_answer_as_their_images_do_in_one_view_and_in_both(sure):
    images, labels = striped(20, 2)
    classifier = build_classifier(TRANSFER, images, 2, seed=0).eval()
    features = warm_start(classifier, images, labels)
    assert features.shape == (20, 2, 1280)
    learn_novelty(classifier, (images, labels))
    alone = on_features(classifier)
    for each in (classifier, alone):
        each.sure.fill_(sure)
    with torch.inference_mode():
        logits, novelty = classifier.look(torch.from_numpy(images))
        by_features = alone.look(torch.from_numpy(as_maps(features)))
    torch.testing.assert_close(by_features[0], logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(by_features[1], novelty, rtol=1e-3, atol=1e-5)


def test_a_head_that_is_fitted_to_some_features_is_that_of_their_images(started):
    images, labels = striped(40, 4)
    kept = np.arange(8, 40)
    features = warm_start(build_classifier(TRANSFER, images, 4, seed=0), images, labels)
    alone = fit_alone(as_maps(features[kept]), labels[kept], 4)
    own = started(images[kept], labels[kept], 4).network.head
    assert torch.equal(alone.network.head.weight, own.weight)
    assert torch.equal(alone.network.head.bias, own.bias)
    known = build_classifier(TRANSFER, images[kept], 4, seed=0)
    warm_start(known, images[kept], labels[kept], features[kept])
    assert torch.equal(known.network.head.weight, own.weight)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_head_on_few_images_answers_for_others(started, classes):
    classifier = started(*striped(10 * classes, classes), classes)
    images, labels = striped(20 * classes, classes, seed=1)
    assert (answers(classifier, images) == labels).mean() > 0.9


def test_all_but_the_head_is_what_imagenet_taught(started):
    network, pretrained = started(*striped(6, 3), 3).network, load_pretrained()
    for name, weight in network.named_parameters():
        if not name.startswith("head."):
            assert torch.equal(weight, pretrained.get_parameter(name)), name


def test_the_first_blocks_stay_what_imagenet_taught():
    images, labels = striped(16, 2)
    network = fit((images, labels), None, TRANSFER.with_epochs(1), 2).classifier.network
    published = load_pretrained().state_dict()
    moved = {
        name.rpartition(".layers")[0] or name.partition(".")[0]
        for name, value in network.state_dict().items()
        if name in published and not torch.equal(value, published[name])
    }
    assert moved - {"head"} == {"top"} | {f"blocks.{i}" for i in range(FROZEN, 16)}


def test_a_class_without_images_is_never_the_answer(started):
    images, labels = striped(20, 2)
    classifier = started(images, 2 * labels, 4)
    assert set(answers(classifier, images)) == {0, 2}


def test_images_of_one_class_leave_the_head_as_it_is():
    images, _ = striped(4, 1)
    classifier = build_classifier(TRANSFER, images, 2, seed=0)
    before = classifier.network.head.weight.clone()
    fit_head(classifier.network.head, np.ones((4, 2, 1280), np.float32), np.zeros(4, np.int64))
    assert torch.equal(before, classifier.network.head.weight)


def test_grey_images_have_a_head_too(started):
    images, labels = striped(20, 2)
    classifier = started(images[..., 0], labels, 2)
    assert (answers(classifier, images[..., 0]) == labels).all()


def test_a_balanced_head_counts_each_class_as_much():
    """All but the middle of two clouds is alike: of the few, half are found only if they count."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [95, 5])
    features = rng.normal(0, 1, (100, 1, 4)).astype(np.float32)
    features[:, 0, 0] += labels
    heads = [torch.nn.Linear(4, 2) for _ in range(2)]
    found = []
    for head, balanced in zip(heads, (False, True), strict=True):
        fit_head(head, features, labels, balanced=balanced)
        with torch.inference_mode():
            said = head(torch.from_numpy(features[:, 0])).argmax(1).numpy()
        found.append(int((said[labels == 1] == 1).sum()))
    assert found[0] < found[1]


def test_of_many_passes_an_average_of_the_weights_is_kept(monkeypatch):
    data, recipe = striped(16, 2), replace(TRANSFER, epochs=2, batch_size=8)
    monkeypatch.setattr(state, "AVERAGED", 2)
    seen: list[torch.Tensor] = []

    class Heads(Callback):
        def on_step_end(self, training):
            seen.append(training.tensors()["network.head.weight"].detach().clone())

    average = fit(data, None, recipe, 2, callbacks=[Heads()]).classifier.network.head.weight
    torch.testing.assert_close(average, torch.stack(seen).mean(0))
    assert not torch.equal(average, seen[-1])
    monkeypatch.setattr(state, "AVERAGED", 3)
    assert torch.equal(fit(data, None, recipe, 2).classifier.network.head.weight, seen[-1])
