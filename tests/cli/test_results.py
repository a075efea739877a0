"""What a terminal shows of results: shares of nothing, warnings of few images and of guessing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from sklearn.metrics import balanced_accuracy_score, f1_score

from lookbook.cli import results
from lookbook.core import translation
from lookbook.evaluation.evaluate import evaluate, judge
from lookbook.recipes import TUTORIAL
from lookbook.runs.balance_schema import ClassBalance
from lookbook.runs.schema import CROSS_VALIDATED, Evaluation, Measured, ThresholdScores, Validation
from lookbook.training.pipeline import train

CONDITIONS = Measured(
    run="a", recipe="quick", data="mnist", part="test", test_sha256="0" * 64, seed=0, seconds=1.0
)
THRESHOLDS = ThresholdScores(
    coverage=0.9, answered=0.9, right=0.9, held=0.9, set_size=1.0, refused=0.03
)


def uneven(right: int = 0) -> Evaluation:
    """Judge answers to 200, 15 and 8 images, "often" whatever comes, but for so many others."""
    labels = np.repeat([0, 1, 2], [200, 15, 8])
    said = np.zeros(223, int)
    said[200 : 200 + right] = labels[200 : 200 + right]
    found = judge(np.eye(4)[said], labels, ("often", "seldom", "rare", "never"))
    expected = balanced_accuracy_score(labels, said)
    assert found.balanced_accuracy == pytest.approx(expected)
    return Evaluation(
        **structs.asdict(found), uncalibrated_loss=1.0, thresholds=None, conditions=CONDITIONS
    )


def test_guessing_the_commonest_class_is_said_to_be_guessing():
    found = uneven()
    assert (found.commonest, found.commonest_share) == ("often", 200 / 223)
    assert found.accuracy == found.commonest_share
    assert not found.above_commonest
    lines = results.evaluation(found).splitlines()
    assert lines[1].startswith("balanced accuracy  33.33 %")
    assert lines[2].startswith("macro F1           31.52 %")
    assert lines[3] == ("commonest class    89.69 %  (the accuracy of always answering often)")
    assert lines[4].startswith("warning            not clearly better than always")
    better = uneven(right=20)
    assert better.above_commonest
    assert "not clearly better" not in results.evaluation(better)


def test_of_a_validation_part_it_says_whether_thresholds_were_set_by_it():
    found = uneven()
    found = structs.replace(found, conditions=structs.replace(CONDITIONS, part="validation"))
    assert "thresholds were set by it, and new" in results.evaluation(found)
    told = results.evaluation(found, calibrated_apart=True)
    assert "no test part: the network did not\n" in told
    assert "learn from it, and other images set percentages and thresholds\n" in told
    assert "set by it" not in told
    assert "measured on" not in results.evaluation(uneven(), calibrated_apart=True)


@pytest.mark.parametrize(
    ("n", "of", "said"),
    [
        (7, "this network", "not calibrated: too few images (7) to do so by"),
        (92, CROSS_VALIDATED, "rough: 92 images set them, in a cross-validation"),
        (92, "this network", "rough: 92 images set them"),
        (200, "this network", None),
    ],
)
def test_percentages_that_few_images_set_are_said_to_be_rough(n, of, said):
    validation = Validation(
        accuracy=0.5, interval=(0.4, 0.6), loss=1.0, calibration_error=0.1, n=n, of=of
    )
    assert results.percentages(validation) == ([("percentages", said)] if said else [])
    assert "nor were the percentages calibrated" in results.evaluation(uneven(), set_by=validation)
    found = structs.replace(uneven(), thresholds=THRESHOLDS)
    lines = results.evaluation(found, set_by=validation).splitlines()
    assert [line for line in lines if line.startswith("percentages")] == (
        [f"percentages        {said}"] if said else []
    )


def test_percentages_without_any_validation_images_are_not_calibrated():
    assert results.percentages(None)[0][1].startswith("not calibrated: too few images (0)")


@pytest.mark.parametrize("final", [False, True])
def test_an_accuracy_of_few_images_is_said_to_be_of_a_cross_validation(bars, tmp_path, final):
    run = train(str(bars), TUTORIAL.with_epochs(1), final=final, out=tmp_path / "run")
    found = structs.replace(run.metrics.validation, of=CROSS_VALIDATED, accuracy=0.5, n=100)
    run = replace(run, metrics=structs.replace(run.metrics, validation=found))
    accuracy, hint = results.trained(run, took=1.0).splitlines()[:2]
    assert accuracy.startswith("validation accuracy  50.00 % in a cross-validation  (")
    assert "100 images)" in accuracy
    assert ("--final learns from the images that were set aside" in hint) != final


def test_macro_f1_stands_beside_accuracy_of_uneven_classes_alone():
    found = uneven(right=12)
    assert found.macro_f1 == pytest.approx(f1_score(*answers(found), average="macro"))
    assert f"macro F1           {100 * found.macro_f1:.2f} %" in results.evaluation(found)
    labels = np.repeat([0, 1], [30, 20])
    even = judge(np.eye(2)[labels], labels, ("cat", "dog"))
    even = Evaluation(
        **structs.asdict(even), uncalibrated_loss=1.0, thresholds=None, conditions=CONDITIONS
    )
    assert "balanced accuracy" in results.evaluation(even)
    assert "macro F1" not in results.evaluation(even)


def answers(found: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the answers that a confusion matrix counts."""
    pairs = np.argwhere(np.array(found.confusion_matrix) > 0)
    counts = [found.confusion_matrix[true][said] for true, said in pairs]
    return tuple(np.repeat(pairs, counts, axis=0).T)


