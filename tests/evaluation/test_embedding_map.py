"""Images that are alike lie near each other on the map."""

from __future__ import annotations

import numpy as np

from lookbook.evaluation import embedding_map
from lookbook.evaluation.nearest_neighbors import nearest


def test_a_map_keeps_groups_together(monkeypatch):
    monkeypatch.setattr(embedding_map, "LANDMARKS", 60)
    rng = np.random.default_rng(0)
    group = np.arange(150) % 3
    features = rng.normal(size=(150, 40)).astype(np.float32) + 30 * np.eye(3, 40)[group]
    places, landmarks = embedding_map.embed(features.astype(np.float32))
    assert landmarks == 60
    assert places.shape == (150, 2)
    assert places.min() == 0
    assert places.max() == 1
    _, near = nearest(places, places, 6)
    assert (group[near] == group[:, None]).mean() > 0.98


def test_fewer_than_ten_different_images_get_no_map():
    nine = np.repeat(np.eye(9, dtype=np.float32), 20, axis=0)
    places, landmarks = embedding_map.embed(nine)
    assert (places.shape, landmarks) == ((0, 2), 0)
