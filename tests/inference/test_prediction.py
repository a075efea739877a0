"""Predictions: test images by number, several inputs of which some fail, examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookbook
from conftest import made_images
from kinds import SHAPES, squares
from lookbook.cli import results
from lookbook.core.csv_tables import read_csv
from lookbook.data.sources import load, resolve
from lookbook.errors import InputError
from lookbook.estimator import LookbookClassifier
from lookbook.evaluation.evaluate import evaluate
from lookbook.images.photographs import Cutout
from lookbook.inference.model import Model
from lookbook.inference.prediction import (
    choose_examples,
    predict,
    predict_each,
    predict_examples,
)
from lookbook.inference.predictor import Prediction, Predictor
from lookbook.recipes import TUTORIAL
from lookbook.training.pipeline import train
from made_photographs import COLOURS, made


@pytest.mark.parametrize("number", ["٣", "²", "-1", "", "1.0", "90", "9" * 5000])
def test_a_number_is_ascii_digits_in_range(run, number):
    with pytest.raises(InputError) as caught:
        predict(run, [f"test:{number}"])
    assert str(caught.value) == (
        f"no test image {number!r}: the test part has 90; expected test:0 to test:89"
    )


def test_good_inputs_are_answered_beside_bad_ones(run, tmp_path):
    image = tmp_path / "own.png"
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(image)
    inputs = ["test:5", str(tmp_path / "none.png"), str(image), "test:90"]
    first, second, third, fourth = predict_each(run, inputs)
    assert (first.source, third.source) == ("test:5", str(image))
    assert str(second) == f"no image file {tmp_path / 'none.png'}; check the name"
    assert str(fourth) == "no test image '90': the test part has 90; expected test:0 to test:89"


def test_a_prediction_is_of_the_image_it_names(run, bars):
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
    assert choose_examples(resolve("fashion-mnist").examples, 10_000) == [2000, 800]


# ---- sources and inputs of every kind, from Python ----


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "own.png"
    Image.fromarray(made_images(5, seed=7)[0][4]).save(path)
    return path


def test_a_source_is_a_run_or_a_model_or_the_name_of_one(run, place, image, monkeypatch):
    monkeypatch.chdir(place)
    model = Model.open(run.model)
    (expected,) = predict(run, [str(image)])
    for source in (
        model, run.folder, str(run.folder), run.folder.name, run.model, str(run.model),
    ):  # fmt: skip
        (found,) = predict(source, image)
        np.testing.assert_array_equal(found.probs, expected.probs)
    assert evaluate(run.folder.name) == evaluate(Path("runs", run.folder.name)) == evaluate(run)


def refusal(ask):
    with pytest.raises(InputError) as caught:
        ask()
    return str(caught.value)


@pytest.mark.parametrize("source", [3, ["runs/a"], b"runs/a", {"run": "a"}])
def test_what_is_no_source_is_told(image, source):
    told = f"expected a run, its folder or its name, got {type(source).__name__}"
    assert refusal(lambda: predict(source, image)) == told
    assert refusal(lambda: evaluate(source)) == told


def test_no_source_is_the_bundled_model_to_predict_and_nothing_to_evaluate(image):
    (found,) = predict(None, image)
    assert found.by_bundled
    told = "expected a run, its folder or its name, got NoneType"
    assert refusal(lambda: evaluate(None)) == told


def test_evaluate_takes_no_model(run):
    with pytest.raises(InputError, match=r"^expected a run, its folder or its name, got Model$"):
        evaluate(Model.open(run.model))


def test_an_input_is_a_name_a_path_an_image_or_pixels_one_or_several(run, image):
    pixels = np.asarray(Image.open(image))
    with Image.open(image) as opened:
        inputs = [str(image), image, [image], opened, pixels, pixels[..., None], pixels[None],
                  [pixels], (str(image),), np.array([str(image)]), iter([image])]  # fmt: skip
        (expected,) = predict(run, [str(image)])
        for given in inputs:
            (found,) = predict(run, given)
            np.testing.assert_array_equal(found.probs, expected.probs)
            np.testing.assert_array_equal(found.image, pixels)
    assert [one.source for one in predict(run, ["test:5", "test:7"])] == ["test:5", "test:7"]
    assert predict(run, "test:5")[0].truth is not None
    assert predict(run, []) == []


def test_a_batch_is_answered_as_its_images_are(run):
    images = made_images(6, seed=7)[0]
    found = predict(run, images)
    assert [one.source for one in found] == [f"input 0[{i}]" for i in range(6)]
    for one, image in zip(found, images, strict=True):
        np.testing.assert_allclose(one.probs, predict(run, image)[0].probs, atol=1e-6)
        np.testing.assert_array_equal(one.image, image)


def test_an_image_of_pil_is_read_as_its_file_is(run, tmp_path):
    """Turned as its camera says, in 8 bits, of any size, inverted where its file would be."""
    path = tmp_path / "photo.png"
    photo = Image.new("RGBA", (40, 60), (250, 250, 250, 255))
    photo.paste((10, 200, 30, 255), (5, 30, 35, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(path, exif=exif)
    with Image.open(path) as opened:
        of_file, of_pil = predict(run, [path, opened])
    np.testing.assert_array_equal(of_pil.image, of_file.image)
    assert (of_pil.source, of_pil.inverted) == (str(path), True)


@pytest.mark.parametrize("given", [None, 5, 0.5, [None], [["a.png"]], {"a": 1}.keys, b"a.png", [3]])
def test_what_cannot_be_predicted_is_told(run, given):
    with pytest.raises(InputError) as caught:
        predict(run, given)
    assert re.fullmatch(
        r"a \w+ is nothing to predict; expected test:NUMBER, an image file, a folder of them, a "
        r"PIL image or an array, or a list of these", str(caught.value),
    )  # fmt: skip


def test_pixels_that_the_model_does_not_take_are_told(run):
    with pytest.raises(InputError, match=r"^the model takes uint8 arrays of shape \(N, 12, 10\)"):
        predict(run, np.zeros((28, 28), np.uint8))
    with pytest.raises(InputError, match=r"from 0.5 to 0.5; use \(images \* 255\)"):
        predict(run, np.full((12, 10), 0.5))
    with pytest.raises(InputError, match=r"^input 0 cannot be read \(floating-point pixels have"):
        predict(run, Image.new("F", (9, 9)))


# ---- folders and addresses ----

RUN = "runs/bars-tutorial-1"


@pytest.fixture
def folder(tmp_path):
    """Twelve images in a folder and below it, one of them damaged, and what is no image."""
    folder = tmp_path / "pictures"
    for i, image in enumerate(made_images(12, seed=7)[0]):
        place = folder / ("below" if i % 2 else ".") / f"{i:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    (folder / "04.png").write_bytes((folder / "04.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "link.png").symlink_to(folder / "00.png")
    return folder


def test_a_folder_is_walked_and_one_bad_file_does_not_end_it(call, folder):
    code, out, err = call("predict", RUN, folder)
    assert code == 2
    lines = out.splitlines()
    below = [f"below/{i:02}.png" for i in (1, 3, 5, 7, 9, 11)]
    names = [f"{folder}/{name}" for name in (*(f"{i:02}.png" for i in (0, 2, 6, 8, 10)), *below)]
    assert [line.partition(": ")[0] for line in lines[:11]] == names
    assert all(re.search(r": .*\w, [\d.]+ %$", line) for line in lines[:11])
    link, note, error, summary = err.splitlines()
    assert link.endswith(f"which are not followed): {folder / 'link.png'}")
    assert note.startswith("note: left out 1 file (of kinds that are not read: 1 .txt)")
    assert error.startswith(f"error: {folder / '04.png'} ")
    assert summary == "error: 1 of 12 images have no answer"
    code, out, _ = call("predict", RUN, folder, "--json")
    assert (code, [one["input"] for one in json.loads(out)]) == (2, names)


def test_an_empty_folder_costs_no_other_answer(call, folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    code, out, err = call("predict", RUN, empty, folder / "below" / "01.png", "--json")
    assert (code, len(json.loads(out))) == (2, 1)
    assert f"{empty} holds no image files" in err


def test_few_images_of_a_folder_are_answered_in_full(call, folder):
    code, out, _ = call("predict", RUN, folder / "below")
    assert code == 0
    assert out.count("█") > 6
    assert len(out.splitlines()) > 6 * 4


def test_a_folder_without_images_is_told(run, tmp_path):
    (tmp_path / "song.mp3").touch()
    with pytest.raises(InputError, match=r"/[^/]+ holds no image files; expected \.\w+, \."):
        predict(run, tmp_path)


@pytest.mark.parametrize("address", ["https://example.org/coat.jpg", "file:///tmp/coat.jpg"])
def test_an_address_is_told_not_to_be_fetched(run, address):
    with pytest.raises(InputError) as caught:
        predict(run, address)
    assert str(caught.value) == (
        f"{address} is an address, and nothing is fetched from any; save the image, then name "
        "its file"
    )


# ---- more than probabilities ----


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A run with enough validation images for thresholds."""
    folder = tmp_path_factory.mktemp("calibrated")
    images, labels = made_images(700, seed=3)
    others, more = made_images(90, seed=4)
    np.savez(folder / "bars.npz", train_images=images, train_labels=labels,
             test_images=others, test_labels=more)  # fmt: skip
    return train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "run")


