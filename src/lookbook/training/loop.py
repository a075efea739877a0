"""Training loop: images, labels and a recipe to a trained network, on any device."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from lookbook.core.arrays import softmax
from lookbook.errors import TrainingError
from lookbook.evaluation import metrics
from lookbook.networks.classifier import Classifier, build_classifier
from lookbook.networks.devices import as_tensor, pick_device
from lookbook.networks.scaling import Components
from lookbook.runs.schema import Counted, EpochRecord
from lookbook.training.augmentation import as_photographs, augment, soften
from lookbook.training.calibration import answer, find_sure
from lookbook.training.callbacks import Callback, Progress
from lookbook.training.optimizers import build_optimizer, rate_at
from lookbook.training.sampler import Sampler, balance

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32, Float64, Int64, Shaped
    from torch import Tensor

    from lookbook.data.catalog import Garments
    from lookbook.recipes import Recipe
    from lookbook.training.optimizers import Optimizer

    #: raw inputs and their labels
    Labelled = tuple[Shaped[np.ndarray, "N *shape"], Int64[np.ndarray, "N"]]


#: training images below which their validation part, 15 % of all, is too small to calibrate by
UNCALIBRATED = 283


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: a trained classifier, and how it came about."""

    #: as it was trained; a model file holds it `folded`
    classifier: Classifier
    history: list[EpochRecord]
    seconds: float
    #: logits of the validation part by the whole classifier, empty where there is none
    val_logits: Float32[np.ndarray, "M K"]
    #: it was stopped before its last step
    stopped: bool


def fit(
    training: Labelled,
    validation: Labelled | None,
    recipe: Recipe,
    n_classes: int,
    *,
    seed: int = 0,
    seconds: float | None = None,
    stage: str = "training",
    callbacks: Sequence[Callback] = (),
    garments: Garments | None = None,
    sample_weight: Float64[np.ndarray, "N"] | None = None,
) -> Fitted:
    """Train the recipe's network; the same seed on the same machine gives the same weights.

    Parameters
    ----------
    training, validation
        Raw inputs, uint8 images (N, H, W) or (N, H, W, 3) or float32 rows (N, D), and labels in
        0..n_classes−1. The validation part decides one thing alone: below which probability several
        views of an image are averaged.
    recipe
        What to train and how, settled for this machine where it allows bfloat16: see
        `devices.settle`.
    n_classes
        How many logits the network gives.
    seed
        Decides the first weights and the order of the images.
    seconds
        End after so long instead of after the recipe's epochs; the learning rate follows the time.
    stage
        What callbacks and checkpoints call this fit.
    callbacks
        What hears of it and may stop it, in this order; at its begin in the opposite one.
    garments
        What the classes are, for a recipe that simulates photographs.
    sample_weight
        How often an epoch shows each training image, beside the others; None: each once.

    Raises
    ------
    TrainingError
        The loss is no longer finite.

    Examples
    --------
    >>> import numpy as np
    >>> from lookbook.recipes import TUTORIAL
    >>> images = np.repeat(np.uint8([0, 255]), 64)[:, None, None] * np.ones((8, 8), np.uint8)
    >>> fitted = fit((images, np.repeat([0, 1], 64)), None, TUTORIAL, 2)
    >>> fitted.history[-1].accuracy
    1.0
    """
    start = time.perf_counter()
    device = pick_device()
    classifier = build_classifier(recipe, training[0], n_classes, seed).to(device)
    scaler, network = classifier.scaler, classifier.network
    images, labels = (as_tensor(array).to(device) for array in training)
    if isinstance(scaler, Components):
        # once: an epoch of the components takes a quarter of the bytes and of the arithmetic
        images = scaler.of_all(images, torch.bfloat16 if recipe.half else torch.float32)
        scaler = nn.Identity()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = build_optimizer(recipe, weights)
    adjustment = None
    if recipe.class_weights == "balanced":
        sample_weight, adjustment = balance(training[1]), logit_adjustment(labels, n_classes)
    sampler = Sampler(recipe, len(labels), seed, images[0].nbytes, sample_weight)
    clock = _Clock(stage, recipe, sampler.steps, seconds, start)
    state = TrainingState(network, optimizer, sampler, clock, callbacks)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.half)
    validate = partial(_validate, classifier, validation, autocast)

    state.begin()
    while state.goes_on:
        chosen, parts = sampler.next_batches(clock.steps_left())
        places = chosen.to(device)
        # a fifth to a fifteenth of the time that images[places] takes
        batch = scaler(images.index_select(0, places))
        if recipe.network == "conv" and batch.dim() == 4:
            batch = augment(batch, recipe, sampler, chosen)
        answers = labels.index_select(0, places)
        if recipe.photographs:
            draws = [(part, sampler.generator(part)) for part in parts]
            batch, answers = as_photographs(batch, answers, recipe.photographs, garments, draws)
        targets = soften(answers, n_classes, recipe)
        for part in parts:
            with autocast:
                logits = network(batch[part]).float()
            seen = logits if adjustment is None else logits + adjustment
            losses = F.cross_entropy(seen, targets[part], reduction="none")
            optimizer.step(mean_gradients(losses, weights), rate_at(recipe, clock.share()))
            if state.end_step(losses.detach(), logits.detach(), answers[part]):
                break
        state.end_batches(chosen)
        if state.epoch_is_over or state.stopping:
            state.end_epoch(*validate())
    state.end()

    classifier.eval()
    if validation is not None and classifier.has_views:
        classifier.sure.fill_(find_sure(classifier, validation, device))
    val_logits = answer(lambda raw: classifier.look(raw)[0], validation, device, n_classes)
    stopped = state.stopping and not clock.is_over()
    return Fitted(classifier.cpu(), clock.history, clock.seconds(), val_logits, stopped)