def test_runs_show_both_beside_the_accuracy_of_uneven_classes_alone(own_run):
    validation = own_run.metrics.validation
    even, odd = (
        replace(
            own_run,
            folder=own_run.folder / "not evaluated",
            metrics=structs.replace(
                own_run.metrics,
                validation=structs.replace(
                    validation, uneven=uneven, balanced_accuracy=0.5, macro_f1=0.4
                ),
            ),
        )
        for uneven in (False, True)
    )
    assert "balanced 50.0 %, macro F1 40.0 %" in results.run_table([odd])
    assert "balanced" not in results.run_table([even])
    assert "balanced 50.0 %, macro F1 40.0 %" in results.trained(odd, 1.0)
    assert "balanced" not in results.trained(even, 1.0)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("uneven", "balanced, to recognise rare classes; few images set their percentages"),
        ("little", "not balanced: they are too alike to gain by it"),
        ("enough", "not balanced: the smallest has enough images"),
        ("asked", "not balanced, as was asked for"),
    ],
)
def test_a_training_tells_whether_uneven_classes_were_balanced_and_why(own_run, why, said):
    assert "class weights" not in results.trained(own_run, 1.0)
    taken = "balanced" if why == "uneven" else "none"
    balance = ClassBalance(taken=taken, ratio=24.3, smallest=7, why=why)
    told = replace(own_run, conditions=structs.replace(own_run.conditions, class_weights=balance))
    expected = f"{said}  (the largest class has 24.3 times the 7 images of the smallest)"
    lines = results.trained(told, 1.0).splitlines()
    assert next(line for line in lines if line.startswith("class weights")).endswith(expected)


def test_a_training_tells_that_several_processes_shared_it(own_run):
    assert "processes" not in results.trained(own_run, 1.0)
    conditions = structs.replace(own_run.conditions, processes=3, threads=2)
    lines = results.trained(replace(own_run, conditions=conditions), 1.0).splitlines()
    said = next(line for line in lines if line.startswith("processes"))
    assert said.endswith("3 together, threads of each: 2")


def test_shares_of_nothing_are_no_zeros_in_the_terminal():
    table = results.evaluation(uneven()).split("\n\n")[1]
    rows = {row.split()[0]: row.split() for row in table.splitlines()}
    assert rows["often"][-1] == "200"
    assert rows["seldom"][1:] == ["–", "0.0", "%", "0.0", "%", "15"]
    assert rows["never"][1:] == ["–", "–", "–", "0"]


def test_classes_with_few_test_images_are_told(own_run):
    found = evaluate(own_run)
    assert "fewer than 5" not in results.evaluation(found)
    few = structs.replace(found.per_class[1], n=4)
    found = structs.replace(
        found,
        n=64,
        per_class=[found.per_class[0], few, found.per_class[2]],
        confusion_matrix=[[30, 0, 0], [0, 4, 0], [0, 0, 30]],
    )
    assert "warning            fewer than 5 test images show middle (4): what" in (
        results.evaluation(found)
    )


@pytest.mark.parametrize(
    ("lang", "expected"),
    [
        ("en", ["time", "1 min 45 s", "1 min 30 s of it before it was stopped or killed"]),
        ("ko", ["시간", "1분 45초", "그중 1분 30초: 멈추거나 강제로 끝나기 전"]),
    ],
)
def test_the_time_of_a_resumed_training_is_that_of_all_its_parts(own_run, lang, expected):
    """The fit counts what went before, the process does not."""
    spent = {"imports": 2.0, "data": 1.0, "fit": 100.0, "calibration": 1.0, "export": 0.5}
    run = replace(own_run, conditions=structs.replace(own_run.conditions, seconds=spent))
    translation.set_language(lang)
    try:
        lines = results.trained(run, 15.0, 90.0).splitlines()
        alone = results.trained(run, 105.0)
    finally:
        translation.set_language("en")
    at = next(i for i, line in enumerate(lines) if line.startswith(expected[0]))
    assert lines[at].split(None, 1)[1].split("  (")[0] == expected[1]
    assert lines[at + 1].strip() == expected[2]
    assert alone.splitlines() == [*lines[: at + 1], *lines[at + 2 :]]
