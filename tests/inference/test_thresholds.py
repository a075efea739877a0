"""Thresholds from validation images keep what they promise of others."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from lookbook.core.arrays import softmax
from lookbook.inference.thresholds import CalibrationSet, PhotographCalibration, Thresholds
from made_logits import made


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


def test_shares_are_numbers_of_any_kind():
    kept = CalibrationSet.of(*said(100, seed=0))
    shares = {"coverage": np.float32(0.5), "sets": np.int64(1)}
    assert Thresholds.of(kept, **shares) == Thresholds.of(kept, coverage=0.5, sets=1)


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


def test_photographs_have_probabilities_and_thresholds_of_their_own():
    """A power of 1/2 is a temperature of 2; fewer of them get an answer."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 12, (400, 5))
    kept = CalibrationSet.of(softmax(logits / 2), logits.argmax(1), rng.random(400))
    photographs = PhotographCalibration(0.5, kept)
    np.testing.assert_allclose(photographs.temper(softmax(logits)), softmax(logits / 2), rtol=1e-5)
    confidences = np.sort(softmax(logits / 2).max(1))
    for coverage, share in ((None, 0.84), (0.5, 0.5)):
        sure = photographs.ask(coverage=coverage).sure
        assert (confidences >= sure).mean() == pytest.approx(share, abs=0.005)
    assert photographs.thresholds.sure == photographs.ask().sure
    vague = PhotographCalibration(0.5, CalibrationSet.of(softmax(logits / 400), *_of(logits)))
    assert vague.ask().sure == 0.5
    assert vague.ask(coverage=0.9).sure < 0.5


def _of(logits):
    return logits.argmax(1), np.zeros(len(logits))
