"""Evaluate a run on the test part: once, and keep what was found."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from lookbook import metrics
from lookbook.builtin import BUILTIN, Part
from lookbook.calibration import softmax
from lookbook.datasets import Dataset, has_test_part, load
from lookbook.errors import InputError, LookbookWarning, OutputError
from lookbook.model import Model
from lookbook.runs import EVALUATION, Run, write_document

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int64


def evaluate(run: Run) -> dict[str, Any]:
    """Return what the run's model does on the test part of its data.

    The first call reads the test pictures and keeps the result in the run's `evaluation.json`;
    later calls return that.

    Returns
    -------
    dict
        `accuracy`, its 95 % `interval`, `loss` (of the calibrated probabilities) and
        `uncalibrated_loss`, `n`, `ece` (expected calibration error, 15 bins), `confusion_matrix`
        (true class by predicted class), `per_class`, `most_confused`, `classes`, `conditions`.

    Raises
    ------
    DamagedFileError, InputError
        The run's files or its data were changed, or its data is no longer where it was.
    """
    run.check_files()
    kept = run.evaluation()
    if kept is not None:
        return kept
    start = time.perf_counter()
    test = load_part(run, "test")
    logits, probs = Model.open(run.model).predict(test.images)
    found = judge(probs, test.labels, test.classes)
    found["uncalibrated_loss"] = metrics.log_loss(softmax(logits), test.labels)
    found["conditions"] = {
        "run": run.folder.name,
        "recipe": run.recipe["name"],
        "data": run.conditions["data"]["name"],
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
        "loss": metrics.log_loss(probs, labels),
        "n": len(labels),
        "ece": metrics.calibration_error(probs, labels),
        "confusion_matrix": confusion.tolist(),
        "per_class": metrics.per_class(confusion, classes),
        "most_confused": metrics.most_confused(confusion, classes),
        "classes": list(classes),
    }


def load_part(run: Run, part: Part) -> Dataset:
    """Return one part of the data that a run was trained on, in the shape that its model takes.

    Raises
    ------
    InputError
        The data is no longer there; or it was changed, so that the answers would be to other
        classes, or pictures that the run was trained on would count as test pictures.
    """
    data = run.conditions["data"]
    dataset = _load_as(run, part)
    if data["name"] in BUILTIN:  # `download` has verified it
        return dataset
    if list(dataset.classes) != data["classes"]:
        raise _changed(
            run, f"its classes are {', '.join(dataset.classes)}, were {', '.join(data['classes'])}"
        )
    if part == "test" and not has_test_part(data["name"]):
        training = _load_as(run, "train")
        if training.sha256() != data["train_sha256"]:
            raise _changed(
                run,
                f"its training part is not the same ({len(training):,} pictures, were "
                f"{data['train_pictures']:,})",
            )
    return dataset


def _load_as(run: Run, part: Part) -> Dataset:
    data = run.conditions["data"]
    return load(data["name"], part, size=tuple(data["size"]), channels=data["channels"])


def _changed(run: Run, what: str) -> InputError:
    return InputError(
        f"the data of {run.folder} changed since it was trained on: {what}; restore it, or train "
        f"again: {run.train_command()}"
    )
