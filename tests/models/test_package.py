"""A model file with weights of 16 bits answers as one with 32, and is read as that is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import lookbook
from lookbook.exports.web_demo import describe
from lookbook.inference import onnx_graph
from lookbook.inference.model import Model
from made_data import save_album
from models.clothing.package import MANY, halve


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halved")
    album = save_album(folder / "album")
    run = lookbook.train(str(album), "standard", epochs=2, size=28, out=folder / "run")
    return Model.open(run.model)


@pytest.fixture(scope="module")
def halved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("halved") / "model.onnx"
    path.write_bytes(halve(model).content)
    return Model.open(path)  # with all its checks


def test_it_is_half_as_large_and_answers_alike(model, halved):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    for one, other in zip(model.predict(images), halved.predict(images), strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.01)
    assert halved.card == model.card
    assert len(halved.content) < 0.75 * len(model.content)


def test_large_constants_have_16_bits_and_the_whitening_layer_has_32(halved):
    graph = onnx.load_from_string(halved.content).graph
    kinds = {each.name: each.data_type for each in graph.initializer}
    sizes = {each.name: np.prod(each.dims) for each in graph.initializer}
    for name, kind in kinds.items():
        if kind == onnx.TensorProto.FLOAT16:
            assert sizes[name] >= MANY
    assert kinds["network.whitening"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.FLOAT16 in kinds.values()


def test_layers_steps_and_novelty_are_found_in_it(model, halved):
    assert onnx_graph.layers(halved) == onnx_graph.layers(model)
    for one, other in zip(onnx_graph.steps(model), onnx_graph.steps(halved), strict=True):
        assert (one.kind, one.rectified, one.stride) == (other.kind, other.rectified, other.stride)
        if one.weights is not None:
            np.testing.assert_allclose(one.weights, other.weights, rtol=1e-3, atol=1e-4)
    parts = onnx_graph.novelty_parts(halved)
    assert {part.dtype.kind for part in parts.values()} <= {"f", "i"}
    assert all(part.dtype != np.float16 for part in parts.values())
    assert describe(halved).shape == describe(model).shape
