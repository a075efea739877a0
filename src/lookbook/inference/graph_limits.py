"""Limits of what a model file may compute: operators, sizes, arithmetic.

The hash in a file finds damage. A stranger can write another graph, and a hash that fits. So a
graph is followed here by the sizes of its values alone, with no operators but those that this
program writes. None of them repeats anything: sizes and products bound memory and time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from lookbook.errors import DamagedFileError

#: numbers that all values inside a network may hold for one image, and products that it may cost
#: (`large`, at 224×224 pixels in colour: 100 million, and 24 billion)
MOST_NUMBERS, MOST_PRODUCTS = 1 << 27, 1 << 36
#: version of the operators: others may mean something else by the same
OPSET = 17
#: steps of a network
MOST_NODES = 4000
#: whole numbers that are followed, not only their size: they say shapes
MOST_FOLLOWED = 64

Shape = tuple[int, ...]


@dataclass(frozen=True)
class _Value:
    """The shape of a value inside a network, and what it is, where it is a few whole numbers."""

    shape: Shape
    known: np.ndarray | None = None

    @classmethod
    def of(cls, array: np.ndarray) -> _Value:
        few = array.dtype.kind in "iu" and array.size <= MOST_FOLLOWED
        return cls(array.shape, array.astype(np.int64) if few else None)

    @property
    def numbers(self) -> list[int]:
        """What it is; what depends on an image cannot say a size."""
        if self.known is None:
            raise DamagedFileError("its sizes cannot be told before it runs")
        return [int(number) for number in self.known.ravel()]


@dataclass
class Cost:
    """What an answer takes: numbers inside the network, and products."""

    numbers: int = 0
    products: int = 0


def check(model: onnx.ModelProto, size: int, shape: Shape, batch: int) -> None:
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

    Raises
    ------
    DamagedFileError
        It has other operators, wants other files, or may take too much memory or time.
    """
    _check_form(model, size)
    chooses = any(node.op_type == "NonZero" for node in model.graph.node)
    one = [follow(model.graph, shape, 1, n)[0] for n in ((0, 1) if chooses else (1,))]
    if max(cost.numbers for cost in one) > MOST_NUMBERS:
        raise DamagedFileError("it would take more memory for an image than any model of lookbook")
    if max(cost.products for cost in one) > MOST_PRODUCTS:
        raise DamagedFileError("it would compute more for an image than any model of lookbook")
    many, _ = follow(model.graph, shape, batch, batch)
    if many.numbers > batch * one[-1].numbers or many.products > batch * one[-1].products:
        raise DamagedFileError(
            "it would take more than a thousand times as much for a thousand images"
        )


def _check_form(model: onnx.ModelProto, size: int) -> None:
    """Refuse what no graph of ours has."""
    graph = model.graph
    _check_nodes(graph)
    opsets = [each.version for each in model.opset_import if each.domain in {"", "ai.onnx"}]
    if opsets != [OPSET]:
        raise DamagedFileError("its operators are of another version than those of lookbook")
    if model.functions or graph.sparse_initializer or len(graph.node) > MOST_NODES:
        raise DamagedFileError("its graph is not built as those of lookbook are")
    attributes = [each for node in graph.node for each in node.attribute]
    _check_tensors([*graph.initializer, *(a.t for a in attributes if a.HasField("t"))], size)
    if [each.name for each in graph.input] != ["images"]:
        raise DamagedFileError("it does not take images alone")


