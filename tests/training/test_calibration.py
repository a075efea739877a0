"""Calibration: how many answers a fitted classifier is sure of, and by which images."""

from __future__ import annotations

import pytest
import torch

from lookbook.data.sources import load
from lookbook.data.splits import split_validation
from lookbook.networks.weights import load_network
from lookbook.recipes import STANDARD
from lookbook.training.pipeline import train


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
