"""Models that saw photographs: rows of their own, which say what was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bench import recognition
from bench.adaptation import measure_adapted
from bench.harness.record import Record
from lookbook.recipes import STANDARD
from lookbook.training.pipeline import train
from test_recognition import results_of, row_of

KINDS = ("t-shirt", "pants", "longsleeve", "dress", "outwear", "shirt", "shoes", "hat")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Rectangles of another width for each kind, on white."""
    made = []
    for seed, name in enumerate(("judged", "others")):
        rng = np.random.default_rng(seed)
        folder = tmp_path_factory.mktemp("photographs") / name
        for number, kind in enumerate(KINDS):
            (folder / kind).mkdir(parents=True)
            for each in range(12):
                photograph = Image.new("RGB", (60, 80), "white")
                width = 6 + 5 * number + int(rng.integers(3))
                colour = tuple(map(int, rng.integers(0, 150, 3)))
                photograph.paste(colour, (30 - width // 2, 15, 30 + width // 2, 65))
                photograph.save(folder / kind / f"{each:02}.png")
        made.append(folder)
    return made


@pytest.mark.slow
def test_rows_say_what_was_seen_and_nothing_of_what_is_refused(folders, tmp_path):
    recipe = replace(STANDARD, widths=(16,) * 5, photographs=0.5, label_smoothing=0.1)
    run = train("fashion-mnist", recipe, epochs=0.05, out=tmp_path / "run")
    weights = run.weights.read_bytes()
    rows = measure_adapted(run, *folders)
    assert [row["name"] for row in rows] == [
        "standard, adapted to 96 unlabelled", "standard, 10 labelled of each kind",
    ]  # fmt: skip
    for row in rows:
        assert (row["n"], row["unknown_refused"], row["garments_refused"]) == (96, None, None)
        assert 0 <= row["accuracy_with_shoes"] <= 1
    # widths tell the kinds apart: ten of each are enough, and a hat is no bag
    assert rows[1]["accuracy_with_shoes"] > 0.8
    assert rows == measure_adapted(run, *folders)
    assert run.weights.read_bytes() == weights


@pytest.mark.slow
def test_they_stand_beside_the_others_and_not_in_the_table_of_kinds(folders, tmp_path):
    recipe = replace(STANDARD, widths=(16,) * 5)
    run = train("fashion-mnist", recipe, epochs=0.02, out=tmp_path / "run")
    record = recognition.measure_all(folders[:1], [run])
    assert isinstance(record, Record)
    lines = recognition.tables(results_of([*record.measurements, *measure_adapted(run, *folders)]))
    assert len(row_of(lines, "garments: right class")) == 5
    assert row_of(lines, "hat, shorts, skirt: refused")[1:3] == ["–", "–"]
    assert len(row_of(lines, "dress")) == 4
