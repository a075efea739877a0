"""The arithmetic of benchmarks agrees with numpy."""

import numpy as np
import pytest

from bench.harness.arithmetic import mean_deviation, remaining_seconds, spread, standard_error

VALUES = [3.5, 1.25, 9.0, 2.0]


def test_spreads_and_deviations_agree_with_numpy():
    found = spread(iter(VALUES))
    assert (found.least, found.middle, found.most) == (1.25, np.median(VALUES), 9.0)
    mean, deviation = np.mean(VALUES), np.std(VALUES, ddof=1)
    assert mean_deviation(VALUES, 3, " %") == f"{mean:.3f} ± {deviation:.3f} %"
    assert mean_deviation(VALUES, 1, sign="+") == f"+{mean:.1f} ± {deviation:.1f}"
    assert mean_deviation([-2.0], 1, sign="+") == "-2.0"


def test_standard_errors_of_a_difference_add_in_squares():
    other = [5.0, 7.0]
    expected = np.sqrt(np.var(VALUES, ddof=1) / 4 + np.var(other, ddof=1) / 2)
    assert standard_error(VALUES, other) == pytest.approx(expected)
    assert standard_error([1.0], [2.0]) == 0


def test_what_is_left_is_known_once_each_kind_was_timed():
    took = {"slow": 100.0, "fast": 0.5}
    assert remaining_seconds(took, ["fast", "slow", "fast"]) == 101
    assert remaining_seconds(took, []) == 0
    assert remaining_seconds(took, ["new"]) is None
