"""Fit: images and labels + Recipe → trained network, by one loop for every device."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import nn

from lookbook.errors import TrainingError
from lookbook.evaluation import metrics
from lookbook.inference.thresholds import softmax
from lookbook.networks.classifier import Classifier, build_classifier
from lookbook.networks.devices import as_tensor, pick_device
from lookbook.networks.scaling import Components
from lookbook.training.augmentation import augment
from lookbook.training.calibration import answer, find_sure
from lookbook.training.checkpoints import TrainingState
from lookbook.training.optimizers import build_optimizer, rate_at
from lookbook.training.sampler import Passes

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32, Int64, Shaped
    from torch import Tensor

    from lookbook.recipes import Recipe

    #: raw inputs and their labels
    Labelled = tuple[Shaped[np.ndarray, "N *shape"], Int64[np.ndarray, "N"]]


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    #: "training", or "calibration twin" for the second network of a `final` run
    stage: str
    epoch: int
    #: None where the time ends the training
    epochs: int | None
    #: images seen in this epoch, of `images_per_epoch`
    images: int
    images_per_epoch: int
    loss: float
    accuracy: float
    #: of the network alone, without an average over several views of an image; None until the
    #: epoch ends, and where there is no validation part
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    seconds_left: float
    epoch_ended: bool


#: what is told of the progress
Tell = Callable[[Progress], None]


class Keeper(Protocol):
    """Keeps the last state of each stage where a kill does not reach it."""

    def find(
        self, stage: str, like: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what was kept of that stage, tensors that are `like` these, and JSON values."""

    def is_due(self) -> bool:
        """Say whether enough time went by."""

    def keep(self, stage: str, tensors: dict[str, Tensor], counted: dict[str, Any]) -> None:
        """Keep this instead of what was kept before."""


