"""The exported file: the same as the network, at every batch size; refused where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from conftest import as_model, made_images
from lookbook.core.arrays import softmax
from lookbook.errors import TrainingError
from lookbook.estimator import LookbookClassifier
from lookbook.inference.model import Model
from lookbook.networks.classifier import build_classifier
from lookbook.networks.onnx_export import check_parity
from lookbook.recipes import SMALL, TUTORIAL
from lookbook.training.calibration import learn_novelty
from lookbook.training.loop import fit
from lookbook.training.pipeline import train


def made(shape=(70, 9, 8), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * 255).astype(dtype)


@pytest.mark.parametrize("shape", [(70, 9, 8), (70, 9, 8, 3), (70, 5)])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 1001])
def test_the_file_says_what_the_network_says(shape, n):
    sample = made(shape, np.float32 if len(shape) == 2 else np.uint8)
    classifier = build_classifier(TUTORIAL, sample, 4, seed=0)
    classifier.temperature.fill_(1.7)
    inputs = np.resize(sample, (n, *sample.shape[1:]))
    labels = np.arange(len(sample)) % 4
    learn_novelty(classifier, (sample, labels))
    model = as_model(classifier, sample, "abcd")
    with torch.no_grad():
        logits, probs, novelty = classifier(torch.from_numpy(inputs))
    found = model.predict(inputs)
    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.probs, probs.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.novelty, novelty.numpy(), rtol=1e-3)


@pytest.mark.parametrize("recipe", [SMALL, TUTORIAL], ids=lambda recipe: recipe.name)
def test_the_file_holds_the_caution_of_balanced_classes(recipe):
    sample, labels = made((70, 16, 16)), np.arange(70) % 4
    classifier = build_classifier(replace(recipe, class_weights="balanced"), sample, 4, seed=0)
    classifier.temperature.fill_(0.2)
    classifier.caution.copy_(torch.tensor([1.0, 2.0, 5.0, 9.0]))
    learn_novelty(classifier, (sample, labels))
    model = as_model(classifier.eval(), sample, "abcd")
    with torch.no_grad():
        logits, probs, _ = classifier(torch.from_numpy(sample))
    found = model.predict(sample)
    temperature = 0.2 * classifier.caution.numpy()[found.logits.argmax(axis=1)]
    np.testing.assert_allclose(found.probs, probs.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.probs, softmax(found.logits / temperature[:, None]), atol=1e-4)
    assert (found.probs.argmax(axis=1) == logits.numpy().argmax(axis=1)).all()
    assert model.card.caution == [1, 2, 5, 9]


def test_classes_of_one_shade_each_leave_a_file_that_agrees():
    """All black, and all white: nothing varies within an image, so rounding must not be learnt."""
    labels = np.arange(120) % 2
    images = np.full((120, 16, 16), 255, np.uint8) * labels[:, None, None].astype(np.uint8)
    parts = (images[24:], labels[24:]), (images[:24], labels[:24])
    fitted = fit(*parts, SMALL.with_epochs(3), 2)
    learn_novelty(fitted.classifier, parts[0])
    model = as_model(fitted.classifier, images[:64], ["black", "white"])
    assert (model.predict(images).probs.argmax(axis=1) == labels).all()


def test_a_file_that_differs_is_refused():
    sample = made()
    model = as_model(build_classifier(TUTORIAL, sample, 4, seed=0), sample, [])
    with pytest.raises(TrainingError, match=r"^the model file differs from the network by \d"):
        check_parity(build_classifier(TUTORIAL, sample, 4, seed=1), model, sample)


def test_the_file_alone_is_enough_for_any_program_with_onnx_runtime(run):
    written = onnx.load_from_string(run.model.read_bytes())
    onnx.checker.check_model(written, full_check=True)
    assert [i.name for i in written.graph.input] == ["images"]
    assert written.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    session = onnxruntime.InferenceSession(run.model.read_bytes())
    outputs = session.run(None, {"images": np.zeros((3, 12, 10), np.uint8)})
    assert [o.name for o in session.get_outputs()] == ["logits", "probs", "novelty"]
    assert [o.shape for o in outputs] == [(3, 3), (3, 3), (3,)]
    about = json.loads(session.get_modelmeta().custom_metadata_map["lookbook"])
    assert about["classes"] == ["top", "middle", "bottom"]
    assert about["polarity"] == "light on dark"
    assert about["licence"].startswith("not stated")
    assert about["data"]["train_sha256"] == run.conditions["data"]["train_sha256"]
    assert about["validation"]["interval"] == run.metrics["validation"]["interval"]
    assert about["calibration"] is None  # 45 validation images say too little
    # the weights, 4 bytes each, and little else
    assert run.model.stat().st_size < 4 * run.metrics["parameters"] + 256 * 1024


def test_every_model_says_all_of_itself(run):
    """Of a run, and of the estimator."""
    images, labels = made_images(60, seed=0)
    classifier = LookbookClassifier("quick", epochs=1, random_state=0).fit(images, labels)
    for about in (Model.open(run.model).about, classifier.model_.about):
        assert set(about) == {
            *("classes", "polarity", "temperature", "calibration", "recipe", "validation", "data"),
            *("licence", "lookbook", "input_shape", "input_dtype", "views", "weaknesses"),
            "preprocessing",
        }
        assert set(about["data"]) == {"name", "builtin", "train_sha256"}
    assert Model.open(run.model).about["temperature"] == run.metrics["temperature"]
    assert Model.open(run.model).about["recipe"] == dict(run.recipe)


def test_a_network_whose_file_differs_keeps_its_weights(bars, tmp_path, monkeypatch):
    monkeypatch.setattr("lookbook.networks.onnx_export.TOLERANCE", -1.0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainingError) as caught:
        train(str(bars), TUTORIAL.with_epochs(1))
    kept = Path("runs/bars-tutorial-1.unfinished/weights.safetensors")
    assert str(caught.value).startswith("the model file differs from the network by ")
    assert str(caught.value).endswith(f"; the weights are kept: {kept}")
    assert not Path("runs/bars-tutorial-1").exists()
    monkeypatch.undo()
    again = train(str(bars), TUTORIAL.with_epochs(1), out=tmp_path / "again")
    assert again.weights.read_bytes() == (tmp_path / kept).read_bytes()
