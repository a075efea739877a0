"""Training pipeline: dataset and recipe to a run."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch
from msgspec import UNSET

from lookbook.core.arrays import sample
from lookbook.core.environment import processor, versions
from lookbook.data.sources import resolve
from lookbook.errors import InputError, LookbookWarning, TrainingError, check_types
from lookbook.inference.graphs.backbone import Backbone, find_backbone
from lookbook.inference.model_card import ModelCard
from lookbook.inference.thresholds import CalibrationSet, PhotographCalibration
from lookbook.networks.classifier import Classifier
from lookbook.networks.devices import settle, threads
from lookbook.networks.onnx_export import to_onnx
from lookbook.networks.pretrained import find_weights
from lookbook.recipes import STANDARD, ClassWeights, Recipe
from lookbook.runs.config import TrainConfig, TrainRequest, choose_recipe
from lookbook.runs.data_parts import TrainingParts
from lookbook.runs.store import MODEL, WEIGHTS, Run, read_request, write_run
from lookbook.training.budget import Plan, plan, plan_features
from lookbook.training.calibration import (
    SIMULATING,
    Unseen,
    calibrate,
    calibrate_photographs,
    simulated_by,
)
from lookbook.training.callbacks import Callback, EpochLog, Listener, StopWhen, Tell
from lookbook.training.checkpoints import ResumePoint
from lookbook.training.cross_validation import (
    ALL_FITS,
    ask_twin,
    cross_validate,
    is_for,
    learn_usual,
)
from lookbook.training.documents import describe_conditions, describe_model, measure
from lookbook.training.loop import Fitted, fit
from lookbook.training.processes import Processes, join, name_a_way_on
from lookbook.training.state import epochs_done
from lookbook.training.steps.features import Inputs

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Shaped


def train(
    data: str,
    recipe: Recipe | str | None = None,
    *,
    epochs: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    size: int | tuple[int, int] | None = None,
    final: bool = False,
    mirror: bool | None = None,
    budget: float | None = None,
    corrections: str | Path | None = None,
    class_weights: ClassWeights = "auto",
    groups: str | None = None,
    from_scratch: bool = False,
    backbone: str | Path | None = None,
    backbone_mean: Sequence[float] | None = None,
    backbone_std: Sequence[float] | None = None,
    callbacks: Sequence[Callback] = (),
    tell: Tell | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Train on the training part of DATA and write the run; no test image is read.

    Parameters
    ----------
    data, size
        As `lookbook.load` takes them.
    recipe
        What to train and how, or its name; without it `transfer` where the extra `pretrained` is
        installed and such colour images gain by it in that time (`recipes.transfer_pays`), else
        `standard`, or what makes most of the `budget`. It is suited to the number of images: see
        `Recipe.suited_to`.
    epochs
        Passes over the images; without it the recipe's.
    seed
        Decides the first weights, the order of the images and the validation part.
    out
        The run's folder; without it `runs/<data>-<recipe>-<number>`.
    final
        Train on the validation part, too. The temperature then comes from a twin that is trained
        without it, or of few images from a cross-validation; that time is `calibration_seconds`,
        not `fit_seconds`.
    mirror
        Whether an image and its mirror image show the same. Without it as the recipe says, but
        never for built-in datasets of digits and letters.
    budget
        Seconds after which the run is to be written; passes and learning rate follow the time.
    corrections
        A table of suspected labels of the training part, with what a person decided.
    class_weights
        `auto` balances classes where the largest has more than 6 times the images of the smallest,
        and this at most 50, so that rare ones are recognised more often; `none` never.
    groups
        What stays on one side of a split that is made here, beside copies: see `lookbook.load`.
    from_scratch
        Without a `recipe`, choose none that starts from pretrained weights.
    backbone
        A network of your own, an ONNX file, images in and one vector out: a head is fitted to it.
    backbone_mean, backbone_std
        How it takes pixels, as in `find_backbone`; without them its metadata say so.
    callbacks
        What hears of the training, and may stop it: see `Callback`, with an example.
    tell
        Is called with a `Progress` a few times a second, and after each epoch: `epoch`,
        `images`, `loss`, `accuracy`, `val_accuracy`, `seconds_left` and more. Without it the
        logger "lookbook" is told of each epoch, at level INFO.
    should_stop
        Is asked after each step; True ends the training there, and the run can be used.

    Raises
    ------
    InputError, DownloadError, OutputError, TrainingError
        As their docstrings say; nothing is written then, but for the weights of a network whose
        model file does not say the same.

    Examples
    --------
    A callback that ends the training when it is good enough:

    >>> import tempfile
    >>> import lookbook
    >>> class GoodEnough(lookbook.Callback):
    ...     def on_epoch_end(self, state, progress):
    ...         print(f"epoch {progress.epoch}: {progress.images:,} images")
    ...         if progress.val_accuracy > 0.8:
    ...             state.stop()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     options = {"out": f"{folder}/run", "callbacks": [GoodEnough()]}
    ...     run = lookbook.train("fashion-mnist", "quick", **options)
    epoch 1: 55,000 images
    >>> run.metrics.stopped
    True
    """
    known = find_backbone(backbone, backbone_mean, backbone_std)
    request = TrainRequest(
        resolve(data),
        choose_recipe(recipe, known),
        epochs=epochs,
        seed=seed,
        out=out,
        size=size,
        final=final,
        mirror=mirror,
        budget=budget,
        corrections=corrections,
        class_weights=class_weights,
        groups=groups,
        from_scratch=from_scratch,
        backbone=known,
    )
    return train_since(0.0, request, callbacks=_all_callbacks(callbacks, tell, should_stop))


