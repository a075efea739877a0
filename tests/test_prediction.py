"""Predictions: test pictures by number, several inputs of which some fail, examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_pictures
from lookbook import terminal
from lookbook.classifier import LookbookClassifier
from lookbook.datasets import load
from lookbook.errors import InputError
from lookbook.model import Model
from lookbook.prediction import (
    Prediction,
    choose_examples,
    predict,
    predict_each,
    predict_examples,
)
from lookbook.recipes import TUTORIAL
from lookbook.training import train


@pytest.mark.parametrize("number", ["٣", "²", "-1", "", "1.0", "90", "9" * 5000])
def test_a_number_is_ascii_digits_in_range(run, number):
    with pytest.raises(InputError) as caught:
        predict(run, [f"test:{number}"])
    assert str(caught.value) == (
        f"no test picture {number!r}: the test part has 90; expected test:0 to test:89"
    )


def test_good_inputs_are_answered_beside_bad_ones(run, tmp_path):
    picture = tmp_path / "own.png"
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(picture)
    inputs = ["test:5", str(tmp_path / "none.png"), str(picture), "test:90"]
    found, failures = predict_each(run, inputs)
    assert [one.source for one in found] == ["test:5", str(picture)]
    assert [str(failure) for failure in failures] == [
        f"no picture file {tmp_path / 'none.png'}; check the name",
        "no test picture '90': the test part has 90; expected test:0 to test:89",
    ]


def test_a_prediction_is_of_the_picture_it_names(run, bars):
    test = load(str(bars), "test")
    (one,) = predict(run, ["test:7"])
    assert (one.image == test.images[7]).all()
    assert one.truth == test.labels[7]
    assert one.probs.sum() == pytest.approx(1, abs=1e-5)


def test_examples_are_the_first_and_the_middle_one_of_data_of_ones_own(run):
    examples, first = predict_examples(run)
    assert [one.source for one in examples] == ["test:0", "test:45"]
    assert [one.source for one in first] == [f"test:{i}" for i in range(15)]


def test_examples_of_fashion_mnist_are_the_tutorials():
    assert choose_examples("fashion-mnist", 10_000) == [2000, 800]


# ---- more than probabilities ----


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A run with enough validation pictures for thresholds."""
    folder = tmp_path_factory.mktemp("calibrated")
    images, labels = made_pictures(700, seed=3)
    others, more = made_pictures(90, seed=4)
    np.savez(folder / "bars.npz", train_images=images, train_labels=labels,
             test_images=others, test_labels=more)  # fmt: skip
    return train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "run")


def test_a_model_file_alone_predicts_what_its_run_predicts(calibrated, tmp_path):
    alone = tmp_path / "elsewhere.onnx"
    alone.write_bytes(calibrated.model.read_bytes())
    picture = tmp_path / "own.png"
    Image.fromarray(made_pictures(1, seed=9)[0][0]).save(picture)
    (by_run,) = predict(calibrated, [str(picture)], coverage=0.9, sets=0.9)
    (by_file,) = predict(Model.open(alone), [str(picture)], coverage=0.9, sets=0.9)
    np.testing.assert_array_equal(by_file.probs, by_run.probs)
    assert (by_file.novelty, by_file.likely) == (by_run.novelty, by_run.likely)
    with pytest.raises(InputError) as caught:
        predict(Model.open(alone), ["test:0"])
    assert str(caught.value) == (
        "a model file alone does not say where its test pictures are; name the run instead, or "
        "picture files"
    )


def test_a_folder_of_ones_own_may_be_called_as_a_builtin_dataset_is(tmp_path, monkeypatch):
    """Its model, alone, does not take the built-in's test pictures for its own."""
    images, labels = made_pictures(90, seed=3)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "mnist" / f"class {label}" / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    monkeypatch.chdir(tmp_path)
    run = train("./mnist", TUTORIAL.with_epochs(1), out=tmp_path / "run", size=(12, 10))
    assert Model.open(run.model).about["data"]["name"] == "mnist"
    with pytest.raises(InputError, match=r"^a model file alone does not say where"):
        predict(Model.open(run.model), ["test:0"])


