"""Evaluation: read once, kept as it was returned, of exactly the model's answers."""

from __future__ import annotations

import errno
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss

from conftest import made_images, with_data
from lookbook.cli import results, terminal
from lookbook.cli.commands import reports
from lookbook.core.listeners import listen
from lookbook.data.sources import load
from lookbook.errors import InputError, LookbookWarning
from lookbook.evaluation.evaluate import _largest_losses, evaluate, load_samples
from lookbook.exports.bundle import write_bundle
from lookbook.inference.model import Model
from lookbook.inference.prediction import predict, predict_each
from lookbook.inference.predictor import Prediction
from lookbook.reports.page import write_run_report
from lookbook.reports.report_data import collect
from lookbook.runs.schema import OwnResult, ThresholdScores
from made_photographs import COLOURS, made


def test_the_kept_result_is_the_returned_one(own_run):
    (own_run.folder / "evaluation.json").unlink()
    first = evaluate(own_run)
    assert own_run.evaluation() == first
    assert evaluate(own_run) == first
    kept = json.loads((own_run.folder / "evaluation.json").read_text())
    assert json.dumps(first.to_json()) == json.dumps(kept)  # in that order, too


def test_an_evaluation_is_read_by_key_as_in_earlier_versions(run):
    found = evaluate(run)
    assert found["accuracy"] == found.accuracy
    assert found["per_class"][0]["class"] == found.per_class[0].name == "top"
    assert found["interval"] == list(found.interval)
    assert "own" not in found
    assert list(dict(found)) == list(json.loads((run.folder / "evaluation.json").read_text()))


def test_the_figures_are_those_of_the_models_answers(run, bars):
    test = load(str(bars), "test")
    probs = Model.open(run.model).predict(test.images).probs
    found = evaluate(run)
    assert found.accuracy == accuracy_score(test.labels, probs.argmax(axis=1))
    assert found.loss == pytest.approx(log_loss(test.labels, probs), abs=1e-6)
    assert found.conditions.test_sha256 == test.sha256()
    assert np.sum(found.confusion_matrix) == found.n == 90


def test_a_result_that_cannot_be_kept_is_returned(own_run, monkeypatch):
    path = own_run.folder / "evaluation.json"
    kept = own_run.evaluation()
    path.unlink()

    def read_only(*_args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "fsync", read_only)
    with pytest.warns(LookbookWarning) as caught:
        found = evaluate(own_run)
    assert found.confusion_matrix == kept.confusion_matrix
    assert [str(warning.message) for warning in caught] == [
        "the result was not kept, the next call reads the test part again: cannot write "
        f"{path}: Read-only file system; allow writing there"
    ]
    assert caught[0].filename == __file__
    assert own_run.evaluation() is None


def test_the_largest_losses_are_named_by_their_files(run, bars):
    test = load(str(bars), "test")
    probs = Model.open(run.model).predict(test.images).probs
    found = evaluate(run).largest_losses
    wrong = np.flatnonzero(probs.argmax(axis=1) != test.labels)
    of_truth = probs[wrong, test.labels[wrong]]
    assert [one.index for one in found] == wrong[np.argsort(of_truth, kind="stable")][:24].tolist()
    assert {one.file for one in found} <= {None}
    files = tuple(f"{number}.png" for number in range(len(test)))
    labels = (test.labels + 1) % 3  # next to all are wrong
    named = _largest_losses(replace(test, labels=labels, files=files), probs)
    assert len(named) == 24
    assert all(one.file == f"{one.index}.png" for one in named)
    assert all(one.true == test.classes[labels[one.index]] for one in named)


def test_an_evaluation_of_an_earlier_version_is_judged_alike(own_run):
    path = own_run.folder / "evaluation.json"
    kept = json.loads(path.read_text())
    new = {"commonest", "commonest_share", "above_commonest", "balanced_accuracy", "macro_f1"}
    path.write_text(json.dumps({key: value for key, value in kept.items() if key not in new}))
    assert evaluate(own_run).to_json() == kept
    old = kept["conditions"].keys() - {"images_sha256", "labels_sha256", "part"}
    kept["conditions"] = {key: kept["conditions"][key] for key in old}
    kept.pop("largest_losses")
    path.write_text(json.dumps(kept))
    assert evaluate(own_run).to_json() == kept  # what is not known is not made up


@pytest.mark.slow
def test_what_was_not_calibrated_is_nowhere_called_so(own_run, tmp_path):
    """45 validation images say too little: terminal, report and card tell that."""
    assert Model.open(own_run.model).calibration is None
    told = results.evaluation(evaluate(own_run))
    assert "cannot be said, nor were the percentages calibrated: too few" in told
    page = write_run_report(collect(own_run), tmp_path / "page.html").read_text("utf-8")
    assert "too few of them to calibrate anything" in page
    assert "The answers to these images calibrated the percentages" not in page
    card = (write_bundle(own_run, tmp_path / "kit") / "README.md").read_text("utf-8")
    assert "too few validation images to calibrate `probs`" in card
    assert "calibrated `probs`" not in card


