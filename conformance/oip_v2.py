"""Conformance tests of the Open Inference Protocol v2 over REST, for any server, by its URL.

::

    python conformance/oip_v2.py http://127.0.0.1:8000 --model NAME [--json]

One file that needs Python's standard library alone. It asks the server for the model's metadata and
makes inputs of that type and shape (a variable dimension is 1), so it knows no model. Each check
cites the text that it is taken from:

- OIP: `specification/protocol/inference_rest.md` of github.com/kserve/open-inference-protocol
- YAML: `open_inference_rest.yaml` beside it
- V2: `docs/predict-api/v2/required_api.md` of github.com/kserve/kserve, its earlier and longer form
- BIN: `docs/protocol/extension_binary_data.md` of github.com/triton-inference-server/server

A *must* is what these say in so many words or cannot be meant otherwise; a *should* is what they
leave open and what clients are helped by. The exit code is 1 where a must fails, and 2 where no
server answers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import quote, urlsplit

Level = Literal["must", "should"]
#: tensor data types and their format in `struct`; BF16 and BYTES have none
FORMATS = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
DATATYPES = {*FORMATS, "BF16", "BYTES"}
HEADER_LENGTH = "Inference-Header-Content-Length"
#: a name that no server has
UNKNOWN = "no-such-name-7f3a"
SECONDS = 30.0


class Fault(Exception):
    """The server did not do what a check asks for; the message says what it did."""


class NotOffered(Exception):
    """What a check looks at is optional, and the server does not have it."""


# ---- tensors ----


def values(datatype: str, n: int) -> list[Any]:
    """Return n elements of a type: zeros and ones in turn, which all types and models take."""
    one = {"BOOL": bool, "BYTES": str}.get(datatype, float if "F" in datatype else int)
    return [one(i % 2) for i in range(n)]


def pack(datatype: str, elements: list[Any]) -> bytes:
    r"""Return elements as the binary extension writes them: little-endian, without padding.

    >>> pack("BYTES", ["ab"]), pack("BOOL", [True, False]), pack("BF16", [1.0])
    (b'\x02\x00\x00\x00ab', b'\x01\x00', b'\x80?')
    """
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(e)) + e.encode() for e in elements)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", e)[2:] for e in elements)
    return struct.pack(f"<{len(elements)}{FORMATS[datatype]}", *elements)


def unpack(datatype: str, content: bytes) -> list[Any]:
    """Return the elements that bytes of the binary extension hold; the inverse of `pack`."""
    if datatype == "BYTES":
        found, start = [], 0
        while start < len(content):
            (n,) = struct.unpack_from("<I", content, start)
            found.append(content[start + 4 : start + 4 + n].decode())
            start += 4 + n
        return found
    if datatype == "BF16":
        pairs = (content[i : i + 2] for i in range(0, len(content), 2))
        return [struct.unpack("<f", b"\0\0" + pair)[0] for pair in pairs]
    size = struct.calcsize(f"<{FORMATS[datatype]}")
    return list(struct.unpack(f"<{len(content) // size}{FORMATS[datatype]}", content))


def flatten(data: Any) -> list[Any]:
    """Return the elements of nested lists, in row-major order.

    >>> flatten([[1, 2], [3, 4]])
    [1, 2, 3, 4]
    """
    return [e for each in data for e in flatten(each)] if isinstance(data, list) else [data]


def nest(data: list[Any], shape: list[int]) -> list[Any]:
    """Return the elements as nested lists of a shape.

    >>> nest([1, 2, 3, 4], [2, 2])
    [[1, 2], [3, 4]]
    """
    for side in reversed(shape[1:]):
        data = [data[i : i + side] for i in range(0, len(data), side)]
    return data


def alike(one: list[Any], other: list[Any]) -> bool:
    """Return whether elements agree, numbers within what float32 in decimal may lose."""
    return len(one) == len(other) and all(map(_close, one, other))


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-5)


# ---- the server ----


@dataclass(frozen=True)
class Answer:
    """Status, headers (names in lower case) and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """Return the JSON object of the body, without binary tensors after it."""
        try:
            found = json.loads(self.body[: int(self.headers.get(HEADER_LENGTH.lower(), 1 << 62))])
        except ValueError as error:
            raise Fault(f"the body is no JSON: {self.body[:60]!r}") from error
        expect(isinstance(found, dict), f"the body is no JSON object: {self.body[:60]!r}")
        return dict(found)

    def binary(self) -> bytes:
        """Return the binary tensors after the JSON object."""
        length = self.headers.get(HEADER_LENGTH.lower(), "")
        expect(length.isdecimal(), f"{HEADER_LENGTH} is {length!r}, expected the JSON's length")
        return self.body[int(length) :]


