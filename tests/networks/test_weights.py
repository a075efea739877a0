"""A run's weights as a network: it says what the model file says, or its damage is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lookbook.errors import DamagedFileError
from lookbook.inference.model import Model
from lookbook.networks.weights import load_network
from lookbook.runs.data_parts import load_part


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
        f"`lookbook.train({data!r}, recipe='tutorial', epochs=4, seed=0)`"
    )
