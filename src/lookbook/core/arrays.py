"""Chunks of arrays that fit into memory, evenly spaced samples, principal axes, softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Shaped

#: bytes of pixels that are computed with at once, where there may be any number
CHUNK = 2**27


def sample(raw: Shaped[np.ndarray, "N *shape"], most: int) -> Shaped[np.ndarray, "M *shape"]:
    """Take evenly spaced inputs: image folders are in the order of their classes.

    >>> sample(np.arange(10), 5).tolist()
    [0, 2, 4, 6, 8]
    """
    n = len(raw)
    return raw if n <= most else raw[np.arange(most) * n // most]


def chunks(n: int, size: int) -> list[slice]:
    """Cut `n` things of `size` bytes into pieces that fit into memory, of one thing at least.

    >>> chunks(5, CHUNK // 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 6, None)]
    """
    step = max(1, CHUNK // size)
    return [slice(start, start + step) for start in range(0, n, step)]


def principal_axes(centred: Float32[np.ndarray, "N D"], most: int) -> Float32[np.ndarray, "D A"]:
    """Return unit vectors along the greatest variances of rows of mean 0, the greatest last.

    They are eigenvectors of the smaller product: columns by columns, or rows by rows. Where there
    are fewer rows than columns, those along next to no variance are orthogonal to others only
    roughly.

    >>> abs(principal_axes(np.float32([[-3, 0], [3, 0], [0, 1], [0, -1]]), 1)).tolist()
    [[1.0], [0.0]]
    """
    if centred.shape[1] <= len(centred):
        return np.asarray(np.linalg.eigh(centred.T @ centred)[1][:, -most:])
    axes = centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, -most:]
    return np.asarray(axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-9))


def softmax(logits: Float[np.ndarray, "N K"]) -> Float[np.ndarray, "N K"]:
    """Turn logits into probabilities; each row sums to 1.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
