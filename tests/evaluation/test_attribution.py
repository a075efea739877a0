"""Occlusion shows where an answer lies."""

from __future__ import annotations

import numpy as np

from bright_rows import BrightRows
from lookbook.evaluation.attribution import occlusion


def test_where_a_model_looked_is_where_its_answer_lies():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 2:6, 4:24] = images[1, 22:26, 4:24] = 255
    looked = occlusion(BrightRows(), images, np.array([0, 2]))
    assert looked.shape == (2, 13, 13)
    assert looked[0].max() == looked[1].max() == 1
    assert looked[0, :4].sum() > 0.99 * looked[0].sum()
    assert looked[1, -4:].sum() > 0.99 * looked[1].sum()
