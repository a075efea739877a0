"""Batch sizes with which answers are, bit by bit, those to each image alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookbook.inference.model import Outputs

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from lookbook.inference.model import Model


def answers_alike(model: Model, most: int) -> int:
    """Return up to how many images at once answers do not depend on their neighbours.

    A product of matrices may be summed in another order where it has one row, or where rows do not
    fill a block. With one thread, ONNX Runtime 1.32 does not on x86-64 with AVX-512 (`quick`,
    `standard`, `photo`, 1 to 128 images, 19,000 answers each); elsewhere it may, and so it is
    looked at: every size, with images that are sure and such that get a second look. With two
    threads it does: it parts elementwise steps by load, and 1 answer in 100 to 30 images differed
    from that to the image alone, in the last bits of `novelty`.
    """
    images = _made_images(model, most)
    alone = [model.predict(each[None]) for each in images]
    for n in range(2, most + 1):
        start = n % 3  # the same image stands in other rows
        places = [(start + i) % len(images) for i in range(n)]
        together = model.predict(images[places])
        for row, place in enumerate(places):
            if not _is_same(alone[place], together, row):
                return n - 1
    return most


def _is_same(alone: Outputs, together: Outputs, row: int) -> bool:
    return all(np.array_equal(a[0], b[row]) for a, b in zip(alone, together, strict=True))


def _made_images(model: Model, n: int) -> Shaped[np.ndarray, "N *shape"]:
    """Return flat images, which most networks are sure of, and noisy ones, in turn."""
    rng = np.random.default_rng(0)
    shape = (n, *model.input_shape)
    noise = rng.integers(0, 256, shape) * (np.arange(n) % 2).reshape(-1, *[1] * (len(shape) - 1))
    levels = rng.integers(0, 256, (n, *[1] * (len(shape) - 1)))
    images = (noise + levels) // 2
    return images.astype(model.card.input_dtype)
