"""Ask networks what pictures show that they have not seen: out-of-fold probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.audit import LEAST
from lookbook.calibration import softmax
from lookbook.datasets import chunks
from lookbook.devices import as_tensor, settle
from lookbook.fitting import fit
from lookbook.recipes import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int64, UInt8

    from lookbook.datasets import Dataset
    from lookbook.networks import Classifier

#: networks that share the pictures
FOLDS = 5


def ask(
    training: Dataset, test: Dataset, tell: Callable[[str], None] = lambda _step: None
) -> tuple[Float[np.ndarray, "N K"], Float[np.ndarray, "M K"]] | None:
    """Return probabilities for the training and the test part, by networks that saw neither.

    Each of five `quick` networks learns from four fifths of the training part and judges the last
    fifth; the test part gets the mean of all five. Classes of fewer than two training pictures are
    left out: rows of their pictures are NaN. None where fewer than two classes are left.
    """
    enough = training.counts >= LEAST
    if enough.sum() < 2:
        return None
    known = np.flatnonzero(enough[training.labels])
    folds = min(FOLDS, len(known))  # each has a picture
    fold = np.full(len(training), -1)
    fold[known] = assign_folds(training.labels[known], folds)
    k = len(training.classes)
    judged = np.full((len(training), k), np.nan, np.float32)
    on_test = np.zeros((len(test), k), np.float32)
    on_test[~enough[test.labels]] = np.nan
    for number in range(folds):
        tell("opinions")
        inside, outside = known[fold[known] != number], np.flatnonzero(fold == number)
        taught = training.images[inside], training.labels[inside]
        fitted = fit(taught, None, settle(QUICK.suited_to(len(inside))), k, seed=number)
        judged[outside] = _answer(fitted.classifier, training.images[outside])
        on_test += _answer(fitted.classifier, test.images) / folds
    return judged, on_test


def _answer(
    classifier: Classifier, images: UInt8[np.ndarray, "N H W *C"]
) -> Float[np.ndarray, "N K"]:
    parts = chunks(len(images), 4 * images[0].size)
    with torch.inference_mode():
        logits = [classifier.look(as_tensor(images[part]))[0].numpy() for part in parts]
    return softmax(np.concatenate(logits))


def assign_folds(labels: Int64[np.ndarray, "N"], folds: int) -> Int64[np.ndarray, "N"]:
    """Deal the pictures of each class out to the folds, in an order drawn once and for all.

    >>> assign_folds(np.array([0, 0, 1, 1]), 2).reshape(2, 2).sum(axis=1).tolist()
    [1, 1]
    """
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % folds
    return fold
