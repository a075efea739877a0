"""Chunks of arrays that fit into memory, and evenly spaced samples of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Shaped

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
