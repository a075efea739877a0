"""Made answers to report on, and what is read of a report."""

from __future__ import annotations

import numpy as np


def draws(shown):
    return shown.evaluate("document.getElementById('plane').toDataURL()")


def written(path):
    """Return what stands in a page, with plain spaces."""
    return path.read_text(encoding="utf-8").replace("\u00a0", " ")


def made_answers(n, k, shape, *, wrong=0.2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    labels = rng.integers(0, k, n)
    said = np.where(rng.random(n) < wrong, rng.integers(0, k, n), labels)
    probs = np.full((n, k), 0.3 / k) + 0.7 * np.eye(k)[said]
    return images, labels, probs.astype(np.float32)