def train_since(
    seconds_before: float, request: TrainRequest, *, callbacks: Sequence[Callback] = ()
) -> Run:
    """Train as `train` does; what went before counts into the budget and the account of time."""
    start = time.perf_counter() - seconds_before
    seconds = {"imports": seconds_before}
    processes = join()
    folder = processes.by_first(request.place)
    if request.chosen is not None and request.chosen.network == "efficientnet":
        find_weights()
    with _timed(seconds, "data"):
        parts = TrainingParts.load(request)
    planned = _plan(request, parts, start, seconds, processes)
    own = _config(request, parts, planned, processes)
    config = processes.by_first(lambda: own)
    _check_alike(own, config, processes)
    point = ResumePoint(folder, config, numbered=request.out is None)
    return _train(config, point, parts, seconds, callbacks, processes)


def resume(
    run: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
    tell: Tell | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Run:
    """Go on with a training that was stopped or killed, to the weights that it would have had.

    Parameters
    ----------
    run
        The folder of the run, or its name in `runs/`.
    callbacks, tell, should_stop
        As `train` takes them.

    Raises
    ------
    InputError
        There is no such run, it is finished, or its images were changed.
    DamagedFileError
        What was kept is not what was written.
    """
    return resume_since(0.0, run, callbacks=_all_callbacks(callbacks, tell, should_stop))


def resume_since(
    seconds_before: float,
    run: str | Path,
    *,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Go on as `resume` does; what went before counts into the account of time."""
    seconds = {"imports": seconds_before}
    processes = join()
    folder, config = processes.by_first(partial(read_request, run))
    with _timed(seconds, "data"):
        parts = TrainingParts.reload(config, folder)
    if config.versions != versions() or config.processor not in {"", processor()}:
        message = (
            f"{folder} was begun with other versions or on another processor: its weights may "
            "differ in the last bits"
        )
        warnings.warn(LookbookWarning(message), stacklevel=2)
    if config.begun_by != processes.size:
        message = (
            f"{folder} was begun by {config.begun_by} processes and goes on in {processes.size}: "
            "its weights may differ in the last bits"
        )
        warnings.warn(LookbookWarning(message), stacklevel=2)
        config = replace(config, threads=torch.get_num_threads(), processes=processes.counted)
    point = ResumePoint(folder, config, numbered=False, begun=True)
    return _train(config, point, parts, seconds, callbacks, processes)


def _all_callbacks(
    callbacks: Sequence[Callback], tell: Tell | None, should_stop: Callable[[], bool] | None
) -> list[Callback]:
    """Return the callbacks, and the two functions as such."""
    check_types(
        callbacks=(callbacks, Iterable),
        tell=(tell, Callable | None),
        should_stop=(should_stop, Callable | None),
    )
    heard = EpochLog() if tell is None else Listener(tell)
    return [heard, *callbacks, *([] if should_stop is None else [StopWhen(should_stop)])]


def _plan(
    request: TrainRequest,
    parts: TrainingParts,
    start: float,
    seconds: dict[str, float],
    processes: Processes,
) -> Plan:
    """Suit the recipe to the images, or to the time that is left since `start`."""
    recipe, learnt = request.chosen, parts.learnt
    if recipe is not None:
        recipe = recipe.with_class_weights(request.class_weights, learnt.counts)
    if request.backbone is not None and recipe is not None:
        return plan_features(request.budget, time.perf_counter() - start, recipe)
    if request.budget is None:
        suited = (recipe or STANDARD).suited_to(
            len(learnt), colour=learnt.channels == 3, counts=learnt.counts
        )
        return Plan(suited.with_epochs(request.epochs), None, torch.get_num_threads())
    with _timed(seconds, "planning"):
        spent = processes.of_first(time.perf_counter() - start)
        if request.source.garments is not None:
            spent += SIMULATING * simulated_by(recipe or STANDARD)
        n_validation, n_classes = len(parts.validation), len(learnt.classes)
        fits = 1.0 + request.final
        if is_for(recipe, len(learnt), n_validation):
            fits, n_validation = ALL_FITS, len(learnt)
        left = request.budget - spent
        shapes = (learnt.images, learnt.labels), n_validation, n_classes
        return plan(left, *shapes, recipe=recipe, fits=fits, spent=spent, processes=processes)


def _config(
    request: TrainRequest, parts: TrainingParts, planned: Plan, processes: Processes
) -> TrainConfig:
    """Return all that decides the training."""
    recipe = planned.recipe.with_mirror(asked=request.mirror, well=request.source.mirrors_well)
    recipe = recipe.with_class_weights(request.class_weights, parts.learnt.counts)
    return TrainConfig(
        data=request.source.identity,
        recipe=settle(recipe),
        seed=request.seed,
        size=request.image_size,
        final=request.final,
        fit_seconds=planned.fit_seconds,
        train_sha256=parts.data.train_sha256,
        validation_sha256=parts.data.validation_sha256,
        split=parts.data.split,
        corrections=parts.data.corrections,
        kept_together=parts.data.kept_together,
        versions=versions(),
        processor=processor(),
        threads=planned.threads,
        processes=processes.counted,
        recipe_choice=UNSET if request.choice is None else request.choice,
        backbone=UNSET if request.backbone is None else request.backbone,
    )


def _check_alike(own: TrainConfig, first: TrainConfig, processes: Processes) -> None:
    """Refuse other images than those of the first process."""
    if own.train_sha256 != first.train_sha256 or own.validation_sha256 != first.validation_sha256:
        raise InputError(
            f"the training images of {own.data} are others in process {processes.rank} than in "
            "the first one; give each machine the same"
        )


def _train(
    config: TrainConfig,
    point: ResumePoint,
    parts: TrainingParts,
    seconds: dict[str, float],
    callbacks: Sequence[Callback],
    processes: Processes,
) -> Run:
    """Fit, calibrate, export and write the run, from where the training was left."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    # sums of floats depend on how many threads share them
    on = config.threads or torch.get_num_threads()
    heard = [*callbacks, point] if processes.is_first else []
    with threads(on), name_a_way_on(point.run):
        known, shape = config.backbone, parts.whole.images.shape[1:]
        backbone = Backbone(known, shape) if known else None
        fitted = _fit(config, parts, heard, seconds, processes, backbone)
        write = partial(_write, config, point, parts, backbone, *fitted, seconds, started, on)
        return processes.by_first(write)


def _write(
    config: TrainConfig,
    point: ResumePoint,
    parts: TrainingParts,
    backbone: Backbone | None,
    fitted: Fitted,
    unseen: Unseen,
    calibration: CalibrationSet | None,
    photographs: PhotographCalibration | None,
    seconds: dict[str, float],
    started: str,
    on: int,
) -> Run:
    """Export what was fitted, and write the run."""
    recipe = config.recipe
    if config.fit_seconds is not None:
        # the passes that the time allowed, so that the recipe tells what was done
        recipe = replace(recipe, epochs=epochs_done(fitted.history))
    measured = measure(fitted, unseen, parts, seconds, backbone, mirrored=recipe.mirror)
    with _timed(seconds, "export"):
        images = sample(parts.whole.images, 64)
        card = describe_model(
            fitted.classifier, images, parts, recipe, measured, calibration, photographs, backbone
        )
        blobs = _blobs(fitted.classifier, images, card, point, backbone)
    hashes = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()}
    conditions = describe_conditions(
        config, parts, started=started, on=on, seconds=seconds, sha256=hashes
    )
    run = Run(point.run, recipe, fitted.history, measured, conditions)
    run = write_run(run, blobs, numbered=point.numbered, replaces=point.resumes)
    if not fitted.stopped:
        point.remove()
    return run


def _fit(
    config: TrainConfig,
    parts: TrainingParts,
    callbacks: Sequence[Callback],
    seconds: dict[str, float],
    processes: Processes,
    backbone: Backbone | None,
) -> tuple[Fitted, Unseen, CalibrationSet | None, PhotographCalibration | None]:
    """Fit on a part, or `final` on the whole; calibrate by images that were not learnt from."""
    fit_on = partial(
        fit,
        recipe=config.recipe,
        n_classes=len(parts.whole.classes),
        seed=config.seed,
        seconds=None if backbone else config.fit_seconds,
        callbacks=callbacks,
        garments=parts.source.garments,
        processes=processes,
    )
    with _timed(seconds, "features"):
        given = Inputs.of(parts) if backbone is None else Inputs.by(backbone, parts, config)
    validation, learnt = given.validation, given.learnt
    fitted = fit_on(learnt, None if parts.final else validation)
    seconds["fit"] = fitted.seconds + seconds.pop("features")
    with _timed(seconds, "calibration"):
        learn_usual(fitted, learnt)
        judge = fitted.classifier
        unseen = Unseen.by(judge, fitted.val_logits, validation)
        if not fitted.stopped and is_for(config.recipe, len(parts.learnt), len(parts.validation)):
            fitted, unseen = cross_validate(fitted, unseen, config, parts, given, fit_on)
        elif parts.final and not fitted.stopped:
            fitted, judge, unseen = ask_twin(fitted, given, fit_on)
        calibration, photographs = calibrate(fitted.classifier, unseen), None
        garments = parts.source.garments
        if garments is not None and backbone is None:
            judge.temperature.copy_(fitted.classifier.temperature)
            photographs = calibrate_photographs(
                judge, validation, garments, config.recipe, config.seed
            )
        return fitted, unseen, calibration, photographs


def _blobs(
    classifier: Classifier,
    images: Shaped[np.ndarray, "N *shape"],
    card: ModelCard,
    point: ResumePoint,
    backbone: Backbone | None,
) -> dict[str, bytes]:
    """Return the weights and the model, as files hold them; keep the weights that give none."""
    state = {name: value.contiguous() for name, value in classifier.folded().state_dict().items()}
    weights = safetensors.torch.save(state)
    try:
        model = to_onnx(classifier, images, card, backbone)
    except TrainingError as error:
        kept = point.keep_weights(weights)
        raise TrainingError(f"{error}; the weights are kept: {kept}") from error
    return {WEIGHTS: weights, MODEL: model.content}


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - start
