"""The benchmark of uneven classes: equal draws for all ways, and what it says of them."""

import json
from itertools import product

import numpy as np
import pytest
from PIL import Image

from bench import uneven
from bench.harness.record import Record

HEAD = {
    "started": "2026-01-02T03:04:05+00:00",
    "data": {
        "train": dict.fromkeys(uneven.COUNTS, 300),
        "validation": {"dress": 32, "hat": 14, "shoes": 26},
        "sha256": "cd" * 32,
    },
    "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
    "load_average": [0.5, 0.25, 0.125],
    "commit": "0123456789abcdef",
    "clean": True,
    "versions": {"python": "3.11.7"},
}


def measurement(name, seed, balanced):
    return {
        "name": name, "seed": seed, "balanced_accuracy": balanced, "macro_f1": balanced,
        "accuracy": 0.9, "seconds": 10.0 + seed, "versions": {"python": "3.11.7"}, "threads": 2,
        "device": "cpu",
    }  # fmt: skip


@pytest.fixture
def results():
    found = [
        measurement(entry.name, seed, 0.5 + 0.1 * place + 0.01 * seed)
        for seed, (place, entry) in product(range(3), enumerate(uneven.ENTRIES[:4]))
    ]
    return Record(found).results(
        uneven.NAME, HEAD, trial=False, entries=[{"name": e.name, "about": e.about}
                                                 for e in uneven.ENTRIES]
    )  # fmt: skip


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setattr(uneven, "COUNTS", {"dress": 40, "hat": 6, "shoes": 4})
    rng = np.random.default_rng(0)
    for part, n in (("train", 50), ("validation", 6)):
        for level, name in enumerate(uneven.COUNTS):
            place = tmp_path / "mine" / part / name
            place.mkdir(parents=True)
            for number in range(n):
                pixels = 70 * level + rng.integers(0, 60, (50, 60, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    return tmp_path / "mine"


def test_a_draw_is_that_of_its_seed_and_has_so_many_of_each_class(photos, tmp_path):
    def drawn(name, seed):
        folder = uneven.draw(photos, seed, tmp_path / name)
        assert len(list((folder / "test").rglob("*.png"))) == 18
        return sorted(
            path.relative_to(folder).as_posix() for path in (folder / "train").rglob("*.png")
        )

    first = drawn("a", 0)
    counts = {name: sum(f"/{name}/" in path for path in first) for name in uneven.COUNTS}
    assert counts == uneven.COUNTS
    assert first == drawn("b", 0) != drawn("c", 1)


def test_too_few_images_of_a_class_are_refused(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(uneven, "COUNTS", {"dress": 51})
    with pytest.raises(SystemExit, match="expected 51 images or more in train/dress, got 50"):
        uneven.draw(photos, 0, tmp_path / "a")


def test_ours_is_asked_as_a_user_types_it(tmp_path):
    commands = [uneven._command(entry, tmp_path, 1, trial=False) for entry in uneven.ENTRIES]
    typed = [" ".join(command).partition(" -- ")[2] for command in commands]
    assert typed[:2] == [
        "--from-scratch --class-weights none", "--from-scratch --class-weights auto",
    ]  # fmt: skip
    assert typed[2:] == ["--class-weights none", "--class-weights auto", "", ""]
    assert commands[5][-1] == "balanced"


def test_the_table_has_a_row_for_each_way_and_the_conditions_say_what_was_learnt_from(results):
    text = uneven.to_markdown(results, "uneven.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 4
    assert table[2] == (
        "| lookbook from scratch, none | 50.0, 51.0, 52.0 | 51.0 ± 1.0 % | 0.510 | 90.0 % | "
        "10.0 / 11.0 / 12.0 |"
    )
    assert "Learnt from: 200 dress, 15 hat, 8 shoes; scored on: 32 dress, 14 hat, 26 shoes" in text
    (axes,) = uneven.plot(results).axes
    assert sum(len(group.get_offsets()) for group in axes.collections) == 12


@pytest.mark.slow
def test_a_trial_measures_all_ways(photos, tmp_path, monkeypatch):
    # one of ours and one of the others: each way is a process, and they differ by their options
    monkeypatch.setattr(uneven, "ENTRIES", uneven.ENTRIES[1::4])
    arguments = ["--photos", str(photos), "--trial", "--seeds", "1"]
    assert uneven.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "uneven-trial-run.json").read_text())["measurements"]
    assert [one["name"] for one in found] == [entry.name for entry in uneven.ENTRIES]
    assert all(one["balanced_accuracy"] > 0.3 for one in found)


def test_a_folder_without_these_classes_is_refused(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(uneven, "COUNTS", {"coat": 1, "dress": 1})
    with pytest.raises(SystemExit):
        uneven.main(["--photos", str(photos), "--out", str(tmp_path)])
    assert "has no classes coat" in capsys.readouterr().err
