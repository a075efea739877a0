"""From data to a run: what is written, what is refused, final runs and stopped ones."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import UNSET
from PIL import Image

from conftest import made_images
from lookbook import recipes
from lookbook.core.arrays import softmax
from lookbook.data.formats.npz import NpzSource
from lookbook.data.sources import load, resolve
from lookbook.errors import InputError
from lookbook.evaluation.evaluate import evaluate
from lookbook.inference.model import Model
from lookbook.networks import pretrained
from lookbook.networks.efficientnet import EfficientNet
from lookbook.networks.onnx_export import PARITY_BATCHES
from lookbook.networks.weights import load_network
from lookbook.recipes import PHOTO, PRETRAINED, QUICK, SMALL, STANDARD, TRANSFER, TUTORIAL, Recipe
from lookbook.runs.config import TrainRequest
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import read_run
from lookbook.training.loop import fit
from lookbook.training.pipeline import resume, train

TINY = Recipe("tiny", widths=(7,), learning_rate=0.01, batch_size=8, epochs=2)


def test_train_reads_no_test_image(bars, tmp_path):
    with np.load(bars) as arrays:
        only_train = {name: arrays[name] for name in arrays.files if "test" not in name}
    # a test part that cannot be read at all
    np.savez(tmp_path / "half.npz", **only_train, test_images=np.zeros(3), test_labels=np.zeros(2))
    run = train(str(tmp_path / "half.npz"), TINY, out=tmp_path / "run")
    assert run.metrics["training_pictures"] == 255
    with pytest.raises(InputError):
        load_part(run, "test")


def test_a_run_explains_itself(run):
    assert {path.name for path in run.folder.iterdir()} >= {
        "recipe.json", "history.json", "metrics.json", "conditions.json", "weights.safetensors",
        "model.onnx", "evaluation.json",
    }  # fmt: skip
    assert run.recipe["widths"] == [128]
    assert len(run.history) == 4
    assert run.metrics["fit_seconds"] > 0
    assert run.metrics["parameters"] == 120 * 128 + 128 + 128 * 3 + 3
    assert set(run.conditions["seconds"]) == {"imports", "data", "fit", "calibration", "export"}
    assert {"torch", "lookbook", "source_sha256"} <= set(run.conditions["versions"])
    assert run.conditions["machine"]["cores"] >= 1
    training = load_part(run, "train")
    assert run.conditions["data"]["train_sha256"] == training.sha256()


def test_the_model_file_holds_the_scaling_and_the_temperature(more_bars, tmp_path):
    run = train(str(more_bars), TINY, out=tmp_path / "run")
    test = load_part(run, "test")
    logits, probs, _ = Model.open(run.model).predict(test.images)
    assert run.metrics["temperature"] != 1
    np.testing.assert_allclose(probs, softmax(logits / run.metrics["temperature"]), atol=1e-5)


def test_the_data_says_whether_its_model_cuts_out_photographs(bars, tmp_path, monkeypatch):
    plain = train(str(bars), TINY, out=tmp_path / "plain")
    monkeypatch.setattr(NpzSource, "cuts_out_photographs", True)
    cutting = train(str(bars), TINY, out=tmp_path / "cutting")
    cards = [Model.open(each.model).about for each in (plain, cutting)]
    steps = [card.pop("preprocessing") for card in cards]
    assert cards[1].pop("photographs") is None  # nothing is known of garments
    assert cards[0] == cards[1]
    assert steps[1] == steps[0] | {"version": 2, "segmentation": "grabcut"}
    weights = [each.weights.read_bytes() for each in (plain, cutting)]
    assert weights[0] == weights[1]
    assert resolve("fashion-mnist").cuts_out_photographs


def test_two_runs_of_the_same_seed_write_the_same_weights(bars, tmp_path):
    first, second = (train(str(bars), TINY, seed=1, out=tmp_path / name) for name in "ab")
    assert first.weights.read_bytes() == second.weights.read_bytes()
    assert first.conditions["sha256"] == second.conditions["sha256"]


def test_final_trains_on_all_images_and_takes_the_temperature_of_a_twin(more_bars, tmp_path):
    final = train(str(more_bars), TINY, out=tmp_path / "final", final=True)
    plain = train(str(more_bars), TINY, out=tmp_path / "plain")
    assert final.metrics["training_pictures"] == 480
    assert final.metrics["temperature"] != 1
    assert final.history[0]["val_loss"] is None
    assert final.metrics["calibration_seconds"] > 0
    # the twin is the plain run's network: same seed, same images
    assert final.metrics["temperature"] == plain.metrics["temperature"]
    assert final.metrics["validation"]["of"] == "a twin trained without the validation part"
    alone = fit(_arrays(str(more_bars)), None, TINY, 3)
    assert load_network(final).network[1].weight.detach().numpy().tobytes() == (
        alone.classifier.network[1].weight.detach().numpy().tobytes()
    )


def _arrays(data):
    whole = load(data)
    return whole.images, whole.labels


def test_a_stopped_twin_gives_no_temperature_and_the_run_says_so(bars, tmp_path):
    stages = []

    def stop_in_the_twin() -> bool:
        return bool(stages) and stages[-1] == "calibration twin"

    run = train(
        str(bars),
        TINY,
        out=tmp_path / "run",
        final=True,
        tell=lambda progress: stages.append(progress.stage),
        should_stop=stop_in_the_twin,
    )
    assert run.metrics["stopped"]
    assert run.metrics["temperature"] == 1.0
    assert run.metrics["validation"] is None


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize("budget", [None, 3.0])
def test_a_run_accounts_for_the_stages_of_its_training_in_their_order(
    bars, tmp_path, budget, final
):
    run = train(str(bars), TINY, budget=budget, final=final, out=tmp_path / "run")
    planning = [] if budget is None else ["planning"]
    stages = ["imports", "data", *planning, "fit", "calibration", "export"]
    assert list(run.conditions.seconds) == stages
    assert sum(run.conditions.seconds.values()) < (budget or 60)


def test_a_seed_out_of_range_is_refused(bars, tmp_path):
    with pytest.raises(InputError) as caught:
        train(str(bars), TINY, seed=-1, out=tmp_path / "run")
    assert str(caught.value) == "the seed must be in 0..9223372036854775807, got -1"


def test_a_way_back_out_of_a_folder_that_is_not_there_is_followed_before_the_work(bars, tmp_path):
    (tmp_path / "taken.txt").touch()
    with pytest.raises(InputError, match=r"taken.txt exists and is not overwritten"):
        train(str(bars), TINY, out=tmp_path / "nowhere" / ".." / "taken.txt")
    run = train(str(bars), TINY, epochs=0.1, out=tmp_path / "nowhere" / ".." / "free")
    assert run.folder == tmp_path / "free"
    assert not (tmp_path / "nowhere").exists()


def test_a_dense_recipe_cannot_mirror(bars, tmp_path):
    with pytest.raises(InputError) as caught:
        train(str(bars), TUTORIAL, mirror=True, out=tmp_path / "run")
    assert str(caught.value) == (
        "the recipe 'tutorial' is a dense network, which sees images as they are; leave `mirror` "
        "out, or take a convolutional one: `recipe='standard'`"
    )


def test_what_simulates_photographs_trains_on_garments_alone(bars, tmp_path):
    with pytest.raises(InputError) as caught:
        train(str(bars), PHOTO, out=tmp_path / "run")
    assert str(caught.value) == (
        "the recipe simulates photographs of garments, and knows those of Fashion-MNIST alone; "
        "take another recipe for other images: `recipe='standard'`"
    )
    assert not (tmp_path / "run").exists()


def test_a_run_tells_only_changes_that_were_made(tmp_path):
    """Dense networks see few colour images as they are; convolutions see them changed."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (60, 9, 11, 3), dtype=np.uint8)
    np.savez(tmp_path / "colour.npz", images=images, labels=np.arange(60) % 4)
    for recipe, changed in ((QUICK, False), (SMALL, True)):
        run = train(str(tmp_path / "colour.npz"), recipe, epochs=1, out=tmp_path / recipe.name)
        assert (bool(run.recipe["mirror"]), run.recipe["distort"] > 0) == (changed, changed)


