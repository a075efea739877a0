"""The model file: it answers what it takes, and nothing is opened that was changed or is none."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import lookbook
from conftest import as_model, made_images
from lookbook.errors import DamagedFileError, InputError
from lookbook.estimator import LookbookClassifier
from lookbook.images.specification import Preprocessing
from lookbook.inference.model import SEAL, Model
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import TUTORIAL


def test_a_model_can_be_pickled_without_its_session(run):
    model = Model.open(run.model)
    images = np.zeros((2, 12, 10), np.uint8)
    expected = model.predict(images)
    again = pickle.loads(pickle.dumps(model)).predict(images)
    np.testing.assert_array_equal(again.probs, expected.probs)


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        (
            np.zeros((2, 10, 12), np.uint8),
            "uint8 of shape (2, 10, 12); images of any size are taken as files, or as PIL images "
            "made of uint8: lookbook.predict(model, PIL.Image.fromarray(image))",
        ),
        (
            np.zeros((2, 12, 10, 3), np.uint8),
            "uint8 of shape (2, 12, 10, 3); images of any size are taken as files, or as PIL "
            "images made of uint8: lookbook.predict(model, PIL.Image.fromarray(image))",
        ),
        (
            np.full((2, 12, 10), 0.5),
            "float64 of shape (2, 12, 10) from 0.5 to 0.5; use (images * 255).round()"
            ".astype('uint8')",
        ),
        (
            np.full((2, 12, 10), np.nan, np.float32),
            "float32 of shape (2, 12, 10); they hold NaN or infinity: look for them with "
            "np.isfinite",
        ),
        (
            np.full((2, 12, 10), 200),
            "int64 of shape (2, 12, 10) from 200 to 200; use images.astype('uint8')",
        ),
        (np.zeros((12, 10), np.uint8), "uint8 of shape (12, 10); one image alone: images[None]"),
        (
            np.zeros((0, 12, 10), np.uint8),
            "uint8 of shape (0, 12, 10); there is nothing to answer: leave empty batches out",
        ),
        (
            np.zeros((2, 12, 10), bool),
            "bool of shape (2, 12, 10); they are masks: use images.astype('uint8') * 255",
        ),
    ],
)
def test_wrong_inputs_are_told_what_is_expected(run, inputs, got):
    with pytest.raises(InputError) as caught:
        Model.open(run.model).predict(inputs)
    assert str(caught.value) == (
        "the model takes uint8 arrays of shape (N, 12, 10) with N of 1 or more, levels 0 to 255, "
        f"got {got}"
    )


def test_a_strangers_model_is_refused(run, tmp_path):
    """A sound ONNX file that says nothing of itself, as others write them."""
    written = onnx.load_from_string(run.model.read_bytes())
    del written.metadata_props[:]
    path = tmp_path / "theirs.onnx"
    onnx.save(written, path)
    with pytest.raises(DamagedFileError) as caught:
        Model.open(path)
    assert str(caught.value) == (
        f"{path} is not a model of lookbook, or it is damaged: another program wrote this ONNX "
        "file; expected the model.onnx of a run: `lookbook.list_runs()` lists them"
    )


@pytest.mark.parametrize("share", [*np.arange(1, 10) / 10, 0.999])
def test_a_file_that_was_cut_is_refused(run, tmp_path, share):
    content = run.model.read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DamagedFileError, match=r"another program wrote|is no ONNX file, or it was"):
        Model.open(path)


def test_a_single_bit_that_was_flipped_is_found(run, tmp_path):
    """In weights, in what it says of itself, and in the hash itself, whose text is 64 bytes."""
    content, path = run.model.read_bytes(), tmp_path / "model.onnx"
    temperature = content.index(b'"temperature": ') + 16
    anywhere = np.random.default_rng(0).integers(0, len(content), 30).tolist()
    for place in (*anywhere, temperature, *range(len(content) - 80, len(content), 5)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match="is not a model of lookbook, or it is damaged"):
            Model.open(path)


def test_a_file_without_its_hash_is_refused(run, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(run.model.read_bytes()[:-SEAL])
    with pytest.raises(DamagedFileError, match="it lacks its own hash, as another version may"):
        Model.open(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ["top", "bottom"]},
        {"classes": 3},
        {"input_shape": [12, 11]},
        {"input_shape": [12, 10, 3]},
        {"input_dtype": "float32"},
        {"input_dtype": "no type"},
        {"calibration": {"n": 3}},
        {"calibration": {"n": 3, "confidences": ["a"], "truths": [0.5], "novelties": [1.0]}},
        {"calibration": {"n": 3, "confidences": [0.5], "truths": [0.5], "novelties": [math.inf]}},
        {"data": "mine"},
        {"classes": ["top", "middle", 3]},
        {"polarity": "\x1b[31m"},
        {"temperature": "1"},
        {"recipe": {"name": 3}},
        {"licence": None},
        {"views": 3},
        {"weaknesses": [3]},
        {"input_shape": [12, 10.0]},
        {"input_shape": []},
    ],
)
def test_a_file_that_tells_wrong_things_of_itself_is_refused(run, tmp_path, wrong):
    written = onnx.load_from_string(run.model.read_bytes())
    about = json.loads(written.metadata_props[0].value) | wrong
    path = tmp_path / "model.onnx"
    path.write_bytes(Model.write(written, about).content)
    with pytest.raises(DamagedFileError, match="is not a model of lookbook, or it is damaged"):
        Model.open(path)


def rewritten(run, path, change):
    """Write a run's model file with something else in what it says of itself."""
    written = onnx.load_from_string(run.model.read_bytes())
    about = json.loads(written.metadata_props[0].value)
    change(about)
    path.write_bytes(Model.write(written, about).content)
    return path


