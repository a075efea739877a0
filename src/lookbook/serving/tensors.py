"""Tensors of the Open Inference Protocol: a request's bytes to arrays, answers to bytes.

Source: https://github.com/kserve/open-inference-protocol, and Triton's binary tensor extension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from lookbook.inference.model import Outputs
from lookbook.serving.refusals import Refusal

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from lookbook.inference.model import Model

#: the header that says how many bytes of a body are JSON
JSON_LENGTH = "inference-header-content-length"
#: bytes of JSON up to which it is kept for the next request
SHORT = 1024
#: bytes of JSON that are decoded whatever they hold: it takes up to 22 times as much memory
SMALL = 1 << 20
#: letters of what came that an error repeats
MAX_SHOWN = 60
#: datatype of the protocol → how its numbers are stored
DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP32": np.dtype("<f4")}
_FLAT: dict[str, msgspec.json.Decoder[Any]] = {
    "UINT8": msgspec.json.Decoder(list[int]),
    "FP32": msgspec.json.Decoder(list[float]),
}


#: what its decoder answers other bytes with: numbers that are too large, and no UTF-8, too
_NO_JSON = (msgspec.DecodeError, RecursionError, ValueError, OverflowError)


class Tensor(Struct, frozen=True):
    """Name, type and shape of a tensor, -1 for the number of images."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Signature(NamedTuple):
    """What a model takes, and what it answers."""

    images: Tensor
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return the signature of a model: its file's names, types and shapes."""
        datatype = "UINT8" if model.card.input_dtype == "uint8" else "FP32"
        n, k = -1, len(model.classes)
        shapes = {"logits": (n, k), "probs": (n, k), "novelty": (n,)}
        return cls(
            Tensor("images", datatype, (n, *model.input_shape)),
            tuple(Tensor(name, "FP32", shapes[name]) for name in Outputs._fields),
        )


class _Parameters(Struct, frozen=True):
    """Those that are known: what others hold is passed over, and takes no memory."""

    binary_data_size: int | None = None
    binary_data: bool | None = None
    binary_data_output: bool | None = None


