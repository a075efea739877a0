"""Operators of our own model files: the shape that each gives, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from lookbook.errors import DamagedFileError

#: whole numbers that are followed, not only their size: they say shapes
MOST_FOLLOWED = 64

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """The shape of a value inside a network, and what it is, where it is a few whole numbers."""

    shape: Shape
    known: np.ndarray | None = None

    @classmethod
    def of(cls, array: np.ndarray) -> Value:
        """Return a constant; numbers of other types than int64 wrap or round, and say no size."""
        few = (
            array.dtype in {np.dtype(np.int64), np.dtype(np.bool_)} and array.size <= MOST_FOLLOWED
        )
        return cls(array.shape, array if few else None)

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


#: of weights, and of what is computed
TYPES = {
    onnx.TensorProto.BOOL,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.INT8,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.UINT8,
}


def constant(tensor: onnx.TensorProto) -> Value:
    """Return what a weight is."""
    shape = tuple(tensor.dims)
    if math.prod(shape) > MOST_FOLLOWED:
        return Value(shape)
    try:
        return Value.of(numpy_helper.to_array(tensor))
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedFileError("it declares more numbers than it holds") from error


class Step:
    """One step of a network: what is known of its result, by what is known of its inputs."""

    def __init__(
        self,
        kind: str,
        attributes: dict[str, Any],
        inputs: list[Value | None],
        cost: Cost,
        operators: Operators,
    ) -> None:
        self.kind, self.attributes, self.cost = kind, attributes, cost
        self.inputs, self._operators = inputs, operators

    def values(self, n: int) -> list[Value]:
        """Return its `n` results: shapes, and what they are where the inputs are known."""
        if self.kind in self._operators.several:
            return [Value(shape) for shape in self._operators.several[self.kind](self, n)]
        if n != 1:
            raise ValueError(n)
        return [self._value()]

    def _value(self) -> Value:
        if self.kind == "Constant":
            return self._operators.constant(self)
        if self.kind == "Shape":
            start, end = self.attributes.get("start", 0), self.attributes.get("end")
            return Value.of(np.array(self.shape(0)[start:end], np.int64))
        shapes, exact = self._operators.shapes, self._operators.exact
        shape = tuple(int(side) for side in shapes[self.kind](self))
        known = [each.known for each in self.inputs if each is not None and each.known is not None]
        if self.kind in exact and len(known) == len(self.inputs) and _is_small(shape):
            found = exact[self.kind](self, *known)
            return Value(shape) if found is None else Value.of(np.asarray(found).reshape(shape))
        return Value(shape)

    def weight(self) -> Value:
        """Return the weight that it holds."""
        return constant(self.attributes["value"])

    def chosen(self, n: int, batch: int) -> Value:
        """Return the places of those images of a batch that are not zero."""
        if self.shape(0) != (batch,):
            raise DamagedFileError("its sizes cannot be told before it runs")
        return Value((1, n))

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


@dataclass(frozen=True)
class Operators:
    """Which operators a graph may have."""

    #: the shape that each gives
    shapes: dict[str, Callable[[Step], Shape]]
    #: what each gives of whole numbers that say shapes
    exact: dict[str, Callable[..., np.ndarray | None]]
    #: the shapes of those that give several values
    several: dict[str, Callable[[Step, int], list[Shape]]] = field(default_factory=dict)
    constant: Callable[[Step], Value] = field(default=lambda step: step.weight())

    def __contains__(self, kind: str) -> bool:
        return kind in self.shapes or kind in self.several


def _is_small(shape: Shape) -> bool:
    return math.prod(shape) <= MOST_FOLLOWED


# ---- the shape that each operator gives ----


def _same(step: Step) -> Shape:
    return step.shape(0)


def _cast(step: Step) -> Shape:
    if step.attributes["to"] not in TYPES:  # a number that becomes a text takes ten times the room
        raise ValueError(step.attributes)
    return step.shape(0)


def _broadcast(step: Step) -> Shape:
    return np.broadcast_shapes(*(step.shape(i) for i in range(len(step.inputs))))


def _reduce(step: Step) -> Shape:
    shape, attributes = step.shape(0), step.attributes
    given = attributes["axes"] if "axes" in attributes else step.numbers(1)
    if not given and attributes.get("noop_with_empty_axes", 0):
        return shape
    axes = step.axes(given or None, len(shape))
    return _reduced(step, axes)


def _arg(step: Step) -> Shape:
    return _reduced(step, step.axes([step.attributes.get("axis", 0)], len(step.shape(0))))


def _reduced(step: Step, axes: list[int]) -> Shape:
    shape = step.shape(0)
    # what it reads counts: it may be much, and read again and again
    step.cost.products += 8 * math.prod(shape)
    kept = [1] if step.attributes.get("keepdims", 1) else []
    return tuple(s for i, side in enumerate(shape) for s in (kept if i in axes else [side]))


def _concat(step: Step) -> Shape:
    shapes = [step.shape(i) for i in range(len(step.inputs))]
    axis = step.attributes["axis"] % len(shapes[0])
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _flatten(step: Step) -> Shape:
    shape, axis = step.shape(0), step.attributes.get("axis", 1)
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def _gather(step: Step) -> Shape:
    shape = step.shape(0)
    axis = step.attributes.get("axis", 0) % len(shape)
    return (*shape[:axis], *step.shape(1), *shape[axis + 1 :])


def _reshape(step: Step) -> Shape:
    before, wanted = step.shape(0), step.numbers(1) or []
    keeps = not step.attributes.get("allowzero", 0)
    sides = [before[i] if side == 0 and keeps else side for i, side in enumerate(wanted)]
    if -1 in sides:
        sides[sides.index(-1)] = math.prod(before) // max(1, -math.prod(sides))
    if math.prod(sides) != math.prod(before):
        raise ValueError(sides)
    return tuple(sides)


def _slice(step: Step) -> Shape:
    shape = list(step.shape(0))
    starts, ends = step.numbers(1) or [], step.numbers(2) or []
    axes = step.axes(step.numbers(3) or list(range(len(starts))), len(shape))
    steps = step.numbers(4) or [1] * len(starts)
    for start, end, axis, by in zip(starts, ends, axes, steps, strict=True):
        shape[axis] = len(range(shape[axis])[start:end:by])
    return tuple(shape)


def _transpose(step: Step) -> Shape:
    shape = step.shape(0)
    order = step.attributes.get("perm", range(len(shape))[::-1])
    return tuple(shape[i] for i in order)


def _unsqueeze(step: Step) -> Shape:
    shape, axes = step.shape(0), step.numbers(1) or []
    return np.expand_dims(np.broadcast_to(0, shape), tuple(axes)).shape


def _of_shape(step: Step) -> Shape:
    return tuple(step.numbers(0) or [])


def _pad(step: Step) -> Shape:
    shape, pads = step.shape(0), step.numbers(1) or []
    if len(pads) != 2 * len(shape) or len(step.inputs) > 3:
        raise ValueError(pads)
    return tuple(s + a + b for s, a, b in zip(shape, pads, pads[len(shape) :], strict=False))


def _window(step: Step, kernel: Shape) -> list[int]:
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


def _convolve(step: Step) -> Shape:
    filters, groups = step.shape(1), step.attributes.get("group", 1)
    # each filter sees all channels, or one
    if groups not in {1, filters[0]} or filters[1] * groups != step.shape(0)[1]:
        raise ValueError(groups)
    return convolved(step, _window(step, filters[2:]))


def convolved(step: Step, sides: list[int]) -> Shape:
    """Return the shape of a convolution's maps of these sides; count its products."""
    filters = step.shape(1)
    shape = (step.shape(0)[0], filters[0], *sides)
    step.cost.products += math.prod(shape) * math.prod(filters[1:])
    return shape


