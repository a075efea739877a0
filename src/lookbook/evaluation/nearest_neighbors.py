"""Nearest neighbours of images, by the network's features or by pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
