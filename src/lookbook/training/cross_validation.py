"""Cross-validation: out-of-fold answers, for a report, and to calibrate by few images."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.core.arrays import chunks, sample, softmax, take_rows
from lookbook.data.groups import Grouping, group_images
from lookbook.data.splits import stratified_choice
from lookbook.evaluation.audit import LEAST, OutOfFold
from lookbook.images.sprites import shrink
from lookbook.inference.thresholds import FEWEST_LABELS
from lookbook.networks.devices import as_tensor, pick_device, settle
from lookbook.recipes import QUICK, STANDARD
from lookbook.runs.schema import CROSS_VALIDATED
from lookbook.training.calibration import (
    Unseen,
    answer,
    at_once,
    find_sure,
    learn_novelty,
    novelties,
)
from lookbook.training.loop import Fitted, fit
from lookbook.training.steps.head import as_maps, fit_alone, fit_on_maps, on_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from jaxtyping import Float, Float32, Int64, Shaped, UInt8
    from torch import Tensor

    from lookbook.data.dataset import Dataset
    from lookbook.networks.classifier import Classifier
    from lookbook.recipes import Recipe
    from lookbook.runs.config import TrainConfig
    from lookbook.runs.data_parts import TrainingParts
    from lookbook.training.loop import Labelled
    from lookbook.training.steps.features import Inputs

    class FitFold(Protocol):
        """Fits a network for one fold."""

        def __call__(
            self, training: Labelled, kept: Int64[np.ndarray, "M"], *, stage: str
        ) -> Fitted:
            """Return what `loop.fit` does; `kept` are the places of these images among all."""


#: networks that share the images: to judge labels by, and to calibrate by; and heads alone, which
#: take no time on features that are there
FOLDS, CALIBRATION_FOLDS, HEAD_FOLDS = 5, 3, 5
#: passes of such a network beside those of the one that is calibrated, and time, where that ends it
FOLD_EPOCHS, FOLD_TIME = 0.5, 1 / 3
#: time of all fits beside that of the first one
ALL_FITS = 1 + CALIBRATION_FOLDS * FOLD_TIME
#: images above which a validation part is calibrated by, however small: networks would take long
MOST_IMAGES = 1000
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
        taught = take_rows(training.images, inside), training.labels[inside]
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


def is_for(recipe: Recipe | None, n_learnt: int, n_validation: int) -> bool:
    """Say whether to calibrate by cross-validation: the validation part is too small to.

    It takes as long as the fit, or of heads alone a moment. From scratch, so few images are as good
    as not recognised.

    >>> from lookbook.recipes import TRANSFER
    >>> [is_for(TRANSFER, *counts) for counts in ((85, 15), (40, 6), (400, 70), (3000, 20))]
    [True, False, False, False]
    >>> is_for(STANDARD, 85, 15)
    False
    """
    if recipe is None or recipe.network not in {"efficientnet", "backbone"}:
        return False
    few = n_validation < FEWEST_LABELS and n_learnt <= MOST_IMAGES
    return few and n_learnt + n_validation >= FEWEST_LABELS


def learn_usual(fitted: Fitted, learnt: Labelled) -> None:
    """Let a fitted classifier learn which traits are usual, by features where they are there."""
    classifier, frozen = fitted.classifier, fitted.frozen
    if frozen is not None and len(frozen) == len(learnt[1]):
        learn_novelty(on_features(classifier), (as_maps(frozen), learnt[1]))
    else:
        learn_novelty(classifier, learnt)


def ask_twin(
    fitted: Fitted, given: Inputs, fit_on: Callable[..., Fitted]
) -> tuple[Fitted, Classifier, Unseen]:
    """Return a fit, its twin that did not see the validation part, and what that says of it.

    Those of a twin that was stopped say nothing.
    """
    training, validation = given.training, given.validation
    twin = fit_on(training, validation, stage="calibration twin")
    judge = twin.classifier
    learn_novelty(judge, training)
    of = "a twin trained without the validation part"
    if twin.stopped:
        none = Unseen.by(judge, fitted.val_logits, validation, of)
        return replace(fitted, stopped=True), judge, none
    fitted.classifier.sure.copy_(judge.sure)
    return fitted, judge, Unseen.by(judge, twin.val_logits, validation, of)


def cross_validate(
    fitted: Fitted,
    unseen: Unseen,
    config: TrainConfig,
    parts: TrainingParts,
    given: Inputs,
    fit_on: Callable[..., Fitted],
) -> tuple[Fitted, Unseen]:
    """Return a fit, and out-of-fold answers to what it learnt from beside those that it gave.

    Those of a cross-validation that was stopped say nothing.

    Parameters
    ----------
    fit_on
        Fits as the network was fitted, but for what it is given.
    """
    learnt, frozen, seed = given.images or parts.learnt, fitted.frozen, config.seed
    n_classes = len(learnt.classes)
    balanced = config.recipe.class_weights == "balanced"
    if given.views is not None:
        fit_fold = partial(_fit_head, partial(fit_on_maps, n_classes=n_classes, balanced=balanced))
        answers = answer_unseen(fit_fold, learnt, seed, as_maps(given.views), HEAD_FOLDS)
    elif frozen is not None:
        answers = answer_by_heads(frozen, learnt, seed, balanced=balanced)
    else:
        fit_fold = partial(_fit_network, fit_on, config, fitted.features)
        answers = answer_unseen(fit_fold, learnt, seed)
    if answers is None:
        return replace(fitted, stopped=True), unseen
    out_of_fold, sure = answers
    if parts.final:
        fitted.classifier.sure.fill_(sure)
    return fitted, join_unseen(out_of_fold, unseen)


def answer_by_heads(
    features: Float32[np.ndarray, "N V T"], learnt: Dataset, seed: int, *, balanced: bool
) -> tuple[Unseen, float] | None:
    """Return what `answer_unseen` does, by heads on features that a frozen network gave."""
    n_classes = len(learnt.classes)
    fit_fold = partial(_fit_head, partial(fit_alone, n_classes=n_classes, balanced=balanced))
    return answer_unseen(fit_fold, learnt, seed, as_maps(features), HEAD_FOLDS)


def _fit_network(
    fit_on: Callable[..., Fitted],
    config: TrainConfig,
    features: Float32[np.ndarray, "N V T"] | None,
    training: Labelled,
    kept: Int64[np.ndarray, "M"],
    *,
    stage: str,
) -> Fitted:
    """Fit all layers for one fold, from features that the fit on all images began with."""
    recipe, limit = config.recipe, config.fit_seconds
    return fit_on(
        training,
        None,
        recipe=recipe.with_epochs(FOLD_EPOCHS * recipe.epochs),
        seconds=None if limit is None else FOLD_TIME * limit,
        stage=stage,
        features=None if features is None else features[kept],
    )


def _fit_head(
    fit_to: Callable[..., Classifier],
    training: Labelled,
    _kept: Int64[np.ndarray, "M"],
    *,
    stage: str,
) -> Fitted:
    """Fit the head for one fold, on maps of features."""
    del stage  # takes no time that anybody would hear of
    classifier = fit_to(*training)
    none = np.zeros((0, classifier.network.n_classes), np.float32)
    return Fitted(classifier, [], seconds=0.0, val_logits=none, stopped=False)


def answer_unseen(
    fit_fold: FitFold,
    learnt: Dataset,
    seed: int,
    raw: Shaped[np.ndarray, "N *shape"] | None = None,
    folds: int = CALIBRATION_FOLDS,
) -> tuple[Unseen, float] | None:
    """Return out-of-fold answers to what was learnt from, and when these networks are `sure`.

    Each network learns from all folds of the images but one, which it answers; copies, and what the
    user groups, are in one fold. They see less than the network that they stand for,
    so that it is right a little more often than they say. Images whose class would not be learnt
    are left out. `raw` is what networks see for the images, where that is something else. None
    where a fit was stopped.
    """
    answers, sure = [], []
    raw = learnt.images if raw is None else raw
    for number, kept, held_out in _folds(learnt, seed, folds):
        training, part = ((take_rows(raw, own), learnt.labels[own]) for own in (kept, held_out))
        fitted = fit_fold(training, kept, stage=f"calibration fold {number}")
        if fitted.stopped:
            return None
        learn_novelty(fitted.classifier, training)
        logits = _look_at(fitted.classifier, part)
        answers.append((logits, part[1], novelties(fitted.classifier, part[0])))
        sure.append(float(fitted.classifier.sure))
    logits, labels, strange = (np.concatenate(each) for each in zip(*answers, strict=True))
    return Unseen(logits, labels, strange, CROSS_VALIDATED), float(np.mean(sure))


def _look_at(classifier: Classifier, part: Labelled) -> Float32[np.ndarray, "N K"]:
    """Return logits by as many views as a model file takes, once it is said when it is `sure`."""
    device = pick_device()
    classifier.to(device)
    if classifier.has_views:
        classifier.sure.fill_(find_sure(classifier, part, device))

    def look(raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        logits: Tensor = classifier.look(raw)[0]
        return logits

    logits = answer(look, part, device, 0, at_once=at_once(classifier))
    classifier.cpu()
    return logits


def _folds(
    learnt: Dataset, seed: int, folds: int
) -> Iterator[tuple[int, Int64[np.ndarray, "N"], Int64[np.ndarray, "M"]]]:
    """Yield number, images to learn from, and images to answer, of each fold."""
    labels = learnt.labels
    groups = learnt.groups or group_images(learnt.images, Grouping())
    left, n = np.arange(len(labels)), len(labels)
    for number in range(folds):
        folds_left = folds - number
        chosen = left
        if folds_left > 1:
            share = round(len(left) / folds_left)
            drawn = stratified_choice(labels[left], share, seed=seed, groups=groups.take(left))
            chosen = left[drawn]
        left = np.setdiff1d(left, chosen)
        kept = np.setdiff1d(np.arange(n), chosen)
        known = chosen[np.isin(labels[chosen], labels[kept])]
        if len(known):
            yield number + 1, kept, known


def join_unseen(out_of_fold: Unseen, others: Unseen) -> Unseen:
    """Return answers to both, as those of a cross-validation."""
    return Unseen(
        np.concatenate([out_of_fold.logits, others.logits]),
        np.concatenate([out_of_fold.labels, others.labels]),
        np.concatenate([out_of_fold.novelties, others.novelties]),
        out_of_fold.of,
    )
