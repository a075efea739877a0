"""Out-of-fold probabilities from 5-fold cross-validation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.core.arrays import chunks, sample, softmax
from lookbook.evaluation.audit import LEAST, OutOfFold
from lookbook.images.sprites import shrink
from lookbook.networks.devices import as_tensor, settle
from lookbook.recipes import QUICK, STANDARD
from lookbook.training.loop import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Float32, Int64, UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.networks.classifier import Classifier
    from lookbook.recipes import Recipe

#: networks that share the images
FOLDS = 5
#: share of the labels that `quick` must find to be a judge; else convolutions judge, too
GOOD = 0.85
#: pixels on the longer side of what is judged, and pixels that all networks together may learn
#: from, each as often as it is seen: 2,438 photographs of 64×64 in 12 epochs, a minute of two cores
SIDE, MOST_PIXELS = 64, 480_000_000
#: labels by which the temperature is found
MOST_LABELS = 10_000


def out_of_fold(
    training: Dataset,
    test: Dataset,
    tell: Callable[[str], None] = lambda _step: None,
    *,
    mirror: bool = True,
) -> OutOfFold | None:
    """Return probabilities for the training and the test part, by networks that saw neither.

    Each of five networks learns from four fifths of the training part and judges the last fifth;
    the test part gets the mean of all five. They are `quick` where these find most labels, else
    `standard`, in as many epochs as there is time for, if these find more. A temperature makes
    the probabilities as true as the labels can tell.

    Classes of fewer than two training images are left out: rows of their images are NaN. None
    where fewer than two classes are left. Images `mirror` where left and right mean nothing.
    """
    if (training.counts >= LEAST).sum() < 2:
        return None
    small, small_test = (
        replace(part, images=shrink(part.images, SIDE)) for part in (training, test)
    )
    best = _predict(small, small_test, QUICK, tell)
    if best.accuracy < GOOD:
        recipe = STANDARD.with_mirror(asked=None, well=mirror)
        best = max(best, _predict(small, small_test, recipe, tell), key=lambda one: one.accuracy)
    return best


def _predict(
    training: Dataset, test: Dataset, recipe: Recipe, tell: Callable[[str], None]
) -> OutOfFold:
    """Judge by networks of one recipe."""
    enough = training.counts >= LEAST
    known = np.flatnonzero(enough[training.labels])
    folds = min(FOLDS, len(known))  # each has an image
    fold = np.full(len(training), -1)
    fold[known] = assign_folds(training.labels[known], folds)
    k = len(training.classes)
    judged = np.full((len(training), k), np.nan, np.float32)
    on_test = np.zeros((len(test), k), np.float32)
    on_test[~enough[test.labels]] = np.nan
    for number in range(folds):
        tell("out-of-fold")
        inside, outside = known[fold[known] != number], np.flatnonzero(fold == number)
        taught = training.images[inside], training.labels[inside]
        fitted = fit(taught, None, _suit(recipe, training, len(inside), folds), k, seed=number)
        judged[outside] = _answer(fitted.classifier, training.images[outside])
        on_test += _answer(fitted.classifier, test.images) / folds
    logits = np.log(np.maximum(judged[known], np.finfo(np.float32).tiny))
    temperature = fit_beside_errors(logits, training.labels[known])
    return OutOfFold(
        training=_temper(judged, temperature),
        test=_temper(on_test, temperature),
        networks=folds,
        recipe=recipe.name,
        accuracy=float((logits.argmax(axis=1) == training.labels[known]).mean()),
    )


def _suit(recipe: Recipe, training: Dataset, n: int, folds: int) -> Recipe:
    """Return a recipe for networks of which each learns from `n` of these images."""
    suited = recipe.suited_to(n, colour=training.channels == 3)
    if recipe.network == "conv":
        epochs = MOST_PIXELS / (n * folds * math.prod(training.size))
        suited = suited.with_epochs(min(suited.epochs, max(1.0, epochs)))
    return settle(suited)


def fit_beside_errors(logits: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]) -> float:
    """Return the temperature of greatest likelihood, where some of the labels may be wrong.

    With a share e of them wrong, drawn from all K classes alike, a label has the probability
    (1 - e) · softmax(logits / T) + e / K; T and e are searched together. Without e, wrong labels
    would make the networks look less sure than they are, and so hide.
    """
    logits, labels = sample(logits, MOST_LABELS).astype(np.float64), sample(labels, MOST_LABELS)
    n, k = logits.shape
    shares = np.append(0, np.geomspace(1e-4, 0.5, 40))
    fits = []
    for temperature in np.geomspace(0.1, 5, 40):
        own = softmax(logits / temperature)[np.arange(n), labels]
        likely = np.maximum(np.outer(1 - shares, own) + shares[:, None] / k, 1e-300)
        fits.append((float(np.log(likely).mean(axis=1).max()), float(temperature)))
    return max(fits)[1]


def _temper(probs: Float[np.ndarray, "N K"], temperature: float) -> Float32[np.ndarray, "N K"]:
    logits = np.log(np.maximum(probs, np.finfo(np.float32).tiny))
    return np.asarray(softmax(logits / temperature), np.float32)


def _answer(
    classifier: Classifier, images: UInt8[np.ndarray, "N H W *C"]
) -> Float[np.ndarray, "N K"]:
    parts = chunks(len(images), 4 * images[0].size)
    with torch.inference_mode():
        logits = [classifier.look(as_tensor(images[part]))[0].numpy() for part in parts]
    return softmax(np.concatenate(logits))


def assign_folds(labels: Int64[np.ndarray, "N"], folds: int) -> Int64[np.ndarray, "N"]:
    """Deal the images of each class out to the folds, in an order drawn once and for all.

    >>> assign_folds(np.array([0, 0, 1, 1]), 2).reshape(2, 2).sum(axis=1).tolist()
    [1, 1]
    """
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % folds
    return fold
