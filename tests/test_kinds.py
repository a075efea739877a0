"""Every recipe on every kind of data: it learns, and its file says what was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import as_model
from kinds import SHAPES, squares
from lookbook.data.catalog import Garments
from lookbook.errors import InputError
from lookbook.networks.devices import settle
from lookbook.recipes import QUICK, RECIPES
from lookbook.training.calibration import learn_novelty
from lookbook.training.loop import fit

#: the largest networks with few filters: the same parts, in a tenth of the time
RECIPES_HERE = [
    replace(recipe, widths=tuple(min(width, 16) for width in recipe.widths))
    for recipe in RECIPES.values()
]
#: for a recipe that simulates photographs: squares, as garments of every sort
GARMENTS = Garments(sleeved=(0, 2), trousers=(1,), dresses=(), shoes=(3,), plain=(0,))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("recipe", RECIPES_HERE, ids=lambda recipe: recipe.name)
def test_the_file_says_what_the_network_said_as_it_was_trained(recipe, shape):
    training, others = squares(shape, 64), squares(shape, 40, seed=1)
    suited = settle(recipe.suited_to(64, colour=len(shape) == 3).with_epochs(2))
    if recipe.photographs and len(shape) == 3:
        pytest.skip("of images in colour no photographs are simulated")
    garments = GARMENTS if recipe.photographs else None
    fitted = fit(training, others, suited, 4, garments=garments)
    learn_novelty(fitted.classifier, training)
    model = as_model(fitted.classifier, training[0], "abcd")
    found = model.predict(others[0]).logits
    # what the network said before anything was made of it
    np.testing.assert_allclose(found, fitted.val_logits, atol=2e-3)
    assert np.ptp(fitted.val_logits) > 0.1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_photographs_are_simulated_of_garments_alone(shape):
    recipe = next(each for each in RECIPES_HERE if each.photographs)
    with pytest.raises(InputError, match=r"^the recipe simulates photographs of garments, and"):
        fit(squares(shape, 64), None, settle(recipe), 4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_quick_recipe_learns_squares_by_place_and_by_colour(shape):
    training, others = squares(shape, 600), squares(shape, 200, seed=1)
    fitted = fit(training, None, settle(QUICK.suited_to(600, colour=len(shape) == 3)), 4)
    learn_novelty(fitted.classifier, training)
    model = as_model(fitted.classifier, training[0], "abcd")
    assert (model.predict(others[0]).probs.argmax(axis=1) == others[1]).mean() > 0.95
