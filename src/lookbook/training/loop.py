"""Training loop: images, labels and a recipe to a trained network, on any device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from lookbook.core.arrays import softmax
from lookbook.evaluation import metrics
from lookbook.networks.classifier import Classifier, build_classifier
from lookbook.networks.dense import LinearHead
from lookbook.networks.devices import gather, on_device, pick_device
from lookbook.networks.efficientnet import EfficientNet
from lookbook.networks.scaling import Components
from lookbook.runs.schema import EpochRecord
from lookbook.training.calibration import answer, at_once, find_sure
from lookbook.training.callbacks import Callback
from lookbook.training.processes import ONE, Processes
from lookbook.training.state import Clock, TrainingState
from lookbook.training.steps.augmentation import as_photographs, augment, soften
from lookbook.training.steps.head import fit_on_features, warm_start
from lookbook.training.steps.optimizers import build_optimizer, rate_at
from lookbook.training.steps.sampler import Sampler, balance

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Float32, Float64, Int64, Shaped
    from torch import Tensor

    from lookbook.data.catalog import Garments
    from lookbook.recipes import Recipe

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
    #: of a pretrained start: features of up to 1,000 training images, and of mirrored ones
    features: Float32[np.ndarray, "N V T"] | None = None

    @property
    def frozen(self) -> Float32[np.ndarray, "N V T"] | None:
        """Features of all training images, where no step moved the network that gave them."""
        moved = any(weight.requires_grad for weight in self.classifier.network.parameters())
        return None if moved else self.features


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
    features: Float32[np.ndarray, "N V T"] | None = None,
    processes: Processes = ONE,
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
    features
        Of a pretrained start: those of the training images, where another fit computed them.
    processes
        With which others this one shares each step. All of them have the same images; what the
        first one's callbacks and clock say holds for all.

    Raises
    ------
    InputError
        More processes share a step than it has images.
    TrainingError
        The loss is no longer finite, or another process is gone.

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
    classifier, features = _start(recipe, training, n_classes, seed, device, features)
    processes.align(classifier)
    scaler, network = classifier.scaler, classifier.network
    images, labels = (on_device(array, device) for array in training)
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
    clock = Clock(stage, recipe, sampler.steps, seconds, start, processes)
    state = TrainingState(network, optimizer, sampler, clock, callbacks, processes)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.half)
    validate = partial(_validate, classifier, validation, autocast, processes)

    state.begin()
    while state.goes_on:
        chosen, steps = sampler.next_batches(clock.steps_left())
        share = processes.share(steps)
        places = chosen[share.own].to(device)
        # a fifth to a fifteenth of the time that images[places] takes
        batch = scaler(gather(images, places, sampler.following(len(chosen))))
        if recipe.network != "dense" and batch.dim() == 4:
            batch = augment(batch, recipe, sampler, chosen, share.own)
        answers = labels.index_select(0, places)
        if recipe.photographs:
            draws = [(part, sampler.generator(at)) for part, at in share.both]
            batch, answers = as_photographs(batch, answers, recipe.photographs, garments, draws)
        targets = soften(answers, n_classes, recipe)
        for part, step in zip(share.parts, steps, strict=True):
            with autocast:
                logits = network(batch[part]).float()
            seen = logits if adjustment is None else logits + adjustment
            losses = F.cross_entropy(seen, targets[part], reduction="none")
            gradients = mean_gradients(losses, step.stop - step.start, weights, processes)
            optimizer.step(gradients, rate_at(recipe, clock.share()))
            if state.end_step(losses.detach(), logits.detach(), answers[part]):
                break
        state.end_batches(chosen, steps, share)
        if state.epoch_is_over or state.stopping:
            state.end_epoch(*validate())
    state.end()

    classifier.eval()
    if validation is not None and classifier.has_views:
        classifier.sure.fill_(find_sure(classifier, validation, device))
    val_logits = answer(
        lambda raw: classifier.look(raw)[0],
        validation,
        device,
        n_classes,
        processes,
        at_once(classifier),
    )
    stopped = state.stopping and not clock.is_over()
    return Fitted(classifier.cpu(), clock.history, clock.seconds(), val_logits, stopped, features)


def _start(
    recipe: Recipe,
    training: Labelled,
    n_classes: int,
    seed: int,
    device: torch.device,
    known: Float32[np.ndarray, "N V T"] | None,
) -> tuple[Classifier, Float32[np.ndarray, "N V T"] | None]:
    """Return the classifier as it is before the first step, and features by pretrained weights."""
    classifier = build_classifier(recipe, training[0], n_classes, seed).to(device)
    if recipe.learning_rate == 0:
        # a head that is fitted here stays as it is: the epoch tells how good it is
        classifier.network.requires_grad_(requires_grad=False)
    balanced = recipe.class_weights == "balanced"
    if isinstance(classifier.network, EfficientNet):
        # where steps follow, these see to it
        alone = recipe.learning_rate == 0
        known = warm_start(classifier, *training, known, balanced=balanced and alone)
    if isinstance(classifier.network, LinearHead):
        fit_on_features(classifier, *training, balanced=balanced)
    return classifier, known


def mean_gradients(
    losses: Float[Tensor, "M"], n: int, weights: Sequence[Tensor], processes: Processes = ONE
) -> tuple[Tensor, ...]:
    """Return the gradients of the mean loss of a step of `n` images.

    All gradients come from here: of a step that several processes share, each with its own losses,
    they are summed here.
    """
    if not weights:
        return ()
    return processes.sum_gradients(torch.autograd.grad(losses.sum() / n, weights))


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


def _validate(
    classifier: Classifier,
    validation: Labelled | None,
    autocast: torch.autocast,
    processes: Processes,
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
    probs = softmax(answer(look, validation, device, 0, processes, at_once(classifier)))
    classifier.train()
    return metrics.log_loss(probs, validation[1]), metrics.accuracy(probs, validation[1])
