"""What a stranger's model file may not do, and that bounds follow what ONNX Runtime computes."""

from __future__ import annotations

import hashlib
import json
from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from conftest import as_model
from lookbook.errors import DamagedFileError
from lookbook.inference.graphs import limits, standard
from lookbook.inference.model import BATCH, SEAL, Model
from lookbook.networks.classifier import build_classifier
from lookbook.recipes import LARGE, STANDARD, TUTORIAL


def refusal(tmp_path, model: onnx.ModelProto | bytes, about=None) -> str:
    """Return why a file is refused that says of itself what it should, and has a hash that fits."""
    path = tmp_path / "model.onnx"
    content = model if isinstance(model, bytes) else Model.write(model, about or ABOUT).content
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        Model.open(path)
    start = f"{path} is not a model of lookbook, or it is damaged: "
    end = "; expected the model.onnx of a run: `lookbook.list_runs()` lists them"
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end)
    return str(caught.value)[len(start) : -len(end)]


def sealed(content: bytes) -> bytes:
    """Return the bytes of a file with a hash that fits."""
    seal = onnx.ModelProto()
    helper.set_model_props(seal, {"sha256": hashlib.sha256(content).hexdigest()})
    return content + seal.SerializeToString()


ABOUT = {
    "classes": ["a", "b"],
    "polarity": "mixed",
    "temperature": 1.0,
    "calibration": None,
    "recipe": {"name": "r"},
    "validation": None,
    "data": {"name": "d"},
    "licence": "",
    "lookbook": "0",
    "input_shape": [8, 8],
    "input_dtype": "uint8",
    "views": None,
}


def ints(*numbers: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64))


def constant(name: str, *numbers: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=ints(*numbers))


def node(kind: str, inputs: str, output: str, **attributes) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def graph(*nodes: onnx.NodeProto, probs=(0.25, 0.75), **more) -> onnx.ModelProto:
    """A network of two classes that takes 8×8 pixels: right but for the nodes that stand before."""
    own = [
        node("Cast", "images", "pixels", to=TensorProto.FLOAT),
        node("Flatten", "pixels", "rows"),
        node("MatMul", "rows nothing", "zeros"),
        node("Add", "zeros answer", "probs"),
        node("Log", "probs", "logits"),
        node("ReduceSum", "probs one", "novelty", keepdims=0),
    ]
    weights = {
        "nothing": np.zeros((64, 2), np.float32),
        "answer": np.float32(probs),
        "one": np.array([1], np.int64),
    }
    made = helper.make_graph(
        [*own, *nodes],
        "stranger",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 8, 8])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in ("logits", "probs", "novelty")
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
        **more,
    )
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )


def test_a_file_of_another_program_that_stays_within_bounds_is_taken(tmp_path):
    """The hash finds damage, not forgery: whoever writes a small graph and its hash is believed."""
    path = tmp_path / "model.onnx"
    path.write_bytes(Model.write(graph(), ABOUT).content)
    said = Model.open(path).predict(np.zeros((3, 8, 8), np.uint8))
    np.testing.assert_allclose(said.probs, [[0.25, 0.75]] * 3)


# ---- operators ----


def test_a_loop_is_refused_whatever_it_does(tmp_path):
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Identity", "before", "after")],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (
            ("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("before", TensorProto.FLOAT))],
        [helper.make_tensor_value_info(name, kind, []) for name, kind in (
            ("on", TensorProto.BOOL), ("after", TensorProto.FLOAT))],
    )  # fmt: skip
    for kind in ("Loop", "If", "Scan"):
        wound = helper.make_node(kind, ["n", "", "zeros"], ["end"], body=body)
        assert refusal(tmp_path, graph(constant("n", 1 << 62), wound)) == (
            f"it computes with '{kind}', which no model of lookbook does"
        )
    hidden = node("Relu", "zeros", "end")
    hidden.attribute.append(helper.make_attribute("body", body))
    assert refusal(tmp_path, graph(hidden)) == (
        "its steps hold graphs of their own, which no model of lookbook does"
    )


