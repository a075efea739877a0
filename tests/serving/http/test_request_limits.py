"""Limits of bodies, packed and not; tokens; ids of requests."""

from __future__ import annotations

import asyncio
import base64
import gzip
import zlib

import pytest

from lookbook.errors import InputError
from lookbook.serving.http.limits import (
    MAX_MEMBERS,
    Bodies,
    Disconnected,
    RequestIds,
    Token,
    read_body,
    unpack,
)
from lookbook.serving.refusals import Refusal


def read(*parts: bytes, ends: bool = True, max_body: int = 100, **headers: str) -> bytes:
    """Read a body that comes in parts."""
    messages = [
        {"type": "http.request", "body": part, "more_body": i + 1 < len(parts) or not ends}
        for i, part in enumerate(parts)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    bodies = Bodies(max_body)
    with bodies.share() as take:
        return asyncio.run(read_body(receive, given, max_body, take))


def test_bodies_come_whole_packed_or_not():
    content = b"lookbook" * 10
    assert read(content[:30], content[30:], b"") == content
    assert read(gzip.compress(content), content_encoding="gzip") == content
    assert read(zlib.compress(content), content_encoding=" Deflate") == content
    members = gzip.compress(content[:30]), gzip.compress(b""), gzip.compress(content[30:])
    assert (
        read(b"".join(members)[:100], b"".join(members)[100:], content_encoding="gzip") == content
    )
    assert read(content, content_encoding="identity") == content
    assert read(b"x" * 100) == b"x" * 100


def test_a_packed_body_has_so_many_members_and_no_more():
    packed = gzip.compress(b"x")
    assert unpack(packed * MAX_MEMBERS, "gzip", 1000) == b"x" * MAX_MEMBERS
    with pytest.raises(Refusal, match="at most 64 members"):
        unpack(packed * (MAX_MEMBERS + 1), "gzip", 1000)


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"x" * 101], {}, 413),
        ([b"x" * 60, b"x" * 60, b""], {}, 413),  # in chunks, which say no length
        ([b""], {"content_length": "101"}, 413),
        ([gzip.compress(b"x" * 10**8)[:100]], {"content_encoding": "gzip"}, 413),
        ([gzip.compress(b"x" * 101)], {"content_encoding": "gzip"}, 413),
        ([gzip.compress(b"x" * 50)[:-9]], {"content_encoding": "gzip"}, 400),
        ([gzip.compress(b"x" * 60) * 2], {"content_encoding": "gzip"}, 413),
        ([gzip.compress(b"x"), b"no gzip"], {"content_encoding": "gzip"}, 400),
        ([b"no gzip"], {"content_encoding": "gzip"}, 400),
        ([b"x"], {"content_encoding": "br"}, 415),
        ([b"x"], {"content_encoding": "gzip, gzip"}, 415),
    ],
)
def test_what_is_too_large_or_packed_otherwise_is_refused(parts, headers, status):
    with pytest.raises(Refusal) as refused:
        read(*parts, **headers)
    assert refused.value.status == status


def test_who_is_gone_is_not_waited_for():
    with pytest.raises(Disconnected):
        read(b"x", ends=False)


def test_a_token_is_needed_as_it_stands_in_its_file(tmp_path):
    (tmp_path / "token").write_text(" s3cret\n")
    token = Token.read(tmp_path / "token")
    token.check({b"authorization": b"Bearer s3cret"})
    token.check({b"authorization": b"bearer s3cret"})
    token.check({b"authorization": b"Basic " + base64.b64encode(b"anybody:s3cret")})
    in_basic = [b"Basic " + base64.b64encode(each) for each in (b"s3cret", b"a:", b"s3cret:a")]
    for wrong in (
        *(b"", b"Bearer", b"Bearer s3cre", b"Bearer s3cretx", b"Basic s3cret", b"s3cret"),
        *(*in_basic, b"Basic \xff"),
    ):
        with pytest.raises(Refusal) as refused:
            token.check({b"authorization": wrong})
        assert refused.value.status == 401
        # browsers ask for a password
        assert refused.value.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("content", [b"", b" \n", b"two words", b"x" * 5000, b"caf\xe9"])
def test_a_file_without_a_token_is_refused(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(InputError, match="must hold one token"):
        Token.read(tmp_path / "token")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Token.read(tmp_path / "none")


def test_requests_keep_their_id_or_get_one_of_their_own():
    ids = RequestIds()
    assert ids.of({b"x-request-id": b"abc-1"}) == b"abc-1"
    for given in ({}, {b"x-request-id": b"a\nb"}, {b"x-request-id": b"x" * 129}):
        assert len(ids.of(given)) > 8
    assert ids.of({}) != ids.of({})


def test_bodies_together_take_no_more_memory_than_there_is():
    bodies = Bodies(100)
    with bodies.share() as take, bodies.share() as take_too:
        take(500)
        take_too(300)
        with pytest.raises(Refusal) as refused:
            take(1)
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
    with bodies.share() as take:
        take(800)