def test_a_model_says_how_images_are_prepared(run):
    model = Model.open(run.model)
    assert model.preprocessing == Preprocessing((12, 10), 1, model.polarity)
    assert model.about["preprocessing"] == model.preprocessing.to_json()
    rows = np.random.default_rng(0).normal(size=(60, 5))
    fitted = LookbookClassifier(epochs=1, random_state=0).fit(rows, np.arange(60) % 2)
    assert fitted.model_.about["preprocessing"] is fitted.model_.preprocessing is None


def test_a_file_that_does_not_say_how_images_are_prepared_means_version_1(run, tmp_path):
    """As those of earlier versions do not; they answer what they did."""
    older = rewritten(run, tmp_path / "older.onnx", lambda about: about.pop("preprocessing"))
    assert Model.open(older).preprocessing == Model.open(run.model).preprocessing
    Image.fromarray(made_images(1, seed=9)[0][0]).resize((31, 40)).save(tmp_path / "a.png")
    (found,), (expected,) = (
        lookbook.predict(source, tmp_path / "a.png") for source in (older, run)
    )
    np.testing.assert_array_equal(found.probs, expected.probs)


def test_a_file_whose_images_are_prepared_by_unknown_steps_is_refused(run, tmp_path):
    newer = rewritten(
        run, tmp_path / "newer.onnx", lambda about: about["preprocessing"].update(version=3)
    )
    for refused in (Model.open, lambda path: lookbook.predict(path, tmp_path / "a.png")):
        with pytest.raises(InputError) as caught:
            refused(newer)
        assert str(caught.value) == (
            f"{newer} takes images that are prepared by steps of version 3, and this lookbook "
            "knows those up to version 2; install the newest lookbook"
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [10, 12]},
        {"channels": 3},
        {"polarity": "mixed"},
        {"padding": "none"},
        {"version": "1"},
    ],
)
def test_steps_that_are_for_other_images_than_the_network_are_refused(run, tmp_path, wrong):
    path = rewritten(
        run, tmp_path / "model.onnx", lambda about: about["preprocessing"].update(wrong)
    )
    with pytest.raises(DamagedFileError, match="what it says of itself does not hold; expected"):
        Model.open(path)


class Marks:
    """What a pickle runs when it is opened: a file by that name tells."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_and_not_opened(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(pickle.dumps(Marks(tmp_path / "opened")))
    with pytest.raises(DamagedFileError, match="is not a model of lookbook, or it is damaged"):
        Model.open(path)
    assert not (tmp_path / "opened").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "opened").exists()  # it would have been


def test_grey_images_may_have_an_axis_of_one_channel(run):
    model = Model.open(run.model)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 10), np.uint8)
    np.testing.assert_array_equal(
        model.predict(images[..., None]).probs, model.predict(images).probs
    )


def test_features_that_are_no_numbers_are_refused():
    sample = np.random.default_rng(0).random((20, 5), np.float32) * 255
    classifier = build_classifier(TUTORIAL, sample, 2, seed=0)
    model = as_model(classifier, sample, ["a", "b"])
    sample[3, 2] = np.nan
    with pytest.raises(InputError) as caught:
        model.predict(sample)
    assert str(caught.value) == (
        "features must not be NaN or infinite, those of row 3 are; look for them with np.isfinite"
    )


def test_features_of_any_numbers_become_float32():
    sample = np.random.default_rng(0).random((20, 5), np.float32) * 255
    classifier = build_classifier(TUTORIAL, sample, 2, seed=0)
    model = as_model(classifier, sample, ["a", "b"])
    whole = np.rint(sample)
    for kind in (np.float64, np.int64):
        found = model.predict(whole.astype(kind)).logits
        np.testing.assert_array_equal(found, model.predict(whole).logits)


@pytest.mark.parametrize("content", [b"", b"not a model", b"location", b"\x80\x04]\x94."])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        Model.open(path)
    assert str(caught.value) == (
        f"{path} is not a model of lookbook, or it is damaged: it is no ONNX file, or it was cut; "
        "expected the model.onnx of a run: `lookbook.list_runs()` lists them"
    )


@pytest.mark.parametrize(
    ("shape", "size"),
    [((28, 28), 1000), ((8, 8), 1000), ((64, 64, 3), 63), ((224, 224, 3), 5), ((5,), 1000)],
)
def test_large_images_are_answered_in_smaller_batches(monkeypatch, shape, size):
    """A thousand of 224×224 pixels at once would take more memory than most machines have."""
    monkeypatch.setattr(Model, "input_shape", shape)
    parts = Model(b"").batches(2345)
    assert parts[0] == slice(0, size)
    assert np.concatenate([np.arange(2345)[part] for part in parts]).tolist() == list(range(2345))
