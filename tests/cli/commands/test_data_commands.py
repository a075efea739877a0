"""`lookbook look` on data of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook
from kinds import write_folder
from lookbook.data.cache import folders
from lookbook.data.sources import load
from lookbook.runs.store import read_run


@pytest.mark.slow
def test_look_shows_and_draws(bars, tmp_path):
    ended = lookbook("look", bars, "--index", "4", cwd=tmp_path)
    assert ended.returncode == 0
    assert "training part  (300, 12, 10) uint8, labels (300,)" in ended.stdout
    assert "| label | class  |" in ended.stdout
    assert "training image 4: middle" in ended.stdout
    with np.load(bars) as arrays:
        row = arrays["train_images"][4][10]
    assert " ".join(map(str, row)) + "\n" in ended.stdout
    drawn = sorted(path.name for path in (tmp_path / "look" / "bars").iterdir())
    assert drawn == ["balance.png", "picture.png", "pictures.png"]
    assert ended.stdout.endswith(f"next: lookbook train {bars}\n")


@pytest.fixture
def class_folders(tmp_path):
    """Colour images of several sizes in class folders with names that need care."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(["물방울", "it's <b>", "🍎 apple"]):
        folder = tmp_path / "mine" / name
        folder.mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 90, (20 + i % 3, 24, 3), dtype=np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path


@pytest.mark.slow
def test_a_folder_of_class_folders_from_look_to_figures(class_folders):
    for command in (
        ["look", "mine", "--size", "16"],
        ["train", "mine", "--size", "16", "--epochs", "12"],
        ["evaluate", "runs/mine-standard-1"],
        ["predict", "runs/mine-standard-1", "test:0", "mine/물방울/3.png"],
        ["figures", "runs/mine-standard-1"],
    ):
        ended = lookbook(*command, cwd=class_folders)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    run = read_run(class_folders / "runs" / "mine-standard-1")
    assert run.conditions["data"]["size"] == [16, 16]
    assert run.evaluation().accuracy > 0.9


@pytest.mark.slow
def test_look_hands_the_size_on_and_says_that_colour_has_a_red_channel(class_folders):
    ended = lookbook("look", "mine", "--size", "16", cwd=class_folders)
    assert ended.stdout.endswith("next: lookbook train mine --size 16\n")
    assert "\nrow 10 of its red channel, 0 to 255\n" in ended.stdout
    assert "no ink" not in ended.stdout


def test_what_is_kept_of_large_folders_is_listed_and_removed(tmp_path, call, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert call("cache") == (0, "no image folder is kept decoded\nnext: lookbook look\n", "")
    monkeypatch.setattr(folders, "FEWEST", 1)
    monkeypatch.setattr(folders, "WORTH_BYTES", 1)
    folder = write_folder(tmp_path / "mine", (12, 10, 3), {"cat": 30, "dog": 25})
    load(folder)
    code, out, _ = call("cache")
    assert code == 0
    assert out.count(str(folder)) == 2
    assert "next: lookbook cache --clear\n" in out
    assert call("cache", tmp_path)[1].startswith("no image folder is kept")
    code, out, _ = call("cache", folder, "--clear")
    assert (code, out) == (0, f"freed: 0.0 MB\nnext: lookbook look {folder}\n")
    assert call("cache", folder)[1].startswith("no image folder is kept")
