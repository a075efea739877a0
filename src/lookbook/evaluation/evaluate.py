"""Evaluation of a run on the test part: once, and kept."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.core.files import write_document
from lookbook.core.names import text
from lookbook.data.dataset import Dataset, hash_arrays
from lookbook.data.sources import resolve
from lookbook.errors import InputError, LookbookError, LookbookWarning, OutputError
from lookbook.evaluation import metrics
from lookbook.inference.model import Model, Outputs
from lookbook.inference.predictor import Predictor
from lookbook.inference.thresholds import COVERAGE, softmax
from lookbook.runs.parts import load_part, polarity_of
from lookbook.runs.store import EVALUATION, Run, as_run

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from lookbook.data.sources import DataSource
    from lookbook.inference.thresholds import CalibrationSet


#: mistakes that are named one by one
LARGEST = 24


def evaluate(run: Run | str | Path, *, data: str | Path | None = None) -> dict[str, Any]:
    """Return what the run's model does on the test part of its data, or on other data.

    The first call keeps the result in the run's `evaluation.json`; later calls return that, if the
    test part is still the same.

    Parameters
    ----------
    run
        The run, its folder, or its name in `runs/`.
    data
        Other labelled images, of the same classes or of some of them: all in a folder of class
        folders, an `.npz` file or a folder of IDX files, or its test part where it has one. What
        they show stands beside the run's own evaluation, `own`, and is kept nowhere.

    Returns
    -------
    dict
        `accuracy`, its 95 % `interval`, `loss` (of the calibrated probabilities) and
        `uncalibrated_loss`, `n`, `ece` (expected calibration error, 15 bins) and `ece_by_chance`
        (that of probabilities that are exactly true), `confusion_matrix` (true class by predicted
        class), `per_class`, `most_confused`, `classes`, `thresholds` (what those that validation
        images set do here: see `judge_thresholds`), `conditions`; and what uneven classes ask
        for: `balanced_accuracy`, the `commonest` class, its `commonest_share`, and whether the
        accuracy is clearly above that, `above_commonest`; and `largest_losses`, the mistakes whose
        true class the model held least likely, with the names of their files.

    Raises
    ------
    DamagedFileError, InputError
        The run's files or its data were changed, or its data is no longer where it was; or the
        other data has classes that the model does not know.
    """
    run = as_run(run)
    if data is not None:
        return _evaluate_elsewhere(run, data)
    return evaluate_part(run, None)


def evaluate_part(run: Run, test: Dataset | None, said: Outputs | None = None) -> dict[str, Any]:
    """Evaluate a run where its `test` part, or what its model `said` about it, may be known."""
    run.check_files()
    kept = run.evaluation()
    if kept is not None:
        _check_test(run, kept, test)
        # a run that was evaluated by an earlier version lacks these
        return baseline(kept) | kept
    start = time.perf_counter()
    test = test or load_part(run, "test")
    found = _judge_model(Predictor(Model.open(run.model)), test, said)
    source = run.source
    found["conditions"] = _conditions(run, source, source.measured_part(), test, start)
    try:
        write_document(run.folder / EVALUATION, found)
    except OutputError as error:
        message = f"the result was not kept, the next call reads the test part again: {error}"
        warnings.warn(LookbookWarning(message), stacklevel=3)
    return found


def _evaluate_elsewhere(run: Run, data: str | Path) -> dict[str, Any]:
    """Evaluate a run on other data, beside its own test part."""
    run.check_files()
    start = time.perf_counter()
    predictor, about = Predictor(Model.open(run.model)), run.conditions["data"]
    source = resolve(data)
    other, part = source.load_labelled(
        tuple(about["classes"]), size=tuple(about["size"]), channels=about["channels"]
    )
    other = other.match(polarity_of(run))
    found = _judge_model(predictor, other)
    found["conditions"] = _conditions(run, source, part, other, start)
    own = run.evaluation()
    if own is None:
        return found | {"own": None}
    found["own"] = {key: own[key] for key in ("accuracy", "interval", "n")}
    found["own"]["part"] = own["conditions"].get("part", "test")
    return found


def _judge_model(
    predictor: Predictor, part: Dataset, said: Outputs | None = None
) -> dict[str, Any]:
    """Return what a model's answers to a part are worth, without conditions."""
    said = said or predictor.outputs(part.images)
    found = judge(said.probs, part.labels, part.classes)
    found["largest_losses"] = _largest_losses(part, said.probs)
    found["uncalibrated_loss"] = metrics.log_loss(softmax(said.logits), part.labels)
    found["thresholds"] = judge_thresholds(predictor.model.calibration, said, part.labels)
    return found


