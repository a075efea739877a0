"""Features once: those of all images by a user's backbone, of mirrored ones too, within a time."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lookbook.core.listeners import tell_images
from lookbook.data.dataset import Dataset, join
from lookbook.errors import InputError, LookbookWarning
from lookbook.inference.graphs.backbone import AT_ONCE, Backbone

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64

    from lookbook.runs.config import TrainConfig
    from lookbook.runs.data_parts import TrainingParts
    from lookbook.training.loop import Labelled

#: share of the time that a fit has for features; the rest is for the head
SHARE = 0.75


class Inputs(NamedTuple):
    """What a fit is given: raw inputs and labels of each part."""

    training: Labelled
    validation: Labelled
    #: the training part, of a `final` run both
    learnt: Labelled
    #: of a backbone: features of each image that is learnt from, in both views, and these images
    views: Float32[np.ndarray, "N V D"] | None = None
    images: Dataset | None = None

    @classmethod
    def of(cls, parts: TrainingParts) -> Inputs:
        """Return the images themselves."""
        training, validation, learnt = (
            (each.images, each.labels) for each in (parts.training, parts.validation, parts.learnt)
        )
        return cls(training, validation, learnt)

    @classmethod
    def by(cls, backbone: Backbone, parts: TrainingParts, config: TrainConfig) -> Inputs:
        """Return the features of images, of training images both views where these mirror.

        Where time ends the fit, they are those of as many training images as it allows, drawn from
        all of them; those of all are the same with and without such an end.

        Raises
        ------
        InputError
            The time is too short for any, or the features are not finite.
        """
        work = _Work(backbone, parts, mirror=config.recipe.mirror, seconds=config.fit_seconds)
        validation = work.of(parts.validation, np.arange(len(parts.validation)), both=parts.final)
        order = np.random.default_rng(config.seed).permutation(len(parts.training))
        training = work.of(parts.training, order, both=True, until_end=True)
        work.tell_end()
        if len(training.places) < len(order):
            message = (
                f"the budget was enough for the features of {len(training.places):,} of "
                f"{len(order):,} training images; the head learnt from these"
            )
            warnings.warn(LookbookWarning(message), stacklevel=2)
        rows, views = training.all, training.stacked
        learnt, images = rows, parts.training.take(training.places)
        if parts.final:
            both = zip(rows, validation.all, strict=True)
            learnt_rows, labels = (np.concatenate(pair) for pair in both)
            learnt, views = (learnt_rows, labels), np.concatenate([views, validation.stacked])
            images = join(images, parts.validation)
        return cls(rows, validation.first, learnt, views, images)


class _Features(NamedTuple):
    """Features of some images of a part, by the order of that part, in one view or two."""

    places: Int64[np.ndarray, "N"]
    views: list[np.ndarray]
    labels: Int64[np.ndarray, "N"]

    @property
    def first(self) -> Labelled:
        return self.views[0], self.labels

    @property
    def stacked(self) -> Float32[np.ndarray, "N V D"]:
        return np.stack(self.views, axis=1)

    @property
    def all(self) -> Labelled:
        return np.concatenate(self.views), np.tile(self.labels, len(self.views))


class _Work:
    """Computes features, tells how many images are done, and knows when the time is over."""

    def __init__(
        self, backbone: Backbone, parts: TrainingParts, *, mirror: bool, seconds: float | None
    ) -> None:
        self._backbone, self._mirror = backbone, mirror
        self._start = time.perf_counter()
        self._end = None if seconds is None else self._start + SHARE * seconds
        self._done, self._n = 0, len(parts.training) + len(parts.validation)
        tell_images(0, self._n)

    def of(
        self, part: Dataset, order: Int64[np.ndarray, "N"], *, both: bool, until_end: bool = False
    ) -> _Features:
        """Return the features of a part, in both views where that mirrors."""
        views: list[list[np.ndarray]] = [[] for _ in range(1 + (both and self._mirror))]
        places = order[:0]
        for start in range(0, len(order), AT_ONCE):
            chosen = order[start : start + AT_ONCE]
            for number, view in enumerate(views):
                view.extend(self._backbone.features(part.images[chosen], mirrored=number > 0))
            places = order[: start + AT_ONCE]
            self._done += len(chosen)
            tell_images(self._done, self._n)
            if self._end is not None and time.perf_counter() > self._end:
                if not until_end:
                    raise InputError(
                        f"the budget is too short: {self._done:,} of {len(part):,} validation "
                        "images have features by now; give more with `budget`"
                    )
                break
        sorting = np.argsort(places)
        made = [np.concatenate(view)[sorting] for view in views if view]
        return _Features(places[sorting], made, part.labels[places[sorting]])

    def tell_end(self) -> None:
        """Tell that no more images follow."""
        tell_images(self._n, self._n)
