"""Plan: so many seconds → the recipe that makes most of them, and how long it may fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lookbook.errors import InputError
from lookbook.fitting import fit
from lookbook.networks import sample
from lookbook.recipes import MEDIUM, QUICK, STANDARD, STRONG, Recipe

if TYPE_CHECKING:
    from lookbook.fitting import Labelled

#: passes that `standard` would make in the time → the recipe that gets further than the others;
#: measured with Fashion-MNIST on two cores, see docs/log.md
LADDER = ((0.65, QUICK), (2.0, MEDIUM), (8.0, STANDARD), (math.inf, STRONG))
#: seconds that writing the run takes, with some to spare
WRITING = 0.4
#: pictures on which the speed is measured, and for how long
TRIAL, TRIAL_SECONDS = 1000, 0.3


@dataclass(frozen=True)
class Plan:
    """What to train, and for how long."""

    recipe: Recipe
    #: None: the recipe's passes say when it ends
    fit_seconds: float | None


def plan(
    seconds: float,
    training: Labelled,
    n_validation: int,
    n_classes: int,
    *,
    recipe: Recipe | None = None,
    fits: int = 1,
) -> Plan:
    """Choose a recipe for this data on this machine, so that all is done in so many seconds.

    Parameters
    ----------
    seconds
        From now to the written run.
    training
        What will be trained on.
    n_validation
        How many pictures will be answered at the end.
    n_classes
        How many classes there are.
    recipe
        This one, whatever the time; without it the one that makes most of it.
    fits
        How many networks share the time: two for a `final` run and its twin.

    Raises
    ------
    InputError
        The time is too short for any training.
    """
    speed, took = _measure(training, n_classes)
    left = (seconds - took - WRITING) / fits
    # an answer in one view costs a third of what a picture costs in training, but it is given in
    # float32, and a quarter of the pictures has ten views
    answering = 2 * n_validation / speed
    passes = (left - answering) * speed / len(training[1])
    chosen = recipe or next(each for most, each in LADDER if passes < most)
    available = left if chosen.network == "dense" else left - answering  # dense ones answer at once
    if available <= 0:
        raise InputError(
            f"the budget is too short: {seconds - available * fits:.1f} s go into everything but "
            "training here; give more with --budget"
        )
    suited = chosen.suited_to(len(training[1]), colour=training[0].ndim == 4)
    return Plan(suited, available)


def _measure(training: Labelled, n_classes: int) -> tuple[float, float]:
    """Return how many pictures a second `standard` learns from, and how long finding out took."""
    part = sample(training[0], TRIAL), sample(training[1], TRIAL)
    recipe = replace(STANDARD, hardest=1.0)
    # the first fit of a process loads kernels: it tells nothing
    first, second = (fit(part, None, recipe, n_classes, seconds=TRIAL_SECONDS) for _ in range(2))
    pictures = sum(epoch["pictures"] for epoch in second.history)
    return pictures / second.seconds, first.seconds + second.seconds