def _largest_losses(part: Dataset, probs: Float[np.ndarray, "N K"]) -> list[dict[str, Any]]:
    """Name the mistakes whose true class the model held least likely, and their files."""
    of_truth = probs[np.arange(len(part)), part.labels]
    wrong = np.flatnonzero(probs.argmax(axis=1) != part.labels)
    hardest = wrong[np.argsort(of_truth[wrong], kind="stable")][:LARGEST]
    return [
        {
            "index": int(index),
            "file": text(part.files[index]) if part.files else None,
            "true": part.classes[part.labels[index]],
            "predicted": part.classes[probs[index].argmax()],
            "confidence": float(probs[index].max()),
            "of_true": float(of_truth[index]),
        }
        for index in hardest
    ]


def _conditions(
    run: Run, source: DataSource, part: str, test: Dataset, start: float
) -> dict[str, Any]:
    """Say what was measured on what."""
    return {
        "run": run.folder.name,
        "recipe": run.recipe["name"],
        "data": source.identity,
        "part": part,
        "test_sha256": test.sha256(),
        **_digests(test),
        "seed": run.conditions["seed"],
        "seconds": time.perf_counter() - start,
    }


def _digests(test: Dataset) -> dict[str, str]:
    """Return what tells whether images or labels changed."""
    return {
        "images_sha256": hash_arrays(test.images, test.labels[:0], ()),
        "labels_sha256": hash_arrays(test.images[:0], test.labels, ()),
    }


def _check_test(run: Run, kept: dict[str, Any], test: Dataset | None) -> None:
    """Refuse what was evaluated on another test part than the one that is there now.

    Raises
    ------
    InputError
        The test part has other images or labels.
    """
    source = run.source
    if test is None and not source.is_here():
        if source.published is None:
            message = f"{source} is gone: what was evaluated cannot be compared with it"
            warnings.warn(LookbookWarning(message), stacklevel=3)
        return
    test = test or load_part(run, "test")
    before = kept["conditions"]
    told = {"images_sha256": "other images", "labels_sha256": "other labels"}
    now = _digests(test)
    if not told.keys() <= before.keys():  # evaluated by an earlier version
        told = {"test_sha256": "other images, labels or class names"}
        now = {"test_sha256": test.sha256()}
    changed = [what for key, what in told.items() if before[key] != now[key]]
    if not changed:
        return
    what = " and ".join(changed)
    if len(test) != kept["n"]:
        what = f"{len(test):,} images, {kept['n']:,} before"
    raise InputError(
        f"the test part of {source} changed since {run.folder} was evaluated ({what}); bring it "
        f"back, or delete {run.folder / EVALUATION} to evaluate again"
    )


def judge(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return what probabilities are worth, as `evaluate` describes it, without conditions.

    >>> import numpy as np
    >>> judge(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), ("cat", "dog"))["accuracy"]
    1.0
    """
    share = metrics.accuracy(probs, labels)
    confusion = metrics.confusion_matrix(probs, labels)
    return {
        "accuracy": share,
        "interval": list(metrics.wilson_interval(share, len(labels))),
        **metrics.baseline(confusion, classes),
        "loss": metrics.log_loss(probs, labels),
        "n": len(labels),
        "ece": metrics.calibration_error(probs, labels),
        "ece_by_chance": metrics.calibration_error_by_chance(probs),
        "confusion_matrix": confusion.tolist(),
        "per_class": metrics.per_class(confusion, classes),
        "most_confused": metrics.most_confused(confusion, classes),
        "classes": list(classes),
    }


def baseline(found: dict[str, Any]) -> dict[str, Any]:
    """Return what `metrics.baseline` says of an evaluation."""
    return metrics.baseline(np.array(found["confusion_matrix"]), tuple(found["classes"]))


def judge_thresholds(
    calibration: CalibrationSet | None,
    said: Outputs,
    labels: Int64[np.ndarray, "N"],
    coverage: float = COVERAGE,
) -> dict[str, float] | None:
    """Return what thresholds that were set on validation images do here.

    `answered`: share of the images that get an answer where it may be "not sure", of which
    `right` are right; `held`: share of the sets of likely classes that hold the truth, with
    `set_size` classes on average; both aim at `coverage`. `refused`: share that counts as none of
    the classes.
    None where too few validation images set no threshold.
    """
    if calibration is None:
        return None
    confidence, right = said.probs.max(axis=1), said.probs.argmax(axis=1) == labels
    sure = confidence >= calibration.sure_from(coverage)
    likely = said.probs >= calibration.likely_from(coverage)
    return {
        "coverage": coverage,
        "answered": float(sure.mean()),
        "right": float(right[sure].mean()) if sure.any() else 0.0,
        "held": float(likely[np.arange(len(labels)), labels].mean()),
        "set_size": float(likely.sum(axis=1).mean()),
        "refused": float((said.novelty > calibration.strange_from).mean()),
    }


def load_samples(run: Run) -> Dataset | None:
    """Return the test part, to show some of; without its data None, and a warning."""
    try:
        test, kept = load_part(run, "test"), run.evaluation()
        if kept is not None:
            _check_test(run, kept, test)
    except LookbookError as error:
        warnings.warn(LookbookWarning(f"without sample images: {error}"), stacklevel=2)
        return None
    return test
