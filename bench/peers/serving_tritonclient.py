"""Ask a server with tritonclient, in all its ways; print one JSON line: how far answers differ."""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ tritonclient lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from itertools import product

import numpy as np
import tritonclient.http as triton


def main() -> None:
    """Ask about all images of a file, whose `probs` it holds."""
    address, model, inputs = sys.argv[1:]
    with np.load(inputs) as arrays:
        images, probs = arrays["images"], arrays["probs"]
    client = triton.InferenceServerClient(address)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(model)
    assert client.get_model_metadata(model)["name"] == model
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    furthest, n = 0.0, 0
    for binary_in, binary_out, gzip in product([True, False], [True, False, None], [None, "gzip"]):
        asked = triton.InferInput("images", images.shape, "UINT8")
        asked.set_data_from_numpy(images, binary_data=binary_in)
        outputs = None
        if binary_out is not None:  # else all outputs, in the way that the client asks for them
            outputs = [triton.InferRequestedOutput("probs", binary_data=binary_out)]
        answer = client.infer(
            model, [asked], outputs=outputs, request_id="7", request_compression_algorithm=gzip
        )
        assert answer.get_response()["id"] == "7"
        furthest = max(furthest, float(np.abs(answer.as_numpy("probs") - probs).max()))
        n += 1
    try:
        client.get_model_metadata("no-such-model")
    except triton.InferenceServerException as error:
        assert error.status(), "an error without its status"
    print(json.dumps({"n": n, "difference": furthest, "version": version("tritonclient")}))


if __name__ == "__main__":
    main()
