"""Optimizers against PyTorch's own, and against slow plain versions of their papers."""

from __future__ import annotations

import math

import pytest
import torch

from lookbook.training.steps.optimizers import Adam, Muon, RelativeAdam, orthogonalize


def drawn(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def test_adam_is_pytorchs_at_any_rate():
    ours, theirs = drawn((5, 3), (7,)), drawn((5, 3), (7,))
    adam = Adam(ours, learning_rate=0.02)
    reference = torch.optim.Adam(theirs, lr=0.02, eps=1e-7, foreach=False)
    for step in range(20):
        gradients = drawn((5, 3), (7,), seed=step)
        rate = 1 - step / 40
        adam.step(gradients, rate)
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient
        reference.param_groups[0]["lr"] = 0.02 * rate
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def iterated(matrix, steps):
    """Newton-Schulz iterations of the fifth order, as Jordan et al. (2024) write them."""
    x = matrix.double()
    x = x / x.norm()
    for _ in range(steps):
        product = x @ x.T
        x = 3.4445 * x + (-4.7750 * product + 2.0315 * product @ product) @ x
    return x


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_orthogonal_matrices_come_from_newton_schulz_iterations(shape, steps):
    (matrix,) = drawn(shape)
    found = orthogonalize(matrix, steps)
    torch.testing.assert_close(found.double(), iterated(matrix, steps), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_an_orthogonal_matrix_turns_as_the_nearest_one_does(shape):
    (matrix,) = drawn(shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalize(matrix, 5) @ right.T
    values = turned.diagonal()
    assert (turned - torch.diag(values)).abs().max() < 1e-3
    assert 0.6 < values.min() < values.max() < 1.3


def test_muon_moves_filters_along_their_orthogonal_momentum_and_all_else_by_adam():
    shapes = (8, 3, 2, 2), (4, 8), (8,)
    weights, expected = drawn(*shapes), drawn(*shapes)
    muon = Muon(weights, learning_rate=0.2)
    adams = [Adam(expected[1:2], 0.05, beta2=0.99), Adam(expected[2:], 0.02, beta2=0.99)]
    momentum = torch.zeros(8, 12)
    for step in range(4):
        gradients = drawn(*shapes, seed=step + 1)
        muon.step(gradients, rate=0.5)
        rows = gradients[0].reshape(8, 12)
        momentum = 0.6 * momentum + rows
        filters = expected[0] * math.sqrt(8) / expected[0].norm()
        move = iterated(rows + 0.6 * momentum, 3).float().reshape(8, 3, 2, 2)
        expected[0] = filters - 0.5 * 0.2 * move
        for adam, gradient in zip(adams, gradients[1:], strict=True):
            adam.step([gradient], 0.5)
    for one, other in zip(weights, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_relative_steps_are_shares_of_sizes_that_shrink_towards_the_first_layer():
    rng = torch.Generator().manual_seed(0)
    small = (
        torch.randn(4, 3, 3, 3, generator=rng)
        * torch.tensor([1e-3, 1.0, 10.0, 0.1])[:, None, None, None]
    )
    weights = [
        small.contiguous(memory_format=torch.channels_last),
        torch.zeros(4),
        torch.ones(2, 4),
    ]
    before = [weight.clone() for weight in weights]
    optimizer = RelativeAdam(weights, learning_rate=0.01)
    optimizer.step([torch.randn(weight.shape, generator=rng) for weight in weights], rate=0.5)
    moves = [weight - old for weight, old in zip(weights, before, strict=True)]
    sizes = before[0].square().mean((1, 2, 3)).sqrt()
    # the first step of Adam has the same size for all of a filter
    shares = moves[0].abs().mean((1, 2, 3)) / sizes
    torch.testing.assert_close(shares[1:3], torch.full((2,), 0.005 / 7), rtol=0.05, atol=0)
    torch.testing.assert_close(weights[0].square().mean((1, 2, 3)).sqrt(), sizes)
    # small ones may grow: a thousandth of the mean size is added to each
    assert 1.01 * 0.005 / 7 < shares[3] < 1.15 * 0.005 / 7 < shares[0]
    torch.testing.assert_close(moves[2].abs(), torch.full((2, 4), 0.005))
    assert 0 < moves[1].abs().max() < 0.005 * RelativeAdam.SHIFT


def test_a_filter_of_zeros_stays_finite():
    weight = torch.zeros(2, 3, 3, 3)
    weight[1] = 1
    optimizer = RelativeAdam([weight], learning_rate=0.1)
    for _ in range(3):
        optimizer.step([torch.ones(2, 3, 3, 3)])
    assert weight.isfinite().all()
    assert weight[0].abs().max() < 1e-9


def test_relative_steps_follow_gradients_in_any_layout():
    rng = torch.Generator().manual_seed(0)
    start, gradient = (torch.randn(4, 3, 5, 5, generator=rng) for _ in range(2))
    ends = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = start.clone(memory_format=torch.contiguous_format)
        optimizer = RelativeAdam([weight], 0.1)
        for _ in range(3):
            optimizer.step([gradient.contiguous(memory_format=layout)])
        ends.append(weight)
    assert torch.equal(*ends)


def test_relative_steps_go_on_from_their_state():
    rng = torch.Generator().manual_seed(0)
    gradients = [[torch.randn(3, 2, generator=rng)] for _ in range(4)]
    whole, begun, resumed = (torch.ones(3, 2) for _ in range(3))
    optimizer = None
    for weight, steps in ((whole, gradients), (begun, gradients[:2])):
        last, optimizer = optimizer, RelativeAdam([weight], 0.1)
        for each in steps:
            optimizer.step(each)
    resumed.copy_(begun)
    later = RelativeAdam([resumed], 0.1)
    for mine, kept in zip(later.state(), optimizer.state(), strict=True):
        mine.copy_(kept)
    for each in gradients[2:]:
        later.step(each)
    assert torch.equal(resumed, whole)
    later.average()
    last.average()
    assert torch.equal(resumed, whole)  # the averages


def test_the_average_is_of_all_weights_and_of_the_last_100_steps_mostly():
    weight = torch.full((1, 1), 2.0)
    optimizer, average = RelativeAdam([weight], 0.1), 0.0
    for step in range(140):
        optimizer.step([torch.full((1, 1), (-1.0) ** (step // 3))])
        average += max(0.01, 1 / (step + 1)) * (float(weight) - average)
    last = float(weight)
    optimizer.average()
    assert float(weight) == pytest.approx(average, rel=1e-5)
    assert abs(last - average) > 0.01  # they are not the same anyway


@pytest.mark.parametrize("kind", [Adam, Muon])
def test_other_optimizers_leave_the_last_weights(kind):
    weights = [torch.ones(2, 2, 3, 3), torch.ones(2, 2), torch.ones(2)]
    optimizer = kind(weights, 0.1)
    optimizer.step([torch.ones_like(weight) for weight in weights])
    before = [weight.clone() for weight in weights]
    optimizer.average()
    assert all(map(torch.equal, weights, before))
