"""Photographs of the serving benchmark: of one size, and a model that cuts nothing out of them."""

import numpy as np
from PIL import Image

from bench.serving import photographs
from lookbook.inference.model import Model


def test_photographs_get_one_size(tmp_path):
    for name, size in (("a.jpg", (800, 600)), ("b.jpg", (100, 200))):
        Image.new("RGB", size, "red").save(tmp_path / name)
    found = photographs.resize((tmp_path / "a.jpg", tmp_path / "b.jpg"), tmp_path)
    assert [Image.open(path).size for path in found] == [(400, 300), (200, 400)]


def test_the_same_network_takes_photographs_as_other_images(cutting_run, tmp_path):
    model = Model.open(cutting_run.model)
    assert model.preprocessing.cuts_out
    (tmp_path / "plain.onnx").write_bytes(photographs.without_segmentation(model).content)
    plain = Model.open(tmp_path / "plain.onnx")
    assert not plain.preprocessing.cuts_out
    images = np.zeros((2, 28, 28), np.uint8)
    np.testing.assert_array_equal(plain.predict(images).probs, model.predict(images).probs)
