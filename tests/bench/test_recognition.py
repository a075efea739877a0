"""Recognition of photographs: figures of runs beside what they should reach, and masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from bench import recognition
from lookbook.data.catalog import FASHION_MNIST
from lookbook.evaluation.photographs import Answers, Kind, judge

CLASSES = FASHION_MNIST.classes
KINDS = [
    Kind(kind.name, tuple(CLASSES.index(name) for name in kind.classes), kind.group)
    for kind in FASHION_MNIST.photograph_kinds
]


def measured(seed, name="quick", folder="train"):
    """Return what a run is measured to do with ten photographs of each kind, at random."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(10), 10)
    refused = rng.random(100) < 0.3
    answers = Answers(rng.dirichlet(np.full(10, 0.2), 100), refused, refused, labels)
    return {
        "name": name, "seed": seed, "folder": folder,
        **judge(answers, KINDS, CLASSES).to_json(),
        "conditions": {"unreadable": 2, "sha256": "ab"},
    }  # fmt: skip


def results_of(measurements, masks=()):
    return {
        "name": "recognition", "trial": False, "measurements": measurements, "failures": [],
        "entries": {"masks": list(masks)},
        "conditions": {
            "machine": {"processor": "a", "cores": 2, "system": "b"}, "load_average": [0, 0, 0],
            "clean": True, "commit": "c", "started": "2026-01-01T00:00:00", "versions": {},
        },
    }  # fmt: skip


def row_of(lines, title):
    (line,) = (line for line in lines if line.startswith(f"| {title} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_table_has_mean_error_and_spread_beside_the_goals():
    runs = [measured(seed) for seed in range(3)]
    lines = recognition.tables(results_of(runs))
    values = np.array([100 * run["accuracy_garments"] for run in runs])
    error = np.mean([100 * run["standard_errors"]["accuracy_garments"] for run in runs])
    assert row_of(lines, "garments: right class") == [
        f"{values.mean():.1f} ± {error:.1f} % (± {values.std(ddof=1):.1f})", "≥ 66 %", "≥ 75 %",
    ]  # fmt: skip
    assert row_of(lines, "garments: refused")[1:] == ["≤ 25 %", "≤ 20 %"]
    # no standard error is known of a calibration error
    assert row_of(lines, "calibration error (ECE)")[0].count("±") == 1
    assert "100 photographs, and 2 that cannot be read." in "\n".join(lines)


def test_recipes_stand_side_by_side_and_folders_below_each_other():
    runs = [measured(0), measured(0, "standard"), measured(1, folder="validation")]
    lines = recognition.tables(results_of(runs))
    assert [line for line in lines if line.startswith("## ")] == ["## train", "## validation"]
    assert "|  | quick | standard | reach | aim |" in lines


def test_kinds_are_counted_over_all_seeds():
    runs = [measured(seed) for seed in range(3)]
    row = row_of(recognition.tables(results_of(runs)), "shirt")
    right = sum(run["per_kind"][5]["right"] for run in runs)
    assert row[:2] == ["10", f"{100 * right / 30:.1f} %"]
    assert row_of(recognition.tables(results_of(runs)), "hat")[1] == "–"


def test_masks_stand_below_the_folder_that_they_are_of():
    masks = {"folder": "train", "n": 50, "median": 0.9, "useful": 0.96}
    lines = recognition.tables(results_of([measured(0)], [masks]))
    title = "masks: intersection over union, median"
    assert row_of(lines, title) == ["90.0 % of 50", "≥ 88 %", "≥ 93 %"]


def test_masks_are_filled_at_any_size_with_their_holes():
    drawn = {
        "size": [40, 40],
        "polygons": [[[0, 0], [40, 0], [40, 20], [0, 20]]],
        "holes": [[[10, 5], [20, 5], [20, 15], [10, 15]]],
    }
    for scale in (1, 3):
        mask = recognition.fill(drawn, (40 * scale, 40 * scale))
        assert mask.mean() == pytest.approx((40 * 20 - 10 * 10) / 1600, abs=0.005)
        assert not mask[10 * scale, 15 * scale]
        assert mask[2 * scale, 2 * scale]


def test_masks_of_photographs_that_are_there_are_compared(tmp_path, monkeypatch):
    square = {"size": [40, 40], "polygons": [[[10, 10], [30, 10], [30, 30], [10, 30]]], "holes": []}
    half = square | {"polygons": [[[10, 10], [30, 10], [30, 20], [10, 20]]]}
    names = {"train/dress/a.png": square, "validation/dress/b.png": half, "train/hat/c.png": half}
    monkeypatch.setattr(recognition, "MASKS", tmp_path / "masks.json")
    (tmp_path / "masks.json").write_text(json.dumps(names))
    (tmp_path / "photos" / "dress").mkdir(parents=True)
    photograph = Image.new("RGB", (400, 400), "white")
    photograph.paste("navy", (100, 100, 300, 300))
    for name in ("a", "b"):
        photograph.save(tmp_path / "photos" / "dress" / f"{name}.png")
    found = recognition.measure_masks(tmp_path / "photos")
    assert (found["folder"], found["n"], found["useful"]) == ("photos", 2, 0.5)
    assert found["median"] == pytest.approx((1 + 1 / 2) / 2, abs=0.03)
    assert recognition.measure_masks(tmp_path) is None


def test_a_run_is_measured_and_the_table_written_without_where_anything_lies(
    own_run, tmp_path, capsys
):
    folder = tmp_path / "photos"
    for name in ("top", "noise"):
        (folder / name).mkdir(parents=True)
        Image.new("L", (30, 30), 90).save(folder / name / "1.png")
    out = tmp_path / "results"
    arguments = [str(folder), "--runs", str(own_run.folder), "--out", str(out)]
    assert recognition.main(arguments) == 0
    page = (out / "recognition.md").read_text(encoding="utf-8")
    assert "## photos" in page
    assert "## photos" in capsys.readouterr().out
    assert str(tmp_path) not in page + (out / "recognition.json").read_text(encoding="utf-8")
    assert own_run.photographs() is None
    assert recognition.main(["--redraw", str(out / "recognition.json")]) == 0
    assert (out / "recognition.md").read_text(encoding="utf-8") == page


def test_it_takes_folders_and_runs(capsys):
    with pytest.raises(SystemExit):
        recognition.main(["photos"])
    assert "name at least one DIR of photographs, and --runs RUN" in capsys.readouterr().err
