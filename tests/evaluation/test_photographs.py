"""Answers to photographs are worth what counting them by hand says, and the result is kept."""

from __future__ import annotations

import json
import unicodedata
import warnings
from collections import Counter
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from kinds import write_folder
from lookbook.data.catalog import FASHION_MNIST
from lookbook.errors import DamagedFileError, InputError, LookbookWarning
from lookbook.evaluation import photographs
from lookbook.evaluation.photographs import (
    Answers,
    Kind,
    answer_probability,
    evaluate_photographs,
    find_photographs,
    judge,
    surest_half,
)
from lookbook.runs.store import read_run

CLASSES = ("Top", "Trouser", "Sandal", "Sneaker", "Bag", "Coat")
KINDS = (
    Kind("t-shirt", (0,), "upper body"),
    Kind("pants", (1,), "trousers"),
    Kind("outwear", (5,), "upper body"),
    Kind("shoes", (2, 3), "shoes"),
    Kind("hat"),
    Kind("skirt"),
)


def of_answers(*given):
    """Return answers of (kind, class, probability, refused): the rest is shared by the others."""
    probs = np.full((len(given), 6), 0.0)
    for row, (_, top, probability, _) in zip(probs, given, strict=True):
        row[:] = (1 - probability) / 5
        row[top] = probability
    refused = np.array([refused for *_, refused in given])
    return Answers(probs, refused, refused, np.array([kind for kind, *_ in given]))


#: four t-shirts, two pants, two coats, two pairs of shoes, two hats
SEEN = of_answers(
    (0, 0, 0.9, False), (0, 0, 0.8, True), (0, 5, 0.7, False), (0, 4, 0.5, True),
    (1, 1, 0.95, False), (1, 4, 0.6, False),
    (2, 0, 0.85, False), (2, 1, 0.55, True),
    (3, 3, 0.5, False), (3, 2, 0.45, True),
    (4, 0, 0.4, True), (4, 4, 0.65, False),
)  # fmt: skip


def test_figures_are_those_that_are_counted_by_hand():
    found = judge(SEEN, KINDS, CLASSES)
    assert found.n == 12
    # right: 2 of 4, 1 of 2, 0 of 2, 2 of 2
    assert found.accuracy_garments == pytest.approx((2 / 4 + 1 / 2 + 0) / 3)
    assert found.accuracy_with_shoes == pytest.approx((2 / 4 + 1 / 2 + 0 + 1) / 4)
    assert found.accuracy == found.accuracy_with_shoes
    # a t-shirt as a coat and a coat as a t-shirt are of the right group; a bag never is
    assert found.accuracy_groups == pytest.approx((3 / 4 + 1 / 2 + 1 / 2 + 1) / 4)
    # skirt has no photographs
    assert found.unknown_refused == 1 / 2
    assert found.garments_refused == pytest.approx((2 / 4 + 0 + 1 / 2) / 3)
    assert found.refused == pytest.approx((2 / 4 + 0 + 1 / 2 + 1 / 2) / 4)
    # the surest five: 0.95 right, 0.9 right, 0.85 wrong, 0.8 right, 0.7 wrong
    assert found.accuracy_top_half == 3 / 5


def test_standard_errors_are_those_of_a_mean_over_kinds():
    errors = judge(SEEN, KINDS, CLASSES).standard_errors
    assert errors["accuracy_garments"] == pytest.approx(sqrt(0.25 / 4 + 0.25 / 2) / 3)
    assert errors["accuracy_groups"] == pytest.approx(
        sqrt(0.1875 / 4 + 0.25 / 2 + 0.25 / 2 + 0) / 4
    )
    assert errors["unknown_refused"] == pytest.approx(sqrt(0.25 / 2))
    assert errors["accuracy_top_half"] == pytest.approx(sqrt(0.6 * 0.4 / 5))
    assert "ece" not in errors


def test_kinds_say_how_often_they_are_right_and_what_they_are_taken_for():
    shirt, _, coat, shoes, hat = judge(SEEN, KINDS, CLASSES).per_kind
    assert (shirt.kind, shirt.n, shirt.right, shirt.refused) == ("t-shirt", 4, 2, 2)
    assert shirt.answers == [2, 0, 0, 0, 1, 1]
    assert shirt.most_wrong == "Bag"
    assert (coat.right, coat.most_wrong) == (0, "Top")
    assert (shoes.classes, shoes.right, shoes.most_wrong) == (["Sandal", "Sneaker"], 2, None)
    assert (hat.classes, hat.right, hat.refused) == ([], None, 1)


