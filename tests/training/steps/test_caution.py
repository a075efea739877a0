"""Caution: answers with rare classes say how often they are right, and stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.core.arrays import softmax
from lookbook.training.calibration import fit_temperature
from lookbook.training.steps.caution import fit_caution, temper

SHARES = np.array([0.6, 0.3, 0.06, 0.04])


def drawn(n, seed, sure=1.5):
    """Draw images of uneven classes, and what a network says that showed each as often.

    It is surer than it should be.
    """
    rng = np.random.default_rng(seed)
    labels = rng.choice(len(SHARES), n, p=SHARES)
    centres = 1.3 * np.eye(len(SHARES))
    seen = centres[labels] + rng.normal(size=(n, len(SHARES)))
    return sure * seen @ centres.T, labels


@pytest.mark.parametrize("seed", range(5))
def test_rare_answers_say_how_often_they_are_right(seed):
    logits, labels = drawn(300, seed)
    temperature, caution = fit_caution(logits, labels)
    logits_of_others, truth = drawn(50_000, 99)
    answers = logits_of_others.argmax(axis=1)
    rare = answers >= 2
    right = (answers == truth)[rare].mean()
    before = softmax(logits_of_others / fit_temperature(logits, labels)).max(axis=1)[rare].mean()
    said = temper(logits_of_others, temperature, caution)
    assert abs(said.max(axis=1)[rare].mean() - right) < (before - right) / 2
    assert (said.argmax(axis=1) == answers).all()
    assert caution[0] == 1
    assert 1 < caution[1] < caution[2:].min()


def test_classes_alike_need_none():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    logits = 3 * np.eye(4)[labels] + 2 * rng.normal(size=(400, 4))
    temperature, caution = fit_caution(logits, labels)
    assert caution.tolist() == [1, 1, 1, 1]
    assert temperature == pytest.approx(fit_temperature(logits, labels), rel=0.1)
