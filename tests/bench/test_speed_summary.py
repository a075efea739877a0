"""The page of speed: its arithmetic agrees with numpy, and it carries its conditions."""

import numpy as np
import pytest

from bench import speed_summary
from speed_results import ACCURACIES, FITS, made_up_results, measurement


@pytest.fixture
def results():
    return made_up_results()


# ---- the summary, against numpy ----


def _three(values):
    return pytest.approx((np.min(values), np.median(values), np.max(values)))


def _values(spread):
    return spread.least, spread.middle, spread.most


def test_summaries_agree_with_numpy(results):
    found = {one.name: one for one in speed_summary.summarise(results)}
    assert list(found) == ["keras-tensorflow", "lookbook-tutorial"]
    for name, one in found.items():
        assert one.seeds == len(FITS[name])
        assert _values(one.fit) == _three(FITS[name])
        assert _values(one.accuracies) == _three(ACCURACIES[name])
        assert one.accuracy == pytest.approx(np.mean(ACCURACIES[name]))
        assert one.deviation == pytest.approx(np.std(ACCURACIES[name], ddof=1))
    assert [one.ours for one in found.values()] == [False, True]
    assert found["keras-tensorflow"].calibration is None
    assert found["lookbook-tutorial"].calibration == pytest.approx(np.median([7.0, 8.5]))
    # the whole process takes fit + 5 s, of which our twin takes fit - 1
    assert found["keras-tensorflow"].process == pytest.approx(
        np.median(FITS["keras-tensorflow"]) + 5
    )
    assert found["lookbook-tutorial"].process == pytest.approx(6)


def test_ratios_are_of_the_same_seed_and_else_of_the_median(results):
    reference, ours = speed_summary.summarise(results)
    assert _values(reference.ratio) == (1, 1, 1)
    # seed 1 failed: seeds 0 and 2 are compared with the reference's seeds 0 and 2
    assert _values(ours.ratio) == _three(np.array([8.0, 9.5]) / np.array([44.0, 47.5]))
    results["measurements"].append(measurement("lookbook-tutorial", 3, 11.0, 0.88))
    _, ours = speed_summary.summarise(results)
    assert _values(ours.ratio) == _three([8.0 / 44, 9.5 / 47.5, 11.0 / 44])


def test_without_the_reference_there_is_no_ratio(results):
    results["entries"] = results["entries"][2:]
    results["measurements"] = results["measurements"][3:]
    (ours,) = speed_summary.summarise(results)
    assert ours.ratio is None
    text = speed_summary.to_markdown(results, "x.png")
    assert "| 8.00 / 8.75 / 9.50 | – |" in text
    assert "T is" not in text


def test_one_run_has_no_deviation(results):
    results["measurements"] = results["measurements"][:1]
    (only,) = speed_summary.summarise(results)
    assert only.deviation is None
    assert "| 1 | 87.30 % (87.30 to 87.30 %) |" in speed_summary.to_markdown(results, "x.png")


# ---- the table ----


def test_table_has_one_row_for_each_entry_that_ran(results):
    text = speed_summary.to_markdown(results, "x.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2:] == [
        "| keras-tensorflow | a script | 3 | 87.47 ± 0.21 % (87.30 to 87.70 %) | "
        "40.0 / 44.0 / 47.5 | 1 | 49.0 | – |",
        "| lookbook-tutorial | a command | 2 | 88.07 ± 0.11 % (87.99 to 88.15 %) | "
        "8.00 / 8.75 / 9.50 | 0.182 / 0.191 / 0.200 | 6.0 | 7.75 |",
    ]


def test_table_has_the_peers_first_and_of_each_side_the_fastest(results):
    for name, ours, fit in (("slow", True, 90), ("fast", False, 1), ("slowest", False, 900)):
        results["entries"].insert(
            0, {"name": name, "about": "made up", "ours": ours, "requirements": []}
        )
        results["measurements"].append(measurement(name, 0, fit, 0.9))
    table = [
        line for line in speed_summary.to_markdown(results, "x.png").splitlines() if "%" in line
    ]
    names = ["fast", "keras-tensorflow", "slowest", "lookbook-tutorial", "slow"]
    assert [line.split(" | ")[0].strip("| ") for line in table if line.startswith("|")] == names


def test_table_carries_its_conditions(results):
    text = speed_summary.to_markdown(results, "speed.png")
    for words in (
        "](speed.png)",
        "T is keras-tensorflow's median fit, 44.00 s;",
        "are counted neither in the fit nor in the whole process",
        "**failed: lookbook-tutorial, seed 1: ValueError: no**",
        "- Started: 2026-01-02T03:04:05+00:00",
        "- Data: Fashion-MNIST, 60,000 training pictures, 10,000 test pictures",
        "- Runs: seeds 0, 1, 2 (lookbook-tutorial: 0, 2); each run is a process of its own",
        "- Machine: A Processor, 2 cores, Linux x86_64",
        "- Load average: 0.50, 0.25, 0.12 at the start (1, 5 and 15 minutes); "
        "0.10 to 2.10, median 1.10, before each run",
        "- Code: commit 0123456789abcdef, clean tree",
        "- keras-tensorflow, lookbook-tutorial: cpu, 2 threads; python 3.11.7\n",
    ):
        assert words in text
    assert "trial" not in text


def test_a_trial_says_that_it_is_one(results):
    results["trial"] = True
    results["conditions"]["data"]["train_pictures"] = 2000
    results["conditions"]["clean"] = False
    text = speed_summary.to_markdown(results, "x.png")
    assert "**A trial with the first 2,000 training pictures only, not a result.**" in text
    assert "the first 2,000 training pictures, 10,000 test pictures" in text
    assert "with changes that are not committed" in text
