"""Processes that train together: what they share of a step, add up, and leave to the first one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from msgspec import UNSET, UnsetType
from torch import distributed

from lookbook.core.environment import Launch
from lookbook.errors import InputError, LookbookError, ProcessEndedError, write_call
from lookbook.networks.devices import pick_device
from lookbook.runs.places import unfinished
from lookbook.training.steps.norms import own_statistics, share_statistics

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor, nn

T = TypeVar("T")

#: after how long a process that does not answer ends the training
TIMEOUT = timedelta(minutes=10)
#: how processes on a device reach each other; what is on the processor never waits for the device
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}


#: what a person hears of a process that is gone
ENDED = "another process of this training ended, or was told to, and the training ends with it"


@dataclass(frozen=True)
class Share:
    """What a process has of the next few steps."""

    #: which of the images are its own
    own: Int64[Tensor, "M"]
    #: which of its own each step takes
    parts: list[slice]
    #: where these are among all images
    places: list[slice]

    @property
    def both(self) -> Iterator[tuple[slice, slice]]:
        """Parts and places of each step."""
        return zip(self.parts, self.places, strict=True)


class Processes:
    """A process that trains alone: whatever several would share is its own.

    `Several` does the same for processes that torchrun started. Each calls the same methods in the
    same order.
    """

    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @property
    def counted(self) -> int | UnsetType:
        """How many they are, where they are several."""
        return UNSET if self.size == 1 else self.size

    def share(self, steps: list[slice]) -> Share:
        """Return what this process has of the steps that take these images."""
        return Share(torch.arange(steps[-1].stop), steps, steps)

    def sum_gradients(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the sums of all processes' gradients."""
        return gradients

    def part(self, n: int) -> slice:
        """Return which of `n` images are this process's."""
        return slice(0, n)

    def gather(
        self, values: Float[Tensor, "*shape L"], own: Int64[Tensor, "M"], n: int
    ) -> Float[Tensor, "*shape N"]:
        """Return the values of `n` images, of which this process has the first of its `own`."""
        del own, n
        return values

    def of_first(self, value: float) -> float:
        """Return the first process's value."""
        return value

    def by_first(self, call: Callable[[], T]) -> T:
        """Let the first process call something; return what it gets, or raise its error."""
        return call()

    def align(self, module: nn.Module) -> None:
        """Give a module the weights and buffers that the first process has."""

    def share_norms(self, network: nn.Module) -> None:
        """Make a network's batch norms learn by the images of all processes."""

    def own_norms(self, network: nn.Module) -> None:
        """Take that back."""


#: this process trains alone
ONE = Processes()


class Several(Processes):
    """One of several processes that torchrun, or a launcher like it, started together."""

    def __init__(self, launch: Launch) -> None:
        device = pick_device()
        if device.type not in BACKENDS:
            raise InputError(
                f"several processes cannot train together on {device.type}; train in one: "
                "`lookbook.train(...)`"
            )
        if device.type == "cuda":
            _take_device(launch)
        torch.set_num_threads(launch.threads)
        if not distributed.is_initialized():
            with _together():
                distributed.init_process_group(BACKENDS[device.type], timeout=TIMEOUT)
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def share(self, steps: list[slice]) -> Share:
        """Return this process's part of each step, as good as equal to the others'."""
        places = [self._part(step) for step in steps]
        ends = accumulate((place.stop - place.start for place in places), initial=0)
        own = torch.cat([torch.arange(place.start, place.stop) for place in places])
        return Share(own, [slice(*bounds) for bounds in pairwise(ends)], places)

    def _part(self, step: slice) -> slice:
        n = step.stop - step.start
        if n < self.size:
            raise InputError(
                f"{self.size} processes cannot share a step of {n} images; start fewer of them"
            )
        part = self.part(n)
        return slice(step.start + part.start, step.start + part.stop)

    def part(self, n: int) -> slice:
        """Return which of `n` images are this process's."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def sum_gradients(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Return the sums of all processes' gradients, of all weights in one exchange."""
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self._add_up(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        # each in the memory format of its weights
        return tuple(
            torch.empty_like(gradient).copy_(piece.view_as(gradient))
            for gradient, piece in zip(gradients, pieces, strict=True)
        )

    def gather(
        self, values: Float[Tensor, "*shape L"], own: Int64[Tensor, "M"], n: int
    ) -> Float[Tensor, "*shape N"]:
        """Return the values of `n` images: each process adds its own to zeros."""
        whole = torch.zeros(*values.shape[:-1], n, dtype=values.dtype)
        whole[..., own[: values.shape[-1]]] = values
        self._add_up(whole)
        return whole

    def of_first(self, value: float) -> float:
        """Return the first process's value."""
        said = torch.tensor(value, dtype=torch.float64)
        with _together():
            distributed.broadcast(said, 0)
        return said.item()

    def by_first(self, call: Callable[[], T]) -> T:
        """Let the first process call something; return what it gets, or raise its error."""
        said: list[Any] = [None, None]
        if self.is_first:
            try:
                said[0] = call()
            except LookbookError as error:
                said[1] = error
        with _together():
            distributed.broadcast_object_list(said, 0)
        if said[1] is not None:
            raise said[1]
        result: T = said[0]
        return result

    def align(self, module: nn.Module) -> None:
        """Give a module the weights and buffers that the first process has.

        What is computed rather than drawn, a whitening layer say, is another one on another
        processor.
        """
        module.load_state_dict(self.by_first(lambda: on_processor(module.state_dict())))

    def share_norms(self, network: nn.Module) -> None:
        """Make a network's batch norms learn by the images of all processes."""
        share_statistics(network, self._add_up)

    def own_norms(self, network: nn.Module) -> None:
        """Take that back."""
        own_statistics(network)

    def _add_up(self, tensor: Tensor) -> None:
        with _together():
            distributed.all_reduce(tensor)


def join() -> Processes:
    """Return the processes that train together; the first call finds the others."""
    launch = Launch.here()
    return ONE if launch.size == 1 else _join(launch)


@cache
def _join(launch: Launch) -> Several:
    return Several(launch)


def speaks() -> bool:
    """Say whether this process is the first of those that joined to have an error to tell.

    The store that all share lies with torchrun, or with the first process: where that is gone, the
    second one speaks.
    """
    from torch.distributed.distributed_c10d import _get_default_store  # noqa: PLC0415  # private

    try:
        return bool(_get_default_store().add("lookbook/told", 1) == 1)
    except RuntimeError:
        return os.environ["RANK"] == "1"


@contextmanager
def name_a_way_on(folder: Path) -> Iterator[None]:
    """Say how a training goes on that another process ended."""
    try:
        yield
    except ProcessEndedError as error:
        if not unfinished(folder).exists():
            raise
        again = write_call("resume", str(folder))
        message = f"{error}; go on, in as many processes: {again}"
        raise ProcessEndedError(message) from error


def on_processor(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as other processes can take them, whichever device is theirs."""
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def _take_device(launch: Launch) -> None:
    """Compute on this process's own accelerator."""
    n = torch.cuda.device_count()
    if launch.local_size > n:
        raise InputError(
            f"{launch.local_size} processes on a machine with {n} accelerators; start one for each"
        )
    torch.cuda.set_device(launch.local_rank)


@contextmanager
def _together() -> Iterator[None]:
    """Turn what PyTorch says where another process is gone into an error of ours."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessEndedError(ENDED) from error