def test_a_model_file_alone_predicts_what_its_run_predicts(calibrated, tmp_path):
    alone = tmp_path / "elsewhere.onnx"
    alone.write_bytes(calibrated.model.read_bytes())
    image = tmp_path / "own.png"
    Image.fromarray(made_images(1, seed=9)[0][0]).save(image)
    (by_run,) = predict(calibrated, [str(image)], coverage=0.9, sets=0.9)
    (by_file,) = predict(Model.open(alone), [str(image)], coverage=0.9, sets=0.9)
    np.testing.assert_array_equal(by_file.probs, by_run.probs)
    assert (by_file.novelty, by_file.likely) == (by_run.novelty, by_run.likely)
    with pytest.raises(InputError) as caught:
        predict(Model.open(alone), ["test:0"])
    assert str(caught.value) == (
        "a model file alone does not say where its test images are; name the run instead, or "
        "image files"
    )


def test_a_folder_of_ones_own_may_be_called_as_a_builtin_dataset_is(tmp_path, monkeypatch):
    """Its model, alone, does not take the built-in's test images for its own."""
    images, labels = made_images(90, seed=3)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "mnist" / f"class {label}" / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    monkeypatch.chdir(tmp_path)
    run = train("./mnist", TUTORIAL.with_epochs(1), out=tmp_path / "run", size=(12, 10))
    assert Model.open(run.model).about["data"]["name"] == "mnist"
    with pytest.raises(InputError, match=r"^a model file alone does not say where"):
        predict(Model.open(run.model), ["test:0"])