@dataclass
class Server:
    """One model of a server that is tested."""

    url: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)
    #: what a request got wrong, and the status that it was answered with
    refusals: list[tuple[str, int]] = field(default_factory=list)

    def ask(
        self, verb: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        where = urlsplit(self.url)
        secure = where.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(where.netloc, timeout=SECONDS)
        try:
            target = f"{where.path.rstrip('/')}/{path}"
            connection.request(verb, target, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Fault(f"no answer to {verb} {path}: {error!r}") from error
        finally:
            connection.close()

    def path(self, end: str = "", version: str = "", model: str | None = None) -> str:
        """Return the path of a model, or of one of its versions."""
        name = quote(self.model if model is None else model, safe="")
        middle = f"/versions/{quote(version, safe='')}" if version else ""
        return f"v2/models/{name}{middle}{end}"

    def infer(self, request: Any, binary: bytes | None = None, path: str = "") -> Answer:
        """Send an inference request: an object, or the text of one, and binary tensors after it."""
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        if binary is not None:
            headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
        return self.ask("POST", path or self.path("/infer"), text + (binary or b""), headers)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The model's metadata."""
        answer = self.ask("GET", self.path())
        expect(answer.status == 200, f"the model's metadata are answered with {answer.status}")
        return answer.document()

    @property
    def versions(self) -> list[str]:
        """The versions that can be asked for."""
        found = self.metadata.get("versions")
        if not found:
            raise NotOffered("the model's metadata name no versions")
        return list(found)

    def inputs(self, n: int = 1) -> list[dict[str, Any]]:
        """Return inputs that the model takes, n of them where the first dimension is variable."""
        return [_make_input(each, n) for each in self.metadata["inputs"]]

    def request(self, **changes: Any) -> dict[str, Any]:
        """Return a request that the model takes, its first input and the rest changed."""
        inputs = self.inputs()
        own = {k: v for k, v in changes.items() if k in {"name", "shape", "datatype", "data"}}
        inputs[0].update(own)
        return {"inputs": inputs, **{k: v for k, v in changes.items() if k not in own}}

    def outputs(self, answer: Answer) -> dict[str, list[Any]]:
        """Return each output's elements by name, whether they came as JSON or as bytes."""
        accepted(answer)
        found, rest = {}, b""
        if HEADER_LENGTH.lower() in answer.headers:
            rest = answer.binary()
        for each in answer.document()["outputs"]:
            size = each.get("parameters", {}).get("binary_data_size")
            if size is None:
                found[each["name"]] = flatten(each.get("data"))
            else:
                found[each["name"]] = unpack(each["datatype"], rest[:size])
                rest = rest[size:]
        expect(not rest, f"{len(rest)} bytes follow the last binary tensor")
        return found

    @cached_property
    def plain(self) -> dict[str, list[Any]]:
        """The outputs for `request()`, in JSON."""
        return self.outputs(self.infer(self.request()))

    def binary_request(self, **changes: Any) -> tuple[dict[str, Any], bytes]:
        """Return `request(**changes)` with its inputs as binary tensors, and these."""
        request, content = self.request(**changes), b""
        for each in request["inputs"]:
            part = pack(each["datatype"], each.pop("data"))
            each["parameters"] = {"binary_data_size": len(part)}
            content += part
        return request, content

    @cached_property
    def names_binary(self) -> bool:
        """Whether the server's metadata name the binary extension."""
        return "binary_tensor_data" in self.ask("GET", "v2").document().get("extensions", [])

    @cached_property
    def takes_binary(self) -> bool:
        """Whether the server has the binary extension: it says so, or it answers one."""
        return self.names_binary or self.infer(*self.binary_request()).status == 200


def _make_input(each: dict[str, Any], n: int) -> dict[str, Any]:
    shape = [side if side > 0 else (1 if i else n) for i, side in enumerate(each["shape"])]
    data = values(each["datatype"], math.prod(shape))
    return {"name": each["name"], "shape": shape, "datatype": each["datatype"], "data": data}


def expect(condition: object, message: str) -> None:
    """Raise a Fault with this message unless the condition holds."""
    if not condition:
        raise Fault(message)


def accepted(answer: Answer) -> None:
    """Expect that a request was answered."""
    expect(answer.status == 200, f"answered with {answer.status}: {answer.body[:120]!r}")


# ---- checks ----


@dataclass(frozen=True)
class Check:
    """One thing that the protocol asks of a server."""

    name: str
    #: what is asked, in a sentence
    about: str
    #: the text that asks it
    clause: str
    level: Level
    run: Callable[[Server], None]


CHECKS: list[Check] = []
Run = Callable[[Server], None]


def check(clause: str, level: Level = "must") -> Callable[[Run], Run]:
    """Enter a function as a check; its docstring says what is asked."""

    def enter(run: Run) -> Run:
        name = run.__name__.strip("_").replace("_", "-")
        about = (run.__doc__ or "").splitlines()[0]
        CHECKS.append(Check(name, about, clause, level, run))
        return run

    return enter


@check("OIP, Server Live; V2, Health: 200 indicates true")
def _server_live(server: Server) -> None:
    """GET v2/health/live answers 200."""
    accepted(server.ask("GET", "v2/health/live"))


@check("OIP, Server Ready; V2, Health: 200 indicates true")
def _server_ready(server: Server) -> None:
    """GET v2/health/ready answers 200."""
    accepted(server.ask("GET", "v2/health/ready"))


@check("OIP, Model Ready; V2, Health: 200 indicates true")
def _model_ready(server: Server) -> None:
    """GET v2/models/NAME/ready answers 200."""
    accepted(server.ask("GET", server.path("/ready")))


@check("V2, Health: a 4xx status code indicates false")
def _unknown_model_is_not_ready(server: Server) -> None:
    """GET v2/models/UNKNOWN/ready answers 4xx."""
    status = server.ask("GET", server.path("/ready", model=UNKNOWN)).status
    expect(400 <= status < 500, f"answered with {status}")


@check("OIP, Payload Contents: live, name, ready; V2, Health: body should be empty", "should")
def _health_bodies(server: Server) -> None:
    """Health answers are empty, or objects with `live` or `ready` as a boolean."""
    for path in ("v2/health/live", "v2/health/ready", server.path("/ready")):
        answer = server.ask("GET", path)
        found = answer.document() if answer.body else {"ready": True}
        flag = found.get("ready", found.get("live"))
        expect(isinstance(flag, bool), f"GET {path} answers {answer.body[:60]!r}")


@check("OIP, Server Metadata Response JSON Object: name, version, extensions")
def _server_metadata(server: Server) -> None:
    """GET v2 answers with name and version as text, and extensions as a list of text."""
    answer = server.ask("GET", "v2")
    accepted(answer)
    found = answer.document()
    expect(isinstance(found.get("name"), str), f"name is {found.get('name')!r}")
    expect(isinstance(found.get("version"), str), f"version is {found.get('version')!r}")
    extensions = found.get("extensions")
    right = isinstance(extensions, list) and all(isinstance(e, str) for e in extensions)
    expect(right, f"extensions is {extensions!r}")


@check("YAML, path /v2/", "should")
def _server_metadata_with_slash(server: Server) -> None:
    """GET v2/ answers as GET v2 does."""
    answer = server.ask("GET", "v2/")
    accepted(answer)
    expect(answer.document() == server.ask("GET", "v2").document(), "it answers something else")


@check("OIP, Model Metadata Response JSON Object: name, platform; versions optional")
def _model_metadata(server: Server) -> None:
    """GET v2/models/NAME answers with that name, a platform, and versions, if any, as text."""
    found = server.metadata
    expect(found.get("name") == server.model, f"name is {found.get('name')!r}")
    expect(isinstance(found.get("platform"), str), f"platform is {found.get('platform')!r}")
    versions = found.get("versions") or []
    right = isinstance(versions, list) and all(isinstance(each, str) for each in versions)
    expect(right, f"versions is {versions!r}")


@check("OIP, $metadata_tensor: name, datatype, shape; variable-size dimensions are -1")
def _model_metadata_tensors(server: Server) -> None:
    """Inputs and outputs of a model have a name, a datatype of the protocol and a shape."""
    for kind in ("inputs", "outputs"):
        tensors = server.metadata.get(kind)
        expect(isinstance(tensors, list) and tensors, f"{kind} is {tensors!r}")
        for each in tensors or []:
            expect(isinstance(each.get("name"), str), f"a name in {kind} is {each.get('name')!r}")
            expect(each.get("datatype") in DATATYPES, f"datatype {each.get('datatype')!r}")
            shape = each.get("shape")
            right = isinstance(shape, list) and all(type(n) is int and n >= -1 for n in shape)
            expect(right, f"the shape of {each['name']} is {shape!r}")


def _refuse(server: Server, what: str, answer: Answer) -> None:
    """Expect an error status and an object that says what is wrong."""
    expect(answer.status >= 400, f"{what}: answered with {answer.status}")
    server.refusals.append((what, answer.status))
    try:
        error = answer.document().get("error")
    except Fault as fault:
        raise Fault(f"{what}: {fault}") from fault
    said = f"{what}: error is {error!r} in {answer.body[:80]!r}"
    expect(isinstance(error, str) and error, said)


@check("OIP, Model Metadata Response JSON Error Object: HTTP error status, error")
def _unknown_model_metadata(server: Server) -> None:
    """GET v2/models/UNKNOWN answers an error."""
    _refuse(server, "an unknown model", server.ask("GET", server.path(model=UNKNOWN)))


@check("OIP, Model Metadata: the version in the URL; versions may be explicitly requested")
def _version_metadata(server: Server) -> None:
    """GET v2/models/NAME/versions/V answers, for each version that the metadata name."""
    for version in server.versions:
        answer = server.ask("GET", server.path(version=version))
        accepted(answer)
        expect(answer.document().get("name") == server.model, f"version {version}: another name")


@check("OIP, table of paths: v2/models/<model_name>[/versions/<model_version>]/ready")
def _version_ready(server: Server) -> None:
    """GET v2/models/NAME/versions/V/ready answers 200, for each version."""
    for version in server.versions:
        accepted(server.ask("GET", server.path("/ready", version)))


@check("OIP, $inference_response: model_version is the version used for inference")
def _version_infer(server: Server) -> None:
    """POST v2/models/NAME/versions/V/infer answers, and names that version if it names one."""
    for version in server.versions:
        answer = server.infer(server.request(), path=server.path("/infer", version))
        accepted(answer)
        named = answer.document().get("model_version", version)
        expect(named == version, f"version {version} is asked, model_version is {named!r}")


@check("OIP, Inference Response JSON Error Object; V2, Health: 4xx indicates false")
def _unknown_version(server: Server) -> None:
    """An unknown version is refused: its metadata, its readiness, its inference."""
    expect(server.versions, "no versions")
    _refuse(server, "metadata", server.ask("GET", server.path(version=UNKNOWN)))
    status = server.ask("GET", server.path("/ready", UNKNOWN)).status
    expect(400 <= status < 500, f"readiness is answered with {status}")
    path = server.path("/infer", UNKNOWN)
    _refuse(server, "inference", server.infer(server.request(), path=path))


# ---- checks: inference ----


@check("OIP, Inference: 200, $inference_response in the body; YAML: application/json")
def _infer(server: Server) -> None:
    """POST v2/models/NAME/infer answers 200 with model_name and outputs, as JSON."""
    answer = server.infer(server.request())
    accepted(answer)
    found = answer.document()
    expect(found.get("model_name") == server.model, f"model_name is {found.get('model_name')!r}")
    expect(isinstance(found.get("outputs"), list), f"outputs is {found.get('outputs')!r}")
    kind = answer.headers.get("content-type", "")
    expect(kind.startswith("application/json"), f"Content-Type is {kind!r}")


@check("OIP, $inference_request: if outputs is not specified all outputs are returned")
def _all_outputs(server: Server) -> None:
    """Without `outputs`, all outputs of the model's metadata are returned."""
    wanted = {each["name"] for each in server.metadata["outputs"]}
    expect(server.plain.keys() == wanted, f"returned {[*server.plain]}, of {sorted(wanted)}")


@check("V2, Response Output: name, shape, datatype, data, of the full shape")
def _output_tensors(server: Server) -> None:
    """Outputs have the datatype and shape of the metadata, and as many elements as that."""
    about = {each["name"]: each for each in server.metadata["outputs"]}
    for each in server.infer(server.request()).document()["outputs"]:
        name, shape, known = each["name"], each.get("shape"), about[each["name"]]
        expect(each.get("datatype") == known["datatype"], f"{name} is {each.get('datatype')!r}")
        right = isinstance(shape, list) and len(shape) == len(known["shape"])
        right = right and all(k in {-1, n} for n, k in zip(shape, known["shape"], strict=True))
        expect(right, f"{name} has shape {shape!r}, metadata say {known['shape']}")
        n = len(flatten(each.get("data")))
        expect(n == math.prod(shape), f"{name} of shape {shape} has {n} elements")


@check("V2, Tensor Data: in their natural multi-dimensional representation, or flattened")
def _nested_data(server: Server) -> None:
    """Nested data are answered as the same data in one list."""
    request = server.request()
    for each in request["inputs"]:
        each["data"] = nest(each["data"], each["shape"])
    found = server.outputs(server.infer(request))
    expect(all(alike(found[k], v) for k, v in server.plain.items()), "the outputs differ")


@check("OIP, $inference_request: id, if specified, must be returned in the response")
def _id_returned(server: Server) -> None:
    """The id of a request is returned."""
    found = server.infer(server.request(id="é 42")).document().get("id")
    expect(found == "é 42", f"id is {found!r}")


@check("OIP, $inference_request: outputs are the tensors requested for this inference")
def _requested_outputs(server: Server) -> None:
    """An output that is requested alone is returned alone."""
    for name, elements in server.plain.items():
        found = server.outputs(server.infer(server.request(outputs=[{"name": name}])))
        expect(found.keys() == {name}, f"{name} is requested, returned {[*found]}")
        expect(alike(found[name], elements), f"{name} differs when it is requested alone")


@check("OIP, Inference Request Examples: the server must return the output that is requested")
def _unknown_output(server: Server) -> None:
    """An output that the model lacks is refused."""
    _refuse(server, "output", server.infer(server.request(outputs=[{"name": UNKNOWN}])))


@check("OIP, Request Input: if batched, shape and data are those of the entire batch")
def _batch(server: Server) -> None:
    """Three inputs in one request give three answers, the same as one."""
    if any(each["shape"][:1] != [-1] for each in server.metadata["inputs"]):
        raise NotOffered("an input's first dimension is not variable")
    inputs = server.inputs(3)
    one = server.inputs()
    for each, alone in zip(inputs, one, strict=True):
        each["data"] = alone["data"] * 3
    found = server.outputs(server.infer({"inputs": inputs}))
    expect(all(alike(found[k], v * 3) for k, v in server.plain.items()), "the outputs differ")


@check("V2, Parameters: pairs of a name and a string, a number or a boolean", "should")
def _parameters(server: Server) -> None:
    """Parameters that a server does not know keep no request from its answer."""
    some = {"oip_text": "a", "oip_number": 1.5, "oip_flag": True}
    outputs = [{"name": each["name"], "parameters": some} for each in server.metadata["outputs"]]
    request = server.request(parameters=some, outputs=outputs)
    request["inputs"][0]["parameters"] = some
    found = server.outputs(server.infer(request))
    expect(all(alike(found[k], v) for k, v in server.plain.items()), "the outputs differ")


# ---- checks: requests that are wrong ----

ERROR = "OIP, Inference Response JSON Error Object"


@check(ERROR)
def _unknown_model(server: Server) -> None:
    """Inference of an unknown model is refused."""
    path = server.path("/infer", model=UNKNOWN)
    _refuse(server, "an unknown model", server.infer(server.request(), path=path))


@check(f"{ERROR}; $inference_request: inputs, which is not optional")
def _missing_inputs(server: Server) -> None:
    """A request without inputs, with none of them, or with one of another name is refused."""
    _refuse(server, "no `inputs`", server.infer({"id": "1"}))
    _refuse(server, "`inputs` is empty", server.infer({"inputs": []}))
    _refuse(server, "another name", server.infer(server.request(name=UNKNOWN)))


@check(f"{ERROR}; $metadata_tensor: the shape of the tensor")
def _wrong_shape(server: Server) -> None:
    """A shape that is not the model's is refused."""
    shape = server.inputs()[0]["shape"]
    _refuse(server, "a dimension more", server.infer(server.request(shape=[*shape, 1])))


@check(f"{ERROR}; V2, Request Input: each dimension is an unsigned 64-bit integer")
def _no_shape(server: Server) -> None:
    """A shape of negative numbers or of text, or none, is refused."""
    shape = server.inputs()[0]["shape"]
    for what in ([-side for side in shape], ["a" for _ in shape], None):
        _refuse(server, f"shape {what}", server.infer(server.request(shape=what)))


@check(f"{ERROR}; OIP, Request Input: data are the full contents")
def _wrong_number_of_elements(server: Server) -> None:
    """Data with an element too many or too few are refused."""
    data = server.inputs()[0]["data"]
    _refuse(server, "one too many", server.infer(server.request(data=[*data, data[0]])))
    _refuse(server, "one too few", server.infer(server.request(data=data[1:])))


@check(f"{ERROR}; OIP, Request Input: datatype as defined; V2: strings are case-sensitive")
def _unknown_datatype(server: Server) -> None:
    """A datatype that the protocol lacks is refused, as is one in small letters."""
    own = server.inputs()[0]["datatype"]
    for datatype in ("FP12", own.lower()):
        _refuse(server, datatype, server.infer(server.request(datatype=datatype)))


@check(f"{ERROR}; V2, Tensor Data: the server may coerce elements, or return an error", "should")
def _wrong_datatype(server: Server) -> None:
    """A datatype of the protocol that is not the model's is refused."""
    own = server.inputs()[0]["datatype"]
    other = "FP64" if own != "FP64" else "INT64"
    _refuse(server, other, server.infer(server.request(datatype=other)))


@check(f"{ERROR}; V2, Tensor Data: an error if an unexpected value is received")
def _elements_of_another_type(server: Server) -> None:
    """Data that are objects, or text where numbers are asked for, are refused."""
    each = server.inputs()[0]
    n = len(each["data"])
    if each["datatype"] != "BYTES":
        _refuse(server, "text", server.infer(server.request(data=["a"] * n)))
    _refuse(server, "objects", server.infer(server.request(data=[{}] * n)))


@check(f"{ERROR}; OIP, Inference: the body contains the Inference Request JSON Object")
def _malformed_json(server: Server) -> None:
    """A body that is no JSON, cut, empty, or no object is refused."""
    whole = json.dumps(server.request()).encode()
    for body in (b"{", whole[:-1], b"", b"[]", b'"a"', b"\xff\xfe"):
        _refuse(server, f"body {body[-20:]!r}", server.infer(body))


@check("OIP, table of paths: the verbs; RFC 9110, 15.5.6: 405 names what is allowed")
def _wrong_method(server: Server) -> None:
    """Another verb than a path's own is refused, and a 405 names those that are allowed."""
    for verb, path in (("GET", server.path("/infer")), ("POST", server.path()), ("POST", "v2")):
        answer = server.ask(verb, path, None if verb == "GET" else b"{}")
        expect(400 <= answer.status < 500, f"{verb} {path}: answered with {answer.status}")
        named = answer.status != 405 or "allow" in answer.headers
        expect(named, f"{verb} {path}: 405 without the header Allow")


# ---- checks: the binary extension ----


def binary(clause: str, level: Level = "must") -> Callable[[Run], Run]:
    """Enter a check of the binary extension, for a server that has it."""

    def enter(run: Run) -> Run:
        def where_offered(server: Server) -> None:
            if not server.takes_binary:
                raise NotOffered("binary tensors are neither named nor taken")
            run(server)

        where_offered.__name__, where_offered.__doc__ = run.__name__, run.__doc__
        return check(f"BIN: {clause}", level)(where_offered)

    return enter


@binary("reports binary_tensor_data in the extensions field of its Server Metadata", "should")
def _binary_is_named(server: Server) -> None:
    """A server that takes binary tensors names `binary_tensor_data` in its extensions."""
    expect(server.names_binary, "binary tensors are taken, and extensions does not say so")


@binary("$request_input with binary_data_size; the data follow the JSON object")
def _binary_input(server: Server) -> None:
    """Binary inputs give the same outputs as inputs in JSON; the outputs are in JSON."""
    answer = server.infer(*server.binary_request())
    found = server.outputs(answer)
    expect(HEADER_LENGTH.lower() not in answer.headers, "the outputs are binary, unasked")
    expect(all(alike(found[k], v) for k, v in server.plain.items()), "the outputs differ")


def _all_binary(server: Server, request: dict[str, Any], content: bytes | None = None) -> None:
    answer = server.infer(request, content)
    found = server.outputs(answer)
    kind = answer.headers.get("content-type")
    expect(kind == "application/octet-stream", f"Content-Type is {kind!r}")
    for each in answer.document()["outputs"]:
        size = each.get("parameters", {}).get("binary_data_size")
        expect(isinstance(size, int), f"binary_data_size of {each['name']} is {size!r}")
        expect("data" not in each, f"{each['name']} has data beside its binary tensor")
    same = all(alike(found[k], v) for k, v in server.plain.items())
    expect(found.keys() == server.plain.keys() and same, "the outputs differ")


@binary("binary_data on an output; Inference-Header-Content-Length must be provided")
def _binary_outputs(server: Server) -> None:
    """`binary_data` on each output gives all outputs after the JSON, in its order."""
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in server.plain]
    _all_binary(server, *server.binary_request(outputs=wanted))


@binary("binary_data_output on the request: all outputs as binary data")
def _binary_data_output(server: Server) -> None:
    """`binary_data_output` gives all outputs as binary tensors, from inputs in JSON, too."""
    _all_binary(server, server.request(parameters={"binary_data_output": True}))
    request, content = server.binary_request(parameters={"binary_data_output": True})
    _all_binary(server, request, content)


@binary("if binary_data is specified on an output it overrides binary_data_output")
def _binary_data_overrides(server: Server) -> None:
    """`binary_data` false on one output keeps that one in JSON, and the others binary."""
    first, *others = server.plain
    outputs = [
        {"name": first, "parameters": {"binary_data": False}},
        *({"name": n} for n in others),
    ]
    answer = server.infer(server.request(parameters={"binary_data_output": True}, outputs=outputs))
    found = server.outputs(answer)
    same = all(alike(found[k], v) for k, v in server.plain.items())
    expect(found.keys() == server.plain.keys() and same, "the outputs differ")
    in_json = {each["name"] for each in answer.document()["outputs"] if "data" in each}
    expect(in_json == {first}, f"{first} alone is asked for in JSON, {sorted(in_json)} are")


@binary("binary_data_size is the size of the tensor binary data, in bytes")
def _wrong_binary_size(server: Server) -> None:
    """Binary tensors that are too long, too short, or of another size than named are refused."""
    request, content = server.binary_request()
    _refuse(server, "a byte too many", server.infer(request, content + b"\0"))
    _refuse(server, "a byte too few", server.infer(request, content[:-1]))
    for size in (0, -1, len(content) + 1, "a"):
        request["inputs"][-1]["parameters"]["binary_data_size"] = size
        _refuse(server, f"binary_data_size {size!r}", server.infer(request, content))


@binary("Inference-Header-Content-Length gives the length of the JSON object")
def _wrong_header_length(server: Server) -> None:
    """A length of the JSON that is no number, negative, or beyond the body is refused."""
    request, content = server.binary_request()
    body = json.dumps(request).encode() + content
    for length in ("a", "-1", str(len(body) + 1), str(len(body) - len(content) - 1)):
        headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: length}
        answer = server.ask("POST", server.path("/infer"), body, headers)
        _refuse(server, f"length {length}", answer)


