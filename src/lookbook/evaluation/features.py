"""Features of images, or their pixels: nearest neighbours by them, a map of them in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import principal_axes
from lookbook.evaluation.selection import draw
from lookbook.images.sprites import shrink
from lookbook.inference import onnx_graph

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64, UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.inference.model import Model

#: nearest training images that are looked for
NEAREST = 3
#: pixels on the longer side by which likeness is judged where there is no model
LIKENESS_SIDE = 32
#: training images among which the nearest are looked for
MOST_TRAINING = 60_000
#: images that t-SNE lays out itself; the others are placed between these
LANDMARKS = 2000


def features_of(
    model: Model | None, images: UInt8[np.ndarray, "N H W *C"]
) -> Float32[np.ndarray, "N F"]:
    """Return what likeness is judged by: what the last layer sees, or the pixels."""
    if model is not None:
        return onnx_graph.features(model, images)
    # small ones are enough to tell which are alike
    small = shrink(images, LIKENESS_SIDE)
    return small.reshape(len(small), -1).astype(np.float32)


def nearest(
    among: Float32[np.ndarray, "M D"], queries: Float32[np.ndarray, "N D"], k: int
) -> tuple[Float32[np.ndarray, "N J"], Int64[np.ndarray, "N J"]]:
    """Return distances and indices of the `k` nearest, or of all if there are fewer.

    >>> points = np.float32([[0, 0], [3, 4], [9, 9]])
    >>> distances, indices = nearest(points, np.float32([[3, 3]]), 2)
    >>> distances.tolist(), indices.tolist()
    ([[1.0, 4.24...]], [[1, 0]])
    """
    k = min(k, len(among))
    squares = (among**2).sum(axis=1)
    distances, indices = [], []
    for start in range(0, len(queries), 1000):
        part = queries[start : start + 1000]
        all_squares = squares - 2 * part @ among.T
        near = np.argpartition(all_squares, k - 1, axis=1)[:, :k]
        least = np.take_along_axis(all_squares, near, axis=1)
        order = np.argsort(least, axis=1, kind="stable")
        indices.append(np.take_along_axis(near, order, axis=1))
        least = np.take_along_axis(least, order, axis=1) + (part**2).sum(axis=1, keepdims=True)
        distances.append(np.sqrt(np.maximum(least, 0)))
    return np.concatenate(distances), np.concatenate(indices)


def nearest_training(
    model: Model | None, training: Dataset, images: UInt8[np.ndarray, "L H W *C"]
) -> Int64[np.ndarray, "L J"]:
    """Return the nearest training images of each image; of a large part, of a sample."""
    chosen = draw(len(training), MOST_TRAINING)
    among, queries = (features_of(model, each) for each in (training.images[chosen], images))
    return np.asarray(chosen[nearest(among, queries, NEAREST)[1]])


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
