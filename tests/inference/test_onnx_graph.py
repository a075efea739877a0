"""What a model file says of its layers, and what its last layer sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import as_model, made_images
from lookbook.inference import onnx_graph
from lookbook.networks.classifier import build_classifier
from lookbook.networks.conv import ConvNetwork, fold_pixels
from lookbook.networks.scaling import channels_first
from lookbook.recipes import LARGE, QUICK, STANDARD, TUTORIAL


def exported(recipe, images, k=3):
    classifier = build_classifier(recipe, images, k, seed=0).eval()
    classifier.sure.fill_(0.4)
    folded = classifier.folded().eval()
    return folded, as_model(folded, images[:8], ["a"] * k)


def test_the_tutorials_network_has_101_770_parameters():
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
    _, model = exported(TUTORIAL, images, k=10)
    first, last = onnx_graph.layers(model)
    assert (first.kind, first.shape, first.learnt) == ("dense", (128,), 100_480)
    assert (last.kind, last.shape, last.learnt) == ("logits", (10,), 1_290)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(28, 28), (20, 36, 3)])
@pytest.mark.parametrize("recipe", [STANDARD, LARGE, replace(STANDARD, mirror=False, shift=0)])
def test_layers_are_those_of_the_network(recipe, shape):
    images = np.random.default_rng(0).integers(0, 256, (9, *shape), dtype=np.uint8)
    classifier, model = exported(recipe, images)
    found = onnx_graph.layers(model)
    convolutions = [one for one in classifier.network.layers if isinstance(one, torch.nn.Conv2d)]
    assert [one.kind for one in found] == [
        "whitening", *["conv"] * len(convolutions), "max", "logits",
    ]  # fmt: skip
    shapes = []
    for one in convolutions:
        one.register_forward_hook(lambda _layer, _given, maps: shapes.append(tuple(maps.shape[1:])))
    classifier.network(classifier.scaler(torch.from_numpy(images)))
    assert [one.shape for one in found if one.kind == "conv"] == shapes
    # each filter, and the shift of the norm that follows it
    counts = [one.weight.numel() + one.out_channels for one in convolutions]
    assert [one.learnt for one in found if one.kind == "conv"] == counts
    assert found[0].learnt == 0
    assert found[0].computed == classifier.network.whitening.numel() + len(
        classifier.network.whitening
    )
    assert found[-1].learnt == classifier.network.head.weight.numel()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [TUTORIAL, QUICK, STANDARD])
def test_features_are_what_the_last_layer_sees(recipe):
    images, _ = made_images(70, seed=0)
    classifier, model = exported(recipe, images)
    seen = []
    last = [one for one in classifier.modules() if isinstance(one, torch.nn.Linear)][-1]
    last.register_forward_hook(lambda _layer, given, _logits: seen.append(given[0]))
    with torch.inference_mode():
        classifier.network(classifier.scaler(torch.from_numpy(images)))
    np.testing.assert_allclose(
        onnx_graph.features(model, images), seen[0].numpy(), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3)])
def test_the_first_filters_are_patches_of_pixels(shape):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    classifier, model = exported(STANDARD, images)
    filters = onnx_graph.first_filters(model)
    whitening = classifier.network.whitening
    assert filters.shape == (len(whitening) // 2, 4, 4, *shape[2:])
    # what a filter answers to the first patch of an image, by the network and by the image
    pixels = torch.from_numpy(images[:1])
    folded = fold_pixels(channels_first(pixels)).float()
    answers = torch.nn.functional.conv2d(folded, whitening)[0, : len(filters), 0, 0]
    patch = images[0, :4, :4].astype(np.float32)
    np.testing.assert_allclose(
        (filters * patch).reshape(len(filters), -1).sum(1), answers, rtol=1e-3, atol=1e-2
    )


@pytest.mark.parametrize("shape", [(13, 12), (12, 13, 3)])
def test_files_of_earlier_versions_whose_pixels_were_folded_say_the_same(monkeypatch, shape):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    _, model = exported(STANDARD, images)
    monkeypatch.setattr(ConvNetwork, "unfolded", lambda self: self)
    _, earlier = exported(STANDARD, images)
    assert model.content != earlier.content
    assert onnx_graph.layers(model) == onnx_graph.layers(earlier)
    assert onnx_graph.delicate_nodes(model) == onnx_graph.delicate_nodes(earlier)
    np.testing.assert_array_equal(
        onnx_graph.first_filters(model), onnx_graph.first_filters(earlier)
    )
    for mine, theirs in zip(onnx_graph.steps(model), onnx_graph.steps(earlier), strict=True):
        np.testing.assert_equal(vars(mine), vars(theirs))
    for mine, theirs in zip(model.predict(images), earlier.predict(images), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("recipe", [TUTORIAL, QUICK])
def test_the_first_neurons_are_images_of_weights(recipe):
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
    classifier, model = exported(recipe, images)
    filters = onnx_graph.first_filters(model)
    first = next(one for one in classifier.modules() if isinstance(one, torch.nn.Linear))
    assert filters.shape == (128, 12, 10, 3)
    as_rows = filters.transpose(0, 3, 1, 2).reshape(128, -1)
    np.testing.assert_allclose(as_rows, first.weight.detach(), atol=1e-6)
