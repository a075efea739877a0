"""Rows on the disk against the same in memory; principal axes against a singular value
decomposition; softmax of extreme logits."""

from __future__ import annotations

import mmap
from typing import ClassVar

import numpy as np
import pytest

from lookbook.core import arrays
from lookbook.core.arrays import (
    Rows,
    invert_rows,
    is_mapped,
    join_rows,
    principal_axes,
    softmax,
    take_rows,
)


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """Images on the disk, of which none are so few that they come into memory."""
    monkeypatch.setattr(arrays, "CHUNK", 1)
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 5), np.uint8)
    images.tofile(tmp_path / "images")
    return np.memmap(tmp_path / "images", np.uint8, "r", shape=images.shape)


def test_rows_on_the_disk_are_those_in_memory(mapped):
    plain, order = np.array(mapped), np.random.default_rng(1).permutation(20)
    taken, expected = take_rows(mapped, order), plain[order]
    inverted = np.arange(20) % 3 == 0
    for _ in range(2):
        assert is_mapped(taken)
        assert (taken.shape, taken.ndim, taken.nbytes) == (expected.shape, 3, expected.nbytes)
        np.testing.assert_array_equal(taken, expected)
        for places in (3, -1, slice(2, 9), slice(0, 0), np.array([5, 5, 0, 19]), [7]):
            np.testing.assert_array_equal(taken[places], expected[places])
        np.testing.assert_array_equal(np.stack(list(taken)), expected)
        taken, expected = invert_rows(taken, inverted), invert_rows(expected, inverted)


def test_rows_of_several_arrays_stay_on_the_disk(mapped):
    plain, marks = np.array(mapped), np.arange(7) < 3
    odd = np.arange(1, 14, 2)
    joined = join_rows(invert_rows(take_rows(mapped, odd), marks), mapped)
    expected = np.concatenate([invert_rows(plain[odd], marks), plain])
    assert isinstance(joined, Rows)
    np.testing.assert_array_equal(joined, expected)
    again = np.random.default_rng(2).permutation(27)
    np.testing.assert_array_equal(take_rows(joined, again), expected[again])
    np.testing.assert_array_equal(join_rows(plain, plain)[20:], plain)


def test_a_few_rows_come_into_memory(mapped, monkeypatch):
    monkeypatch.setattr(arrays, "CHUNK", 40)
    assert not is_mapped(take_rows(mapped, np.array([3, 1])))
    assert is_mapped(take_rows(mapped, np.array([3, 1, 2])))


@pytest.mark.parametrize("shape", [(200, 30), (30, 200), (40, 40)])
def test_principal_axes_are_the_right_singular_vectors(shape):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=shape) * np.linspace(0.1, 4, shape[1])).astype(np.float32)
    rows -= rows.mean(axis=0)
    axes = principal_axes(rows, 5)
    expected = np.linalg.svd(rows.astype(np.float64), full_matrices=False)[2][4::-1]
    # each may point either way
    np.testing.assert_allclose(abs((axes.T * expected).sum(axis=1)), 1, atol=1e-4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-4)
    assert axes.dtype == np.float32


def test_no_more_axes_than_there_are():
    rows = np.eye(3, 4, dtype=np.float32) - np.float32(1 / 3)
    assert principal_axes(rows, 9).shape == (4, 3)


def test_softmax_of_huge_logits_is_finite_and_sums_to_one():
    probs = softmax(np.array([[1000.0, 0.0], [-1000.0, 0.0]]))
    assert probs.sum(axis=1) == pytest.approx([1, 1])


class Noting(mmap.mmap):
    """A map of a file that notes what is asked for."""

    asked: ClassVar[list[tuple[int, int]]] = []

    def madvise(self, option, start, length):
        self.asked.append((start, start + length))
        super().madvise(option, start, length)


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="this system takes no advice")
def test_rows_of_a_file_are_asked_for_at_once_wherever_they_lie(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (50, 30, 40, 3), np.uint8)
    np.save(tmp_path / "images.npy", images)
    with (tmp_path / "images.npy").open("rb") as file:
        source = Noting(file.fileno(), 0, access=mmap.ACCESS_READ)
    offset = len(source) - images.nbytes
    mapped = np.ndarray.__new__(np.memmap, images.shape, np.uint8, source, offset)
    mapped._mmap = source
    for part, first in ((mapped, 0), (mapped[10:], 10)):
        source.asked.clear()
        rows = [len(part) - 1, 3, 7]
        np.testing.assert_array_equal(Rows((part,), np.array(rows))[:], images[first:][rows])
        places = offset + (first + np.sort(rows)) * 3600
        assert [end for _, end in source.asked] == (places + 3600).tolist()
        assert [start for start, _ in source.asked] == (places - places % mmap.PAGESIZE).tolist()
    source.asked.clear()
    assert len(Rows((mapped[::2],), np.arange(25))[:]) == 25
    assert source.asked == []