def mean_gradients(losses: Float[Tensor, "N"], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of the mean loss of a step.

    All gradients come from here: of a step that several processes share, they are summed here.
    """
    return torch.autograd.grad(losses.mean(), weights)


def join_steps(
    steps: Sequence[tuple[Float[Tensor, "B"], Float[Tensor, "B K"], Int64[Tensor, "B"]]],
) -> tuple[Float[Tensor, "M"], int]:
    """Return the losses of a few steps, image by image, and how many of the answers are right.

    Each step is given by its losses, its logits and its right answers. All losses that are
    counted, and by which the sampler chooses, come from here: of steps that several processes
    share, they are joined here.
    """
    losses, logits, answers = (torch.cat(each) for each in zip(*steps, strict=True))
    return losses.cpu(), int((logits.argmax(1) == answers).sum())


def epochs_done(history: Sequence[EpochRecord]) -> float:
    """Return the epochs of a history; of the last one the share of its images that were seen.

    >>> epochs_done([EpochRecord(1, 30, 40, 0.5, 0.9, None, None, 1.0)])
    0.75
    """
    last = history[-1]
    return round(last.epoch - 1 + last.images / last.images_per_epoch, 3)


def logit_adjustment(labels: Int64[Tensor, "N"], n_classes: int) -> Float[Tensor, "K"]:
    """Return what a balanced loss grants each class: a part of the logarithm of its share.

    All of it would suit images of which each class has as many. A quarter keeps percentages true
    for the classes' own shares; a half gains more where so few images leave nothing to calibrate by
    (docs/log.md, uneven classes). It is added to the logits in the loss.
    Source: Menon et al. (2021), "Long-tail learning via logit adjustment".

    >>> logit_adjustment(torch.tensor([0, 0, 0, 0, 1] * 100), 2)
    tensor([-0.0558, -0.4024])
    """
    counts = torch.bincount(labels, minlength=n_classes).clamp_min(1)
    return (0.5 if len(labels) < UNCALIBRATED else 0.25) * (counts / counts.sum()).log()


class TrainingState:
    """A training under way: how far it is, who hears of it, and all that it goes on from.

    Callbacks get it. It ends after the step under way when one of them calls `stop`.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        sampler: Sampler,
        clock: _Clock,
        callbacks: Sequence[Callback],
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._sampler, self._clock = sampler, clock
        self._callbacks = callbacks
        #: a callback asked for the end
        self.stopping = False
        #: all images of this epoch were seen, or the time is over
        self.epoch_is_over = False
        self._stepped = False

    @property
    def stage(self) -> str:
        """What is trained: "training", or "calibration twin"."""
        return self._clock.stage

    @property
    def history(self) -> Sequence[EpochRecord]:
        """The epochs that are over."""
        return self._clock.history

    def stop(self) -> None:
        """End the training after the step that is under way, or is next."""
        self.stopping = True

    @property
    def goes_on(self) -> bool:
        """Whether there is another step."""
        return not (self._clock.is_over() or (self.stopping and self._stepped))

    def begin(self) -> None:
        """Tell that the first step is next; the callback that restores a checkpoint is the last."""
        for callback in reversed(self._callbacks):
            callback.on_train_begin(self)

    def end_step(self, losses: Tensor, logits: Tensor, answers: Tensor) -> bool:
        """Count a step; return whether it was the last one."""
        self._clock.count(losses, logits, answers)
        self._stepped = True
        for callback in self._callbacks:
            callback.on_step_end(self)
        return self.stopping or self._clock.is_over()

    def end_batches(self, chosen: Int64[Tensor, "M"]) -> None:
        """Add up the steps on these images, and tell how far the epoch is."""
        progress, losses = self._clock.tick(self._sampler.epoch, self._sampler.images)
        self._sampler.note(chosen, losses)
        self.epoch_is_over = self._sampler.at_end or self._clock.is_over()
        for callback in self._callbacks:
            callback.on_progress(self, progress)

    def end_epoch(self, val_loss: float | None, val_accuracy: float | None) -> None:
        """Close an epoch, or the part of one that was done."""
        sampler = self._sampler
        progress = self._clock.end_epoch(sampler.epoch, sampler.images, val_loss, val_accuracy)
        for callback in self._callbacks:
            callback.on_epoch_end(self, progress)

    def end(self) -> None:
        """Tell that the last step is done."""
        for callback in self._callbacks:
            callback.on_train_end(self)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors that decide the rest of the training."""
        tensors = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        tensors |= {f"optimizer.{i}": value for i, value in enumerate(self._optimizer.state())}
        return tensors | {f"passes.{name}": value for name, value in self._sampler.kept().items()}

    def counted(self) -> Counted:
        """Return what was counted so far."""
        return self._clock.kept()

    def restore(self, tensors: dict[str, Tensor], counted: Counted) -> None:
        """Go on where these were returned."""
        self._network.load_state_dict(_under("network.", tensors))
        for i, tensor in enumerate(self._optimizer.state()):
            tensor.copy_(tensors[f"optimizer.{i}"])
        self._sampler.restore(_under("passes.", tensors))
        self._clock.restore(counted)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    chosen = {name: value for name, value in tensors.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value for name, value in chosen.items()}


class _Clock:
    """Count what training did, without waiting for the device at each step."""

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        steps: int,
        limit: float | None,
        start: float,
    ) -> None:
        self.stage = stage
        self.history: list[EpochRecord] = []
        self._recipe, self._steps, self._limit, self._start = recipe, steps, limit, start
        self._new: list[tuple[Tensor, Tensor, Tensor]] = []
        self._steps_done, self._loss, self._hits, self._images = 0, 0.0, 0, 0

    def seconds(self) -> float:
        """Return how long the training takes so far, interruptions left out."""
        return time.perf_counter() - self._start

    def share(self) -> float:
        """Return which share of the training lies behind the middle of the next step."""
        if self._limit is not None:
            return min(1.0, self.seconds() / self._limit)
        return (self._steps_done + 0.5) / self._steps

    def is_over(self) -> bool:
        """Say whether all steps are done, or all time is spent."""
        if self._limit is not None:
            return self._steps_done > 0 and self.seconds() >= self._limit
        return self._steps_done >= self._steps

    def steps_left(self) -> int:
        """Return how many steps may follow: where time ends the training, an epoch at least."""
        return sys.maxsize if self._limit is not None else self._steps - self._steps_done

    def count(self, losses: Tensor, logits: Tensor, answer: Tensor) -> None:
        """Take down one step."""
        self._new.append((losses, logits, answer))
        self._steps_done += 1

    def tick(self, epoch: int, images_in_epoch: int) -> tuple[Progress, Float[Tensor, "M"]]:
        """Add up the steps since the last call; return their losses, image by image, too."""
        losses, hits = join_steps(self._new)
        self._new = []
        self._loss += float(losses.sum())
        self._hits += hits
        self._images += len(losses)
        if not math.isfinite(self._loss):
            raise TrainingError(
                f"the loss is no longer finite in epoch {epoch}; try a smaller learning rate, and "
                "look for damaged images: `lookbook.load(data)`"
            )
        return self._progress(epoch, images_in_epoch), losses

    def end_epoch(
        self,
        epoch: int,
        images_per_epoch: int,
        val_loss: float | None,
        val_accuracy: float | None,
    ) -> Progress:
        """Close an epoch, or the part of one that was done."""
        progress = self._progress(epoch, self._images, (val_loss, val_accuracy))
        self.history.append(
            EpochRecord(
                epoch=epoch,
                images=self._images,
                images_per_epoch=images_per_epoch,
                loss=progress.loss,
                accuracy=progress.accuracy,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                seconds=self.seconds(),
                learning_rate=self._recipe.learning_rate
                * rate_at(self._recipe, min(1.0, self.share())),
            )
        )
        self._loss, self._hits, self._images = 0.0, 0, 0
        return progress

    def _progress(
        self,
        epoch: int,
        images_in_epoch: int,
        ended: tuple[float | None, float | None] | None = None,
    ) -> Progress:
        seconds = self.seconds()
        left = seconds / self._steps_done * (self._steps - self._steps_done)
        return Progress(
            stage=self.stage,
            epoch=epoch,
            epochs=None if self._limit else math.ceil(self._recipe.epochs),
            images=self._images,
            images_per_epoch=images_in_epoch,
            loss=self._loss / self._images,
            accuracy=self._hits / self._images,
            val_loss=ended[0] if ended else None,
            val_accuracy=ended[1] if ended else None,
            seconds=seconds,
            seconds_left=max(0.0, self._limit - seconds) if self._limit else left,
            epoch_ended=ended is not None,
        )

    def kept(self) -> Counted:
        """Return what was counted."""
        sums = self._loss, self._hits, self._images
        return Counted(self.seconds(), self._steps_done, sums, self.history)

    def restore(self, kept: Counted) -> None:
        """Go on where this was returned."""
        self._start = time.perf_counter() - kept.seconds
        self._steps_done, self.history = kept.steps_done, list(kept.history)
        self._loss, self._hits, self._images = kept.sums


def _validate(
    classifier: Classifier, validation: Labelled | None, autocast: torch.autocast
) -> tuple[float | None, float | None]:
    """Return log loss and accuracy of the network as it is trained: one view, the same precision.

    The average over several views is taken once, at the end: here it would take a tenth longer.
    """
    if validation is None:
        return None, None
    network, scaler = classifier.network, classifier.scaler
    device = classifier.temperature.device

    def look(raw: Shaped[Tensor, "N *shape"]) -> Float[Tensor, "N K"]:
        with autocast:
            logits: Tensor = network(scaler(raw)).float()
        return logits

    classifier.eval()
    probs = softmax(answer(look, validation, device, 0))
    classifier.train()
    return metrics.log_loss(probs, validation[1]), metrics.accuracy(probs, validation[1])