def test_the_command_takes_a_model_file_and_says_its_doubts(call, calibrated, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    command = ("predict", calibrated.model, tmp_path / "noise.png", "--sets", "0.999")
    code, out, _ = call(*command)
    assert code == 0
    first, second, *_ = out.splitlines()
    assert first.startswith(f"{tmp_path}/noise.png: not one of these? most likely ")
    assert second == "  (it is unlike the images that the model learnt from)"
    assert "likely: " in out
    found = json.loads(call(*command, "--json")[1])[0]
    assert found["strange"]
    assert found["verdict"] == "not one of these"
    assert found["novelty"] > 2
    assert found["class"] in found["likely"]


def test_a_terminal_says_not_sure_where_it_is_not():
    image, probs = np.zeros((12, 10), np.uint8), np.array([0.4, 0.6], np.float32)
    cut, whole = (Cutout(np.zeros((9, 9, 3), np.uint8), np.eye(9) < most) for most in (1, 2))
    for doubts, expected in (
        ({}, "dog, 60.0 %"),
        ({"unsure": True}, "not sure; most likely dog, 60.0 %"),
        ({"strange": True, "unsure": True}, "not one of these? most likely dog, 60.0 %"),
        ({"inverted": True, "likely": (1,)}, "dog, 60.0 %  (seen inverted)  likely: dog"),
        ({"inverted": True, "cutout": cut}, "dog, 60.0 %  (cut out)"),
        (
            {"inverted": True, "cutout": whole, "strange": True},
            "not one of these? most likely dog, 60.0 %  (nothing stands out)",
        ),
    ):
        one = Prediction("a.png", image, probs, ("cat", "dog"), **doubts)
        assert results.prediction(one).splitlines()[0] == f"a.png: {expected.partition('  ')[0]}"
        assert results.answer_line(one) == f"a.png: {expected}"


def test_coverage_and_sets_follow_the_thresholds(calibrated):
    model = Model.open(calibrated.model)
    kept = model.calibration
    inputs = [f"test:{i}" for i in range(60)]
    for one in predict(calibrated, inputs, coverage=0.7, sets=0.95):
        assert one.unsure == (one.confidence < kept.sure_from(0.7))
        expected = [k for k in range(3) if one.probs[k] >= kept.likely_from(0.95)]
        assert sorted(one.likely) == expected
        assert one.strange == (one.novelty > kept.strange_from)


def test_without_a_coverage_the_files_own_thresholds_say_what_an_answer_is_worth(calibrated):
    """Those for nine in ten, and for "not one of these", as they stand in the file."""
    kept = json.loads(Model.open(calibrated.model).metadata["lookbook"])["calibration"]
    sure, strange = kept["thresholds"]["sure"], kept["thresholds"]["strange"]
    noise = np.random.default_rng(0).integers(0, 256, (30, 12, 10), dtype=np.uint8)
    found = predict(calibrated, [*(f"test:{i}" for i in range(90)), noise])
    for one in found:
        assert one.unsure == (float(one.probs.max()) < sure)
        assert one.strange == (one.novelty > strange)
        assert one.verdict == (
            "not one of these" if one.strange else "not sure" if one.unsure else "answer"
        )
        assert one.likely is None
    assert {one.verdict for one in found} == {"answer", "not sure", "not one of these"}
    (again,) = predict(calibrated, ["test:0"], coverage=0.9)
    assert again.unsure == found[0].unsure


def test_without_validation_images_there_is_no_threshold(run):
    assert predict(run, ["test:0"])[0].strange is False
    with pytest.raises(InputError) as caught:
        predict(run, ["test:0"], coverage=0.9)
    assert str(caught.value) == (
        "this model had too few validation images to set a threshold by: it takes 50; leave "
        "`coverage` and `sets` out, or train with more images"
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


def test_a_model_of_features_takes_no_images(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 5))
    fitted = LookbookClassifier(epochs=1, random_state=0).fit(rows, np.arange(60) % 2)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"^this model takes rows of 5 features and no images"):
        predict(fitted.model_, [str(tmp_path / "a.png")])


