"""The convolutional network: sizes, stages, its last layer, whitening."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pixel_unshuffle

from lookbook.networks.classifier import build_classifier
from lookbook.networks.conv import _Layers, whitening_layer
from lookbook.networks.scaling import channels_first
from lookbook.recipes import LARGE, SMALL, STANDARD, STRONG


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [SMALL, STANDARD, LARGE], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("shape", [(8, 8), (8, 30), (9, 224), (28, 28, 3), (64, 64), (224, 224)])
def test_the_convolutional_network_follows_size_and_channels(recipe, shape):
    raw = np.random.default_rng(0).integers(0, 255, (4, *shape), dtype=np.uint8)
    classifier = build_classifier(recipe, raw, 7, seed=0)
    logits, probs, _ = classifier(torch.from_numpy(raw))
    assert logits.shape == (4, 7)
    np.testing.assert_allclose(probs.detach().sum(1), 1, atol=1e-5)


def test_widths_name_each_convolution_of_an_image_of_28_pixels():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    for recipe, expected in (
        (SMALL, (32, 64, 64, 96)),
        (STANDARD, (32, 48, 64, 64, 96)),
        (LARGE, (64, 96, 128, 192, 192, 384)),
    ):
        layers = build_classifier(recipe, raw, 10, seed=0).network.layers
        found = tuple(one.out_channels for one in layers if isinstance(one, torch.nn.Conv2d))
        assert found == recipe.widths == expected


def test_a_fine_network_keeps_the_sides_in_its_first_stage():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    network = build_classifier(LARGE, raw, 10, seed=0).eval().network
    sides = []
    for layer in network.layers:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, maps: sides.append(maps.shape[2]))
    network(torch.from_numpy(raw[:, None]))
    assert sides == [13, 13, 6, 6, 3, 1]


def test_the_last_convolution_is_a_product_of_matrices_in_training_alone():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    network = build_classifier(STANDARD, raw, 10, seed=0).network
    last = [one for one in network.layers if isinstance(one, torch.nn.Conv2d)][-1]
    maps = torch.randn(5, last.in_channels, 3, 3)
    as_product = last.train()(maps)
    np.testing.assert_allclose(
        as_product.detach(), conv2d(maps, last.weight).detach(), rtol=1e-4, atol=1e-4
    )
    assert last.eval()(maps).shape == as_product.shape == (5, last.out_channels, 1, 1)


@pytest.mark.parametrize("colour", [False, True])
def test_whitening_makes_answers_uncorrelated(fashion, colour):
    raw = fashion.images[:2000]
    if colour:
        raw = np.stack([raw, raw[:, ::-1], raw // 2], axis=-1)
    filters, shift = whitening_layer(raw, 16)
    pixels = torch.from_numpy(raw).float()
    pixels = pixels.permute(0, 3, 1, 2) if colour else pixels.unsqueeze(1)
    answers = conv2d(pixel_unshuffle(pixels, 2), filters, shift)[:, :8].transpose(0, 1).flatten(1)
    covariance = (answers @ answers.T / answers.shape[1]).numpy()
    np.testing.assert_allclose(covariance, np.diag(np.diagonal(covariance)), atol=1e-3)
    assert 0.5 < np.diagonal(covariance).min() <= np.diagonal(covariance).max() <= 1.002


def test_the_folded_whitening_layer_is_a_convolution_of_four_by_four_pixels(fashion):
    filters, shift = whitening_layer(fashion.images[:500], 8)
    whole = torch.nn.functional.pixel_shuffle(filters.contiguous(), 2)  # F 1 4 4
    pixels = torch.from_numpy(fashion.images[:3]).float().unsqueeze(1)
    expected = conv2d(pixels, whole, shift, stride=2)
    np.testing.assert_allclose(
        conv2d(pixel_unshuffle(pixels, 2), filters, shift), expected, atol=1e-4
    )


@pytest.mark.parametrize("shape", [(28, 28), (15, 22, 3)])
def test_an_unfolded_network_is_the_same_function(shape):
    raw = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    network = build_classifier(STANDARD, raw, 4, seed=0).network.eval()
    pixels = channels_first(torch.from_numpy(raw))
    unfolded = network.unfolded()
    assert unfolded.whitening.shape[1:] == (pixels.shape[1], 4, 4)
    with torch.no_grad():
        for mine, theirs in zip(
            unfolded.with_traits(pixels), network.with_traits(pixels), strict=True
        ):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_channel_that_was_constant_in_training_gives_nothing_in_answers():
    """Divided by next to no spread, rounding would be 300 times as large."""
    generator = torch.Generator().manual_seed(0)
    layers = _Layers(2, generator)
    layers.add(2)
    norm = next(layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d))
    torch.nn.init.constant_(norm.bias, 0.5)
    for _ in range(4):
        varying, constant = torch.randn(8, 1, 3, 3, generator=generator), torch.ones(8, 1, 3, 3)
        norm(torch.cat([varying, 3 * constant], dim=1))
    other = torch.full((1, 2, 3, 3), 3.01)
    torch.testing.assert_close(norm.eval()(other)[:, 1], torch.full((1, 3, 3), 0.5))
    assert (norm(other)[:, 0] > 1).all()
    assert norm.train().weight.tolist() == [1, 1]


def test_whitening_answers_to_what_varies_alone():
    flat = np.zeros((20, 12, 12), np.uint8)
    flat[::2] = 255
    filters, _ = whitening_layer(flat, 32)
    assert [int(each.abs().sum() > 0) for each in filters] == [1, *[0] * 15, 1, *[0] * 15]
    flat[0, 3, 3] ^= 1  # one level, of one pixel
    filters, _ = whitening_layer(flat, 32)
    assert all(each.abs().sum() > 0 for each in filters[:2])


@pytest.mark.parametrize("recipe", [STANDARD, STRONG], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("width", [8, 9, 10, 11, 12, 14, 15, 16, 20])
@pytest.mark.parametrize("height", [8, 12, 28])
def test_bfloat16_computes_what_float32_does_however_narrow_images_are(recipe, height, width):
    """On matrix tiles oneDNN does not, where a stride has nowhere to go."""
    raw = np.random.default_rng(0).integers(0, 256, (32, height, width), dtype=np.uint8)
    network = build_classifier(recipe, raw, 3, seed=0).network
    images, labels = torch.from_numpy(raw)[:, None], torch.arange(32) % 3
    weights = [weight for weight in network.parameters() if weight.requires_grad]

    def gradients(half: bool) -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network(images).float()
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return [logits.detach(), *torch.autograd.grad(loss, weights)]

    for expected, found in zip(gradients(False), gradients(True), strict=True):
        assert (found - expected).norm() < 0.35 * expected.norm()
