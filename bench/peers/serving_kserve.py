"""Ask a server with kserve's REST client, and print one JSON line: how far answers differ."""

# mypy: disable-error-code="import-not-found,import-untyped"
# ^ kserve lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main() -> None:
    """Ask about all images of a file, whose `probs` it holds."""
    address, model, inputs = sys.argv[1:]
    with np.load(inputs) as arrays:
        images, probs = arrays["images"], arrays["probs"]
    client, url = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://{address}"
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    furthest, n = 0.0, 0
    for binary_in in (True, False):
        for binary_out in (True, False):
            asked = InferInput("images", list(images.shape), "UINT8")
            asked.set_data_from_numpy(images, binary_data=binary_in)
            wanted = [RequestedOutput("probs", parameters={"binary_data": binary_out})]
            request = InferRequest(model, [asked], request_id="7", request_outputs=wanted)
            answer = await client.infer(url, request, model_name=model)
            assert answer.id == "7"
            found = answer.outputs[0].as_numpy()
            furthest = max(furthest, float(np.abs(found - probs).max()))
            n += 1
    print(json.dumps({"n": n, "difference": furthest, "version": version("kserve")}))


if __name__ == "__main__":
    asyncio.run(main())
