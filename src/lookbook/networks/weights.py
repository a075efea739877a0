"""A run's weights as a network, to go on with in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch

from lookbook.networks.classifier import build_classifier
from lookbook.runs.store import Run, as_run

if TYPE_CHECKING:
    from torch import nn


def load_network(run: Run | str | Path) -> nn.Module:
    """Return the network of a run, its folder or its name, with its weights, to go on in torch.

    Raises
    ------
    InputError
        There is no such run.
    DamagedFileError
        The weights are not those that the run wrote.
    """
    run = as_run(run)
    run.check_files()
    data = run.conditions.data
    shape = (1, *data.size, *([3] if data.channels == 3 else []))
    stored = safetensors.torch.load_file(run.weights)
    like = np.zeros(shape, np.uint8)
    if run.recipe.network == "backbone":  # the head alone, which takes its features
        like = np.zeros((1, len(stored["scaler.shift"])), np.float32)
    classifier = build_classifier(run.recipe, like, len(data.classes), seed=0).folded()
    classifier.load_state_dict(stored)
    return classifier.eval()
