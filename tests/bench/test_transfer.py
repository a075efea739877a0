"""The benchmark of a pretrained start: equal draws, parts that add up, and what it says of them."""

import json
from itertools import product

import numpy as np
import pytest
from PIL import Image

from bench import transfer
from bench.harness.record import Record

HEAD = {
    "started": "2026-01-02T03:04:05+00:00",
    "data": {"train": {"hat": 30, "shoe": 70}, "validation": {"hat": 30, "shoe": 10}},
    "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
    "load_average": [0.5, 0.25, 0.125],
    "commit": "0123456789abcdef",
    "clean": True,
    "versions": {"python": "3.11.7"},
}
HEAD["data"]["sha256"] = "cd" * 32


def measurement(row, seed, name, accuracy=0.8):
    return {
        "name": name, "row": row, "minutes": 1, "seed": seed, "accuracy": accuracy, "ece": 0.06,
        "refused": 0.04 if name == "lookbook" else None, "seconds": 58.0 + seed,
        "commit": "0123456789abcdef", "versions": {"python": "3.11.7"}, "threads": 2,
        "device": "cpu",
    }  # fmt: skip


@pytest.fixture
def results():
    found = [
        measurement(row, seed, entry.name, 0.7 + 0.01 * seed)
        for row, seed, entry in product(("5", "10"), range(3), transfer.ENTRIES)
    ]
    record = Record([*found, measurement("scratch", 0, "lookbook")])
    return transfer._results(record, HEAD)


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for part, n in (("train", 12), ("validation", 5)):
        for name, level in (("dark", 0), ("light", 150)):
            place = tmp_path / "mine" / part / name
            place.mkdir(parents=True)
            for number in range(n):
                pixels = level + rng.integers(0, 90, (50 + number % 3, 60, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "mine"


def test_a_draw_is_that_of_its_seed_and_the_fewer_are_among_the_more(photos, tmp_path):
    def drawn(name, row, seed):
        folder = transfer.draw(photos, row, seed, tmp_path / name)
        assert len(list((folder / "test").rglob("*.png"))) == 10
        return {path.relative_to(folder / "train") for path in (folder / "train").rglob("*.png")}

    five, ten, every = transfer.ROWS[0], transfer.ROWS[1], transfer.ROWS[3]
    first = drawn("a", five, 0)
    assert len(first) == 10
    assert first == drawn("b", five, 0) != drawn("c", five, 1)
    assert first < drawn("d", ten, 0)
    assert len(drawn("e", every, 0)) == 24


def test_every_row_has_all_sides_but_that_from_scratch():
    found = [(row.name, seed, entry.name) for row, seed, entry in transfer.turns(transfer.ROWS, 2)]
    assert len(found) == 2 * (5 * 3 + 1)
    assert found[:3] == [("5", 0, entry.name) for entry in transfer.ENTRIES]
    assert [one for one in found if one[0] == "scratch"] == [
        ("scratch", seed, "lookbook") for seed in range(2)
    ]


def test_our_side_learns_from_all_of_few_images(tmp_path):
    def flags(row):
        return [
            "--final" in transfer._command((row, 0, entry), tmp_path) for entry in transfer.ENTRIES
        ]

    found = {row.name: flags(row) for row in transfer.ROWS}
    assert found["5"] == found["10"] == found["50"] == [True, False, False]
    assert not any(found["all"] + found["scratch"])


def test_the_table_has_a_row_for_each_side_of_each_row(results):
    text = transfer.to_markdown(results, "transfer.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 7
    assert table[2] == (
        "| 5 | 1 | lookbook | 71.00 ± 1.00 % | 70.00 to 72.00 % | 0.060 | 4.0 % | "
        "58.0 / 59.0 / 60.0 |"
    )
    assert "| – |" in table[3]
    assert table[-1].startswith("| all, from scratch | 1 | lookbook | 80.00 % |")
    for words in ("100 to draw from, 40 to score with, 2 classes", "commit 0123456789abcdef"):
        assert words in text


def test_the_figure_shows_each_run_as_a_dot(results):
    (axes,) = transfer.plot(results).axes
    dots = sum(len(group.get_offsets()) for group in axes.collections)
    assert dots == len(results["measurements"])
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["5\n1 min", "10\n1 min", "all, scratch\n1 min"]


def test_parts_are_kept_as_they_come_and_gone_on_from(photos, tmp_path, monkeypatch):
    asked = []

    def ask(record, which, _command, _required):
        asked.append((which["row"], which["seed"], which["name"]))
        kept = {**measurement(which["row"], which["seed"], which["name"]), "minutes": 1}
        record.measurements.append(kept)
        if len(asked) == 2:
            record.fail(which, f"cannot read {photos}")
        return kept

    monkeypatch.setattr(Record, "ask", ask)
    out = tmp_path / "out"
    arguments = ["--photos", str(photos), "--seeds", "1", "--out", str(out), "--only"]
    assert transfer.main([*arguments, "5"]) == 1  # one failed
    part = json.loads((out / "transfer-part.json").read_text())
    assert [one["name"] for one in part["measurements"]] == [e.name for e in transfer.ENTRIES]
    assert str(photos) not in json.dumps(part)
    assert transfer.main([*arguments, "5", "10"]) == 0
    assert asked[3:] == [("10", 0, entry.name) for entry in transfer.ENTRIES]
    # all rows and seeds: the whole takes the place of its parts
    assert transfer.main(["--photos", str(photos), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {f"transfer.{x}" for x in ("json", "md", "png")}
    whole = json.loads((out / "transfer.json").read_text())
    assert len(whole["measurements"]) == 3 * (5 * 3 + 1) == len(asked)


@pytest.mark.slow
def test_a_trial_measures_all_sides(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TRIAL_MINUTES", 0.1)
    arguments = ["--photos", str(photos), "--trial", "--seeds", "1", "--only", "5"]
    assert transfer.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "transfer-trial-run.json").read_text())["measurements"]
    assert [one["name"] for one in found] == [entry.name for entry in transfer.ENTRIES]
    # how far the loop gets in six seconds is a matter of the machine
    assert all(one["accuracy"] > 0.6 for one in found if one["name"] != "pytorch-finetune")
