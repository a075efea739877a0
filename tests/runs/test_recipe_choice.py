"""Which recipe is taken where none is named: by images, time, and what is installed."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kinds import squares, write_folder
from lookbook.data.formats.source import Outline
from lookbook.data.sources import resolve
from lookbook.errors import InputError
from lookbook.recipes import (
    COARSE_SIDE,
    EACH_FINER,
    EACH_LARGER,
    FEW,
    FINER_SIDE,
    LARGER_SIDE,
    LEAST_SIDE,
    MOST_IMAGES,
    PRETRAINED,
    STANDARD,
    TRANSFER,
)
from lookbook.runs.config import TrainRequest
from lookbook.runs.recipe_choice import RecipeChoice
from lookbook.training.pipeline import train

PHOTOGRAPHS = Outline(images=100, side=400, colour=True, resizable=True)


def choose(data=PHOTOGRAPHS, side=None, seconds=None, from_scratch=False):
    return RecipeChoice.of(data, side, seconds=seconds, from_scratch=from_scratch)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "mine", (60, 90, 3), {"cat": 20, "dog": 30})


def test_photographs_start_from_pretrained_weights():
    assert choose() == RecipeChoice(start="pretrained", why="pays", images=100, side=224)
    assert choose(side=96).side == 96
    assert choose(seconds=60).why == "pays"
    # the last layer alone is fitted in seconds
    assert choose(replace(PHOTOGRAPHS, images=60), seconds=10.6).why == "pays"
    assert choose(replace(PHOTOGRAPHS, images=175), seconds=17.5).why == "pays"
    # small files are enlarged, small arrays are not
    assert choose(replace(PHOTOGRAPHS, side=16)).side == 96
    assert choose(replace(PHOTOGRAPHS, side=100, resizable=False)).side == 100


def test_a_long_budget_shows_pretrained_weights_more_of_photographs():
    many = replace(PHOTOGRAPHS, images=1000)
    assert choose(many).side == choose(many, seconds=1000 * EACH_LARGER - 1).side == 224
    assert choose(many, seconds=1000 * EACH_LARGER).side == LARGER_SIDE
    assert choose(many, side=224, seconds=1000).side == 224
    assert choose(replace(many, side=LARGER_SIDE - 1), seconds=1000).side == 224
    assert choose(replace(many, images=FEW), seconds=1000).side == 224
    final = RecipeChoice.of(many, None, seconds=1000 * EACH_LARGER, fits=2)
    assert final.side == 224


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"data": Outline(100, LEAST_SIDE - 1, colour=True, resizable=False)}, "small"),
        ({"side": LEAST_SIDE - 1}, "small"),
        ({"data": replace(PHOTOGRAPHS, images=MOST_IMAGES + 1)}, "many"),
        ({"data": replace(PHOTOGRAPHS, side=32, images=1000)}, "many"),
        ({"seconds": 10}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=60), "seconds": 10.5}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=175), "seconds": 17.4}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=178), "seconds": 32}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=300), "seconds": 45}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=3000), "seconds": 15}, "short"),
        ({"data": replace(PHOTOGRAPHS, images=10_000), "seconds": 60}, "many"),
        ({"from_scratch": True}, "asked"),
    ],
)
def test_other_images_and_short_budgets_start_from_scratch(changed, why):
    choice = choose(**changed)
    assert (choice.start, choice.why) == ("scratch", why)


def test_of_uneven_classes_that_are_balanced_the_rare_ones_say_what_time_is_needed():
    uneven = replace(PHOTOGRAPHS, images=223, counts=(200, 15, 8))
    choice = functools.partial(RecipeChoice.of, uneven, None, class_weights="auto")
    assert choice(seconds=21).why == "pays"  # a head alone
    assert choice(seconds=19).why == "short"
    assert choice(seconds=21, class_weights="none").why == "short"
    even = replace(uneven, counts=(75, 74, 74))
    assert RecipeChoice.of(even, None, seconds=21, class_weights="auto").why == "short"


def test_a_request_counts_the_images_of_each_class(tmp_path):
    place = write_folder(tmp_path / "mine" / "train", (60, 90, 3), {"cat": 170, "dog": 8}).parent
    write_folder(place / "test", (60, 90, 3), {"cat": 1, "dog": 1})
    request = functools.partial(TrainRequest, resolve(place), budget=15)
    assert request().choice.why == "pays"
    assert request(class_weights="none").choice.why == "short"


def test_where_the_extra_is_not_installed_the_choice_says_so_only_where_it_would_pay(monkeypatch):
    monkeypatch.setitem(sys.modules, PRETRAINED, None)
    assert (choose().start, choose().why) == ("scratch", "missing")
    assert choose(side=LEAST_SIDE - 1).why == "small"
    assert choose(from_scratch=True).why == "asked"


def test_a_folder_is_outlined_by_a_few_of_its_files(folder):
    outline = resolve(folder).outline()
    # a fifth is for testing
    assert outline == Outline(40, 90, colour=True, resizable=True, counts=(16, 24))
    in_parts = write_folder(folder.parent / "parts" / "train", (60, 90, 3), {"cat": 5, "dog": 5})
    write_folder(in_parts.parent / "test", (60, 90, 3), {"cat": 5, "dog": 5})
    assert resolve(in_parts.parent).outline().images == 10
    (folder / "cat" / "000.png").write_bytes(b"damaged")
    assert resolve(folder).outline() == outline
    for path in folder.rglob("*.png"):
        path.write_bytes(b"damaged")
    assert resolve(folder).outline() is None


def test_grey_images_are_none_to_choose_for(tmp_path, bars):
    grey = write_folder(tmp_path / "grey", (60, 90), {"cat": 20, "dog": 30})
    for path in (grey / "cat").iterdir():  # whatever their files call them
        Image.open(path).convert("RGB").save(path)
    assert not resolve(grey).outline().colour
    for data in (grey, bars, "fashion-mnist", "no-such-data"):
        request = TrainRequest(resolve(data))
        assert (request.choice, request.chosen, request.image_size) == (None, None, None)
        assert request.recipe_name == "standard"


def test_arrays_are_outlined_by_their_header(tmp_path):
    images, labels = squares((64, 50, 3), 30)
    np.savez(tmp_path / "colour.npz", images=images, labels=labels)
    assert resolve(tmp_path / "colour.npz").outline() == Outline(
        30, 64, colour=True, resizable=False, counts=(8, 8, 7, 7)
    )
    request = TrainRequest(resolve(tmp_path / "colour.npz"))
    assert (request.chosen, request.image_size) == (TRANSFER, None)


def test_arrays_without_any_image_are_refused_as_ever(tmp_path):
    none = np.zeros((0, 64, 50, 3), np.uint8)
    np.savez(tmp_path / "none.npz", images=none, labels=np.zeros(0, np.int64))
    with pytest.raises(InputError):
        train(str(tmp_path / "none.npz"), out=tmp_path / "run")


def test_a_request_is_for_what_was_chosen(folder):
    source = resolve(folder)
    request = TrainRequest(source)
    assert (request.chosen, request.image_size) == (TRANSFER, 180)
    assert request.place().name == "mine-transfer-1"
    assert TrainRequest(source, budget=60).place().name == "mine-budget-1"
    assert TrainRequest(source, size=64).image_size == 64
    assert TrainRequest(source, size=(64, 48)).choice.side == 64
    scratch = TrainRequest(source, from_scratch=True)
    assert (scratch.chosen, scratch.image_size) == (None, None)
    assert scratch.place().name == "mine-standard-1"
    named = TrainRequest(source, STANDARD)
    assert (named.choice, named.chosen, named.image_size) == (None, STANDARD, None)


def test_a_recipe_that_is_named_sees_files_as_the_one_that_is_chosen(folder):
    source = resolve(folder)
    named = functools.partial(TrainRequest, source, TRANSFER)
    assert named().image_size == TrainRequest(source).image_size == 180
    assert (named().choice, named().reduced) == (None, None)
    for path in folder.rglob("*.png"):
        Image.new("L", (600, 300)).save(path)  # grey ones, which nothing chooses it for
    assert named(budget=60).image_size == 224
    for path in folder.rglob("*.png"):
        path.write_bytes(b"damaged")
    assert named().image_size == 224


def test_a_long_budget_sees_more_of_files_that_are_brought_to_one_size(tmp_path):
    place = write_folder(tmp_path / "mine", (60, 90, 3), {"cat": 20, "dog": 30})
    request = functools.partial(TrainRequest, resolve(place), from_scratch=True)
    assert request(budget=60).image_size is None  # they keep their size
    for k, path in enumerate((place / "cat").iterdir()):
        Image.open(path).resize((150, 100 + k)).save(path)
    for path in (place / "dog").iterdir():
        Image.open(path).resize((120, 160)).save(path)
    assert request(budget=60).image_size == FINER_SIDE
    assert request(budget=60, size=64).image_size == 64
    assert request(budget=60, recipe=STANDARD).image_size is None
    assert request(budget=40 * EACH_FINER - 0.1).image_size is None
    assert request(budget=40 * EACH_FINER + 0.1).image_size == FINER_SIDE
    assert request(budget=40 * EACH_FINER + 0.1, final=True).image_size is None
    assert request().image_size is None
    for path in place.rglob("*.png"):
        Image.open(path).resize((40 + int(path.stem), 60)).save(path)
    assert request(budget=60).image_size is None  # enlarged, they show no more


@pytest.mark.parametrize("shape", [(200, 160, 3), (200, 160)])
def test_a_short_budget_sees_less_of_large_files_of_one_size(tmp_path, shape):
    place = write_folder(tmp_path / "mine", shape, {"cat": 20, "dog": 30})
    request = functools.partial(TrainRequest, resolve(place), from_scratch=True)
    whole = EACH_FINER * (200 / FINER_SIDE) ** 2
    assert request(budget=40 * EACH_FINER - 0.1).image_size == COARSE_SIDE
    assert request(budget=40 * EACH_FINER + 0.1).image_size == FINER_SIDE
    assert request(budget=40 * whole - 0.1).image_size == FINER_SIDE
    assert request(budget=40 * whole + 0.1).image_size is None  # they keep their size
    assert request(budget=80 * whole - 0.1, final=True).image_size == FINER_SIDE
    assert request(budget=10, size=200).image_size == 200
    assert request().image_size is None
    assert request(budget=5).reduced == (200, COARSE_SIDE)
    assert request(budget=10, size=64).reduced is request(budget=10_000).reduced is None


def test_files_too_large_to_keep_their_size_are_as_those_of_several_sizes(tmp_path):
    place = write_folder(tmp_path / "mine", (300, 260, 3), {"cat": 10, "dog": 10})
    request = functools.partial(TrainRequest, resolve(place), from_scratch=True)
    for budget, side in ((1, None), (60, FINER_SIDE), (10_000, FINER_SIDE)):
        assert request(budget=budget).image_size == side
        assert request(budget=budget).reduced is None  # --size 300 would be refused


def test_the_twin_of_a_final_run_takes_time_too():
    many = replace(PHOTOGRAPHS, images=1000)
    for seconds, fits, why in ((40, 1, "pays"), (40, 2, "short"), (60, 2, "pays")):
        assert RecipeChoice.of(many, None, seconds=seconds, fits=fits).why == why


def test_pretrained_weights_are_no_start_from_scratch(folder):
    with pytest.raises(InputError, match="starts from pretrained weights; leave `from_scratch`"):
        TrainRequest(resolve(folder), TRANSFER, from_scratch=True).place()
    assert TrainRequest(resolve(folder), STANDARD, from_scratch=True).place()
