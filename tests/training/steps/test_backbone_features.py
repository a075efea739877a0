"""A head on a user's backbone: from a folder to one file that all commands take."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import made_images
from lookbook.errors import ExportError, InputError, LookbookWarning
from lookbook.evaluation.evaluate import evaluate
from lookbook.exports.bundle import write_bundle
from lookbook.exports.web_demo import write_web_demo
from lookbook.inference import onnx_graph
from lookbook.inference.graphs.backbone import Backbone
from lookbook.inference.model import Model
from lookbook.networks.weights import load_network
from lookbook.runs.store import read_run
from lookbook.training.callbacks import Callback
from lookbook.training.pipeline import resume, train
from lookbook.training.steps import features

LEVELS = {"backbone_mean": [0.5], "backbone_std": [0.25]}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A convolutional network of chance, which takes images of 12×10 and more."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 24, 5, 1, 2), nn.SiLU(), nn.AvgPool2d(2), nn.Conv2d(24, 8, 1),
        nn.AdaptiveMaxPool2d((6, 5)), nn.Flatten(),
    )  # fmt: skip
    network[4] = nn.Identity()
    path = tmp_path_factory.mktemp("backbone") / "features.onnx"
    torch.onnx.export(
        network.eval(), (torch.zeros(1, 3, 12, 10),), path, dynamo=False, opset_version=17
    )
    return path


@pytest.fixture
def data(tmp_path):
    """Return a function that saves bars as .npz, grey or in colour."""

    def save(n, *, colour=False, classes=("위", "가운데", "아래")):
        images, labels = made_images(n, seed=3, classes=len(classes))
        if colour:
            images = np.stack([images, images // 2, 255 - images], axis=3)
        path = tmp_path / "bars.npz"
        np.savez(path, images=images, labels=labels, classes=np.array(classes))
        return str(path)

    return save


@pytest.mark.parametrize("colour", [False, True])
def test_a_head_on_features_learns_and_the_file_answers_alike(backbone, data, tmp_path, colour):
    run = train(data(600, colour=colour), backbone=backbone, out=tmp_path / "run", **LEVELS)
    assert run.recipe.name == "backbone"
    assert len(run.history) == 1
    assert evaluate(run).accuracy > 0.95
    model = Model.open(run.model)
    assert model.classes == ("위", "가운데", "아래")
    assert model.card.backbone.file == "features.onnx"
    assert model.card.backbone.mean == (0.5,)
    assert "features.onnx, which have a licence of their own" in model.card.licence
    assert model.calibration is not None
    images, _ = made_images(64, seed=5)
    images = np.stack([images, images // 2, 255 - images], axis=3) if colour else images
    seen = np.concatenate(
        list(Backbone(known_of(run, backbone), images.shape[1:]).features(images))
    )
    with torch.inference_mode():
        probs = load_network(run)(torch.from_numpy(seen))[1].numpy()
    np.testing.assert_allclose(model.predict(images).probs, probs, atol=1e-4)


@pytest.mark.parametrize("final", [False, True])
def test_few_images_are_calibrated_by_heads_that_did_not_see_them(
    backbone, data, tmp_path, monkeypatch, final
):
    seen = []
    features = Backbone.features

    def count(self, images, **given):
        seen.append(len(images))
        return features(self, images, **given)

    monkeypatch.setattr(Backbone, "features", count)
    out = tmp_path / "run"
    run = train(data(100), backbone=backbone, out=out, final=final, **LEVELS)
    measured = run.metrics
    assert measured.validation.cross_validated
    assert measured.training_images < measured.validation.n or final
    assert measured.validation.accuracy > 0.9
    assert measured.temperature != 1
    calibration = Model.open(run.model).card.calibration
    assert calibration.n == measured.validation.n
    # both views of each image, once; then the file is compared
    assert sum(seen) <= 2 * measured.validation.n + 20
    # a head that saw the images would be surer of them
    assert evaluate(run).ece < 0.15


def known_of(run, path):
    import msgspec

    return msgspec.structs.replace(Model.open(run.model).card.backbone, file=str(path))


def test_strange_images_are_more_novel(backbone, data, tmp_path):
    run = train(data(600), backbone=backbone, out=tmp_path / "run", **LEVELS)
    model, (usual, _) = Model.open(run.model), made_images(100, seed=9)
    strange = np.random.default_rng(0).integers(0, 256, usual.shape, dtype=np.uint8)
    novelty = model.predict(np.concatenate([usual, strange])).novelty
    assert np.median(novelty[:100]) < 2
    assert (novelty[100:] > novelty[:100].max()).all()


def test_two_classes_of_five_image_files(backbone, tmp_path):
    images, labels = made_images(10, seed=1, classes=2)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "photos" / ("고양이", "개")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((40, 60)).save(folder / f"{number}.png")
    run = train(str(tmp_path / "photos"), backbone=backbone, out=tmp_path / "run", **LEVELS)
    model = Model.open(run.model)
    # of the side that its file says, and grey as the files are
    assert model.input_shape == (12, 10)
    assert sorted(model.classes) == ["개", "고양이"]


def test_all_commands_take_such_a_run(backbone, data, tmp_path, call):
    run = tmp_path / "run"
    flags = "--backbone-mean", "0.5", "--backbone-std", "0.25,0.25,0.25"
    code, printed, told = call("train", data(600), "--backbone", backbone, *flags, "--out", run)
    assert code == 0, told
    assert "backbone, epochs: 1" in printed
    for command in (["evaluate", run], ["runs"], ["predict", run, "test:0"], ["report", run]):
        code, _, told = call(*command)
        assert code == 0, (command, told)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "backbone: a network of your own, frozen" in page
    write_bundle(read_run(run), tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert "have a licence of their own" in card
    assert "`features.onnx` (SHA-256 `" in card
    with pytest.raises(ExportError, match="let a server answer, whose page is the same"):
        write_web_demo(read_run(run), tmp_path / "page.html")


def test_the_report_lists_the_backbone_as_one_layer(backbone, data, tmp_path):
    run = train(data(120), backbone=backbone, out=tmp_path / "run", **LEVELS)
    first, last = onnx_graph.layers(Model.open(run.model))
    assert (first.kind, first.shape, first.learnt) == ("backbone", (240,), 24 * 76 + 8 * 25)
    assert (last.kind, last.shape, last.learnt) == ("logits", (3,), 241 * 3)
    assert run.metrics.parameters == first.learnt + last.learnt


def test_a_final_run_learns_from_all_and_its_twin_does_not(backbone, data, tmp_path):
    run = train(data(600), backbone=backbone, out=tmp_path / "run", final=True, **LEVELS)
    assert run.metrics.training_images == 480
    assert run.metrics.validation.of == "a twin trained without the validation part"


def test_images_are_mirrored_unless_that_is_refused(backbone, data, tmp_path):
    given = data(120)
    one, two = (
        train(given, backbone=backbone, out=tmp_path / str(mirror), mirror=mirror, **LEVELS)
        for mirror in (False, True)
    )
    assert [run.history[0].images for run in (one, two)] == [81, 162]
    assert [run.metrics.training_images for run in (one, two)] == [81, 81]


def test_the_same_seed_gives_the_same_file(backbone, data, tmp_path):
    given = data(120)
    contents = [
        train(given, backbone=backbone, out=tmp_path / str(i), **LEVELS).model.read_bytes()
        for i in range(2)
    ]
    assert contents[0] == contents[1]


class Stop(Callback):
    def on_step_end(self, state):
        state.stop()


def test_a_stopped_run_goes_on_to_the_same_file_where_its_backbone_is_there(
    backbone, data, tmp_path
):
    given, own = data(1200), shutil.copy(backbone, tmp_path / "own.onnx")
    whole = train(given, backbone=own, out=tmp_path / "whole", **LEVELS)
    run = train(given, backbone=own, out=tmp_path / "run", callbacks=[Stop()], **LEVELS)
    assert run.metrics.stopped
    content = (tmp_path / "own.onnx").read_bytes()
    (tmp_path / "own.onnx").write_bytes(content[:-1])
    with pytest.raises(InputError):
        resume(tmp_path / "run")
    (tmp_path / "own.onnx").write_bytes(content)
    assert resume(tmp_path / "run").model.read_bytes() == whole.model.read_bytes()


def test_a_budget_ends_the_features_and_says_so(backbone, data, tmp_path, monkeypatch):
    given, clock = data(600), iter(np.arange(0, 100, 0.2))
    slow = SimpleNamespace(perf_counter=lambda: float(next(clock)))
    monkeypatch.setattr(features, "time", slow)
    with pytest.warns(LookbookWarning, match=r"enough for the features of \d+ of 408 training"):
        run = train(given, backbone=backbone, out=tmp_path / "run", budget=8.0, **LEVELS)
    assert 8 <= run.metrics.training_images < 408
    assert run.metrics.validation.n == 72


def test_a_budget_that_is_too_short_is_refused(backbone, data, tmp_path):
    with pytest.raises(InputError, match="the budget is too short"):
        train(data(600), backbone=backbone, out=tmp_path / "run", budget=0.5, **LEVELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "quick"}, "`backbone` is a network of its own; leave `recipe` out"),
        ({"from_scratch": True}, "`backbone` is a start of its own; leave `from_scratch` out"),
        ({"epochs": 3}, "a head on features that stay as they are has no epochs"),
    ],
)
def test_what_says_something_else_beside_it_is_refused(backbone, data, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train(data(60), backbone=backbone, out=tmp_path / "run", **LEVELS, **options)


def test_wrong_use_on_the_command_line_names_flags(backbone, data, call):
    code, _, told = call("train", data(60), "--backbone", backbone)
    assert code == 2
    assert "say so by --backbone-mean and --backbone-std" in told
    code, _, told = call("train", data(60), "--backbone", backbone, "--backbone-mean", "x")
    assert "--backbone-mean takes numbers with commas between them" in told


def test_uneven_classes_count_alike_where_they_are_balanced(backbone, tmp_path):
    images, labels = made_images(600, seed=3)
    keep = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels > 0)[:30]])
    np.savez(tmp_path / "uneven.npz", images=images[keep], labels=labels[keep])
    run = train(str(tmp_path / "uneven.npz"), backbone=backbone, out=tmp_path / "run", **LEVELS)
    assert json.loads((run.folder / "recipe.json").read_text())["class_weights"] == "balanced"
