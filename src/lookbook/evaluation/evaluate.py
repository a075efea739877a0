"""Evaluation of a run on the test part: once, and kept."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from lookbook.core.arrays import softmax
from lookbook.core.files import write_document
from lookbook.core.listeners import tell_images
from lookbook.core.names import text
from lookbook.data.copies import find_copies_of
from lookbook.data.dataset import Dataset, hash_arrays, warn
from lookbook.data.formats.image_files import left_out
from lookbook.data.sources import resolve
from lookbook.errors import InputError, LookbookError, LookbookWarning, OutputError
from lookbook.evaluation import metrics
from lookbook.images.reading import none_readable
from lookbook.inference.model import Model, Outputs
from lookbook.inference.predictor import Prediction, Predictor
from lookbook.inference.thresholds import COVERAGE
from lookbook.runs.data_parts import load_beside_test, load_part, polarity_of
from lookbook.runs.schema import (
    CopiesInTest,
    Evaluation,
    ExternalEvaluation,
    Measured,
    Mistake,
    OwnResult,
    Scores,
    ThresholdScores,
)
from lookbook.runs.store import EVALUATION, Run, as_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int64

    from lookbook.data.formats.image_files import Files
    from lookbook.data.formats.source import DataSource
    from lookbook.inference.thresholds import CalibrationSet


#: mistakes that are named one by one
LARGEST = 24


def evaluate(run: Run | str | Path, *, data: str | Path | None = None) -> Evaluation:
    """Return what the run's model does on the test part of its data, or on other data.

    The first call keeps the result in the run's `evaluation.json`; later calls return that, if the
    test part is still the same.

    Parameters
    ----------
    run
        The run, its folder, or its name in `runs/`.
    data
        Other labelled images, of the same classes or of some of them: all in a folder of class
        folders, an `.npz` file or a folder of IDX files, or its test part where it has one. Image
        files are read as `predict` reads them: a model that cuts out photographs does. What they
        show stands beside the run's own evaluation, `own`, and is kept nowhere.

    Returns
    -------
    Evaluation
        `accuracy`, its 95 % `interval`, `loss` (of the calibrated probabilities) and
        `uncalibrated_loss`, `n`, `ece` (expected calibration error, 15 bins) and `ece_by_chance`
        (that of probabilities that are exactly true), `confusion_matrix` (true class by predicted
        class), `per_class`, `most_confused`, `classes`, `thresholds` (what those that validation
        images set do here: see `judge_thresholds`), `conditions`; and what uneven classes ask
        for: `balanced_accuracy`, `macro_f1`, the `commonest` class, its `commonest_share`, and
        whether the accuracy is clearly above that, `above_commonest`; and `largest_losses`, the
        mistakes whose true class the model held least likely, with the names of their files. Of
        other data an `ExternalEvaluation`, which also has `own`.

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


def evaluate_part(run: Run, test: Dataset | None, said: Outputs | None = None) -> Evaluation:
    """Evaluate a run where its `test` part, or what its model `said` about it, may be known."""
    run.check_files()
    kept = run.evaluation()
    if kept is not None:
        _check_test(run, kept, test)
        return _complete(kept)
    start = time.perf_counter()
    test = test or load_part(run, "test")
    said = said or Predictor(Model.open(run.model)).outputs(test.images)
    copies = _find_copies(load_beside_test(run), test, said.probs)
    source = run.source
    found = _judge_model(run, source, source.measured_part(), test, start, said)
    found = structs.replace(found, copies=copies)
    try:
        write_document(run.folder / EVALUATION, found.to_json())
    except OutputError as error:
        message = f"the result was not kept, the next call reads the test part again: {error}"
        warnings.warn(LookbookWarning(message), stacklevel=3)
    return found


def _find_copies(
    training: Dataset | None, test: Dataset, probs: Float[np.ndarray, "N K"]
) -> CopiesInTest | None:
    """Count the test images that were learnt from, or nearly so; None without a training part."""
    if training is None:
        return None
    exact, near = find_copies_of(training.images, test.images)
    new = ~(exact | near)
    right = metrics.accuracy(probs[new], test.labels[new]) if new.any() else None
    return CopiesInTest(exact=int(exact.sum()), near=int(near.sum()), accuracy_without=right)


def _complete(kept: Evaluation) -> Evaluation:
    """Add what an evaluation by an earlier version lacks."""
    confusion = np.array(kept.confusion_matrix)
    return structs.replace(kept, **asdict(metrics.baseline(confusion, tuple(kept.classes))))


