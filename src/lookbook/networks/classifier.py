"""Build the networks, and what stands around them: raw images in, answers out."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lookbook.core.arrays import sample
from lookbook.networks.devices import as_tensor
from lookbook.networks.novelty import Novelty

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped, UInt8
    from torch import Tensor

    from lookbook.recipes import Recipe


#: training images on which statistics are taken before the first step
SAMPLE = 2000


class Scaler(nn.Module):
    """Turn raw inputs into what a network expects: images to 0..1, features to mean 0, spread 1.

    It is part of the model file, so that nobody has to scale anything before a prediction.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, raw: Shaped[np.ndarray, "N *shape"]) -> None:
        super().__init__()
        if raw.dtype == "uint8":
            # the tutorial's: (x - 0) / (255 - 0)
            shift, scale = torch.zeros(1), torch.full((1,), 1 / 255)
        else:
            shift = torch.from_numpy(raw.mean(axis=0))
            spread = torch.from_numpy(raw.std(axis=0))
            scale = torch.where(spread > 0, 1 / spread, 0.0)  # a constant feature says nothing
        self.register_buffer("shift", shift.float())
        self.register_buffer("scale", scale.float())

    def forward(self, raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N *shape"]:
        """Scale a batch; images come out as N C H W."""
        return channels_first((raw.float() - self.shift) * self.scale)


class Components(nn.Module):
    """Turn images into their principal components, of mean 0 and mean square 1.

    A first dense layer that is trained on them is a first layer on pixels, whose weights are
    limited to what the images show: see `Classifier.folded`. A step then costs a quarter, and
    learns more, as the pixels' directions without any content are gone.
    """

    #: components at the most
    MOST = 192

    mean: Tensor
    basis: Tensor

    def __init__(self, raw: UInt8[np.ndarray, "N *shape"]) -> None:
        super().__init__()
        # of large images fewer: there, the time grows with the third power of their number
        few = SAMPLE if raw[0].size <= SAMPLE else 4 * self.MOST
        rows = _rows(as_tensor(sample(raw, few))).float()
        mean = rows.mean(0)
        rows = rows - mean
        # whichever is smaller: pixels by pixels, or images by images
        wide = rows.shape[1] > len(rows)
        values, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        basis = F.normalize(rows.T @ vectors, dim=0) if wide else vectors
        kept = min(self.MOST, len(values))
        mean_square = values[-kept:].clamp_min(1e-6).mean() / len(rows)
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis[:, -kept:] / mean_square.sqrt())

    def forward(self, raw: UInt8[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        """Return the components of a batch."""
        return _rows(raw).to(self.basis.dtype) @ self.basis - self.mean @ self.basis

    def of_all(self, raw: UInt8[Tensor, "N *shape"], dtype: torch.dtype) -> Float[Tensor, "N K"]:
        """Return the components of a whole set, computed piece by piece in that type."""
        basis = self.basis.to(dtype)
        shift = -(self.mean @ self.basis).to(dtype)
        # one array from the start: pieces that are joined in the end take twice the memory
        found = torch.empty(len(raw), basis.shape[1], dtype=dtype, device=raw.device)
        for piece, place in zip(raw.split(4096), found.split(4096), strict=True):
            torch.addmm(shift, _rows(piece).to(dtype), basis, out=place)
        return found


class Bytes(nn.Module):
    """Hand images on as N C H W, still as bytes: the whitening layer scales them."""

    def forward(self, raw: UInt8[Tensor, "N *shape"]) -> UInt8[Tensor, "N C H W"]:
        """Return a view of the batch."""
        return channels_first(raw)


def _rows(raw: UInt8[Tensor, "N *shape"]) -> UInt8[Tensor, "N D"]:
    """Return images as rows in the order in which a dense network reads N C H W."""
    return channels_first(raw).flatten(1)


def channels_first(raw: Shaped[Tensor, "N *shape"]) -> Shaped[Tensor, "N *shape"]:
    """Return images as N C H W, and anything else as it is."""
    if raw.dim() == 3:
        return raw.unsqueeze(1)
    return raw.permute(0, 3, 1, 2) if raw.dim() == 4 else raw


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


class ConvNetwork(nn.Module):
    """A frozen whitening layer, then stages of convolutions, then one linear layer.

    What makes it learn in a few passes (Jordan, 2024, "94 % on CIFAR-10 in 3.29 seconds on a single
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
        pixels = _fold_pixels(images).float()
        return F.conv2d(pixels, self.whitening, self.whitening_shift).relu_()

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
        if not (self.training and self.padding == (0, 0) and maps.shape[2:] == self.kernel_size):
            return super().forward(maps)
        # a sixth of the time, on two cores
        rows, filters = (each.permute(0, 2, 3, 1).flatten(1) for each in (maps, self.weight))
        return F.linear(rows, filters)[:, :, None, None]


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
    folded = _fold_pixels((pixels - mean) / spread)
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


def _fold_pixels(images: Shaped[Tensor, "N C H W"]) -> Shaped[Tensor, "N D H2 W2"]:
    """Lay each square of 2×2 pixels into four channels; an odd last row or column is left out.

    The channels lie last in memory. `F.pixel_unshuffle` is the same, but takes no empty batch.
    """
    height, width = images.shape[2] // 2, images.shape[3] // 2
    whole = images[:, :, : 2 * height, : 2 * width]
    squares = whole.unflatten(3, (width, 2)).unflatten(2, (height, 2))
    rows = squares.permute(0, 2, 4, 1, 3, 5).reshape(-1, height, width, 4 * images.shape[1])
    folded: Tensor = rows.permute(0, 3, 1, 2)
    return folded


class Classifier(nn.Module):
    """A network with all that stands around it: scaling before, temperature and softmax after.

    This is what the model file holds. `novelty` tells how strange an image is to the network.
    """

    #: a probability that much below `sure` counts as not sure at all
    RAMP = 0.02

    temperature: Tensor
    sure: Tensor

    def __init__(
        self,
        scaler: nn.Module,
        network: DenseNetwork | ConvNetwork,
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
        return logits, torch.softmax(logits / self.temperature, dim=1), novelty

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
        averaged = self._mean_over_views(pixels.index_select(0, unsure))
        # no step at the border, where rounding would decide
        share = (lacking[unsure] / self.RAMP).clamp(max=1)[:, None]
        mixed = torch.lerp(logits[unsure], averaged, share)
        return logits.index_put((unsure,), mixed), novelty

    def _mean_over_views(self, pixels: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return logits, averaged over the views that the recipe shows in training.

        Half of the weight is the image's own; the other half goes, where images are shifted, to
        it shifted towards its four corners. Each is the mean over the view and its mirror image,
        where images are mirrored.
        """
        by = self.shift
        corners = [(x, -x, y, -y) for x in (by, -by) for y in (by, -by)] if by else []
        views = [pixels, *(F.pad(pixels, corner) for corner in corners)]
        sides = [*views, *(view.flip(3) for view in views)] if self.mirror else views
        logits: Tensor = self.network(torch.cat(sides))
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
    generator = torch.Generator().manual_seed(seed)
    if recipe.network == "conv" and raw.ndim > 2:
        conv = ConvNetwork(raw, recipe.widths, n_classes, generator, fine=recipe.fine)
        return Classifier(Bytes(), conv, mirror=recipe.mirror, shift=recipe.shift)
    if recipe.scaling == "components" and raw.dtype == "uint8":
        components = Components(raw)
        inputs = components.basis.shape[1]
        return Classifier(components, DenseNetwork(inputs, recipe.widths, n_classes, generator))
    network = DenseNetwork(math.prod(raw.shape[1:]), recipe.widths, n_classes, generator)
    return Classifier(Scaler(raw), network)
