"""The benchmark of growth: memory is measured and judged right, and the images are in place."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import scaling
from bench.harness.record import Record
from bench.peers import lookbook_fit
from lookbook.data.dataset import Dataset

ROOT = Path(__file__).parents[2]
SIZES = (1_000, 10_000, 100_000)


def _measurement(recipe, side, n, turn):
    data = n * side * side
    return {
        "recipe": recipe,
        "side": side,
        "n": n,
        "round": turn,
        "fit_seconds": 0.1 + n / 10_000 * (1 + turn / 10),
        "seen": n // 2,
        "data_bytes": data,
        "before_bytes": data + 200 * 10**6,
        # with 64 pixels on a side a tenth too much for any bar
        "peak_bytes": data + 300 * 10**6 if side == 28 else 2 * data + 800 * 10**6,
        "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
        "threads": 2,
        "device": "cpu",
    }


@pytest.fixture
def results():
    return {
        "name": "scaling",
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": "some pictures",
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": None,
            "clean": False,
            "versions": {"python": "3.11.7"},
            "passes": {"quick": 1.0, "standard": 0.5},
        },
        "measurements": [
            _measurement(recipe, side, n, turn)
            for turn, side, n, recipe in product(range(2), (28, 64), SIZES, ("quick", "standard"))
        ],
        "failures": [],
    }


# ---- what they say ----


def test_the_bar_allows_no_second_copy_of_large_data():
    assert scaling.bar_bytes(0) == 600e6
    assert scaling.bar_bytes(2.4576e9) == pytest.approx(3.79488e9)
    assert scaling.bar_bytes(2.4576e9) < 2 * 2.4576e9


def test_what_is_over_the_bar_is_listed_with_its_worst_round(results):
    missed = scaling.over_the_bar(results)
    assert len(missed) == 6
    # 2 · 4.096 + 800 against 1.3 · 4.096 + 600 MB
    assert missed[0] == "quick, 1,000 pictures of 64×64: 203 MB too much"
    text = scaling.to_markdown(results, "x.png")
    assert (
        "**The bar of memory was missed: quick, 1,000 pictures of 64×64: 203 MB too much;" in text
    )
    results["measurements"] = [one for one in results["measurements"] if one["side"] == 28]
    assert scaling.over_the_bar(results) == []
    assert "Every fit stayed within the bar of memory." in scaling.to_markdown(results, "x.png")


def test_table_has_a_row_for_each_case(results):
    text = scaling.to_markdown(results, "scaling.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 12
    assert len({line.count("|") for line in table}) == 1
    assert table[3] == (
        "| quick, 28×28 | 10,000 | 1 | 1.10 / 1.15 / 1.20 | 230.0 | 308 / 308 / 308 | 8 | 208 | "
        "610 | kept |"
    )
    assert table[-1].endswith("| **missed** |")
    for words in (
        "](scaling.png)",
        "- Code: no commit known",
        "- Data: some pictures",
        "- Rounds: seeds 0, 1; each fit is a process of its own",
        "- lookbook: cpu, 2 threads; python 3.11.7\n",
    ):
        assert words in text


def test_figure_shows_time_and_memory_of_each_case(results):
    time, memory = scaling.plot(results).axes
    assert time.get_xscale() == time.get_yscale() == memory.get_yscale() == "log"
    _, labels = time.get_legend_handles_labels()
    assert labels[:4] == ["quick, 28×28", "quick, 64×64", "standard, 28×28", "standard, 64×64"]
    dots = [line for line in time.lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(dots[0].get_ydata(), 0.1 + np.array(SIZES) / 10_000 * 1.05)
    assert [label.get_text() for label in memory.get_xticklabels()] == [
        "1,000",
        "10,000",
        "100,000",
    ]
    bars = [line for line in memory.lines if line.get_label().startswith("most allowed")]
    assert bars[1].get_ydata()[-1] == pytest.approx(1.3 * 409.6 + 600)


@pytest.mark.slow
def test_redraw_needs_the_json_alone(results, tmp_path):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, "-m", "bench", "scaling", "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == f"wrote {tmp_path / 'scaling.md'}\nwrote {tmp_path / 'scaling.png'}\n"
    with Image.open(tmp_path / "scaling.png") as picture:
        assert min(picture.size) > 1000


@pytest.mark.slow
def test_the_exit_code_says_whether_the_bar_was_kept(results, tmp_path, monkeypatch, capsys):
    record = Record(measurements=results["measurements"])
    monkeypatch.setattr(scaling, "measure", lambda *_: record)
    monkeypatch.setattr(sys, "argv", ["growth.py", "--out", str(tmp_path)])
    assert scaling.main() == 1
    assert "over the bar of memory: quick, 1,000 pictures of 64×64" in capsys.readouterr().out
    record.measurements = [one for one in record.measurements if one["side"] == 28]
    assert scaling.main() == 0
    assert (tmp_path / "scaling.png").exists()


# ---- what is measured ----


def test_pictures_are_repeated_in_their_order(tmp_path):
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (7, 9, 9), np.uint8), np.arange(7)
    path = tmp_path / "pictures.raw"
    pictures.tofile(path)
    for n in (3, 7, 20):
        images, repeated = lookbook_fit.fill(path, labels, n, 9)
        np.testing.assert_array_equal(images, np.resize(pictures, (n, 9, 9)))
        np.testing.assert_array_equal(repeated, np.arange(n) % 7)
    with pytest.raises(SystemExit, match="holds too little; remove it"):
        lookbook_fit.fill(path, np.arange(8), 8, 9)


def test_pictures_are_resized_once(tmp_path, monkeypatch):
    images = np.repeat(np.uint8([0, 90, 200]), 100).reshape(3, 10, 10)
    made = Dataset(images, np.array([0, 1, 1]), ("a", "b"))
    monkeypatch.setattr(scaling, "load", lambda *_: made)
    pictures, labels = scaling.export(16, tmp_path)
    np.testing.assert_array_equal(np.load(labels), made.labels)
    found = np.fromfile(pictures, np.uint8).reshape(3, 16, 16)
    np.testing.assert_array_equal(found[:, 3, 5], [0, 90, 200])
    monkeypatch.setattr(scaling, "resize", None)
    assert scaling.export(16, tmp_path) == (pictures, labels)


def test_peak_memory_counts_what_was_held_and_let_go():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np; from bench.peers.lookbook_fit import peak_bytes\n"
        "before = peak_bytes(); held = np.ones(10**8, np.uint8); del held\n"
        "print(peak_bytes() - before)"
    )
    command = [sys.executable, "-c", program, str(ROOT)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0.95e8 < int(ended.stdout) < 1.1e8


@pytest.mark.slow
def test_a_fit_says_what_it_took(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    images = (labels[:, None, None] * 150 + rng.integers(0, 60, (200, 12, 12))).astype(np.uint8)
    monkeypatch.setattr(scaling, "load", lambda *_: Dataset(images, labels, ("dark", "light")))
    monkeypatch.setattr(scaling, "PASSES", {"quick": 1.0})
    record = scaling.measure((600,), (12,), 1, tmp_path)
    assert record.failures == []
    (found,) = record.measurements
    assert (found["recipe"], found["side"], found["n"], found["round"]) == ("quick", 12, 600, 0)
    assert found["seen"] == 600
    assert found["data_bytes"] == 600 * 12 * 12
    assert found["process_seconds"] > found["fit_seconds"] > 0
    assert found["peak_bytes"] >= found["before_bytes"] > 50 * 10**6
