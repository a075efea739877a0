"""Others' programs get on with the server: tritonclient, schemathesis, conformance tests."""

import re
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tritonclient.http as triton

from conformance.oip_v2 import Server, run
from lookbook.inference.model import Model

pytestmark = pytest.mark.slow


class Served(NamedTuple):
    """A server in a process of its own, and the model that it serves as `m`."""

    address: str
    model: Model


@pytest.fixture(scope="module")
def served(place):
    folder = place / "runs" / "bars-tutorial-1"
    program = [sys.executable, "-m", "lookbook", "serve", f"m={folder}", "--port", "0"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(60, process.kill)
    timer.start()
    found = None
    while found is None and (line := process.stdout.readline()):
        found = re.search(r"http://(127\.0\.0\.1:\d+)", line)
    timer.cancel()
    assert found, "it ended, or said nothing for a minute"
    yield Served(found.group(1), Model.open(folder / "model.onnx"))
    process.terminate()
    assert process.wait(40) == 0


def test_it_conforms(served):
    results = list(run(Server(f"http://{served.address}", "m")))
    others = {each.name: each.message for each in results if each.outcome != "pass"}
    assert others == {}


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_tritonclient_gets_the_bits_of_the_model(served, compression):
    client = triton.InferenceServerClient(served.address)
    images = np.random.default_rng(0).integers(0, 256, (5, *served.model.input_shape), np.uint8)
    probs = served.model.predict(images).probs
    for binary_in, binary_out in product([True, False], [True, False, None]):
        asked = triton.InferInput("images", images.shape, "UINT8")
        asked.set_data_from_numpy(images, binary_data=binary_in)
        outputs = None  # all of them, in the way that the client asks for them
        if binary_out is not None:
            outputs = [triton.InferRequestedOutput("probs", binary_data=binary_out)]
        answer = client.infer(
            "m",
            [asked],
            outputs=outputs,
            request_id="7",
            request_compression_algorithm=compression,
        )
        assert answer.get_response()["id"] == "7"
        np.testing.assert_array_equal(answer.as_numpy("probs"), probs)
    client.close()


def test_tritonclient_learns_what_there_is_and_what_is_wrong(served):
    client = triton.InferenceServerClient(served.address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    (taken,) = client.get_model_metadata("m")["inputs"]
    assert taken == {"name": "images", "datatype": "UINT8", "shape": [-1, 12, 10]}
    asked = triton.InferInput("images", (1, 3), "UINT8")
    asked.set_data_from_numpy(np.zeros((1, 3), np.uint8))
    with pytest.raises(triton.InferenceServerException, match="12, 10") as raised:
        client.infer("m", [asked])
    assert raised.value.status() == "400"
    client.close()


def test_schemathesis_finds_nothing(served, tmp_path):
    """Requests that follow the OpenAPI description, and others that do not, for some seconds."""
    program = Path(sys.executable).with_name("schemathesis")
    # of a request that follows the description images may still have another size: 400 is right
    options = ["--max-time", "15", "--seed", "0", "--exclude-checks", "positive_data_acceptance"]
    command = [program, "run", f"http://{served.address}/openapi.json", *options]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
