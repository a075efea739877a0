"""Serve an ONNX file as most people do first: a FastAPI handler that calls the session."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator"
# ^ FastAPI lives in an environment of its own, not in the one where types are checked

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI

app = FastAPI()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


@app.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    """Say that the model is there."""
    return {"ready": True}


@app.post("/v2/models/m/infer")
async def infer(body: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of the Open Inference Protocol in JSON, where it is right."""
    given = body["inputs"][0]
    images = np.array(given["data"], np.uint8).reshape(given["shape"])
    names = [each["name"] for each in body["outputs"]]
    found = zip(names, session.run(names, {given["name"]: images}), strict=True)
    outputs = [
        {"name": name, "datatype": "FP32", "shape": array.shape, "data": array.ravel().tolist()}
        for name, array in found
    ]
    return {"model_name": "m", "outputs": outputs}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False)
