"""The convolutional network: whitening filters, stages of convolutions, one linear layer."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Self, cast

import torch
import torch.nn.functional as F
from torch import nn

from lookbook.core.arrays import sample
from lookbook.networks.devices import as_tensor
from lookbook.networks.scaling import SAMPLE, channels_first

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Shaped, UInt8
    from torch import Tensor


class ConvNetwork(nn.Module):
    """A frozen whitening layer, then stages of convolutions, then one linear layer.

    What makes it learn in a few epochs (Jordan, 2024, "94 % on CIFAR-10 in 3.29 seconds on a single
    GPU"): a first layer that is computed rather than learnt, filters that begin as the identity,
    norms that shift but do not scale, and small logits at the start.

    Parameters
    ----------
    raw
        Some images, from which the whitening layer is computed.
    widths
        Channels of the convolutions: two for each stage, of which the first halves the sides, and
        one for the last, which looks at the whole of what is left of an image of 28×28 pixels.
        Where their number is even, the first stage has one alone. Stages are added where images
        are larger, until 4 pixels or fewer are left on a side.
    outputs
        How many logits.
    generator
        Draws the first weights.
    fine
        The first stage keeps its sides, and stages end in a maximum over 2×2 pixels: four times the
        arithmetic, and more is seen. The last stage may have one convolution.
    """

    #: filters of the whitening layer, at the most
    STEM = 32
    #: logits are this many times a mean over features
    LOGIT_SCALE = 0.5

    def __init__(
        self,
        raw: UInt8[np.ndarray, "N *shape"],
        widths: tuple[int, ...],
        outputs: int,
        generator: torch.Generator,
        *,
        fine: bool = False,
    ) -> None:
        super().__init__()
        filters, shift = whitening_layer(raw, self.STEM)
        self.register_buffer("whitening", filters)
        self.register_buffer("whitening_shift", shift)
        #: whether its filters see squares of 2×2 pixels as channels (traced, a shape is a tensor)
        self.is_folded = True
        layers = _Layers(len(filters), generator)
        add_stages = _add_fine_stages if fine else _add_stages
        # whitening halves the sides
        smallest = add_stages(layers, widths[:-1], [side // 2 - 1 for side in raw.shape[1:3]])
        layers.add(widths[-1], padding=0 if smallest >= 3 else 1)
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], outputs, bias=False)
        nn.init.normal_(self.head.weight, generator=generator)
        self.scale = self.LOGIT_SCALE / math.sqrt(widths[-1])
        #: how many traits `with_traits` gives
        self.n_traits, self.n_classes = len(filters) + sum(layers.widths), outputs

    whitening: Tensor
    whitening_shift: Tensor

    def forward(self, images: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        return self._judge(self.layers(self._whiten(images)))

    def with_traits(
        self, images: UInt8[Tensor, "N C H W"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
        """Return logits, and how much each filter of each layer answers, its mean over the map."""
        maps = self._whiten(images)
        traits = [maps.mean(dim=(2, 3))]
        for layer in self.layers:
            maps = layer(maps)
            if isinstance(layer, nn.ReLU):
                traits.append(maps.mean(dim=(2, 3)))
        return self._judge(maps), torch.cat(traits, dim=1)

    def _whiten(self, images: UInt8[Tensor, "N C H W"]) -> Float[Tensor, "N F H2 W2"]:
        if self.is_folded:
            maps = F.conv2d(fold_pixels(images).float(), self.whitening, self.whitening_shift)
        else:
            maps = F.conv2d(images.float(), self.whitening, self.whitening_shift, stride=2)
        return maps.relu_()

    def unfolded(self) -> Self:
        """Return the same function of pixels, whose whitening filters see 4×4 of them unfolded.

        So ONNX Runtime answers `standard` in 0.88 of the time, one image in 0.82.
        """
        network = copy.deepcopy(self)
        network.whitening = F.pixel_shuffle(self.whitening.contiguous(), 2)
        network.is_folded = False
        return network

    def _judge(self, maps: Float[Tensor, "N F H2 W2"]) -> Float[Tensor, "N K"]:
        logits: Tensor = self.head(maps.amax(dim=(2, 3))) * self.scale
        return logits


def _add_stages(layers: _Layers, widths: tuple[int, ...], sides: list[int]) -> int:
    """Add stages that begin with a step of 2; return the smaller side of what is left."""
    # the first one needs no border
    sides = [(side - 1) // 2 for side in sides]
    layers.add(widths[0], stride=(2, 2), padding=0)
    if len(widths) % 2 == 0:
        layers.add(widths[1])
    further = list(widths[2 - len(widths) % 2 :])
    while further or max(sides) > 4:
        first, second, *further = further or [layers.channels] * 2
        # in bfloat16, oneDNN's gradients of a stride along a single row or column are wrong
        down, right = (2 if side > 1 else 1 for side in sides)
        layers.add(first, stride=(down, right))
        layers.add(second)
        sides = [(side + 1) // 2 for side in sides]
    return min(sides)


def _add_fine_stages(layers: _Layers, widths: tuple[int, ...], sides: list[int]) -> int:
    """Add stages with a maximum over 2×2 pixels between them; return the smaller side left."""
    further = list(widths)
    while True:
        for width in further[:2]:
            layers.add(width)
        further = further[2:]
        if not further and max(sides) <= 4:
            return min(sides)
        down, right = (2 if side > 1 else 1 for side in sides)
        layers.append(nn.MaxPool2d((down, right)))
        sides = [side // 2 if side > 1 else side for side in sides]


class _Layers(list[nn.Module]):
    """Layers of a network, each convolution with the norm and the ReLU that follow it."""

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        #: how many the layers so far give
        self.channels = channels
        #: channels of each convolution, first to last
        self.widths: list[int] = []
        self._generator = generator

    def add(self, width: int, *, stride: tuple[int, int] = (1, 1), padding: int = 1) -> None:
        """Add a 3×3 convolution whose first filters hand their inputs on, a norm and a ReLU."""
        layer = _Convolution(
            self.channels, width, (3, 3), stride=stride, padding=(padding, padding), bias=False
        )
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=self._generator)
        nn.init.dirac_(layer.weight[: min(self.channels, width)])
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.extend([layer, _Norm(width), nn.ReLU()])
        self.channels = width
        self.widths.append(width)


class _Norm(nn.BatchNorm2d):
    """A norm without a scale, whose statistics follow the last few batches.

    A channel that was constant in them says nothing, and gives nothing when the network answers:
    divided by the root of `eps`, what another image or rounding makes of it would be 300 times as
    large, and after four such layers would be all that counts.
    """

    #: variance of a channel that counts as constant: of those that learn it is 0.01 and more
    CONSTANT = 1e-8

    momentum: float
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.6)
        self.weight.requires_grad = False

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002  # as torch calls it
        """Take all channels where the network learns, those that vary where it answers."""
        super().train(mode)
        self.weight.data.fill_(1)
        if not mode and self.num_batches_tracked:
            # what is left of the 1 that a variance begins with
            start = (1 - self.momentum) ** int(self.num_batches_tracked)
            varies = self.running_var - start > self.CONSTANT + 1e-6 * start
            self.weight.data.copy_(varies)
        return self


class _Convolution(nn.Conv2d):
    """A convolution that is a product of matrices where its filters see the whole map."""

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N O H2 W2"]:
        if self.stride[1] > 1 and torch.is_autocast_enabled(maps.device.type):
            down, across = cast("tuple[int, int]", self.padding)
            if maps.shape[3] + 2 * across < self.kernel_size[1] + self.stride[1]:
                return self._on_one_column(maps, down, across)
        if not (self.training and self.padding == (0, 0) and maps.shape[2:] == self.kernel_size):
            return super().forward(maps)
        # a sixth of the time, on two cores
        rows, filters = (each.permute(0, 2, 3, 1).flatten(1) for each in (maps, self.weight))
        return F.linear(rows, filters)[:, :, None, None]

    def _on_one_column(
        self, maps: Float[Tensor, "N C H W"], down: int, across: int
    ) -> Float[Tensor, "N O H2 1"]:
        """Return the same where filters fit once across the map, which leaves no stride there.

        In bfloat16 on matrix tiles (AMX), oneDNN's convolution with such a stride is wrong, the
        answer itself and its gradients: by its own size, or not finite.
        """
        beyond = self.kernel_size[1] - across - maps.shape[3]
        seen = F.pad(maps, (across, beyond))  # a negative number cuts off
        return F.conv2d(seen, self.weight, stride=(self.stride[0], 1), padding=(down, 0))


def whitening_layer(
    raw: UInt8[np.ndarray, "N *shape"], most: int
) -> tuple[Float[Tensor, "F D 2 2"], Float[Tensor, "F"]]:
    """Return filters and shifts whose answers on these images are uncorrelated, of spread 1.

    The leading eigenvectors of the covariance of 4×4 patches, every second pixel, each divided by
    the root of its eigenvalue, and their negatives, since a ReLU follows. They take bytes, 0 to
    255. As a convolution of 4×4 over one channel runs at a tenth of the processor's speed, the
    filters are folded: 2×2 over four channels, one for each place in a square of 2×2 pixels.
    """
    patches_each = (raw.shape[1] // 2 - 1) * (raw.shape[2] // 2 - 1)
    images = as_tensor(sample(raw, max(1, min(SAMPLE, 400_000 // patches_each))))
    pixels = channels_first(images).float()
    mean, spread = pixels.mean(), pixels.std().clamp_min(1)
    folded = fold_pixels((pixels - mean) / spread)
    patches = F.unfold(folded, 2).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    n = min(most // 2, len(values))
    # the smallest eigenvalues are noise: 0.005 keeps them from being blown up
    leading = (vectors / torch.sqrt(values + 5e-3)).flip(1)[:, :n].T
    # in some directions nothing varies, not even by the rounding of levels: there, answers would be
    # the rounding of sums alone
    leading[(patches @ leading.T).square().mean(0) < 1e-6] = 0
    filters = torch.cat([leading, -leading]).reshape(2 * n, -1, 2, 2) / spread
    shift = -filters.sum(dim=(1, 2, 3)) * mean
    return filters.contiguous(memory_format=torch.channels_last), shift


def fold_pixels(images: Shaped[Tensor, "N C H W"]) -> Shaped[Tensor, "N D H2 W2"]:
    """Lay each square of 2×2 pixels into four channels; an odd last row or column is left out.

    The channels lie last in memory. `F.pixel_unshuffle` is the same, but takes no empty batch.
    """
    height, width = images.shape[2] // 2, images.shape[3] // 2
    whole = images[:, :, : 2 * height, : 2 * width]
    squares = whole.unflatten(3, (width, 2)).unflatten(2, (height, 2))
    rows = squares.permute(0, 2, 4, 1, 3, 5).reshape(-1, height, width, 4 * images.shape[1])
    folded: Tensor = rows.permute(0, 3, 1, 2)
    return folded
