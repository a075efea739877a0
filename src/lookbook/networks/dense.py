"""The dense network: layers that see all pixels, with ReLU between them; a head of one layer."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class LinearHead(nn.Module):
    """A linear layer on standardized features that another network computes.

    Its traits are the exponentials of these: what judges novelty takes logarithms, and so sees the
    features as they are, whatever their sign.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, outputs)
        # until it is fitted
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        #: how many traits `with_traits` gives
        self.n_traits, self.n_classes = inputs, outputs

    def forward(self, features: Float[Tensor, "N D"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        logits: Tensor = self.head(features)
        return logits

    def with_traits(
        self, features: Float[Tensor, "N D"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
        """Return logits, and traits that are positive and finite."""
        return self.head(features), features.clamp(-20, 20).exp()


class DenseNetwork(nn.Sequential):
    """Flatten, then dense layers with ReLU between them; the last layer gives logits.

    Weights start as Glorot and Bengio (2010) propose and biases at zero, as in the tutorial.
    """

    def __init__(
        self, inputs: int, widths: tuple[int, ...], outputs: int, generator: torch.Generator
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise((inputs, *widths, outputs)):
            layer = nn.Linear(before, after)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        super().__init__(*layers[:-1])
        #: how many traits `with_traits` gives
        self.n_traits, self.n_classes = sum(widths) or outputs, outputs

    def with_traits(
        self, inputs: Float[Tensor, "N *shape"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
        """Return logits, and the activations of all hidden layers."""
        hidden = []
        for layer in self:
            inputs = layer(inputs)
            if isinstance(layer, nn.ReLU):
                hidden.append(inputs)
        return inputs, torch.cat(hidden or [inputs], dim=1)
