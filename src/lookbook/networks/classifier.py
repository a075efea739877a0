"""Classifier around a network: raw images in, logits, probabilities and novelty out."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lookbook.networks.conv import ConvNetwork
from lookbook.networks.dense import DenseNetwork, LinearHead
from lookbook.networks.efficientnet import EfficientNet, HeadOnFeatures
from lookbook.networks.novelty import Novelty
from lookbook.networks.scaling import Bytes, Components, Scaler

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor

    from lookbook.recipes import Recipe


class Classifier(nn.Module):
    """A network with all that stands around it: scaling before, temperature and softmax after.

    This is what the model file holds. `novelty` tells how strange an image is to the network.
    """

    #: a probability that much below `sure` counts as not sure at all
    RAMP = 0.02

    temperature: Tensor
    sure: Tensor
    #: where training balanced classes: what the temperature is multiplied by in answers with each
    caution: Float[Tensor, "K"] | None

    def __init__(
        self,
        scaler: nn.Module,
        network: DenseNetwork | ConvNetwork | EfficientNet | HeadOnFeatures | LinearHead,
        *,
        mirror: bool = False,
        shift: int = 0,
    ) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network
        self.novelty = Novelty(network.n_traits, network.n_classes)
        self.mirror = mirror
        self.shift = shift
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("caution", None)
        # images whose greatest probability is below this are looked at in several views
        self.register_buffer("sure", torch.tensor(math.inf))

    @property
    def has_views(self) -> bool:
        """Whether images are looked at in several views."""
        return self.mirror or self.shift > 0

    @property
    def n_views(self) -> int:
        """How many views of an image are averaged, where it is not sure."""
        return (5 if self.shift else 1) * (2 if self.mirror else 1)

    def forward(
        self, raw: Shaped[Tensor, "N *shape"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"], Float[Tensor, "N"]]:
        """Return logits (before temperature), calibrated probabilities, and novelty."""
        logits, novelty = self.look(raw)
        temperature = self.temperature
        if self.caution is not None:
            temperature = (temperature * self.caution)[logits.argmax(dim=1), None]
        return logits, torch.softmax(logits / temperature, dim=1), novelty

    def look(
        self, raw: Shaped[Tensor, "N *shape"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N"]]:
        """Return logits, for images that the network is not `sure` of the mean over views.

        The novelty beside them is judged by one view.
        Source: Jordan (2024), multi-crop average on the least certain quarter.
        """
        pixels = self.scaler(raw)
        logits, traits = self.network.with_traits(pixels)
        novelty = self.novelty(traits, logits)
        if not self.has_views:
            return logits, novelty
        lacking = self.sure - torch.softmax(logits, dim=1).amax(dim=1)
        unsure = (lacking > 0).nonzero().flatten()
        averaged = self._mean_over_views(pixels.index_select(0, unsure), logits[unsure])
        # no step at the border, where rounding would decide
        share = (lacking[unsure] / self.RAMP).clamp(max=1)[:, None]
        mixed = torch.lerp(logits[unsure], averaged, share)
        return logits.index_put((unsure,), mixed), novelty

    def _mean_over_views(
        self, pixels: Shaped[Tensor, "N C H W"], own: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N K"]:
        """Return logits, averaged over the views that the recipe shows in training.

        Half of the weight is the image's own; the other half goes, where images are shifted, to
        it shifted towards its four corners. Each is the mean over the view and its mirror image,
        where images are mirrored. What the network says of the image as it is, is known: `own`.
        """
        by = self.shift
        corners = [(x, -x, y, -y) for x in (by, -by) for y in (by, -by)] if by else []
        views = [pixels, *(F.pad(pixels, corner) for corner in corners)]
        sides = [*views, *(view.flip(3) for view in views)] if self.mirror else views
        logits: Tensor = torch.cat([own, self.network(torch.cat(sides[1:]))])
        each = logits.view(1 + self.mirror, len(views), -1, logits.shape[1]).mean(0)
        return (each[0] + each[1:].mean(0)) / 2 if corners else each[0]

    def folded(self) -> Classifier:
        """Return the same function of pixels, without a step that only training needed.

        Components and first layer become one layer on pixels that are scaled to 0..1.
        """
        if not isinstance(self.scaler, Components):
            return self
        mean, basis = self.scaler.mean, self.scaler.basis
        scaler = Scaler(np.zeros((1, 1, 1), np.uint8))
        network = copy.deepcopy(self.network)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
        with torch.no_grad():
            first.bias.sub_(first.weight @ (basis.T @ mean))
            first.weight = nn.Parameter(first.weight @ basis.T * 255)
        first.in_features = len(mean)
        classifier = Classifier(scaler.to(mean.device), network).train(self.training)
        classifier.novelty = self.novelty
        classifier.temperature, classifier.sure = self.temperature, self.sure
        classifier.caution = self.caution
        return classifier


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
    classifier = _build(recipe, raw, n_classes, seed)
    if recipe.class_weights == "balanced":
        classifier.caution = torch.ones(n_classes)
    return classifier


def _build(
    recipe: Recipe, raw: Shaped[np.ndarray, "N *shape"], n_classes: int, seed: int
) -> Classifier:
    generator = torch.Generator().manual_seed(seed)
    if recipe.network == "backbone":
        return Classifier(Scaler(raw), LinearHead(raw.shape[1], n_classes))
    if recipe.network == "efficientnet" and raw.ndim > 2:
        return Classifier(Bytes(), EfficientNet(n_classes), mirror=recipe.mirror)
    if recipe.network == "conv" and raw.ndim > 2:
        conv = ConvNetwork(raw, recipe.widths, n_classes, generator, fine=recipe.fine)
        return Classifier(Bytes(), conv, mirror=recipe.mirror, shift=recipe.shift)
    if recipe.scaling == "components" and raw.dtype == "uint8":
        components = Components(raw)
        inputs = components.basis.shape[1]
        return Classifier(components, DenseNetwork(inputs, recipe.widths, n_classes, generator))
    network = DenseNetwork(math.prod(raw.shape[1:]), recipe.widths, n_classes, generator)
    return Classifier(Scaler(raw), network)
