"""EfficientNet-Lite0: sizes, parameters, borders, and what a model file of it holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lookbook.networks.efficientnet import FEATURES, EfficientNet, Unit, _borders, middle


@pytest.mark.parametrize("shape", [(32, 32), (33, 57), (28, 28), (1, 9)])
def test_the_network_follows_size(shape):
    logits, features = EfficientNet(7).with_traits(torch.zeros(2, 3, *shape))
    assert logits.shape == (2, 7)
    assert features.shape == (2, FEATURES)


def test_it_has_the_published_number_of_parameters():
    network = EfficientNet(1000)
    norms = sum(m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d))
    # 4.65 million with the weight and the shift of each norm, of which a bias is left here
    assert sum(weight.numel() for weight in network.parameters()) + norms == 4_652_008


def test_sixteen_blocks_halve_the_sides_five_times():
    network = EfficientNet(2)
    assert len(network.blocks) == 16
    assert network.blocks(network.stem(torch.zeros(1, 3, 224, 224))).shape == (1, 320, 7, 7)


def test_borders_are_as_tensorflow_pads():
    # sides and kernels: the zeros are those for ceil(side / 2) places, one more behind if odd
    for side in range(1, 20):
        for kernel in (3, 5):
            before, after = _borders(side, kernel)
            needed = max((-(-side // 2) - 1) * 2 + kernel - side, 0)
            assert (before, after) == (needed // 2, needed - needed // 2)


@pytest.mark.parametrize("sides", [(9, 13), (8, 12), (9, 12), (8, 13)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_borders_that_are_alike_need_no_copy(sides, kernel):
    unit = Unit(4, 4, kernel=kernel, stride=2, groups=4, linear=True)
    maps = torch.randn(2, 4, *sides, generator=torch.Generator().manual_seed(0))
    (top, below), (left, right) = (_borders(side, kernel) for side in sides)
    expected = unit.convolution(nn.functional.pad(maps, (left, right, top, below)))
    torch.testing.assert_close(unit(maps), expected)


@pytest.fixture
def images():
    levels = np.random.default_rng(0).integers(0, 256, (3, 3, 96, 60), dtype=np.uint8)
    return torch.from_numpy(levels)


def test_features_are_never_negative(images):
    assert (EfficientNet(2).features(images) >= 0).all()


def test_a_grey_image_is_one_of_three_equal_channels(images):
    network, grey = EfficientNet(2).eval(), images[:, :1]
    np.testing.assert_array_equal(
        network.features(grey).detach(), network.features(grey.expand(-1, 3, -1, -1)).detach()
    )


def test_where_it_answers_it_looks_at_the_middle(images):
    network = EfficientNet(2).eval()
    other = images.clone()
    other[:, :, :8], other[:, :, :, -5:] = 0, 255
    np.testing.assert_array_equal(network(images).detach(), network(other).detach())
    np.testing.assert_array_equal(network(images).detach(), _logits(network, middle(images)))
    np.testing.assert_array_equal(network.train()(images).detach(), _logits(network, images))


def _logits(network, images):
    return network.head(network.features(images)).detach()
