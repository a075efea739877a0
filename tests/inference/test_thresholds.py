"""The temperature against a general minimiser."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from lookbook.inference.thresholds import TEMPERATURES, CalibrationSet, fit_temperature, softmax


def made(seed: int, scale: float, n: int = 400, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k))
    labels = np.array([rng.choice(k, p=p) for p in softmax(logits)])
    return logits * scale, labels


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


# ---- what else validation images say ----


def said(n: int, seed: int, k: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are true, classes drawn from them, and novelties."""
    logits, labels = made(seed, 1.0, n=n, k=k)
    return softmax(logits), labels, np.random.default_rng(seed).chisquare(5, n)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.99])
def test_thresholds_keep_their_promise_on_others(coverage):
    kept = CalibrationSet.of(*said(4000, seed=0))
    probs, labels, novelties = said(20_000, seed=1)
    answered = probs.max(axis=1) >= kept.sure_from(coverage)
    assert answered.mean() == pytest.approx(coverage, abs=0.02)
    held = probs[np.arange(len(labels)), labels] >= kept.likely_from(coverage)
    assert held.mean() == pytest.approx(coverage, abs=0.02)
    assert (novelties > kept.strange_from).mean() == pytest.approx(0.03, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 51, 75, 99, 100])
def test_sets_hold_the_truth_often_enough_however_few_vouch_for_it(n):
    """Over many draws, of both parts, the share is asked for or more: to that it is exact."""
    held = []
    for seed in range(300):
        probs, labels, novelties = said(n + 1, seed=seed)
        kept = CalibrationSet.of(probs[:n], labels[:n], novelties[:n])
        held.append(probs[n, labels[n]] >= kept.likely_from(0.9))
    assert np.mean(held) > 0.9 - 2.5 * np.sqrt(0.09 / 300)


def test_so_few_images_vouch_for_all_classes_alone():
    kept = CalibrationSet.of(*said(50, seed=0))
    assert kept.likely_from(0.99) == 0
    assert CalibrationSet.of(*said(49, seed=0)) is None


def test_a_file_keeps_five_hundred_ranks_of_many_images():
    probs, labels, novelties = said(20_000, seed=0)
    kept = CalibrationSet.of(probs, labels, novelties)
    assert len(kept.confidences) == len(kept.truths) == len(kept.novelties) == 501
    assert kept.n == 20_000
    np.testing.assert_allclose(
        kept.novelties, np.quantile(novelties, np.linspace(0, 1, 501)), rtol=0.01
    )
    assert msgspec.convert(kept.to_json(), CalibrationSet) == kept
    assert kept.to_json()["thresholds"] == {
        "sure": kept.sure_from(0.9),
        "likely": kept.likely_from(0.9),
        "strange": kept.strange_from,
    }
