"""The benchmark with a user's photographs: both sides get the same, and nothing of their place."""

import ast
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import images
from bench.harness.record import Record
from bench.peers import lookbook_images
from lookbook.data.sources import load

ROOT = Path(__file__).parents[2]
# made up: accuracies of seeds 0 to 2 after 3 and 10 minutes
ACCURACIES = {
    ("lookbook", 3.0): [0.83, 0.85, 0.84],
    ("lookbook", 10.0): [0.87, 0.86, 0.88],
    ("keras-example", 3.0): [0.25, 0.35, 0.30],
    ("keras-example", 10.0): [0.55, 0.50, 0.60],
}


def _measurement(name, minutes, seed):
    own = {"command": "--size 64 --budget 3m"} if name == "lookbook" else {"batch_size": 128}
    return {
        "name": name,
        "minutes": minutes,
        "seed": seed,
        "accuracy": ACCURACIES[name, minutes][seed],
        "fit_seconds": 60 * minutes + seed,
        "process_seconds": 60 * minutes + seed + 5,
        "passes": 10 * minutes,
        "parameters": 326_784,
        "versions": {"python": "3.11.7", "source_sha256": "ab" * 32},
        "threads": 2,
        "device": "cpu",
        **own,
    }


@pytest.fixture
def results():
    return {
        "name": "images",
        "trial": False,
        "conditions": {
            "started": "2026-01-02T03:04:05+00:00",
            "data": {
                "train": {"hat": 30, "shoe": 70},
                "validation": {"hat": 30, "shoe": 10},
                "sha256": "cd" * 32,
            },
            "machine": {"processor": "A Processor", "cores": 2, "system": "Linux x86_64"},
            "load_average": [0.5, 0.25, 0.125],
            "commit": "0123456789abcdef",
            "clean": False,
            "versions": {"python": "3.11.7"},
            "size": 64,
            "minutes": [3.0, 10.0],
        },
        "entries": [
            {"name": "lookbook", "about": "a command", "script": "", "ours": True},
            {"name": "keras-example", "about": "a script", "script": "", "ours": False},
        ],
        "measurements": [
            _measurement(name, minutes, seed)
            for (name, minutes), seed in product(ACCURACIES, range(3))
        ],
        "failures": [],
    }