def test_a_shoe_is_as_probable_as_its_classes_together():
    probs = np.array([[0.1, 0, 0.4, 0.3, 0.2, 0], [0.35, 0, 0.3, 0.3, 0.05, 0]])
    # the second is no shoe: its most probable class is none
    np.testing.assert_allclose(answer_probability(probs, KINDS), [0.7, 0.35])


def test_answers_as_sure_as_the_last_of_the_half_belong_to_it():
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    right = np.array([True, False, True, True, True])
    share, error = surest_half(confidence, right)
    assert share == 3 / 4
    assert error == pytest.approx(sqrt(0.75 * 0.25 / 4))


def test_figures_agree_with_plain_loops_over_many_answers():
    """The same by other means: sums over lists, and each bin of the calibration error by itself."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, 700)
    probs = rng.dirichlet(np.full(6, 0.4), 700)
    refused = rng.random(700) < 0.3
    found = judge(Answers(probs, refused, refused, labels), KINDS, CLASSES)
    rights = {0: {0}, 1: {1}, 2: {5}, 3: {2, 3}}
    rows = []
    for label, row in zip(labels.tolist(), probs.tolist(), strict=True):
        if label in rights:
            top = row.index(max(row))
            sure = row[2] + row[3] if top in {2, 3} else row[top]
            rows.append((sure, top in rights[label], label))
    of_kind = Counter(label for *_, label in rows)
    assert found.accuracy_with_shoes == pytest.approx(
        sum(right / of_kind[label] for _, right, label in rows) / 4
    )
    surest = sorted(rows, reverse=True)[: (len(rows) + 1) // 2]
    assert found.accuracy_top_half == pytest.approx(
        sum(right for _, right, _ in surest) / len(surest)
    )
    gap = 0.0
    for k in range(15):
        inside = [row for row in rows if k / 15 <= row[0] < (k + 1) / 15 or k == 14 < 15 * row[0]]
        gap += abs(sum(right - sure for sure, right, _ in inside))
    assert found.ece == pytest.approx(gap / len(rows))


# ---- which photographs ----


def warned(recorded):
    return [str(one.message) for one in recorded]


def test_folders_of_a_built_in_dataset_are_its_kinds_and_others_are_left_out(tmp_path):
    write_folder(tmp_path, (8, 8), {"shoes": 2, "hat": 1, "dress": 1, "sock": 3})
    with pytest.warns(LookbookWarning) as notes:
        found = find_photographs(tmp_path, FASHION_MNIST.classes, FASHION_MNIST)
    assert len(found.files) == 4
    assert "left out 3 files (in folders of other kinds than are measured): " in warned(notes)[0]
    by_name = {kind.name: kind for kind in found.kinds}
    assert len(by_name) == 10
    classes = FASHION_MNIST.classes
    assert [classes[k] for k in by_name["shoes"].right] == ["Sandal", "Sneaker", "Ankle boot"]
    assert by_name["hat"].right == ()
    assert Counter(found.kinds[label].name for label in found.labels) == {
        "shoes": 2, "hat": 1, "dress": 1,
    }  # fmt: skip


def test_every_kind_of_a_built_in_dataset_has_classes_of_it():
    kinds = FASHION_MNIST.photograph_kinds
    assert {name for kind in kinds for name in kind.classes} == {*FASHION_MNIST.classes} - {"Bag"}
    assert all(bool(kind.classes) == bool(kind.group) for kind in kinds)
    assert Counter(kind.group for kind in kinds if kind.group) == {
        "upper body": 4, "trousers": 1, "dress": 1, "shoes": 1,
    }  # fmt: skip


def test_other_folders_are_classes_by_their_names_in_letters_or_parts_of_letters(tmp_path):
    write_folder(tmp_path, (8, 8), {unicodedata.normalize("NFD", "고양이"): 2, "개": 1, "새": 1})
    found = find_photographs(tmp_path, ("개", "말", "고양이"))
    assert [(kind.name, kind.right) for kind in found.kinds] == [
        ("개", (0,)),
        ("고양이", (2,)),
        ("새", ()),
    ]
    assert [found.kinds[label].name for label in found.labels].count("고양이") == 2


def test_the_hash_is_of_names_and_content(tmp_path):
    write_folder(tmp_path, (8, 8), {"cat": 2, "dog": 2})
    before = find_photographs(tmp_path, ("cat", "dog")).sha256()
    assert find_photographs(tmp_path, ("cat", "dog")).sha256() == before
    file = tmp_path / "cat" / "000.png"
    file.rename(tmp_path / "cat" / "a.png")
    renamed = find_photographs(tmp_path, ("cat", "dog")).sha256()
    (tmp_path / "cat" / "a.png").write_bytes(b"another")
    changed = find_photographs(tmp_path, ("cat", "dog")).sha256()
    assert len({before, renamed, changed}) == 3


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (None, "is no folder; expected one that holds a folder of photographs for each kind"),
        ({}, "holds no image files in its class folders"),
        ({"bird": 1}, "has no folder of a kind that the model knows: it has bird; name them after"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path, counts, message):
    folder = tmp_path / "photos"
    if counts is not None:
        folder.mkdir()
        write_folder(folder, (8, 8), counts)
    with pytest.raises(InputError, match=message):
        find_photographs(folder, ("cat", "dog"))


# ---- a run ----


def photograph(folder: Path, name: str, images: np.ndarray) -> None:
    """Write images of bars as photographs: large and in colour, some of them dark on light."""
    (folder / name).mkdir(parents=True)
    for number, image in enumerate(images):
        shown = 255 - image if number % 2 else image
        Image.fromarray(shown).convert("RGB").resize((100, 120), 0).save(
            folder / name / f"{number}.png"
        )


@pytest.fixture
def photos(tmp_path):
    images, labels = made_images(24, seed=7)
    for label, name in enumerate(("top", "middle", "bottom")):
        photograph(tmp_path / "photos", name, images[labels == label])
    noise = np.random.default_rng(0).integers(0, 255, (4, 12, 10), dtype=np.uint8)
    photograph(tmp_path / "photos", "noise", noise)
    return tmp_path / "photos"


def test_a_run_is_measured_on_its_classes_and_keeps_what_it_found(own_run, photos):
    heard = []
    found = evaluate_photographs(own_run, photos, tell=lambda *now: heard.append(now))
    assert found.accuracy == 1.0
    assert found.n == 28
    assert heard == [(done, 28) for done in range(1, 29)]
    assert [one.kind for one in found.per_kind] == ["top", "middle", "bottom", "noise"]
    # a model of one's own images has neither garments nor groups
    assert found.accuracy_garments is found.accuracy_groups is found.garments_refused is None
    assert found.unknown_refused is not None
    assert found.conditions.data == str(photos)
    assert found.conditions.files == 28
    kept = json.loads((own_run.folder / "photographs.json").read_text())
    assert kept == found.to_json()
    assert read_run(own_run.folder).photographs() == found


def test_files_that_cannot_be_read_are_counted_and_named(own_run, photos):
    (photos / "top" / "1.png").write_bytes(b"no image")
    (photos / "empty").mkdir()
    with pytest.warns(LookbookWarning) as notes:
        found = evaluate_photographs(own_run, photos)
    (note,) = warned(notes)
    assert note.startswith("left out 1 file (no images, or damaged): ")
    assert note.endswith("photos/top/1.png")
    assert (found.n, found.conditions.unreadable, found.conditions.files) == (27, 1, 28)
    assert found.conditions.lacking == ["empty"]
    assert found.per_kind[0].n == 7


def test_photographs_of_known_kinds_that_cannot_be_read_at_all_are_refused(own_run, photos):
    for kind in ("top", "middle", "bottom"):
        for file in (photos / kind).iterdir():
            file.write_bytes(b"no image")
    with (
        pytest.warns(LookbookWarning),
        pytest.raises(InputError, match="holds no photograph that can be read of a kind"),
    ):
        evaluate_photographs(own_run, photos)
    assert own_run.photographs() is None


def test_other_photographs_replace_the_first_and_that_is_said(own_run, photos):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_photographs(own_run, photos)
        evaluate_photographs(own_run, photos)
    (photos / "top" / "0.png").unlink()
    with pytest.warns(LookbookWarning, match="told of other photographs, those in .*photos; it"):
        found = evaluate_photographs(own_run, photos)
    assert own_run.photographs() == found


def test_a_damaged_result_is_refused(own_run, photos):
    evaluate_photographs(own_run, photos)
    path = own_run.folder / "photographs.json"
    document = json.loads(path.read_text())
    document["per_kind"][0]["answers"][0] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(DamagedFileError, match=r"count the photographs.*delete it, and evaluate"):
        own_run.photographs()


def test_a_result_that_cannot_be_kept_is_given_all_the_same(own_run, photos, monkeypatch):
    def refuse(path, _document):
        raise photographs.OutputError(f"cannot write {path}: it is full")

    monkeypatch.setattr(photographs, "write_document", refuse)
    with pytest.warns(LookbookWarning, match="the result was not kept: cannot write "):
        assert evaluate_photographs(own_run, photos).n == 28