@dataclass(frozen=True)
class Fitted:
    """What a fit gives: a trained classifier, and how it came about."""

    #: as it was trained; a model file holds it `folded`
    classifier: Classifier
    history: list[dict[str, Any]]
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
    keeper: Keeper | None = None,
    tell: Tell = lambda _progress: None,
    should_stop: Callable[[], bool] = lambda: False,
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
        End after so long instead of after the recipe's passes; the learning rate follows the time.
    stage, tell
        `tell` hears of the progress of this `stage`.
    keeper
        Keeps points from which a training that was killed goes on to the same weights.
    should_stop
        Asked after each step; where it says yes, training ends there, with what it has.

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
    >>> fitted.history[-1]["accuracy"]
    1.0
    """
    start = time.perf_counter()
    device = pick_device()
    classifier = build_classifier(recipe, training[0], n_classes, seed).to(device)
    scaler, network = classifier.scaler, classifier.network
    images, labels = (as_tensor(array).to(device) for array in training)
    if isinstance(scaler, Components):
        # once: a pass over the components takes a quarter of the bytes and of the arithmetic
        images = scaler.of_all(images, torch.bfloat16 if recipe.half else torch.float32)
        scaler = nn.Identity()
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = build_optimizer(recipe, weights)
    passes = Passes(recipe, len(labels), seed, images[0].nbytes)
    clock = Clock(stage, recipe, passes.steps, seconds, tell, start)
    state = TrainingState(keeper, stage, (network, optimizer, passes, clock))
    state.restore()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.half)
    look = partial(_validate, classifier, validation, autocast)
    stopped = False

    while not (clock.is_over() or stopped):
        chosen, parts = passes.next_batches(clock.steps_left())
        places = chosen.to(device)
        # a fifth to a fifteenth of the time that images[places] takes
        batch = scaler(images.index_select(0, places))
        if recipe.network == "conv" and batch.dim() == 4:
            batch = augment(batch, recipe, passes, chosen)
        answers = labels.index_select(0, places)
        targets = _soften(answers, n_classes, recipe.label_smoothing)
        for part in parts:
            with autocast:
                logits = network(batch[part]).float()
            losses = F.cross_entropy(logits, targets[part], reduction="none")
            gradients = torch.autograd.grad(losses.mean(), weights)
            optimizer.step(gradients, rate_at(recipe, clock.share()))
            clock.count(losses.detach(), logits.detach(), answers[part])
            if (stopped := should_stop()) or clock.is_over():
                break
        passes.note(chosen, clock.tick(passes.epoch, passes.images))
        if ended := passes.at_end or clock.is_over():
            clock.end_epoch(passes.epoch, passes.images, *look())
        state.keep(at_once=stopped)
        if stopped and not ended:
            clock.end_epoch(passes.epoch, passes.images, *look())

    classifier.eval()
    if validation is not None and classifier.has_views:
        classifier.sure.fill_(find_sure(classifier, validation, device))
    val_logits = answer(lambda raw: classifier.look(raw)[0], validation, device, n_classes)
    stopped = stopped and not clock.is_over()
    return Fitted(classifier.cpu(), clock.history, clock.seconds(), val_logits, stopped)


def epochs_done(history: list[dict[str, Any]]) -> float:
    """Return the epochs of a history; of the last one the share of its images that were seen.

    >>> epochs_done([{"epoch": 1, "pictures": 30, "pictures_per_epoch": 40}])
    0.75
    """
    last = history[-1]
    epochs: float = last["epoch"] - 1 + last["pictures"] / last["pictures_per_epoch"]
    return round(epochs, 3)


def _soften(
    answers: Int64[Tensor, "N"], n_classes: int, smoothing: float
) -> Int64[Tensor, "N"] | Float[Tensor, "N K"]:
    """Return targets: classes, or where smoothing is asked for, their probabilities.

    PyTorch's own smoothing costs a quarter of a step of the dense network.
    """
    if smoothing == 0:
        return answers
    softened = torch.full((len(answers), n_classes), smoothing / n_classes, device=answers.device)
    return softened.scatter_(1, answers[:, None], 1 - smoothing + smoothing / n_classes)


class Clock:
    """Count what training did, without waiting for the device at each step."""

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        steps: int,
        limit: float | None,
        tell: Tell,
        start: float,
    ) -> None:
        self.history: list[dict[str, Any]] = []
        self._stage, self._recipe, self._steps, self._limit = stage, recipe, steps, limit
        self._tell, self._start = tell, start
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
        """Return how many steps may follow: where time ends the training, a pass at least."""
        return sys.maxsize if self._limit is not None else self._steps - self._steps_done

    def count(self, losses: Tensor, logits: Tensor, answer: Tensor) -> None:
        """Take down one step."""
        self._new.append((losses, logits, answer))
        self._steps_done += 1

    def tick(self, epoch: int, images_in_epoch: int) -> Float[Tensor, "M"]:
        """Add up the steps since the last call, and tell; return the losses, image by image."""
        losses, logits, answers = (torch.cat(each) for each in zip(*self._new, strict=True))
        self._new = []
        losses = losses.cpu()
        self._loss += float(losses.sum())
        self._hits += int((logits.argmax(1) == answers).sum())
        self._images += len(losses)
        if not math.isfinite(self._loss):
            raise TrainingError(
                f"the loss is no longer finite in epoch {epoch}; try a smaller learning rate, and "
                "look for damaged images: lookbook look DATA"
            )
        self._say(epoch, images_in_epoch)
        return losses

    def end_epoch(
        self,
        epoch: int,
        images_per_epoch: int,
        val_loss: float | None,
        val_accuracy: float | None,
    ) -> None:
        """Close a pass, or the part of one that was done."""
        self._say(epoch, self._images, (val_loss, val_accuracy))
        self.history.append(
            {
                "epoch": epoch,
                "pictures": self._images,
                "pictures_per_epoch": images_per_epoch,
                "loss": self._loss / self._images,
                "accuracy": self._hits / self._images,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "seconds": self.seconds(),
                "learning_rate": self._recipe.learning_rate
                * rate_at(self._recipe, min(1.0, self.share())),
            }
        )
        self._loss, self._hits, self._images = 0.0, 0, 0

    def _say(
        self,
        epoch: int,
        images_in_epoch: int,
        ended: tuple[float | None, float | None] | None = None,
    ) -> None:
        seconds = self.seconds()
        left = seconds / self._steps_done * (self._steps - self._steps_done)
        self._tell(
            Progress(
                stage=self._stage,
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
        )

    def kept(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            "seconds": self.seconds(),
            "steps_done": self._steps_done,
            "sums": [self._loss, self._hits, self._images],
            "history": self.history,
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on where this was returned."""
        self._start = time.perf_counter() - kept["seconds"]
        self._steps_done, self.history = kept["steps_done"], list(kept["history"])
        self._loss, self._hits, self._images = kept["sums"]


def _validate(
    classifier: Classifier, validation: Labelled | None, autocast: torch.autocast
) -> tuple[float | None, float | None]:
    """Return log loss and accuracy of the network as it is trained: one view, the same precision.

    The average over several views is taken once, at the end: here it would cost a tenth of a pass.
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