def _evaluate_elsewhere(run: Run, data: str | Path) -> ExternalEvaluation:
    """Evaluate a run on other data, beside its own test part."""
    run.check_files()
    start = time.perf_counter()
    about = run.conditions.data
    source, steps = resolve(data), Model.open(run.model).preprocessing
    files = source.list_labelled(about.classes) if steps and steps.cuts_out else None
    if files:
        found = _evaluate_files(run, source, files, start)
    else:
        other, part = source.load_labelled(about.classes, size=about.size, channels=about.channels)
        other = other.match(polarity_of(run))
        found = _judge_model(run, source, part, other, start)
    return ExternalEvaluation(**structs.asdict(found), own=_own_result(run))


def _evaluate_files(run: Run, source: DataSource, files: Files, start: float) -> Evaluation:
    """Evaluate a run on image files as `predict` reads and judges them: photographs cut out."""
    model = Model.open(run.model)
    share = COVERAGE if model.calibration else None
    predictor = Predictor(model, coverage=share, sets=share)
    kept, answers = _answer_files(predictor, files.paths)
    names = [text(files.paths[number].relative_to(source.path).as_posix()) for number in kept]
    labels = np.array(files.labels, np.int64)[kept]
    images = np.stack([one.image for one in answers])
    part = Dataset(images, labels, model.classes, tuple(names))
    said = Outputs(
        np.stack([one.logits for one in answers if one.logits is not None]),
        np.stack([one.probs for one in answers]),
        np.array([one.novelty for one in answers]),
    )
    thresholds = _judge_verdicts(answers, labels) if share else None
    return _judge_outputs(run, source, files.part or "all", part, start, said, thresholds)


def _answer_files(
    predictor: Predictor, paths: Sequence[Path]
) -> tuple[list[int], list[Prediction]]:
    """Return the answers to the files that can be read, without photographs, and which they are."""
    kept, answers, damaged = [], [], []
    tell_images(0, len(paths))
    for number, one in enumerate(predictor.predict_each(paths)):
        if isinstance(one, InputError):
            damaged.append(paths[number])
        else:
            kept.append(number)
            answers.append(replace(one, cutout=None))  # it takes 0.15 MB
        tell_images(number + 1, len(paths))
    if not answers:
        raise none_readable(damaged)
    if damaged:
        warn(left_out(damaged, "no images, or damaged"))
    return kept, answers


def _own_result(run: Run) -> OwnResult | None:
    """Return what the run's own evaluation found, where it was evaluated."""
    own = run.evaluation()
    if own is None:
        return None
    part = own.conditions.part or "test"
    return OwnResult(accuracy=own.accuracy, interval=own.interval, n=own.n, part=part)


def _judge_model(
    run: Run,
    source: DataSource,
    part: str,
    test: Dataset,
    start: float,
    said: Outputs | None = None,
) -> Evaluation:
    """Return what the answers of a run's model to a part of a source are worth."""
    predictor = Predictor(Model.open(run.model))
    said = said or predictor.outputs(test.images)
    thresholds = judge_thresholds(predictor.model.calibration, said, test.labels)
    return _judge_outputs(run, source, part, test, start, said, thresholds)


def _judge_outputs(
    run: Run,
    source: DataSource,
    part: str,
    test: Dataset,
    start: float,
    said: Outputs,
    thresholds: ThresholdScores | None,
) -> Evaluation:
    return Evaluation(
        **structs.asdict(judge(said.probs, test.labels, test.classes)),
        largest_losses=_largest_losses(test, said.probs),
        uncalibrated_loss=metrics.log_loss(softmax(said.logits), test.labels),
        thresholds=thresholds,
        conditions=_conditions(run, source, part, test, start),
    )


def _largest_losses(part: Dataset, probs: Float[np.ndarray, "N K"]) -> list[Mistake]:
    """Name the mistakes whose true class the model held least likely, and their files."""
    of_truth = probs[np.arange(len(part)), part.labels]
    wrong = np.flatnonzero(probs.argmax(axis=1) != part.labels)
    hardest = wrong[np.argsort(of_truth[wrong], kind="stable")][:LARGEST]
    return [
        Mistake(
            index=int(index),
            file=text(part.files[index]) if part.files else None,
            true=part.classes[part.labels[index]],
            predicted=part.classes[probs[index].argmax()],
            confidence=float(probs[index].max()),
            of_true=float(of_truth[index]),
        )
        for index in hardest
    ]


def _conditions(run: Run, source: DataSource, part: str, test: Dataset, start: float) -> Measured:
    """Say what was measured on what."""
    images, labels = _digests(test)
    return Measured(
        run=run.folder.name,
        recipe=run.recipe.name,
        data=source.identity,
        part=part,
        test_sha256=test.sha256(),
        images_sha256=images,
        labels_sha256=labels,
        seed=run.conditions.seed,
        seconds=time.perf_counter() - start,
    )


