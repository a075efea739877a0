"""Copies: images that are the same, pixel by pixel, or nearly so; what a split keeps together.

A near copy was saved again, resized, cut by a few per cent, or made a little lighter or darker.
Different things may look as alike as that (two white shirts), so what counts is how much nearer
two images are to each other than to what else looks like them: a ratio, as Lowe (2004) asks of the
matches of key points. Measured on made copies and on three datasets: docs/log.md, copies.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.arrays import chunks, join_rows, principal_axes, sample

if TYPE_CHECKING:
    from jaxtyping import Bool, Float32, Int64, UInt8

#: pixels on a side that images are compared in; larger ones are averaged
SIDE = 16
#: principal components in which neighbours are looked for, and how many of these
COMPONENTS, NEIGHBOURS = 8, 10
#: the nearest neighbour is looked at where it is nearer than so much of the last one
CLOSER = 0.7
#: what is left of a near copy, once it is aligned, beside what is left of usual neighbours
LEFT = 0.3
#: how much lighter or darker a near copy may be
GAIN = 0.8, 1.25
#: different images among which near copies are looked for; of more, exact ones alone
MOST = 100_000


def find_first(images: UInt8[np.ndarray, "N H W *C"]) -> Int64[np.ndarray, "N"]:
    """Return for each image the first one that is the same, pixel by pixel.

    >>> find_first(np.uint8([[[1]], [[2]], [[1]]])).tolist()
    [0, 1, 0]
    """
    # hashes instead of the images: these would take as much memory again
    first: dict[bytes, int] = {}
    hashes = (hashlib.sha256(image.tobytes()).digest() for image in images)
    return np.array([first.setdefault(digest, i) for i, digest in enumerate(hashes)])


def group_copies(images: UInt8[np.ndarray, "N H W *C"]) -> Int64[np.ndarray, "N"]:
    """Return for each image the first one that it is an exact or near copy of, or a copy of such.

    >>> images = np.random.default_rng(0).integers(0, 200, (20, 8, 8), np.uint8)
    >>> images[7], images[9] = images[3], (images[4] * 1.1).astype(np.uint8)
    >>> groups = group_copies(images)
    >>> [(i, int(group)) for i, group in enumerate(groups) if group != i]
    [(7, 3), (9, 4)]
    """
    firsts = find_first(images)
    kept = np.unique(firsts)
    return join_groups(firsts, kept[find_near_copies(images, kept, np.arange(len(kept)))])


def find_copies_of(
    others: UInt8[np.ndarray, "M H W *C"], images: UInt8[np.ndarray, "N H W *C"]
) -> tuple[Bool[np.ndarray, "N"], Bool[np.ndarray, "N"]]:
    """Return which images are the same as one of the others, and which are near copies of one.

    >>> others = np.random.default_rng(0).integers(0, 200, (20, 8, 8), np.uint8)
    >>> images = np.stack([others[3], (others[4] * 1.1).astype(np.uint8), 255 - others[5]])
    >>> [mask.tolist() for mask in find_copies_of(others, images)]
    [[True, False, False], [False, True, False]]
    """
    n, both = len(others), join_rows(others, images)
    firsts = find_first(both)
    kept = np.unique(firsts)
    pairs = kept[find_near_copies(both, kept, np.flatnonzero(kept >= n))]
    exact = firsts[n:] < n
    return exact, np.isin(firsts[n:], pairs[pairs[:, 1] < n, 0]) & ~exact


def join_groups(
    groups: Int64[np.ndarray, "N"], pairs: Int64[np.ndarray, "Q 2"]
) -> Int64[np.ndarray, "N"]:
    """Return groups that are joined where a pair lies in two; each is called after its first.

    >>> join_groups(np.array([0, 1, 2, 1, 4]), np.array([[3, 2]])).tolist()
    [0, 1, 1, 1, 4]
    """
    first = np.unique(groups, return_index=True, return_inverse=True)[1:]
    parents = list(range(len(groups)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    own = first[0][first[1]]
    for a, b in pairs.tolist():
        low, high = sorted((root(int(own[a])), root(int(own[b]))))
        parents[high] = low
    return np.array([root(i) for i in own.tolist()], np.int64)


def find_near_copies(
    images: UInt8[np.ndarray, "N H W *C"],
    kept: Int64[np.ndarray, "L"],
    asked: Int64[np.ndarray, "M"],
) -> Int64[np.ndarray, "Q 2"]:
    """Return pairs of places in `kept` of images that are near copies; the first ones are `asked`.

    The images that are kept all differ. None are found among more than `MOST`.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415  # 0.1 s

    n = min(NEIGHBOURS, len(kept) - 1)
    if n < 2 or len(kept) > MOST:
        return np.zeros((0, 2), np.int64)
    small = _shrink(images, kept)
    points = _project(small)
    distances, nearest = cKDTree(points).query(points[asked], k=n + 1)
    itself = nearest == asked[:, None]
    itself[~itself.any(axis=1), -1] = True  # hidden behind others that look the same
    distances, nearest = (each[~itself].reshape(-1, n) for each in (distances, nearest))
    close = np.flatnonzero(distances[:, 0] < CLOSER * distances[:, -1])
    if len(close) == 0:
        return np.zeros((0, 2), np.int64)
    left, gain = _align(small, asked[close], nearest[close])
    usual = np.median(left, axis=1)
    # of an image that was saved again and again, all neighbours are near: usual is what all show
    usual = np.maximum(usual, np.median(usual) / 2)
    near = (left < LEFT * usual[:, None]) & (gain > GAIN[0]) & (gain < GAIN[1])
    rows, columns = np.nonzero(near)
    return np.stack([asked[close[rows]], nearest[close[rows], columns]], axis=1)


