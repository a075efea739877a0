"""A stand-in for a model, whose answers are known."""

from __future__ import annotations

import numpy as np

from lookbook.inference.model import Outputs


class BrightRows:
    """A stand-in for a model: the class is the brightest third of the rows."""

    def predict(self, images):
        thirds = [part.mean(axis=(1, 2)) for part in np.array_split(images, 3, axis=1)]
        logits = np.stack(thirds, axis=1) / 20
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs = powers / powers.sum(axis=1, keepdims=True)
        return Outputs(logits, probs, np.ones(len(images)))
