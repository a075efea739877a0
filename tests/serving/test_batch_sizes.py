"""Answers in a batch are, bit by bit, those to each image alone."""

from __future__ import annotations

import numpy as np
import pytest

from lookbook.inference.model import Model, Outputs
from lookbook.serving.batch_sizes import answers_alike


def test_a_models_answers_are_alike_in_batches_of_all_sizes(place):
    model = Model.open(place / "runs/bars-tutorial-1/model.onnx").on_one_core()
    most = answers_alike(model, 20)
    images = np.random.default_rng(1).integers(0, 256, (60, 12, 10), dtype=np.uint8)
    alone = [model.predict(image[None]) for image in images]
    for start in range(0, 60, most):
        together = model.predict(images[start : start + most])
        for i, row in enumerate(zip(*together, strict=True)):
            for a, b in zip(alone[start + i], row, strict=True):
                assert np.array_equal(a[0], b)


@pytest.mark.parametrize("breaks_at", [2, 5, 9])
def test_batches_are_only_as_large_as_answers_are_alike(place, breaks_at):
    class Dependent(Model):
        def predict(self, inputs: np.ndarray) -> Outputs:
            outputs = super().predict(inputs)
            novelty = outputs.novelty + np.float32(1e-5) * (len(inputs) >= breaks_at)
            return outputs._replace(novelty=novelty)

    content = (place / "runs/bars-tutorial-1/model.onnx").read_bytes()
    assert answers_alike(Dependent(content), 20) <= breaks_at - 1
