"""Batch norms of a step that several processes share: threads stand for the processes."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
import torch

from lookbook.networks.conv import _Norm
from lookbook.training.steps.norms import own_statistics, share_statistics

#: how many images of a step each process has
SHARES = (5, 3)


class Sum:
    """What all threads have in a tensor, added up."""

    def __init__(self) -> None:
        self._barrier = Barrier(len(SHARES))
        self._given: list[torch.Tensor] = []

    def __call__(self, tensor: torch.Tensor) -> None:
        self._given.append(tensor.clone())
        self._barrier.wait(10)
        tensor.copy_(torch.stack(self._given).sum(0))
        if self._barrier.wait(10) == 0:
            self._given.clear()
        self._barrier.wait(10)


def learn(norm: _Norm, maps: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return answers, and gradients by maps and bias."""
    maps = maps.clone().requires_grad_()
    answers = norm(maps)
    return answers, *torch.autograd.grad((answers * wanted).sum(), [maps, norm.bias])


def in_threads(norms: list[_Norm], maps: torch.Tensor, wanted: torch.Tensor):
    results: list[tuple[torch.Tensor, ...]] = [() for _ in norms]

    def work(i: int, part: slice) -> None:
        results[i] = learn(norms[i], maps[part], wanted[part])

    parts = [slice(0, SHARES[0]), slice(SHARES[0], sum(SHARES))]
    threads = [Thread(target=work, args=(i, part)) for i, part in enumerate(parts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_shares_of_a_step_are_normalized_as_the_whole_of_it(dtype, near):
    drawn = torch.Generator().manual_seed(0)
    maps = torch.randn(sum(SHARES), 4, 3, 3, generator=drawn) * torch.arange(1.0, 5)[:, None, None]
    maps = (maps + 2).to(dtype).contiguous(memory_format=torch.channels_last)
    maps[:, 3] = 7  # a channel that is constant
    wanted = torch.randn(maps.shape, generator=drawn)
    alone, norms, add_up = _Norm(4), [_Norm(4), _Norm(4)], Sum()
    for norm in norms:
        share_statistics(norm, add_up)
    for _ in range(2):
        answers, by_maps, by_bias = learn(alone, maps, wanted)
        shares = in_threads(norms, maps, wanted)
    for i, whole in enumerate((answers, by_maps)):
        parts = torch.cat([share[i] for share in shares])
        # what is left of the constant channel is rounding
        torch.testing.assert_close(parts[:, :3], whole[:, :3], atol=near, rtol=near)
    torch.testing.assert_close(sum(s[2] for s in shares), by_bias, atol=4 * near, rtol=near)
    for norm in norms:
        torch.testing.assert_close(norm.running_mean, alone.running_mean)
        torch.testing.assert_close(norm.running_var, alone.running_var)
        assert norm.num_batches_tracked == alone.num_batches_tracked == 2
        # the constant channel counts as such when the network answers
        assert norm.eval().weight.tolist() == alone.eval().weight.tolist() == [1, 1, 1, 0]


def test_a_norm_answers_as_ever_while_it_is_shared_and_afterwards():
    norm, maps = _Norm(2).eval(), torch.rand(3, 2, 4, 4)
    before = norm(maps)
    share_statistics(norm, lambda _: pytest.fail("nothing is learnt"))
    assert torch.equal(norm(maps), before)
    own_statistics(norm)
    assert torch.equal(norm(maps), before)
    assert "forward" not in vars(norm)