@pytest.mark.slow
def test_a_model_file_predicts_without_torch_and_leaves_nothing_behind(calibrated, tmp_path):
    """ONNX Runtime's telemetry would keep a database in the user's cache folder."""
    Image.new("L", (10, 12)).save(tmp_path / "a.png")
    program = (
        "import sys\n"
        "from lookbook.inference.model import Model\n"
        "from lookbook.inference.prediction import predict\n"
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


def test_a_figure_that_cannot_be_is_refused_before_any_answer(call, folder):
    for figure, images, message in (
        (
            "f.txt",
            [folder],
            "error: f.txt has no ending of a figure; expected one of .avif, .eps, ",
        ),
        ("f.png", [folder] * 4, "error: a figure holds up to 40 images, got 48; name fewer of "),
    ):
        code, out, err = call("predict", RUN, *images, "--figure", figure)
        assert (code, out) == (2, "")
        assert err.splitlines()[-1].startswith(message)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_predictions_holds_what_they_say(shape, kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    images, numbers = squares(shape, 60)
    labels = np.array(["고양이", "=1+1", "a, b", 'dog "x"'])[numbers]
    model = LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_
    found = lookbook.predict(model, images)
    path = lookbook.write_table(iter(found), tmp_path / f"table.{kind}")
    if kind == "csv":
        rows = [row for _, row in read_csv(path, "")[1]]
        assert (path.read_bytes()[:3], rows[0]["error"]) == (b"\xef\xbb\xbf", "")
    elif kind == "jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    else:
        from pyarrow import parquet

        rows = parquet.read_table(path).to_pylist()
    assert len(rows) == len(found) == 60
    for row, one in zip(rows, found, strict=True):
        order = sorted(range(4), key=lambda k: (-one.probs[k], k))
        assert row["file"] == one.source
        assert row["class"] == one.name
        assert row["second_class"] == one.classes[order[1]]
        assert float(row["probability"]) == one.confidence
        assert float(row["second_probability"]) == float(one.probs[order[1]])
        assert str(row["unsure"]).lower() == str(one.unsure).lower()
        assert str(row["novel"]).lower() == str(one.strange).lower()


def test_names_that_utf_8_cannot_hold_are_written_as_they_are_read(run, tmp_path):
    name = os.fsencode(tmp_path) + b"/" + "고양이".encode("cp949") + b".png"
    Path(os.fsdecode(name)).write_bytes(b"no image")
    answers = Predictor(run).predict_each([os.fsdecode(name)])
    for kind in ("csv", "jsonl"):
        written = lookbook.write_table(answers, tmp_path / f"table.{kind}").read_text("utf-8")
        answers = Predictor(run).predict_each([os.fsdecode(name)])
        assert f"{tmp_path}/고양이.png" in written


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_and_json_say_what_the_model_saw_of_each_image(cutting_run, call, kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(made(*COLOURS["dark on light"])[0]).save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 30), "teal").save(folder / "c.png")
    Image.new("L", (28, 28), 250).save(folder / "d.png")  # of the model's size
    found, out = lookbook.predict(cutting_run, [folder / "a.jpg"]), tmp_path / f"table.{kind}"
    assert (found[0].seen, found[0].cutout.is_whole) == ("cut out", False)
    code, said, _ = call("predict", cutting_run.folder, folder, "--out", out, "--json")
    if kind == "csv":
        rows = [row for _, row in read_csv(out, "")[1]]
    elif kind == "jsonl":
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    else:
        from pyarrow import parquet

        rows = parquet.read_table(out).to_pylist()
    seen = ["cut out", "nothing stands out", "whole"]
    assert code == 1
    assert [row["seen"] or None for row in rows] == [seen[0], None, *seen[1:]]
    assert [one["seen"] for one in json.loads(said)] == seen
