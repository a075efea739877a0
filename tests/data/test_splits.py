"""Splits: in proportion, disjoint, and by the names of files where there are files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookbook.data.dataset import Dataset
from lookbook.data.sources import load, resolve
from lookbook.data.splits import draw_test, split_validation, stratified_choice
from lookbook.errors import InputError, LookbookWarning
from made_data import fill, images_of, left_out, numbers_of, refusal, save_album, save_image


@pytest.fixture
def album(tmp_path):
    """Ten grey images of each of two classes; the shade of each is its number."""
    return save_album(tmp_path / "album")


# ---- a validation part ----


@st.composite
def labels_and_number(draw):
    labels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=80))
    return np.array(labels), draw(st.integers(0, len(labels)))


@given(labels_and_number(), st.integers(0, 2**32))
def test_a_stratified_choice_takes_each_class_in_proportion(case, seed):
    labels, n = case
    chosen = stratified_choice(labels, n, seed=seed)
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert stratified_choice(labels, n, seed=seed).tolist() == chosen.tolist()
    for label in set(labels.tolist()):
        there = int((labels == label).sum())
        taken = int((labels[chosen] == label).sum())
        assert taken < there  # the last one stays
        assert abs(taken - n * there / len(labels)) <= 1


def test_a_stratified_choice_depends_on_the_seed():
    labels = np.arange(1000) % 4
    first, second = (set(stratified_choice(labels, 500, seed=seed).tolist()) for seed in (0, 1))
    assert 150 < len(first & second) < 350  # chance gives 250 ± 11


@given(labels_and_number(), st.integers(0, 100))
def test_the_validation_part_is_disjoint_and_complete(case, seed):
    labels, _ = case
    dataset = Dataset(images_of(len(labels)), labels, tuple("abcdef"))
    if np.bincount(labels).max() == 1:
        with pytest.raises(InputError) as caught:
            split_validation(dataset, seed=seed)
        assert str(caught.value) == (
            f"{len(labels)} images are too few for a validation part; at least two of a class "
            "are needed"
        )
        return
    training, validation = split_validation(dataset, seed=seed)
    assert sorted(numbers_of(training) + numbers_of(validation)) == list(range(len(labels)))
    assert (training.counts[dataset.counts > 0] > 0).all()
    assert len(validation) <= 0.15 * len(labels) + 6  # rounded class by class
    for part in (training, validation):
        assert part.labels.tolist() == labels[numbers_of(part)].tolist()


def test_the_training_part_of_fashion_mnist_is_split_evenly(fashion):
    training, validation = split_validation(fashion, seed=3)
    assert training.counts.tolist() == [5500] * 10
    assert validation.counts.tolist() == [500] * 10


# ---- a test part ----


@given(st.lists(st.integers(0, 3), min_size=1, max_size=120), st.integers(0, 2**32))
def test_each_class_has_a_fifth_of_its_images_in_the_test_part(labels, seed):
    labels = np.array(labels)
    drawn = draw_test(np.random.default_rng(seed).random(len(labels)), labels)
    for label in np.unique(labels):
        n, k = int((labels == label).sum()), int(drawn[labels == label].sum())
        assert k == min(max(1, round(n / 5)), n - 1)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=60), st.integers(0, 2**32))
def test_a_file_that_is_added_moves_at_most_one_other(labels, seed):
    at, labels = np.random.default_rng(seed).random(len(labels)), np.array(labels)
    before, after = draw_test(at[1:], labels[1:]), draw_test(at, labels)[1:]
    moved = np.flatnonzero(before != after)
    assert len(moved) <= 1
    assert (labels[1:][moved] == labels[0]).all()


def drawn(album: Path) -> list[int]:
    """The numbers of the images for the test part, worked out from the files' names."""
    numbers = []
    for folder in album.iterdir():
        places = {
            hashlib.sha256(f"{folder.name}/{path.name}".encode()).hexdigest(): int(path.stem)
            for path in folder.iterdir()
        }
        numbers += [places[digest] for digest in sorted(places)[: len(places) // 5]]
    return sorted(numbers)


def test_class_folders_are_split(album):
    train, test = load(album), load(album, "test")
    assert sorted(numbers_of(test)) == drawn(album)
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(20))
    assert train.counts.min() > 0
    assert test.counts.min() > 0
    assert resolve(album).resizable
    assert resolve(album).measured_part() == "split"
    assert train.classes == test.classes == ("cat", "dog")
    assert train.size == (10, 12)
    for part in (train, test):
        assert part.labels.tolist() == [int(number >= 10) for number in numbers_of(part)]
    assert load(str(album)).sha256() == train.sha256()


def test_files_that_are_added_move_no_others(album):
    train, test = (set(numbers_of(load(album, part))) for part in ("train", "test"))
    for number in range(20, 120):
        save_image(album / ("cat" if number % 2 else "dog") / f"{number}.png", number)
    assert train <= set(numbers_of(load(album)))
    share = set(numbers_of(load(album, "test"))) - test
    assert share.isdisjoint(train)
    assert 8 <= len(share) <= 32  # chance gives 20 ± 4


def test_both_parts_show_a_class_of_two_images(tmp_path):
    for number in range(60):
        save_image(tmp_path / f"{number // 2:02}" / f"{number}.png", number)
    for part in ("train", "test"):
        assert load(tmp_path, part).counts.tolist() == [1] * 30


def test_too_few_images_to_split(tmp_path):
    for name in ("cat", "dog"):
        save_image(tmp_path / name / "1.png")
    for part in ("train", "test"):
        assert refusal(tmp_path, part) == (
            "2 images are too few to split a test part off; at least two of a class are needed"
        )


def test_the_only_image_of_a_class_is_for_training(album):
    save_image(album / "bird" / "1.png", 99)
    assert load(album).counts[0] == 1
    assert load(album, "test").counts[0] == 0


def test_uneven_classes_and_classes_of_twelve_are_split_in_proportion(tmp_path):
    for name, n, first in (
        ("many", 100, 0),
        ("some", 15, 100),
        ("few", 8, 115),
        ("dozen", 12, 123),
    ):
        fill(tmp_path, n, first=first, classes=(name,))  # no two images are alike
    with pytest.warns(LookbookWarning) as caught:
        train = load(tmp_path)
    test = load(tmp_path, "test")
    assert train.classes == ("dozen", "few", "many", "some")
    assert test.counts.tolist() == [2, 2, 20, 3]
    assert train.counts.tolist() == [10, 6, 80, 12]
    assert left_out(caught) == [
        "fewer than 5 test images show dozen (2), few (2), some (3): what is measured there may "
        "be chance; add images"
    ]


def test_arrays_that_are_split_warn_of_few_test_images_too(tmp_path):
    images = np.full((112, 8, 8), 200, np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.repeat([0, 1], [100, 12]))
    with pytest.warns(LookbookWarning, match=r"fewer than 5 test images show 1 \(2\): "):
        load(tmp_path / "data.npz")
