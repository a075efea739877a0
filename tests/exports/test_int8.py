"""The model in 8 bits: the same answers, or it is not kept."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest

from conftest import lookbook, made_images
from lookbook.errors import ExportError
from lookbook.exports import int8
from lookbook.inference.model import Model
from lookbook.recipes import STANDARD, TUTORIAL
from lookbook.runs.data_parts import load_part
from lookbook.training.pipeline import train


@pytest.fixture(scope="module", params=["dense", "convolutions", "colour"])
def some_run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    images, labels = made_images(900, seed=3)
    if request.param == "colour":
        images = np.stack([images, 255 - images, images // 2], axis=-1)
    np.savez(folder / "bars.npz", images=images, labels=labels)
    recipe = TUTORIAL if request.param == "dense" else STANDARD
    return train(str(folder / "bars.npz"), recipe, epochs=4, out=folder / "run")


@pytest.mark.slow
def test_it_says_the_same_in_fewer_bytes(some_run, tmp_path):
    found = int8.quantize(some_run, tmp_path / "small.onnx")
    small, model = Model.open(found.path), Model.open(some_run.model)
    images = load_part(some_run, "test").images
    mine, theirs = small.predict(images), model.predict(images)
    assert (mine.probs.argmax(1) == theirs.probs.argmax(1)).mean() >= 0.99
    # novelty is blurred, so that images near its threshold may fall on the other side; usual ones
    # and those that are far from all are told as before
    noise = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    for shown in (images, 255 - images, noise):
        novelties = [each.predict(shown).novelty for each in (small, model)]
        thresholds = [each.calibration.strange_from for each in (small, model)]
        refused = np.greater(novelties, np.array(thresholds)[:, None]).mean(axis=1)
        assert refused[0] == pytest.approx(refused[1], abs=0.06)
    assert not np.array_equal(mine.logits, theirs.logits)
    assert found.size == (found.path.stat().st_size, some_run.model.stat().st_size)
    assert found.accuracy[1] == pytest.approx(some_run.metrics["validation"]["accuracy"], abs=0.01)
    assert small.about["bits"] == 8
    assert small.classes == model.classes
    for n in (1, 2, 7):
        assert small.predict(images[:n]).probs.shape == (n, 3)


def test_every_pass_of_a_convolution_computes_in_8_bits(some_run, tmp_path):
    """Views share their weights, which ONNX Runtime takes in 8 bits where they are constants."""
    before = onnx.load(some_run.model).graph
    graph = onnx.load(int8.quantize(some_run, tmp_path / "small.onnx").path).graph
    constants = {one.name: one.data_type for one in graph.initializer}
    weights = {
        node.output[0]: constants.get(node.input[0])
        for node in graph.node
        if node.op_type == "DequantizeLinear"
    }
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert len(layers) == sum(node.op_type == "Conv" for node in before.node)
    whitening = [node for node in layers if node.input[1] in constants]
    assert {node.input[1] for node in whitening} <= {"network.whitening"}
    for node in layers:
        if node not in whitening:
            assert weights[node.input[1]] == onnx.TensorProto.INT8
            assert weights[node.input[2]] == onnx.TensorProto.INT32


@pytest.mark.slow
@pytest.mark.parametrize(("right", "kept"), [(998, True), (997, False)])
def test_two_tenths_of_a_point_may_be_lost(some_run, tmp_path, monkeypatch, right, kept):
    """Exactly so much, too, though 1 - 0.998 is more than 0.002 to a computer."""
    shares = iter([right / 1000, 1.0, 1.0])
    monkeypatch.setattr(int8.metrics, "accuracy", lambda *_: next(shares))
    if kept:
        assert int8.quantize(some_run, tmp_path / "small.onnx").path.exists()
    else:
        with pytest.raises(ExportError):
            int8.quantize(some_run, tmp_path / "small.onnx")


@pytest.mark.slow
def test_few_validation_images_are_judged_in_8_bits_too(tmp_path):
    images, labels = made_images(200, seed=3)
    np.savez(tmp_path / "bars.npz", images=images, labels=labels)
    run = train(str(tmp_path / "bars.npz"), TUTORIAL.with_epochs(2), out=tmp_path / "run")
    about = Model.open(int8.quantize(run, tmp_path / "small.onnx").path).about
    assert (about["validation"]["n"], about["calibration"]) == (24, None)
    assert about["validation"]["of"] == "this network in 8 bits"


def test_where_accuracy_falls_nothing_is_written(some_run, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "MOST_LOST", -1)
    with pytest.raises(ExportError, match=r"^in 8 bits the model is right for [\d.]+ % of \d+ val"):
        int8.quantize(some_run, tmp_path / "small.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_says_which_to_use(some_run, tmp_path):
    ended = lookbook("export", some_run.folder, "--to", "int8", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "8 bits " in ended.stdout
    assert re.search(r"\n(use it|keep model\.onnx)", ended.stdout)
    assert ended.stderr == ""
    assert (some_run.folder / "model.int8.onnx").exists()


def test_photographs_are_cut_out_and_doubted_as_before(cutting_run, tmp_path):
    small = Model.open(int8.quantize(cutting_run, tmp_path / "small.onnx").path)
    model = Model.open(cutting_run.model)
    assert small.preprocessing == model.preprocessing
    assert small.preprocessing.version == 2
    kept = [each.card.photographs or None for each in (small, model)]
    assert (kept[0] is None) == (kept[1] is None)
    if kept[0]:
        images = load_part(cutting_run, "test").images
        mine, theirs = (each.predict(images).novelty for each in (small, model))
        ratio = kept[0].calibration.strange_from / kept[1].calibration.strange_from
        assert ratio == pytest.approx(np.median(mine / theirs), rel=0.05)
        assert kept[0].power == kept[1].power
