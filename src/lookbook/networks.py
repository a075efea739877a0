"""Build the networks: float pictures in, logits out."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Shaped
    from torch import Tensor

    from lookbook.recipes import Recipe


#: training pictures on which statistics are taken before the first step
SAMPLE = 5000


class Scaler(nn.Module):
    """Turn raw inputs into what a network expects: pictures to 0..1, features to mean 0, spread 1.

    It is part of the model file, so that nobody has to scale anything before a prediction.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, raw: Shaped[np.ndarray, "N *shape"], scaling: str = "min-max") -> None:
        super().__init__()
        if raw.dtype == "uint8" and scaling == "min-max":
            # the tutorial's: (x − 0) / (255 − 0)
            shift, scale = torch.zeros(1), torch.full((1,), 1 / 255)
        elif raw.dtype == "uint8":
            sample = torch.from_numpy(raw[:SAMPLE]).float()
            shift, scale = sample.mean().view(1), 1 / sample.std().clamp_min(1).view(1)
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
        self, inputs: int, widths: tuple[int, ...], outputs: int, generator: torch.Generator
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise((inputs, *widths, outputs)):
            layer = nn.Linear(before, after)
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.ReLU()]
        super().__init__(*layers[:-1])


class ConvNetwork(nn.Module):
    """A frozen whitening layer, then blocks of convolutions, then one linear layer.

    What makes it learn in a few passes (Jordan, 2024, "94 % on CIFAR-10 in 3.29 seconds on a single
    GPU"): a first layer that is computed rather than learnt, filters that begin as the identity,
    norms that shift but do not scale, and small logits at the start.

    Parameters
    ----------
    scaled
        Some scaled pictures, from which the whitening filters are computed.
    widths
        Channels of the blocks. Blocks of the last width are added until 7 pixels or fewer are left
        on the longer side.
    outputs
        How many logits.
    generator
        Draws the first weights.
    """

    #: pixels on a side of a whitening filter, pixels between two of them, filters at the most
    PATCH, STRIDE, STEM = 4, 2, 32
    #: logits are this many times a mean over features
    LOGIT_SCALE = 0.2

    def __init__(
        self,
        scaled: Float[Tensor, "N C H W"],
        widths: tuple[int, ...],
        outputs: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        filters = whitening_filters(scaled, self.PATCH, self.STRIDE, self.STEM)
        self.register_buffer("whitening", filters)
        sides = [(side - self.PATCH) // self.STRIDE + 1 for side in scaled.shape[2:]]
        channels = len(filters)
        blocks: list[nn.Module] = []
        remaining = list(widths)
        while remaining or max(sides) > 7:
            width = remaining.pop(0) if remaining else widths[-1]
            halve = min(sides) >= 2
            # the first halving by stride: there a max pool costs as much as a convolution
            stride = halve and not blocks
            pool = halve and not stride
            blocks.append(_block(channels, width, generator, stride=stride, pool=pool))
            sides = [(side + stride) // 2 for side in sides] if halve else sides
            channels = width
            if not halve and not remaining:
                break
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, outputs, bias=False)
        nn.init.normal_(self.head.weight, generator=generator)
        self.scale = self.LOGIT_SCALE / math.sqrt(channels)

    whitening: Tensor

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        images = images.contiguous(memory_format=torch.channels_last)
        features = F.conv2d(images, self.whitening, stride=self.STRIDE)
        features = self.blocks(F.relu(features)).amax(dim=(2, 3))
        logits: Tensor = self.head(features) * self.scale
        return logits


def _block(
    inputs: int, width: int, generator: torch.Generator, *, stride: bool, pool: bool
) -> nn.Sequential:
    return nn.Sequential(
        _identity_filters(inputs, width, generator, stride=2 if stride else 1),
        *([nn.MaxPool2d(2)] if pool else []),
        _shift_norm(width),
        nn.ReLU(),
        _identity_filters(width, width, generator),
        _shift_norm(width),
        nn.ReLU(),
    )


def _identity_filters(
    inputs: int, width: int, generator: torch.Generator, *, stride: int = 1
) -> nn.Conv2d:
    """Return a 3×3 convolution whose first filters hand their inputs on."""
    layer = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    nn.init.dirac_(layer.weight[: min(inputs, width)])
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return layer


def _shift_norm(width: int) -> nn.BatchNorm2d:
    """Return a batch norm without a scale, whose statistics follow the last few batches."""
    norm = nn.BatchNorm2d(width, momentum=0.6)
    norm.weight.requires_grad = False
    return norm


def whitening_filters(
    scaled: Float[Tensor, "N C H W"], patch: int, stride: int, most: int
) -> Float[Tensor, "F C P P"]:
    """Return filters whose answers on these pictures are uncorrelated and of spread about 1.

    The leading eigenvectors of the patches' covariance, each divided by the root of its eigenvalue,
    and their negatives, since a ReLU follows.
    """
    channels = scaled.shape[1]
    patches = F.unfold(scaled, patch, stride=stride).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    n = min(most // 2, len(values))
    # the smallest eigenvalues are noise: 0.005 keeps them from being blown up
    leading = (vectors / torch.sqrt(values + 5e-3)).flip(1)[:, :n].T
    filters = leading.reshape(n, channels, patch, patch)
    return torch.cat([filters, -filters]).contiguous(memory_format=torch.channels_last)


class Classifier(nn.Module):
    """A network with all that stands around it: scaling before, temperature and softmax after.

    This is what the model file holds.
    """

    temperature: Tensor

    def __init__(self, scaler: Scaler, network: nn.Module, *, mirror: bool = False) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network
        self.mirror = mirror
        self.register_buffer("temperature", torch.ones(()))

    def forward(
        self, raw: Shaped[Tensor, "N *shape"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N K"]]:
        """Return logits (before temperature) and calibrated probabilities."""
        logits = self.logits(raw)
        return logits, torch.softmax(logits / self.temperature, dim=1)

    def logits(self, raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        """Return logits, where the recipe says so the mean over a picture and its mirror image."""
        scaled = self.scaler(raw)
        logits: Tensor = self.network(scaled)
        return (logits + self.network(scaled.flip(3))) / 2 if self.mirror else logits


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
    scaler = Scaler(raw, recipe.scaling)
    if recipe.network == "conv" and raw.ndim > 2:
        sample = scaler(torch.from_numpy(raw[:SAMPLE]))
        network: nn.Module = ConvNetwork(sample, recipe.widths, n_classes, generator)
        return Classifier(scaler, network, mirror=recipe.mirror)
    network = DenseNetwork(math.prod(raw.shape[1:]), recipe.widths, n_classes, generator)
    return Classifier(scaler, network)
