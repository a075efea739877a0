"""OpenAPI description of all routes: what each takes and answers, errors too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

if TYPE_CHECKING:
    from fastapi import FastAPI

Document = dict[str, Any]

#: what is said of the parts of an address
IN_PATH = {"name": "Name of a model.", "version": "Version of it."}
#: what an error says, by its status
ERRORS = {
    400: "The request is not as expected; of readiness: no.",
    401: "A token is needed: Authorization: Bearer ….",
    404: "There is no such model or version.",
    408: "The request took longer than 30 seconds to arrive.",
    413: "The body, or the number of images, is larger than the server takes.",
    415: "The body is of another type, or packed in another way, than the server takes.",
    422: "No image file can be read, or a parameter is out of its range.",
    429: "The queue is full; Retry-After says when to ask again.",
}
_BODY_ERRORS = (400, 401, 404, 408, 413, 415, 429)
#: ends of addresses → statuses of their errors; the first that fits counts
_STATUSES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("/health/live", ()),
    ("/health/ready", (400,)),
    ("/infer", _BODY_ERRORS),
    ("/predict", (*_BODY_ERRORS, 422)),
    ("/ready", (400, 401, 404)),
    ("/v2", (401,)),
    ("/metrics", (401,)),
    ("/docs", (401, 422)),
    ("", (401, 404)),
)


def describe_all(app: FastAPI, names: list[str], versions: list[str]) -> Document:
    """Return the description of an application's routes, and of inference, which is beside them.

    It names the models and versions that there are, so that who reads it can ask for them.
    """
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for versioned in (False, True):
        middle = "/versions/{version}" if versioned else ""
        inference = _inference(versioned=versioned)
        document["paths"][f"/v2/models/{{name}}{middle}/infer"] = {"post": inference}
    document["paths"]["/predict"]["post"]["requestBody"] = {"required": True, "content": _FILES}
    known = {"name": names, "model": names, "version": versions}
    for path, operations in document["paths"].items():
        statuses = next(found for end, found in _STATUSES if path.endswith(end))
        for operation in operations.values():
            _add_errors(operation["responses"], statuses)
            for each in operation.get("parameters", []):
                if each["name"] in known:
                    each["schema"] = {"type": "string", "enum": known[each["name"]]}
    return document


def _add_errors(responses: Document, statuses: tuple[int, ...]) -> None:
    responses.pop("422", None)  # FastAPI's own, of another form
    for status in statuses:
        responses[str(status)] = {
            "description": ERRORS[status],
            "content": {"application/json": {"schema": _object(error={"type": "string"})}},
        }
    if 429 in statuses:
        header = {"description": "Seconds.", "schema": {"type": "integer"}, "required": True}
        responses["429"]["headers"] = {"Retry-After": header}


# ---- inference, which no route of FastAPI answers ----


def _object(*optional: str, **properties: Document) -> Document:
    """Return the schema of an object; properties are required that are not named as optional."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


_TEXT = {"type": "string"}
_PARAMETERS = {"type": "object", "description": "`binary_data_size`, `binary_data` and others."}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_DATA = {"type": "array", "description": "Nested as the shape says, or in one list."}
_INPUT = _object(
    "parameters",
    "data",
    name=_TEXT,
    shape=_SHAPE,
    datatype=_TEXT,
    parameters=_PARAMETERS,
    data=_DATA,
)
_REQUEST = _object(
    "id",
    "parameters",
    "outputs",
    id=_TEXT,
    parameters=_PARAMETERS,
    inputs={"type": "array", "items": _INPUT, "minItems": 1},
    outputs={"type": "array", "items": _object("parameters", name=_TEXT, parameters=_PARAMETERS)},
)
_RESPONSE = _object(
    "id",
    "parameters",
    model_name=_TEXT,
    model_version=_TEXT,
    id=_TEXT,
    parameters=_PARAMETERS,
    outputs={"type": "array", "items": _INPUT},
)
_BINARY = {"type": "string", "format": "binary", "description": "JSON, then binary tensors."}

_FILE = {"schema": {"type": "string", "format": "binary"}}
_FILES = {
    "image/*": _FILE,
    "application/octet-stream": _FILE,
    "multipart/form-data": {
        "schema": _object(images={"type": "array", "items": _FILE["schema"], "minItems": 1})
    },
}


def _content(schema: Document) -> Document:
    return {"application/json": {"schema": schema}, "application/octet-stream": {"schema": _BINARY}}


def _inference(*, versioned: bool) -> Document:
    """Return what one of the two addresses of inference takes and answers."""
    named = ("name", "version") if versioned else ("name",)
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": _TEXT,
            "description": IN_PATH[name],
        }
        for name in named
    ]
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of the JSON, where binary tensors follow it.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return {
        "summary": "Infer",
        "description": "Answer images: the Open Inference Protocol, with its binary extension.",
        "operationId": "infer_version" if versioned else "infer",
        "parameters": [*in_path, length],
        "requestBody": {"required": True, "content": _content(_REQUEST)},
        "responses": {"200": {"description": "The outputs.", "content": _content(_RESPONSE)}},
    }
