"""Fit on made images, as one of several processes or alone; keep what came of it. For torchrun."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lookbook.recipes import QUICK, STANDARD, TUTORIAL
from lookbook.training.callbacks import Callback
from lookbook.training.loop import Fitted, fit
from lookbook.training.processes import join

#: convolutions in float32, without distortion
CONV = replace(
    STANDARD, widths=(8, 16), half=False, batch_size=50, epochs=2.5, mirror=True, shift=1
)
#: a recipe and the weights of its images, by name
FITS = {
    "dense": (replace(TUTORIAL, epochs=1), None),
    "components": (replace(QUICK, half=False, batch_size=64, epochs=2, hardest=0.5), None),
    "conv": (CONV, None),
    "balanced": (replace(CONV, class_weights="balanced"), None),
    "weighted": (CONV, "by index"),
    "smoothed": (replace(CONV, label_smoothing=0.1, epochs=1), None),
}


class Losses(Callback):
    """Takes down what the sampler chooses by."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_progress(self, state, progress) -> None:
        """Take down the loss of each image."""
        self.seen.append(state.tensors()["passes.losses"].clone())


def made(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise with a bright row that says which class it is; the first class is common."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.integers(0, 6, n), 3).astype(np.int64)
    images = rng.integers(0, 120, (n, 28, 28), dtype=np.uint8)
    images[np.arange(n), 6 * labels + 3] += 120
    return images, labels


def one(name: str, processes) -> tuple[Fitted, Losses]:
    recipe, weights = FITS[name]
    losses = Losses()
    training = made(330, 0)
    weight = None if weights is None else np.linspace(0.2, 2, len(training[1]))
    fitted = fit(
        training, made(61, 1), recipe, 4, callbacks=[losses], sample_weight=weight,
        processes=processes,
    )  # fmt: skip
    return fitted, losses


def main(folder: Path) -> None:
    processes = join()
    found = {}
    for name in FITS:
        fitted, losses = one(name, processes)
        found[name] = {
            "weights": fitted.classifier.state_dict(),
            "history": [(e.loss, e.accuracy, e.val_loss, e.val_accuracy) for e in fitted.history],
            "losses": losses.seen,
            "val_logits": torch.from_numpy(fitted.val_logits.copy()),
        }
    torch.save(found, folder / f"{processes.rank}-of-{processes.size}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