@pytest.fixture
def folder(tmp_path):
    """Dark and light photographs of several sizes: anyone can tell them apart."""
    rng = np.random.default_rng(0)
    for part, n in (("train", 40), ("validation", 5)):
        for name, level in (("dark", 0), ("light", 180)):
            place = tmp_path / "mine" / part / name
            place.mkdir(parents=True)
            for number in range(n):
                pixels = level + rng.integers(0, 60, (10 + number % 3, 12, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.jpg")
    return tmp_path / "mine"


# ---- what they say ----


def test_differences_are_of_the_same_seed_in_points(results):
    np.testing.assert_allclose(images.points_apart(results, 3.0), [58, 50, 54])
    results["measurements"] = [
        one for one in results["measurements"] if (one["name"], one["seed"]) != ("keras-example", 1)
    ]
    np.testing.assert_allclose(images.points_apart(results, 3.0), [58, 54])
    text = images.to_markdown(results, "x.png")
    assert "- 3 minutes: lookbook's accuracy less that of Keras's example, seed by seed: " in text
    assert ": +56.0 ± 2.8 points (+54.0 to +58.0; 2 seeds)." in text


def test_the_commonest_class_is_that_of_the_training_part(results):
    assert images.commonest_share(results) == 0.25
    text = images.to_markdown(results, "x.png")
    assert "Who always says the commonest class is right for 25.0 %." in text
    assert "on 40 pictures its standard error is 7.9 points at the most" in text


def test_table_has_a_row_for_each_side_and_time(results):
    text = images.to_markdown(results, "images.png")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2] == (
        "| lookbook | 3 | 84.00 ± 1.00 % | 83.00 to 85.00 % | 180.0 / 181.0 / 182.0 | "
        "30.0 / 30.0 / 30.0 | 185.0 / 186.0 / 187.0 | 326,784 |"
    )
    assert [line.split("|")[1].strip() for line in table[2:]] == ["lookbook", "keras-example"] * 2
    for words in (
        "](images.png)",
        "- Photographs: 100 to train on, 40 to score with; 2 classes (hat, shoe)",
        f"(SHA-256): {'cd' * 32}",
        "- Runs: seeds 0, 1, 2; each is a process of its own",
        "- lookbook: a command (told `--size 64 --budget 3m`); cpu, 2 threads; python 3.11.7\n",
        "- keras-example: a script, batches of 128; cpu, 2 threads; python 3.11.7\n",
        "with changes that are not committed",
    ):
        assert words in text


def test_one_run_has_no_deviation(results):
    results["measurements"] = [one for one in results["measurements"] if one["seed"] == 0]
    text = images.to_markdown(results, "x.png")
    assert "| 83.00 % | 83.00 to 83.00 % |" in text
    assert "+58.0 points (+58.0 to +58.0; 1 seed)" in text
    results["measurements"] = results["measurements"][:1]
    assert "- 10 minutes: no seed was measured with both." in images.to_markdown(results, "x.png")


def test_figure_shows_each_run_as_a_dot_and_names_each_mean(results):
    (axes,) = images.plot(results).axes
    dots = [tuple(dot) for group in axes.collections for dot in group.get_offsets()]
    expected = {
        (place, accuracy)
        for (_, minutes), found in ACCURACIES.items()
        for accuracy in found
        for place in [(3.0, 10.0).index(minutes)]
    }
    assert set(dots) == expected
    assert {text.get_text() for text in axes.texts} == {
        "lookbook 84.0 %",
        "lookbook 87.0 %",
        "keras-example 30.0 %",
        "keras-example 55.0 %",
        "always the commonest class",
    }
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == ["3 minutes", "10 minutes"]


@pytest.mark.slow
def test_redraw_needs_the_json_alone(results, tmp_path):
    path = tmp_path / "images.json"
    path.write_text(json.dumps(results))
    command = [sys.executable, "-m", "bench", "images", "--redraw", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == f"wrote {tmp_path / 'images.md'}\nwrote {tmp_path / 'images.png'}\n"
    with Image.open(tmp_path / "images.png") as picture:
        assert min(picture.size) > 1000


# ---- the photographs ----


def test_photographs_are_described_without_their_place(folder):
    found = images.describe_photos(folder)
    assert found["train"] == {"dark": 40, "light": 40}
    assert found["validation"] == {"dark": 5, "light": 5}
    assert str(folder) not in json.dumps(found)
    moved = folder.rename(folder.with_name("moved"))
    assert images.describe_photos(moved) == found
    (moved / "train" / "dark" / "0.jpg").write_bytes(b"another picture")
    assert images.describe_photos(moved)["sha256"] != found["sha256"]


def test_both_parts_need_the_same_classes(folder, tmp_path):
    (folder / "train" / "third").mkdir()
    with pytest.raises(SystemExit, match="needs train/ and validation/ with the same class"):
        images.describe_photos(folder)
    with pytest.raises(SystemExit, match="needs train/ and validation/"):
        images.describe_photos(tmp_path)


def test_lookbook_tests_on_the_pictures_that_keras_is_scored_with(folder, tmp_path):
    data = images.copy_for_lookbook(folder, tmp_path / "copy")
    assert load(data, "train", size=8).counts.tolist() == [40, 40]
    assert load(data, "test", size=8).counts.tolist() == [5, 5]


# ---- measuring ----


def test_our_command_is_that_of_a_user_with_so_many_minutes():
    found = lookbook_images.train_options(64, 10.0, None)
    assert found == ["--size", "64", "--budget", "10m"]
    found = lookbook_images.train_options(64, 0.5, 1.5)
    assert found == ["--size", "64", "--recipe", "standard", "--epochs", "1.5"]


@pytest.mark.slow
def test_a_trial_measures_our_side(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Record, "keras_python", lambda _record: None)
    monkeypatch.setattr(images, "TRIAL_PASSES", 20.0)
    arguments = ["--photos", str(folder), "--size", "16", "--trial", "--out", str(tmp_path / "o")]
    monkeypatch.setattr(sys, "argv", ["photos.py", *arguments])
    assert images.main() == 0
    text = (tmp_path / "o" / "images-trial-run.json").read_text()
    assert str(tmp_path) not in text
    (found,) = json.loads(text)["measurements"]
    assert found["accuracy"] > 0.6
    assert 0 < found["passes"] <= 20
    assert found["training_pictures"] == 68  # 15 % of the 80 are set aside
    assert found["command"] == "--size 16 --recipe standard --epochs 20"
    assert found["process_seconds"] > found["fit_seconds"] > 0
    assert (tmp_path / "o" / "images-trial-run.png").exists()


def test_a_failure_does_not_tell_the_place_of_the_photographs(folder, monkeypatch, capsys):
    script = f"raise SystemExit('cannot read {folder}/train')"
    monkeypatch.setattr(Record, "keras_python", lambda _record: Path(sys.executable))
    monkeypatch.setattr(images, "ENTRIES", images.ENTRIES[1:])
    monkeypatch.setattr(images, "SCRIPTS", folder.parent)
    (folder.parent / "keras_images.py").write_text(script)
    plan = images.Plan(folder, 16, (0.1,), range(1), 128, None)
    (failure,) = images.measure(plan).failures
    assert failure["message"] == "cannot read FOLDER/train"
    assert "failed: keras-example, minutes 0.1, seed 0" in capsys.readouterr().err


def test_photographs_are_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["photos.py"])
    with pytest.raises(SystemExit):
        images.main()
    assert "--photos FOLDER is needed" in capsys.readouterr().err


def test_the_peer_needs_nothing_of_ours():
    for script in ("keras_images.py", "predict_speed.py"):
        tree = ast.parse((ROOT / "bench" / "peers" / script).read_text(encoding="utf-8"))
        imported = [
            name.name
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in node.names
        ]
        assert not any(name.startswith("lookbook") for name in imported)