def test_a_stopped_run_can_be_used(bars, tmp_path):
    run = train(str(bars), TINY, out=tmp_path / "run", should_stop=lambda: True)
    assert run.metrics["stopped"]
    assert run.history[-1]["pictures"] == 7  # of 255 in 32 steps
    assert Model.open(run.model).predict(load_part(run, "test").images).probs.shape == (90, 3)


def test_colour_images_of_another_size_train_too(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "colour.npz",
        images=rng.integers(0, 255, (60, 9, 11, 3), dtype=np.uint8),
        labels=np.arange(60) % 4,
    )
    run = train(str(tmp_path / "colour.npz"), TINY, out=tmp_path / "run")
    assert Model.open(run.model).input_shape == (9, 11, 3)
    assert load_part(run, "test").images.shape == (12, 9, 11, 3)


# ---- the convolutional recipes ----


@pytest.mark.slow
def test_a_convolutional_recipe_learns_and_its_file_says_the_same(more_bars, tmp_path):
    run = train(str(more_bars), STANDARD, epochs=6, out=tmp_path / "run")
    assert run.metrics["validation"]["accuracy"] > 0.95
    test = load_part(run, "test")
    network = load_network(run)
    with torch.no_grad():
        _, probs, _ = network(torch.from_numpy(test.images))
    found = Model.open(run.model).predict(test.images).probs
    np.testing.assert_allclose(found, probs.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", ["a\ud800.npz", os.fsdecode(b"caf\xe9.npz"), "a\0.npz"])
def test_data_whose_name_no_document_can_hold_is_refused_before_any_work(bars, tmp_path, name):
    if name.startswith("caf"):
        shutil.copy(bars, tmp_path / name)
    with pytest.raises(InputError, match=r"^the path of the data, .*, has letters that UTF-8"):
        train(str(tmp_path / name), TUTORIAL, out=tmp_path / "run")


def test_a_class_whose_name_no_document_can_hold_is_refused_before_any_work(bars, tmp_path):
    with np.load(bars) as arrays:
        kept = dict(arrays) | {"classes": np.array(["a\ud800b", "middle", "bottom"])}
    np.savez(tmp_path / "odd.npz", **kept)
    with pytest.raises(InputError) as caught:
        train(str(tmp_path / "odd.npz"), TUTORIAL, out=tmp_path / "run")
    assert str(caught.value) == (
        "the class 'a\\ud800b' has letters that UTF-8 cannot write; choose another name"
    )
    assert not (tmp_path / "run").exists()


# ---- uneven classes ----


def write_uneven(path, counts, *, noise=60):
    """Write images of three classes, so many of each, and a test part of 60 of each."""
    rng = np.random.default_rng(0)
    images, labels = made_images(3 * max(counts), seed=0)
    kept = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in enumerate(counts)])
    test_images, test_labels = made_images(180, seed=1)
    blurred = [
        (part + rng.normal(0, noise, part.shape)).clip(0, 255).astype(np.uint8)
        for part in (images[kept], test_images)
    ]
    np.savez(
        path,
        train_images=blurred[0],
        train_labels=labels[kept],
        test_images=blurred[1],
        test_labels=test_labels,
    )
    return str(path)


