"""Layers, filters and features of a model file, read from its ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lookbook.inference.graphs.backbone import PREFIX
from lookbook.inference.runtime import open_session

if TYPE_CHECKING:
    from jaxtyping import Float32, Shaped

    from lookbook.inference.model import Model

#: name that a whitening layer's filters have in the file
WHITENING = "network.whitening"
#: beginning of the names of what novelty is judged by
NOVELTY = "novelty."


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as its model file has it."""

    kind: Literal["backbone", "whitening", "conv", "depthwise", "max", "mean", "dense", "logits"]
    #: of what it hands on for one image: (channels, height, width), or (numbers,)
    shape: tuple[int, ...]
    #: numbers that were learnt
    learnt: int = 0
    #: numbers that were computed from the images
    computed: int = 0
    #: pixels on the sides of a convolution's filters, and in its steps
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()


def layers(model: Model) -> list[Layer]:
    """List the layers that an image goes through, first to last.

    Parameters that follow a convolution, those of its norm, are part of it in the file.
    """
    graph = onnx.load_from_string(model.content).graph
    weights = _weights(graph)
    nodes = _trained(graph, weights)
    shapes = _shapes(model, [node.output[0] for node in nodes] + [nodes[-1].input[0]])
    found = _backbone(model, graph, shapes[nodes[-1].input[0]])
    for node in nodes:
        is_last = node is nodes[-1]
        if is_last and found and len(found[-1].shape) == 3:
            (pool,) = (each for each in graph.node if node.input[0] in each.output)
            kind: Literal["mean", "max"] = "mean" if pool.op_type == "ReduceMean" else "max"
            found.append(Layer(kind, shapes[node.input[0]]))
        found.append(_layer(node, weights, shapes[node.output[0]], is_last=is_last))
    return found


def _backbone(model: Model, graph: onnx.GraphProto, shape: tuple[int, ...]) -> list[Layer]:
    """Return a user's backbone as one layer, where there is one."""
    if not model.card.backbone:
        return []
    own = [each for each in graph.initializer if each.name.startswith(PREFIX)]
    floats = [each for each in own if each.data_type == onnx.TensorProto.FLOAT]
    return [Layer("backbone", shape, learnt=sum(int(np.prod(each.dims)) for each in floats))]


