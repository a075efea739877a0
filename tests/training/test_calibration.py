"""Calibration: the temperature against a general minimiser; what a classifier is sure of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from lookbook.core.arrays import sample, softmax
from lookbook.data.catalog import FASHION_MNIST
from lookbook.data.sources import load
from lookbook.data.splits import split_validation
from lookbook.inference.model import Model
from lookbook.networks.weights import load_network
from lookbook.recipes import QUICK, STANDARD
from lookbook.training.calibration import FEWER_SIMULATED, TEMPERATURES, fit_temperature
from lookbook.training.pipeline import train
from lookbook.training.simulation.photographs import simulate_all
from made_logits import made


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
def test_photographs_of_garments_have_a_calibration_of_their_own(tmp_path, bars):
    """Simulated ones of the validation part: a likelihood that no other power makes greater."""
    run = train("fashion-mnist", QUICK, epochs=0.2, out=tmp_path / "run")
    card = Model.open(run.model).card
    network = load_network(run)
    _, validation = split_validation(load("fashion-mnist", "train"), seed=0)
    images, labels = (
        sample(each, FEWER_SIMULATED) for each in (validation.images, validation.labels)
    )
    seen, labels = simulate_all(images, labels, FASHION_MNIST.garments, seed=0)
    seen, labels = seen[labels >= 0], labels[labels >= 0]
    with torch.no_grad():
        probs = network(torch.from_numpy(seen))[1].numpy()
    losses = [
        log_loss(labels, replace_power(card.photographs, power).temper(probs))
        for power in card.photographs.power * np.array([0.9, 1, 1.1])
    ]
    assert losses.index(min(losses)) == 1
    assert card.photographs.calibration.n == len(labels)
    own = Model.open(train(str(bars), QUICK, epochs=1, out=tmp_path / "own").model).card
    assert own.photographs is UNSET
    assert not own.cuts_out_photographs


def replace_power(photographs, power):
    return structs.replace(photographs, power=float(power))


@pytest.mark.slow
def test_a_final_run_takes_from_its_twin_when_it_is_sure(more_bars, tmp_path):
    final = train(str(more_bars), STANDARD, epochs=1, final=True, out=tmp_path / "final")
    plain = train(str(more_bars), STANDARD, epochs=1, out=tmp_path / "plain")
    assert load_network(final).sure == load_network(plain).sure < 1


@pytest.mark.slow
@given(st.integers(0, 50), st.floats(0.3, 8))
def test_temperature_minimises_the_loss(seed, scale):
    logits, labels = made(seed, scale)
    found = fit_temperature(logits, labels)
    best = minimize_scalar(
        lambda t: log_loss(labels, softmax(logits / t), labels=range(5)),
        bounds=TEMPERATURES,
        method="bounded",
        options={"xatol": 1e-6},
    )
    # one wrong answer in n + 2 is taken for granted: that moves the minimum a little
    assert log_loss(labels, softmax(logits / found), labels=range(5)) <= best.fun + 2e-4


def test_temperature_undoes_a_known_scale():
    logits, labels = made(0, 3.0, n=20_000)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.05)


def test_a_model_that_is_always_right_does_not_become_certain():
    logits, labels = np.tile(5 * np.eye(4), (100, 1)), np.tile(np.arange(4), 100)
    sure = softmax(logits / fit_temperature(logits, labels)).max()
    assert sure == pytest.approx(1 - 1 / 402, abs=1e-6)


def test_few_labels_fit_no_temperature():
    assert fit_temperature(5 * np.eye(4), np.arange(4)) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 100])
def test_a_temperature_from_few_labels_does_no_harm_on_fresh_images(n):
    worse = []
    for seed in range(30):
        logits, labels = made(seed, 2.0, n=n + 2000)
        temperature = fit_temperature(logits[:n], labels[:n])
        before, after = (
            log_loss(labels[n:], softmax(logits[n:] / t), labels=range(5)) for t in (1, temperature)
        )
        worse.append(after - before)
    assert np.mean(worse) < 0
    assert np.max(worse) < 0.1


def test_equal_logits_keep_finite_numbers():
    assert np.isfinite(fit_temperature(np.zeros((60, 3)), np.arange(60) % 3))
