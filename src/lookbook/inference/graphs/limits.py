"""Limits of what a model file may compute: operators, sizes, arithmetic.

The hash in a file finds damage. A stranger can write another graph, and a hash that fits. So a
graph is followed here by the sizes of its values alone, with no operators but those that this
program writes; where a user's backbone is part of it, with more of ONNX's own. None of them repeats
anything: sizes and products bound memory and time.
"""

from __future__ import annotations

import math

import onnx

from lookbook.errors import DamagedFileError
from lookbook.inference.graphs.operators import (
    OWN,
    TYPES,
    Cost,
    Operators,
    Shape,
    Step,
    Value,
    constant,
)
from lookbook.inference.graphs.standard import OPSETS, STANDARD

#: numbers that all values inside a network may hold for one image, and products that it may cost
#: (`large`, at 288×288 pixels in colour: 133 million, and 37 billion)
MOST_NUMBERS, MOST_PRODUCTS = 1 << 27, 1 << 36
#: version of the operators: others may mean something else by the same
OPSET = 17
#: steps of a network
MOST_NODES = 4000


def check(
    model: onnx.ModelProto, size: int, shape: Shape, batch: int, *, merged: bool = False
) -> None:
    """Refuse a graph that computes in other ways than ours, or more than any of ours needs.

    Parameters
    ----------
    model
        The ONNX file.
    size
        Its bytes.
    shape
        Shape of one input.
    batch
        Inputs that go through it at once.
    merged
        A user's backbone is part of it: it may have more of ONNX's own operators, and newer ones.

    Raises
    ------
    DamagedFileError
        It has other operators, wants other files, or may take too much memory or time.
    """
    operators = STANDARD if merged else OWN
    _check_form(model, size, operators)
    chooses = any(node.op_type == "NonZero" for node in model.graph.node)
    one = [follow(model.graph, shape, 1, n, operators)[0] for n in ((0, 1) if chooses else (1,))]
    if max(cost.numbers for cost in one) > MOST_NUMBERS:
        raise DamagedFileError("it would take more memory for an image than any model of lookbook")
    if max(cost.products for cost in one) > MOST_PRODUCTS:
        raise DamagedFileError("it would compute more for an image than any model of lookbook")
    many, _ = follow(model.graph, shape, batch, batch, operators)
    if many.numbers > batch * one[-1].numbers or many.products > batch * one[-1].products:
        raise DamagedFileError(
            "it would take more than a thousand times as much for a thousand images"
        )


def _check_form(model: onnx.ModelProto, size: int, operators: Operators) -> None:
    """Refuse what no graph of ours has."""
    graph = model.graph
    _check_nodes(graph, operators)
    opsets = [each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}]
    known = OPSETS if operators is STANDARD else [OPSET]
    if len(opsets) != 1 or opsets[0] not in known:
        raise DamagedFileError("its operators are of another version than those of lookbook")
    if model.functions or graph.sparse_initializer or len(graph.node) > MOST_NODES:
        raise DamagedFileError("its graph is not built as those of lookbook are")
    attributes = [each for node in graph.node for each in node.attribute]
    _check_tensors([*graph.initializer, *(a.t for a in attributes if a.HasField("t"))], size)
    if [each.name for each in graph.input] != ["images"]:
        raise DamagedFileError("it does not take images alone")


def _check_nodes(graph: onnx.GraphProto, operators: Operators) -> None:
    for node in graph.node:
        if node.op_type not in operators or node.domain not in {"", "ai.onnx"}:
            name = f"{node.domain}.{node.op_type}".lstrip(".")
            raise DamagedFileError(
                f"it computes with '{name[:60]}', which no model of lookbook does"
            )
        if any(each.type not in _ATTRIBUTES for each in node.attribute):
            raise DamagedFileError(
                "its steps hold graphs of their own, which no model of lookbook does"
            )
    if sum(node.op_type == "NonZero" for node in graph.node) > 1:
        raise DamagedFileError("its sizes cannot be told before it runs")


def _check_tensors(tensors: list[onnx.TensorProto], size: int) -> None:
    if any(each.external_data or each.data_location for each in tensors):
        raise DamagedFileError(
            "it wants weights from other files, which is refused: a model is one file"
        )
    if any(each.data_type not in TYPES for each in tensors):
        raise DamagedFileError("its weights are not of the types of lookbook")
    negative = any(side < 0 for each in tensors for side in each.dims)
    # a number takes a byte at least
    if negative or sum(math.prod(each.dims) for each in tensors) > size:
        raise DamagedFileError("it declares more numbers than it holds")


_ATTRIBUTES = {
    onnx.AttributeProto.FLOAT,
    onnx.AttributeProto.INT,
    onnx.AttributeProto.STRING,
    onnx.AttributeProto.TENSOR,
    onnx.AttributeProto.FLOATS,
    onnx.AttributeProto.INTS,
}


def follow(
    graph: onnx.GraphProto, shape: Shape, batch: int, chosen: int, operators: Operators = OWN
) -> tuple[Cost, dict[str, Shape]]:
    """Return what a batch costs, and the shapes of all values in it.

    Of its images so many are `chosen` to be looked at once more: which ones, and so how many, is
    all that a graph of ours decides by what it sees.
    """
    values = {each.name: constant(each) for each in graph.initializer}
    values["images"] = Value((batch, *shape))
    cost = Cost(batch * math.prod(shape))
    for node in graph.node:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        inputs = [values.get(name) for name in node.input]
        step = Step(node.op_type, attributes, inputs, cost, operators)
        try:
            if node.op_type == "NonZero":
                found = [step.chosen(chosen, batch)]
            else:
                found = step.values(len(node.output))
        except DamagedFileError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise DamagedFileError("its steps do not fit each other") from error
        if min((side for value in found for side in value.shape), default=0) < 0:
            raise DamagedFileError("its steps do not fit each other")
        cost.numbers += sum(math.prod(value.shape) for value in found)
        values |= zip(node.output, found, strict=True)
    return cost, {name: value.shape for name, value in values.items()}
