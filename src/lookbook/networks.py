"""Build the networks: float pictures in, logits out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Shaped
    from torch import Tensor

    from lookbook.recipes import Recipe


class Scaler(nn.Module):
    """Turn raw inputs into what a network expects: pictures to 0..1, features to mean 0, spread 1.

    It is part of the model file, so that nobody has to scale anything before a prediction.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, raw: Shaped[np.ndarray, "N *shape"]) -> None:
        super().__init__()
        if raw.dtype == "uint8":
            # the tutorial's min-max scaling: (x − 0) / (255 − 0)
            shift, scale = torch.zeros(1), torch.full((1,), 1 / 255)
        else:
            shift = torch.from_numpy(raw.mean(axis=0))
            spread = torch.from_numpy(raw.std(axis=0))
            scale = torch.where(spread > 0, 1 / spread, 0.0)  # a constant feature says nothing
        self.register_buffer("shift", shift.float())
        self.register_buffer("scale", scale.float())

    def forward(self, raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        """Scale a batch; pictures come out as N C H W."""
        scaled = (raw.float() - self.shift) * self.scale
        if raw.dim() == 3:
            return scaled.unsqueeze(1)
        return scaled.permute(0, 3, 1, 2) if raw.dim() == 4 else scaled


class DenseNetwork(nn.Sequential):
    """Flatten, then dense layers with ReLU between them; the last layer gives logits.

    Weights start as Glorot and Bengio (2010) propose and biases at zero, as in the tutorial.
    """

    def __init__(
        self, inputs: int, hidden: tuple[int, ...], outputs: int, generator: torch.Generator
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        widths = (inputs, *hidden, outputs)
        for before, after in pairwise(widths):
            layer = nn.Linear(before, after)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        super().__init__(*layers[:-1])


class Classifier(nn.Module):
    """A network with all that stands around it: scaling before, temperature and softmax after.

    This is what the model file holds.
    """

    temperature: Tensor

    def __init__(self, scaler: Scaler, network: nn.Module) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network
        self.register_buffer("temperature", torch.ones(()))

    def forward(
        self, raw: Shaped[Tensor, "N *shape"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"]]:
        """Return logits (before temperature) and calibrated probabilities."""
        logits = self.network(self.scaler(raw))
        return logits, torch.softmax(logits / self.temperature, dim=1)


def build_classifier(
    recipe: Recipe, raw: Shaped[np.ndarray, "N *shape"], n_classes: int, seed: int
) -> Classifier:
    """Build the recipe's network for inputs of this shape, its weights drawn from the seed.

    >>> import numpy as np
    >>> from lookbook.recipes import TUTORIAL
    >>> classifier = build_classifier(TUTORIAL, np.zeros((2, 28, 28), np.uint8), 10, seed=0)
    >>> sum(weights.numel() for weights in classifier.parameters())
    101770
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = math.prod(raw.shape[1:])
    network = DenseNetwork(inputs, recipe.hidden, n_classes, generator)
    return Classifier(Scaler(raw), network)
