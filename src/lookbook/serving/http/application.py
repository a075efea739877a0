"""ASGI application: the protocol's routes, and those for people."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from lookbook.errors import LookbookError
from lookbook.serving import tensors
from lookbook.serving.batcher import Batcher
from lookbook.serving.http.limits import (
    OPEN,
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
from lookbook.serving.repository import Repository

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("lookbook.serving")
#: of every answer: no browser is to guess what it is
_NOSNIFF = (b"x-content-type-options", b"nosniff")
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
    token: Token | None = None
    #: addresses of sites whose pages may ask
    origins: tuple[str, ...] = ()
    #: false from the moment on when the server is told to end
    is_ready: bool = True
    logs_requests: bool = False


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
        start = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        request_id = self._ids.of(headers)
        route, status = "other", 499
        try:
            if scope["method"] == "POST" and (named := _inference(scope["path"])):
                route = "infer"
                status = await self._infer(named, headers, request_id, receive, send)
            else:
                route = scope["path"] if scope["path"] in _ROUTES else "other"
                status = await self._other(scope, headers, request_id, receive, send)
        except (Disconnected, asyncio.CancelledError):
            pass  # who asked is gone: there is nobody to tell
        finally:
            seconds = time.perf_counter() - start
            self._state.metrics.count_request(route, status, seconds)
            if self._state.logs_requests:
                _log.info(
                    "%s %s %d", scope["method"], scope["path"], status,
                    extra={"request_id": request_id.decode(), "ms": round(1000 * seconds, 3)},
                )  # fmt: skip

    async def _infer(
        self,
        named: tuple[str, str | None],
        headers: Headers,
        request_id: bytes,
        receive: Receive,
        send: Send,
    ) -> int:
        """Answer an inference request of the protocol; return the status."""
        state = self._state
        try:
            if state.token is not None:
                state.token.check(headers)
            model = state.repository.get(*named)
            state.batcher.check_room()
            body = await read_body(receive, headers, state.max_body)
            length = _json_length(headers)
            asked = tensors.read(body, length, model.signature)
            outputs = await state.batcher.answer(model, asked.images)
        except Refusal as refusal:
            await refuse(send, refusal, request_id)
            return refusal.status
        except LookbookError as error:  # what it answered is no answer
            _log.exception("%s", model.name, extra={"request_id": request_id.decode()})
            await refuse(send, Refusal(500, str(error)), request_id)
            return 500
        content, json_bytes = tensors.write(outputs, asked, model.name, model.version)
        kind = (
            [_JSON]
            if json_bytes is None
            else [_BYTES, (tensors.JSON_LENGTH.encode(), b"%d" % json_bytes)]
        )
        await respond(send, 200, content, [*kind, (b"x-request-id", request_id)])
        return 200

    async def _other(
        self, scope: Scope, headers: Headers, request_id: bytes, receive: Receive, send: Send
    ) -> int:
        """Have another route answered; return the status."""
        status = 500

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
            await refuse(send, refusal, request_id)
            return refusal.status
        except Exception:  # noqa: BLE001  # Starlette has told who asked, and passes it on
            _log.exception("%s", scope["path"], extra={"request_id": request_id.decode()})
        return status


def allow_origins(app: App, origins: tuple[str, ...]) -> App:
    """Let pages of other sites ask, too."""
    from starlette.middleware.cors import CORSMiddleware  # noqa: PLC0415  # only where asked for

    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", tensors.JSON_LENGTH, "x-request-id"],
        expose_headers=[tensors.JSON_LENGTH, "x-request-id", "retry-after"],
    )


#: those that are counted by their names: of others there may be any number
_ROUTES = OPEN | {"/", "/docs", "/openapi.json", "/metrics", "/predict", "/v2"}


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


async def respond(
    send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    """Send an answer."""
    headers = [*headers, (b"content-length", b"%d" % len(content)), _NOSNIFF]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def refuse(send: Send, refusal: Refusal, request_id: bytes) -> None:
    """Send an error as the protocol has it."""
    more = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await respond(send, refusal.status, refusal.body, [_JSON, (b"x-request-id", request_id), *more])
