"""Devices: where to compute, and in which precision."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from lookbook.core.arrays import Rows, is_mapped

if TYPE_CHECKING:
    from jaxtyping import Int64, Shaped, UInt8
    from torch import Tensor

    from lookbook.recipes import Recipe


def pick_device() -> torch.device:
    """Return the accelerator where there is one, else the processor."""
    for name in ("cuda", "mps"):
        if torch.get_device_module(name).is_available():
            return torch.device(name)
    return torch.device("cpu")


def as_tensor(array: Shaped[np.ndarray, "..."]) -> Shaped[torch.Tensor, "..."]:
    """Return a tensor that shares the memory of an array, to be read only.

    PyTorch warns of arrays that cannot be written, as those of pandas and of memory maps.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


class OnDisk:
    """Images on the disk, under the names by which a tensor is asked for some of its rows."""

    def __init__(self, images: np.memmap[Any, Any] | Rows, device: torch.device) -> None:
        if not isinstance(images, Rows):
            images = Rows((images,), np.arange(len(images)))
        self._rows = images
        self.device = device

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> UInt8[Tensor, "*shape"]:
        return as_tensor(self._rows[place])

    def index_select(self, _dim: int, places: Int64[Tensor, "M"]) -> UInt8[Tensor, "M *shape"]:
        """Return the images at these places, on the device."""
        return as_tensor(self._rows[places.cpu().numpy()]).to(self.device)

    def ask_for(self, places: Int64[Tensor, "M"]) -> None:
        """Have the system read these images while something else is computed."""
        self._rows.ask_for(places.numpy())

    def split(self, size: int) -> Iterator[UInt8[Tensor, "M *shape"]]:
        """Give all images, so many at once."""
        for start in range(0, len(self), size):
            yield as_tensor(self._rows[start : start + size]).to(self.device)


def on_device(
    array: Shaped[np.ndarray, "N *shape"], device: torch.device
) -> Shaped[Tensor, "N *shape"]:
    """Return an array on a device; images on the disk stay there until rows are asked for."""
    if is_mapped(array):
        return cast("Tensor", OnDisk(array, device))
    return as_tensor(array).to(device)


def gather(
    images: Shaped[Tensor, "N *shape"], places: Int64[Tensor, "M"], following: Int64[Tensor, "L"]
) -> Shaped[Tensor, "M *shape"]:
    """Return the images at these places; of those on the disk the following ones are asked for."""
    chosen = images.index_select(0, places)
    if isinstance(images, OnDisk):
        images.ask_for(following)
    return chosen


@cache
def has_fast_half(device: torch.device) -> bool:
    """Say whether bfloat16 is computed by instructions of its own, and faster than float32.

    The answer is the same whatever else the machine does: the same seed has to be the same run.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_has_fast_half(_cpuinfo())


def settle(recipe: Recipe) -> Recipe:
    """Return the recipe as this machine computes it: its `half` says what is done, not allowed.

    >>> from lookbook.recipes import TUTORIAL
    >>> settle(TUTORIAL) == TUTORIAL
    True
    """
    return replace(recipe, half=recipe.half and has_fast_half(pick_device()))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Compute on so many threads of the processor in a block.

    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_threads(seconds: float) -> int:
    """Return on how many threads this machine computes fastest now; ask for twice so many seconds.

    Threads wait for each other after each operation. Where other programs keep the cores busy, that
    takes longer than the operation: beside three of them on two cores, one thread trained on seven
    times as many photographs as two.
    """
    most = torch.get_num_threads()
    if most == 1 or pick_device().type != "cpu":
        return most
    return min((1, most), key=lambda n: _seconds_on(n, seconds))


def _seconds_on(n: int, seconds: float) -> float:
    """Return how long an operation on a million numbers takes on so many threads, on average."""
    numbers = torch.zeros(1 << 20)
    with threads(n):
        numbers.add_(1)
        times = 0
        start = time.perf_counter()
        while (taken := time.perf_counter() - start) < seconds or times == 0:
            numbers.add_(1)
            times += 1
    return taken / times


def _cpuinfo() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text() if cpuinfo.exists() else ""


def _cpu_has_fast_half(cpuinfo: str) -> bool:
    """Say whether a processor's bfloat16 is worth it, by what it tells of itself.

    AMD's instructions run at twice the speed of float32 (measured on Zen 4 and Zen 5), and matrix
    tiles at many times of it. Intel's vectors alone are twice as fast in one generation and half as
    fast in another: there, a product is measured.
    """
    if "amx_bf16" in cpuinfo:
        return True
    if "avx512_bf16" not in cpuinfo:
        return False
    return "AuthenticAMD" in cpuinfo or _is_faster_in_half()


def _is_faster_in_half(side: int = 256, times: int = 40) -> bool:
    """Compare the least processor times of a product of square matrices on one thread: 20 ms.

    In turn, and in the thread's own time: other programs lengthen both alike, and what is compared
    differs by a factor of two either way.
    """
    factors = [torch.ones(side, side, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    seconds: list[list[float]] = [[], []]
    with threads(1):
        for _ in range(1 + times):
            for factor, taken in zip(factors, seconds, strict=True):
                start = time.thread_time()
                torch.mm(factor, factor)
                taken.append(time.thread_time() - start)
    in_full, in_half = (min(taken) for taken in seconds)
    return in_half < in_full


def accelerator_name() -> str | None:
    """Return the name of the accelerator that is computed on, if any."""
    device = pick_device().type
    return torch.cuda.get_device_name() if device == "cuda" else {"mps": "Apple GPU"}.get(device)
