"""What stands around a network: several views, and components folded away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import made_images
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import QUICK, STANDARD


def test_images_that_the_network_is_not_sure_of_are_looked_at_in_several_views():
    images, _ = made_images(40, seed=0)
    classifier = build_classifier(replace(STANDARD, shift=2), images, 3, seed=0).eval()
    pixels = torch.from_numpy(images)[:, None]

    def one_view(view):
        return (classifier.network(view) + classifier.network(view.flip(3))) / 2

    with torch.no_grad():
        own = classifier.network(pixels)
        padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
        corners = [padded[:, :, y : y + 12, x : x + 10] for y in (0, 4) for x in (0, 4)]
        averaged = one_view(pixels) / 2 + sum(map(one_view, corners)) / 8
        top = own.softmax(1).amax(1)
        sure = top.median() + 1e-6
        for border, unsure in ((0.0, top < 0), (sure, top < sure), (np.inf, top < 1)):
            classifier.sure.fill_(border)
            share = ((border - top) / classifier.RAMP).clamp(0, 1)[:, None]
            found = classifier.look(torch.from_numpy(images))[0]
            np.testing.assert_allclose(found, own + share * (averaged - own), atol=1e-5)
            np.testing.assert_array_equal(found[~unsure], own[~unsure])


@pytest.mark.parametrize("n", [40, 500])  # more pixels than images, and fewer
def test_a_folded_network_is_the_tutorials_and_answers_the_same(fashion, n):
    raw = fashion.images[:n, 4:24, 4:24]
    classifier = build_classifier(QUICK, raw, 10, seed=0)
    folded = classifier.folded()
    assert [p.shape for p in folded.network.parameters()] == [(128, 400), (128,), (10, 128), (10,)]
    with torch.no_grad():
        np.testing.assert_allclose(
            folded.look(torch.from_numpy(raw))[0],
            classifier.look(torch.from_numpy(raw))[0],
            atol=1e-4,
        )
