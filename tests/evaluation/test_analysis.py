"""An analysis holds what a report shows beyond numbers, and can be kept."""

from __future__ import annotations

import numpy as np
import pytest

from bright_rows import BrightRows
from conftest import made_images
from lookbook.data.dataset import Dataset
from lookbook.evaluation.analysis import Analysis, analyse


@pytest.fixture(scope="module")
def test_part():
    images, labels = made_images(120, seed=5)
    return Dataset(images, labels, ("top", "middle", "bottom"))


def test_an_analysis_is_the_same_after_it_was_kept(test_part):
    probs = BrightRows().predict(test_part.images).probs
    found = analyse(test_part, probs)
    again = Analysis.from_arrays(found.to_arrays())
    for name, value in vars(found).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert not found.by_features
    assert found.curves == ()
    assert found.nearest.shape == (len(found.hardest), 0)
