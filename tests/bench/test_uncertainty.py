"""The benchmark of trust: what it says of errors, thresholds and foreign images is right."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from bench import uncertainty
from bench.peers import lookbook_uncertainty


def _measurement(recipe, seed):
    better = recipe == "standard"
    auroc = 0.99 + 0.001 * seed if better else 0.95 + 0.01 * seed
    return {
        "name": recipe,
        "seed": seed,
        "accuracy": 0.93 if better else 0.88,
        "ece": 0.005 + 0.001 * seed,
        "ece_by_chance": 0.004,
        "thresholds": {"answered": 0.9, "right": 0.97, "held": 0.9, "set_size": 1.25,
                       "refused": 0.03},
        "foreign": {"digits": {"n": 1234, "auroc": auroc, "refused": 0.5 + 0.1 * seed}},
        "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
        "threads": 2,
    }  # fmt: skip


@pytest.fixture
def results():
    return {
        "name": "uncertainty",
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": "cd" * 32,
            "recipes": ["tutorial", "standard"],
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": None,
            "clean": False,
        },
        "measurements": [
            _measurement(r, s) for s, r in product(range(3), ("tutorial", "standard"))
        ],
        "failures": [],
    }


def test_the_tables_hold_means_spreads_and_the_worst(results):
    table = uncertainty.to_markdown(results, "x.png")
    assert "| test accuracy | 88.00 ± 0.00 % | 93.00 ± 0.00 % |" in table
    assert "| ECE | 0.0060 ± 0.0010 | 0.0060 ± 0.0010 |" in table
    row = next(line for line in table.splitlines() if line.startswith("| digits (1,234)"))
    assert row == (
        "| digits (1,234) | 0.9600 ± 0.0100, 0.9500 | 0.9910 ± 0.0010, 0.9900 | 60.0 ± 10.0 % "
        "| 60.0 ± 10.0 % |"
    )
    head = "| | tutorial: AUROC, least | standard: AUROC, least | tutorial: refused | standard: re"
    assert head in table.replace("|  |", "| |")
    assert "cd" * 32 in table


def test_the_figure_is_drawn(results, tmp_path):
    target = tmp_path / "uncertainty.png"
    uncertainty.plot(results).savefig(target)
    assert np.asarray(Image.open(target)).std() > 5


def test_foreign_pictures_are_of_the_models_size():
    test = np.zeros((5, 28, 28), np.uint8)
    found = dict(lookbook_uncertainty.foreign_pictures(test, test[:2]))
    assert len(found) == 5
    for pictures in found.values():
        assert pictures.dtype == np.uint8
        assert pictures.shape[1:] == (28, 28)
    assert (found["inverted clothes"] == 255).all()
    assert sorted(np.unique(found["blank, each grey"])) == list(range(256))
