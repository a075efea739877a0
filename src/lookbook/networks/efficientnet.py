"""EfficientNet-Lite0: inverted residuals of depthwise convolutions, without norms of their own.

Sources: Tan and Le (2019), "EfficientNet: rethinking model scaling for convolutional neural
networks"; its Lite variant leaves out squeeze-and-excitation, has ReLU6 throughout, and scales
neither its first nor its last convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor


class Stage(NamedTuple):
    """Blocks of one width, of which the first may halve the sides."""

    blocks: int
    kernel: int
    stride: int
    #: how many times the channels of its input a block has inside
    expansion: int
    channels: int


#: channels of the first convolution, and features: channels of the last one
STEM, FEATURES = 32, 1280
#: first blocks that stay pretrained, with the convolution before them, when all others learn: their
#: large maps take two fifths of a step (docs/log.md, a faster step of pretrained weights)
FROZEN = 5
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class EfficientNet(nn.Module):
    """A convolution, sixteen blocks, a convolution of 1×1, a mean over the map, a linear layer.

    It takes bytes, grey or colour. Where it answers, it looks at the middle of an image, five
    sixths of its sides: few photographs of clothing gain 2 points. In training, augmentation
    chooses the part.

    Norms are folded into the convolutions, whose biases they became: the same function, and a step
    of training takes three quarters of the time (128×128 pixels, two cores: 5.9 ms an image, where
    norms with fixed statistics took 7.7).

    Parameters
    ----------
    outputs
        How many logits.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.stem = Unit(3, STEM, kernel=3, stride=2)
        blocks, channels = [], STEM
        for stage in STAGES:
            for number in range(stage.blocks):
                blocks.append(Block(channels, stage, stage.stride if number == 0 else 1))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.top = Unit(channels, FEATURES)
        self.head = nn.Linear(FEATURES, outputs)
        # by chance until it is fitted, it would not be the same for the same seed
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        #: how many traits `with_traits` gives
        self.n_traits, self.n_classes = FEATURES, outputs

    def forward(self, images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        return self.with_traits(images)[0]

    def with_traits(
        self, images: Shaped[Tensor, "N C H W"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
        """Return logits, and the features that they are computed from."""
        features = self.features(images if self.training else middle(images))
        return self.head(features), features

    def freeze_front(self) -> None:
        """Leave out of what is trained what tells edges and colours, of which no image is new."""
        for part in (self.stem, *list(self.blocks)[:FROZEN]):
            part.requires_grad_(False)  # noqa: FBT003  # takes no name

    def features(self, images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N T"]:
        """Return what each filter of the last convolution answers to whole images, on average."""
        maps = self.top(self.blocks(self.stem(_scale(images))))
        features: Tensor = maps.mean(dim=(2, 3))
        return features


class HeadOnFeatures(nn.Module):
    """The head of such a network, on maps of the features that this gave for images.

    A map has one row, of a place for each view of the image: its own first.
    """

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head
        self.n_traits, self.n_classes = head.in_features, head.out_features

    def forward(self, maps: Float[Tensor, "N T 1 V"]) -> Float[Tensor, "N K"]:
        """Return logits."""
        return self.with_traits(maps)[0]

    def with_traits(
        self, maps: Float[Tensor, "N T 1 V"]
    ) -> tuple[Float[Tensor, "N K"], Float[Tensor, "N T"]]:
        """Return logits of the first view, and the features that they are computed from."""
        features = maps[:, :, 0, 0].contiguous()
        return self.head(features), features


def middle(images: Shaped[Tensor, "N C H W"]) -> Shaped[Tensor, "N C H2 W2"]:
    """Return five sixths of the sides.

    >>> middle(torch.zeros(1, 3, 192, 32)).shape
    torch.Size([1, 3, 160, 28])
    """
    top, left = (int(side) // 12 for side in images.shape[2:])
    return images[:, :, top : int(images.shape[2]) - top, left : int(images.shape[3]) - left]


def _scale(images: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N 3 H W"]:
    """Return bytes as the published weights take them; a grey image three times."""
    pixels = (images.float() - 127) / 128
    if pixels.shape[1] == 1:
        pixels = torch.cat([pixels] * 3, dim=1)
    return pixels.contiguous(memory_format=torch.channels_last)


class Block(nn.Module):
    """Widen, filter each channel on its own, narrow; added to its input where that has its shape.

    Source: Sandler et al. (2018), "MobileNetV2: inverted residuals and linear bottlenecks".
    """

    def __init__(self, channels: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inside = channels * stage.expansion
        self.layers = nn.Sequential(
            *([Unit(channels, inside)] if stage.expansion > 1 else []),
            Unit(inside, inside, kernel=stage.kernel, stride=stride, groups=inside),
            Unit(inside, stage.channels, linear=True),
        )
        self.adds = stride == 1 and channels == stage.channels

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N O H2 W2"]:
        """Return the maps that the next block takes."""
        answers: Tensor = self.layers(maps)
        return answers + maps if self.adds else answers


class Unit(nn.Module):
    """A convolution, and ReLU6 unless it is `linear`.

    Where it halves the sides, its borders are TensorFlow's "same", as in the training of the
    published weights: of an even side, zeros below and to the right are one more than above.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        border = kernel // 2 if stride == 1 else 0
        self.convolution = nn.Conv2d(channels, width, kernel, stride, border, groups=groups)
        self.linear = linear

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N O H2 W2"]:
        """Return the next maps."""
        answers = self._convolve(maps)
        # in place where it is trained: a step takes a tenth less, as half of the maps are kept
        return answers if self.linear else F.relu6(answers, inplace=self.training)

    def _convolve(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N O H2 W2"]:
        """Filter maps whose borders are as zeros; a copy with borders is made where they differ."""
        convolution = self.convolution
        if convolution.stride == (1, 1):
            answers: Tensor = convolution(maps)
            return answers
        kernel = convolution.kernel_size[0]
        (top, below), (left, right) = (_borders(int(side), kernel) for side in maps.shape[2:])
        if (top, left) != (below, right):
            maps, top, left = F.pad(maps, (left, right, top, below)), 0, 0
        weight, shift, groups = convolution.weight, convolution.bias, convolution.groups
        return F.conv2d(maps, weight, shift, convolution.stride, (top, left), groups=groups)


def _borders(side: int, kernel: int) -> tuple[int, int]:
    """Return the zeros before and after a side that is halved.

    >>> _borders(8, 3), _borders(8, 5), _borders(7, 3)
    ((0, 1), (1, 2), (1, 1))
    """
    zeros = kernel - 2 + side % 2
    return zeros // 2, zeros - zeros // 2