def _check_nodes(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.op_type not in _SHAPES or node.domain not in {"", "ai.onnx"}:
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
    if any(each.data_type not in _TYPES for each in tensors):
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
_TYPES = {
    onnx.TensorProto.BOOL,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.INT8,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.UINT8,
}


def follow(
    graph: onnx.GraphProto, shape: Shape, batch: int, chosen: int
) -> tuple[Cost, dict[str, Shape]]:
    """Return what a batch costs, and the shapes of all values in it.

    Of its images so many are `chosen` to be looked at once more: which ones, and so how many, is
    all that a graph of ours decides by what it sees.
    """
    values = {each.name: _constant(each) for each in graph.initializer}
    values["images"] = _Value((batch, *shape))
    cost = Cost(batch * math.prod(shape))
    for node in graph.node:
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        step = _Step(node.op_type, attributes, [values.get(name) for name in node.input], cost)
        try:
            value = step.chosen(chosen) if node.op_type == "NonZero" else step.value()
        except DamagedFileError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise DamagedFileError("its steps do not fit each other") from error
        if min(value.shape, default=0) < 0:
            raise DamagedFileError("its steps do not fit each other")
        cost.numbers += math.prod(value.shape) * len(node.output)
        values |= dict.fromkeys(node.output, value)
    return cost, {name: value.shape for name, value in values.items()}


def _constant(tensor: onnx.TensorProto) -> _Value:
    shape = tuple(tensor.dims)
    if math.prod(shape) > MOST_FOLLOWED:
        return _Value(shape)
    try:
        return _Value.of(numpy_helper.to_array(tensor))
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedFileError("it declares more numbers than it holds") from error


class _Step:
    """One step of a network: what is known of its result, by what is known of its inputs."""

    def __init__(
        self, kind: str, attributes: dict[str, Any], inputs: list[_Value | None], cost: Cost
    ) -> None:
        self.kind, self.attributes, self.cost = kind, attributes, cost
        self.inputs = inputs

    def value(self) -> _Value:
        """Return the result's shape, and what it is where the inputs are known."""
        if self.kind == "Constant":
            return _constant(self.attributes["value"])
        if self.kind == "Shape":
            return _Value.of(np.array(self.shape(0), np.int64))
        shape = tuple(int(side) for side in _SHAPES[self.kind](self))
        known = [each.known for each in self.inputs if each is not None and each.known is not None]
        if self.kind in _EXACT and len(known) == len(self.inputs) and _is_small(shape):
            return _Value.of(np.asarray(_EXACT[self.kind](self, *known)).reshape(shape))
        return _Value(shape)

    def chosen(self, n: int) -> _Value:
        """Return the places of those that are not zero."""
        if len(self.shape(0)) != 1:
            raise DamagedFileError("its sizes cannot be told before it runs")
        return _Value((1, min(n, *self.shape(0))))

    def shape(self, number: int) -> Shape:
        """Return the shape of an input."""
        given = self.inputs[number]
        if given is None:
            raise TypeError(self.kind)
        return given.shape

    def numbers(self, number: int) -> list[int] | None:
        """Return what an input is that says a size; None where it is left out."""
        given = self.inputs[number] if number < len(self.inputs) else None
        return None if given is None else given.numbers

    def axes(self, given: list[int] | None, rank: int) -> list[int]:
        """Return axes, counted from the first one."""
        return [axis % rank for axis in (range(rank) if given is None else given)]


def _is_small(shape: Shape) -> bool:
    return math.prod(shape) <= MOST_FOLLOWED


# ---- the shape that each operator gives ----


def _same(step: _Step) -> Shape:
    return step.shape(0)


def _cast(step: _Step) -> Shape:
    if step.attributes["to"] not in _TYPES:  # a number that becomes a text takes ten times the room
        raise ValueError(step.attributes)
    return step.shape(0)


def _broadcast(step: _Step) -> Shape:
    return np.broadcast_shapes(*(step.shape(i) for i in range(len(step.inputs))))


def _reduce(step: _Step) -> Shape:
    shape, attributes = step.shape(0), step.attributes
    given = [attributes["axis"]] if "axis" in attributes else attributes.get("axes")
    axes = step.axes(step.numbers(1) if given is None else given, len(shape))
    kept = [1] if attributes.get("keepdims", 1) else []
    return tuple(s for i, side in enumerate(shape) for s in (kept if i in axes else [side]))


def _concat(step: _Step) -> Shape:
    shapes = [step.shape(i) for i in range(len(step.inputs))]
    axis = step.attributes["axis"] % len(shapes[0])
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _flatten(step: _Step) -> Shape:
    shape, axis = step.shape(0), step.attributes.get("axis", 1)
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _gather(step: _Step) -> Shape:
    shape = step.shape(0)
    axis = step.attributes.get("axis", 0) % len(shape)
    return (*shape[:axis], *step.shape(1), *shape[axis + 1 :])


def _reshape(step: _Step) -> Shape:
    before, wanted = step.shape(0), step.numbers(1) or []
    keeps = not step.attributes.get("allowzero", 0)
    sides = [before[i] if side == 0 and keeps else side for i, side in enumerate(wanted)]
    if -1 in sides:
        sides[sides.index(-1)] = math.prod(before) // max(1, -math.prod(sides))
    if math.prod(sides) != math.prod(before):
        raise ValueError(sides)
    return tuple(sides)


def _slice(step: _Step) -> Shape:
    shape = list(step.shape(0))
    starts, ends = step.numbers(1) or [], step.numbers(2) or []
    axes = step.axes(step.numbers(3) or list(range(len(starts))), len(shape))
    steps = step.numbers(4) or [1] * len(starts)
    for start, end, axis, by in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(shape[axis])[start:end:by])
    return tuple(shape)


def _transpose(step: _Step) -> Shape:
    shape = step.shape(0)
    order = step.attributes.get("perm", range(len(shape))[::-1])
    return tuple(shape[i] for i in order)


def _unsqueeze(step: _Step) -> Shape:
    shape, axes = step.shape(0), step.numbers(1) or []
    return np.expand_dims(np.broadcast_to(0, shape), tuple(axes)).shape