@check("RFC 9110, 15.6: 5xx is for what a server got wrong; OIP: typically 400", "should")
def _refusals_are_4xx(server: Server) -> None:
    """What a client got wrong, in the checks above, is answered with 4xx."""
    wrong = [f"{what} ({status})" for what, status in server.refusals if status >= 500]
    expect(not wrong, "; ".join(wrong))


# ---- the result ----

Outcome = Literal["pass", "fail", "not offered"]


@dataclass(frozen=True)
class Result:
    """What came of one check."""

    name: str
    level: Level
    outcome: Outcome
    about: str
    clause: str
    #: why it failed or was not offered
    message: str = ""


def run(server: Server) -> Iterator[Result]:
    """Give the result of each check, in turn."""
    for each in CHECKS:
        outcome, message = _try(each, server)
        yield Result(each.name, each.level, outcome, each.about, each.clause, message)


def _try(one: Check, server: Server) -> tuple[Outcome, str]:
    try:
        one.run(server)
    except NotOffered as reason:
        return "not offered", str(reason)
    except Fault as fault:
        return "fail", str(fault)
    # an answer of another form than a check reads; nothing else is touched there
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as e:
        return "fail", f"the answer has another form: {e!r}"
    return "pass", ""


def table(results: list[Result]) -> str:
    """Return the results as a table in Markdown, with a line of sums below it."""
    rows = [["check", "level", "result", "asked by", "what was seen"]]
    rows += [[r.name, r.level, r.outcome, r.clause, r.message] for r in results]
    rows = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    lines = [" | ".join(map(str.ljust, row, widths)) for row in rows]
    return "\n".join([*(f"| {line} |" for line in lines), "", sums(results)])


