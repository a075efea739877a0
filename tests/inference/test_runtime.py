"""ONNX Runtime sessions: they compute what a file says, on our cores, and keep quiet."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from lookbook.inference import runtime
from lookbook.inference.runtime import open_session, silence


def model(operator: str = "Gemm", domain: str = "") -> bytes:
    """A file that multiplies rows by a matrix and adds one."""
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    node = helper.make_node(operator, ["x", "w", "b"], ["y"], domain=domain)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    asked = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    numbers = [
        onnx.numpy_helper.from_array(weights, "w"),
        onnx.numpy_helper.from_array(np.ones(4, np.float32), "b"),
    ]
    graph = helper.make_graph([node], "graph", [given], [asked], numbers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_a_session_computes_what_the_file_says():
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    (found,) = open_session(model()).run(["y"], {"x": rows})
    expected = rows @ np.arange(12).reshape(3, 4) + 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("cores", [1, 3])
def test_a_session_takes_the_cores_that_this_process_may_use(monkeypatch, cores):
    monkeypatch.setattr(runtime, "usable_cores", lambda: cores)
    session = open_session(model())
    assert session.get_session_options().intra_op_num_threads == cores
    assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("content", [b"", b"no model", model("Unheard"), model("Gemm", "nowhere")])
def test_a_file_that_cannot_be_run_is_refused_without_a_word_beside(capfd, content):
    with pytest.raises(Exception, match=r"ONNXRuntimeError|onnx|model|ModelProto|Unheard"):
        open_session(content)
    assert capfd.readouterr() == ("", "")


def test_a_step_that_fails_while_it_is_computed_says_so_once(capfd):
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in "xy"
    )
    filters = onnx.numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    graph = helper.make_graph([node], "graph", [x], [y], [filters])
    opsets = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = open_session(made.SerializeToString())
    with pytest.raises(Exception, match="Invalid input shape"):
        session.run(["y"], {"x": np.zeros((1, 1, 2, 2), np.float32)})
    assert capfd.readouterr() == ("", "")


def test_what_fails_is_not_tried_again_with_the_same(monkeypatch, capfd):
    tried = []

    def fail(self, *_args):
        tried.append(self)
        raise RuntimeError("no room")

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", fail)
    with pytest.raises(RuntimeError, match="no room"):
        open_session(model())
    assert len(tried) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("decided", "expected"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_telemetry_is_off_where_the_user_has_not_decided(monkeypatch, decided, expected):
    name = "ORT_DISABLE_TELEMETRY"
    monkeypatch.delenv(name)
    if decided is not None:
        monkeypatch.setenv(name, decided)
    silence()
    assert os.environ[name] == expected
