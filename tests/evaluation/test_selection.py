"""A page shows right answers and mistakes of every class."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.evaluation import selection


class LargeImages:
    """A test part of large images in colour, without their gigabytes."""

    size, channels = (224, 224), 3

    def __init__(self, labels, k):
        self.labels, self.classes = labels, tuple(map(str, range(k)))

    def __len__(self):
        return len(self.labels)


ROOM = 651


@pytest.mark.parametrize("k", [10, 200])
@pytest.mark.parametrize("wrong", [0.0, 0.002, 0.1, 0.5, 0.97, 1.0])
def test_a_page_holds_right_answers_and_mistakes_of_every_class(k, wrong):
    rng = np.random.default_rng(0)
    labels = np.arange(10_000) % k
    said = np.where(rng.random(10_000) < wrong, (labels + 1) % k, labels)
    probs = (rng.random((10_000, 1)) + 0.5) * np.eye(k)[said] + 1 / k
    probs /= probs.sum(axis=1, keepdims=True)
    right, of_truth = said == labels, probs[np.arange(10_000), labels]
    shown = selection.choose_shown(LargeImages(labels, k), of_truth, right, np.array([2999]), ROOM)
    assert len(shown) == ROOM
    assert 2999 in shown
    assert (np.diff(shown) > 0).all()
    for kind in (right, ~right):
        assert kind[shown].sum() >= min(kind.sum(), ROOM // 2)
    for one in range(k):
        known = np.flatnonzero(right & (labels == one))
        if len(known):
            assert known[of_truth[known].argmax()] in shown
        if k == 10:
            members = np.flatnonzero(labels == one)
            on_page = np.intersect1d(members, shown)
            for here, everywhere in zip(
                selection.extremes(on_page, of_truth, right),
                selection.extremes(members, of_truth, right),
                strict=True,
            ):
                np.testing.assert_array_equal(of_truth[here], of_truth[everywhere])