def _shrink(
    images: UInt8[np.ndarray, "N H W *C"], kept: Int64[np.ndarray, "L"]
) -> Float32[np.ndarray, "L h w c"]:
    """Return images of at most 16 pixels on a side, each the mean of those that it stands for."""
    down, across = (_averages(side) for side in images.shape[1:3])
    channels = 3 if images.ndim == 4 else 1
    small = np.empty((len(kept), len(down), len(across), channels), np.float32)
    for part in chunks(len(kept), 4 * images[0].size):
        pixels = images[kept[part]].reshape(-1, *images.shape[1:3], channels)
        for channel in range(channels):
            small[part, ..., channel] = down @ pixels[..., channel].astype(np.float32) @ across.T
    return small


def _averages(side: int) -> Float32[np.ndarray, "s S"]:
    """Return the matrix that brings a side to at most 16 pixels.

    >>> _averages(24)[0].tolist()[:3]
    [0.66..., 0.33..., 0.0]
    """
    edges = np.linspace(0, side, min(side, SIDE) + 1)
    low, high, pixel = edges[:-1, None], edges[1:, None], np.arange(side)
    covered = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, 1)
    return np.asarray(covered / (high - low), np.float32)


def _project(small: Float32[np.ndarray, "L h w c"]) -> Float32[np.ndarray, "L P"]:
    """Return leading principal components of images of mean 0 and length 1."""
    rows = small.reshape(len(small), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
    some = sample(rows, 2000)
    # at right angles, so that no distance grows
    axes, _ = np.linalg.qr(principal_axes(some - some.mean(axis=0), COMPONENTS))
    return np.asarray(rows @ axes)


def _align(
    small: Float32[np.ndarray, "L h w c"],
    asked: Int64[np.ndarray, "M"],
    others: Int64[np.ndarray, "M K"],
) -> tuple[Float32[np.ndarray, "M K"], Float32[np.ndarray, "M K"]]:
    """Return what is left of others once images are aligned with them, and how much lighter.

    An image is moved, stretched, lightened and given more contrast, all in one least-squares fit
    to its gradients. What is left is a share of the other's deviation from its mean.
    Source: Lucas and Kanade (1981).
    """
    left = np.empty(others.shape, np.float32)
    gain = np.empty(others.shape, np.float32)
    for part in chunks(len(asked), 4 * small[0].size * (6 + 3 * others.shape[1])):
        basis = _deformations(small[asked[part]])
        target = small[others[part]].reshape(*others[part].shape, -1)
        products = basis @ basis.transpose(0, 2, 1)
        scale = np.trace(products, axis1=1, axis2=2)
        # what tells nothing, such as the gradients of an even image, is left alone
        products[:, range(6), range(6)] += 1e-6 * scale[:, None] + 1e-3
        fitted = np.linalg.solve(products, basis @ target.transpose(0, 2, 1))
        rest = target - fitted.transpose(0, 2, 1) @ basis
        deviation = target - target.mean(axis=2, keepdims=True)
        left[part] = _length(rest) / np.maximum(_length(deviation), 1)
        gain[part] = fitted[:, 0]
    return left, gain


def _length(rows: Float32[np.ndarray, "M K D"]) -> Float32[np.ndarray, "M K"]:
    return np.asarray(np.sqrt(np.einsum("mkd,mkd->mk", rows, rows)))


def _deformations(small: Float32[np.ndarray, "M h w c"]) -> Float32[np.ndarray, "M 6 D"]:
    """Return images, an even one, and how they change where they are moved and stretched."""
    down, across = np.gradient(small, axis=1), np.gradient(small, axis=2)
    y = np.linspace(-1, 1, small.shape[1], dtype=np.float32)[:, None, None]
    x = np.linspace(-1, 1, small.shape[2], dtype=np.float32)[:, None]
    ways = [small, np.ones_like(small), down, across, y * down, x * across]
    return np.stack(ways, axis=1).reshape(len(small), 6, -1)
