"""Evaluation: read once, kept as it was returned, of exactly the model's answers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from lookbook.datasets import load
from lookbook.errors import InputError
from lookbook.evaluation import evaluate, load_part
from lookbook.model import Model


def test_the_kept_result_is_the_returned_one(own_run):
    (own_run.folder / "evaluation.json").unlink()
    first = evaluate(own_run)
    assert own_run.evaluation() == first
    assert evaluate(own_run) == first


def test_the_figures_are_those_of_the_models_answers(run, bars):
    test = load(str(bars), "test")
    _, probs = Model.open(run.model).predict(test.images)
    found = evaluate(run)
    assert found["accuracy"] == accuracy_score(test.labels, probs.argmax(axis=1))
    assert found["loss"] == pytest.approx(log_loss(test.labels, probs), abs=1e-6)
    assert found["conditions"]["test_sha256"] == test.sha256()
    assert np.sum(found["confusion_matrix"]) == found["n"] == 90


def test_data_that_moved_is_told(own_run, tmp_path):
    own_run.conditions["data"]["name"] = str(tmp_path / "gone.npz")
    with pytest.raises(InputError, match=r"gone\.npz does not exist"):
        load_part(own_run, "test")
