"""Evaluate a run on the test part: once, and keep what was found."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook import folders, metrics
from lookbook.builtin import BUILTIN, Part
from lookbook.calibration import COVERAGE, softmax
from lookbook.corrections import apply
from lookbook.datasets import Dataset, is_split_here, load, measured_part, split_validation
from lookbook.errors import InputError, LookbookError, LookbookWarning, OutputError
from lookbook.files import write_document
from lookbook.model import Model, Outputs
from lookbook.runs import EVALUATION, Run, as_run

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from lookbook.calibration import CalibrationSet
    from lookbook.photos import Polarity


def evaluate(run: Run | str | Path, said: Outputs | None = None) -> dict[str, Any]:
    """Return what the run's model does on the test part of its data.

    The first call reads the test pictures and keeps the result in the run's `evaluation.json`;
    later calls return that.

    Parameters
    ----------
    run
        The run, its folder, or its name in `runs/`.
    said
        What its model says about the test part, where that is known.

    Returns
    -------
    dict
        `accuracy`, its 95 % `interval`, `loss` (of the calibrated probabilities) and
        `uncalibrated_loss`, `n`, `ece` (expected calibration error, 15 bins) and `ece_by_chance`
        (that of probabilities that are exactly true), `confusion_matrix` (true class by predicted
        class), `per_class`, `most_confused`, `classes`, `thresholds` (what those that validation
        pictures set do here: see `judge_thresholds`), `conditions`; and what uneven classes ask
        for: `balanced_accuracy`, the `commonest` class, its `commonest_share`, and whether the
        accuracy is clearly above that, `above_commonest`.

    Raises
    ------
    DamagedFileError, InputError
        The run's files or its data were changed, or its data is no longer where it was.
    """
    run = as_run(run)
    run.check_files()
    kept = run.evaluation()
    if kept is not None:
        # a run that was evaluated by an earlier version lacks these
        return baseline(kept) | kept
    start = time.perf_counter()
    test = load_part(run, "test")
    model = Model.open(run.model)
    said = said or model.predict(test.images)
    found = judge(said.probs, test.labels, test.classes)
    found["uncalibrated_loss"] = metrics.log_loss(softmax(said.logits), test.labels)
    found["thresholds"] = judge_thresholds(model.calibration, said, test.labels)
    found["conditions"] = {
        "run": run.folder.name,
        "recipe": run.recipe["name"],
        "data": run.conditions["data"]["name"],
        "part": measured_part(run.conditions["data"]["name"]),
        "test_sha256": test.sha256(),
        "seed": run.conditions["seed"],
        "seconds": time.perf_counter() - start,
    }
    try:
        write_document(run.folder / EVALUATION, found)
    except OutputError as error:
        message = f"the result was not kept, the next call reads the test part again: {error}"
        warnings.warn(LookbookWarning(message), stacklevel=2)
    return found


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
    """Return what thresholds that were set on validation pictures do here.

    `answered`: share of the pictures that get an answer where it may be "not sure", of which
    `right` are right; `held`: share of the sets of likely classes that hold the truth, with
    `set_size` classes on average; both aim at `coverage`. `refused`: share that counts as none of
    the classes.
    None where too few validation pictures set no threshold.
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


def load_part(run: Run, part: Part) -> Dataset:
    """Return one part of the data that a run was trained on, as its model takes it.

    Of its size, and with odd pictures inverted where training pictures had one polarity.

    Raises
    ------
    InputError
        The data is no longer there; or it was changed, so that the answers would be to other
        classes, or pictures that the run was trained on would count as test pictures.
    """
    return load_as_given(run, part).match(polarity_of(run))


def polarity_of(run: Run) -> Polarity:
    """Return the polarity of the pictures that a run was trained on, as it was found then."""
    polarity: Polarity = run.conditions["data"].get("polarity", "mixed")
    return polarity


def load_as_given(run: Run, part: Part) -> Dataset:
    """Return what `load_part` does, with no picture inverted."""
    data = run.conditions["data"]
    dataset = _load_as(run, part)
    if data["name"] in BUILTIN:  # `download` has verified it
        return dataset
    if list(map(folders.plain, dataset.classes)) != list(map(folders.plain, data["classes"])):
        raise _changed(
            run, f"its classes are {', '.join(dataset.classes)}, were {', '.join(data['classes'])}"
        )
    if part == "train":
        _check_training(run, dataset)
        return dataset
    measured = measured_part(data["name"])
    if measured == "validation" and run.conditions["final"]:
        raise _changed(run, "it has no test part, and the run learnt from its validation part")
    if {measured, data.get("measured_on", measured)} != {"test"}:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookbookWarning)  # training has told
            _check_training(run, _load_as(run, "train"))
    return dataset


def load_samples(run: Run) -> Dataset | None:
    """Return the test part, to show some of; without its data None, and a warning."""
    try:
        return load_part(run, "test")
    except LookbookError as error:
        warnings.warn(LookbookWarning(f"without sample pictures: {error}"), stacklevel=2)
        return None


def load_training(run: Run) -> Dataset:
    """Return the training part as a run was trained on it, with the labels that were corrected.

    Raises
    ------
    InputError
        The data is no longer there, or it was changed.
    """
    return apply(load_part(run, "train"), run.conditions["data"].get("corrections", []))


def load_split(run: Run) -> tuple[Dataset, Dataset]:
    """Return what a run was trained on and its validation part.

    Raises
    ------
    InputError
        The data is no longer there, or it was changed.
    """
    training, expected = load_training(run), run.conditions["data"].get("validation_sha256")
    if expected is None:
        return split_validation(training, seed=run.conditions["seed"])
    validation = _load_as(run, "validation")
    if validation.sha256() != expected:
        raise _changed(run, "its validation part is not the same")
    return training, validation.match(polarity_of(run))


def _check_training(run: Run, training: Dataset) -> None:
    data = run.conditions["data"]
    if training.sha256() != data["train_sha256"]:
        if data.get("split") != folders.SPLIT and is_split_here(data["name"]):
            raise InputError(
                f"{run.folder} was trained by a version that split {data['name']} otherwise: "
                "pictures that it learnt from would count as test pictures; train again: "
                f"{run.train_command()}"
            )
        raise _changed(
            run,
            f"its training part is not the same ({len(training):,} pictures, were "
            f"{data['train_pictures']:,})",
        )


def _load_as(run: Run, part: folders.Part) -> Dataset:
    data = run.conditions["data"]
    return load(data["name"], part, size=tuple(data["size"]), channels=data["channels"])


def _changed(run: Run, what: str) -> InputError:
    return InputError(
        f"the data of {run.folder} changed since it was trained on: {what}; restore it, or train "
        f"again: {run.train_command()}"
    )
