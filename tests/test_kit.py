"""The folder that needs nothing of this program: its examples say what the model says."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_pictures
from lookbook.evaluation import evaluate, load_part
from lookbook.kit import write_kit
from lookbook.model import Model
from lookbook.photos import fit_picture, match_polarity, read_picture
from lookbook.recipes import TUTORIAL
from lookbook.training import train

NODE_MODULES = Path(sys.prefix) / "web" / "node_modules"


@pytest.fixture(scope="module", params=["grey", "colour"])
def some_run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    images, labels = made_pictures(700, seed=3)
    if request.param == "colour":
        images = np.stack([images, 255 - images, images // 2], axis=-1)
    np.savez(folder / "bars.npz", images=images, labels=labels, classes=np.array(["a|b", "c", "d"]))
    run = train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "run")
    evaluate(run)
    return run


@pytest.fixture(scope="module")
def kit(some_run):
    return write_kit(some_run, some_run.folder.parent / "kit")


def shown(output: str) -> list[tuple[str, str, float, float]]:
    """Read what an example printed: file, class, percentage, novelty."""
    pattern = r"^(.*): (.*), ([\d.]+) %  \(novelty ([\d.]+)\)$"
    found = re.findall(pattern, output, re.MULTILINE)
    return [(Path(path).name, name, float(p), float(novelty)) for path, name, p, novelty in found]


def test_python_says_what_the_model_says(kit, tmp_path):
    """Sizes and kinds of pictures, too, are brought to the model's as this program does it."""
    photo = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(photo).resize((90, 60), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    Image.new("L", (40, 44), 250).save(tmp_path / "light.png")
    large = np.random.default_rng(1).integers(0, 120, (23, 31, 3), dtype=np.uint8)
    Image.fromarray(large).resize((3000, 2001), Image.Resampling.BICUBIC).save(tmp_path / "l.jpg")
    sample = next(kit.glob("sample.*"))
    paths = [sample, *(tmp_path / name for name in ("photo.png", "light.png", "l.jpg"))]
    ended = subprocess.run(
        [sys.executable, kit / "predict.py", *paths], capture_output=True, text=True, check=True
    )
    model = Model.open(kit / "model.onnx")
    height, width, *channels = model.input_shape
    for path, (name, said, percent, novelty) in zip(paths, shown(ended.stdout), strict=True):
        image = fit_picture(read_picture(path), (height, width), colour=bool(channels))
        if not channels:
            image, _ = match_polarity(image, model.polarity)
        expected = model.predict(image[None])
        assert name == path.name
        assert said == model.classes[expected.probs[0].argmax()]
        assert percent == pytest.approx(100 * expected.probs[0].max(), abs=0.051)
        assert novelty == pytest.approx(expected.novelty[0], abs=0.006)


def test_python_needs_onnx_runtime_numpy_and_pillow_alone(kit):
    text = (kit / "predict.py").read_text()
    assert len(text.splitlines()) < 40
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert names - set(sys.stdlib_module_names) == {"onnxruntime", "numpy", "PIL"}


def test_javascript_says_what_the_model_says(kit, some_run, tmp_path):
    if not (NODE_MODULES / "onnxruntime-node").exists():
        pytest.fail("onnxruntime-node is not here; make test installs it")
    test = load_part(some_run, "test")
    sample, swapped = next(kit.glob("sample.*")), tmp_path / "swapped.pgm"
    grey = test.channels == 1
    Image.fromarray(255 - test.images[0] if grey else test.images[0]).save(swapped)
    ended = subprocess.run(
        [shutil.which("node"), kit / "predict.mjs", sample, swapped],
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (_, said, percent, novelty), (_, *again) = shown(ended.stdout)
    assert again == [said, percent, novelty]
    expected = Model.open(kit / "model.onnx").predict(test.images[:1])
    assert said == test.classes[expected.probs[0].argmax()]
    assert percent == pytest.approx(100 * expected.probs[0].max(), abs=0.051)
    assert novelty == pytest.approx(expected.novelty[0], abs=0.006)


def test_the_card_tells_figures_with_their_conditions(kit, some_run):
    card = (kit / "README.md").read_text(encoding="utf-8")
    found = some_run.evaluation()
    validation = some_run.metrics["validation"]
    for text in (
        f"right for {100 * found['accuracy']:.2f} %",
        f"right for {100 * validation['accuracy']:.2f} %",
        f"{validation['n']:,} pictures held back",
        some_run.conditions["data"]["train_sha256"],
        some_run.conditions["versions"]["torch"],
        "Licence: not stated",
        "## Limits",
        "| a\\|b |",
    ):
        assert text in card
    assert "{{" not in card
    assert "None" not in card


def test_a_folder_that_exists_is_left_alone(some_run, tmp_path):
    (tmp_path / "kit").mkdir()
    ended = lookbook("export", some_run.folder, "--to", "folder", "--out", "kit", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "error: kit exists and is not overwritten; choose another --out\n"
    assert list((tmp_path / "kit").iterdir()) == []


def test_the_command_names_the_next_one(some_run, tmp_path):
    ended = lookbook("export", some_run.folder, "--to", "folder", "--out", "k", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^next: python k/predict.py k/sample\.p[gp]m$", ended.stdout, re.MULTILINE)