@pytest.mark.parametrize("kind", ["Expand", "Tile", "Resize", "Einsum", "RandomNormal", "Range"])
def test_an_operator_that_no_model_of_ours_has_is_refused(tmp_path, kind):
    assert refusal(tmp_path, graph(node(kind, "zeros one", "end"))) == (
        f"it computes with '{kind}', which no model of lookbook does"
    )


def test_an_operator_of_another_domain_is_refused(tmp_path):
    for name, domain in (("FusedMatMul", "com.microsoft"), ("Relu", "com.microsoft")):
        theirs = node(name, "zeros zeros", "end", domain=domain)
        assert refusal(tmp_path, graph(theirs)) == (
            f"it computes with '{domain}.{name}', which no model of lookbook does"
        )
    own = graph()
    own.functions.append(
        helper.make_function("", "Relu", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    )
    assert refusal(tmp_path, own) == "its graph is not built as those of lookbook are"


def test_another_version_of_the_operators_is_refused(tmp_path):
    """Up to 12, `Unsqueeze` says in an attribute what it does."""
    own = graph()
    for versions in ([12], [18], [], [17, 12]):
        del own.opset_import[:]
        own.opset_import.extend(helper.make_opsetid("", version) for version in versions)
        assert refusal(tmp_path, own) == (
            "its operators are of another version than those of lookbook"
        )


def test_weights_of_other_types_are_refused(tmp_path):
    text = helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])
    for model in (graph(helper.make_node("Constant", [], ["t"], value=text)), graph()):
        model.graph.initializer.append(text)
        assert refusal(tmp_path, model) == "its weights are not of the types of lookbook"


def test_what_onnx_runtime_refuses_is_told_once(tmp_path, capsys):
    """It would print its own error, and that it tries again."""
    # it does not do that on bytes, and cannot write the name of the step
    odd = graph(node("Relu", "images", "end", name="QQ"))
    content = Model.write(odd, ABOUT).content[:-SEAL].replace(b"QQ", b"\xd2\xd2")
    assert refusal(tmp_path, sealed(content)) == "what it says of itself does not hold"
    assert capsys.readouterr() == ("", "")


# ---- memory and time ----

MEMORY = "it would take more memory for an image than any model of lookbook"
TIME = "it would compute more for an image than any model of lookbook"
BATCHES = "it would take more than a thousand times as much for a thousand images"
UNKNOWN = "its sizes cannot be told before it runs"
UNFIT = "its steps do not fit each other"
FEW = "it declares more numbers than it holds"

