"""The tutorial's thirteen steps on the real data, a test each; docs/tutorial-map.md names them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookbook
from conftest import lookbook as run_lookbook
from lookbook import plots
from lookbook.core.arrays import softmax
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import TUTORIAL
from lookbook.training.loop import fit

ROW = "0 0 0 0 0 0 0 0 2 0 0 0 0 160 255 217 255 94 0 0 0 1 4 0 0 0 65 38"
CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
]  # fmt: skip


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """What `lookbook look` prints, and the folder in which it ran."""
    folder = tmp_path_factory.mktemp("look")
    ended = run_lookbook("look", "fashion-mnist", "--index", "20000", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, folder / "look" / "fashion-mnist"


@pytest.fixture(scope="module")
def trained(demo):
    """The folder of a run of the tutorial's recipe, seed 0, by the command line."""
    return demo / "runs" / "fashion-mnist-tutorial-1"


@pytest.fixture(scope="module")
def found(trained):
    """What `lookbook evaluate --json` prints."""
    ended = run_lookbook("evaluate", trained, "--json", cwd=trained)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_s1_load(looked):
    (x_train, y_train), (x_test, y_test) = lookbook.load_data("fashion-mnist")
    shapes = (x_train.shape, y_train.shape, x_test.shape, y_test.shape)
    assert shapes == ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    assert "training part  (60000, 28, 28) uint8, labels (60000,)" in looked[0]
    assert "test part      (10000, 28, 28) uint8, labels (10000,)" in looked[0]


def test_s2_raw_pixels(looked, fashion):
    assert " ".join(map(str, fashion.images[20_000][10])) == ROW
    assert f"\n{ROW}\n" in looked[0]


def test_s3_normalise(looked, fashion):
    scaled = next(line for line in looked[0].splitlines() if line.startswith("0. 0. "))
    levels = np.array([int(level) for level in ROW.split()])
    np.testing.assert_allclose([float(v) for v in scaled.split()], levels / 255, atol=1e-8)
    for printed in (
        "0.00784314 0. 0. 0. 0. 0.62745098 1. 0.85098039 1. 0.36862745 0.",
        "0.00392157 0.01568627 0. 0. 0. 0.25490196 0.14901961",
    ):
        assert printed in scaled
    # the network gets exactly that
    image = fashion.images[20_000:20_001]
    import torch

    seen = build_classifier(TUTORIAL, image, 10, seed=0).scaler(torch.from_numpy(image))
    np.testing.assert_allclose(seen[0, 0, 10].numpy(), levels / 255, atol=1e-7)


def test_s4_labels(looked, fashion):
    assert list(fashion.classes) == CLASSES
    rows = re.findall(r"^\| +(\d) \| (.+?) +\|$", looked[0], flags=re.MULTILINE)
    assert rows == [(str(k), name) for k, name in enumerate(CLASSES)]


def test_s5_one_picture(looked, fashion):
    assert "training image 20,000: Sneaker" in looked[0]
    with Image.open(looked[1] / "picture.png") as image:
        assert min(image.size) > 900
    figure = plots.plot_picture(fashion.images[20_000])
    axes, bar = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), fashion.images[20_000])
    assert axes.images[0].get_cmap().name == "Greys"  # 0 is white, 255 is black
    assert "0 to 255" in bar.get_ylabel()


def test_s6_many_pictures(looked, fashion):
    assert (looked[1] / "pictures.png").exists()
    figure = plots.plot_pictures(fashion, 19_988)
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert captions == [f"{CLASSES[fashion.labels[i]]}\n{i:,}" for i in range(19_988, 20_013)]
    np.testing.assert_array_equal(figure.axes[12].images[0].get_array(), fashion.images[20_000])


def test_s7_network(trained, fashion):
    network = build_classifier(TUTORIAL, fashion.images[:1], 10, seed=0).network
    assert [type(layer).__name__ for layer in network] == ["Flatten", "Linear", "ReLU", "Linear"]
    assert [tuple(w.shape) for w in network.parameters()] == [
        (128, 784), (128,), (10, 128), (10,),
    ]  # fmt: skip
    recipe = json.loads((trained / "recipe.json").read_text())
    assert recipe == {
        "name": "tutorial", "network": "dense", "widths": [128], "fine": False,
        "scaling": "min-max", "optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant",
        "batch_size": 32, "epochs": 10, "hardest": 1.0, "label_smoothing": 0.0, "mirror": False,
        "shift": 0, "crop": 0.0, "distort": 0.0, "photographs": 0.0, "class_weights": "none",
        "half": False,
    }  # fmt: skip


