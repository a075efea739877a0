"""Logits and labels whose right temperature is known."""

from __future__ import annotations

import numpy as np

from lookbook.core.arrays import softmax


def made(seed: int, scale: float, n: int = 400, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits `scale` times as large as the probabilities by which the labels were drawn say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k))
    labels = np.array([rng.choice(k, p=p) for p in softmax(logits)])
    return logits * scale, labels
