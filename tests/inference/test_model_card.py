"""What a model file says of itself, as a typed object."""

from __future__ import annotations

import pytest

from conftest import described
from lookbook.errors import DamagedFileError
from lookbook.images.specification import Preprocessing, UnknownVersionError
from lookbook.inference.model import Model
from lookbook.inference.model_card import ModelCard

WHOLE = described("ab") | {"input_shape": [12, 10], "input_dtype": "uint8", "views": None}


def test_a_card_says_what_the_file_says(run):
    model = Model.open(run.model)
    card, about = model.card, model.about
    assert model.classes == tuple(card.classes) == tuple(about["classes"])
    assert list(card.input_shape) == about["input_shape"]
    for name in ("input_dtype", "polarity", "temperature", "licence", "lookbook", "weaknesses"):
        assert getattr(card, name) == about[name]
    assert card.recipe.name == about["recipe"]["name"]
    assert card.data.train_sha256 == about["data"]["train_sha256"]
    assert card.validation.accuracy == about["validation"]["accuracy"]
    assert card.preprocessing.to_json() == about["preprocessing"]


def test_what_older_files_do_not_say_has_its_old_meaning():
    card = ModelCard.from_json(WHOLE)
    assert card.preprocessing == Preprocessing((12, 10), 1, "mixed")
    assert (card.weaknesses, card.data.builtin) == ([], False)


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_is_lacking_is_named(name):
    lacking = {key: value for key, value in WHOLE.items() if key != name}
    with pytest.raises(DamagedFileError) as caught:
        ModelCard.from_json(lacking)
    assert str(caught.value) == (
        f"it does not tell its {name}, as another version may have written it"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"input_shape": [12, 10, 4]},
        {"input_shape": [12, 0]},
        {"input_shape": [1, 2, 3, 4]},
        {"input_dtype": "float32"},
        {"views": {"mirror": True}},
        {"views": {"mirror": "yes", "shift": 1, "sure": 0.5, "ramp": 0.1}},
        {"validation": {"accuracy": 2}},
        {"data": {"name": "d", "builtin": "no"}},
    ],
)
def test_values_that_no_model_has_are_refused(wrong):
    with pytest.raises(ValueError, match=r"\$|does not hold|preprocessing"):
        ModelCard.from_json(WHOLE | wrong)


def test_steps_of_another_version_are_told_apart_from_damage():
    with pytest.raises(UnknownVersionError):
        ModelCard.from_json(WHOLE | {"preprocessing": {"version": 3, "new": True}})