@pytest.mark.slow
def test_rare_classes_are_recognised_more_often_where_they_are_balanced(tmp_path):
    data = write_uneven(tmp_path / "uneven.npz", (200, 15, 8), noise=150)
    recipe = replace(SMALL, name="few")
    found, runs = {}, {}
    for asked in ("auto", "none"):
        runs[asked] = train(data, recipe, class_weights=asked, out=tmp_path / asked)
        found[asked] = evaluate(runs[asked])
    assert runs["auto"].recipe.class_weights == "balanced"
    balance = runs["auto"].conditions.class_weights
    assert (balance.taken, balance.why) == ("balanced", "uneven")
    # 15 % are the validation part
    assert (balance.ratio, balance.smallest) == (pytest.approx(170 / 7), 7)
    assert runs["none"].recipe.class_weights == "none"
    assert runs["none"].conditions.class_weights.why == "asked"
    assert "class_weights='none'" in runs["none"].train_again()
    assert "class_weights" not in runs["auto"].train_again()
    assert found["auto"].balanced_accuracy > found["none"].balanced_accuracy + 0.1
    rare = [found[asked].per_class[2].recall for asked in ("auto", "none")]
    assert rare[0] > rare[1]


@pytest.mark.parametrize(
    ("counts", "why"),
    [((60, 60, 60), "even"), ((60, 40, 25), "little"), ((500, 100, 70), "enough")],
)
def test_where_it_does_not_pay_to_balance_classes_the_weights_stay_bit_by_bit(
    tmp_path, counts, why
):
    data = write_uneven(tmp_path / "data.npz", counts)
    auto, none = (
        train(data, TINY, class_weights=asked, out=tmp_path / asked) for asked in ("auto", "none")
    )
    assert auto.weights.read_bytes() == none.weights.read_bytes()
    assert auto.conditions.class_weights == none.conditions.class_weights
    assert (auto.conditions.class_weights.taken, auto.conditions.class_weights.why) == ("none", why)


