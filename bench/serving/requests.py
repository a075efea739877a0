"""HTTP requests as bytes: images through the protocol, photographs through /predict."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

#: header of the binary extension: length of the JSON before the tensors
LENGTH = "Inference-Header-Content-Length"


def post(path: str, body: bytes, **headers: str) -> bytes:
    r"""Return a whole POST request.

    >>> post("/predict", b"hi", Content_Type="image/jpeg").splitlines()[0]
    b'POST /predict HTTP/1.1'
    """
    named = {"Host": "127.0.0.1", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _request(
    images: UInt8[np.ndarray, "N H W"], outputs: Iterable[str], *, binary: bool
) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": "images", "shape": images.shape, "datatype": "UINT8"}
    if binary:
        tensor["parameters"] = {"binary_data_size": images.size}
        wanted = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
        return {"inputs": [tensor], "outputs": wanted}
    tensor["data"] = images.ravel().tolist()
    return {"inputs": [tensor], "outputs": [{"name": name} for name in outputs]}


def in_json(
    images: UInt8[np.ndarray, "N H W"], path: str, outputs: Iterable[str] = ("probs",)
) -> bytes:
    """Return an inference request in JSON, without spaces, as fast clients write it."""
    asked = _request(images, outputs, binary=False)
    body = json.dumps(asked, separators=(",", ":")).encode()
    return post(path, body, Content_Type="application/json")


def in_binary(
    images: UInt8[np.ndarray, "N H W"], path: str, outputs: Iterable[str] = ("probs",)
) -> bytes:
    """Return an inference request with binary tensors both ways."""
    asked = _request(images, outputs, binary=True)
    text = json.dumps(asked, separators=(",", ":")).encode()
    headers = {LENGTH: str(len(text)), "Content_Type": "application/octet-stream"}
    return post(path, text + images.tobytes(), **headers)


def image_file(content: bytes) -> bytes:
    """Return a request to /predict with one JPEG file as its body."""
    return post("/predict", content, Content_Type="image/jpeg")


def tensors_of(body: bytes) -> bytes:
    """Return the binary tensors after the JSON of an answer, which must be the same bit by bit."""
    _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    return body[end:]