def _of_shape(step: _Step) -> Shape:
    return tuple(step.numbers(0) or [])


def _pad(step: _Step) -> Shape:
    shape, pads = step.shape(0), step.numbers(1) or []
    if len(pads) != 2 * len(shape) or len(step.inputs) > 3:
        raise ValueError(pads)
    return tuple(s + a + b for s, a, b in zip(shape, pads, pads[len(shape) :], strict=False))


def _window(step: _Step, kernel: Shape) -> list[int]:
    """Return how many places a window has along each side of a map."""
    given, sides = step.attributes, step.shape(0)[2:]
    n = len(sides)
    pads, strides = given.get("pads", [0] * 2 * n), given.get("strides", [1] * n)
    # ours are without these, which change the arithmetic
    plain = (
        not given.get("ceil_mode", 0)
        and set(given.get("dilations", [1])) == {1}
        and "auto_pad" not in given
    )
    if not plain or min(*pads, 0) < 0:
        raise ValueError(given)
    return [(sides[i] + pads[i] + pads[n + i] - kernel[i]) // strides[i] + 1 for i in range(n)]


def _convolve(step: _Step) -> Shape:
    filters, groups = step.shape(1), step.attributes.get("group", 1)
    # each filter sees all channels, or one
    if groups not in {1, filters[0]} or filters[1] * groups != step.shape(0)[1]:
        raise ValueError(groups)
    shape = (step.shape(0)[0], filters[0], *_window(step, filters[2:]))
    step.cost.products += math.prod(shape) * math.prod(filters[1:])
    return shape


def _pool(step: _Step) -> Shape:
    kernel = tuple(step.attributes["kernel_shape"])
    shape = (*step.shape(0)[:2], *_window(step, kernel))
    # comparing is slower than multiplying
    step.cost.products += 8 * math.prod(shape) * math.prod(kernel)
    return shape


def _multiply(step: _Step) -> Shape:
    first, second = step.shape(0), step.shape(1)
    rows, columns = first[-2:-1], second[-1:] if len(second) > 1 else ()
    shape = (*np.broadcast_shapes(first[:-2], second[:-2]), *rows, *columns)
    step.cost.products += math.prod(shape) * first[-1]
    return shape


def _gemm(step: _Step) -> Shape:
    first, second = step.shape(0), step.shape(1)
    first = first[::-1] if step.attributes.get("transA", 0) else first
    second = second[::-1] if step.attributes.get("transB", 0) else second
    step.cost.products += first[0] * first[1] * second[1]
    return first[0], second[1]


_SHAPES: dict[str, Callable[[_Step], Shape]] = {
    **dict.fromkeys(("Clip", "Exp", "Identity", "Log", "Neg", "Relu"), _same),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear", "ScatterND", "Softmax"), _same),
    **dict.fromkeys(("Add", "Div", "Greater", "Less", "Mod", "Mul", "Sub", "Where"), _broadcast),
    **dict.fromkeys(("ArgMax", "ReduceLogSumExp", "ReduceMax", "ReduceMean"), _reduce),
    "ReduceSum": _reduce,
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _of_shape,
    "Conv": _convolve,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _multiply,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    # these have their own way, in `_Step`
    **dict.fromkeys(("Constant", "NonZero", "Shape"), _same),
}


# ---- what each operator gives of whole numbers that say shapes ----


def _sliced(step: _Step, values: np.ndarray, *_: np.ndarray) -> np.ndarray:
    starts, ends = step.numbers(1) or [], step.numbers(2) or []
    axes = step.axes(step.numbers(3) or list(range(len(starts))), values.ndim)
    steps = step.numbers(4) or [1] * len(starts)
    for start, end, axis, by in zip(starts, ends, axes, steps, strict=True):
        values = values[(slice(None),) * axis + (slice(start, end, by),)]
    return values


def _filled(step: _Step, shape: np.ndarray) -> np.ndarray:
    given = step.attributes.get("value")
    value = numpy_helper.to_array(given).ravel()[0] if given is not None else 0
    return np.full(shape, int(value))


_EXACT: dict[str, Callable[..., np.ndarray]] = {
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": lambda _, a, b: np.array([int(x / y) for x, y in np.broadcast(a, b)]),
    "Mod": lambda _, a, b: np.mod(a, b),
    "Cast": lambda _, a: a,
    "Identity": lambda _, a: a,
    "Reshape": lambda _, a, _shape: a,
    "Unsqueeze": lambda _, a, _axes: a,
    "Transpose": lambda step, a: a.transpose(step.attributes.get("perm")),
    "Concat": lambda step, *all_: np.concatenate(all_, step.attributes["axis"]),
    "Gather": lambda step, a, places: np.take(a, places, step.attributes.get("axis", 0)),
    "Slice": _sliced,
    "ConstantOfShape": _filled,
}
