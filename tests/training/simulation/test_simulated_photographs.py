"""Simulated photographs: what becomes of a garment, and what of it stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookbook.data.catalog import FASHION_MNIST
from lookbook.errors import InputError
from lookbook.images import photographs as real
from lookbook.training.simulation import photographs
from lookbook.training.simulation.draw import Box, Draw, Places
from lookbook.training.simulation.photographs import NONE, simulate, simulate_all
from lookbook.training.steps.augmentation import as_photographs

GARMENTS = FASHION_MNIST.garments
T_SHIRT, TROUSER, PULLOVER, DRESS, SANDAL, SHIRT, SNEAKER, BAG = 0, 1, 2, 3, 5, 6, 7, 8


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pullovers(n: int, side: int = 28) -> torch.Tensor:
    """A torso with a sleeve on either side, a dark seam between them."""
    images = torch.zeros(n, 1, 28, 28)
    images[:, :, 2:26, 3:25] = 180
    images[:, :, 9:26, 8] = images[:, :, 9:26, 19] = 8
    return torch.nn.functional.interpolate(images, side) if side != 28 else images


def trousers(n: int) -> torch.Tensor:
    images = torch.zeros(n, 1, 28, 28)
    images[:, :, 1:27, 9:13] = images[:, :, 1:27, 15:19] = 150
    images[:, :, 1:8, 9:19] = 150
    return images


@pytest.mark.parametrize("side", [8, 16, 28, 56])
@pytest.mark.parametrize("label", range(10))
def test_every_class_at_every_size_becomes_an_image_as_large_as_fits(label, side):
    labels = torch.full((40,), label)
    seen, found = simulate(pullovers(40, side), labels, GARMENTS, drawn())
    assert seen.shape == (40, 1, side, side)
    assert set(found.tolist()) <= {label, NONE}
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 255
    covered = seen > 0
    for axis in (2, 3):
        reach = covered.any(axis)[:, 0].float().sum(1)
        assert float(reach.max()) >= side - 2
    largest = torch.maximum(*(covered.any(axis)[:, 0].float().sum(1) for axis in (2, 3)))
    assert float(largest.quantile(0.1)) >= 0.75 * side


def test_the_generator_alone_decides():
    images, labels = pullovers(20), torch.arange(20) % 10
    one, other, third = (simulate(images, labels, GARMENTS, drawn(seed)) for seed in (0, 0, 1))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], third[0])
    assert torch.equal(images, pullovers(20))


def test_three_in_ten_of_what_can_become_something_else_do_and_no_others():
    labels = torch.arange(10).repeat(300)
    _, found = simulate(pullovers(3000), labels, GARMENTS, drawn())
    shares = [float((found[labels == label] == NONE).float().mean()) for label in range(10)]
    assert [label for label in range(10) if shares[label]] == [T_SHIRT, TROUSER, DRESS, BAG]
    assert np.mean([share for share in shares if share]) == pytest.approx(0.3, abs=0.03)


def test_sleeves_are_spread_and_a_garment_that_is_plain_or_has_none_stays_as_wide():
    """Widest against narrowest rows: a spread garment has arms beyond its torso."""
    garment = torch.cat([pullovers(200) / 255, (pullovers(200) > 5).float()], dim=1)
    box, flat = Box.of(garment[:, 1:]), Places.of((56, 56), 1.5)
    places = Places(flat.x.expand(200, 1, 56, 56), flat.y.expand(200, 1, 56, 56))
    draw = Draw(200, drawn())
    worn = {
        sleeved: photographs._spread_sleeves(
            garment, box, torch.full((200,), sleeved), places, draw
        )
        for sleeved in (True, False)
    }
    widths = {sleeved: (seen[:, 1] > 0.5).any(1).float().sum(1) for sleeved, seen in worn.items()}
    assert len(set(widths[False].tolist())) == 1
    assert float(widths[True].mean()) > 1.2 * float(widths[False].mean())
    bare = trousers(200)
    garment = torch.cat([bare / 255, (bare > 5).float()], dim=1)
    assert not photographs._hang_down(
        garment, box, Places.of((28, 28)).x.expand(200, 1, 1, 28)
    ).any()


def test_legs_are_spread_about_the_waist():
    garment = torch.cat([trousers(100) / 255, (trousers(100) > 5).float()], dim=1)
    flat = Places.of((56, 56), 1.5)
    places = Places(flat.x.expand(100, 1, 56, 56), flat.y.expand(100, 1, 56, 56))
    seen = photographs._stride(garment, Box.of(garment[:, 1:]), places, Draw(100, drawn()))
    widths = (seen[:, 1] > 0.5).float()
    ankles, waist = (
        widths[:, rows].amax(1).cumsum(1).gt(0).float().sum(1)
        - widths[:, rows].amax(1).flip(1).cumsum(1).eq(0).float().sum(1)
        for rows in (slice(38, 44), slice(12, 16))
    )
    assert float(ankles.mean()) > 1.2 * float(waist.mean())


def test_levels_end_in_the_range_of_real_photographs():
    """Both ways to a model's image share their range, the tails and the darkest level."""
    seen, _ = simulate(pullovers(200), torch.full((200,), SHIRT), GARMENTS, drawn())
    for image in seen[:, 0]:
        inside = image[image >= real.DARKEST]
        low, high = torch.quantile(inside, torch.tensor([0.1, 0.95]))
        assert real.LEVELS[0] - 45 < float(low) < real.LEVELS[0] + 110
        assert float(high) < real.LEVELS[1] + 30
    assert float((seen == 0).float().mean()) > 0.1


