"""Groups: what a split keeps together, of every format, on one side."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.test_copies import scenes
from kinds import SHAPES
from lookbook.data.dataset import Dataset
from lookbook.data.groups import Grouping, Groups, join
from lookbook.data.sources import load, resolve
from lookbook.data.splits import draw_test, split_validation, stratified_choice
from lookbook.errors import LookbookWarning
from made_data import left_out, refusal


@st.composite
def grouped_labels(draw):
    labels = draw(st.lists(st.integers(0, 3), min_size=4, max_size=80))
    groups = [draw(st.integers(0, i)) if draw(st.booleans()) else i for i in range(len(labels))]
    return np.array(labels), join(len(labels), Grouping(copies=()), np.array(groups))


@given(grouped_labels(), st.integers(0, 2**32))
def test_groups_lie_on_one_side_but_where_a_class_is_one_group(case, seed):
    labels, groups = case
    at = np.random.default_rng(seed).random(len(labels))
    drawn = draw_test(at, labels, groups)
    assert drawn.tolist() == draw_test(at, labels, groups).tolist()
    parted = [g for g in set(groups.numbers.tolist()) if len(set(drawn[groups.numbers == g])) > 1]
    for label in np.unique(labels):
        n, k = int((labels == label).sum()), int(drawn[labels == label].sum())
        assert k < n  # never the last
        assert k > 0 or n == 1  # and at least one
    if parted:  # then a class could not be on both sides
        whole = draw_test(at, labels, Groups(groups.numbers, Grouping(by="x")))
        assert any(
            not whole[labels == k].any() for k in np.unique(labels) if (labels == k).sum() > 1
        )


@given(st.lists(st.integers(0, 3), min_size=2, max_size=80), st.integers(0, 2**32))
def test_without_copies_nothing_is_split_otherwise(labels, seed):
    labels = np.array(labels)
    at, alone = np.random.default_rng(seed).random(len(labels)), Groups(np.arange(len(labels)))
    assert draw_test(at, labels, alone).tolist() == draw_test(at, labels).tolist()
    # the rule for groups, of which all but two images of a class by themselves are one
    far = np.append(labels, [4, 4, 4])
    pair = Groups(np.append(np.arange(len(labels)), [900, 900, 901]))
    drawn = draw_test(np.append(at, [0.5, 0.5, 0.6]), far, pair)
    assert drawn[: len(labels)].tolist() == draw_test(at, labels).tolist()
    chosen = stratified_choice(labels, len(labels) // 3, seed=seed)
    same = stratified_choice(labels, len(labels) // 3, seed=seed, groups=alone)
    assert chosen.tolist() == same.tolist()


def test_parts_are_balanced_with_groups_across_classes():
    far = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = np.arange(600) % 3
        drawn = draw_test(rng.random(600), labels, Groups(rng.integers(0, 60, 600)))
        far += [abs(int(drawn[labels == label].sum()) - 40) for label in range(3)]
    assert np.mean(far) <= 5
    assert max(far) <= 15


def clones(folder, n=24):
    """A folder of scenes of two classes with a Korean name, some of them in two formats."""
    names = ("강아지", unicodedata.normalize("NFD", "고양이"))
    images = scenes(2 * n, (32, 32))
    for number, image in enumerate(images):
        place = folder / names[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number:02}.png")
        if number < 20:
            Image.fromarray(image).save(place / f"복사 {97 - number}.jpg", quality=70)
    return folder


def number_of(name: str) -> int:
    """The scene that a file of `clones` shows."""
    stem = unicodedata.normalize("NFC", name).rsplit("/", 1)[1].split(".")[0]
    return 97 - int(stem[3:]) if stem.startswith("복사") else int(stem)


def test_a_folder_with_copies_in_other_formats_is_split_between_them(tmp_path):
    folder = clones(tmp_path / "사진")
    train, test = load(folder), load(folder, "test")
    sides = [{number_of(name) for name in part.files} for part in (train, test)]
    assert not sides[0] & sides[1]
    assert len(train) + len(test) == 68
    assert 10 <= len(test) <= 18
    kept, validation = split_validation(train, seed=0)
    shown = [{number_of(name) for name in part.files} for part in (kept, validation)]
    assert not shown[0] & shown[1]
    again = resolve(folder).load("train", grouping=train.groups.grouping)
    assert again.sha256() == train.sha256()  # from what a run keeps, without looking again
    assert len(train.groups.grouping.copies) == train.groups.kept[0] == 20
    # as an earlier version split it
    before = resolve(folder).load("train", grouping=Grouping(copies=()))
    assert {number_of(name) for name in before.files} & {
        number_of(name) for name in resolve(folder).load("test", grouping=Grouping(copies=())).files
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_arrays_of_every_kind_are_split_between_copies(tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, (80, *shape), dtype=np.uint8)
    images[40:60] = images[:20]
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(80) % 4)
    parts = [load(tmp_path / "data.npz", part) for part in ("train", "test")]
    train, test = ({image.tobytes() for image in part.images} for part in parts)
    assert not train & test
    assert [part.counts.min() > 0 for part in parts] == [True, True]
    assert sum(map(len, parts)) == 80
    for part in parts:
        assert [part.labels[i] for i in range(4)] == [
            int(np.flatnonzero((images == image).all(axis=tuple(range(1, images.ndim))))[0]) % 4
            for image in part.images[:4]
        ]


def test_a_pattern_keeps_the_files_of_a_person_together(tmp_path):
    images = scenes(96, (16, 16))
    for number, image in enumerate(images):
        place = tmp_path / "cd"[number % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(image).save(place / f"person-{number // 8:02}_{number}.png")
    parts = [load(tmp_path, part, groups=r"person-(\d+)") for part in ("train", "test")]
    people = [{name.split("-")[1][:2] for name in part.files} for part in parts]
    assert not people[0] & people[1]
    assert len(people[0] | people[1]) == 12
    assert parts[1].counts.tolist() == [8, 8]
    training, validation = split_validation(parts[0], seed=3)
    seen = [{name.split("-")[1][:2] for name in part.files} for part in (training, validation)]
    assert not seen[0] & seen[1]
    with pytest.warns(LookbookWarning) as caught:
        load(tmp_path, groups="person-(0.)")
    assert left_out(caught)[0].startswith(
        "`groups` matches 80 of 96 files; each of the others stands for itself: "
    )


def test_a_column_of_an_npz_file_keeps_its_images_together(tmp_path):
    images = scenes(60, (16, 16))
    whose = np.array([f"사람 {i // 5}" for i in range(60)])
    path = tmp_path / "data.npz"
    np.savez(path, images=images, labels=np.arange(60) % 3, whose=whose, odd=whose[:9])
    parts = [load(path, part, groups="whose") for part in ("train", "test")]
    at = {image.tobytes(): name for image, name in zip(images, whose, strict=True)}
    people = [{at[image.tobytes()] for image in part.images} for part in parts]
    assert not people[0] & people[1]
    assert refusal(path, groups="who") == (
        f"{path} has no array 'who' for `groups`; it holds images, labels, odd, whose"
    )
    assert refusal(path, groups="odd") == (
        f"the array 'odd' in {path} must have a whole number or a name for each of the 60 images, "
        "got <U5 of shape (9,)"
    )


def test_groups_that_cannot_be_are_refused(tmp_path):
    for number, image in enumerate(scenes(24, (16, 16))):
        (tmp_path / "cd"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "cd"[number % 2] / f"p{number % 2}_{number}.png")
    assert refusal(tmp_path, groups="q(.)").startswith("`groups` matches no file: 'q(.)' is looked")
    assert "no regular expression" in refusal(tmp_path, groups="p(.")
    assert "needs one group in brackets, got 0" in refusal(tmp_path, groups="p.")
    assert refusal(tmp_path, groups="p(.)") == (
        "`groups` leaves no image of c, d for the test part: its groups are too large; take "
        "smaller ones, or add images"
    )
    assert refusal("fashion-mnist", groups="p(.)") == (
        "`groups` is for data of your own; fashion-mnist is split as it was published"
    )


def test_a_class_of_copies_alone_is_split_all_the_same():
    images = np.concatenate([scenes(20, (16, 16)), np.zeros((10, 16, 16, 3), np.uint8)])
    dataset = Dataset(images, np.repeat([0, 1], [20, 10]), ("a", "b"))
    dataset = Dataset(
        *(images, dataset.labels, ("a", "b")),
        groups=Groups(np.repeat(np.arange(21), [1] * 20 + [10])),
    )
    training, validation = split_validation(dataset, seed=0)
    assert validation.counts.tolist() == [3, 1]
    assert training.counts.tolist() == [17, 9]
