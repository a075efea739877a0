"""Calibration of a fitted classifier: temperature, thresholds, novelty.

The temperature is found by Newton's method: of 100 made sets of 5,000 × 10 logits SciPy's `brentq`
gave another float32 once, its `minimize_scalar` 14 times, LBFGS of PyTorch 20 times, and the
temperature is one of a run's tensors. Newton takes 17 ms, the others 26, 23 and 64, on one core of
an AMD EPYC; and `scipy.optimize`, which nothing else of a training needs, takes 0.5 s to import.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from lookbook.core.arrays import sample, softmax
from lookbook.inference.thresholds import FEWEST_LABELS, CalibrationSet, PhotographCalibration
from lookbook.networks.devices import as_tensor, pick_device
from lookbook.networks.efficientnet import EfficientNet
from lookbook.networks.novelty import LEARNT
from lookbook.training.processes import ONE, Processes
from lookbook.training.simulation.photographs import NONE, simulate_all
from lookbook.training.steps.caution import fit_caution, temper

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Float32, Int64, Shaped
    from torch import Tensor

    from lookbook.data.catalog import Garments
    from lookbook.networks.classifier import Classifier
    from lookbook.recipes import Recipe
    from lookbook.training.loop import Labelled

#: bounds of the temperature; beyond them the images say nothing about it (all right, say)
TEMPERATURES = (0.05, 20.0)
#: share of the images that are looked at in several views: the least certain ones
UNSURE = 0.25
#: images that go through the network at once where nothing is learnt; of large ones, through an
#: EfficientNet, fewer: 8 of 224×224 take 3.3 ms each on two cores, 32 take 8.0
EVALUATION_BATCH, SMALL_BATCH = 1000, 8
#: photographs that are simulated to calibrate by: where the network learnt from some, and elsewhere
SIMULATED, FEWER_SIMULATED = 2000, 300
#: ranks of what was said about them that a model file keeps: 6 kB
KEPT_OF_PHOTOGRAPHS = 201
#: seconds that each takes on one core, at the most
SIMULATING = 8e-4


@dataclass(frozen=True)
class Unseen:
    """What networks say of images that they did not learn from, whose classes are known."""

    logits: Float32[np.ndarray, "N K"]
    labels: Int64[np.ndarray, "N"]
    novelties: Float32[np.ndarray, "N"]
    #: which networks
    of: str = "this network"

    @classmethod
    def by(
        cls,
        judge: Classifier,
        logits: Float32[np.ndarray, "M K"],
        validation: Labelled,
        of: str = "this network",
    ) -> Self:
        """Return the answers of a network, and the novelties to it, which learnt what is usual.

        Of a fit that was stopped too early there are no answers.
        """
        images, labels = (each[: len(logits)] for each in validation)
        return cls(logits, labels, novelties(judge, images), of)


def calibrate(classifier: Classifier, unseen: Unseen) -> CalibrationSet | None:
    """Set a classifier's temperature by unseen images; return what else they say.

    None where there are too few of them, or no answers.
    """
    fit_temperatures(classifier, unseen.logits, unseen.labels)
    probs = probs_of(classifier, unseen.logits)
    return CalibrationSet.of(probs, unseen.labels, unseen.novelties)


def fit_temperatures(
    classifier: Classifier, logits: Float32[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]
) -> None:
    """Set the temperature of a classifier; with balanced classes, that of answers with each."""
    if classifier.caution is None or len(labels) < FEWEST_LABELS:
        classifier.temperature.fill_(fit_temperature(logits, labels))
        return
    temperature, caution = fit_caution(logits, labels)
    classifier.temperature.fill_(temperature)
    classifier.caution.copy_(torch.from_numpy(caution))


def probs_of(
    classifier: Classifier, logits: Float32[np.ndarray, "N K"]
) -> Float32[np.ndarray, "N K"]:
    """Return the probabilities that a calibrated classifier gives with these logits."""
    temperature = float(classifier.temperature)
    if classifier.caution is None:
        return softmax(logits / temperature)
    return temper(logits, temperature, classifier.caution.cpu().numpy())


def calibrate_photographs(
    classifier: Classifier, validation: Labelled, garments: Garments, recipe: Recipe, seed: int
) -> PhotographCalibration | None:
    """Return how sure a calibrated classifier may be of photographs, by simulated ones.

    They are made of the validation part. None where there are too few.
    """
    images, labels = (sample(each, simulated_by(recipe)) for each in validation)
    seen, labels = simulate_all(images, labels, garments, seed)
    seen, labels = seen[labels != NONE], labels[labels != NONE]
    if len(labels) < FEWEST_LABELS:
        return None
    device = pick_device()
    logits = answer(lambda raw: classifier.to(device).look(raw)[0], (seen, labels), device, 0)
    temperature = fit_temperature(logits, labels)
    strange = novelties(classifier, seen)
    kept = CalibrationSet.of(softmax(logits / temperature), labels, strange, KEPT_OF_PHOTOGRAPHS)
    power = float(classifier.temperature) / temperature
    return None if kept is None else PhotographCalibration(power, kept)


def simulated_by(recipe: Recipe) -> int:
    """Return how many photographs are simulated to calibrate by."""
    return SIMULATED if recipe.photographs else FEWER_SIMULATED


def fit_temperature(logits: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]) -> float:
    """Return the T for which softmax(logits / T) has the smallest log loss.

    T above 1 says that the network was too sure of itself. No prediction changes. The loss is
    convex in 1/T, so Newton's method on its slope finds the one minimum.
    Source: Guo et al. (2017), "On calibration of modern neural networks".

    Below 50 labels it returns 1: so few say nothing. As in Platt (1999), one wrong answer in n + 2
    is taken for granted, so that answers which are all right do not make the model certain.

    >>> logits = np.array([[4.0, 0.0]] * 4000)  # sure at 98 %, right in 3 of 4
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1] * 1000)), 2)
    3.64
    """
    if len(labels) < FEWEST_LABELS:
        return 1.0
    logits = logits.astype(np.float64)
    n, k = logits.shape
    right = logits[np.arange(n), labels]
    wrong = (logits.sum(axis=1) - right) / (k - 1)
    target = right + (wrong - right) / (n + 2)
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    inverse = 1.0
    for _ in range(100):
        probs = softmax(inverse * logits)
        mean = (probs * logits).sum(axis=1)
        slope = float((mean - target).mean())
        curvature = float(((probs * logits**2).sum(axis=1) - mean**2).mean())
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else low
        # Newton may leap out of the bracket: halve it then
        following = step if low < step < high else (low + high) / 2
        if abs(following - inverse) < 1e-9:
            break
        inverse = following
    return 1 / inverse


def learn_novelty(classifier: Classifier, training: Labelled) -> None:
    """Let a trained classifier learn which traits are usual, from a sample of training images."""
    images, labels = (sample(each, LEARNT) for each in training)
    logits, traits = _look_once(classifier, images)
    classifier.novelty.learn(traits, logits, as_tensor(labels))


def novelties(
    classifier: Classifier, images: Shaped[np.ndarray, "N *shape"]
) -> Float32[np.ndarray, "N"]:
    """Return how strange images are to a classifier."""
    if len(images) == 0:
        return np.zeros(0, np.float32)
    logits, traits = _look_once(classifier, images)
    with torch.inference_mode():
        novelty: Tensor = classifier.novelty(traits, logits)
    return novelty.numpy()


@torch.inference_mode()
def _look_once(
    classifier: Classifier, images: Shaped[np.ndarray, "N *shape"]
) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
    """Return logits and traits of one view, computed where that is fastest."""
    device = pick_device()
    scaler, network = classifier.scaler.to(device), classifier.network.to(device)
    batches = np.array_split(images, math.ceil(len(images) / at_once(classifier)))
    seen = [network.with_traits(scaler(as_tensor(each).to(device))) for each in batches]
    classifier.cpu()
    logits, traits = (torch.cat(each).cpu() for each in zip(*seen, strict=True))
    return logits, traits


def find_sure(classifier: Classifier, validation: Labelled, device: torch.device) -> float:
    """Return the greatest probability that a quarter of the images does not reach in one view.

    A thousand tell it well enough: more views of too many cost time, and of too few accuracy, but
    both is flat around a quarter.
    """
    part = sample(validation[0], 1000), validation[1]

    def look(raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        logits: Tensor = classifier.network(classifier.scaler(raw))
        return logits

    logits = answer(look, part, device, 0, at_once=at_once(classifier))
    return float(np.quantile(softmax(logits).max(axis=1), UNSURE))


def at_once(classifier: Classifier) -> int:
    """Return how many images go through a network at once where nothing is learnt."""
    return SMALL_BATCH if isinstance(classifier.network, EfficientNet) else EVALUATION_BATCH


def answer(
    answer: Callable[[Tensor], Tensor],
    part: Labelled | None,
    device: torch.device,
    n_classes: int,
    processes: Processes = ONE,
    at_once: int = EVALUATION_BATCH,
) -> Float32[np.ndarray, "M K"]:
    """Return the logits of a part, batch by batch; several processes share it."""
    if part is None:
        return np.zeros((0, n_classes), np.float32)
    n = len(part[0])
    own = processes.part(n)
    batches = np.array_split(part[0][own], math.ceil(n / at_once / processes.size))
    with torch.inference_mode():
        logits = torch.cat([answer(as_tensor(batch).to(device)) for batch in batches]).cpu()
    return processes.gather(logits.T, torch.arange(n)[own], n).T.numpy()
