"""More of ONNX's own operators: those that a user's backbone may have, without control flow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lookbook.inference.graphs.operators import (
    EXACT,
    SHAPES,
    Operators,
    Shape,
    Step,
    Value,
    constant,
    convolved,
    pooled,
)

#: versions of the operators that mean what is followed here
OPSETS = range(17, 21)


def _constant(step: Step) -> Value:
    given = step.attributes
    for name, kind in (("value_int", np.int64), ("value_ints", np.int64)):
        if name in given:
            return Value.of(np.array(given[name], kind))
    for name in ("value_float", "value_floats"):
        if name in given:
            return Value(np.shape(given[name]))
    return constant(given["value"])


def _expand(step: Step) -> Shape:
    return np.broadcast_shapes(step.shape(0), tuple(step.numbers(1) or []))


def _squeeze(step: Step) -> Shape:
    shape, given = step.shape(0), step.numbers(1)
    axes = (
        step.axes(given, len(shape)) if given else [i for i, side in enumerate(shape) if side == 1]
    )
    if any(shape[axis] != 1 for axis in axes):
        raise ValueError(axes)
    return tuple(side for i, side in enumerate(shape) if i not in axes)


def _tile(step: Step) -> Shape:
    repeats = step.numbers(1) or []
    return tuple(side * n for side, n in zip(step.shape(0), repeats, strict=True))


def _split(step: Step, n: int) -> list[Shape]:
    shape = step.shape(0)
    axis = step.attributes.get("axis", 0) % len(shape)
    sizes = step.numbers(1)
    if sizes is None:
        most = -(-shape[axis] // n)
        sizes = [most] * (n - 1) + [shape[axis] - most * (n - 1)]
    if sum(sizes) != shape[axis] or len(sizes) != n:
        raise ValueError(sizes)
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _whole_map(step: Step) -> Shape:
    shape = step.shape(0)
    step.cost.products += 8 * math.prod(shape)
    return (*shape[:2], *[1] * (len(shape) - 2))


def _to_depth(step: Step) -> Shape:
    (n, channels, height, width), by = step.shape(0), step.attributes["blocksize"]
    if by < 1 or height % by or width % by:
        raise ValueError(by)
    return n, channels * by * by, height // by, width // by


def _from_depth(step: Step) -> Shape:
    (n, channels, height, width), by = step.shape(0), step.attributes["blocksize"]
    if by < 1 or channels % (by * by):
        raise ValueError(by)
    return n, channels // (by * by), height * by, width * by


def _window(step: Step, kernel: Shape) -> list[int]:
    """Return how many places a window has along each side of a map."""
    given, sides = step.attributes, step.shape(0)[2:]
    n = len(sides)
    strides, pads = given.get("strides", [1] * n), given.get("pads", [0] * 2 * n)
    gaps = given.get("dilations", [1] * n)
    if min(*kernel, *strides, *gaps) < 1 or min(*pads, 0) < 0:
        raise ValueError(given)
    automatic = given.get("auto_pad", b"NOTSET")
    if automatic in {b"SAME_UPPER", b"SAME_LOWER"}:
        return [-(-side // stride) for side, stride in zip(sides, strides, strict=True)]
    if automatic == b"VALID":
        pads = [0] * 2 * n
    up = bool(given.get("ceil_mode", 0))
    found = []
    for i, side in enumerate(sides):
        room = side + pads[i] + pads[n + i] - (kernel[i] - 1) * gaps[i] - 1
        if room < 0:
            raise ValueError(room)
        places = (-(-room // strides[i]) if up else room // strides[i]) + 1
        # a window that begins in the zeros behind a map is none
        found.append(places - (up and (places - 1) * strides[i] >= side + pads[i]))
    return found


def _convolve(step: Step) -> Shape:
    filters, groups = step.shape(1), step.attributes.get("group", 1)
    if groups < 1 or filters[0] % groups or filters[1] * groups != step.shape(0)[1]:
        raise ValueError(groups)
    return convolved(step, _window(step, filters[2:]))


def _pool(step: Step) -> Shape:
    return pooled(step, _window(step, tuple(step.attributes["kernel_shape"])))


#: one number in, one out
_EACH = (
    *("Abs", "Ceil", "Celu", "Elu", "Erf", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("LeakyRelu", "Mish", "Not", "Reciprocal", "Round", "Selu", "Sigmoid", "Sign", "Softplus"),
    *("Softsign", "Sqrt", "Tanh"),
    # and those of a norm, or what training alone needed
    *("BatchNormalization", "Dropout", "GroupNormalization", "InstanceNormalization"),
    *("LayerNormalization", "LogSoftmax", "LpNormalization"),
)
#: two or more numbers in, one out
_TOGETHER = (
    *("And", "Equal", "GreaterOrEqual", "LessOrEqual", "Max", "Mean", "Min", "Or", "PRelu", "Pow"),
    *("Sum", "Xor"),
)
_REDUCE = ("ReduceL1", "ReduceL2", "ReduceMin", "ReduceProd", "ReduceSumSquare")
_POOLS = ("AveragePool", "MaxPool")

_MORE: dict[str, Callable[[Step], Shape]] = {
    **dict.fromkeys(_EACH, SHAPES["Relu"]),
    **dict.fromkeys(_TOGETHER, SHAPES["Add"]),
    **dict.fromkeys(_REDUCE, SHAPES["ReduceSum"]),
    **dict.fromkeys(_POOLS, _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _whole_map),
    "Conv": _convolve,
    "DepthToSpace": _from_depth,
    "Expand": _expand,
    "SpaceToDepth": _to_depth,
    "Squeeze": _squeeze,
    "Tile": _tile,
}

_MORE_EXACT: dict[str, Callable[..., np.ndarray | None]] = {
    "Equal": lambda _, a, b: a == b,
    "Expand": lambda _, a, shape: np.broadcast_to(a, np.broadcast_shapes(a.shape, tuple(shape))),
    "Squeeze": lambda _, a, *_axes: a,
    "Where": lambda _, chosen, a, b: np.asarray(np.where(chosen, a, b)),
}

#: what a file that holds a user's backbone may have
STANDARD = Operators(SHAPES | _MORE, EXACT | _MORE_EXACT, {"Split": _split}, _constant)
