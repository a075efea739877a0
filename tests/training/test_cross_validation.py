"""Networks that judge labels: folds, recipes, and a temperature that wrong labels do not move."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import made_probs
from lookbook.data.dataset import Dataset
from lookbook.data.groups import Groups
from lookbook.evaluation.audit import OutOfFold, audit
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.runs.schema import CROSS_VALIDATED
from lookbook.training import cross_validation
from lookbook.training.calibration import Unseen, fit_temperature
from lookbook.training.cross_validation import (
    CALIBRATION_FOLDS,
    FOLDS,
    answer_unseen,
    assign_folds,
    join_unseen,
    out_of_fold,
)
from lookbook.training.loop import fit


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


def test_who_calibrates_answers_each_image_by_a_network_that_did_not_see_it_or_its_copies():
    images = np.arange(30, dtype=np.uint8).repeat(64).reshape(30, 8, 8)
    labels = np.array([0] * 15 + [1] * 14 + [2])
    learnt = Dataset(images, labels, ("a", "b", "c"), groups=Groups(np.arange(30) // 2))
    taught = []

    def fit_fold(training, kept, *, stage):
        assert stage == f"calibration fold {len(taught) + 1}"
        taught.append(set(training[0][:, 0, 0].tolist()))
        assert taught[-1] == set(kept.tolist())
        return fit(training, None, TUTORIAL.with_epochs(1), 3)

    unseen, sure = answer_unseen(fit_fold, learnt, seed=0)
    assert sure == np.inf  # a dense network has one view
    assert unseen.of == CROSS_VALIDATED
    # nobody else knows the class of one image
    assert sorted(unseen.labels.tolist()) == [0] * 15 + [1] * 14
    assert len(unseen.logits) == len(unseen.novelties) == 29
    assert len(taught) == CALIBRATION_FOLDS
    left_out = [set(range(30)) - each for each in taught]
    assert set.union(*left_out) == set(range(30))
    assert sum(map(len, left_out)) == 30
    assert all((i in fold) == (i + 1 in fold) for fold in left_out for i in range(0, 28, 2))
    assert min(map(len, left_out)) >= 8


def test_copies_of_an_image_are_in_one_fold_where_nobody_grouped_them():
    rng = np.random.default_rng(0)
    different = rng.integers(0, 256, (20, 16, 16), dtype=np.uint8)
    learnt = Dataset(np.concatenate([different, different]), np.arange(40) % 2, ("a", "b"))
    for _, kept, held_out in cross_validation._folds(learnt, 0, 3):
        assert not set(kept % 20) & set(held_out % 20)


def test_out_of_fold_answers_stand_beside_those_of_the_validation_part():
    one, other = (
        Unseen(np.full((n, 2), n, np.float32), np.full(n, 1), np.full(n, n, np.float32), of)
        for n, of in ((3, CROSS_VALIDATED), (2, "this network"))
    )
    joined = join_unseen(one, other)
    assert joined.novelties.tolist() == [3, 3, 3, 2, 2]
    assert joined.logits[:, 0].tolist() == [3, 3, 3, 2, 2]
    assert joined.of == CROSS_VALIDATED
