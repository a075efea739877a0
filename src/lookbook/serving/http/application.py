"""ASGI application: the protocol's routes, and those for people."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lookbook.errors import LookbookError
from lookbook.serving import tensors
from lookbook.serving.batcher import Batcher, Job, outputs_of
from lookbook.serving.http import uploads
from lookbook.serving.http.limits import (
    OPEN,
    Bodies,
    Disconnected,
    Headers,
    Receive,
    RequestIds,
    Token,
    read_body,
)
from lookbook.serving.metrics import Metrics
from lookbook.serving.readers import Readers
from lookbook.serving.refusals import Refusal
from lookbook.serving.repository import Repository, ServedModel

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("lookbook.serving")
#: bytes of a body that is short: reading need not be paused for it
SHORT = 1 << 16
#: of every answer: no browser is to guess what it is
_NOSNIFF = (b"x-content-type-options", b"nosniff")
#: status that is counted of a request whose client has gone
GONE = 499
#: key of a request's state under which a connection that is closed keeps the status that it said
REFUSED = "lookbook.refused"
_JSON = (b"content-type", b"application/json")
_BYTES = (b"content-type", b"application/octet-stream")


@dataclass
class State:
    """What all routes share."""

    repository: Repository
    batcher: Batcher
    readers: Readers
    metrics: Metrics
    max_body: int
    bodies: Bodies
    token: Token | None = None
    #: addresses of sites whose pages may ask
    origins: tuple[str, ...] = ()
    #: false from the moment on when the server is told to end
    is_ready: bool = True
    logs_requests: bool = False


class Answer(NamedTuple):
    """An answer over HTTP, whole."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes

    @classmethod
    def of(
        cls, status: int, content: bytes, headers: list[tuple[bytes, bytes]], request_id: bytes
    ) -> Answer:
        """Return an answer with what all of them carry."""
        length = (b"content-length", b"%d" % len(content))
        return cls(status, [*headers, (b"x-request-id", request_id), length, _NOSNIFF], content)

    @classmethod
    def refusing(cls, refusal: Refusal, request_id: bytes) -> Answer:
        """Return an error as the protocol has it."""
        more = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
        return cls.of(refusal.status, refusal.body, [_JSON, *more], request_id)

    async def send_to(self, send: Send) -> None:
        """Send it."""
        head = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(head)
        await send({"type": "http.response.body", "body": self.content})


class Request:
    """A request, and since when it is being answered."""

    __slots__ = ("headers", "id", "model", "scope", "start")

    def __init__(self, scope: Mapping[str, Any], ids: RequestIds) -> None:
        self.start = time.perf_counter()
        self.scope = scope
        self.headers: Headers = dict(scope["headers"])
        self.id = ids.of(self.headers)
        #: name and version, of one that infers
        self.model = _inference(scope["path"]) if scope["method"] == "POST" else None


