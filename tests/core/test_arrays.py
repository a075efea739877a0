"""Principal axes against a singular value decomposition; softmax of extreme logits."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.core.arrays import principal_axes, softmax


@pytest.mark.parametrize("shape", [(200, 30), (30, 200), (40, 40)])
def test_principal_axes_are_the_right_singular_vectors(shape):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=shape) * np.linspace(0.1, 4, shape[1])).astype(np.float32)
    rows -= rows.mean(axis=0)
    axes = principal_axes(rows, 5)
    expected = np.linalg.svd(rows.astype(np.float64), full_matrices=False)[2][4::-1]
    # each may point either way
    np.testing.assert_allclose(abs((axes.T * expected).sum(axis=1)), 1, atol=1e-4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-4)
    assert axes.dtype == np.float32


def test_no_more_axes_than_there_are():
    rows = np.eye(3, 4, dtype=np.float32) - np.float32(1 / 3)
    assert principal_axes(rows, 9).shape == (4, 3)


def test_softmax_of_huge_logits_is_finite_and_sums_to_one():
    probs = softmax(np.array([[1000.0, 0.0], [-1000.0, 0.0]]))
    assert probs.sum(axis=1) == pytest.approx([1, 1])
