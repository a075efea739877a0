"""A network that is no better than guessing, or hardly trained: said wherever its result is."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

from conftest import lookbook
from lookbook.cli import results
from lookbook.evaluation.evaluate import evaluate
from lookbook.evaluation.metrics import WEAKNESSES, weaknesses
from lookbook.exports.bundle import write_bundle
from lookbook.exports.web_demo import has_samples, write_web_demo
from lookbook.inference.model import Model
from lookbook.recipes import TUTORIAL
from lookbook.reports import section_metrics
from lookbook.runs.schema import Validation
from lookbook.runs.store import read_run
from lookbook.training.pipeline import train


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """A tenth of an epoch on noise, of which two thirds are one class."""
    folder = tmp_path_factory.mktemp("weak")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 8, 8), dtype=np.uint8)
    np.savez(folder / "noise.npz", images=images, labels=(np.arange(600) % 3) // 2)
    return train(str(folder / "noise.npz"), replace(TUTORIAL, epochs=0.1), out=folder / "run")


def test_the_rule():
    sure = Validation(
        accuracy=0.9,
        interval=(0.85, 0.93),
        loss=0.3,
        calibration_error=0.01,
        commonest_share=0.5,
        n=200,
        of="this network",
    )
    assert weaknesses(sure, 1) == []
    assert weaknesses(sure, 0.99) == ["under_one_epoch"]
    assert weaknesses(structs.replace(sure, commonest_share=0.9), 3) == ["not_above_commonest"]
    # nine in ten of ten images may be chance
    assert weaknesses(structs.replace(sure, n=10, commonest_share=0.75), 3) == [
        "not_above_commonest"
    ]


def test_balanced_classes_are_weighed_by_their_recalls():
    """Accuracy below that of the commonest class is their price, and no guessing."""
    found = Validation(
        accuracy=27 / 34,
        interval=(0.6, 0.9),
        loss=0.5,
        calibration_error=0.1,
        commonest_share=30 / 34,
        n=34,
        of="this network",
    )
    confusion = np.array([[24, 4, 2], [0, 2, 0], [1, 0, 1]])
    assert weaknesses(found, 3) == ["not_above_commonest"]
    assert weaknesses(found, 3, confusion) == []
    for guessed in ([[20, 5, 5], [2, 0, 0], [1, 1, 0]], [[30, 0, 0], [2, 0, 0], [2, 0, 0]]):
        assert weaknesses(found, 3, np.array(guessed)) == ["not_above_commonest"]


def test_a_run_and_its_model_file_know(weak, run):
    both = ["under_one_epoch", "not_above_commonest"]
    assert weak.metrics["weaknesses"] == both
    assert weak.metrics["epochs"] == pytest.approx(0.1, abs=0.05)
    assert Model.open(weak.model).about["weaknesses"] == both
    assert run.metrics["weaknesses"] == []


def test_train_runs_and_evaluate_say_it(weak, run):
    trained = results.trained(weak, 1.0)
    assert f"recipe               tutorial, epochs: {weak.metrics['epochs']:g}" in trained
    for sentence in WEAKNESSES.values():
        assert f"warning              {sentence}" in trained
    assert "give it more time (--budget, --epochs) or more images" in trained
    assert "warning" not in results.trained(run, 1.0)
    table = results.run_table([weak])
    assert "validation, balanced" in table  # its classes are uneven
    assert "(under an epoch, as guessing)" in table
    found = results.evaluation(evaluate(weak), weak.metrics["weaknesses"])
    assert "warning            trained for less than one epoch" in found
    assert (
        "warning            not clearly better than always answering the commonest class" in found
    )


@pytest.mark.slow
def test_the_command_says_it(weak, tmp_path):
    ended = lookbook("evaluate", weak.folder, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "warning            trained for less than one epoch" in ended.stdout


def test_the_bundle_and_the_web_demo_say_it(weak, tmp_path):
    card = (write_bundle(weak, tmp_path / "kit") / "README.md").read_text()
    for sentence in WEAKNESSES.values():
        assert f"**Do not rely on this model:** {sentence}." in card
    path = write_web_demo(weak, tmp_path / "try.html")
    assert has_samples(path)
    page = path.read_text()
    document = json.loads(page.split('id="document">')[1].split("</script>")[0])
    assert document["weaknesses"] == weak.metrics["weaknesses"]
    for texts in document["texts"].values():
        assert {f"weak_{each}" for each in WEAKNESSES} < set(texts)


def test_the_report_says_it(weak):
    answers = SimpleNamespace(found=evaluate(weak), run=read_run(weak.folder))
    test = SimpleNamespace(counts=np.array([80, 40]))
    context = SimpleNamespace(
        answers=answers, test=test, percent=str, t=lambda key, **_: f"[{key}]", name=str
    )
    assert section_metrics._warning(context) == "[verdict.weak] [verdict.under_one_epoch]"