def test_ends_of_a_mask_are_those_of_its_pixels():
    mask = torch.zeros(2, 1, 10, 20)
    mask[0, 0, 2:5, 4:20] = 1
    box = Box.of(mask)
    assert [round(float(end[0]), 6) for end in box] == [-0.6, 1.0, -0.6, 0.0]
    assert [float(end[1]) for end in box] == [-1, 1, -1, 1]


def test_a_turn_about_a_point_leaves_it_where_it_is():
    x, y = torch.tensor(0.3).view(1, 1, 1, 1), torch.tensor(-0.2).view(1, 1, 1, 1)
    turned = Places(x, y).turned_about(torch.full((1, 1, 1, 1), 1.1), x, y)
    assert [float(each) for each in turned] == pytest.approx([0.3, -0.2])
    quarter = Places(x + 0.5, y).turned_about(torch.full((1, 1, 1, 1), torch.pi / 2), x, y)
    assert [float(each) for each in quarter] == pytest.approx([0.3, 0.3])


def test_arrays_are_simulated_as_tensors_are():
    images = pullovers(700)[:, 0].byte().numpy()
    labels = np.arange(700) % 10
    seen, found = simulate_all(images, labels, GARMENTS, seed=3)
    assert (seen.shape, seen.dtype, found.shape) == ((700, 28, 28), np.uint8, (700,))
    first, _ = simulate(
        torch.from_numpy(images[:500])[:, None].float(),
        torch.from_numpy(labels[:500]),
        GARMENTS,
        drawn(3),
    )
    np.testing.assert_array_equal(seen[:500], first[:, 0].byte().numpy())


def test_a_share_of_each_step_is_shown_so_and_the_rest_as_it_is():
    images, labels = pullovers(30).byte(), torch.full((30,), PULLOVER)
    draws = [(slice(0, 20), drawn(0)), (slice(20, 30), drawn(1))]
    seen, _ = as_photographs(images, labels, 0.5, GARMENTS, draws)
    changed = (seen != images).flatten(1).any(1)
    assert [int(changed[part].sum()) for part, _ in draws] == [10, 5]
    again, _ = as_photographs(images[20:], labels[20:], 0.5, GARMENTS, [(slice(0, 10), drawn(1))])
    assert torch.equal(again, seen[20:])


def test_of_other_images_nothing_is_simulated():
    with pytest.raises(InputError, match=r"^the recipe simulates photographs of garments, and"):
        as_photographs(pullovers(3), torch.zeros(3).long(), 0.5, None, [(slice(0, 3), drawn())])