def _digests(test: Dataset) -> tuple[str, str]:
    """Return the hash of the images alone, and that of the labels."""
    return (
        hash_arrays(test.images, test.labels[:0], ()),
        hash_arrays(test.images[:0], test.labels, ()),
    )


def _check_test(run: Run, kept: Evaluation, test: Dataset | None) -> None:
    """Refuse what was evaluated on another test part than the one that is there now.

    Raises
    ------
    InputError
        The test part has other images or labels.
    """
    source = run.source
    if test is None and not source.is_here():
        if not source.is_verified:
            message = f"{source} is gone: what was evaluated cannot be compared with it"
            warnings.warn(LookbookWarning(message), stacklevel=3)
        return
    test = test or load_part(run, "test")
    what = " and ".join(_changes(kept.conditions, test))
    if not what:
        return
    if len(test) != kept.n:
        what = f"{len(test):,} images, {kept.n:,} before"
    raise InputError(
        f"the test part of {source} changed since {run.folder} was evaluated ({what}); bring it "
        f"back, or delete {run.folder / EVALUATION} to evaluate again"
    )


def _changes(before: Measured, test: Dataset) -> list[str]:
    """Say in what a test part differs from the one that was measured on."""
    if before.images_sha256 is None or before.labels_sha256 is None:  # by an earlier version
        same = before.test_sha256 == test.sha256()
        return [] if same else ["other images, labels or class names"]
    images, labels = _digests(test)
    told = {
        "other images": images != before.images_sha256,
        "other labels": labels != before.labels_sha256,
    }
    return [what for what, changed in told.items() if changed]


def judge(
    probs: Float[np.ndarray, "N K"], labels: Int64[np.ndarray, "N"], classes: tuple[str, ...]
) -> Scores:
    """Return what probabilities are worth.

    >>> import numpy as np
    >>> judge(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]), ("cat", "dog")).accuracy
    1.0
    """
    share = metrics.accuracy(probs, labels)
    confusion = metrics.confusion_matrix(probs, labels)
    return Scores(
        accuracy=share,
        interval=metrics.wilson_interval(share, len(labels)),
        **asdict(metrics.baseline(confusion, classes)),
        loss=metrics.log_loss(probs, labels),
        n=len(labels),
        ece=metrics.calibration_error(probs, labels),
        ece_by_chance=metrics.calibration_error_by_chance(probs),
        confusion_matrix=confusion.tolist(),
        per_class=metrics.per_class(confusion, classes),
        most_confused=metrics.most_confused(confusion, classes),
        classes=list(classes),
    )


def judge_thresholds(
    calibration: CalibrationSet | None,
    said: Outputs,
    labels: Int64[np.ndarray, "N"],
    coverage: float = COVERAGE,
) -> ThresholdScores | None:
    """Return what thresholds that were set on validation images do here.

    None where too few validation images set no threshold.
    """
    if calibration is None:
        return None
    right = said.probs.argmax(axis=1) == labels
    sure = said.probs.max(axis=1) >= calibration.sure_from(coverage)
    likely = said.probs >= calibration.likely_from(coverage)
    strange = said.novelty > calibration.strange_from
    held = likely[np.arange(len(labels)), labels]
    return _score_thresholds(coverage, right, sure, held, likely.sum(axis=1), strange)


def _judge_verdicts(
    answers: Sequence[Prediction], labels: Int64[np.ndarray, "N"]
) -> ThresholdScores:
    """Return what thresholds did, as `judge_thresholds`, to answers that were judged by them."""
    sets = [one.likely or () for one in answers]
    return _score_thresholds(
        COVERAGE,
        np.array([one.label for one in answers]) == labels,
        ~np.array([one.unsure for one in answers]),
        np.array([label in likely for label, likely in zip(labels, sets, strict=True)]),
        np.array([len(likely) for likely in sets]),
        np.array([one.strange for one in answers]),
    )


def _score_thresholds(
    coverage: float,
    right: Bool[np.ndarray, "N"],
    sure: Bool[np.ndarray, "N"],
    held: Bool[np.ndarray, "N"],
    sizes: Int64[np.ndarray, "N"],
    strange: Bool[np.ndarray, "N"],
) -> ThresholdScores:
    return ThresholdScores(
        coverage=coverage,
        answered=float(sure.mean()),
        right=float(right[sure].mean()) if sure.any() else 0.0,
        held=float(held.mean()),
        set_size=float(sizes.mean()),
        refused=float(strange.mean()),
    )


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
