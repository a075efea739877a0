"""Callbacks: what hears of a training and may stop it: progress, Ctrl-C, log, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lookbook.training.state import TrainingState

_logger = logging.getLogger("lookbook")


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    #: "training", or "calibration twin" for the second network of a `final` run, or
    #: "calibration fold 1" and so on for those that calibrate by few images
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


class Callback:
    """What hears of a training: override the methods that you need.

    Each gets the `state` of the training, of which `state.stage`, `state.history` (an
    `EpochRecord` an epoch) and `state.stop()` are for everybody: the last one ends the training
    after the step that is under way, and the run can be used and resumed. No callback changes the
    weights. A `final` run trains twice: `state.stage` says "training", then "calibration twin"; of
    few images, from pretrained weights, "calibration fold 1" to 3 follow.

    Examples
    --------
    End when the validation loss has not fallen for two epochs; `train` shows how it is used:

    >>> import lookbook
    >>> class EarlyStop(lookbook.Callback):
    ...     def on_epoch_end(self, state, progress):
    ...         losses = [epoch.val_loss for epoch in state.history]
    ...         if losses.index(min(losses)) < len(losses) - 2:
    ...             state.stop()
    """

    def on_train_begin(self, state: TrainingState) -> None:
        """Hear that the first step is next, of a resumed training the first one of the rest."""

    def on_step_end(self, state: TrainingState) -> None:
        """Hear that a step is done; it comes often, and its loss is not known yet."""

    def on_progress(self, state: TrainingState, progress: Progress) -> None:
        """Hear a few times a second how far the epoch is."""

    def on_epoch_end(self, state: TrainingState, progress: Progress) -> None:
        """Hear that an epoch is over, or the part of it after which the training was stopped."""

    def on_train_end(self, state: TrainingState) -> None:
        """Hear that the last step was done, and the history is complete."""


@dataclass(frozen=True)
class Listener(Callback):
    """Hands all progress on to a function."""

    tell: Tell

    def on_progress(self, state: TrainingState, progress: Progress) -> None:
        """Tell of an epoch that is under way."""
        self.tell(progress)

    def on_epoch_end(self, state: TrainingState, progress: Progress) -> None:
        """Tell of an epoch that is over: `progress.epoch_ended`."""
        self.tell(progress)


@dataclass(frozen=True)
class StopWhen(Callback):
    """Asks a function after each step, and stops where it says yes."""

    should_stop: Callable[[], bool]

    def on_step_end(self, state: TrainingState) -> None:
        """Ask."""
        if self.should_stop():
            state.stop()


@dataclass
class TimeBefore(Callback):
    """Notes how long the fit of a resumed training took before it was stopped or killed."""

    seconds: float = 0.0

    def on_train_begin(self, state: TrainingState) -> None:
        """Note what the checkpoint counted: the training goes on from it already."""
        if state.stage == "training":
            self.seconds = state.counted().seconds


class EpochLog(Callback):
    """Tells the logger "lookbook" of each epoch, at level INFO."""

    def on_epoch_end(self, state: TrainingState, progress: Progress) -> None:
        """Write a line."""
        _logger.info(
            "%s: epoch %d, loss %.4f, accuracy %.4f, validation accuracy %s, %.0f s left",
            progress.stage,
            progress.epoch,
            progress.loss,
            progress.accuracy,
            "unknown" if progress.val_accuracy is None else f"{progress.val_accuracy:.4f}",
            progress.seconds_left,
        )
