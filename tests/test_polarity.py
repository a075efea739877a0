"""Odd images among grey ones: inverted alike in training, arrays, evaluation and files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from lookbook.data import corrections
from lookbook.data.corrections import COLUMNS
from lookbook.data.dataset import Dataset
from lookbook.estimator import LookbookClassifier
from lookbook.evaluation.evaluate import evaluate
from lookbook.inference.model import Model
from lookbook.inference.prediction import predict
from lookbook.recipes import TUTORIAL
from lookbook.runs import schema
from lookbook.runs.data_parts import load_part, load_training
from lookbook.training.pipeline import train

#: of the images of both parts, in which light and dark are swapped
ODD = slice(5, None, 14)


def mostly_dark(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = made_images(n, seed=seed)
    images[ODD] = 255 - images[ODD]
    return images, labels


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """A run on images of which one in fourteen has a light ground, with one label corrected."""
    folder = tmp_path_factory.mktemp("odd")
    images, labels = mostly_dark(400, seed=3)
    others, more = mostly_dark(60, seed=4)
    right = int(labels[5])
    labels[5] = (right + 1) % 3
    np.savez(folder / "bars.npz", train_images=images, train_labels=labels,
             test_images=others, test_labels=more)  # fmt: skip
    # as the report on a run writes it, which shows images as a model sees them
    row = dict.fromkeys(COLUMNS, "") | {"part": "train", "index": 5, "correction": right}
    row |= {"picture": corrections._digest(255 - images[5])}
    with (folder / "labels.csv").open("w") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerow(row)
    run = train(
        str(folder / "bars.npz"),
        TUTORIAL.with_epochs(4),
        out=folder / "run",
        corrections=folder / "labels.csv",
    )
    return run, images, others


def test_all_parts_are_inverted_alike(odd_run):
    run, images, others = odd_run
    assert run.conditions["data"]["polarity"] == Model.open(run.model).polarity == "light on dark"
    for part, given in (("train", images), ("test", others)):
        expected = given.copy()
        expected[ODD] = 255 - expected[ODD]
        np.testing.assert_array_equal(load_part(run, part).images, expected)
    assert load_training(run).labels[5] == 5 % 3


def test_an_image_has_one_answer_from_data_arrays_and_files(odd_run, tmp_path):
    run, _, others = odd_run
    chosen = [4, 5, 6, 19, 33]
    files = []
    for i in chosen:
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(others[i]).save(files[-1])
    said = predict(run, [*(f"test:{i}" for i in chosen), *files, others[chosen], others[5]])
    by_data, by_file, by_array = (said[at : at + 5] for at in (0, 5, 10))
    for i, *three in zip(chosen, by_data, by_file, by_array, strict=True):
        for one in three:
            np.testing.assert_array_equal(one.probs, three[0].probs)
            np.testing.assert_array_equal(one.image, 255 - others[i] if i % 14 == 5 else others[i])
            assert one.inverted == (i % 14 == 5)
    np.testing.assert_array_equal(said[-1].probs, by_data[1].probs)
    right = [one.right for one in predict(run, [f"test:{i}" for i in range(60)])]
    assert evaluate(run).accuracy == np.mean(right) > 0.9


def test_of_a_run_that_did_not_find_the_polarity_nothing_is_inverted(odd_run):
    """As earlier versions trained: on images as they were."""
    run, images, _ = odd_run
    document = run.conditions.to_json()
    del document["data"]["polarity"]
    earlier = schema.decode("conditions", json.dumps(document).encode())
    as_then = replace(run, conditions=earlier)
    np.testing.assert_array_equal(load_part(as_then, "train").images, images)


@pytest.mark.parametrize("share", [0.5, 0.85])
def test_where_both_kinds_are_usual_nothing_is_inverted(share):
    images, labels = made_images(40, seed=3)
    odd = np.random.default_rng(0).permutation(40) >= share * 40
    images[odd] = 255 - images[odd]
    dataset = Dataset(images, labels, ("a", "b", "c"))
    assert dataset.polarity == "mixed"
    assert dataset.match(dataset.polarity).images is images


def test_an_estimator_inverts_when_it_learns_and_when_it_answers():
    images, labels = mostly_dark(200, seed=3)
    classifier = LookbookClassifier(epochs=2, random_state=0).fit(images, labels)
    alike = images.copy()
    alike[ODD] = 255 - alike[ODD]
    other = LookbookClassifier(epochs=2, random_state=0).fit(alike, labels)
    np.testing.assert_array_equal(classifier.predict_proba(images), other.predict_proba(alike))
    np.testing.assert_array_equal(images, mostly_dark(200, seed=3)[0])  # nobody's array is changed
