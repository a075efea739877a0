"""A small server of the protocol, right in all, but for the faults that it is asked for."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from conformance.oip_v2 import DATATYPES, flatten, nest, pack, unpack

LENGTH = "Inference-Header-Content-Length"
METADATA = {
    "name": "toy",
    "versions": ["1", "2"],
    "platform": "made_up",
    "inputs": [
        {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
        {"name": "k", "datatype": "INT8", "shape": [-1, 1]},
    ],
    "outputs": [
        {"name": "sum", "datatype": "FP32", "shape": [-1]},
        {"name": "more", "datatype": "FP64", "shape": [-1, 3]},
    ],
}


class RefusalError(Exception):
    """A request that is answered with an error."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def answer(inputs: dict) -> dict:
    """Return the outputs of the model: elements by name."""
    x, k = inputs["x"], inputs["k"]
    rows = [x[i : i + 3] for i in range(0, len(x), 3)]
    more = [e + n for row, n in zip(rows, k, strict=True) for e in row]
    return {"sum": [sum(row) for row in rows], "more": more}


class Handler(BaseHTTPRequestHandler):
    """One request; `faults` of its class says what is wrong on purpose."""

    faults: frozenset[str] = frozenset()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def has(self, fault: str) -> bool:
        return fault in self.faults

    # ---- routes ----

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def _respond(self, route) -> None:
        try:
            route()
        except RefusalError as refusal:
            body = b"oops" if self.has("error without JSON") else None
            error = {"error": "" if self.has("empty error") else str(refusal)}
            status = 500 if self.has("500 for all errors") else refusal.status
            self._send(status, error, body, allow="GET, POST" if status == 405 else "")

    def _send(self, status: int, document=None, body: bytes | None = None, **headers: str) -> None:
        content = json.dumps(document).encode() if body is None else body
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))} | {
            name.replace("_", "-"): value for name, value in headers.items() if value
        }
        if self.has("text/plain"):
            headers["Content-Type"] = "text/plain"
        if self.has("no Allow"):
            headers.pop("allow", None)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _get(self) -> None:
        parts = self.path.strip("/").split("/")
        match parts:
            case ["v2"] if self.path == "/v2/" and self.has("no slash"):
                raise RefusalError("no such path", 404)
            case ["v2"]:
                names = [] if self.has("unnamed binary") else ["binary_tensor_data"]
                extensions = "binary" if self.has("extensions is text") else names
                self._send(200, {"name": "made", "version": "1", "extensions": extensions})
            case ["v2", "health", state]:
                if self.has(f"not {state}"):
                    raise RefusalError("not yet", 503)
                self._send(200, body=b'{"a": 1}' if self.has("health bodies") else b"")
            case ["v2", "models", name, *rest]:
                self._get_model(name, rest)
            case _:
                raise RefusalError("no such path", 404)

    def _get_model(self, name: str, rest: list[str]) -> None:
        version = self._version(name, rest)
        if rest[-1:] == ["infer"]:
            raise RefusalError("POST", 200 if self.has("GET infers") else 405)
        if rest[-1:] == ["ready"]:
            if self.has("model not ready") or (version and self.has("version not ready")):
                raise RefusalError("not yet", 503)
            return self._send(200, body=b"")
        found = dict(METADATA)
        if version and self.has("version of another name"):
            found["name"] = "other"
        if self.has("no platform"):
            found["platform"] = None
        if self.has("unknown type in metadata"):
            found["inputs"] = [{**each, "datatype": "float"} for each in METADATA["inputs"]]
        if self.has("no versions"):
            del found["versions"]
        return self._send(200, found)

    def _version(self, name: str, rest: list[str]) -> str:
        ready = rest[-1:] == ["ready"]
        if name != "toy" and not self.has("any model"):
            raise RefusalError("no such model", 404)
        version = rest[1] if rest[:1] == ["versions"] else ""
        if version not in {"", "1", "2"} and not self.has("any version"):
            raise RefusalError("no such version", 404 if ready else 400)
        return version

    def _post(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.strip("/").split("/")
        if parts[-1] != "infer":
            raise RefusalError("GET", 405)
        version = self._version(parts[2], parts[3:])
        request, rest = self._parse(body)
        inputs = self._inputs(request, rest)
        outputs = answer(inputs)
        self._answer(request, outputs, version)

    # ---- requests ----

    def _parse(self, body: bytes) -> tuple[dict, bytes]:
        length = self.headers.get(LENGTH)
        if length is not None and self.has("no binary"):
            raise RefusalError("binary tensors are not taken")
        if length is not None:
            if not length.isdecimal() or int(length) > len(body):
                if not self.has("any header length"):
                    raise RefusalError("Inference-Header-Content-Length")
                length = str(body.rindex(b"}") + 1)
            body, rest = body[: int(length)], body[int(length) :]
        try:
            request = json.loads(body)
        except ValueError as error:
            if self.has("any JSON"):
                made = ({**each, "shape": [1, *each["shape"][1:]]} for each in METADATA["inputs"])
                return {"inputs": [{**e, "data": [0] * e["shape"][1]} for e in made]}, b""
            raise RefusalError("no JSON") from error
        if not isinstance(request, dict):
            raise RefusalError("no object")
        return request, (rest if length is not None else b"")

    def _inputs(self, request: dict, rest: bytes) -> dict:
        given = {each["name"]: each for each in request.get("inputs") or []}
        if self.has("parameters refused") and "parameters" in request:
            raise RefusalError("parameters")
        found = {}
        for about in METADATA["inputs"]:
            name = about["name"]
            if name not in given:
                if not self.has("inputs optional"):
                    raise RefusalError(f"{name} is missing")
                given[name] = {**about, "shape": [1, *about["shape"][1:]]}
                given[name]["data"] = [0] * math.prod(given[name]["shape"])
            found[name], rest = self._tensor(about, given[name], rest)
        if rest and not self.has("any binary size"):
            raise RefusalError("too many bytes")
        return found

    def _tensor(self, about: dict, each: dict, rest: bytes) -> tuple[list, bytes]:
        known = DATATYPES if self.has("any known datatype") else {about["datatype"]}
        if each["datatype"] not in known and not self.has("any datatype"):
            raise RefusalError("datatype")
        shape = self._shape(about, each["shape"])
        size = each.get("parameters", {}).get("binary_data_size")
        if size is not None:
            return self._binary(about, shape, size, rest)
        return self._elements(each["data"], math.prod(shape)), rest

    def _shape(self, about: dict, shape: list) -> list:
        if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
            if not self.has("any shape"):
                raise RefusalError("shape")
            shape = [1, *about["shape"][1:]]
        if len(shape) != 2 and not self.has("more dimensions"):
            raise RefusalError("shape")
        return shape

    def _elements(self, data: list, n: int) -> list:
        if any(isinstance(e, list) for e in data) and self.has("flat alone"):
            raise RefusalError("nested")
        data = flatten(data)
        if not all(isinstance(e, int | float) for e in data):
            if not self.has("any element"):
                raise RefusalError("elements")
            data = [0] * len(data)
        if len(data) != n:
            if not self.has("any number of elements"):
                raise RefusalError("number of elements")
            data = [0] * n
        return data

    def _binary(self, about: dict, shape: list, size: int, rest: bytes) -> tuple[list, bytes]:
        wanted = math.prod(shape) * (4 if about["datatype"] == "FP32" else 1)
        if (size != wanted or len(rest) < wanted) and not self.has("any binary size"):
            raise RefusalError("binary_data_size")
        if self.has("big-endian"):
            return [0.5] * math.prod(shape), rest[wanted:]
        content = rest[:wanted].ljust(wanted, b"\0")
        return unpack(about["datatype"], content), rest[wanted:]

    # ---- answers ----

    def _answer(self, request: dict, outputs: dict, version: str) -> None:
        asked = request.get("outputs")
        names = self._names(asked, list(outputs))
        wanted = {each["name"]: each.get("parameters", {}) for each in asked or []}
        default = request.get("parameters", {}).get("binary_data_output", False)
        if self.has("no binary_data_output"):
            default = False
        found, content = [], b""
        about = {each["name"]: each for each in METADATA["outputs"]}
        for name in names:
            binary = wanted.get(name, {}).get("binary_data", default)
            binary = default if self.has("binary_data ignored") else binary
            binary = True if self.has("binary always") else binary
            one, part = self._output(about[name], outputs[name], binary=binary)
            found.append(one)
            content += part
        document = {"model_name": "toy", "outputs": found}
        if version:
            document["model_version"] = "2" if self.has("newest version") else version
        if "id" in request and not self.has("no id"):
            document["id"] = request["id"]
        if self.has("another model_name"):
            document["model_name"] = "a"
        if not content:
            return self._send(200, document)
        text = json.dumps(document).encode()
        length = "" if self.has("no length of the JSON") else str(len(text))
        headers = {"Inference_Header_Content_Length": length}
        kind = "application/json" if self.has("binary as JSON") else "application/octet-stream"
        return self._send(200, None, text + content, Content_Type=kind, **headers)

    def _names(self, asked: list | None, known: list[str]) -> list[str]:
        """Return the names of the outputs that are wanted."""
        if not asked:
            return known[:1] if self.has("first output alone") else known
        if {each["name"] for each in asked} <= {*known} and not self.has("all outputs always"):
            return [each["name"] for each in asked]
        if not self.has("any output") and not self.has("all outputs always"):
            raise RefusalError("no such output")
        return known

    def _output(self, about: dict, data: list, *, binary: bool) -> tuple[dict, bytes]:
        rows = len(data) // math.prod(about["shape"][1:])
        if self.has("one answer for all"):
            data, rows = data[: len(data) // rows], 1
        one = {**about, "shape": [rows, *about["shape"][1:]]}
        if self.has("another datatype"):
            one["datatype"] = "FP32"
        if self.has("shape as in metadata"):
            one["shape"] = about["shape"]
        if not binary:
            return {**one, "data": nest(data, one["shape"])}, b""
        content = pack(about["datatype"], data)
        content = content[:-1] if self.has("a byte short") else content
        size = len(content) + (1 if self.has("a byte short") else 0)
        return {**one, "parameters": {"binary_data_size": size}}, content


@contextmanager
def serving(*faults: str) -> Iterator[str]:
    """Serve on a free port of loopback; give the URL."""
    handler = type("Faulty", (Handler,), {"faults": frozenset(faults)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
