"""Thresholds from the validation part: confidence, conformal sets, novelty.

From where on an answer is "not sure", a class is likely, and an image "not one of these".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from msgspec import Meta, Struct, structs

from lookbook.core.document import Document
from lookbook.errors import InputError, check_types

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int64

#: labels below which nothing is fitted
FEWEST_LABELS = 50
#: values of each kind that a model file keeps of its calibration set
KEPT = 501
#: share of the images that get an answer, or whose set of classes holds the right one, where
#: nothing else is asked for
COVERAGE = 0.9
#: the same of photographs: 0.9 would let pass more shorts, hats and skirts than it gains garments
PHOTOGRAPH_COVERAGE = 0.84
#: probability at which an answer is as likely wrong as right
AS_LIKELY_WRONG = 0.5
#: share of the images of a calibration set that count as usual
USUAL = 0.97

#: values in order, evenly spaced ones of many
Ranks = Annotated[tuple[float, ...], Meta(min_length=1, max_length=KEPT)]
#: what is made of an answer
Verdict = Literal["answer", "not sure", "not one of these"]


class CalibrationSet(Document, Struct, frozen=True):
    """What a model said about images that training did not see, whose classes are known."""

    #: how many images there were
    n: int
    #: probability of the most probable class, and of the right one
    confidences: Ranks
    truths: Ranks
    novelties: Ranks
    #: for nine in ten images, whatever a file says; what runs beside it goes by them
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        for values in (self.confidences, self.truths, self.novelties):
            if len(values) > self.n:
                raise ValueError("a calibration set holds ranks of numbers")
            if not np.isfinite(values).all() or list(values) != sorted(values):
                raise ValueError("ranks are sorted, and finite")
        structs.force_setattr(self, "thresholds", Thresholds.of(self, sets=COVERAGE))

    @classmethod
    def of(
        cls,
        probs: Float[np.ndarray, "N K"],
        labels: Int64[np.ndarray, "N"],
        novelties: Float[np.ndarray, "N"],
        kept: int = KEPT,
    ) -> Self | None:
        """Keep so many ranks of what was said; None where fewer than 50 images say too little."""
        if len(labels) < FEWEST_LABELS:
            return None
        truths = probs[np.arange(len(labels)), labels]
        # down, so that an image at a threshold stays on its side
        sure, right = (
            _ranks(np.floor(np.float64(each) * 1e7) / 1e7, kept)
            for each in (probs.max(axis=1), truths)
        )
        return cls(len(labels), sure, right, _ranks(novelties, kept))

    def sure_from(self, coverage: float) -> float:
        """Return the probability that the most probable class of such a share of images reaches.

        Who answers from there on alone, answers that share of all images.

        >>> confidences = np.linspace(0.5, 1, 101)
        >>> probs = np.stack([confidences, 1 - confidences], axis=1)
        >>> CalibrationSet.of(probs, np.zeros(101, np.int64), confidences).sure_from(0.9)
        0.55
        """
        if coverage == 1:
            return 0.0
        return self.confidences[math.floor((1 - coverage) * (len(self.confidences) - 1) + 1e-9)]

    def likely_from(self, coverage: float) -> float:
        """Return the probability from which on a class belongs to the set of likely ones.

        Such sets hold the right class with that probability or more, whatever the images are, as
        long as those of the calibration set are like them. They are the smallest that do, on
        average; an image that fits no class well may have none.
        Source: Sadinle, Lei and Wasserman (2019), "Least ambiguous set-valued classifiers".

        >>> truths = np.arange(1, 100) / 100
        >>> probs = np.stack([truths, 1 - truths], axis=1)
        >>> CalibrationSet.of(probs, np.zeros(99, np.int64), truths).likely_from(0.9)
        0.1
        """
        rank = math.floor((self.n + 1) * (1 - coverage) + 1e-9)
        if rank == 0:
            return 0.0  # so few images vouch for all classes alone
        return self.truths[(rank - 1) * (len(self.truths) - 1) // (self.n - 1)]

    @property
    def strange_from(self) -> float:
        """Return the novelty beyond which an image is strange: that of 3 in 100 images."""
        return float(np.quantile(self.novelties, USUAL, method="higher"))


class PhotographCalibration(Struct, frozen=True):
    """What a model said about simulated photographs, where those are harder than its own images."""

    #: probabilities are raised to it, then they sum to 1 again: below 1 they say less
    power: Annotated[float, Meta(gt=0, le=400)]
    calibration: CalibrationSet
    #: where nothing else is asked for, whatever a file says; what runs beside it goes by them
    thresholds: Thresholds | None = None

    def __post_init__(self) -> None:
        structs.force_setattr(self, "thresholds", self.ask(sets=COVERAGE))

    def ask(self, *, coverage: float | None = None, sets: float | None = None) -> Thresholds:
        """Return thresholds for photographs, as `Thresholds.of` does for other images.

        Without a `coverage`, an answer that is as likely wrong as right is "not sure".
        """
        if coverage is not None:
            return Thresholds.of(self.calibration, coverage=coverage, sets=sets)
        usual = Thresholds.of(self.calibration, coverage=PHOTOGRAPH_COVERAGE, sets=sets)
        # a network that knows few photographs would answer most, and be wrong
        return replace(usual, sure=max(usual.sure or 0, AS_LIKELY_WRONG))

    def temper(self, probs: Float[np.ndarray, "N K"]) -> Float32[np.ndarray, "N K"]:
        """Return probabilities as they hold for photographs.

        >>> probs = np.array([[0.8, 0.2]])
        >>> set_ = CalibrationSet(1, (0.5,), (0.5,), (1.0,))
        >>> PhotographCalibration(0.5, set_).temper(probs).round(3).tolist()
        [[0.6669999957084656, 0.3330000042915344]]
        """
        powers = np.asarray(probs, np.float64) ** self.power
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class Thresholds:
    """From where on an answer is doubted, and classes are likely; None: never, or not asked for.

    The one rule for what is made of an answer. The examples of a bundle and the page to try a model
    on compare with the same numbers, in the same order.
    """

    #: a smaller probability of the most probable class is "not sure"
    sure: float | None = None
    #: classes of at least that probability are likely
    likely: float | None = None
    #: a greater novelty is "not one of these"
    strange: float | None = None

    @classmethod
    def of(
        cls,
        kept: CalibrationSet | None,
        *,
        coverage: float | None = None,
        sets: float | None = None,
    ) -> Self:
        """Return what a calibration set says: without a `coverage`, answers to nine in ten.

        Raises
        ------
        InputError
            A share is none, or is asked of a model that has no calibration set.
        """
        check_types(coverage=(coverage, Real | None), sets=(sets, Real | None))
        for name, share in (("coverage", coverage), ("sets", sets)):
            if share is not None and not 0 < share <= 1:
                raise InputError(f"{name} is a share above 0 and up to 1, got {share}")
        if kept is None and (coverage or sets):
            raise InputError(
                "this model had too few validation images to set a threshold by: it takes 50; "
                "leave `coverage` and `sets` out, or train with more images"
            )
        if kept is None:
            return cls()
        return cls(
            kept.sure_from(coverage or COVERAGE),
            None if sets is None else kept.likely_from(sets),
            kept.strange_from,
        )

    def is_unsure(self, confidence: float) -> bool:
        """Say whether the most probable class is not probable enough."""
        return self.sure is not None and confidence < self.sure

    def is_strange(self, novelty: float) -> bool:
        """Say whether an image is unlike those that the model learnt from."""
        return self.strange is not None and novelty > self.strange

    def judge_all(
        self, confidences: Float[np.ndarray, "N"], novelties: Float[np.ndarray, "N"]
    ) -> tuple[Bool[np.ndarray, "N"], Bool[np.ndarray, "N"]]:
        """Return which of many images are strange, and which answers not sure.

        >>> Thresholds(sure=0.5).judge_all(np.array([0.4, 0.9]), np.array([1.0, 9.0]))
        (array([False, False]), array([ True, False]))
        """
        strange = novelties > (math.inf if self.strange is None else self.strange)
        return strange, confidences < (0 if self.sure is None else self.sure)


def judge(*, unsure: bool, strange: bool) -> Verdict:
    """Return what is made of an answer: whether it is one of the classes at all counts first.

    >>> judge(unsure=True, strange=False), judge(unsure=True, strange=True)
    ('not sure', 'not one of these')
    """
    if strange:
        return "not one of these"
    return "not sure" if unsure else "answer"


def _ranks(values: Float[np.ndarray, "N"], kept: int) -> tuple[float, ...]:
    """Sort values, and choose evenly spaced ones of many; seven digits say enough."""
    ranks = np.linspace(0, len(values) - 1, min(len(values), kept)).round().astype(int)
    return tuple(float(f"{value:.7g}") for value in np.sort(values)[ranks])
