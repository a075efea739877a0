"""Caution: how unsure answers with a rare class have to be, where training balanced classes.

Balanced training finds more images of rare classes, and takes more of others for them: at the
data's own shares an answer with a rare class is right less often than its probability says. The
answer stays; its temperature rises with how rare its class is. Measured: docs/log.md, caution.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import sample, softmax

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64

#: bounds of the logarithm of a temperature, and of powers of a class's share
LOG_TEMPERATURE, POWER = (-2.0, 2.0), (0.0, 1.5)
#: images that are enough for two numbers; and grids, each a quarter as wide as that before
ENOUGH, SIDE, GRIDS = 1000, 17, 4


def fit_caution(
    logits: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"]
) -> tuple[float, Float64[np.ndarray, "K"]]:
    """Return a temperature, and what it is multiplied by in answers with each class.

    How often answers are right is told by all images, not by the few of rare classes alone: what
    Bayes' rule makes of the logits at the classes' own shares, of which a power is found with a
    temperature of its own (Saerens et al., 2002), is the probability that an answer is to have.

    >>> labels = np.array([0] * 95 + [1] * 5)
    >>> logits = np.where(np.arange(100)[:, None] < 80, [2.0, 0.0], [0.0, 2.0])  # 5 in 20 right
    >>> temperature, caution = fit_caution(logits, labels)
    >>> temper(logits, temperature, caution)[[0, -1]].max(axis=1).round(2).tolist()
    [1.0, 0.52]
    """
    logits, labels = sample(logits, ENOUGH).astype(np.float64), sample(labels, ENOUGH)
    counts = np.maximum(np.bincount(labels, minlength=logits.shape[1]), 1)
    shares, rarity = np.log(counts / counts.sum()), np.log(counts.max() / counts)
    each = np.arange(len(labels))

    def corrected(heat: float, power: float) -> Float64[np.ndarray, "N K"]:
        return softmax(logits * np.exp(-heat) + power * shares)

    heat, power = _minimise(lambda *at: -_log(corrected(*at)[each, labels]).mean())
    answers = logits.argmax(axis=1)
    right = corrected(heat, power)[each, answers]

    def loss(heat: float, power: float) -> float:
        said = temper(logits, np.exp(heat), np.exp(power * rarity)).max(axis=1)
        return float(-(right * _log(said) + (1 - right) * _log(1 - said)).mean())

    heat, power = _minimise(loss)
    return float(np.exp(heat)), np.exp(power * rarity)


def temper(
    logits: Float[np.ndarray, "N K"], temperature: float, caution: Float64[np.ndarray, "K"]
) -> Float64[np.ndarray, "N K"]:
    """Return the probabilities of answers, each by the temperature of its class."""
    return softmax(logits / (temperature * caution)[logits.argmax(axis=1), None])


def _log(probs: Float64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    return np.asarray(np.log(np.maximum(probs, 1e-9)))


def _minimise(loss: Callable[[float, float], float]) -> tuple[float, float]:
    """Return where a loss is least, by grids around the best of the one before."""
    low, high = np.array([LOG_TEMPERATURE, POWER]).T
    centre, width = (low + high) / 2, high - low
    for _ in range(GRIDS):
        sides = [
            np.linspace(max(a, c - w / 2), min(b, c + w / 2), SIDE)
            for a, b, c, w in zip(low, high, centre, width, strict=True)
        ]
        centre = np.array(min(product(*sides), key=lambda at: loss(*at)))
        width = width / 4
    return float(centre[0]), float(centre[1])