def test_other_weights_than_those_are_refused(bars, tmp_path):
    with pytest.raises(InputError, match=r"^`class_weights` must be 'auto' or 'none', got 'b'$"):
        train(str(bars), TINY, class_weights="b", out=tmp_path / "run")


@pytest.fixture(scope="module")
def striped(tmp_path_factory):
    """Coloured stripes, one way or the other: a folder with two parts."""
    return write_stripes(tmp_path_factory.mktemp("striped"), 24)


def write_stripes(folder, n_train, n_rare=None):
    rng = np.random.default_rng(0)
    waves = 128 + 90 * np.sin(np.arange(48) / 3)
    for part, n in (("train", n_train), ("test", 8)):
        for name, wave in (("across", waves[None, :, None]), ("along", waves[:, None, None])):
            (folder / part / name).mkdir(parents=True)
            rare = part == "train" and name == "along" and n_rare
            for i in range(rare or n):
                image = (wave + rng.normal(0, 30, (48, 48, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(image).save(folder / part / name / f"{i}.png")
    return folder


def test_a_pretrained_run_is_one_file_that_answers_as_its_weights(striped, tmp_path):
    run = train(striped, TRANSFER, size=48, out=tmp_path / "run")
    test = load_part(run, "test")
    with torch.inference_mode():
        expected = load_network(run)(torch.from_numpy(test.images))
    answers = Model.open(run.model).predict(test.images)
    np.testing.assert_allclose(answers.probs, expected[1], atol=1e-4)
    assert (answers.probs.argmax(1) == test.labels).all()
    assert run.recipe.mirror
    assert evaluate(run).accuracy == 1
    # an image of quite another kind is strange
    noise = np.random.default_rng(0).integers(0, 256, test.images.shape, dtype=np.uint8)
    strange = Model.open(run.model).predict(noise).novelty
    assert np.median(strange) > np.median(answers.novelty)


def test_a_pretrained_run_brings_files_to_a_size_of_its_own(striped, bars):
    for source, asked, expected in (
        (resolve(striped), None, 96),
        (resolve(striped), 64, 64),
        (resolve(str(bars)), None, None),  # arrays stay as they are
    ):
        assert TrainRequest(source, TRANSFER, size=asked).image_size == expected
    assert TrainRequest(resolve(striped), STANDARD).image_size is None


def test_colour_images_without_a_recipe_are_trained_by_the_one_that_was_chosen(striped, tmp_path):
    run = train(striped, out=tmp_path / "run", size=64, epochs=0.5)
    assert (run.recipe.name, run.recipe.network) == ("transfer", "efficientnet")
    choice = run.conditions.recipe_choice
    assert (choice.start, choice.why, choice.images) == ("pretrained", "pays", 48)
    named = train(striped, TRANSFER, out=tmp_path / "named", size=64, epochs=0.5)
    assert run.weights.read_bytes() == named.weights.read_bytes()
    assert named.conditions.recipe_choice is UNSET
    assert read_run(run.folder).conditions == run.conditions


@pytest.mark.parametrize("why", ["asked", "missing"])
def test_a_start_from_scratch_is_that_of_the_recipe_standard(striped, tmp_path, monkeypatch, why):
    if why == "missing":
        monkeypatch.setitem(sys.modules, PRETRAINED, None)
    run = train(striped, out=tmp_path / "run", epochs=1, size=48, from_scratch=why == "asked")
    assert run.conditions.recipe_choice.why == why
    named = train(striped, STANDARD, out=tmp_path / "named", epochs=1, size=48)
    assert run.recipe == named.recipe
    assert run.weights.read_bytes() == named.weights.read_bytes()


def test_without_pretrained_weights_nothing_is_read(striped, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package_of_weights")
    monkeypatch.setattr("lookbook.training.pipeline.TrainingParts.load", None)
    with pytest.raises(InputError, match=r"lookbook\[pretrained\]"):
        train(striped, TRANSFER, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("final", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_few_images_are_calibrated_by_cross_validation(tmp_path, final, monkeypatch):
    seen = []
    features = EfficientNet.features

    def count(network, images):
        seen.append(len(images))
        return features(network, images)

    monkeypatch.setattr(EfficientNet, "features", count)
    data, stages = write_stripes(tmp_path / "data", 30), []
    run = train(
        data,
        TRANSFER,
        size=48,
        final=final,
        out=tmp_path / "run",
        tell=lambda progress: stages.append(progress.stage),
    )
    assert set(stages) == {"training"}
    learnt, set_aside = (60, 0) if final else (52, 8)
    # both views, an epoch; of the validation part twice, both views of those that are not sure, and
    # how strange they are; then the file is compared: nothing for the folds
    assert sum(seen) <= 3 * learnt + 5 * set_aside + 2 * sum(PARITY_BATCHES)
    assert run.metrics.validation.cross_validated
    # all images, out of fold or of the validation part, though so few were set aside
    assert run.metrics.validation.n == 60
    assert run.metrics.training_images == (60 if final else 52)
    assert Model.open(run.model).card.calibration.n == 60
    assert run.metrics.temperature != 1
    assert evaluate(run).thresholds is not None
    assert run.metrics.validation.accuracy > 0.9


def test_of_few_images_the_last_layer_learns_alone_whatever_the_budget(striped, tmp_path):
    run = train(striped, TRANSFER, size=48, budget=300, out=tmp_path / "run")
    assert run.metrics.fit_seconds < 60
    own, known = load_network(run).network.state_dict(), pretrained.load_pretrained().state_dict()
    for name, weight in own.items():
        if not name.startswith("head"):
            assert torch.equal(weight, known[name]), name
    assert evaluate(run).accuracy == 1


@pytest.mark.parametrize("options", [{}, {"budget": 60}, {"class_weights": "none", "epochs": 0.1}])
def test_of_uneven_classes_that_are_balanced_the_rare_ones_count(tmp_path, monkeypatch, options):
    monkeypatch.setattr(recipes, "HEAD_ALONE", 40)
    data = write_stripes(tmp_path / "data", 60, n_rare=6)
    run = train(data, size=48, out=tmp_path / "run", **options)
    assert run.conditions.recipe_choice.why == "pays"
    balanced = "class_weights" not in options
    assert (run.recipe.class_weights == "balanced") is balanced
    assert (run.recipe.learning_rate == 0) is balanced
    assert not balanced or evaluate(run).balanced_accuracy > 0.9


@pytest.mark.slow
def test_a_stopped_cross_validation_gives_no_temperature_and_goes_on(tmp_path):
    data, stages = write_stripes(tmp_path / "data", 80), []  # enough for all layers
    options = {"epochs": 2, "size": 48, "final": True}
    stopped = train(
        data,
        TRANSFER,
        out=tmp_path / "run",
        tell=lambda progress: stages.append(progress.stage),
        should_stop=lambda: stages[-1:] == ["calibration fold 2"],
        **options,
    )
    assert stopped.metrics.stopped
    assert stopped.metrics.validation is None
    assert stopped.metrics.temperature == 1
    resumed = resume(tmp_path / "run")
    whole = train(data, TRANSFER, out=tmp_path / "whole", **options)
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    assert resumed.metrics.validation == whole.metrics.validation


def test_a_stopped_pretrained_run_goes_on_to_the_same_weights(striped, tmp_path):
    whole = train(striped, TRANSFER, epochs=2, size=48, out=tmp_path / "whole")
    steps = iter([False, False, True])
    options = {"epochs": 2, "size": 48, "out": tmp_path / "part"}
    train(striped, should_stop=lambda: next(steps), **options)
    resumed = resume(tmp_path / "part")
    assert resumed.conditions.recipe_choice.why == "pays"
    assert not resumed.metrics.stopped
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
