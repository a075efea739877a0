"""Teacher: EfficientNet-Lite0 from pretrained weights, fine-tuned on the training part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.torch
import torch

from lookbook.networks.efficientnet import EfficientNet
from lookbook.recipes import TRANSFER
from lookbook.training.loop import fit

if TYPE_CHECKING:
    from lookbook.data.dataset import Dataset

#: passes over the training images
EPOCHS = 5.67


def train_teacher(training: Dataset, path: Path, *, seed: int = 0) -> None:
    """Fine-tune by recipe `transfer` and write the network's weights.

    It learns from all photographs, those that the student is not shown (`held_out`), too; no other
    part is looked at.
    """
    images = np.ascontiguousarray(training.images)
    recipe = TRANSFER.with_epochs(EPOCHS)
    fitted = fit((images, training.labels), None, recipe, len(training.classes), seed=seed)
    safetensors.torch.save_file(_weights(fitted.classifier.network), path)


def load_teacher(path: Path) -> EfficientNet:
    """Return the network, ready to answer."""
    state = safetensors.torch.load_file(path)
    network = EfficientNet(len(state["head.bias"]))
    network.load_state_dict(state)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            # half the time
            module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
    return network.eval()


def _weights(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in network.state_dict().items()}