def _weights(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the constants by name; the exporter keeps equal ones once, under several names."""
    weights = {constant.name: constant for constant in graph.initializer}
    for node in graph.node:
        # of weights in 16 bits: they are made 32 before anything is computed
        if node.op_type in {"Identity", "Cast"} and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]]
    return weights


def _trained(graph: onnx.GraphProto, weights: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Return the nodes with weights on the way of the first view, up to the first logits.

    Those of a user's backbone are not among them.
    """
    trained = [
        node
        for node in graph.node
        if node.op_type in {"Conv", "Gemm", "MatMul"}
        and node.input[1] in weights
        and not node.input[1].startswith((NOVELTY, PREFIX))
    ]
    # other views go through the same weights again; the logits' are the last of all
    names = [weights[node.input[1]].name for node in trained]
    return trained[: names.index(names[-1]) + 1]


def _layer(
    node: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    shape: tuple[int, ...],
    *,
    is_last: bool,
) -> Layer:
    count = sum(int(np.prod(weights[name].dims)) for name in node.input[1:] if name in weights)
    if node.op_type != "Conv":
        return Layer("logits" if is_last else "dense", shape, learnt=count)
    sides = {a.name: tuple(a.ints) for a in node.attribute if a.name in {"kernel_shape", "strides"}}
    kernel, stride = sides["kernel_shape"], sides["strides"]
    if node.input[1] == WHITENING:
        # in files of earlier versions a 2×2 filter, over squares of 2×2 pixels
        return Layer("whitening", shape, 0, count, (4, 4), (2, 2))
    kind: Literal["depthwise", "conv"] = "depthwise" if _is_depthwise(node) else "conv"
    return Layer(kind, shape, count, 0, kernel, stride)


def _is_depthwise(node: onnx.NodeProto) -> bool:
    return any(each.name == "group" and each.i > 1 for each in node.attribute)


def has_depthwise(model: Model) -> bool:
    """Say whether some of the filters see one channel each, which no `Step` describes."""
    return any(_is_depthwise(node) for node in onnx.load_from_string(model.content).graph.node)


def _shapes(model: Model, names: list[str]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of values inside the network, for one image."""
    blank = np.zeros((1, *model.input_shape), model.card.input_dtype)
    values = _session(model, names).run(names, {"images": blank})
    return {name: value.shape[1:] for name, value in zip(names, values, strict=True)}


def features(model: Model, inputs: Shaped[np.ndarray, "N *shape"]) -> Float32[np.ndarray, "N F"]:
    """Return what the last layer of the network sees of each image, in one view."""
    graph = onnx.load_from_string(model.content).graph
    last = _trained(graph, _weights(graph))[-1]
    session = _session(model, [last.input[0]])
    parts = [
        session.run(None, {"images": inputs[batch]})[0] for batch in model.batches(len(inputs))
    ]
    return np.concatenate(parts)


def _session(model: Model, names: list[str]) -> Any:
    """Return a session that computes these values inside the network, and nothing beyond."""
    whole = onnx.load_from_string(model.content)
    needed, kept = set(names), []
    for node in reversed(whole.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed.update(node.input)
    del whole.graph.node[:], whole.graph.output[:]
    whole.graph.node.extend(reversed(kept))
    whole.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in dict.fromkeys(names)
    )
    return open_session(whole.SerializeToString())


def first_filters(model: Model) -> Float32[np.ndarray, "F H W *C"]:
    """Return the first layer's filters as images.

    A whitening layer has each filter and its negative: the negatives are left out.
    """
    graph = onnx.load_from_string(model.content).graph
    weights = _weights(graph)
    name = _trained(graph, weights)[0].input[1]
    values = numpy_helper.to_array(weights[name]).astype(np.float32)
    if name == WHITENING:
        images = _unfolded(values[: len(values) // 2]).transpose(0, 2, 3, 1)
        return images if images.shape[3] > 1 else images[..., 0]
    shape = model.input_shape
    if values.ndim == 4:  # of colours, at their own size
        return values.transpose(0, 2, 3, 1)
    if len(shape) == 3:  # dense, of colour images: N C H W inside the network
        height, width, channels = shape
        return values.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return values.reshape(-1, *shape)


def _unfolded(filters: Float32[np.ndarray, "F *D"]) -> Float32[np.ndarray, "F C 4 4"]:
    """Return whitening filters over 4×4 pixels, which earlier versions kept `_folded`."""
    if filters.shape[2] == 4:
        return filters
    # filter, channel, place in the square (down, right), square (down, right)
    squares = filters.reshape(len(filters), -1, 2, 2, 2, 2)
    return squares.transpose(0, 1, 4, 2, 5, 3).reshape(len(filters), -1, 4, 4)


def _folded(filters: Float32[np.ndarray, "F C 4 4"]) -> Float32[np.ndarray, "F D 2 2"]:
    """Return filters over 4×4 pixels as such over 2×2 squares, whose pixels are channels."""
    # filter, channel, square (down), place in it, square (right), place in it
    squares = filters.reshape(len(filters), -1, 2, 2, 2, 2)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(len(filters), -1, 2, 2)


@dataclass(frozen=True)
class Step:
    """One step of what a network computes of one view, pixels and channels last."""

    #: `fold` lays squares of 2×2 pixels into channels; `pool` takes the maximum over a square,
    #: `top` over the whole map; `dense` multiplies all that comes, `conv` a square of it
    kind: Literal["fold", "conv", "pool", "top", "dense"]
    #: (filters, rows, columns, channels), or (outputs, inputs)
    weights: Float32[np.ndarray, "..."] | None = None
    shifts: Float32[np.ndarray, "F"] | None = None
    #: a ReLU follows, and what comes of it is a trait
    rectified: bool = False
    #: rows and columns of a pool
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    #: rows and columns of zeros around it: top, left, bottom, right
    pads: tuple[int, ...] = ()


def steps(model: Model) -> list[Step]:
    """Return what the network computes of one view, from raw bytes to logits."""
    graph = onnx.load_from_string(model.content).graph
    weights = _weights(graph)
    trained = [node.output[0] for node in _trained(graph, weights)]
    nodes = list(graph.node)
    last = next(i for i, node in enumerate(nodes) if node.output[0] == trained[-1])
    followers = {name: node for node in nodes for name in node.input}
    found: list[Step] = []
    for node in nodes[: last + 1]:
        if node.op_type == "MaxPool":
            sides = {a.name: tuple(a.ints) for a in node.attribute}
            found.append(Step("pool", kernel=sides["kernel_shape"], stride=sides["strides"]))
        elif node.output[0] in trained:
            if not found and node.op_type == "Conv":
                found.append(Step("fold"))
            if node.output[0] == trained[-1] and len(trained) > 1 and found[-1].kind != "dense":
                found.append(Step("top"))
            found.append(_step(node, weights, followers[node.output[0]], nodes))
    if found[0].kind == "dense":  # its pixels are scaled to 0..1 before
        found[0] = _on_bytes(found[0], model.input_shape)
    return found


def _step(
    node: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    follower: onnx.NodeProto,
    nodes: list[onnx.NodeProto],
) -> Step:
    values = numpy_helper.to_array(weights[node.input[1]]).astype(np.float32)
    shifts = _wide(numpy_helper.to_array(weights[node.input[2]])) if len(node.input) > 2 else None
    rectified = follower.op_type == "Relu"
    if node.op_type == "Conv":
        sides = {a.name: tuple(a.ints) for a in node.attribute}
        stride, pads = sides["strides"], sides["pads"]
        if node.input[1] == WHITENING:
            values, stride = _folded(_unfolded(values)), (1, 1)
        return Step("conv", values.transpose(0, 2, 3, 1), shifts, rectified, (), stride, pads)
    if node.op_type == "MatMul":
        values = values.T
        if follower.op_type == "Mul":  # logits that are kept small
            constants = {n.output[0]: n for n in nodes if n.op_type == "Constant"}
            (factor,) = (constants[name] for name in follower.input if name in constants)
            values = values * numpy_helper.to_array(factor.attribute[0].t)
    return Step("dense", values, shifts, rectified)


def _on_bytes(step: Step, shape: tuple[int, ...]) -> Step:
    """Return a first dense layer that takes bytes, the channels of a pixel beside each other."""
    values = np.asarray(step.weights) / np.float32(255)
    if len(shape) == 3:
        height, width, channels = shape
        by_channel = values.reshape(-1, channels, height, width)
        values = by_channel.transpose(0, 2, 3, 1).reshape(len(values), -1)
    return replace(step, weights=values)


def novelty_parts(model: Model) -> dict[str, Float32[np.ndarray, "..."]]:
    """Return what novelty is judged by: the numbers of `novelty.Novelty`, by their names."""
    graph = onnx.load_from_string(model.content).graph
    return {
        constant.name.removeprefix(NOVELTY): _wide(numpy_helper.to_array(constant))
        for constant in graph.initializer
        if constant.name.startswith(NOVELTY)
    }


def _wide(values: np.ndarray) -> np.ndarray:
    """Return numbers of 16 bits as numbers of 32."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def delicate_nodes(model: Model) -> list[str]:
    """Name the nodes that 8 bits would cost most accuracy and gain least time.

    The whitening layer, which sees raw bytes, the logits, and what judges novelty.
    """
    graph = onnx.load_from_string(model.content).graph
    weights = _weights(graph)
    names = [weights[node.input[1]].name for node in _trained(graph, weights)]
    delicate = {names[-1], WHITENING}
    return [
        node.name
        for node in graph.node
        if node.op_type in {"Conv", "Gemm", "MatMul"}
        and (
            node.input[1] not in weights
            or weights[node.input[1]].name in delicate
            or node.input[1].startswith(NOVELTY)
        )
    ]