class Application:
    """The outermost application: answers inference itself, and gives all else to `others`."""

    def __init__(self, state: State, others: App) -> None:
        self._state, self._others = state, others
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        request, status = Request(scope, self._ids), GONE
        try:
            if request.model is not None:
                answer = await self._infer(request, receive)
                status = answer.status
                await answer.send_to(send)
            elif scope["method"] == "POST" and scope["path"] == "/predict":
                answer = await self._predict(request, receive)
                status = answer.status
                await answer.send_to(send)
            else:
                status = await self._other(scope, request.headers, request.id, receive, send)
        except (Disconnected, asyncio.CancelledError):
            status = _status_of_gone(scope)
        finally:
            self.count(request, status)

    def count(self, request: Request, status: int) -> None:
        """Count a request that has ended, and log it where that is asked for."""
        seconds = time.perf_counter() - request.start
        scope = request.scope
        route = "infer" if request.model is not None else route_of(scope["path"])
        self._state.metrics.count_request(route, status, seconds)
        if self._state.logs_requests:
            _log.info(
                "%s %s", scope["method"], scope["path"],
                extra={
                    "request_id": request.id.decode(), "route": route, "status": status,
                    "ms": round(1000 * seconds, 3),
                },
            )  # fmt: skip

    async def _infer(self, request: Request, receive: Receive) -> Answer:
        """Return the answer to an inference request whose body is still to be read."""
        state = self._state
        try:
            self._admit(request)  # before its body is read
            with state.bodies.share() as take:
                body = await read_body(receive, request.headers, state.max_body, take)
                return await self._answer_to(request, body)
        except Refusal as refusal:
            return Answer.refusing(refusal, request.id)

    async def _answer_to(self, request: Request, body: bytes) -> Answer:
        """Return the answer to an inference request; cancelled, it leaves the queue."""
        told: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def tell(answer: Answer) -> None:
            if not told.done():
                told.set_result(answer)

        job = self.infer(request, body, tell)
        try:
            return await told
        except asyncio.CancelledError:
            if job is not None:
                self._state.batcher.cancel(job)
            raise

    def short_request(self, scope: Mapping[str, Any]) -> Request | None:
        """Return an inference request that `infer` may be given once it has arrived.

        It has a short body that is not packed: nothing has to wait, or to be paused, for it.
        """
        if scope["method"] != "POST" or not scope["path"].endswith("/infer"):
            return None
        request = Request(scope, self._ids)
        length = int(request.headers.get(b"content-length", b"0"))
        is_short = 0 < length <= min(SHORT, self._state.max_body)
        is_packed = b"content-encoding" in request.headers
        return request if request.model is not None and is_short and not is_packed else None

    def infer(self, request: Request, body: bytes, tell: Callable[[Answer], None]) -> Job | None:
        """Have an inference request answered; `tell` hears of it, or at once of a refusal.

        The job is what can be cancelled. Nothing is raised.
        """
        try:
            model = self._admit(request)
            batcher = self._state.batcher
            json_length = _json_length(request.headers)
            asked = tensors.read(body, json_length, model.signature, batcher.check_room)

            def tell_of(job: Job) -> None:
                tell(self._answer(request, asked, job))

            return batcher.submit(model, asked.images, tell_of)
        except Refusal as refusal:
            tell(Answer.refusing(refusal, request.id))
        except Exception:  # noqa: BLE001  # who asked is told, and the next is answered
            _log.exception("%s", request.scope["path"], extra={"request_id": request.id.decode()})
            tell(Answer.refusing(Refusal(500, "an error of the server"), request.id))
        return None

    def leave(self, request: Request, job: Job | None) -> None:
        """Take a request out of the queue whose connection is gone."""
        if job is not None:
            self._state.batcher.cancel(job)
        self.count(request, _status_of_gone(request.scope))

    def _admit(self, request: Request) -> ServedModel:
        """Return the model that is asked, or refuse."""
        if self._state.token is not None:
            self._state.token.check(request.headers)
        name, version = request.model or ("", None)
        model = self._state.repository.get(name, version)
        self._state.batcher.check_room()
        return model

    def _answer(self, request: Request, asked: tensors.Inference, job: Job) -> Answer:
        """Return what became of a job."""
        try:
            outputs = outputs_of(job)
        except Exception as error:  # noqa: BLE001  # told to who asked
            _log.exception("%s", job.model.name, extra={"request_id": request.id.decode()})
            said = str(error) if isinstance(error, LookbookError) else "the model failed"
            return Answer.refusing(Refusal(500, said), request.id)
        content, json_bytes = tensors.write(outputs, asked, job.model.name, job.model.version)
        if json_bytes is None:
            return Answer.of(200, content, [_JSON], request.id)
        parted = (tensors.JSON_LENGTH.encode(), b"%d" % json_bytes)
        return Answer.of(200, content, [_BYTES, parted], request.id)

    async def _predict(self, request: Request, receive: Receive) -> Answer:
        """Return the answer to a request with image files."""
        try:
            if self._state.token is not None:
                self._state.token.check(request.headers)
            status, content = await uploads.answer_request(self._state, request.scope, receive)
        except Refusal as refusal:
            return Answer.refusing(refusal, request.id)
        except Disconnected:
            raise
        except Exception:  # noqa: BLE001  # who asked is told, and the next is answered
            _log.exception("/predict", extra={"request_id": request.id.decode()})
            return Answer.refusing(Refusal(500, "an error of the server"), request.id)
        return Answer.of(status, content, [_JSON], request.id)

    async def _other(
        self, scope: Scope, headers: Headers, request_id: bytes, receive: Receive, send: Send
    ) -> int:
        """Have another route answered; return the status."""
        status = 500
        if scope["method"] == "HEAD":  # of its answer uvicorn sends the head alone
            scope = {**scope, "method": "GET"}

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []), _NOSNIFF, (b"x-request-id", request_id)
                ]  # fmt: skip
            await send(message)

        try:
            if self._state.token is not None and scope["path"] not in OPEN:
                self._state.token.check(headers)
            await self._others(scope, receive, send_on)
        except Refusal as refusal:
            await Answer.refusing(refusal, request_id).send_to(send)
            return refusal.status
        except Exception:  # noqa: BLE001  # Starlette has told who asked, and passes it on
            _log.exception("%s", scope["path"], extra={"request_id": request_id.decode()})
        return status


def _status_of_gone(scope: Mapping[str, Any]) -> int:
    """Return the status that is counted where there is nobody to tell."""
    status: int = scope.get("state", {}).get(REFUSED, GONE)
    return status


#: those that are counted by their names: of others there may be any number
_ROUTES = OPEN | {"/", "/docs", "/openapi.json", "/metrics", "/predict", "/v2"}
_OF_MODEL = re.compile(r"/v2/models/[^/]+(?P<version>/versions/[^/]+)?(?P<end>|/ready|/infer)")


def route_of(path: str) -> str:
    """Return what an address is counted as: there are few, whatever is asked.

    >>> route_of("/v2/"), route_of("/v2/models/a/versions/2/ready"), route_of("/v3")
    ('/v2', '/v2/models/{name}/versions/{version}/ready', 'other')
    """
    if found := _OF_MODEL.fullmatch(path):
        if found["end"] == "/infer":
            return "infer"  # by another method than POST
        version = "/versions/{version}" if found["version"] else ""
        return f"/v2/models/{{name}}{version}{found['end']}"
    path = "/v2" if path == "/v2/" else path
    return path if path in _ROUTES else "other"


def _inference(path: str) -> tuple[str, str | None] | None:
    """Return model and version of an address that infers.

    >>> _inference("/v2/models/a/infer"), _inference("/v2/models/a/versions/2/infer")
    (('a', None), ('a', '2'))
    >>> _inference("/v2/models/a")
    """
    match path.split("/"):
        case ["", "v2", "models", name, "infer"]:
            return name, None
        case ["", "v2", "models", name, "versions", version, "infer"]:
            return name, version
    return None


def _json_length(headers: Headers) -> int | None:
    """Return how many bytes of a body are JSON, where that is said."""
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 12:
        raise Refusal(
            400,
            f"expected a number of bytes as Inference-Header-Content-Length, got "
            f"{given.decode('latin-1')!r}",
        )
    return int(given)
