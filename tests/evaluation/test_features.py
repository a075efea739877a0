"""Nearest neighbours are those that scikit-learn finds; on the map, what is alike lies together."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from lookbook.evaluation import features
from lookbook.evaluation.features import nearest


def test_nearest_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    among, queries = (rng.normal(size=(n, 7)).astype(np.float32) for n in (300, 2100))
    distances, indices = nearest(among, queries, 4)
    expected, where = (
        NearestNeighbors(n_neighbors=4, algorithm="brute").fit(among).kneighbors(queries)
    )
    np.testing.assert_array_equal(indices, where)
    np.testing.assert_allclose(distances, expected, atol=1e-3)


def test_a_map_keeps_groups_together(monkeypatch):
    monkeypatch.setattr(features, "LANDMARKS", 60)
    rng = np.random.default_rng(0)
    group = np.arange(150) % 3
    seen = rng.normal(size=(150, 40)).astype(np.float32) + 30 * np.eye(3, 40)[group]
    places, landmarks = features.embed(seen.astype(np.float32))
    assert landmarks == 60
    assert places.shape == (150, 2)
    assert places.min() == 0
    assert places.max() == 1
    _, near = nearest(places, places, 6)
    assert (group[near] == group[:, None]).mean() > 0.98


def test_fewer_than_ten_different_images_get_no_map():
    nine = np.repeat(np.eye(9, dtype=np.float32), 20, axis=0)
    places, landmarks = features.embed(nine)
    assert (places.shape, landmarks) == ((0, 2), 0)
