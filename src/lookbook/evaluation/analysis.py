"""Analysis of a model's answers for a report: map, nearest images, occlusion, robustness.

Nothing here trains or reads labels to choose anything: it describes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lookbook.evaluation.attribution import occlusion
from lookbook.evaluation.features import embed, features_of, nearest_training
from lookbook.evaluation.robustness import LEVELS, Curve, robustness_curves
from lookbook.evaluation.selection import choose_examples, choose_shown, draw, find_room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Float32, Int64

    from lookbook.data.dataset import Dataset
    from lookbook.inference.model import Model

#: mistakes that are looked at in detail
HARDEST = 24
#: test images whose corruptions are answered
CORRUPTED = 1000


@dataclass(frozen=True)
class Analysis:
    """What was found out about the answers to a test part."""

    #: numbers of the test images that a page holds, ascending
    shown: Int64[np.ndarray, "M"]
    #: places of these on a map, 0 to 1; empty where there are too few
    places: Float32[np.ndarray, "M 2"]
    #: how many images the map was made of
    landmarks: int
    #: mistakes of the largest loss, the largest first
    hardest: Int64[np.ndarray, "L"]
    #: for each of these the nearest training images; none without a training part
    nearest: Int64[np.ndarray, "L J"]
    #: for each of these where the model looked, 0 to 1; none without a model
    looked: Float32[np.ndarray, "L G G"]
    #: none without a model
    curves: tuple[Curve, ...]
    #: how many images the curves are of
    changed: int
    #: whether map and nearest images are by the network's features; else by pixels
    by_features: bool

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` takes."""
        flat = {
            f"curve-{c.corruption}": np.array([c.levels, c.accuracies], np.float64)
            for c in self.curves
        }
        names = ("shown", "places", "hardest", "nearest", "looked")
        counts = np.array([self.landmarks, self.changed, self.by_features], np.int64)
        return {name: getattr(self, name) for name in names} | flat | {"counts": counts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Analysis:
        """Return the analysis that `to_arrays` was called on."""
        names = ("shown", "places", "hardest", "nearest", "looked")
        landmarks, changed, by_features = arrays["counts"].tolist()
        curves = tuple(
            Curve(name, *(tuple(row) for row in arrays[f"curve-{name}"].tolist()))
            for name in LEVELS
            if f"curve-{name}" in arrays
        )
        return cls(
            landmarks=landmarks,
            changed=changed,
            by_features=bool(by_features),
            curves=curves,
            **{name: arrays[name] for name in names},
        )


def analyse(
    test: Dataset,
    probs: Float[np.ndarray, "N K"],
    *,
    model: Model | None = None,
    training: Dataset | None = None,
    examples: Sequence[int] = (),
    tell: Callable[[str], None] = lambda _step: None,
) -> Analysis:
    """Find out what a report shows of these answers.

    Parameters
    ----------
    test, probs
        The test part and the model's probabilities for it.
    model
        Who gave them; without it nothing is shown that needs new answers.
    training
        Where nearest images are looked for.
    examples
        Test images that the page must hold.
    tell
        Hears the name of each step as it begins.
    """
    of_truth = probs[np.arange(len(test)), test.labels]
    right = probs.argmax(axis=1) == test.labels
    wrong = np.flatnonzero(~right)
    hardest = wrong[np.argsort(of_truth[wrong], kind="stable")][:HARDEST]
    must = np.union1d(hardest, np.asarray(examples, np.int64))
    if training is None:  # its examples are shown otherwise
        must = np.union1d(must, np.concatenate(choose_examples(test)))
    cells = len(np.unique(test.labels * len(test.classes) + probs.argmax(axis=1)))
    shown = choose_shown(test, of_truth, right, must, find_room(test, cells))

    tell("map")
    seen = features_of(model, test.images[shown])
    places, landmarks = embed(seen)
    nearest = np.zeros((len(hardest), 0), np.int64)
    if training is not None and len(hardest):
        tell("nearest")
        nearest = nearest_training(model, training, test.images[hardest])
    looked = np.zeros((len(hardest), 0, 0), np.float32)
    curves: tuple[Curve, ...] = ()
    chosen = draw(len(test), CORRUPTED)
    if model is not None:
        tell("occlusion")
        predicted = probs[hardest].argmax(axis=1)
        looked = occlusion(model, test.images[hardest], predicted)
        tell("robustness")
        curves = tuple(robustness_curves(model, test.images[chosen], test.labels[chosen]))
    return Analysis(
        shown=shown,
        places=places,
        landmarks=landmarks,
        hardest=hardest,
        nearest=nearest,
        looked=looked,
        curves=curves,
        changed=len(chosen),
        by_features=model is not None,
    )