def _pool(step: Step) -> Shape:
    return pooled(step, _window(step, tuple(step.attributes["kernel_shape"])))


def pooled(step: Step, sides: list[int]) -> Shape:
    """Return the shape of pooled maps of these sides; count what is compared or added."""
    shape = (*step.shape(0)[:2], *sides)
    # comparing is slower than multiplying
    step.cost.products += 8 * math.prod(shape) * math.prod(step.attributes["kernel_shape"])
    return shape


def _multiply(step: Step) -> Shape:
    first, second = step.shape(0), step.shape(1)
    rows, columns = first[-2:-1], second[-1:] if len(second) > 1 else ()
    shape = (*np.broadcast_shapes(first[:-2], second[:-2]), *rows, *columns)
    step.cost.products += math.prod(shape) * first[-1]
    return shape


def _gemm(step: Step) -> Shape:
    first, second = step.shape(0), step.shape(1)
    first = first[::-1] if step.attributes.get("transA", 0) else first
    second = second[::-1] if step.attributes.get("transB", 0) else second
    step.cost.products += first[0] * first[1] * second[1]
    return first[0], second[1]


SHAPES: dict[str, Callable[[Step], Shape]] = {
    **dict.fromkeys(("Clip", "Exp", "Identity", "Log", "Neg", "Relu"), _same),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear", "ScatterND", "Softmax"), _same),
    **dict.fromkeys(("Add", "Div", "Greater", "Less", "Mod", "Mul", "Sub", "Where"), _broadcast),
    **dict.fromkeys(("ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceSum"), _reduce),
    "ArgMax": _arg,
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
    # these have their own way, in `Step`
    **dict.fromkeys(("Constant", "NonZero", "Shape"), _same),
}