class _Input(Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[Annotated[int, Meta(ge=0, le=2**40)], ...]
    parameters: _Parameters = _Parameters()
    data: Raw | UnsetType = UNSET


class _WantedOutput(Struct, frozen=True):
    name: str
    parameters: _Parameters = _Parameters()


class _Request(Struct, frozen=True):
    inputs: tuple[_Input, ...]
    id: str = ""
    parameters: _Parameters = _Parameters()
    outputs: tuple[_WantedOutput, ...] = ()


class _Data(Struct, frozen=True):
    data: Raw = Raw()


class _Outline(Struct, frozen=True):
    """A request of which nothing takes memory."""

    inputs: tuple[_Data]


class _Output(Struct, frozen=True, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] | None = None
    data: list[float] | None = None


class _Answer(Struct, frozen=True, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str = ""


#: names of the wanted outputs, and whether each is to be binary
Wanted: TypeAlias = tuple[tuple[str, bool], ...]


class Inference(NamedTuple):
    """What a request asks for."""

    images: Shaped[np.ndarray, "N *shape"]
    outputs: Wanted
    id: str = ""


_outline = msgspec.json.Decoder(_Outline).decode
_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode
#: every output as JSON, as most ask for
_ALL_AS_JSON = tuple((name, False) for name in Outputs._fields)
_ALL_AS_BYTES = tuple((name, True) for name in Outputs._fields)


def read(
    body: bytes,
    json_length: int | None,
    signature: Signature,
    check_room: Callable[[int], None],
) -> Inference:
    """Return what a body asks for.

    Parameters
    ----------
    body
        JSON, and after it, where `json_length` says where that ends, the tensors' own bytes.
    json_length
        Bytes of JSON. None: all are; 0: there is none, and the body is the one tensor.
    signature
        What the model takes and answers.
    check_room
        Refuses so many images where there is no room for them, before they are decoded.

    Raises
    ------
    Refusal
        It is none, or not one for this model.
    """
    if json_length == 0:
        return Inference(_of_bytes(body, _whole(body, signature.images), signature), _ALL_AS_BYTES)
    if not body:
        raise Refusal(400, "expected a JSON inference request, got an empty body")
    if json_length is not None and json_length > len(body):
        raise Refusal(400, f"the header {JSON_LENGTH} says {json_length:,}, more than the body")
    head, tail = (body, b"") if json_length is None else (body[:json_length], body[json_length:])
    request, wanted = (_parse if len(head) > SHORT else _parse_once)(head)
    given = _only_input(request, signature)
    check_room(given.shape[0])
    n_bytes = given.parameters.binary_data_size
    if n_bytes is None:
        if tail:
            raise Refusal(400, "there are bytes behind the JSON, and no input has binary_data_size")
        images = _of_json(given, signature)
    else:
        if given.data is not UNSET:
            raise Refusal(400, f"input {given.name!r} has both data and binary_data_size")
        if n_bytes != len(tail):
            raise Refusal(
                400, f"binary_data_size is {n_bytes!r}, and {len(tail):,} bytes follow the JSON"
            )
        images = _of_bytes(tail, given.shape, signature)
    return Inference(images, wanted, request.id)


def _parse(head: bytes) -> tuple[_Request, Wanted]:
    """Return what JSON asks for, and the outputs that are wanted."""
    try:
        if len(head) > SMALL:
            _check_beside(head)
        request = _decode(head)
    except _NO_JSON as error:
        raise Refusal(400, f"expected a JSON inference request: {_reason(head, error)}") from error
    return request, _wanted(request)


def _reason(head: bytes, error: Exception) -> str:
    """Return why JSON is none; of half a surrogate pair the decoder says that it is cut short."""
    if "truncated" in str(error) and b"\\ud" in head.lower() and head.rstrip().endswith(b"}"):
        return "a string holds half of a surrogate pair (\\ud800 to \\udfff)"
    return str(error)


def _check_beside(head: bytes) -> None:
    """Refuse JSON that is long beside its data, before anything of it is decoded."""
    n_bytes = len(head) - len(bytes(_outline(head).inputs[0].data))
    if n_bytes > SMALL:
        raise Refusal(
            400, f"expected at most {SMALL:,} bytes of JSON beside the data, got {n_bytes:,}"
        )


#: where the images are bytes behind it, a client's JSON is the same each time
_parse_once = lru_cache(maxsize=256)(_parse)


def _finite(rows: Shaped[np.ndarray, "N *shape"]) -> Shaped[np.ndarray, "N *shape"]:
    """Refuse features that are NaN or infinite: they would spoil the batch that they get into."""
    if not (finite := np.isfinite(rows)).all():
        row, place = divmod(int(finite.argmin()), math.prod(rows.shape[1:]))
        raise Refusal(
            400,
            "features must not be NaN or infinite, and within those of float32, got "
            f"{rows[row].flat[place]} in row {row}, number {place} of it",
        )
    return rows


def _no_level(name: str, values: list[int], shape: tuple[int, ...]) -> Refusal:
    """Return what is said of numbers of which one is no level of a pixel."""
    first = next(i for i, value in enumerate(values) if not 0 <= value <= 255)
    image, place = divmod(first, math.prod(shape[1:]))
    return Refusal(
        400,
        f"input {name!r}: expected whole numbers 0 to 255, got {values[first]} in image {image}, "
        f"number {place} of it",
    )


def _only_input(request: _Request, signature: Signature) -> _Input:
    """Return the input, which must be the one that the model has."""
    expected = signature.images
    names = [each.name for each in request.inputs]
    if names != [expected.name]:
        raise Refusal(400, f"expected one input, {expected.name!r}, got {names}")
    given = request.inputs[0]
    if given.datatype != expected.datatype:
        raise Refusal(
            400,
            f"input {given.name!r}: expected the datatype {expected.datatype}, got "
            f"{given.datatype!r}",
        )
    if len(given.shape) != len(expected.shape) or given.shape[1:] != expected.shape[1:]:
        raise Refusal(
            400,
            f"input {given.name!r}: expected the shape {list(expected.shape)} with -1 for the "
            f"number of images, got {list(given.shape)}",
        )
    if not given.shape[0]:
        raise Refusal(400, f"input {given.name!r}: expected one image or more, got none")
    return given


def _whole(body: bytes, expected: Tensor) -> tuple[int, ...]:
    """Return the shape of a body that is a tensor."""
    size = math.prod(expected.shape[1:]) * DTYPES[expected.datatype].itemsize
    if not body or len(body) % size:
        raise Refusal(
            400, f"expected {size:,} bytes an image, {expected.datatype}, got {len(body):,} bytes"
        )
    return len(body) // size, *expected.shape[1:]


def _of_bytes(
    content: bytes, shape: tuple[int, ...], signature: Signature
) -> Shaped[np.ndarray, "N *shape"]:
    dtype = DTYPES[signature.images.datatype]
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise Refusal(
            400,
            f"a tensor of {signature.images.datatype} and shape {list(shape)} has "
            f"{math.prod(shape) * dtype.itemsize:,} bytes, got {len(content):,}",
        )
    images = np.frombuffer(content, dtype).reshape(shape)
    return images if dtype == np.uint8 else _finite(images)


def _of_json(given: _Input, signature: Signature) -> Shaped[np.ndarray, "N *shape"]:
    """Return numbers that stand in JSON, one after the other or in lists of lists."""
    if given.data is UNSET:
        raise Refusal(400, f"input {given.name!r} has neither data nor binary_data_size")
    datatype = signature.images.datatype
    data = bytes(given.data)
    if len(data) > SMALL:
        _check_size(given, data, datatype)
    try:
        flat = _FLAT[datatype].decode(data)
    except _NO_JSON:
        flat = _flattened(given.name, data, given.shape, datatype)
    if len(flat) != math.prod(given.shape):
        raise _other_size(given, len(flat))
    if datatype == "UINT8":
        try:
            # five times as fast as an array of Python's numbers, and it refuses what is no level
            return np.frombuffer(bytes(flat), np.uint8).reshape(given.shape)
        except (ValueError, OverflowError) as error:
            raise _no_level(given.name, flat, given.shape) from error
    with np.errstate(over="ignore"):  # an infinite number is refused
        return _finite(np.array(flat, np.float32).reshape(given.shape))


def _check_size(given: _Input, data: bytes, datatype: str) -> None:
    """Refuse, before it is decoded, what takes far more memory than the numbers of the shape."""
    n_values = data.count(b",") + 1  # one list or lists of lists: that is the same
    if n_values > math.prod(given.shape):
        raise _other_size(given, n_values)
    n_lists = 1 + sum(math.prod(given.shape[:i]) for i in range(1, len(given.shape)))
    if b"{" in data:
        raise _no_numbers(given.name, datatype, "an object")
    if data.count(b"[") > n_lists:
        raise _no_numbers(given.name, datatype, f"more than {n_lists:,} lists")


def _other_size(given: _Input, n_values: int) -> Refusal:
    return Refusal(
        400,
        f"input {given.name!r} of shape {list(given.shape)} has {math.prod(given.shape):,} "
        f"values, got {n_values:,}",
    )


def _no_numbers(name: str, datatype: str, got: str) -> Refusal:
    return Refusal(
        400,
        f"input {name!r}: expected data as {datatype} numbers, in one list "
        f"or in lists of lists as the shape says, got {got}",
    )


def _flattened(name: str, data: bytes, shape: tuple[int, ...], datatype: str) -> list[Any]:
    """Return the numbers in lists of lists, at most as deep as the shape."""
    kinds = (int,) if datatype == "UINT8" else (int, float)
    try:
        level = msgspec.json.decode(data)
    except _NO_JSON as error:
        raise Refusal(400, f"input {name!r}: {error}") from error
    for _ in shape[1:]:
        if isinstance(level, list) and all(isinstance(each, list) for each in level):
            level = [each for inner in level for each in inner]
    if not isinstance(level, list):
        raise _no_numbers(name, datatype, _shown(level))
    if other := [each for each in level if type(each) not in kinds]:
        raise _no_numbers(name, datatype, _shown(other[0]))
    return level


def _shown(value: Any) -> str:
    """Return the start of a value as it stood in JSON.

    >>> print(_shown("abc"), _shown([0] * 60))
    "abc" [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0…
    """
    text = _encode(value).decode()
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _wanted(request: _Request) -> Wanted:
    """Return the outputs that are wanted, and which as bytes."""
    binary = bool(request.parameters.binary_data_output)
    if not request.outputs:
        return _ALL_AS_BYTES if binary else _ALL_AS_JSON
    names = [each.name for each in request.outputs]
    if len({*names}) < len(names) or not {*names} <= {*Outputs._fields}:
        raise Refusal(
            400, f"expected outputs among {list(Outputs._fields)}, each once, got {names}"
        )
    asked = [(each.name, each.parameters.binary_data) for each in request.outputs]
    return tuple((name, binary if one is None else one) for name, one in asked)


def write(
    outputs: Outputs, asked: Inference, model_name: str, version: str
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and how many of its bytes are JSON where others follow."""
    listed, tail = [], []
    for name, binary in asked.outputs:
        values = getattr(outputs, name)
        if binary:
            content = values.tobytes()
            tail.append(content)
            about = {"binary_data_size": len(content)}
            listed.append(_Output(name, "FP32", values.shape, about))
        else:
            listed.append(_Output(name, "FP32", values.shape, None, values.ravel().tolist()))
    head = _encode(_Answer(model_name, version, listed, asked.id))
    if not tail:
        return head, None
    return b"".join((head, *tail)), len(head)
