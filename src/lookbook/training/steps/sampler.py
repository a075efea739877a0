"""Sampler: the order of the images, epoch by epoch, and their augmentation."""

from __future__ import annotations

import bisect
import hashlib
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.errors import DamagedFileError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from lookbook.recipes import Recipe

#: bytes that are gathered and scaled at once, 2,048 images of 28×28: a gather for each step of 32
#: costs as much as the step, and far more at once would take memory
AT_ONCE = 2048 * 28 * 28


def balance(labels: Int64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    """Return weights of images of which those of each class weigh the same together.

    As of scikit-learn's `class_weight="balanced"`, their mean is 1.

    >>> balance(np.array([0, 0, 0, 1])).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    counts = np.bincount(labels)
    weights: Float64[np.ndarray, "N"] = len(labels) / ((counts > 0).sum() * counts[labels])
    return weights


class Sampler:
    """Which images come next: shuffled epochs of all, later of the hardest alone.

    With a `sample_weight`, which is above 0 for some image, an epoch shows an image as often as
    its weight says, beside those of the others, and otherwise each time.
    """

    #: spread of the noise on log losses, by which other images have their turn, too
    NOISE = 0.3

    def __init__(
        self,
        recipe: Recipe,
        n: int,
        seed: int,
        bytes_each: int,
        sample_weight: Float64[np.ndarray, "N"] | None = None,
    ) -> None:
        self._recipe, self._n, self._seed = recipe, n, seed
        self._weight = None if sample_weight is None else torch.from_numpy(sample_weight)
        self._steps_at_once = max(1, AT_ONCE // (bytes_each * recipe.batch_size))
        self._shuffler = torch.Generator().manual_seed(seed)
        mirrored = torch.rand(n, generator=self._shuffler) if recipe.mirror else torch.ones(n)
        self._mirrored = mirrored < 0.5
        self._losses = torch.full((n,), math.inf)
        self._order = torch.arange(0)
        self._done = 0
        self._uniforms = 0, torch.empty(0, 12)
        self.epoch = 0

    @property
    def steps(self) -> int:
        """How many steps the recipe's epochs take; a part of a step more than half counts."""
        whole = int(self._recipe.epochs)
        steps = sum(self._steps_in(epoch) for epoch in (1, 2)[:whole])
        steps += max(0, whole - 2) * self._steps_in(2)
        return max(1, steps + round((self._recipe.epochs - whole) * self._steps_in(whole + 1)))

    @property
    def images(self) -> int:
        """How many images this epoch takes, if all of it is done."""
        return self._images_in(self.epoch)

    @property
    def at_end(self) -> bool:
        """Whether this epoch is over."""
        return self._done == len(self._order)

    def _images_in(self, epoch: int) -> int:
        return self._n if epoch == 1 else max(1, round(self._recipe.hardest * self._n))

    def _steps_in(self, epoch: int) -> int:
        return self._steps_for(self._images_in(epoch))

    def _steps_for(self, images: int) -> int:
        return math.ceil(images / self._recipe.batch_size)

    def next_batches(self, steps_left: int) -> tuple[Int64[Tensor, "M"], list[slice]]:
        """Return indices for the next few steps, and which of them each step takes.

        They come from a new epoch where the last one is over. The batches of an epoch are as good
        as equal, each at most the recipe's: a few images left over would spoil the statistics of
        the norms, and their step counts as much as any other (one of 32 cost 8 points).
        """
        if self.at_end:
            self.epoch += 1
            self._done = 0
            order = self._draw()
            ends = self._ends(len(order))
            self._order = order[: ends[min(steps_left, len(ends)) - 1]]
        ends = self._ends(len(self._order))
        first = bisect.bisect(ends, self._done)
        chosen = [end - self._done for end in ends[first : first + self._steps_at_once]]
        parts = [slice(*bounds) for bounds in pairwise([0, *chosen])]
        return self._order[self._done : self._done + chosen[-1]], parts

    def following(self, n: int) -> Int64[Tensor, "M"]:
        """Return up to `n` indices that come after as many that were given last, in this epoch."""
        return self._order[self._done + n : self._done + 2 * n]

    def _ends(self, images: int) -> list[int]:
        """Return how many images lie behind each step of so many."""
        steps = self._steps_for(images)
        return [images * step // steps for step in range(1, steps + 1)]

    def _draw(self) -> Int64[Tensor, "M"]:
        order = torch.randperm(self._n, generator=self._shuffler)
        n = self._images_in(self.epoch)
        if self._weight is not None:
            return self._draw_by_weight(order, self._weight, n)
        if n == self._n:
            return order
        noise = self.NOISE * torch.randn(self._n, generator=self._shuffler)
        hardness = self._losses[order].clamp_min(1e-3).log() + noise
        return order[hardness.topk(n).indices.sort().values]

    def _draw_by_weight(
        self, order: Int64[Tensor, "N"], weight: Float64[Tensor, "N"], n: int
    ) -> Int64[Tensor, "M"]:
        """Draw each image as often as its weight says, to the next lower or higher whole number.

        Images of one weight, a class for instance, are together drawn as often as theirs say.
        Source: Kitagawa (1996), systematic resampling.
        """
        order = order[weight[order].argsort(stable=True)]
        ends = weight[order].cumsum(0)
        start = torch.rand((), dtype=torch.float64, generator=self._shuffler)
        at = torch.searchsorted(ends, (torch.arange(n) + start) / n * ends[-1], right=True)
        drawn = order[at.clamp_max(self._n - 1)]
        return drawn[torch.randperm(n, generator=self._shuffler)]

    def _places(self, chosen: Int64[Tensor, "M"]) -> Int64[Tensor, "M"]:
        """Return what the changes of the next images go by: each image's own number.

        Where an epoch may show an image several times, that is its place in the epoch.
        """
        if self._weight is None:
            return chosen
        return torch.arange(self._done, self._done + len(chosen))

    def are_mirrored(self, chosen: Int64[Tensor, "M"]) -> Bool[Tensor, "M"]:
        """Say which of these images this epoch shows mirrored: each one in every other epoch.

        Chance would show half of them twice the same way in two epochs.
        Source: Jordan (2024), alternating flip.
        """
        return self._mirrored[self._places(chosen)] ^ (self.epoch % 2 == 0)

    def uniforms(self, chosen: Int64[Tensor, "M"]) -> Float[Tensor, "M 12"]:
        """Return uniform numbers of 0 to 1 that say how these images are changed in this epoch."""
        drawn_for, uniforms = self._uniforms
        if drawn_for != self.epoch:
            # from the epoch's own generator: the same wherever a training goes on from
            generator = torch.Generator().manual_seed((self._seed + self.epoch) % 2**63)
            uniforms = torch.rand(self._n, 12, generator=generator)
            self._uniforms = self.epoch, uniforms
        return uniforms[self._places(chosen)]

    def generator(self, part: slice) -> torch.Generator:
        """Return what draws all that is left to chance in a step on this part of the next images.

        It depends on the step alone: the same wherever a training goes on from.
        """
        step = self._seed, self.epoch, self._done + part.start
        digest = hashlib.sha256(repr(step).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def note(self, chosen: Int64[Tensor, "M"], losses: Float[Tensor, "L"]) -> None:
        """Take down the losses of the first images of `chosen`: those that steps were done on."""
        self._losses[chosen[: len(losses)]] = losses
        self._done += len(losses)

    def kept(self) -> dict[str, Tensor]:
        """Return all that decides the images to come."""
        return {
            "shuffler": self._shuffler.get_state(),
            "losses": self._losses,
            "order": self._order,
            "position": torch.tensor([self.epoch, self._done]),
        }

    def restore(self, kept: dict[str, Tensor]) -> None:
        """Go on where these were returned."""
        order, (epoch, done) = kept["order"], kept["position"].tolist()
        known = bool(((order >= 0) & (order < self._n)).all())
        if not (known and epoch > 0 and 0 <= done <= len(order)):
            raise DamagedFileError(
                "what was kept of the training names images that are not there; delete its "
                "folder, which ends in .unfinished, and train again"
            )
        self._shuffler.set_state(kept["shuffler"])
        self._losses, self._order = kept["losses"], order
        self.epoch, self._done = epoch, done
