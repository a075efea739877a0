"""Backbones: what a user's ONNX file may be, what is said of one that is not, and merged files."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from lookbook.errors import InputError
from lookbook.inference.graphs.backbone import PREFIX, Backbone, find_backbone
from lookbook.inference.graphs.limits import check

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class Net(nn.Module):
    """A small convolutional network; its output is what `after` makes of a map."""

    def __init__(self, channels=3, after=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.SiLU(),
            nn.Conv2d(8, 12, 3, 2, 1, groups=4), nn.GELU(), nn.AvgPool2d(2, ceil_mode=True),
        )  # fmt: skip
        self.after = after or (lambda maps: maps.flatten(1))
        self.eval()

    def forward(self, images):
        return self.after(self.layers(images))


@pytest.fixture
def export(tmp_path):
    """Return a function that writes a network as an ONNX file."""

    def write(network=None, shape=(1, 3, 24, 20), *, dynamic=None, opset=17, said=None):
        path = tmp_path / "features.onnx"
        names = {"input_names": ["pixel_values"], "output_names": ["features"]}
        torch.onnx.export(
            network or Net(), (torch.zeros(shape),), path, dynamo=False, opset_version=opset,
            dynamic_axes=dynamic, **names,
        )  # fmt: skip
        if said:
            written = onnx.load(path)
            helper.set_model_props(written, said)
            onnx.save(written, path)
        return path

    return write


def change(path, edit):
    written = onnx.load(path)
    edit(written)
    path.write_bytes(written.SerializeToString())
    return path


def images_of(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def features(path, images, mean=MEAN, std=STD, **options):
    backbone = Backbone(find_backbone(path, mean, std), images.shape[1:])
    return np.concatenate(list(backbone.features(images, **options)))


def expected(network, images, mean=MEAN, std=STD):
    """Return the features by PyTorch, with pixels scaled in its own way."""
    rgb = np.stack([images] * 3, axis=3) if images.ndim == 3 else images
    pixels = (rgb / 255 - np.array(mean)) / np.array(std)
    with torch.inference_mode():
        return network(torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float()).numpy()


# ---- features ----


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20])
def test_features_are_those_of_the_network_whatever_the_version(export, opset):
    images = images_of(11, 24, 20, 3)
    found = features(export(opset=opset), images)
    np.testing.assert_allclose(found, expected(Net(), images), rtol=1e-3, atol=1e-4)


def test_grey_images_are_three_equal_channels(export):
    images = images_of(3, 24, 20)
    found = features(export(), images)
    np.testing.assert_allclose(found, expected(Net(), images), rtol=1e-3, atol=1e-4)


def test_mirrored_images_are_mirrored_left_to_right(export):
    images = images_of(3, 24, 20, 3)
    found = features(export(), images, mirrored=True)
    np.testing.assert_allclose(found, expected(Net(), images[:, :, ::-1]), rtol=1e-3, atol=1e-4)


def test_a_map_becomes_its_mean(export):
    network = Net(after=lambda maps: maps)
    images = images_of(3, 24, 20, 3)
    found = features(export(network), images)
    np.testing.assert_allclose(found, expected(network, images).mean((2, 3)), rtol=1e-3, atol=1e-4)


def test_sides_of_any_length_take_any_image(export):
    network = Net(after=lambda maps: maps.mean((2, 3)))
    axes = {"pixel_values": {0: "N", 2: "H", 3: "W"}}
    path = export(network, dynamic=axes)
    assert find_backbone(path, MEAN, STD).size is None
    images = images_of(3, 40, 32, 3)
    np.testing.assert_allclose(
        features(path, images), expected(network, images), rtol=1e-3, atol=1e-4
    )


def test_channels_may_come_last(export):
    class Last(Net):
        def forward(self, images):
            return super().forward(images.permute(0, 3, 1, 2))

    images = images_of(3, 24, 20, 3)
    found = features(export(Last(), (1, 24, 20, 3)), images)
    np.testing.assert_allclose(found, expected(Net(), images), rtol=1e-3, atol=1e-4)


def test_the_only_vector_of_several_outputs_is_taken(export):
    class Two(Net):
        def forward(self, images):
            maps = self.layers(images)
            return maps.flatten(2), maps.mean((2, 3))

    images = images_of(2, 24, 20, 3)
    right = expected(Net(after=lambda maps: maps.mean((2, 3))), images)
    np.testing.assert_allclose(features(export(Two()), images), right, rtol=1e-3, atol=1e-4)


def test_attention_over_patches_is_taken(export):
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Conv2d(3, 16, 8, 8)
            self.first = nn.Parameter(torch.randn(1, 1, 16))
            self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
            self.eval()

        def forward(self, images):
            tokens = self.embed(images).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.first.expand(tokens.shape[0], -1, -1), tokens], 1)
            # the exporter knows no fused layer
            tokens = tokens + self.block._sa_block(self.block.norm1(tokens), None, None)
            return (tokens + self.block._ff_block(self.block.norm2(tokens)))[:, 0]

    network = Patches()
    path = export(network, (2, 3, 24, 16), dynamic={"pixel_values": {0: "N"}})
    images = images_of(5, 24, 16, 3)
    np.testing.assert_allclose(
        features(path, images), expected(network, images), rtol=1e-3, atol=1e-3
    )


# ---- what the file says ----


@pytest.mark.parametrize(
    "said",
    [
        {"mean": "[0.5, 0.4, 0.3]", "std": "[0.2, 0.25, 0.3]"},
        {"image_mean": "[0.5, 0.4, 0.3]", "image_std": "[0.2, 0.25, 0.3]"},
    ],
)
def test_metadata_say_how_pixels_are_taken_and_arguments_go_before(export, said):
    path = export(said=said)
    assert (find_backbone(path).mean, find_backbone(path).std) == (MEAN, STD)
    assert find_backbone(path, [0.1]).mean == (0.1,)
    content = path.read_bytes()
    assert find_backbone(path).sha256 == hashlib.sha256(content).hexdigest()
    assert find_backbone(path).size == (24, 20)


def test_without_them_it_asks(export):
    with pytest.raises(InputError, match=r"does not say how it takes pixels; say so by `backbone_"):
        find_backbone(export())


@pytest.mark.parametrize(
    ("mean", "std"), [([0.5, 0.5], [1]), ([0.5], [0]), (["a"], [1]), ([float("nan")], [1])]
)
def test_levels_that_are_none_are_refused(export, mean, std):
    with pytest.raises(InputError, match=r"must be one number or 3, on a scale where white is 1"):
        find_backbone(export(), mean, std)


def test_levels_alone_are_refused():
    assert find_backbone(None) is None
    with pytest.raises(InputError, match="name one"):
        find_backbone(None, [0.5])


# ---- what is refused ----


def of_type(kind):
    def edit(written):
        written.graph.input[0].type.tensor_type.elem_type = kind

    return edit


def outside(written):
    weight = written.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")


def second_input(written):
    written.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))


def tokens(written):
    sides = written.graph.output[0].type.tensor_type.shape.dim
    sides.add(dim_value=3)


def versions(written):
    del written.opset_import[:]
    written.opset_import.append(helper.make_opsetid("", 23))


def looped(written):
    body = helper.make_graph([], "body", [], [])
    written.graph.node.append(helper.make_node("If", ["features"], ["end"], then_branch=body))
    written.graph.output[0].name = "end"


def of_microsoft(written):
    written.graph.node.append(
        helper.make_node("Gelu", ["features"], ["end"], domain="com.microsoft")
    )
    written.graph.output[0].name = "end"


def immense(written):
    size = numpy_helper.from_array(np.array([1, 1 << 33]), "size")
    written.graph.initializer.append(size)
    written.graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["zeros"]))
    written.graph.node.append(helper.make_node("ReduceMax", ["zeros"], ["top"], keepdims=0))
    written.graph.node.append(helper.make_node("Add", ["features", "top"], ["end"]))
    written.graph.output[0].name = "end"


WRONG = {
    "float16": (of_type(TensorProto.FLOAT16), r"images of type float16, expected float32"),
    "bytes": (of_type(TensorProto.UINT8), r"images of type uint8, expected float32"),
    "two inputs": (second_input, r"takes pixel_values, mask, expected images alone"),
    "tokens": (tokens, r"gives features \(1, 108, 3\), expected one vector for each image"),
    "another version": (versions, r"operators of version 23; export it with opset_version=17"),
    "weights outside": (outside, r"keeps weights in other files, which are not read"),
    "control flow": (looped, r"cannot be part of a model file: it computes with 'If'"),
    "another domain": (of_microsoft, r"of a model file: it computes with 'com.microsoft.Gelu'"),
    "immense": (immense, r"cannot be part of a model file: it would take more memory"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_backbone_is_refused_with_what_to_do(export, kind):
    edit, message = WRONG[kind]
    path = change(export(), edit)
    with pytest.raises(InputError, match=message) as caught:
        Backbone(find_backbone(path, MEAN, STD), (24, 20, 3))
    assert str(caught.value).count("\n") == 0


def test_a_batch_of_its_own_that_cannot_be_lifted_is_refused(export):
    path = export(Net(after=lambda maps: maps.reshape(1, 108)))
    with pytest.raises(InputError, match=r"is for a batch of its own size; export it for any"):
        Backbone(find_backbone(path, MEAN, STD), (24, 20, 3))


def test_images_of_other_sides_and_colours_are_refused(export):
    known = find_backbone(export(), MEAN, STD)
    with pytest.raises(InputError, match=r"takes images of 24×20, got 20×24; export it with sides"):
        Backbone(known, (20, 24, 3))
    grey = find_backbone(export(Net(channels=1), (1, 1, 24, 20)), [0.5], [0.5])
    assert Backbone(grey, (24, 20)).known.size == (24, 20)
    with pytest.raises(InputError, match=r"takes grey images, got colour"):
        Backbone(grey, (24, 20, 3))


def test_images_that_are_too_large_to_be_read_are_refused(export):
    network = Net(after=lambda maps: maps.mean((2, 3)))
    with pytest.raises(InputError, match=r"takes images of 384×384, and 8 to 288 pixels"):
        find_backbone(export(network, (1, 3, 384, 384)), MEAN, STD)


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x08" * 100])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "features.onnx"
    with pytest.raises(InputError, match="no ONNX file"):
        find_backbone(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no ONNX file, or it was cut; export it again"):
        find_backbone(path)


def test_a_file_that_was_changed_since_is_refused(export):
    path = export()
    known = find_backbone(path, MEAN, STD)
    path.write_bytes(path.read_bytes() + b"\x00")
    with pytest.raises(InputError, match="was changed since"):
        Backbone(known, (24, 20, 3))


# ---- merged ----


def test_a_merged_file_keeps_names_apart_and_within_bounds(export):
    backbone = Backbone(find_backbone(export(), MEAN, STD), (24, 20, 3))
    head = helper.make_model(
        helper.make_graph(
            [helper.make_node("MatMul", ["images", "/layers/0/weight"], ["logits"])],
            "head",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 108])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])],
            [numpy_helper.from_array(np.ones((108, 2), np.float32), "/layers/0/weight")],
        ),
        opset_imports=[helper.make_opsetid("", backbone.opset)],
        ir_version=8,
    )
    merged = backbone.merge(head)
    onnx.checker.check_model(merged, full_check=True)
    check(merged, merged.ByteSize(), (24, 20, 3), 8, merged=True)
    own = [each.name for each in merged.graph.initializer if each.name.startswith(PREFIX)]
    assert len(own) >= 4
    assert sum(node.op_type == "MatMul" for node in merged.graph.node) == 1
    assert backbone.parameters == sum(p.numel() for p in Net().parameters()) - 2 * 8
