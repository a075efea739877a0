"""The model file: the same as the network, at every batch size; never accepted where it is not."""

from __future__ import annotations

import json
import pickle

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from lookbook.errors import DamagedFileError, InputError, TrainingError
from lookbook.export import check_parity, to_onnx
from lookbook.model import Model
from lookbook.networks import build_classifier
from lookbook.recipes import TUTORIAL


def made(shape=(70, 9, 8), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * 255).astype(dtype)


@pytest.mark.parametrize("shape", [(70, 9, 8), (70, 9, 8, 3), (70, 5)])
@pytest.mark.parametrize("n", [1, 2, 7, 64, 1001])
def test_the_file_says_what_the_network_says(shape, n):
    sample = made(shape, np.float32 if len(shape) == 2 else np.uint8)
    classifier = build_classifier(TUTORIAL, sample, 4, seed=0)
    classifier.temperature.fill_(1.7)
    model = to_onnx(classifier, sample, {"classes": list("abcd")})
    inputs = np.resize(sample, (n, *sample.shape[1:]))
    with torch.no_grad():
        logits, probs = classifier(torch.from_numpy(inputs))
    found_logits, found_probs = model.predict(inputs)
    np.testing.assert_allclose(found_logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(found_probs, probs.numpy(), atol=1e-5)


def test_a_file_that_differs_is_refused():
    sample = made()
    model = to_onnx(build_classifier(TUTORIAL, sample, 4, seed=0), sample, {"classes": []})
    with pytest.raises(TrainingError, match=r"^the model file differs from the network by \d"):
        check_parity(build_classifier(TUTORIAL, sample, 4, seed=1), model, sample)


def test_the_file_alone_is_enough_for_any_program_with_onnx_runtime(run):
    written = onnx.load_from_string(run.model.read_bytes())
    onnx.checker.check_model(written, full_check=True)
    assert [i.name for i in written.graph.input] == ["images"]
    assert written.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    session = onnxruntime.InferenceSession(run.model.read_bytes())
    logits, probs = session.run(["logits", "probs"], {"images": np.zeros((3, 12, 10), np.uint8)})
    assert logits.shape == probs.shape == (3, 3)
    about = json.loads(session.get_modelmeta().custom_metadata_map["lookbook"])
    assert about["classes"] == ["top", "middle", "bottom"]
    assert about["polarity"] == "light on dark"
    # weights and little else
    assert run.model.stat().st_size < run.weights.stat().st_size + 8192


def test_a_model_can_be_pickled_without_its_session(run):
    model = Model.open(run.model)
    images = np.zeros((2, 12, 10), np.uint8)
    expected = model.predict(images)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(images), expected)


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        (np.zeros((2, 10, 12), np.uint8), "uint8 of shape (2, 10, 12)"),
        (np.zeros((2, 12, 10), np.float64), "float64 of shape (2, 12, 10)"),
        (np.zeros((12, 10), np.uint8), "uint8 of shape (12, 10)"),
        (np.zeros((0, 12, 10), np.uint8), "uint8 of shape (0, 12, 10)"),
    ],
)
def test_wrong_inputs_are_told_what_is_expected(run, inputs, got):
    with pytest.raises(InputError) as caught:
        Model.open(run.model).predict(inputs)
    assert str(caught.value) == (
        f"the model takes uint8 arrays of shape (N, 12, 10) with N of 1 or more, got {got}"
    )


def test_weights_in_other_files_are_refused(run, tmp_path):
    written = onnx.load_from_string(run.model.read_bytes())
    path = tmp_path / "model.onnx"
    onnx.save(written, path, save_as_external_data=True, location="x.bin", size_threshold=0)
    with pytest.raises(DamagedFileError) as caught:
        Model.open(path)
    assert str(caught.value) == (
        f"{path} wants weights from other files, which is refused; a model of lookbook is one "
        "file: lookbook train"
    )


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04]\x94."])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        Model.open(path)
    assert str(caught.value) == (
        f"{path} is not a model of lookbook, or it is damaged; train again: lookbook train"
    )
