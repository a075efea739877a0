"""Know the device: where to compute, and in which numbers."""

from __future__ import annotations

import time
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Shaped


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


@cache
def has_fast_half(device: torch.device) -> bool:
    """Say whether bfloat16 is computed by instructions of its own, and faster than float32.

    A processor's list of instructions does not tell: AMD's have bfloat16 at twice the speed of
    float32, some of Intel's at half of it. So a small product is measured, once in a process.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _cpu_has_half() and _is_faster_in_half()


def _cpu_has_half() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _is_faster_in_half(side: int = 512, times: int = 5) -> bool:
    """Compare the shortest times of a product of square matrices: 20 ms on two cores."""
    factors = [torch.ones(side, side, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    seconds: list[list[float]] = [[], []]
    for _ in range(1 + times):
        for factor, taken in zip(factors, seconds, strict=True):
            start = time.perf_counter()
            torch.mm(factor, factor)
            taken.append(time.perf_counter() - start)
    in_full, in_half = (min(taken) for taken in seconds)
    return in_half < in_full
