"""Every recipe on every kind of data: it learns, and its file says what was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import as_model
from kinds import SHAPES, squares
from lookbook.networks.devices import settle
from lookbook.recipes import QUICK, RECIPES
from lookbook.training.calibration import learn_novelty
from lookbook.training.loop import fit

#: the largest networks with few filters: the same parts, in a tenth of the time
RECIPES_HERE = [
    replace(recipe, widths=tuple(min(width, 16) for width in recipe.widths))
    for recipe in RECIPES.values()
]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("recipe", RECIPES_HERE, ids=lambda recipe: recipe.name)
def test_the_file_says_what_the_network_said_as_it_was_trained(recipe, shape):
    training, others = squares(shape, 64), squares(shape, 40, seed=1)
    suited = settle(recipe.suited_to(64, colour=len(shape) == 3).with_epochs(2))
    fitted = fit(training, others, suited, 4)
    learn_novelty(fitted.classifier, training)
    model = as_model(fitted.classifier, training[0], "abcd")
    found = model.predict(others[0]).logits
    # what the network said before anything was made of it
    np.testing.assert_allclose(found, fitted.val_logits, atol=2e-3)
    assert np.ptp(fitted.val_logits) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_quick_recipe_learns_squares_by_place_and_by_colour(shape):
    training, others = squares(shape, 600), squares(shape, 200, seed=1)
    fitted = fit(training, None, settle(QUICK.suited_to(600, colour=len(shape) == 3)), 4)
    learn_novelty(fitted.classifier, training)
    model = as_model(fitted.classifier, training[0], "abcd")
    assert (model.predict(others[0]).probs.argmax(axis=1) == others[1]).mean() > 0.95