def test_the_command_takes_a_model_file_and_says_its_doubts(calibrated, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    command = ("predict", calibrated.model, "noise.png", "--coverage", "0.5", "--sets", "0.999")
    ended = lookbook(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (
        "not one of these? the picture is unlike those that the model learnt from" in ended.stdout
    )
    assert "likely: " in ended.stdout
    found = json.loads(lookbook(*command, "--json", cwd=tmp_path).stdout)[0]
    assert found["strange"]
    assert found["novelty"] > 2
    assert found["class"] in found["likely"]


def test_a_terminal_says_not_sure_where_it_is_not():
    image, probs = np.zeros((12, 10), np.uint8), np.array([0.4, 0.6], np.float32)
    for unsure, expected in ((True, "not sure; most likely dog, 60.0 %"), (False, "dog, 60.0 %")):
        one = Prediction("a.png", image, probs, ("cat", "dog"), unsure=unsure)
        assert terminal.prediction(one).splitlines()[0] == f"a.png: {expected}"


def test_coverage_and_sets_follow_the_thresholds(calibrated):
    model = Model.open(calibrated.model)
    kept = model.calibration
    inputs = [f"test:{i}" for i in range(60)]
    for one in predict(calibrated, inputs, coverage=0.7, sets=0.95):
        assert one.unsure == (one.confidence < kept.sure_from(0.7))
        expected = [k for k in range(3) if one.probs[k] >= kept.likely_from(0.95)]
        assert sorted(one.likely) == expected
        assert one.strange == (one.novelty > kept.strange_from)
    plain = predict(calibrated, ["test:0"])[0]
    assert (plain.unsure, plain.likely) == (False, None)


def test_without_validation_pictures_there_is_no_threshold(run):
    assert predict(run, ["test:0"])[0].strange is False
    with pytest.raises(InputError) as caught:
        predict(run, ["test:0"], coverage=0.9)
    assert str(caught.value) == (
        "this model had too few validation pictures to set a threshold by: it takes 50; leave "
        "--coverage and --sets out, or train with more pictures"
    )


@pytest.mark.parametrize(
    "asked", [{"coverage": 90}, {"sets": 0}, {"coverage": float("nan")}, {"sets": -0.1}]
)
def test_a_share_is_above_0_and_up_to_1(calibrated, asked):
    ((name, share),) = asked.items()
    with pytest.raises(InputError) as caught:
        predict(calibrated, ["test:0"], **asked)
    assert str(caught.value) == f"{name} is a share above 0 and up to 1, got {share}"


def test_a_coverage_of_1_answers_all(calibrated):
    assert not any(one.unsure for one in predict(calibrated, ["test:0", "test:1"], coverage=1))


def test_a_model_of_features_takes_no_pictures(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5))
    fitted = LookbookClassifier(epochs=1, random_state=0).fit(rows, np.arange(60) % 2)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"^this model takes rows of 5 features and no pictures"):
        predict(fitted.model_, [str(tmp_path / "a.png")])


def test_a_model_file_predicts_without_torch_and_leaves_nothing_behind(calibrated, tmp_path):
    """ONNX Runtime's telemetry would keep a database in the user's cache folder."""
    Image.new("L", (10, 12)).save(tmp_path / "a.png")
    program = (
        "import sys\n"
        "from lookbook.model import Model\n"
        "from lookbook.prediction import predict\n"
        f"predict(Model.open(__import__('pathlib').Path({str(calibrated.model)!r})), ['a.png'])\n"
        "assert 'torch' not in sys.modules\n"
    )
    own = {"XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=tmp_path, env=env | {"HOME": str(home)}, check=True)
    assert list(home.rglob("*")) == []