DOUBLED = [node("Concat", f"x{i} x{i}", f"x{i + 1}", axis=1) for i in range(40)]
HOSTILE = {
    "filled": (MEMORY, [constant("n", 1 << 33), node("ConstantOfShape", "n", "end")]),
    "filled beyond all": (MEMORY, [constant("n", 1 << 62, 4), node("ConstantOfShape", "n", "end")]),
    "doubled": (MEMORY, [node("Identity", "rows", "x0"), *DOUBLED]),
    "padded": (MEMORY, [constant("n", 0, 0, 0, 1 << 33), node("Pad", "rows n", "end")]),
    "broadcast": (MEMORY, [
        constant("n", 1 << 16), node("ConstantOfShape", "n", "a"), constant("m", 1 << 16, 1),
        node("ConstantOfShape", "m", "b"), node("Add", "a b", "end")]),
    "gathered": (MEMORY, [
        constant("n", 1 << 20), constant("m", 1 << 20, 1 << 3), node("ConstantOfShape", "n", "a"),
        node("ConstantOfShape", "m", "b"), node("Gather", "b a", "end", axis=1)]),
    "multiplied": (TIME, [
        constant("n", 6000, 6000), node("ConstantOfShape", "n", "a"),
        node("MatMul", "a a", "end")]),
    "compared": (TIME, [
        constant("n", 1, 1, 4000, 4000), node("ConstantOfShape", "n", "a"),
        node("MaxPool", "a", "end", kernel_shape=[2000, 2000])]),
    "convolved": (TIME, [
        constant("n", 1, 1, 3000, 3000), node("ConstantOfShape", "n", "a"),
        constant("m", 1, 1, 300, 300), node("ConstantOfShape", "m", "b"),
        node("Conv", "a b", "end", kernel_shape=[300, 300])]),
    "all with all": (BATCHES, [
        constant("n", -1, 1), node("Reshape", "rows n", "a"), constant("m", 1, -1),
        node("Reshape", "rows m", "b"), node("Add", "a b", "end")]),
    "by what it sees": (UNKNOWN, [
        node("ArgMax", "probs", "k", axis=1, keepdims=0), node("ConstantOfShape", "k", "end")]),
    "by two choices": (UNKNOWN, [
        node("ReduceSum", "rows one", "a", keepdims=0), node("NonZero", "a", "b"),
        node("NonZero", "a", "end")]),
    "by a choice in a map": (UNKNOWN, [node("NonZero", "images", "end")]),
    "sides below nothing": (UNFIT, [constant("n", -3), node("ConstantOfShape", "n", "end")]),
    "numbers as texts": (UNFIT, [node("Cast", "rows", "end", to=TensorProto.STRING)]),
    "no such input": (UNFIT, [node("Relu", "nowhere", "end")]),
    "no attribute": (UNFIT, [node("MaxPool", "rows", "end")]),
    "two in four": (UNFIT, [
        constant("n", 1, 4, 9, 9), node("ConstantOfShape", "n", "a"), constant("m", 4, 2, 3, 3),
        node("ConstantOfShape", "m", "b"), node("Conv", "a b", "end", group=2)]),
    "one in none": (UNFIT, [
        constant("n", 1, 4, 9, 9), node("ConstantOfShape", "n", "a"), constant("m", 4, 1, 3, 3),
        node("ConstantOfShape", "m", "b"), node("Conv", "a b", "end", group=0)]),
    "one in eight of four": (UNFIT, [
        constant("n", 1, 4, 9, 9), node("ConstantOfShape", "n", "a"), constant("m", 8, 1, 3, 3),
        node("ConstantOfShape", "m", "b"), node("Conv", "a b", "end", group=8)]),
    "one in four, convolved": (TIME, [
        constant("n", 1, 4, 3000, 3000), node("ConstantOfShape", "n", "a"),
        constant("m", 4, 1, 200, 200), node("ConstantOfShape", "m", "b"),
        node("Conv", "a b", "end", group=4, kernel_shape=[200, 200])]),
    "more than there is": (UNFIT, [constant("n", 3, 7), node("Reshape", "probs n", "end")]),
    "the first axis where none is named": (MEMORY, [
        constant("n", 1, 1 << 20), node("ConstantOfShape", "n", "a"), node("ArgMax", "a", "b"),
        node("Transpose", "b", "c", perm=[1, 0]), node("Add", "b c", "end")]),
    "a sum over nothing": (MEMORY, [
        constant("n", 1, 1 << 20), node("ConstantOfShape", "n", "a"),
        node("ReduceSum", "a", "b", noop_with_empty_axes=1),
        node("Transpose", "b", "c", perm=[1, 0]), node("Add", "b c", "end")]),
    "a choice among constants": (UNKNOWN, [
        constant("n", 1 << 20), node("ConstantOfShape", "n", "a"), node("NonZero", "a", "end")]),
    "a part of a shape": (MEMORY, [
        constant("n", 1, 1 << 20), node("ConstantOfShape", "n", "a"),
        node("Shape", "a", "b", start=1), constant("i", 0), node("Gather", "b i", "c"),
        node("Concat", "c c", "d", axis=0), node("ConstantOfShape", "d", "end")]),
    "bytes that wrap": (UNKNOWN, [
        constant("n", 256), node("Cast", "n", "a", to=TensorProto.UINT8),
        node("Cast", "a", "b", to=TensorProto.INT64), constant("m", 257), node("Sub", "m b", "c"),
        node("Concat", "c c c c", "d", axis=0), node("ConstantOfShape", "d", "end")]),
    "halves": (UNKNOWN, [
        constant("n", 1), node("Cast", "n", "a", to=TensorProto.FLOAT), constant("m", 2),
        node("Cast", "m", "b", to=TensorProto.FLOAT), node("Div", "a b", "c"),
        node("Cast", "c", "d", to=TensorProto.INT64), node("ConstantOfShape", "d", "end")]),
    "read again and again": (TIME, [
        constant("n", 1, 1 << 24), node("ConstantOfShape", "n", "a"),
        *[node("ReduceMax", "a", f"x{i}") for i in range(2000)]]),
    "too many steps": ("its graph is not built as those of lookbook are",
                       [node("Relu", "rows", f"x{i}") for i in range(5000)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_takes_more_than_any_of_ours_is_refused_before_it_runs(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(Model, "_session", property(lambda _: pytest.fail("it was opened")))
    reason, nodes = HOSTILE[kind]
    assert refusal(tmp_path, graph(*nodes)) == reason


#: what a file says of itself that holds a user's backbone
MERGED = ABOUT | {
    "backbone": {"file": "f.onnx", "sha256": "0" * 64, "mean": [0.5], "std": [0.5], "size": None}
}
HOSTILE_MERGED = {
    **HOSTILE,
    "expanded": (MEMORY, [constant("n", 1 << 33, 1), node("Expand", "one n", "end")]),
    "tiled": (MEMORY, [constant("n", 1, 1 << 30), node("Tile", "rows n", "end")]),
    "by what it sees": (UNKNOWN, [
        node("ArgMax", "probs", "k", axis=1), node("Expand", "one k", "end")]),
    "two in four": (TIME, [
        constant("n", 1, 4, 3000, 3000), node("ConstantOfShape", "n", "a"),
        constant("m", 4, 2, 100, 100), node("ConstantOfShape", "m", "b"),
        node("Conv", "a b", "end", group=2)]),
    "averaged": (TIME, [
        constant("n", 1, 1, 4000, 4000), node("ConstantOfShape", "n", "a"),
        node("AveragePool", "a", "end", kernel_shape=[2000, 2000])]),
    "windows below nothing": (UNFIT, [
        constant("n", 1, 1, 9, 9), node("ConstantOfShape", "n", "a"),
        node("AveragePool", "a", "end", kernel_shape=[-5, 3])]),
    "parts beyond the whole": (UNFIT, [
        constant("n", 1 << 33, 64 - (1 << 33)), node("Split", "rows n", "end", axis=1)]),
    "averaged again and again": (TIME, [
        constant("n", 1, 1, 4000, 4000), node("ConstantOfShape", "n", "a"),
        *[node("GlobalAveragePool", "a", f"x{i}") for i in range(2000)]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE_MERGED)
def test_what_holds_a_backbone_is_bounded_alike(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(Model, "_session", property(lambda _: pytest.fail("it was opened")))
    reason, nodes = HOSTILE_MERGED[kind]
    assert refusal(tmp_path, graph(*nodes), MERGED) == reason


@pytest.mark.parametrize("kind", ["Loop", "If", "Scan", "Resize", "Einsum", "RandomNormal"])
def test_what_holds_a_backbone_has_no_control_flow(tmp_path, kind):
    assert refusal(tmp_path, graph(node(kind, "zeros one", "end")), MERGED) == (
        f"it computes with '{kind}', which no model of lookbook does"
    )
    theirs = node("Relu", "zeros", "end", domain="com.microsoft")
    assert "it computes with 'com.microsoft.Relu'" in refusal(tmp_path, graph(theirs), MERGED)


def test_declared_sizes_that_the_file_does_not_hold_are_refused(tmp_path):
    for dims in ([1 << 40], [1 << 20, 1 << 20], [-1]):
        large = graph()
        large.graph.initializer.append(TensorProto(name="w", data_type=1, dims=dims))
        assert refusal(tmp_path, large) == FEW
        inside = graph(helper.make_node("Constant", [], ["w"]))
        inside.graph.node[-1].attribute.append(
            helper.make_attribute("value", TensorProto(data_type=1, dims=dims))
        )
        assert refusal(tmp_path, inside) == FEW
    lacking = graph()
    lacking.graph.initializer.append(TensorProto(name="w", data_type=7, dims=[3]))
    assert refusal(tmp_path, lacking) in (FEW, "what it says of itself does not hold")


def test_an_input_of_any_size_is_bounded(tmp_path):
    about = ABOUT | {"input_shape": [1 << 20, 1 << 20]}
    assert refusal(tmp_path, graph(), about) in (MEMORY, UNFIT)
    second = graph()
    second.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1 << 40]))
    assert refusal(tmp_path, second) == "it does not take images alone"


def test_a_file_beyond_all_sizes_is_refused_unread(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(DamagedFileError, match=r"is larger than 536,870,912 bytes, which no model"):
        Model.open(path)


# ---- other files ----


def test_weights_in_other_files_are_refused_wherever_they_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outside = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../x.bin")
    as_weight, as_constant = graph(), graph(helper.make_node("Constant", [], ["w"]))
    as_weight.graph.initializer.append(outside)
    as_constant.graph.node[-1].attribute.append(helper.make_attribute("value", outside))
    expected = "it wants weights from other files, which is refused: a model is one file"
    for model in (as_weight, as_constant):
        assert refusal(tmp_path, model) == expected
    # protobuf takes the length of a name in more bytes than it needs, too
    content = Model.write(as_weight, ABOUT).content[:-SEAL]
    usual, longer = b"\x0a\x08location\x12\x08../x.bin", b"\x0a\x88\x00location\x12\x07../x.bi"
    assert usual in content
    content = content.replace(usual, longer)
    assert refusal(tmp_path, sealed(content)) == expected


# ---- answers ----


@pytest.mark.parametrize("probs", [(0.25, 0.5), (np.nan, 0.5), (np.inf, 0), (1.5, -0.5), (0, 0)])
def test_answers_that_are_no_probabilities_are_refused(tmp_path, probs):
    assert refusal(tmp_path, graph(probs=probs)) == (
        "its answers are no probabilities: they are not finite, or do not sum to 1"
    )


def test_answers_that_are_no_probabilities_later_are_refused_then(tmp_path):
    """One that answers well to the blank image that it is tried with."""
    model = graph()
    model.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.ones((64, 2), np.float32), "nothing")
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(Model.write(model, ABOUT).content)
    opened = Model.open(path)
    with pytest.raises(DamagedFileError, match=r"^its answers are no probabilities"):
        opened.predict(np.ones((1, 8, 8), np.uint8))


# ---- our own ----


def shapes_by_runtime(model: onnx.ModelProto, images: np.ndarray) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all values inside a network, as ONNX Runtime computes them."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    names = [name for each in whole.graph.node for name in each.output]
    inferred = onnx.shape_inference.infer_shapes(whole).graph
    kinds = {each.name: each.type.tensor_type.elem_type for each in inferred.value_info}
    del whole.graph.output[:]
    whole.graph.output.extend(
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), None)
        for name in names
    )
    session = onnxruntime.InferenceSession(whole.SerializeToString())
    return dict(
        zip(names, (each.shape for each in session.run(None, {"images": images})), strict=True)
    )


#: inputs are (N, 4, 8, 8) `maps`, a filter bank (4, 2, 3, 3) and norms of four channels
USUAL = {
    "a grouped convolution": node("Conv", "maps w", "end", group=2, pads=[1, 0, 2, 1]),
    "a dilated one": node("Conv", "maps w", "end", group=2, dilations=[2, 3], strides=[2, 1]),
    "the same sides": node("Conv", "maps w", "end", group=2, auto_pad="SAME_UPPER", strides=[2, 3]),
    "no border": node("Conv", "maps w", "end", group=2, auto_pad="VALID"),
    "a mean, rounded up": node(
        "AveragePool", "maps", "end", kernel_shape=[3, 3], strides=[2, 4], ceil_mode=1
    ),
    "a maximum, rounded up": node(
        "MaxPool", "maps", "end", kernel_shape=[2, 2], strides=[3, 3], pads=[1, 1, 1, 1],
        ceil_mode=1,
    ),
    "a dilated maximum": node("MaxPool", "maps", "end", kernel_shape=[3, 2], dilations=[2, 2]),
    "a mean of all": node("GlobalAveragePool", "maps", "end"),
    "parts": helper.make_node("Split", ["maps", "parts"], ["end", "rest"], axis=1),
    "halves": helper.make_node("Split", ["maps"], ["end", "rest"], axis=2),
    "room": node("Expand", "maps wide", "end"),
    "tiles": node("Tile", "maps wide", "end"),
    "to depth": node("SpaceToDepth", "maps", "end", blocksize=2),
    "from depth": node("DepthToSpace", "maps", "end", blocksize=2),
    "squeezed": node("Squeeze", "ones", "end"),
    "squeezed once": node("Squeeze", "ones first", "end"),
    "a length": node("ReduceL2", "maps", "end", axes=[1, -1], keepdims=0),
    "a power": node("Pow", "maps norm", "end"),
    "a norm": node("LayerNormalization", "maps eight", "end"),
    "a batch's norm": node("BatchNormalization", "maps four four four four", "end"),
    "a slope": node("PRelu", "maps slope", "end"),
    "swish": node("HardSwish", "maps", "end"),
}  # fmt: skip
VALUES = {
    "w": np.ones((4, 2, 3, 3), np.float32), "parts": np.array([1, 3]),
    "wide": np.array([1, 1, 1, 1]), "first": np.array([0]), "axis": np.array([1]),
    "norm": np.ones((1, 4, 1, 1), np.float32),
    "ones": np.ones((1, 1, 8, 1), np.float32), "four": np.ones(4, np.float32),
    "eight": np.ones(8, np.float32), "slope": np.ones((4, 1, 1), np.float32),
}  # fmt: skip


@pytest.mark.parametrize("kind", USUAL)
def test_sizes_of_a_backbones_operators_are_those_that_are_computed(kind):
    before = [
        node("Cast", "images", "pixels", to=TensorProto.FLOAT),
        node("Unsqueeze", "pixels axis", "map"),
        node("Concat", "map map map map", "maps", axis=1),
    ]
    made = helper.make_graph(
        [*before, USUAL[kind]],
        "usual",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", 8, 8])],
        [helper.make_tensor_value_info("end", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in VALUES.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    _, shapes = limits.follow(model.graph, (8, 8), 3, 3, standard.STANDARD)
    found = shapes_by_runtime(model, np.ones((3, 8, 8), np.uint8))
    assert {name: shapes[name] for name in found} == found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "shape"),
    [*product((TUTORIAL, STANDARD), [(9, 8), (28, 31, 3)]), (LARGE, (9, 8)), (TUTORIAL, (5,))],
)
def test_the_bounds_follow_what_is_computed(recipe, shape):
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, (60, *shape)).astype(np.float32 if len(shape) == 1 else np.uint8)
    classifier = build_classifier(recipe, raw, 4, seed=0)
    content = as_model(classifier, raw, "abcd").content
    model = onnx.load_from_string(content)
    # no image is sure, so that all are looked at in all views
    chosen = 5 if classifier.has_views else 0
    cost, shapes = limits.follow(model.graph, shape, 5, chosen)
    found = shapes_by_runtime(model, raw[:5])
    assert {name: shapes[name] for name in found} == found
    assert cost.numbers >= sum(np.prod(each) for each in found.values())
    limits.check(model, len(content), shape, BATCH)


def test_what_a_run_wrote_is_taken(run):
    model = onnx.load_from_string(run.model.read_bytes())
    about = json.loads({each.key: each.value for each in model.metadata_props}["lookbook"])
    limits.check(model, run.model.stat().st_size, tuple(about["input_shape"]), BATCH)
