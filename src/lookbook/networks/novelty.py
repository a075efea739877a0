"""Novelty: out-of-distribution score, a distance of features from those of training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

#: training images whose traits are learnt
LEARNT = 10_000
#: traits that are looked at, evenly spaced ones of more
MOST_TRAITS = 448
#: numbers that class means may take in a model file, and these with the directions of the traits
MOST_IN_MEANS, MOST_NUMBERS = 20_000, 48_000
#: what the energy of the logits counts beside the distance's logarithm, both in their spreads
ENERGY = 0.25


class Novelty(nn.Module):
    """The distance of an image's traits from those of the training images of its class.

    The traits' logarithms are taken for Gaussian clouds, one for each class, all of one shape: some
    directions in which it is stretched, each with its spread, and one spread for all others. The
    distance is that of Mahalanobis, squared, a mean over the traits, from the class that the
    network says: about 1 for a training image. Where all logits are small, whatever the class,
    it counts more. No other image is needed to fit it.
    Sources: Lee et al. (2018), "A simple unified framework for detecting out-of-distribution
    samples"; Tipping and Bishop (1999), "Probabilistic principal component analysis"; Liu et al.
    (2020), "Energy-based out-of-distribution detection".

    Parameters
    ----------
    n_traits
        How many numbers a network tells about an image, none of them negative.
    n_classes
        How many classes it tells apart; of too many, one mean stands for all.
    """

    chosen: Tensor
    means: Tensor
    scale: Tensor
    directions: Tensor
    weights: Tensor
    rest: Tensor
    energy: Tensor
    energy_rate: Tensor

    def __init__(self, n_traits: int, n_classes: int) -> None:
        super().__init__()
        n = min(n_traits, MOST_TRAITS)
        self.by_class = n_classes * n <= MOST_IN_MEANS
        n_means = n_classes if self.by_class else 1
        n_directions = min(n, MOST_NUMBERS // n - n_means)
        self.register_buffer("chosen", torch.linspace(0, n_traits - 1, n).round().long())
        self.register_buffer("means", torch.zeros(n_means, n))
        self.register_buffer("scale", torch.zeros(n))
        self.register_buffer("directions", torch.zeros(n, n_directions))
        # what the square of a step counts, any step, and more or less of it along a direction
        self.register_buffer("rest", torch.zeros(()))
        self.register_buffer("weights", torch.zeros(n_directions))
        # the usual energy, and by how much one more of it moves the distance's logarithm
        self.register_buffer("energy", torch.zeros(()))
        self.register_buffer("energy_rate", torch.zeros(()))

    def forward(
        self, traits: Float[Tensor, "N T"], logits: Float[Tensor, "N K"]
    ) -> Float[Tensor, "N"]:
        """Return how strange images are; 0 before anything was learnt."""
        means = self.means[logits.argmax(dim=1)] if self.by_class else self.means
        steps = (self._logarithms(traits) - means) * self.scale
        along = (steps @ self.directions).square() @ self.weights
        distance = along + self.rest * steps.square().sum(dim=1)
        excess = self.energy_rate * (_energy(logits) - self.energy)
        novelty: Tensor = distance * excess.clamp(-10, 10).exp()
        return novelty

    def _logarithms(self, traits: Float[Tensor, "N T"]) -> Float[Tensor, "N C"]:
        """Return those of the chosen traits; the smallest ones are alike."""
        return (traits.index_select(1, self.chosen).clamp_min(0) + 0.01).log()

    @torch.no_grad()
    def learn(
        self,
        traits: Float[Tensor, "N T"],
        logits: Float[Tensor, "N K"],
        labels: Int64[Tensor, "N"],
    ) -> None:
        """Learn what is usual from traits, logits and classes of training images."""
        logs = self._logarithms(traits.double())
        classes = labels if self.by_class else torch.zeros_like(labels)
        counts = torch.bincount(classes, minlength=len(self.means)).clamp_min(1)[:, None]
        sums = torch.zeros_like(self.means, dtype=logs.dtype).index_add_(0, classes, logs)
        # a class that is not there has no mean of its own
        means = torch.where(
            torch.isin(torch.arange(len(sums)), classes)[:, None], sums / counts, logs.mean(0)
        )
        steps = logs - means[classes]
        spread = steps.square().mean(0).sqrt()
        # a trait that never changes tells little, whatever it does
        spread = spread.clamp_min(0.01)
        steps = steps / spread
        values, vectors = torch.linalg.eigh(steps.T @ steps / len(steps))
        n, k = self.directions.shape
        # smaller ones are noise: so few images do not tell them from each other
        values = values.flip(0).clamp_min(max(1e-3, 0.1 * n / len(steps)))
        rest = 1 / values[k:].mean() if k < n else values.new_zeros(())
        self.means.copy_(means)
        self.scale.copy_(1 / spread)
        self.directions.copy_(vectors.flip(1)[:, :k])
        self.weights.copy_((1 / values[:k] - rest) / n)
        self.rest.copy_(rest / n)
        energy = _energy(logits)
        self.energy.copy_(energy.mean())
        self.energy_rate.zero_()
        distances = self(traits.float(), logits).clamp_min(1e-6).log()
        self.energy_rate.copy_(ENERGY * _spread(distances) / _spread(energy).clamp_min(0.1))


def _energy(logits: Float[Tensor, "N K"]) -> Float[Tensor, "N"]:
    return -logits.logsumexp(dim=1)


def _spread(values: Float[Tensor, "N"]) -> Float[Tensor, ""]:
    return values.std(correction=0)
