"""Time budget: the recipe that makes most of so many seconds, and how long it may fit."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lookbook.core.arrays import sample
from lookbook.errors import InputError
from lookbook.networks.classifier import build_classifier
from lookbook.networks.devices import as_tensor, pick_device, pick_threads, settle, threads
from lookbook.networks.novelty import LEARNT
from lookbook.networks.onnx_export import PARITY_BATCHES
from lookbook.recipes import LARGE, MANY, MEDIUM, QUICK, STANDARD, STRONG, Recipe
from lookbook.training.calibration import UNSURE
from lookbook.training.callbacks import Callback
from lookbook.training.loop import fit
from lookbook.training.processes import ONE, Processes

if TYPE_CHECKING:
    from lookbook.training.callbacks import Progress
    from lookbook.training.loop import Labelled
    from lookbook.training.state import TrainingState

#: recipe, and the epochs that `standard` would make in all of the time below which it gets further
#: than the next one: of many images (measured with Fashion-MNIST), and of fewer than 20,000, of
#: which no epoch leaves any out (with photographs; they skip `strong`, which was never better than
#: both its neighbours by more than the noise); two cores, see docs/log.md
LADDER = (
    (QUICK, 0.45, 0.85),
    (MEDIUM, 2.4, 2.0),
    (STANDARD, 10.0, 120.0),
    (STRONG, 30.0, 120.0),
    (LARGE, math.inf, math.inf),
)
#: seconds that writing the run takes, with some to spare
WRITING = 0.4
#: seconds that writing one with a backbone takes: it is compared, and ONNX Runtime opens it twice
MERGING = 1.5
#: seconds by which a short budget is exceeded where a busy machine took long to start: nearly
#: nothing would be learnt
LATE = 0.8
#: share of the time that planning takes at most, on a machine that is busy with other things, too
PLANNING = 0.1
#: for how many seconds a number of threads, or answers, are timed, or for which share of the time
PROBE_SECONDS, PROBE_SHARE = 0.1, 0.005
#: for how many seconds the speed is measured, or for which share of the time
TRIAL_SECONDS, TRIAL_SHARE = 0.6, 0.05
#: images of 28×28 in a step that is measured, at most; of larger ones as many pixels
TRIAL_STEP = 512
#: images from which a network is built of which the speed alone is asked
FEW = 256
#: seconds below which nothing is measured: it would take most of them
SHORT = 1.2
#: images of 28×28 on which answers are timed; of larger ones as many pixels, but a few images
ANSWERS, FEWEST_ANSWERS = 64, 8


@dataclass(frozen=True)
class Plan:
    """What to train, and for how long."""

    recipe: Recipe
    #: None: the recipe's epochs say when it ends
    fit_seconds: float | None
    #: of the processor
    threads: int


def plan(
    seconds: float,
    training: Labelled,
    n_validation: int,
    n_classes: int,
    *,
    recipe: Recipe | None = None,
    fits: float = 1,
    spent: float = 0.0,
    processes: Processes = ONE,
) -> Plan:
    """Choose a recipe for this data on this machine, so that all is done in so many seconds.

    Parameters
    ----------
    seconds
        From now to the written run.
    training
        What will be trained on.
    n_validation
        How many images will be answered at the end.
    n_classes
        How many classes there are.
    recipe
        This one, whatever the time; without it the one that makes most of it.
    fits
        The time of all fits beside that of the first one: two for a `final` run and its twin.
    spent
        Seconds of the budget that are over already.
    processes
        Which train together: their speed together is measured, and the first one decides.

    Raises
    ------
    InputError
        The time is too short for any training.
    """
    start = time.perf_counter()
    n, colour = len(training[1]), training[0].ndim == 4
    probe = min(PROBE_SECONDS, PROBE_SHARE * seconds)
    on = int(processes.of_first(pick_threads(probe)))
    with threads(on):
        chosen = recipe or _furthest(seconds, training, n_classes, fits, processes)
        counts = np.bincount(training[1])
        suited = settle(chosen.suited_to(n, colour=colour, counts=counts))
        if suited.learning_rate == 0:
            # nothing more is learnt in more time
            return Plan(processes.by_first(lambda: suited), None, on)
        answered = math.ceil(n_validation / processes.size)
        answering = _answering_seconds(training, answered, suited, n_classes, probe)
    available = (seconds - WRITING - (time.perf_counter() - start)) / fits - answering
    available = processes.of_first(available)
    least = min(LATE / fits, available + LATE / fits)
    if least <= 0:
        raise InputError(
            f"the budget is too short: {spent + seconds - available * fits:.1f} s go into "
            "everything but training here; give more with `budget`"
        )
    return Plan(processes.by_first(lambda: suited), max(available, least), on)


def plan_features(seconds: float | None, spent: float, recipe: Recipe) -> Plan:
    """Plan a head on features, of which `spent` seconds are over already."""
    on = torch.get_num_threads()
    if seconds is None:
        return Plan(recipe, None, on)
    left = seconds - spent - MERGING
    if left <= 0:
        raise InputError(
            f"the budget is too short: {spent + MERGING:.1f} s go into everything but training "
            "here; give more with `budget`"
        )
    return Plan(recipe, left, on)


def _furthest(
    seconds: float, training: Labelled, n_classes: int, fits: float, processes: Processes
) -> Recipe:
    """Return the recipe that gets furthest in so many seconds, on this machine."""
    if seconds < SHORT:
        return QUICK
    start = time.perf_counter()
    n, colour = len(training[1]), training[0].ndim == 4
    tried = settle(STANDARD.suited_to(n, colour=colour))
    speed = _learning_speed(tried, training, n_classes, seconds, processes)
    left = (seconds - WRITING - (time.perf_counter() - start)) / fits
    return next(
        each for each, many, few in LADDER if left * speed / n < (many if n >= MANY else few)
    )


def _learning_speed(
    recipe: Recipe,
    training: Labelled,
    n_classes: int,
    seconds: float,
    processes: Processes = ONE,
) -> float:
    """Return how many images a second a recipe learns from, once it is under way.

    What comes before its first step does not count, nor does that step, which loads kernels: of
    photographs, both together take longer than several steps. On a machine so busy that the first
    step takes most of the time for planning, they have to be enough.
    """
    most = max(FEWEST_ANSWERS, TRIAL_STEP * 28 * 28 // math.prod(training[0].shape[1:3]))
    recipe = replace(recipe, hardest=1.0, batch_size=min(recipe.batch_size, most))
    part = sample(training[0], 2 * recipe.batch_size), sample(training[1], 2 * recipe.batch_size)
    trial = _Trial(seconds)
    fit(part, None, recipe, n_classes, seconds=math.inf, callbacks=[trial], processes=processes)
    first, last = trial.steps[0], trial.steps[-1]
    images = (last.epoch - first.epoch) * len(part[1]) + last.images - first.images
    if images == 0:
        return last.images / last.seconds
    return images / (last.seconds - first.seconds)


class _Trial(Callback):
    """Takes down a short fit, and ends it when enough was seen."""

    def __init__(self, seconds: float) -> None:
        self.steps: list[Progress] = []
        self._most = PLANNING / 2 * seconds
        self._enough = min(TRIAL_SECONDS, TRIAL_SHARE * seconds)

    def on_progress(self, state: TrainingState, progress: Progress) -> None:
        """Take it down."""
        self.steps.append(progress)

    def on_step_end(self, state: TrainingState) -> None:
        """Stop where the steps so far took long enough."""
        if not self.steps:
            return
        now = self.steps[-1].seconds
        if now > self._most or now - self.steps[0].seconds >= self._enough:
            state.stop()


def _answering_seconds(
    training: Labelled, n_validation: int, recipe: Recipe, n_classes: int, seconds: float
) -> float:
    """Return how long it takes to answer the validation part, to learn what is usual, to compare.

    It is measured for so many `seconds`. The answers come with all their views, where the recipe
    has some and one view leaves the network unsure; the traits of one view, by which novelty is
    learnt, are taken of training and of validation images. Before the file is accepted, it is
    compared with the network.
    """
    pixels = math.prod(training[0].shape[1:])
    few = max(FEWEST_ANSWERS, min(ANSWERS, ANSWERS * 28 * 28 // pixels))
    device = pick_device()
    classifier = build_classifier(recipe, sample(training[0], FEW), n_classes, seed=0).eval()
    classifier, images = classifier.to(device), as_tensor(sample(training[0], few)).to(device)
    with torch.inference_mode():
        network, seen = classifier.network, classifier.scaler(images)
        network.with_traits(seen)  # loads kernels
        times, start = 0, time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds or times == 0:
            network.with_traits(seen)[0].cpu()
            times += 1
        one_view = taken / times / len(images)
    views = 1 + UNSURE * classifier.n_views * classifier.has_views
    traits = min(len(training[0]), LEARNT) + n_validation
    # by the network and by its file
    compared = 2 * sum(PARITY_BATCHES)
    return one_view * ((n_validation + compared) * views + traits)
