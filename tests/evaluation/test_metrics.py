"""Metrics against scikit-learn and against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier

from lookbook.core.arrays import softmax
from lookbook.evaluation import metrics


def made(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    logits = rng.normal(size=(n, k)) * 2
    logits[np.arange(n), labels] += 1.5
    return softmax(logits), labels


@pytest.mark.slow
@given(st.integers(1, 300), st.integers(2, 12), st.integers(0, 99))
def test_metrics_agree_with_scikit_learn(n, k, seed):
    probs, labels = made(n, k, seed)
    predicted = probs.argmax(axis=1)
    confusion = metrics.confusion_matrix(probs, labels)
    assert metrics.accuracy(probs, labels) == pytest.approx(sk.accuracy_score(labels, predicted))
    assert metrics.log_loss(probs, labels) == pytest.approx(
        sk.log_loss(labels, probs, labels=range(k))
    )
    assert (confusion == sk.confusion_matrix(labels, predicted, labels=range(k))).all()
    found = metrics.per_class(confusion, tuple(map(str, range(k))))
    expected = sk.precision_recall_fscore_support(
        labels, predicted, labels=range(k), zero_division=0
    )
    for key, column in zip(("precision", "recall", "f1", "n"), expected, strict=True):
        assert [one[key] for one in found] == pytest.approx(list(column))


@given(st.integers(1, 2000), st.floats(0, 1))
def test_interval_agrees_with_scipy(n, share):
    hits = round(share * n)
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert metrics.wilson_interval(hits / n, n) == pytest.approx(
        (expected.low, expected.high), abs=1e-6
    )


@given(st.integers(1, 2000), st.floats(0, 1), st.floats(0, 1))
def test_clearly_above_a_level_agrees_with_scipy(n, share, level):
    hits = round(share * n)
    # the lower end of a two-sided 90 % interval is that of a one-sided 95 % one
    low = binomtest(hits, n).proportion_ci(0.9, method="wilson").low
    if abs(low - level) > 1e-6:
        assert metrics.is_clearly_above(hits / n, n, level) == (low > level)


@given(st.integers(1, 300), st.integers(2, 12), st.integers(0, 99))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_balanced_accuracy_and_the_commonest_share_agree_with_scikit_learn(n, k, seed):
    probs, labels = made(n, k, seed)
    labels = labels // 2  # uneven, and some classes have no image
    expected = sk.balanced_accuracy_score(labels, probs.argmax(axis=1))
    confusion = metrics.confusion_matrix(probs, labels)
    assert metrics.balanced_accuracy(confusion) == pytest.approx(expected)
    always = DummyClassifier(strategy="most_frequent").fit(probs, labels).score(probs, labels)
    assert metrics.commonest_share(confusion.sum(axis=1)) == pytest.approx(always)


@given(st.integers(1, 300), st.integers(2, 12), st.integers(0, 99))
def test_macro_f1_agrees_with_scikit_learn(n, k, seed):
    probs, labels = made(n, k, seed)
    labels = labels // 2  # uneven, and some classes have no image
    expected = sk.f1_score(labels, probs.argmax(axis=1), average="macro")
    assert metrics.macro_f1(metrics.confusion_matrix(probs, labels)) == pytest.approx(expected)


def test_validation_tells_whether_its_classes_are_uneven():
    for counts, uneven in (((30, 20), False), ((31, 20), True)):
        labels = np.repeat([0, 1], counts)
        found = metrics.on_validation(np.eye(3)[np.zeros_like(labels)], labels, "this network")
        assert found.uneven is uneven
        assert found.balanced_accuracy == 0.5
        f1 = sk.f1_score(labels, np.zeros_like(labels), average="macro")
        assert found.macro_f1 == pytest.approx(f1)


def test_interval_holds_the_truth_19_times_in_20():
    rng = np.random.default_rng(0)
    seen = rng.binomial(500, 0.93, 4000) / 500
    inside = [low <= 0.93 <= high for low, high in (metrics.wilson_interval(s, 500) for s in seen)]
    assert 0.94 <= np.mean(inside) <= 0.965


def slow_calibration_error(probs, labels, bins=15):
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [i for i, p in enumerate(probs.max(axis=1)) if low <= p < high or p == high == 1]
        if inside:
            confidence = np.mean([probs[i].max() for i in inside])
            right = np.mean([probs[i].argmax() == labels[i] for i in inside])
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


@given(st.integers(1, 200), st.integers(2, 6), st.integers(0, 99))
def test_calibration_error_agrees_with_a_slow_one(n, k, seed):
    probs, labels = made(n, k, seed)
    assert metrics.calibration_error(probs, labels) == pytest.approx(
        slow_calibration_error(probs, labels), abs=1e-9
    )


def slow_coverage(probs, labels):
    """Return (how many, share that is right) of each set "whatever is at least so sure"."""
    sure = [max(row) for row in probs.tolist()]
    right = [list(row).index(max(row)) == k for row, k in zip(probs.tolist(), labels, strict=True)]
    found = []
    for least in sorted(set(sure), reverse=True):
        inside = [hit for hit, one in zip(right, sure, strict=True) if one >= least]
        found.append((len(inside), sum(inside) / len(inside)))
    return found


@given(st.integers(1, 120), st.integers(2, 6), st.integers(0, 99), st.sampled_from([1, 2, 9]))
def test_the_coverage_curve_is_of_sets_that_confidence_tells_apart(n, k, seed, digits):
    probs, labels = made(n, k, seed)
    probs = probs.round(digits)  # one digit: many are equally sure
    sets = slow_coverage(probs, labels)
    # for each hundredth the smallest set that is as large
    expected = {min(one for one in sets if 100 * one[0] >= step * n) for step in range(1, 101)}
    shares, accuracies = metrics.coverage_curve(probs, labels)
    assert shares == pytest.approx([count / n for count, _ in sorted(expected)])
    assert accuracies == pytest.approx([right for _, right in sorted(expected)])
    order = np.random.default_rng(seed).permutation(n)
    assert metrics.coverage_curve(probs[order], labels[order]) == (shares, accuracies)


def test_log_loss_is_finite_where_the_right_class_has_probability_zero():
    assert np.isfinite(metrics.log_loss(np.float32([[1, 0]]), np.array([1])))


def test_log_loss_of_a_sure_and_right_model_is_zero_without_a_sign():
    assert f"{metrics.log_loss(np.float32([[1, 0]]), np.array([0])):.4f}" == "0.0000"


def test_most_confused_pairs_count_both_directions_and_leave_out_the_never_confused():
    confusion = np.array([[5, 2, 0], [3, 5, 0], [0, 1, 9]])
    found = metrics.most_confused(confusion, ("a", "b", "c"))
    assert [(one.pair, one.count) for one in found] == [(("a", "b"), 5), (("b", "c"), 1)]


def test_the_calibration_error_by_chance_is_that_of_true_probabilities():
    """Against answers that are drawn here, with the probabilities that were said."""
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.4, 1, 3000)
    probs = np.stack([confidence, 1 - confidence], axis=1)
    probs[confidence < 0.5] = probs[confidence < 0.5][:, ::-1]
    top = probs.max(axis=1)
    errors = []
    for _ in range(100):
        right = rng.random(len(top)) < top
        labels = np.where(right, probs.argmax(axis=1), 1 - probs.argmax(axis=1))
        errors.append(metrics.calibration_error(probs, labels))
    found = metrics.calibration_error_by_chance(probs)
    assert found == pytest.approx(np.mean(errors), rel=0.05)
