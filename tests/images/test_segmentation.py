"""Segmentation of photographs: masks of made ones, whose outline is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lookbook.images import segmentation
from lookbook.images.segmentation import segment, to_lab
from made_photographs import COLOURS, made


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


@pytest.mark.parametrize("colours", COLOURS.values(), ids=COLOURS)
@pytest.mark.parametrize("size", [(72, 96), (96, 54), (96, 96)])
def test_what_stands_out_is_found_whatever_its_colours(colours, size):
    image, truth = made(*colours, size)
    assert overlap(segment(image), truth) > 0.93


def test_a_mirrored_or_turned_photograph_has_the_mask_turned():
    image, _ = made(*COLOURS["grey on wood"])
    mask = segment(image)
    for turn in (np.fliplr, np.flipud, lambda pixels: np.moveaxis(pixels, 0, 1)):
        assert overlap(segment(np.ascontiguousarray(turn(image))), turn(mask)) > 0.99


def test_small_specks_are_dropped_and_small_holes_filled():
    image, truth = made(*COLOURS["dark on light"], (96, 96))
    image[5:10, 5:10] = 30, 40, 70
    image[50:53, 46:49] = 225, 220, 210
    assert overlap(segment(image), truth) > 0.93


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 96), (96, 1), (2, 2), (3, 3), (3, 96), (96, 96), (54, 96)]
)
def test_where_nothing_stands_out_all_of_it_is_taken(shape):
    assert segment(np.full((*shape, 3), 128, np.uint8)).all()


def test_the_cut_costs_least_of_all():
    """Every mask of 3×3 pixels within a border of ground, by brute force."""
    rng = np.random.default_rng(1)
    colours = rng.normal(50, 20, (5, 5, 3))
    inside = np.zeros((5, 5), bool)
    inside[1:-1, 1:-1] = True
    graph = segmentation._Graph.of(colours)
    for seed in range(5):
        excess = np.random.default_rng(seed).normal(0, 12, (5, 5))

        def cost(mask, excess=excess):
            ends = mask.ravel()[graph.tails], mask.ravel()[graph.heads]
            return excess[mask].sum() + graph.links[ends[0] != ends[1]].sum()

        masks = []
        for number in range(2**9):
            mask = np.zeros((5, 5), bool)
            mask[1:-1, 1:-1] = np.array([number >> bit & 1 for bit in range(9)]).reshape(3, 3)
            masks.append(mask)
        found = graph.cut(excess, inside)
        # capacities are whole sixteenths
        assert cost(found) <= min(map(cost, masks)) + 1


def test_mixtures_cost_what_densities_say():
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

    pixels = np.random.default_rng(0).normal(0, 10, (200, 3)) + np.repeat([[0], [40]], 100, axis=0)
    mixture = segmentation._Mixture.fit(pixels, None)
    assert len(mixture.shares) == 5
    assert mixture.shares.sum() == pytest.approx(1)
    densities = [
        np.log(share) + multivariate_normal(mean, np.linalg.inv(precision)).logpdf(pixels)
        for share, mean, precision in zip(
            mixture.shares, mixture.means, mixture.precisions, strict=True
        )
    ]
    constant = 1.5 * np.log(2 * np.pi)
    expected = -logsumexp(densities, axis=0) - constant
    np.testing.assert_allclose(mixture.cost(pixels), expected, rtol=1e-9)


def test_colours_are_those_of_cielab():
    """Published values of sRGB primaries under D65, to a tenth."""
    image = np.uint8([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [10, 10, 10]]])
    expected = [
        [53.2, 80.1, 67.2],
        [87.7, -86.2, 83.2],
        [32.3, 79.2, -107.9],
        [0, 0, 0],
        [2.7, 0, 0],
    ]
    np.testing.assert_allclose(to_lab(image)[0], expected, atol=0.1)


def test_large_parts_and_large_holes_stay():
    """Shoes come in pairs, and a bag has a handle."""
    mask = np.zeros((40, 40), bool)
    mask[2:18, 2:18], mask[2:18, 22:38], mask[30:33, 30:33] = True, True, True
    mask[5:7, 5:7] = False
    tidy = segmentation._tidy(mask)
    assert ndimage.label(tidy)[1] == 2
    assert tidy[2:18, 2:18].all()
    mask[4:16, 4:16] = False
    np.testing.assert_array_equal(segmentation._tidy(mask)[2:18, 2:18], mask[2:18, 2:18])
