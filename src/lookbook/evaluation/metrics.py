"""Metrics: accuracy with its interval, per-class scores, calibration error, coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.class_counts import are_uneven
from lookbook.runs.schema import ClassScore, Confused, Validation, Weakness

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64

    from lookbook.runs.schema import Scores

#: how it is said of the network
WEAKNESSES: dict[Weakness, str] = {
    "under_one_epoch": "trained for less than one epoch: it has not seen every training image",
    "not_above_commonest": (
        "on validation not clearly better than always answering the commonest class"
    ),
}
#: standard normal quantiles of a two-sided 95 % interval, and of a one-sided one
Z95, ONE_SIDED = 1.959964, 1.644854


def accuracy(probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]) -> float:
    """Return the share of images whose most probable class is the right one.

    >>> accuracy(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([0, 0]))
    0.5
    """
    return float(np.mean(probs.argmax(axis=1) == labels))


def wilson_interval(share: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Return the 95 % interval of a share that was seen in `n` independent trials.

    `z` is the normal quantile of another one. Source: Wilson (1927); unlike share ± 1.96·σ it
    stays inside 0..1 and holds for small `n`.

    >>> low, high = wilson_interval(0.8863, 10_000)
    >>> round(low, 4), round(high, 4)
    (0.8799, 0.8924)
    """
    centre = share + z**2 / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def commonest_share(counts: Int64[np.ndarray, "K"]) -> float:
    """Return the accuracy of always answering the class that has most images.

    >>> commonest_share(np.array([200, 15, 8]))
    0.896...
    """
    return float(counts.max() / counts.sum())


def is_clearly_above(share: float, n: int, level: float) -> bool:
    """Say whether a share that was seen in `n` trials is above a level, and not by chance alone.

    A one-sided test: the lower end of the 95 % interval (Wilson's) must be above the level.

    >>> is_clearly_above(0.60, 50, 0.5), is_clearly_above(0.60, 500, 0.5)
    (False, True)
    """
    return wilson_interval(share, n, ONE_SIDED)[0] > level


def balanced_accuracy(confusion: Int64[np.ndarray, "K K"]) -> float:
    """Return the mean recall of the classes that have images: each class counts the same.

    >>> balanced_accuracy(np.array([[8, 0], [1, 1]]))
    0.75
    """
    present = confusion.sum(axis=1)
    return float(np.mean(np.diagonal(confusion)[present > 0] / present[present > 0]))


def tells_apart(confusion: Int64[np.ndarray, "K K"]) -> bool:
    """Say whether answers tell classes apart, and not by chance alone.

    A permutation test, one-sided: of shuffled answers, to which each image has nothing to say,
    fewer than one in twenty reach this balanced accuracy. Source: Fisher (1935).

    >>> tells_apart(np.array([[24, 6], [0, 3]])), tells_apart(np.array([[30, 0], [3, 0]]))
    (True, False)
    """
    k = len(confusion)
    labels, answers = np.divmod(np.repeat(np.arange(k * k), confusion.ravel()), k)
    reached, rng, draws = balanced_accuracy(confusion) - 1e-9, np.random.default_rng(0), 999
    shuffled = (labels * k + rng.permutation(answers) for _ in range(draws))
    as_high = sum(
        balanced_accuracy(np.bincount(each, minlength=k * k).reshape(k, k)) >= reached
        for each in shuffled
    )
    return (1 + as_high) / (1 + draws) < 0.05


def macro_f1(confusion: Int64[np.ndarray, "K K"]) -> float:
    """Return the mean F1 of the classes that have images or are answered: each counts the same.

    >>> macro_f1(np.array([[8, 0], [1, 1]]))
    0.803...
    """
    both = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diagonal(confusion)[both > 0] / both[both > 0]))


def log_loss(probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]) -> float:
    """Return the mean of −ln p(right class), in nats; the cross-entropy that training minimises.

    >>> round(log_loss(np.array([[0.5, 0.5]]), np.array([1])), 4)
    0.6931
    """
    right = probs[np.arange(len(labels)), labels].astype(np.float64)
    # float32 probabilities underflow to 0 where a model is far too sure
    mean = float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())
    return max(0.0, mean)  # never -0.0, where a model is sure and right


