"""Predictions: test pictures by number, several inputs of which some fail, examples."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lookbook.datasets import load
from lookbook.errors import InputError
from lookbook.prediction import choose_examples, predict, predict_each, predict_examples


@pytest.mark.parametrize("number", ["٣", "²", "-1", "", "1.0", "90", "9" * 5000])
def test_a_number_is_ascii_digits_in_range(run, number):
    with pytest.raises(InputError) as caught:
        predict(run, [f"test:{number}"])
    assert str(caught.value) == (
        f"no test picture {number!r}: the test part has 90; expected test:0 to test:89"
    )


def test_good_inputs_are_answered_beside_bad_ones(run, tmp_path):
    picture = tmp_path / "own.png"
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(picture)
    inputs = ["test:5", str(tmp_path / "none.png"), str(picture), "test:90"]
    found, failures = predict_each(run, inputs)
    assert [one.source for one in found] == ["test:5", str(picture)]
    assert [str(failure) for failure in failures] == [
        f"no picture file {tmp_path / 'none.png'}; check the name",
        "no test picture '90': the test part has 90; expected test:0 to test:89",
    ]


def test_a_prediction_is_of_the_picture_it_names(run, bars):
    test = load(str(bars), "test")
    (one,) = predict(run, ["test:7"])
    assert (one.image == test.images[7]).all()
    assert one.truth == test.labels[7]
    assert one.probs.sum() == pytest.approx(1, abs=1e-5)


def test_examples_are_the_first_and_the_middle_one_of_data_of_ones_own(run):
    examples, first = predict_examples(run)
    assert [one.source for one in examples] == ["test:0", "test:45"]
    assert [one.source for one in first] == [f"test:{i}" for i in range(15)]


def test_examples_of_fashion_mnist_are_the_tutorials():
    assert choose_examples("fashion-mnist", 10_000) == [2000, 800]
