"""State of a training under way: how far it is, who hears of it, all that it goes on from."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lookbook.errors import TrainingError
from lookbook.runs.schema import Counted, EpochRecord
from lookbook.training.callbacks import Callback, Progress
from lookbook.training.processes import Processes, Share, on_processor
from lookbook.training.steps.optimizers import rate_at

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor, nn

    from lookbook.recipes import Recipe
    from lookbook.training.steps.optimizers import Optimizer
    from lookbook.training.steps.sampler import Sampler

#: passes from which on an average of the weights is kept where there is one: fewer do not learn
#: images by heart, and lose by it (docs/log.md, ten minutes of a pretrained network)
AVERAGED = 10


class TrainingState:
    """A training under way: how far it is, who hears of it, and all that it goes on from.

    Callbacks get it. It ends after the step under way when one of them calls `stop`.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        sampler: Sampler,
        clock: Clock,
        callbacks: Sequence[Callback],
        processes: Processes,
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._sampler, self._clock = sampler, clock
        self._callbacks, self._processes = callbacks, processes
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
        self._processes.share_norms(self._network)
        begun = self._processes.by_first(self._kept)
        if begun is not None and not self._processes.is_first:
            self.restore(*begun)
        self._agree()

    def end_step(self, losses: Tensor, logits: Tensor, answers: Tensor) -> bool:
        """Count a step; return whether it was the last one."""
        self._clock.count(losses, logits, answers)
        self._stepped = True
        for callback in self._callbacks:
            callback.on_step_end(self)
        self._agree()
        return self.stopping or self._clock.is_over()

    def end_batches(self, chosen: Int64[Tensor, "M"], steps: list[slice], share: Share) -> None:
        """Add up the steps on these images, and tell how far the epoch is."""
        sampler = self._sampler
        progress, losses = self._clock.tick(sampler.epoch, sampler.images, steps, share)
        self._sampler.note(chosen, losses)
        self.epoch_is_over = self._sampler.at_end or self._clock.is_over()
        for callback in self._callbacks:
            callback.on_progress(self, progress)
        self._agree()

    def end_epoch(self, val_loss: float | None, val_accuracy: float | None) -> None:
        """Close an epoch, or the part of one that was done."""
        sampler = self._sampler
        progress = self._clock.end_epoch(sampler.epoch, sampler.images, val_loss, val_accuracy)
        for callback in self._callbacks:
            callback.on_epoch_end(self, progress)
        self._agree()

    def end(self) -> None:
        """Tell that the last step is done; what goes on from here does so from its weights."""
        self._processes.own_norms(self._network)
        for callback in self._callbacks:
            callback.on_train_end(self)
        if epochs_done(self.history) >= AVERAGED:
            self._optimizer.average()

    def _agree(self) -> None:
        """Stop where the first process's callbacks say so, and nowhere else."""
        self.stopping = bool(self._processes.of_first(self.stopping))

    def _kept(self) -> tuple[dict[str, Tensor], Counted] | None:
        """Return what a training goes on from, where it does not begin."""
        if not self._clock.steps_done:
            return None
        return on_processor(self.tensors()), self.counted()

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


class Clock:
    """Count what training did, without waiting for the device at each step."""

    def __init__(
        self,
        stage: str,
        recipe: Recipe,
        steps: int,
        limit: float | None,
        start: float,
        processes: Processes,
    ) -> None:
        self.stage = stage
        self._processes = processes
        self.history: list[EpochRecord] = []
        self._recipe, self._steps, self._limit, self._start = recipe, steps, limit, start
        self._new: list[tuple[Tensor, Tensor, Tensor]] = []
        self.steps_done, self._loss, self._hits, self._images = 0, 0.0, 0, 0

    def seconds(self) -> float:
        """Return how long the training takes so far, interruptions left out."""
        return time.perf_counter() - self._start

    def share(self) -> float:
        """Return which share of the training lies behind the middle of the next step."""
        if self._limit is not None:
            return min(1.0, self._processes.of_first(self.seconds()) / self._limit)
        return (self.steps_done + 0.5) / self._steps

    def is_over(self) -> bool:
        """Say whether all steps are done, or all time is spent."""
        if self._limit is not None:
            now = self._processes.of_first(self.seconds())
            return self.steps_done > 0 and now >= self._limit
        return self.steps_done >= self._steps

    def steps_left(self) -> int:
        """Return how many steps may follow: where time ends the training, an epoch at least."""
        return sys.maxsize if self._limit is not None else self._steps - self.steps_done

    def count(self, losses: Tensor, logits: Tensor, answer: Tensor) -> None:
        """Take down one step."""
        self._new.append((losses, logits, answer))
        self.steps_done += 1

    def tick(
        self, epoch: int, images_in_epoch: int, steps: list[slice], share: Share
    ) -> tuple[Progress, Float[Tensor, "M"]]:
        """Add up the steps since the last call; return their losses, image by image, too."""
        n = steps[len(self._new) - 1].stop
        losses, hits = join_steps(self._new, share, n, self._processes)
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
        left = seconds / self.steps_done * (self._steps - self.steps_done)
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
        return Counted(self.seconds(), self.steps_done, sums, self.history)

    def restore(self, kept: Counted) -> None:
        """Go on where this was returned."""
        self._start = time.perf_counter() - kept.seconds
        self.steps_done, self.history = kept.steps_done, list(kept.history)
        self._loss, self._hits, self._images = kept.sums


def join_steps(
    steps: Sequence[tuple[Float[Tensor, "B"], Float[Tensor, "B K"], Int64[Tensor, "B"]]],
    share: Share,
    n: int,
    processes: Processes,
) -> tuple[Float[Tensor, "N"], int]:
    """Return the losses of a few steps on `n` images, and how many of the answers are right.

    Each step is given by its losses, its logits and its right answers. All losses that are
    counted, and by which the sampler chooses, come from here: of steps that several processes
    share, they are joined here.
    """
    losses, logits, answers = (torch.cat(each) for each in zip(*steps, strict=True))
    own = torch.stack([losses, logits.argmax(1) == answers]).cpu()
    losses, hits = processes.gather(own, share.own, n)
    return losses, int(hits.sum())


def epochs_done(history: Sequence[EpochRecord]) -> float:
    """Return the epochs of a history; of the last one the share of its images that were seen.

    >>> epochs_done([EpochRecord(1, 30, 40, 0.5, 0.9, None, None, 1.0)])
    0.75
    """
    last = history[-1]
    return round(last.epoch - 1 + last.images / last.images_per_epoch, 3)