def calibration_error(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"], bins: int = 15
) -> float:
    """Return the expected calibration error of the top class: mean |accuracy − confidence|.

    Bins of equal width, weighted by how many images fall into each. Source: Guo et al. (2017).

    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    return confidence_error(probs.max(axis=1), probs.argmax(axis=1) == labels, bins)


def confidence_error(
    confidence: Float[np.ndarray, "N"], right: Bool[np.ndarray, "N"], bins: int = 15
) -> float:
    """Return the calibration error of answers that were given with these probabilities.

    >>> confidence_error(np.array([0.75] * 4), np.array([True, True, True, False]))
    0.0
    """
    confidence = confidence.astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def calibration_error_by_chance(
    probs: Float[np.ndarray, "N K"], bins: int = 15, draws: int = 200
) -> float:
    """Return the mean calibration error of answers whose probabilities are exactly true.

    Even these differ from the shares of few images: what is right is drawn here, again and again,
    with the probabilities that were said.

    >>> 0 < calibration_error_by_chance(np.full((100, 2), 0.5)) < 0.1
    True
    >>> calibration_error_by_chance(np.array([[1.0, 0.0]]))
    0.0
    """
    rng = np.random.default_rng(0)
    confidence = probs.max(axis=1).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    errors = []
    for _ in range(draws):
        right = rng.random(len(confidence)) < confidence
        gaps = np.bincount(bin_of, weights=right - confidence, minlength=bins)
        errors.append(np.abs(gaps).sum() / len(confidence))
    return float(np.mean(errors))


def reliability(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"], bins: int = 15
) -> list[tuple[float, float, float]]:
    """Return (mean confidence, accuracy, share of the images) of each bin that is not empty.

    The bins are those of `calibration_error`.

    >>> reliability(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    [(0.75, 0.75, 1.0)]
    """
    confidence = probs.max(axis=1).astype(np.float64)
    right = (probs.argmax(axis=1) == labels).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[inside].mean()), float(right[inside].mean()), float(inside.mean()))
        for inside in (bin_of == k for k in np.unique(bin_of))
    ]


def coverage_curve(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"], points: int = 100
) -> tuple[list[float], list[float]]:
    """Return shares of the images, the surest first, and the accuracy on each of these.

    For each of so many equal steps the smallest set of the surest images that is as large as it,
    or larger. Images of one confidence are in a set together, so that no order decides.

    >>> probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.5, 0.5]])
    >>> coverage_curve(probs, np.array([0, 1, 0, 1]))
    ([0.25, 0.75, 1.0], [1.0, 0.666..., 0.5])
    """
    n, confidence = len(labels), probs.max(axis=1)
    order = np.argsort(-confidence)
    right, sure = (probs.argmax(axis=1) == labels)[order], confidence[order]
    # how many images there are from each confidence on
    counts = np.append(np.flatnonzero(sure[1:] < sure[:-1]) + 1, n)
    # in whole numbers: 0.07 * 100 is more than 7
    wanted = -(-n * np.arange(1, points + 1) // points)
    counts = np.unique(counts[np.searchsorted(counts, wanted)])
    accuracies = np.cumsum(right)[counts - 1] / counts
    return (counts / n).tolist(), accuracies.tolist()


def confusion_matrix(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]
) -> Int64[np.ndarray, "K K"]:
    """Count images by true class (row) and predicted class (column).

    >>> confusion_matrix(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1])).tolist()
    [[1, 0], [1, 0]]
    """
    k = probs.shape[1]
    return np.bincount(labels * k + probs.argmax(axis=1), minlength=k * k).reshape(k, k)


def per_class(confusion: Int64[np.ndarray, "K K"], classes: tuple[str, ...]) -> list[ClassScore]:
    """Return precision, recall, F1 and number of images of each class.

    A class that is never predicted (or never there) has precision (or recall) 0.

    >>> per_class(np.array([[3, 1], [0, 4]]), ("cat", "dog"))[0]
    ClassScore(name='cat', precision=1.0, recall=0.75, f1=0.857..., n=4)
    """
    hits = np.diagonal(confusion).astype(float)
    predicted, present = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(present, 1)
    f1 = 2 * hits / np.maximum(predicted + present, 1)
    return [
        ClassScore(
            name=name,
            precision=float(precision[k]),
            recall=float(recall[k]),
            f1=float(f1[k]),
            n=int(present[k]),
        )
        for k, name in enumerate(classes)
    ]


class ClassShares(NamedTuple):
    """Shares of the answers of one class, or of its images; None: of nothing."""

    precision: float | None
    recall: float | None
    f1: float | None


def class_shares(found: Scores) -> list[ClassShares]:
    """Return precision, recall and F1 of each class, of what `evaluate` found; None: of nothing.

    There is no precision of a class that was never answered, no recall of one without images.

    >>> from lookbook.evaluation.evaluate import judge
    >>> class_shares(judge(np.array([[0.9, 0.1]]), np.array([0]), ("cat", "dog")))[1]
    ClassShares(precision=None, recall=None, f1=None)
    """
    answered = np.sum(found.confusion_matrix, axis=0)
    return [
        ClassShares(
            one.precision if given else None,
            one.recall if one.n else None,
            one.f1 if given + one.n else None,
        )
        for one, given in zip(found.per_class, answered, strict=True)
    ]


@dataclass(frozen=True)
class Baseline:
    """What always answering the commonest class would give, and whether answers are better."""

    commonest: str
    #: the accuracy of always answering it
    commonest_share: float
    #: whether the accuracy is clearly above that
    above_commonest: bool
    balanced_accuracy: float
    macro_f1: float


def baseline(confusion: Int64[np.ndarray, "K K"], classes: tuple[str, ...]) -> Baseline:
    """Return what always answering the commonest class would give, and whether this is better.

    >>> found = baseline(np.array([[9, 0], [1, 0]]), ("cat", "dog"))
    >>> found.commonest, found.commonest_share, found.above_commonest, found.balanced_accuracy
    ('cat', 0.9, False, 0.5)
    """
    counts, n = confusion.sum(axis=1), int(confusion.sum())
    share = float(np.trace(confusion) / n)
    level = commonest_share(counts)
    return Baseline(
        commonest=classes[int(counts.argmax())],
        commonest_share=level,
        above_commonest=is_clearly_above(share, n, level),
        balanced_accuracy=balanced_accuracy(confusion),
        macro_f1=macro_f1(confusion),
    )


def most_confused(
    confusion: Int64[np.ndarray, "K K"], classes: tuple[str, ...], most: int = 5
) -> list[Confused]:
    """Return the pairs that are mistaken for each other most, in both directions together.

    >>> most_confused(np.array([[3, 1], [2, 4]]), ("cat", "dog"))
    [Confused(pair=('cat', 'dog'), count=3, first_as_second=1, second_as_first=2)]
    """
    both = np.triu(confusion + confusion.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = [(int(i) // len(classes), int(i) % len(classes)) for i in order]
    return [
        Confused(
            pair=(classes[a], classes[b]),
            count=int(both[a, b]),
            first_as_second=int(confusion[a, b]),
            second_as_first=int(confusion[b, a]),
        )
        for a, b in pairs
        if both[a, b] > 0
    ]


def on_validation(
    probs: Float[np.ndarray, "M K"], labels: Int64[np.ndarray, "M"], of: str
) -> Validation | None:
    """Say how good answers `of` a network to the validation part are; None where there are none.

    >>> on_validation(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]), "a").accuracy
    0.75
    """
    if len(probs) == 0:
        return None
    share, confusion = accuracy(probs, labels), confusion_matrix(probs, labels)
    return Validation(
        accuracy=share,
        interval=wilson_interval(share, len(labels)),
        loss=log_loss(probs, labels),
        calibration_error=calibration_error(probs, labels),
        commonest_share=commonest_share(np.bincount(labels)),
        uneven=are_uneven(np.bincount(labels)),
        balanced_accuracy=balanced_accuracy(confusion),
        macro_f1=macro_f1(confusion),
        n=len(labels),
        of=of,
    )


def weaknesses(
    validation: Validation | None, epochs: float, balanced: Int64[np.ndarray, "K K"] | None = None
) -> list[Weakness]:
    """Say why a trained network is not to be relied on; nothing where nothing speaks against it.

    `under_one_epoch`: it has not seen every training image. `not_above_commonest`: its accuracy on
    the validation part (see `on_validation`) is not clearly above that of always answering the
    commonest class. Where training balanced classes, which gives up accuracy for rare ones, the
    confusion matrix of that part is `balanced`: then recalls have to be as good as chance, too.

    >>> guessing = on_validation(np.array([[0.6, 0.4]] * 40), np.arange(40) % 2, "this network")
    >>> weaknesses(guessing, epochs=0.05)
    ['under_one_epoch', 'not_above_commonest']
    >>> weaknesses(None, epochs=10)
    []
    """
    found: list[Weakness] = ["under_one_epoch"] if epochs < 1 else []
    if validation is None or is_clearly_above(
        validation.accuracy, validation.n, validation.commonest_share
    ):
        return found
    if balanced is None or not tells_apart(balanced):
        found.append("not_above_commonest")
    return found
