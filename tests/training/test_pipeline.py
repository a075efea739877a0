"""Training: against a slow plain version, the same twice, stopped, gone wrong."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pixel_unshuffle

from conftest import made_images
from lookbook.data.sources import load
from lookbook.data.splits import split_validation
from lookbook.errors import DamagedFileError, InputError, TrainingError
from lookbook.inference.model import Model
from lookbook.inference.thresholds import softmax
from lookbook.networks.classifier import build_classifier
from lookbook.networks.conv import whitening_layer
from lookbook.networks.scaling import Components
from lookbook.networks.weights import load_network
from lookbook.recipes import LARGE, QUICK, SMALL, STANDARD, TUTORIAL, Recipe
from lookbook.runs.parts import load_part
from lookbook.training import sampler
from lookbook.training.callbacks import Listener, StopWhen
from lookbook.training.loop import fit
from lookbook.training.pipeline import train

TINY = Recipe("tiny", widths=(7,), learning_rate=0.01, batch_size=8, epochs=2)


def slow_fit(images, labels, recipe, seed):
    """Adam as Kingma and Ba (2015) write it, in float64 NumPy, with gradients by hand."""
    start = build_classifier(recipe, images, labels.max() + 1, seed)
    weights = [p.detach().numpy().astype(np.float64) for p in start.network.parameters()]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    shuffler = torch.Generator().manual_seed(seed)
    pixels = images.reshape(len(images), -1) / 255
    step, losses = 0, []
    for _ in range(recipe.epochs):
        order = torch.randperm(len(labels), generator=shuffler).numpy()
        total = 0.0
        bounds = np.linspace(0, len(order), math.ceil(len(order) / recipe.batch_size) + 1)
        for begin, end in pairwise(bounds.astype(int)):
            chosen = order[begin:end]
            x, y = pixels[chosen], labels[chosen]
            hidden = np.maximum(x @ weights[0].T + weights[1], 0)
            probs = softmax(hidden @ weights[2].T + weights[3])
            total += -np.log(probs[np.arange(len(y)), y]).sum()
            error = probs.copy()
            error[np.arange(len(y)), y] -= 1
            error /= len(y)
            back = (error @ weights[2]) * (hidden > 0)
            gradients = [back.T @ x, back.sum(0), error.T @ hidden, error.sum(0)]
            step += 1
            for i, g in enumerate(gradients):
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                m, v = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
                weights[i] = weights[i] - recipe.learning_rate * m / (np.sqrt(v) + 1e-7)
        losses.append(total / len(order))
    return weights, losses


def test_fit_agrees_with_a_slow_plain_version():
    images, labels = made_images(50, seed=0)  # 50 is no multiple of 8: batches of 7 and 8
    expected, losses = slow_fit(images, labels, TINY, seed=3)
    fitted = fit((images, labels), None, TINY, 3, seed=3)
    for found, wanted in zip(fitted.classifier.network.parameters(), expected, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), wanted, atol=2e-5)
    assert [entry.loss for entry in fitted.history] == pytest.approx(losses, abs=1e-5)


def test_history_counts_images_and_agrees_with_the_networks_own_answers():
    images, labels = made_images(50, seed=0)
    other, others = made_images(30, seed=5)
    fitted = fit((images, labels), (other, others), TINY, 3, seed=0)
    last = fitted.history[-1]
    with torch.no_grad():
        logits, *_ = fitted.classifier(torch.from_numpy(other))
    np.testing.assert_allclose(fitted.val_logits, logits.numpy(), atol=1e-5)
    assert last.images == 50
    assert last.val_accuracy == (logits.argmax(1).numpy() == others).mean()
    assert last.val_loss == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(others))), abs=1e-5
    )


def bits(fitted):
    return b"".join(p.detach().numpy().tobytes() for p in fitted.classifier.parameters())


def test_the_same_seed_gives_bit_identical_weights_and_another_seed_others():
    data = made_images(200, seed=0)
    first, second, other = (fit(data, None, TUTORIAL.with_epochs(2), 3, seed=s) for s in (4, 4, 5))
    assert bits(first) == bits(second)
    assert bits(first) != bits(other)


def test_the_state_of_torchs_own_generator_decides_nothing():
    data = made_images(60, seed=0)
    torch.manual_seed(1)
    first = fit(data, None, TINY, 3)
    torch.manual_seed(2)
    assert bits(first) == bits(fit(data, None, TINY, 3))


def test_progress_counts_every_image_and_ends_each_epoch_once():
    told = []
    fit(made_images(100, seed=0), None, TINY, 3, callbacks=[Listener(told.append)])
    ends = [(p.epoch, p.images, p.seconds_left) for p in told if p.epoch_ended]
    assert ends == [(1, 100, pytest.approx(ends[0][2])), (2, 100, 0.0)]
    assert all(p.seconds_left >= 0 and p.images_per_epoch == 100 for p in told)


def test_a_stop_ends_at_the_step_and_keeps_what_is_learnt():
    asked = iter([False] * 4 + [True] * 9)
    stop = StopWhen(lambda: next(asked))
    fitted = fit(made_images(100, seed=0), None, TINY, 3, callbacks=[stop])
    assert fitted.stopped
    assert [entry.images for entry in fitted.history] == [38]  # of 100 in 13 steps


def test_a_loss_that_is_not_finite_stops_training_with_advice():
    rows = np.full((64, 4), 1e30, np.float32)
    rows[::2] = -1e30
    rows[0] = np.inf
    with pytest.raises(TrainingError) as caught:
        fit((rows, np.arange(64) % 2), None, TINY, 2)
    assert str(caught.value) == (
        "the loss is no longer finite in epoch 1; try a smaller learning rate, and look for "
        "damaged images: lookbook look DATA"
    )


# ---- runs ----


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


def test_saved_weights_and_model_file_predict_the_same(run):
    test = load_part(run, "test")
    network = load_network(run)
    with torch.no_grad():
        logits, probs, novelty = network(torch.from_numpy(test.images))
    found_logits, found_probs, found_novelty = Model.open(run.model).predict(test.images)
    np.testing.assert_allclose(found_logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(found_probs, probs.numpy(), atol=1e-6)
    np.testing.assert_allclose(found_novelty, novelty.numpy(), rtol=1e-3)
    assert (found_probs.argmax(1) == probs.numpy().argmax(1)).all()


@pytest.fixture
def more_bars(tmp_path):
    """Enough images for a validation part that gives a temperature."""
    images, labels = made_images(600, seed=3)
    np.savez(tmp_path / "more.npz", images=images, labels=labels)
    return tmp_path / "more.npz"


def test_the_model_file_holds_the_scaling_and_the_temperature(more_bars, tmp_path):
    run = train(str(more_bars), TINY, out=tmp_path / "run")
    test = load_part(run, "test")
    logits, probs, _ = Model.open(run.model).predict(test.images)
    assert run.metrics["temperature"] != 1
    np.testing.assert_allclose(probs, softmax(logits / run.metrics["temperature"]), atol=1e-5)


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
        "the recipe 'tutorial' is a dense network, which sees images as they are; leave --mirror "
        "out, or take a convolutional one: --recipe standard"
    )


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


def test_damaged_weights_are_named_with_the_way_out(own_run):
    content = bytearray(own_run.weights.read_bytes())
    content[-1] ^= 1
    own_run.weights.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        load_network(own_run)
    recorded = json.loads((own_run.folder / "conditions.json").read_text())["sha256"]
    import hashlib

    found = hashlib.sha256(bytes(content)).hexdigest()
    data = own_run.conditions["data"]["name"]
    assert str(caught.value) == (
        f"{own_run.weights} is damaged: its SHA-256 is {found}, the run recorded "
        f"{recorded['weights.safetensors']}; restore the file, or train again: "
        f"lookbook train {data} --recipe tutorial --epochs 4 --seed 0"
    )


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


def test_a_part_of_a_pass_takes_that_part_of_the_images():
    images, labels = made_images(800, seed=0)
    fitted = fit((images, labels), None, QUICK.with_epochs(1.5), 3)  # two steps a pass
    assert [entry.images for entry in fitted.history] == [800, 400]
    fitted = fit((images, labels), None, replace(TINY, epochs=1.5), 3)
    assert [entry.images for entry in fitted.history] == [800, 400]


def test_images_that_the_network_is_not_sure_of_are_looked_at_in_several_views():
    images, _ = made_images(40, seed=0)
    classifier = build_classifier(replace(STANDARD, shift=2), images, 3, seed=0).eval()
    pixels = torch.from_numpy(images)[:, None]

    def one_view(view):
        return (classifier.network(view) + classifier.network(view.flip(3))) / 2

    with torch.no_grad():
        own = classifier.network(pixels)
        padded = torch.nn.functional.pad(pixels, (2, 2, 2, 2))
        corners = [padded[:, :, y : y + 12, x : x + 10] for y in (0, 4) for x in (0, 4)]
        averaged = one_view(pixels) / 2 + sum(map(one_view, corners)) / 8
        top = own.softmax(1).amax(1)
        sure = top.median() + 1e-6
        for border, unsure in ((0.0, top < 0), (sure, top < sure), (np.inf, top < 1)):
            classifier.sure.fill_(border)
            share = ((border - top) / classifier.RAMP).clamp(0, 1)[:, None]
            found = classifier.look(torch.from_numpy(images))[0]
            np.testing.assert_allclose(found, own + share * (averaged - own), atol=1e-5)
            np.testing.assert_array_equal(found[~unsure], own[~unsure])


def test_about_a_quarter_of_the_validation_part_is_not_sure(more_bars, tmp_path):
    run = train(str(more_bars), STANDARD, epochs=1, out=tmp_path / "run")
    network = load_network(run)
    _, validation = split_validation(load(str(more_bars), "train"), seed=0)
    with torch.no_grad():
        logits = network.network(network.scaler(torch.from_numpy(validation.images)))
    assert (logits.softmax(1).amax(1) < network.sure).float().mean() == pytest.approx(
        0.25, abs=0.02
    )


@pytest.mark.slow
def test_a_final_run_takes_from_its_twin_when_it_is_sure(more_bars, tmp_path):
    final = train(str(more_bars), STANDARD, epochs=1, final=True, out=tmp_path / "final")
    plain = train(str(more_bars), STANDARD, epochs=1, out=tmp_path / "plain")
    assert load_network(final).sure == load_network(plain).sure < 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [SMALL, STANDARD, LARGE], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("shape", [(8, 8), (8, 30), (9, 224), (28, 28, 3), (64, 64), (224, 224)])
def test_the_convolutional_network_follows_size_and_channels(recipe, shape):
    raw = np.random.default_rng(0).integers(0, 255, (4, *shape), dtype=np.uint8)
    classifier = build_classifier(recipe, raw, 7, seed=0)
    logits, probs, _ = classifier(torch.from_numpy(raw))
    assert logits.shape == (4, 7)
    np.testing.assert_allclose(probs.detach().sum(1), 1, atol=1e-5)


def test_widths_name_each_convolution_of_a_image_of_28_pixels():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    for recipe, expected in (
        (SMALL, (32, 64, 64, 96)),
        (STANDARD, (32, 48, 64, 64, 96)),
        (LARGE, (64, 96, 128, 192, 192, 384)),
    ):
        layers = build_classifier(recipe, raw, 10, seed=0).network.layers
        found = tuple(one.out_channels for one in layers if isinstance(one, torch.nn.Conv2d))
        assert found == recipe.widths == expected


def test_a_fine_network_keeps_the_sides_in_its_first_stage():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    network = build_classifier(LARGE, raw, 10, seed=0).eval().network
    sides = []
    for layer in network.layers:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _layer, _given, maps: sides.append(maps.shape[2]))
    network(torch.from_numpy(raw[:, None]))
    assert sides == [13, 13, 6, 6, 3, 1]


def test_the_last_convolution_is_a_product_of_matrices_in_training_alone():
    raw = np.random.default_rng(0).integers(0, 255, (9, 28, 28), dtype=np.uint8)
    network = build_classifier(STANDARD, raw, 10, seed=0).network
    last = [one for one in network.layers if isinstance(one, torch.nn.Conv2d)][-1]
    maps = torch.randn(5, last.in_channels, 3, 3)
    as_product = last.train()(maps)
    np.testing.assert_allclose(
        as_product.detach(), conv2d(maps, last.weight).detach(), rtol=1e-4, atol=1e-4
    )
    assert last.eval()(maps).shape == as_product.shape == (5, last.out_channels, 1, 1)


@pytest.mark.parametrize("colour", [False, True])
def test_whitening_makes_answers_uncorrelated(fashion, colour):
    raw = fashion.images[:2000]
    if colour:
        raw = np.stack([raw, raw[:, ::-1], raw // 2], axis=-1)
    filters, shift = whitening_layer(raw, 16)
    pixels = torch.from_numpy(raw).float()
    pixels = pixels.permute(0, 3, 1, 2) if colour else pixels.unsqueeze(1)
    answers = conv2d(pixel_unshuffle(pixels, 2), filters, shift)[:, :8].transpose(0, 1).flatten(1)
    covariance = (answers @ answers.T / answers.shape[1]).numpy()
    np.testing.assert_allclose(covariance, np.diag(np.diagonal(covariance)), atol=1e-3)
    assert 0.5 < np.diagonal(covariance).min() <= np.diagonal(covariance).max() <= 1.002


def test_the_folded_whitening_layer_is_a_convolution_of_four_by_four_pixels(fashion):
    filters, shift = whitening_layer(fashion.images[:500], 8)
    whole = torch.nn.functional.pixel_shuffle(filters.contiguous(), 2)  # F 1 4 4
    pixels = torch.from_numpy(fashion.images[:3]).float().unsqueeze(1)
    expected = conv2d(pixels, whole, shift, stride=2)
    np.testing.assert_allclose(
        conv2d(pixel_unshuffle(pixels, 2), filters, shift), expected, atol=1e-4
    )


def test_components_are_uncorrelated_and_of_mean_square_one(fashion):
    components = Components(fashion.images[:2000])
    answers = components(torch.from_numpy(fashion.images[:2000])).numpy()
    covariance = answers.T @ answers / len(answers)
    assert answers.shape == (2000, 192)
    np.testing.assert_allclose(answers.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.diagonal(covariance).mean(), 1, atol=1e-3)
    np.testing.assert_allclose(covariance, np.diag(np.diagonal(covariance)), atol=2e-3)


@pytest.mark.parametrize("n", [40, 500])  # more pixels than images, and fewer
def test_a_folded_network_is_the_tutorials_and_answers_the_same(fashion, n):
    raw = fashion.images[:n, 4:24, 4:24]
    classifier = build_classifier(QUICK, raw, 10, seed=0)
    folded = classifier.folded()
    assert [p.shape for p in folded.network.parameters()] == [(128, 400), (128,), (10, 128), (10,)]
    with torch.no_grad():
        np.testing.assert_allclose(
            folded.look(torch.from_numpy(raw))[0],
            classifier.look(torch.from_numpy(raw))[0],
            atol=1e-4,
        )


@pytest.mark.parametrize("n", [1, 2, 31, 33, 65, 189, 320, 321, 1000, 20_001])
@pytest.mark.parametrize("batch_size", [32, 500])
@pytest.mark.parametrize("epochs", [0.4, 1, 2.7])
def test_no_batch_is_a_remainder_and_every_image_comes_once(n, batch_size, epochs):
    recipe = replace(TUTORIAL, batch_size=batch_size, epochs=epochs)
    order = sampler.Passes(recipe, n, seed=0, bytes_each=64)
    sizes, seen, done = [], [], 0
    while done < order.steps:
        chosen, parts = order.next_batches(order.steps - done)
        sizes += [len(chosen[part]) for part in parts]
        seen += chosen.tolist()
        done += len(parts)
        order.note(chosen, torch.zeros(len(chosen)))
    assert len(sizes) == order.steps == max(1, sum(_steps(n, batch_size, epochs)))
    assert sum(sizes) == len(seen)
    assert max(sizes) <= batch_size
    assert min(sizes) >= min(n, batch_size // 2)
    for begin in range(0, len(seen), n):
        each_pass = seen[begin : begin + n]
        assert len(set(each_pass)) == len(each_pass)
    assert len(seen) == pytest.approx(epochs * n, abs=max(sizes))


def _steps(n, batch_size, epochs):
    """Steps of each pass; of the last one that part which was asked for."""
    each = math.ceil(n / batch_size)
    return [each] * int(epochs) + [round((epochs - int(epochs)) * each)]


def test_a_image_left_over_breaks_no_norm():
    """189 images once left one alone: the norms had nothing to take a mean of."""
    for n in (189, 33, 2):
        fitted = fit(made_images(n, seed=0), None, STANDARD.suited_to(n).with_epochs(1), 3)
        assert fitted.history[-1].images == n


def test_later_passes_take_the_images_of_the_greatest_loss():
    images, labels = made_images(1000, seed=0)
    labels[:50] = (labels[:50] + 1) % 3  # wrong labels stay hard
    seen = []
    recipe = replace(STANDARD, epochs=4, hardest=0.3, batch_size=100)
    with pytest.MonkeyPatch.context() as patch:
        draw = sampler.Passes._draw
        patch.setattr(sampler.Passes, "_draw", lambda self: seen.append(draw(self)) or seen[-1])
        fitted = fit((images, labels), None, recipe, 3)
    assert [len(order) for order in seen] == [1000, 300, 300, 300]
    assert [entry.images for entry in fitted.history] == [1000, 300, 300, 300]
    assert all(len(set(order.tolist())) == len(order) for order in seen)
    share_of_wrong = np.mean([(order < 50).float().mean() for order in seen[2:]])
    assert share_of_wrong > 2 * 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no accelerator here")
def test_an_accelerator_learns_what_the_processor_learns():
    data = made_images(300, seed=0)
    fitted = fit(data, data, TUTORIAL.with_epochs(4), 3)
    assert fitted.history[-1].val_accuracy > 0.95


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
