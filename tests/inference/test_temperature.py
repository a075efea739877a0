"""The temperature against a general minimiser, and softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_logits import made
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from lookbook.inference.temperature import TEMPERATURES, fit_temperature, softmax


@pytest.mark.slow
@given(st.integers(0, 50), st.floats(0.3, 8))
def test_temperature_minimises_the_loss(seed, scale):
    logits, labels = made(seed, scale)
    found = fit_temperature(logits, labels)
    best = minimize_scalar(
        lambda t: log_loss(labels, softmax(logits / t), labels=range(5)),
        bounds=TEMPERATURES,
        method="bounded",
        options={"xatol": 1e-6},
    )
    # one wrong answer in n + 2 is taken for granted: that moves the minimum a little
    assert log_loss(labels, softmax(logits / found), labels=range(5)) <= best.fun + 2e-4


def test_temperature_undoes_a_known_scale():
    logits, labels = made(0, 3.0, n=20_000)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.05)


def test_a_model_that_is_always_right_does_not_become_certain():
    logits, labels = np.tile(5 * np.eye(4), (100, 1)), np.tile(np.arange(4), 100)
    sure = softmax(logits / fit_temperature(logits, labels)).max()
    assert sure == pytest.approx(1 - 1 / 402, abs=1e-6)


def test_few_labels_fit_no_temperature():
    assert fit_temperature(5 * np.eye(4), np.arange(4)) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 100])
def test_a_temperature_from_few_labels_does_no_harm_on_fresh_images(n):
    worse = []
    for seed in range(30):
        logits, labels = made(seed, 2.0, n=n + 2000)
        temperature = fit_temperature(logits[:n], labels[:n])
        before, after = (
            log_loss(labels[n:], softmax(logits[n:] / t), labels=range(5)) for t in (1, temperature)
        )
        worse.append(after - before)
    assert np.mean(worse) < 0
    assert np.max(worse) < 0.1


def test_equal_logits_keep_finite_numbers():
    assert np.isfinite(fit_temperature(np.zeros((60, 3)), np.arange(60) % 3))


def test_softmax_of_huge_logits_is_finite_and_sums_to_one():
    probs = softmax(np.array([[1000.0, 0.0], [-1000.0, 0.0]]))
    assert probs.sum(axis=1) == pytest.approx([1, 1])
