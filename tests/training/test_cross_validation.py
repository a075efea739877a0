"""Networks that judge labels: folds, recipes, and a temperature that wrong labels do not move."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import made_probs
from lookbook.data.dataset import Dataset
from lookbook.evaluation.audit import OutOfFold, audit
from lookbook.recipes import STANDARD
from lookbook.training import cross_validation
from lookbook.training.calibration import fit_temperature
from lookbook.training.cross_validation import FOLDS, assign_folds, out_of_fold


@pytest.mark.parametrize("wrong", [0, 0.05])
def test_the_temperature_is_that_of_true_labels_where_some_are_wrong(wrong):
    probs, labels = made_probs()
    rng = np.random.default_rng(0)
    turned = rng.choice(len(labels), round(wrong * len(labels)), replace=False)
    labels[turned] = (labels[turned] + rng.integers(1, 6, len(turned))) % 6
    logits = 2 * np.log(np.maximum(probs, 1e-12))
    assert cross_validation.fit_beside_errors(logits, labels) == pytest.approx(2, rel=0.1)
    if wrong:
        assert fit_temperature(logits, labels) > 3


@pytest.mark.parametrize(("accuracy", "asked"), [(0.9, ["quick"]), (0.6, ["quick", "standard"])])
def test_convolutions_are_asked_where_quick_networks_find_too_few_labels(
    monkeypatch, parts, accuracy, asked
):
    seen = []

    def answer(*given):
        seen.append(given[2].name)
        probs = np.full((600, 3), 1 / 3)
        return OutOfFold(probs, probs, 5, seen[-1], accuracy + 0.1 * len(seen))

    monkeypatch.setattr(cross_validation, "_predict", answer)
    found = out_of_fold(*parts)
    assert seen == asked
    assert found.recipe == asked[-1]


def test_judges_of_photographs_learn_in_as_many_epochs_as_a_minute_holds():
    for n, side, epochs in ((2438, 64, 12), (300, 64, 30), (240_000, 64, 1)):
        part = Dataset(np.zeros((2, side, side, 3), np.uint8), np.array([0, 1]), ("a", "b"))
        suited = cross_validation._suit(STANDARD, part, round(0.8 * n), 5)
        assert suited.epochs == pytest.approx(epochs, rel=0.02)


def test_folds_share_each_class_evenly():
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    fold = assign_folds(labels, FOLDS)
    for k, n in enumerate((50, 23, 7)):
        counts = np.bincount(fold[labels == k], minlength=FOLDS)
        assert counts.sum() == n
        assert counts.max() - counts.min() <= 1


@pytest.mark.slow
def test_a_class_of_one_image_takes_no_answers_from_the_others(parts):
    lone = [
        Dataset(
            np.concatenate([part.images, np.full((1, 12, 10), 200, np.uint8)]),
            np.append(part.labels, 3),
            (*part.classes, "lone"),
        )
        for part in parts
    ]
    judged = out_of_fold(*lone)
    for part, probs in zip(lone, (judged.training, judged.test), strict=True):
        assert np.flatnonzero(np.isnan(probs).any(axis=1)).tolist() == [len(part) - 1]
        assert np.isnan(probs[-1]).all()
    found = audit(*lone, judged)
    for suspects, part in ((found.training, parts[0]), (found.test, parts[1])):
        suspected = suspects.indices[: suspects.suspected]
        assert set(suspected) <= set(range(0, len(part), 40))
        assert len(suspected) >= 0.6 * len(part) / 40
        predicted = suspects.predicted[: suspects.suspected]
        np.testing.assert_array_equal(predicted, (part.labels[suspected] - 1) % 3)