def sums(results: list[Result]) -> str:
    """Count what passed, failed and was not offered."""
    counts = []
    for level in ("must", "should"):
        outcomes = [r.outcome for r in results if r.level == level]
        passed, lacks = outcomes.count("pass"), outcomes.count("not offered")
        counts.append(f"{level}: {passed} pass, {outcomes.count('fail')} fail, {lacks} not offered")
    return "; ".join(counts)


def main(arguments: list[str] | None = None) -> int:
    """Test a server and print the results; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="where the server is: http://127.0.0.1:8000")
    parser.add_argument("--model", required=True, help="name of a model that it has")
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="sent with all requests"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(arguments)
    pairs = (each.partition(":") for each in args.header)
    server = Server(args.url, args.model, {name: value.strip() for name, _, value in pairs})
    try:
        about = server.ask("GET", "v2")
    except Fault as fault:
        print(f"error: {args.url}: {fault}", file=sys.stderr)
        return 2
    results = list(run(server))
    if args.json:
        found = {"server": about.body.decode(errors="replace"), "model": args.model}
        print(json.dumps({**found, "results": [asdict(r) for r in results]}, indent=2))
    else:
        print(table(results))
    return int(any(r.level == "must" and r.outcome == "fail" for r in results))


if __name__ == "__main__":
    sys.exit(main())
