"""Nearest neighbours are those that scikit-learn finds."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from lookbook.evaluation.nearest_neighbors import nearest


def test_nearest_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    among, queries = (rng.normal(size=(n, 7)).astype(np.float32) for n in (300, 2100))
    distances, indices = nearest(among, queries, 4)
    expected, where = (
        NearestNeighbors(n_neighbors=4, algorithm="brute").fit(among).kneighbors(queries)
    )
    np.testing.assert_array_equal(indices, where)
    np.testing.assert_allclose(distances, expected, atol=1e-3)
