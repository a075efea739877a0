"""Map of images in the plane by t-SNE of their features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import principal_axes
from lookbook.evaluation.nearest_neighbors import nearest
from lookbook.evaluation.selection import draw

if TYPE_CHECKING:
    from jaxtyping import Float32

#: images that t-SNE lays out itself; the others are placed between these
LANDMARKS = 2000


def embed(
    features: Float32[np.ndarray, "N F"],
) -> tuple[Float32[np.ndarray, "N 2"], int]:
    """Lay images out in the plane, those alike near each other; return places and landmarks.

    t-SNE of some of them (van der Maaten and Hinton, 2008); the others are placed at the weighted
    mean of the five of these that are most alike. Fewer than ten different images get no place.
    """
    from sklearn.manifold import TSNE  # noqa: PLC0415  # 0.5 s

    n = len(features)
    chosen = draw(n, LANDMARKS)
    # scikit-learn ends the process where all are the same
    if len(np.unique(features[chosen], axis=0)) < 10:
        return np.zeros((0, 2), np.float32), 0
    reduced = _reduce(features, 30)
    tsne = TSNE(
        perplexity=min(30.0, (len(chosen) - 1) / 3),
        init="pca",
        random_state=0,
        max_iter=400,
        n_jobs=-1,
    )
    spots = tsne.fit_transform(reduced[chosen]).astype(np.float32)
    if len(chosen) < n:
        distances, near = nearest(reduced[chosen], reduced, 5)
        weights = 1 / (distances + 1e-6 * (1 + distances.mean()))
        weights /= weights.sum(axis=1, keepdims=True)
        spots = (spots[near] * weights[:, :, None]).sum(axis=1)
    low, high = spots.min(axis=0), spots.max(axis=0)
    return ((spots - low) / np.maximum(high - low, 1e-9)).astype(np.float32), len(chosen)


def _reduce(features: Float32[np.ndarray, "N F"], most: int) -> Float32[np.ndarray, "N D"]:
    """Return the leading principal components."""
    centred = features - features.mean(axis=0)
    if centred.shape[1] <= most:
        return np.asarray(centred, np.float32)
    axes = principal_axes(centred[draw(len(centred), 2000)], most)
    return np.asarray(centred @ axes, np.float32)