# ---- a test part that changed, or went, after it was evaluated ----


@pytest.fixture
def own_data(own_run, bars, tmp_path):
    """A run that was evaluated on a file of its own, and what writes other arrays into that."""
    with np.load(bars) as arrays:
        kept = dict(arrays)
    path = tmp_path / "own.npz"

    def write(**changed):
        np.savez(path, **kept | changed)

    write()
    own_run = with_data(own_run, name=str(path))
    (own_run.folder / "evaluation.json").unlink()
    evaluate(own_run)
    return own_run, kept, write


def other(kept, *, images=0, labels=0, n=90):
    pictures = kept["test_images"][:n].copy()
    pictures[:images] ^= 1
    numbers = kept["test_labels"][:n].copy()
    numbers[:labels] = (numbers[:labels] + 1) % 3
    return {"test_images": pictures, "test_labels": numbers}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"labels": 1}, "other labels"),
        ({"images": 1}, "other images"),
        ({"images": 1, "labels": 1}, "other images and other labels"),
        ({"n": 80}, "80 images, 90 before"),
    ],
)
def test_figures_of_another_test_part_are_refused(own_data, change, what):
    run, kept, write = own_data
    write(**other(kept, **change))
    message = (
        f"the test part of {run.conditions['data']['name']} changed since {run.folder} was "
        f"evaluated ({what}); bring it back, or delete {run.folder / 'evaluation.json'} to "
        "evaluate again"
    )
    for call in (evaluate, collect, cli_figures):
        with pytest.raises(InputError) as caught:
            call(run)
        assert str(caught.value) == message
    with pytest.warns(LookbookWarning) as told:
        assert load_samples(run) is None
    assert str(told[0].message) == f"without sample images: {message}"
    write()
    assert evaluate(run).n == 90
    write(**other(kept, **change))
    (run.folder / "evaluation.json").unlink()
    assert evaluate(run).conditions.labels_sha256


def cli_figures(run):
    reports._draw_figures(run, run.folder / "figures")


def test_an_evaluation_of_an_earlier_version_is_compared_too(own_data):
    run, kept, write = own_data
    path = run.folder / "evaluation.json"
    document = json.loads(path.read_text())
    del document["conditions"]["images_sha256"], document["conditions"]["labels_sha256"]
    path.write_text(json.dumps(document))
    assert evaluate(run).n == 90
    write(**other(kept, labels=1))
    with pytest.raises(InputError, match=r"\(other images, labels or class names\)"):
        evaluate(run)


def test_an_evaluation_outlives_its_data_and_says_so(own_data):
    run, _, _ = own_data
    data = Path(run.conditions["data"]["name"])
    data.unlink()
    with pytest.warns(LookbookWarning) as caught:
        assert evaluate(run).n == 90
    assert str(caught[0].message) == (
        f"{data} is gone: what was evaluated cannot be compared with it"
    )
    run = with_data(run, name="mnist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookbook.data.formats.builtin_source.is_fetched", lambda _: False)
        # nothing is fetched to compare with
        patch.setattr("lookbook.data.formats.builtin_source.fetch", None)
        assert evaluate(run).n == 90


# ---- other data ----


def save_bars(folder: Path, names=("top", "middle", "bottom"), classes=(0, 1, 2)) -> Path:
    """Images of bars as files, of another size than the model takes."""
    images, labels = made_images(30, seed=9)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label in classes:
            (folder / names[label]).mkdir(parents=True, exist_ok=True)
            large = Image.fromarray(image).resize((20, 24))
            large.save(folder / names[label] / f"{number}.png")
    return folder


def test_other_data_stands_beside_the_runs_own_and_is_not_kept(own_run, tmp_path):
    kept = (own_run.folder / "evaluation.json").read_bytes()
    folder = save_bars(tmp_path / "other", classes=(0, 2))
    found = evaluate(own_run, data=folder)
    answers = {one.source: one.name for one in predict(own_run, folder)}
    right = [name == Path(source).parent.name for source, name in answers.items()]
    assert (found.accuracy, found.n) == (np.mean(right), 20)
    assert [one.n for one in found.per_class] == [10, 0, 10]
    own = own_run.evaluation()
    assert found.own == OwnResult(
        accuracy=own.accuracy, interval=own.interval, n=own.n, part="test"
    )
    assert (found.conditions.data, found.conditions.part) == (str(folder), "all")
    told = results.evaluation(found)
    assert f"measured on        {folder}  (all of it, 2 of the 3 classes: top, bottom)\n" in told
    assert f"its own result     {terminal.percent(own.accuracy, 2)}  (" in told
    assert "\nmiddle " not in told
    assert (own_run.folder / "evaluation.json").read_bytes() == kept


def test_other_data_is_measured_before_the_runs_own(own_run, tmp_path):
    (own_run.folder / "evaluation.json").unlink()
    folder = save_bars(tmp_path / "other", classes=(1,))
    found = evaluate(own_run, data=folder)
    assert found.own is None
    told = results.evaluation(found)
    assert "its own result     not evaluated yet\n" in told
    assert "commonest class" not in told  # one class alone
    assert not (own_run.folder / "evaluation.json").exists()