# ---- what each operator gives of whole numbers that say shapes ----


def _divided(_: Step, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    pairs = [(int(x), int(y)) for x, y in np.broadcast(a, b)]
    # towards 0, and exactly
    return np.array([abs(x) // abs(y) * (1 if x * y >= 0 else -1) for x, y in pairs], np.int64)


def _converted(step: Step, values: np.ndarray) -> np.ndarray | None:
    """Return whole numbers that stay as they are; as other types they would wrap or round."""
    kept = step.attributes["to"] == onnx.TensorProto.INT64 and values.dtype == np.int64
    return values if kept else None


def _sliced(step: Step, values: np.ndarray, *_: np.ndarray) -> np.ndarray:
    starts, ends = step.numbers(1) or [], step.numbers(2) or []
    axes = step.axes(step.numbers(3) or list(range(len(starts))), values.ndim)
    steps = step.numbers(4) or [1] * len(starts)
    for start, end, axis, by in zip(starts, ends, axes, steps, strict=True):
        values = values[(slice(None),) * axis + (slice(start, end, by),)]
    return values


def _filled(step: Step, shape: np.ndarray) -> np.ndarray:
    given = step.attributes.get("value")
    value = np.float32(0) if given is None else numpy_helper.to_array(given).ravel()[0]
    return np.full(shape, value)


EXACT: dict[str, Callable[..., np.ndarray | None]] = {
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": _divided,
    "Mod": lambda _, a, b: np.mod(a, b),
    "Cast": _converted,
    "Identity": lambda _, a: a,
    "Reshape": lambda _, a, _shape: a,
    "Unsqueeze": lambda _, a, _axes: a,
    "Transpose": lambda step, a: a.transpose(step.attributes.get("perm")),
    "Concat": lambda step, *all_: np.concatenate(all_, step.attributes["axis"]),
    "Gather": lambda step, a, places: np.take(a, places, step.attributes.get("axis", 0)),
    "Slice": _sliced,
    "ConstantOfShape": _filled,
}

#: what our own files have
OWN = Operators(SHAPES, EXACT)
