"""Requests of the Open Inference Protocol, as bytes."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

from lookbook.inference.model import Outputs
from lookbook.serving import tensors
from lookbook.serving.refusals import Refusal
from lookbook.serving.tensors import Inference, Signature, Tensor

FLOATS = tuple(
    Tensor(name, "FP32", shape)
    for name, shape in {"logits": (-1, 3), "probs": (-1, 3), "novelty": (-1,)}.items()
)
GREY = Signature(Tensor("images", "UINT8", (-1, 2, 3)), FLOATS)
ROWS = Signature(Tensor("images", "FP32", (-1, 4)), FLOATS)
IMAGES = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def request(**changes: object) -> dict[str, object]:
    given = {"name": "images", "datatype": "UINT8", "shape": [2, 2, 3], "data": [*range(12)]}
    return {"inputs": [given | changes]}


def read_bytes(
    body: bytes, length: int | None, signature: Signature, check_room=lambda _n: None
) -> Inference:
    return tensors.read(body, length, signature, check_room)


def read(document: object, signature: Signature = GREY) -> Inference:
    return read_bytes(json.dumps(document).encode(), None, signature)


@pytest.mark.parametrize("data", [IMAGES.ravel(), IMAGES, IMAGES.reshape(2, 6)])
def test_numbers_stand_in_one_list_or_in_lists_of_lists(data):
    asked = read(request(data=data.tolist()) | {"id": "a"})
    assert (asked.images == IMAGES).all()
    assert asked.images.dtype == np.uint8
    assert asked.id == "a"
    assert asked.outputs == (("logits", False), ("probs", False), ("novelty", False))


def test_rows_of_features_are_floats():
    rows = [[1, 2.5, -3e-7, 1e30]]
    asked = read(request(datatype="FP32", shape=[1, 4], data=rows), ROWS)
    assert asked.images.dtype == np.float32
    assert asked.images.tolist() == np.array(rows, np.float32).tolist()


@pytest.mark.parametrize("value", [1e300, "NaN"])
def test_features_that_are_not_finite_are_refused(value):
    body = json.dumps(request(datatype="FP32", shape=[1, 4], data=[1, 2, 3, 4]))
    with pytest.raises(Refusal):
        read_bytes(body.replace("4]", f"{value}]").encode(), None, ROWS)
    with pytest.raises(Refusal, match=r"must not be NaN.*got nan in row 0, number 3 of it"):
        read_bytes(np.array([1, 2, 3, np.nan], "<f4").tobytes(), 0, ROWS)


def test_bytes_behind_the_json_are_the_images():
    about = request(parameters={"binary_data_size": 12})
    del about["inputs"][0]["data"]
    head = json.dumps(about | {"parameters": {"binary_data_output": True}}).encode()
    asked = read_bytes(head + IMAGES.tobytes(), len(head), GREY)
    assert (asked.images == IMAGES).all()
    assert asked.outputs == (("logits", True), ("probs", True), ("novelty", True))
    alone = read_bytes(IMAGES.tobytes(), 0, GREY)
    assert (alone.images == IMAGES).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "pixels"}, "expected one input, 'images', got ['pixels']"),
        ({"datatype": "FP32"}, "expected the datatype UINT8, got 'FP32'"),
        ({"shape": [2, 3, 2]}, "expected the shape [-1, 2, 3]"),
        ({"shape": [12]}, "expected the shape [-1, 2, 3]"),
        ({"shape": [0, 2, 3], "data": []}, "expected one image or more"),
        ({"shape": [-1, 2, 3]}, "expected a JSON inference request"),
        ({"shape": [3, 2, 3]}, "has 18 values, got 12"),
        ({"data": [256, *range(11)]}, "0 to 255, got 256 in image 0, number 0 of it"),
        ({"data": [*range(10), -1, 0]}, "0 to 255, got -1 in image 1, number 4 of it"),
        ({"data": [10**30, *range(11)]}, "expected whole numbers 0 to 255, got 1000"),
        ({"id": "\ud800"}, "half of a surrogate pair"),
        ({"id": "\U0001f457", "shape": 3}, "Expected `array`, got `int`"),
        ({"data": [1.5, *range(11)]}, "expected data as UINT8 numbers"),
        ({"data": [True, *range(11)]}, "expected data as UINT8 numbers"),
        ({"data": ["1", *range(11)]}, "expected data as UINT8 numbers"),
        ({"data": [[1, 2], 3]}, "expected data as UINT8 numbers"),
        ({"data": 3}, "expected data as UINT8 numbers"),
        ({"data": None}, "expected data as UINT8 numbers"),
        ({"parameters": {"binary_data_size": 12}}, "both data and binary_data_size"),
        ({"parameters": 3}, "expected a JSON inference request"),
    ],
)
def test_what_is_no_request_for_this_model_is_refused_with_what_was_expected(changes, expected):
    with pytest.raises(Refusal) as refused:
        read(request(**changes))
    assert refused.value.status == 400
    assert expected in refused.value.reason


BOMBS = {
    "empty lists": b"[" + b"[]," * 500_000 + b"[]]",
    "deep lists": b"[" + (b"[" * 500 + b"]" * 500 + b",") * 1500 + b"1]",
    "objects": b"[" + b"{}," * 500_000 + b"{}]",
    "deep objects": b"[" + (b'{"":' * 500 + b"1" + b"}" * 500 + b",") * 600 + b"1]",
    "numbers": b"[" + b"1000," * 300_000 + b"1]",
    "texts": b"[" + b'"a",' * 400_000 + b"1]",
    "names": b"[" + b'{"name":"a"},' * 100_000 + b"1]",
}
PLACES = {
    "data": b'{"inputs":[{"name":"images","datatype":"UINT8","shape":[1000,2,3],"data":%s}]}',
    "parameters": b'{"parameters":{"a":%s},"inputs":[]}',
    "parameters of the input":
        b'{"inputs":[{"name":"","datatype":"","shape":[],"parameters":{"a":%s}}]}',
    "shape": b'{"inputs":[{"name":"images","datatype":"UINT8","shape":%s}]}',
    "inputs": b'{"inputs":%s}',
    "outputs": b'{"outputs":%s,"inputs":[{"name":"","datatype":"","shape":[]}]}',
    "anything else": b'{"a":%s,"inputs":[]}',
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_what_is_no_request_takes_no_memory_beside_its_body(bomb, place):
    body = place % bomb
    tracemalloc.start()
    with pytest.raises(Refusal):
        read_bytes(body, None, GREY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(body)


def test_large_requests_may_be_flat_or_nested():
    images = np.random.default_rng(0).integers(100, 256, (60_000, 2, 3), np.uint8)
    for data in (images.ravel(), images, images.reshape(60_000, 6)):
        assert (read(request(shape=[60_000, 2, 3], data=data.tolist())).images == images).all()


def test_more_images_than_there_is_room_for_are_refused_before_their_data_is_read():
    def check_room(n: int) -> None:
        raise Refusal(413, f"{n} images")

    with pytest.raises(Refusal, match="3 images"):
        read_bytes(json.dumps(request(shape=[3, 2, 3], data="x")).encode(), None, GREY, check_room)


@pytest.mark.parametrize(
    ("body", "length", "expected"),
    [
        (b"", None, "expected a JSON inference request"),
        (b"[" * 100_000, None, "expected a JSON inference request"),
        (b"{}", None, "missing required field `inputs`"),
        (b"{}", 3, "more than the body"),
        (b"", 0, "expected 6 bytes an image"),
        (b"1234567", 0, "expected 6 bytes an image"),
        (b'{"inputs":[]}', None, "expected one input"),
        (
            json.dumps(request()).encode() + b"1",
            len(json.dumps(request())),
            "bytes behind the JSON",
        ),
    ],
)
def test_bodies_that_are_none_are_refused(body, length, expected):
    with pytest.raises(Refusal) as refused:
        read_bytes(body, length, GREY)
    assert refused.value.status == 400
    assert expected in refused.value.reason


@pytest.mark.parametrize("size", [11, 13, "12", 12.5, True, None])
def test_a_size_of_bytes_that_is_not_theirs_is_refused(size):
    about = request(parameters={"binary_data_size": size})
    del about["inputs"][0]["data"]
    head = json.dumps(about).encode()
    with pytest.raises(Refusal):
        read_bytes(head + IMAGES.tobytes(), len(head), GREY)


def test_wanted_outputs_come_in_their_order_each_in_its_form():
    wanted = [{"name": "probs", "parameters": {"binary_data": True}}, {"name": "novelty"}]
    asked = read(request() | {"outputs": wanted})
    assert asked.outputs == (("probs", True), ("novelty", False))
    outputs = Outputs(
        np.zeros((2, 3), np.float32), np.full((2, 3), 1 / 3, np.float32), np.ones(2, np.float32)
    )
    body, length = tensors.write(outputs, asked, "m", "1")
    head = json.loads(body[:length])
    assert head == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [
            {
                "name": "probs", "datatype": "FP32", "shape": [2, 3],
                "parameters": {"binary_data_size": 24},
            },
            {"name": "novelty", "datatype": "FP32", "shape": [2], "data": [1.0, 1.0]},
        ],
    }  # fmt: skip
    assert (np.frombuffer(body[length:], "<f4").reshape(2, 3) == outputs.probs).all()


@pytest.mark.parametrize("names", [["labels"], ["probs", "probs"]])
def test_outputs_that_there_are_not_are_refused(names):
    with pytest.raises(Refusal, match="expected outputs among"):
        read(request() | {"outputs": [{"name": name} for name in names]})


def test_numbers_in_json_are_those_of_the_model_bit_by_bit():
    values = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    outputs = Outputs(values, values, values[:, 0])
    body, length = tensors.write(outputs, read(request()), "m", "1")
    assert length is None
    data = json.loads(body)["outputs"][0]["data"]
    assert (np.array(data, np.float32) == values.ravel()).all()
