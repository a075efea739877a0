"""Limits of a request: bytes of its body as sent and unpacked, its token, its id."""

from __future__ import annotations

import base64
import hmac
import itertools
import re
import secrets
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lookbook.errors import InputError
from lookbook.serving.refusals import Refusal

#: bytes of a body, as sent and unpacked
MAX_BODY = 32 << 20
#: so many bodies of the greatest size may be in memory at once
MAX_BODIES = 8
#: bytes of a file with a token
MAX_TOKEN = 4096
#: packed streams that a body may hold one after the other: each copies what is behind it
MAX_MEMBERS = 64
#: packed forms of a body that are read → how zlib calls them
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
#: routes that say nothing of a model, and are asked by what keeps the server running: no token
OPEN = frozenset({"/v2/health/live", "/v2/health/ready"})
_ID = re.compile(rb"[\x21-\x7e]{1,128}")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: names and values of a request's headers
Headers = Mapping[bytes, bytes]


class Disconnected(Exception):  # noqa: N818  # what happened, and nobody's mistake
    """Who asked is gone."""


async def read_body(
    receive: Receive, headers: Headers, max_body: int, take: Callable[[int], None]
) -> bytes:
    """Return a request's body, unpacked; `take` hears of its bytes, as `Bodies.share` gives it.

    Raises
    ------
    Refusal
        It has more than `max_body` bytes, it is packed in another way than gzip or deflate, or
        there is no room for it.
    Disconnected
        Who sent it is gone.
    """
    check_length(headers, max_body)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    take(len(body))
    if message.get("more_body"):
        parts, n = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] != "http.request":
                raise Disconnected
            parts.append(message.get("body", b""))
            n += len(parts[-1])
            take(len(parts[-1]))
            if n > max_body:
                raise _too_large(max_body)
        body = b"".join(parts)
    if len(body) > max_body:
        raise _too_large(max_body)
    packed = headers.get(b"content-encoding")
    if packed is not None:
        body = unpack(body, packed.decode("latin-1"), max_body)
        take(len(body))
    return body


class Bodies:
    """Memory for bodies that are being read and answered: `MAX_BODIES` of the greatest size."""

    def __init__(self, max_body: int) -> None:
        self._room = MAX_BODIES * max_body

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes so many bytes more, until the body is answered.

        Raises
        ------
        Refusal
            It raises that: there is no room for them.
        """
        taken = 0

        def take(n: int) -> None:
            nonlocal taken
            if n > self._room:
                raise Refusal(
                    429,
                    "the bodies of other requests take the memory; try again soon",
                    {"retry-after": "1"},
                )
            self._room -= n
            taken += n

        try:
            yield take
        finally:
            self._room += taken


def check_length(headers: Headers, max_body: int) -> None:
    """Refuse a body that says it is too long, before any of it is read."""
    length = headers.get(b"content-length")
    if length is not None and int(length) > max_body:
        raise _too_large(max_body, f"{int(length):,}")


def _too_large(max_body: int, got: str = "more") -> Refusal:
    return Refusal(
        413, f"expected a body of at most {max_body:,} bytes, packed and unpacked, got {got}"
    )


def unpack(body: bytes, packed: str, max_body: int) -> bytes:
    """Return what a packed body holds, of which no more is unpacked than is allowed.

    Raises
    ------
    Refusal
        It is damaged, too large, or packed in another way.
    """
    name = packed.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _PACKED:
        raise Refusal(
            415, f"expected the content-encoding gzip, deflate or identity, got {packed!r}"
        )
    content, rest = b"", body
    for _ in range(MAX_MEMBERS):
        unpacker = zlib.decompressobj(_PACKED[name])
        try:
            content += unpacker.decompress(rest, max_body + 1 - len(content))
        except zlib.error as error:
            raise Refusal(400, f"the body is not {name}: {error}") from error
        if len(content) > max_body:
            raise _too_large(max_body)
        if not unpacker.eof:
            raise Refusal(400, f"the body is not {name}: it is cut short")
        rest = unpacker.unused_data
        if not rest:
            return content
    raise Refusal(400, f"expected {name} of at most {MAX_MEMBERS} members, got more")


class Token:
    """A token that requests must carry: as a bearer token, or as the password of any user.

    Browsers ask for a password, and send it with what a page asks for, too.
    """

    def __init__(self, token: str) -> None:
        self._expected = token.encode()

    @classmethod
    def read(cls, path: Path) -> Token:
        """Read the token that a file holds, without white space around it.

        Raises
        ------
        InputError
            There is no such file, or no token in it.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_TOKEN + 1)
        except OSError as error:
            raise InputError(
                f"the token file {path} cannot be read: {error.strerror}; check its name and "
                "permissions"
            ) from error
        token = content.decode("latin-1").strip()
        if not re.fullmatch(r"[\x21-\x7e]{1,4096}", token):
            raise InputError(
                f"the token file {path} must hold one token: one line of letters, digits and "
                "punctuation, up to 4,096 of them"
            )
        return cls(token)

    def check(self, headers: Headers) -> None:
        """Refuse a request without it; how long that takes tells nothing.

        Raises
        ------
        Refusal
            It has no token, or another one.
        """
        if not hmac.compare_digest(_token_in(headers), self._expected):
            raise Refusal(
                401,
                "expected the header Authorization: Bearer TOKEN with this server's token",
                {"www-authenticate": 'Basic realm="the token is the password"'},
            )


def _token_in(headers: Headers) -> bytes:
    """Return the token that a request carries, empty where it has none."""
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    match scheme.lower():
        case b"bearer":
            return given.strip()
        case b"basic":
            try:
                return base64.b64decode(given, validate=True).partition(b":")[2]
            except ValueError:
                return b""
    return b""


class RequestIds:
    """Ids of requests: that of who asks, or else one of our own."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4).encode()
        self._numbers = itertools.count(1)

    def of(self, headers: Headers) -> bytes:
        """Return the id of a request."""
        given = headers.get(b"x-request-id")
        if given is not None and _ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._numbers))