def test_a_folder_with_parts_is_measured_on_its_test_part(own_run, tmp_path):
    save_bars(tmp_path / "other" / "train")
    save_bars(tmp_path / "other" / "test", classes=(1, 2))
    found = evaluate(own_run, data=tmp_path / "other")
    assert (found.n, found.conditions.part) == (20, "test")


def test_classes_are_known_by_their_names_in_whatever_order(own_run, tmp_path):
    images, labels = made_images(30, seed=9)
    numbered, named = tmp_path / "numbered.npz", tmp_path / "named.npz"
    np.savez(numbered, images=images, labels=labels)
    order = np.array([2, 0, 1])
    np.savez(named, images=images, labels=order[labels], classes=["middle", "bottom", "top"])
    with pytest.warns(LookbookWarning, match="names no classes: its labels are taken for the num"):
        by_number = evaluate(own_run, data=numbered)
    by_name = evaluate(own_run, data=named)
    assert by_number.confusion_matrix == by_name.confusion_matrix
    assert by_name.n == 30


def test_other_data_that_does_not_fit_is_refused(own_run, tmp_path):
    images, labels = made_images(30, seed=9)
    path = tmp_path / "other.npz"
    np.savez(path, images=images, labels=labels, classes=["top", "cat", "dog"])
    strange = save_bars(tmp_path / "strange", names=("top", "cat", "dog"))
    for data in (path, strange):
        with pytest.raises(InputError) as caught:
            evaluate(own_run, data=data)
        assert str(caught.value) == (
            f"{data} has classes that the model does not know: cat, dog; it knows top, middle, "
            "bottom; give them the same names, or take them out"
        )
    np.savez(path, images=images[:, :10], labels=labels, classes=["top", "middle", "bottom"])
    with pytest.raises(InputError, match=r"are 10×10 in grey, the model takes 12×10 in grey: save"):
        evaluate(own_run, data=path)
    with pytest.raises(InputError, match="nowhere/else does not exist"):
        evaluate(own_run, data="nowhere/else")


# ---- image files, where the model cuts out photographs ----


@pytest.fixture
def photos(tmp_path):
    """Photographs of three classes, one in which nothing stands out, one 28×28, one damaged."""
    folder = tmp_path / "photos" / "test"
    for number, colours in enumerate([*COLOURS.values(), *COLOURS.values()]):
        path = folder / str(number % 3) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made(*colours, seed=number)[0]).resize((300, 400)).save(path)
    Image.new("RGB", (40, 30), "teal").save(folder / "0" / "plain.png")
    Image.new("L", (28, 28), 250).save(folder / "1" / "small.png")
    (folder / "2" / "damaged.jpg").write_bytes(path.read_bytes()[:500])
    save_bars(tmp_path / "photos" / "train", names=("0", "1", "2"))
    return tmp_path / "photos"


def test_image_files_are_evaluated_as_predict_answers_them(cutting_run, photos, workers):
    told = []
    with (
        listen(lambda done, n: told.append((done, n))),
        pytest.warns(
            LookbookWarning, match=r"^left out 1 file \(no images, or damaged\): .*ed\.jpg"
        ),
    ):
        found = evaluate(cutting_run, data=photos)
    paths = sorted((photos / "test").rglob("*.*"))
    answers = [
        one
        for one in predict_each(cutting_run, paths, coverage=0.9, sets=0.9)
        if isinstance(one, Prediction)
    ]
    assert Counter(one.seen for one in answers) == {
        "cut out": 8, "nothing stands out": 1, "whole": 1
    }  # fmt: skip
    labels = np.array([int(Path(one.source).parent.name) for one in answers])
    probs = np.stack([one.probs for one in answers])
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (labels, probs.argmax(axis=1)), 1)
    assert (found.n, found.conditions.part) == (10, "test")
    assert found.confusion_matrix == confusion.tolist()
    assert found.loss == pytest.approx(-np.log(probs[np.arange(10), labels]).mean(), rel=1e-5)
    assert {(each.file, each.predicted, each.confidence) for each in found.largest_losses} == {
        (str(Path(one.source).relative_to(photos)), one.name, one.confidence)
        for one, label in zip(answers, labels, strict=True)
        if one.label != label
    }
    sure = [one for one in answers if not one.unsure]
    assert found.thresholds == ThresholdScores(
        coverage=0.9,
        answered=len(sure) / 10,
        right=np.mean([one.label == int(Path(one.source).parent.name) for one in sure]),
        held=np.mean([label in one.likely for one, label in zip(answers, labels, strict=True)]),
        set_size=np.mean([len(one.likely) for one in answers]),
        refused=np.mean([one.strange for one in answers]),
    )
    assert (told[0], told[-1]) == ((0, 11), (11, 11))
    assert workers  # every core read


def test_image_files_none_of_which_can_be_read_are_refused(cutting_run, photos):
    for path in (photos / "test").rglob("*.*"):
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"^none of the 11 image files can be read \("):
        evaluate(cutting_run, data=photos)
