"""A run's weights as a network, to go on with in PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch

from lookbook.networks.classifier import build_classifier

if TYPE_CHECKING:
    from torch import nn

    from lookbook.runs.store import Run


def load_network(run: Run) -> nn.Module:
    """Return a run's network with its weights, to go on with in torch.

    Raises
    ------
    DamagedFileError
        The weights are not those that the run wrote.
    """
    run.check_files()
    data = run.conditions.data
    shape = (1, *data.size, *([3] if data.channels == 3 else []))
    like = np.zeros(shape, np.uint8)
    classifier = build_classifier(run.recipe, like, len(data.classes), seed=0).folded()
    classifier.load_state_dict(safetensors.torch.load_file(run.weights))
    return classifier.eval()
