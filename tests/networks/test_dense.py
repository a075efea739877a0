"""The dense network: matrices with ReLU between them, begun as Glorot and Bengio propose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from lookbook.networks.dense import DenseNetwork


def made(inputs: int, widths: tuple[int, ...], outputs: int, seed: int = 0) -> DenseNetwork:
    return DenseNetwork(inputs, widths, outputs, torch.Generator().manual_seed(seed))


def layers(network: DenseNetwork) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("widths", [(), (7,), (7, 5, 3)])
def test_it_multiplies_and_cuts_off_below_zero(widths):
    """In float64 by NumPy, of images whose pixels are all seen by all units."""
    network = made(24, widths, 4)
    rng = np.random.default_rng(0)
    for layer in layers(network):
        layer.bias.data = torch.tensor(rng.normal(size=len(layer.bias)), dtype=torch.float32)
    images = rng.normal(size=(6, 2, 4, 3)).astype(np.float32)
    values, hidden = images.reshape(6, 24).astype(np.float64), []
    for layer in layers(network):
        values = np.maximum(values, 0) if hidden else values
        values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        hidden.append(np.maximum(values, 0))
    with torch.no_grad():
        logits, traits = network.with_traits(torch.from_numpy(images))
        assert torch.equal(network(torch.from_numpy(images)), logits)
    np.testing.assert_allclose(logits.numpy(), values, rtol=1e-4, atol=1e-5)
    expected = np.concatenate(hidden[:-1] or [values], axis=1)
    np.testing.assert_allclose(traits.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (network.n_traits, network.n_classes) == (expected.shape[1], 4)
    assert [layer.out_features for layer in layers(network)] == [*widths, 4]


def test_weights_begin_evenly_within_the_bound_of_glorot_and_biases_at_zero():
    """The bound is √(6 / (inputs + outputs)) of each layer; PyTorch's own would be 1 / √inputs."""
    for layer in layers(made(784, (512, 300), 200)):
        bound = math.sqrt(6 / sum(layer.weight.shape))
        weights = layer.weight.detach().numpy().ravel() / bound
        assert np.abs(weights).max() <= 1.000001
        shares = np.histogram(weights, bins=10, range=(-1, 1))[0] / weights.size
        assert shares == pytest.approx(0.1, abs=6 * math.sqrt(0.09 / weights.size))
        assert not layer.bias.any()


def test_a_seed_decides_the_weights_whatever_was_drawn_before():
    first = made(30, (20,), 5, seed=1)
    torch.rand(7)
    again, other = made(30, (20,), 5, seed=1), made(30, (20,), 5, seed=2)
    for one, same, another in zip(*map(layers, (first, again, other)), strict=True):
        assert torch.equal(one.weight, same.weight)
        assert not torch.equal(one.weight, another.weight)