def test_s8_train(trained, fashion):
    history = json.loads((trained / "history.json").read_text())
    assert [entry["pictures"] for entry in history] == [55_000] * 10
    assert 0.47 <= history[0]["loss"] <= 0.55  # of 55,000 images, a little more than of 60,000
    assert 0.22 <= history[9]["loss"] <= 0.26
    # all 60,000 images, as in the tutorial: the first epoch
    first = fit((fashion.images, fashion.labels), None, TUTORIAL.with_epochs(1), 10, seed=0)
    assert 0.47 <= first.history[0].loss <= 0.53
    assert 0.80 <= first.history[0].accuracy <= 0.84


def test_s9_evaluate(found):
    assert found["n"] == 10_000
    assert 0.868 <= found["accuracy"] <= 0.895
    low, high = found["interval"]
    assert low < found["accuracy"] < high
    assert high - low == pytest.approx(0.0129, abs=0.001)
    assert 0.30 <= found["loss"] <= found["uncalibrated_loss"] <= 0.40


@pytest.mark.parametrize(("page", "lang"), [("tutorial.md", "en"), ("tutorial.ko.md", "ko")])
def test_the_tutorial_shows_what_evaluate_prints(trained, found, page, lang):
    assert found
    printed = run_lookbook("evaluate", trained, "--lang", lang, "--quiet", cwd=trained).stdout
    text = (Path(__file__).parent.parent / "docs" / page).read_text("utf-8")
    first = printed.split("  ")[0]
    (shown,) = re.findall(rf"^```text\n({first} .*?)```", text, flags=re.MULTILINE | re.DOTALL)
    # which pairs are confused most, and all numbers, differ a little from machine to machine
    words = [
        [re.sub(r"[ \d.,]+", " ", line) for line in each.splitlines() if line[:2] != "  "]
        for each in (shown, printed)
    ]
    assert words[0] == words[1], "run: make outputs"


def test_s10_probabilities(trained, found):
    run = lookbook.read_run(trained)
    _, (x_test, y_test) = lookbook.load_data("fashion-mnist")
    logits, probs, _ = lookbook.Model.open(run.model).predict(x_test)
    assert probs.shape == (10_000, 10)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)
    assert np.mean(probs.argmax(axis=1) == y_test) == found["accuracy"]
    # softmax once: most images are sure, which a second softmax would make impossible
    assert np.median(probs.max(axis=1)) > 0.9
    assert softmax(softmax(logits)).max() < 0.232


def test_s11_single_predictions(trained, tmp_path):
    ended = run_lookbook(
        "predict", trained, "test:2000", "test:800", "--figure", "pair.png", cwd=tmp_path
    )
    assert "test:2000: Bag, " in ended.stdout
    assert "true class: Bag (right)" in ended.stdout
    assert "true class: Sneaker" in ended.stdout
    assert ended.stdout.count("%") == 2 + 20
    assert (tmp_path / "pair.png").exists()
    bag, shoe = lookbook.predict(lookbook.read_run(trained), ["test:2000", "test:800"])
    figure = plots.plot_predictions([bag, shoe])
    left = figure.axes[0]
    assert left.get_xlabel() == f"Bag {100 * bag.confidence:.0f} %\n(true: Bag)"
    colours = [figure.axes[i].xaxis.label.get_color() for i in (0, 2)]
    assert colours == [plots.RIGHT, plots.RIGHT if shoe.right else plots.WRONG]


@pytest.fixture(scope="module")
def drawn(trained):
    """The folder of its figures."""
    return trained / "figures"


def test_s12_fifteen_predictions(trained, drawn):
    with Image.open(drawn / "first-15.png") as image:
        assert min(image.size) > 2500
    inputs = [f"test:{i}" for i in range(15)]
    predictions = lookbook.predict(lookbook.read_run(trained), inputs)
    figure = plots.plot_predictions(predictions, columns=3)
    pairs = figure.axes
    assert len(pairs) == 30
    for i, prediction in enumerate(predictions):
        np.testing.assert_array_equal(pairs[2 * i].images[0].get_array(), prediction.image)
        widths = [bar.get_width() for bar in pairs[2 * i + 1].patches]
        np.testing.assert_allclose(widths, prediction.probs, atol=1e-6)


def test_s13_confusion_matrix(found, drawn):
    assert (drawn / "confusion.png").exists()
    matrix = np.array(found["confusion_matrix"])
    assert matrix.sum(axis=1).tolist() == [1000] * 10
    figure = plots.plot_confusion(matrix, tuple(found["classes"]))
    numbers = [int(text.get_text().replace(",", "")) for text in figure.axes[0].texts]
    assert sorted(numbers) == sorted(matrix[matrix > 0].tolist())


def test_the_map_names_each_step_and_its_test():
    page = (Path(__file__).parent.parent / "docs" / "tutorial-map.md").read_text()
    rows = re.findall(r"^\| (S\d+) \|.*`(test_s\d+_\w+)` \|$", page, flags=re.MULTILINE)
    assert [step for step, _ in rows] == [f"S{i}" for i in range(1, 14)]
    assert all(name in globals() for _, name in rows)
