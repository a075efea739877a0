"""The device: what decides the numbers that are computed in never depends on the load."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookbook.core import arrays
from lookbook.networks import devices
from lookbook.recipes import STANDARD, TUTORIAL

AMD, INTEL = "vendor_id : AuthenticAMD\n", "vendor_id : GenuineIntel\n"


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        ("", False),
        (AMD + "flags : avx2", False),
        (AMD + "flags : avx512f avx512_bf16", True),
        (INTEL + "flags : avx512f avx512_bf16 amx_bf16", True),
        (INTEL + "flags : avx512f", False),
    ],
)
def test_a_processor_says_itself_whether_bfloat16_is_fast(monkeypatch, cpuinfo, fast):
    monkeypatch.setattr(devices, "_is_faster_in_half", lambda: pytest.fail("measured"))
    assert devices._cpu_has_fast_half(cpuinfo) == fast


@pytest.mark.slow
@pytest.mark.usefixtures("busy")
def test_where_it_has_to_be_measured_load_changes_nothing():
    threads = torch.get_num_threads()
    cpuinfo = INTEL + devices._cpuinfo().replace("AuthenticAMD", "") + " avx512_bf16"
    assert len({devices._cpu_has_fast_half(cpuinfo) for _ in range(10)}) == 1
    assert torch.get_num_threads() == threads


def test_a_settled_recipe_says_what_is_computed(monkeypatch):
    for fast in (True, False):
        monkeypatch.setattr(devices, "has_fast_half", lambda _device, fast=fast: fast)
        assert devices.settle(STANDARD).half == fast
        assert not devices.settle(TUTORIAL).half


def test_images_on_the_disk_are_gathered_and_the_following_asked_for(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    asked = []
    monkeypatch.setattr(arrays, "_ask_for", lambda _, rows: asked.append(rows.tolist()))
    images = devices.on_device(mapped, torch.device("cpu"))
    places, following = torch.tensor([7, 2]), torch.tensor([9, 1, 4])
    found = devices.gather(images, places, following)
    assert found.tolist() == mapped[[7, 2]].tolist()
    assert asked == [[2, 7], [1, 4, 9]]
    assert devices.gather(torch.arange(10), places, following).tolist() == [7, 2]
