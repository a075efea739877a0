"""Student: a conv network from scratch, which learns the teacher's answers and features."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lookbook.data.splits import choose_validation
from lookbook.networks.conv import ConvNetwork
from lookbook.recipes import LARGE, Recipe
from lookbook.training.steps.optimizers import Muon, rate_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Int64, UInt8
    from torch import Tensor

    from models.clothing.answers import Bank

#: as `recipe.json` tells it; its epochs are passes over the bank
RECIPE = replace(
    LARGE,
    name="distilled",
    widths=(32, 48, 96, 96, 128, 160, 160, 160),
    learning_rate=0.08,
    batch_size=192,
    epochs=17.784,
    hardest=1.0,
    label_smoothing=0.0,
    shift=0,
    distort=0.0,
)
#: components of the teacher's features that are learnt beside its answers, and what they count
COMPONENTS, OF_FEATURES = 64, 0.3
#: how much of the averaged weights stays from step to step: it is they that are kept
AVERAGED = 0.99
#: seconds between two checkpoints
PAUSE = 60.0


@dataclass
class Student:
    """A network under way, and all that the rest of its training depends on."""

    network: ConvNetwork
    #: an exponential mean of its weights and norms, which is the result
    average: AveragedModel
    #: guesses components of the teacher's features from the network's
    guess: nn.Linear
    optimizer: Muon
    generator: torch.Generator
    steps: int = 0
    #: of the processor
    seconds: float = 0.0

    @classmethod
    def start(cls, images: UInt8[np.ndarray, "N 80 80 3"], n_classes: int, seed: int) -> Student:
        """Return one that has learnt nothing; images are for the whitening layer."""
        generator = torch.Generator().manual_seed(seed)
        network = ConvNetwork(images, RECIPE.widths, n_classes, generator, fine=RECIPE.fine)
        guess = nn.Linear(RECIPE.widths[-1], COMPONENTS)
        nn.init.zeros_(guess.weight)
        nn.init.zeros_(guess.bias)
        weights = [each for each in network.parameters() if each.requires_grad]
        optimizer = Muon([*weights, *guess.parameters()], RECIPE.learning_rate)
        average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED), use_buffers=True
        )
        return cls(network, average, guess, optimizer, generator)

    @property
    def weights(self) -> list[Tensor]:
        """What is trained."""
        learnt = [each for each in self.network.parameters() if each.requires_grad]
        return [*learnt, *self.guess.parameters()]

    @property
    def result(self) -> ConvNetwork:
        """The network with averaged weights."""
        return cast("ConvNetwork", self.average.module)

    def save(self, path: Path) -> None:
        """Write all that the rest depends on, in one step."""
        kept = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "guess": self.guess.state_dict(),
            "optimizer": self.optimizer.state(),
            "generator": self.generator.get_state(),
            "steps": self.steps,
            "seconds": self.seconds,
        }
        fresh = path.with_suffix(".fresh")
        torch.save(kept, fresh)
        fresh.replace(path)

    def restore(self, path: Path) -> None:
        """Go on where it was saved."""
        kept: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(kept["network"])
        self.average.load_state_dict(kept["average"])
        self.guess.load_state_dict(kept["guess"])
        for own, value in zip(self.optimizer.state(), kept["optimizer"], strict=True):
            own.copy_(value)
        self.generator.set_state(kept["generator"])
        self.steps, self.seconds = kept["steps"], kept["seconds"]


def distil(
    bank: Bank, student: Student, recipe: Recipe, path: Path, tell: Callable[[str], None]
) -> tuple[float, float]:
    """Train to the recipe's end; return the processor's seconds and the last divergence.

    What is kept at `path` is gone on with after a stop.
    """
    if path.exists():
        student.restore(path)
    images, logits = (torch.from_numpy(each) for each in (bank.images, bank.logits))
    features = components(bank.features)
    last = round(recipe.epochs * len(images) / recipe.batch_size)
    network, weights, saved = student.network.train(), student.weights, time.monotonic()
    seen: list[Tensor] = []
    divergences, start = [0.0], time.process_time() - student.seconds
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    while student.steps < last:
        chosen = batch_at(student.steps, len(images), recipe.batch_size)
        batch = change(images[chosen].permute(0, 3, 1, 2), student.generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            answers = network(batch).float()
        losses = divergence(answers, logits[chosen])
        guessed = student.guess(seen.pop().float())
        loss = losses + OF_FEATURES * F.mse_loss(guessed, features[chosen])
        gradients = torch.autograd.grad(loss, weights)
        student.optimizer.step(gradients, rate_at(recipe, student.steps / last))
        student.average.update_parameters(network)
        student.steps += 1
        divergences = [*divergences[-99:], losses.item()]
        student.seconds = time.process_time() - start
        if time.monotonic() - saved > PAUSE:
            student.save(path)
            tell(f"step {student.steps} of {last}, divergence {losses.item():.4f}")
            saved = time.monotonic()
    student.save(path)
    return student.seconds, sum(divergences) / len(divergences)


def divergence(answers: Float[Tensor, "N K"], wanted: Float[Tensor, "N K"]) -> Float[Tensor, ""]:
    """Return the Kullback-Leibler divergence of the student's probabilities from the teacher's."""
    logs = answers.log_softmax(1), wanted.log_softmax(1)
    return F.kl_div(*logs, log_target=True, reduction="batchmean")


def change(
    images: UInt8[Tensor, "N C H W"], generator: torch.Generator
) -> Float[Tensor, "N C H W"]:
    """Mirror, zoom, turn, stretch, move and tint each a little: the teacher would say the same.

    They get smaller rather than larger: parts of photographs are what was kept, whole ones what is
    to be answered.
    """
    n, channels = images.shape[:2]
    u = 2 * torch.rand(n, 6, generator=generator) - 1
    scale, angle = torch.exp(0.08 + 0.16 * u[:, 0]), 0.1 * u[:, 1]
    stretch, mirror = torch.exp(0.08 * u[:, 2]), torch.where(u[:, 3] < 0, -1.0, 1.0)
    cos, sin, move = scale * torch.cos(angle), scale * torch.sin(angle), 0.12 * u[:, 4:]
    rows = [mirror * cos * stretch, -sin, move[:, 0], mirror * sin, cos / stretch, move[:, 1]]
    places = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    moved = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    gains = torch.exp(0.2 * (2 * torch.rand(n, channels, 1, 1, generator=generator) - 1))
    return (moved * gains).clamp(0, 255).round()


def batch_at(step: int, n: int, size: int) -> Int64[Tensor, "B"]:
    """Return which of n images a step has: each at most once an epoch, in an order of its own.

    >>> one, other = batch_at(0, 5, 2), batch_at(1, 5, 2)
    >>> len({*one.tolist(), *other.tolist()})
    4
    """
    epoch, place = divmod(step, max(1, n // size))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(epoch))
    return order[place * size : (place + 1) * size]


def components(features: Float[np.ndarray, "N T"]) -> Float[Tensor, "N 64"]:
    """Return the leading principal components of the teacher's features, of spread 1 together."""
    centred = features.astype(np.float32) - features.mean(axis=0, dtype=np.float32)
    basis = np.linalg.svd(centred[:3000], full_matrices=False)[2][:COMPONENTS]
    found = torch.from_numpy(centred @ basis.T)
    return found / found.std()


def held_out(labels: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "H"]:
    """Return the training photographs that no student is shown: choices are made on them.

    The teacher learnt from all, these too. What it says of an image of which they are a part is
    left out of the bank (`Bank.without`), so no answer to them, nor a label, reaches the student.
    """
    return choose_validation(labels, seed=0)
