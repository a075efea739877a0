"""Connections end when a request takes too long to arrive, and not before what arrived is read."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from types import SimpleNamespace

import pytest
import uvicorn

from lookbook.serving.http import connections
from lookbook.serving.http.application import Application
from lookbook.serving.http.connections import Connection, refuse_new
from lookbook.serving.http.limits import Bodies
from lookbook.serving.metrics import Metrics


async def app(_scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"ok"})


async def large_app(_scope, _receive, send):
    """Answer with more than the system holds for who does not read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(64):
        await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})


async def connected(app=app) -> tuple[Connection, asyncio.StreamReader, asyncio.StreamWriter]:
    """Return both ends of a connection."""
    config = uvicorn.Config(
        app, http=Connection, lifespan="off", log_config=None, proxy_headers=False
    )
    config.load()
    state, made = uvicorn.server.ServerState(), []

    def make() -> Connection:
        made.append(Connection(config, state, {}, asyncio.get_running_loop()))
        return made[0]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not made:
        await asyncio.sleep(0.01)
    server.close()
    return made[0], reader, writer


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize("sent", [b"POST / HT", HEAD, HEAD + b"ab"])
def test_a_request_that_takes_too_long_to_arrive_ends_its_connection(sent):
    async def main() -> None:
        connection, reader, writer = await connected()
        writer.write(sent)
        while connection.receiving_since is None:
            await asyncio.sleep(0.01)
        now = asyncio.get_running_loop().time()
        connection.close_if_late(now)
        connection.close_if_late(now + connections.RECEIVE_SECONDS - 1)
        assert not connection.transport.is_closing()
        connection.close_if_late(now + connections.RECEIVE_SECONDS + 1)
        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408")
        assert json.loads(body) == {"error": "expected a whole request within 30 seconds"}
        writer.close()

    asyncio.run(main())


def test_a_request_behind_the_end_of_another_must_arrive_in_time_too():
    async def main() -> None:
        connection, reader, writer = await connected()
        writer.write(HEAD + b"abc" + HEAD)
        await reader.readuntil(b"ok")
        now = asyncio.get_running_loop().time()
        connection.close_if_late(now)
        assert not connection.transport.is_closing()
        connection.close_if_late(now + connections.RECEIVE_SECONDS + 1)
        assert connection.transport.is_closing()
        writer.close()

    asyncio.run(main())


async def unsent_of(connection: Connection) -> int:
    """Return how many bytes wait to be sent, once their number stays as it is."""
    seen = -1
    while (unsent := connection.transport.get_write_buffer_size()) != seen or not unsent:
        seen = unsent
        await asyncio.sleep(0.1)
    return seen


def test_a_connection_whose_answer_nobody_takes_is_ended():
    async def main() -> None:
        connection, reader, writer = await connected(large_app)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        unsent, limit = await unsent_of(connection), connections.SEND_SECONDS
        now = asyncio.get_running_loop().time()
        connection.close_if_late(now)
        connection.close_if_late(now + limit - 1)
        # whoever takes a part of it may go on
        while connection.transport.get_write_buffer_size() >= unsent:
            await reader.read(1 << 16)
        connection.close_if_late(now + limit + 1)
        connection.close_if_late(now + 2 * limit)
        assert not connection.transport.is_closing()
        connection.close_if_late(now + 2 * limit + 2)
        async with asyncio.timeout(5):
            await asyncio.gather(*connection.tasks)  # the task of the answer has ended
        assert connection not in connection.connections
        writer.close()

    asyncio.run(main())


def test_a_connection_that_was_told_it_is_late_is_told_once_and_ended_if_it_does_not_read():
    async def main() -> None:
        connection, _, writer = await connected(large_app)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        unsent = await unsent_of(connection)
        writer.write(b"GET")
        while connection.receiving_since is None:
            await asyncio.sleep(0.01)
        now = asyncio.get_running_loop().time()
        late = now + connections.RECEIVE_SECONDS + 1
        connection._unsent = unsent + 1  # something was taken since
        connection.close_if_late(late)
        assert connection.transport.is_closing()
        connection.close_if_late(late + 1)
        assert connection.transport.get_write_buffer_size() == unsent
        connection.close_if_late(late + connections.SEND_SECONDS + 1)
        async with asyncio.timeout(5):
            await asyncio.gather(*connection.tasks)
        assert connection not in connection.connections
        writer.close()

    asyncio.run(main())


def test_an_answered_connection_may_idle_and_is_closed_only_when_nothing_has_arrived():
    async def main() -> None:
        connection, reader, writer = await connected()
        writer.write(HEAD + b"abc")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        answered = asyncio.get_running_loop().time()
        connection.close_if_late(answered + connections.IDLE_SECONDS - 1)
        assert connection.is_idle
        assert not connection.transport.is_closing()
        # what has arrived and was not read yet keeps it open
        os.write(writer.get_extra_info("socket").fileno(), HEAD + b"abc")
        connection.close_if_unused()
        assert not connection.transport.is_closing()
        connection.end()
        answer = await reader.readuntil(b"ok")
        assert b"connection: close" in answer
        assert await reader.read() == b""
        writer.close()

    asyncio.run(main())


def test_a_connection_on_which_nothing_comes_for_long_is_closed():
    async def main() -> None:
        for is_used in (False, True):
            connection, reader, writer = await connected()
            if is_used:
                writer.write(HEAD + b"abc")
                await reader.readuntil(b"ok")
            now = asyncio.get_running_loop().time()
            connection.close_if_late(now + connections.IDLE_SECONDS - 1)
            assert not connection.transport.is_closing()
            connection.close_if_late(now + connections.IDLE_SECONDS + 1)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    asyncio.run(main())


def test_a_socket_that_refuses_new_connections_keeps_those_that_were_made():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as made:
            refuse_new(listening)
            accepted, _ = listening.accept()
            made.sendall(b"x")
            assert accepted.recv(1) == b"x"
            accepted.close()
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is one of Linux")
def test_what_ends_a_handshake_is_taken_where_new_connections_are_refused():
    # a datagram's own bytes begin at 8, where those of TCP have its flags at 13
    with socket.socket(type=socket.SOCK_DGRAM) as receiver, socket.socket(type=2) as sender:
        receiver.bind(("127.0.0.1", 0))
        refuse_new(receiver)
        syn, syn_of_modern_clients, ack, push, syn_ack = 0x02, 0xC2, 0x10, 0x18, 0x12
        for flags in (syn, syn_of_modern_clients, ack, push, syn_ack):
            sender.sendto(bytes([0] * 5 + [flags]), receiver.getsockname())
        receiver.settimeout(1)
        assert [receiver.recv(6)[5] for _ in range(3)] == [ack, push, syn_ack]


TOO_LONG = b"GET /" + 70_000 * b"x" + b" HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status", "cause"),
    [
        (b"GARBAGE\r\n\r\n", 400, "no request: Invalid method encountered"),
        (TOO_LONG, 400, "no request: url is too long: url length of 70001 bytes"),
        (b"GET / HT", 408, "no request: not a whole request within 30 seconds"),
        (HEAD + b"ab", 408, "a connection is closed: not a whole request within 30 seconds"),
    ],
    ids=["no HTTP", "too long", "half a head", "half a body"],
)
def test_the_log_says_why_a_connection_is_closed(caplog, sent, status, cause):
    async def main() -> None:
        connection, reader, writer = await connected()
        writer.write(sent)
        while connection.receiving_since is None:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        connection.close_if_late(connection.loop.time() + connections.RECEIVE_SECONDS + 1)
        assert (await reader.read()).startswith(b"HTTP/1.1 %d" % status)
        writer.close()

    with caplog.at_level("INFO"):
        asyncio.run(main())
    (said,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert said.getMessage().startswith(cause)
    # where a head has arrived, the request is logged with the status
    assert getattr(said, "status", None) == (None if sent.startswith(HEAD) else status)


@pytest.mark.parametrize("path", ["/predict", "/v2/models/m/infer", "/v2/models/m"])
def test_a_request_that_takes_too_long_is_counted_and_logged_with_its_status(caplog, path):
    state = SimpleNamespace(
        metrics=Metrics(), logs_requests=True, token=None, max_body=1000, bodies=Bodies(1000),
        repository=SimpleNamespace(get=lambda *_: None),
        batcher=SimpleNamespace(check_room=lambda: None, cancel=lambda _job: None),
    )  # fmt: skip

    async def main() -> None:
        connection, reader, writer = await connected(Application(state, app))
        writer.write(HEAD.replace(b"/", path.encode(), 1) + b"ab")
        async with asyncio.timeout(5):
            while connection.cycle is None:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        connection.close_if_late(connection.loop.time() + connections.RECEIVE_SECONDS + 1)
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        await asyncio.sleep(0.05)
        writer.close()

    with caplog.at_level("INFO", "lookbook.serving"):
        asyncio.run(main())
    (said,) = [record for record in caplog.records if hasattr(record, "route")]
    assert (said.getMessage(), said.status) == (f"POST {path}", 408)
    assert 'status="408"' in state.metrics.write(0).decode()


def test_what_is_no_http_is_refused_as_all_errors_are():
    async def main() -> None:
        _, reader, writer = await connected()
        writer.write(b"GARBAGE\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert b"application/json" in head
        assert json.loads(body) == {"error": connections._EXPECTED}
        writer.close()

    asyncio.run(main())


def test_who_sends_requests_and_reads_no_answer_takes_no_more_memory():
    """After each answer uvicorn reads on, though others wait, as long as answers can be sent."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

    async def main() -> None:
        connection, _, writer = await connected()
        most = 0
        for _ in range(200):
            writer.write(request * 500)
            await asyncio.sleep(0.002)
            most = max(most, len(connection.pipeline))
        assert 0 < most <= (1 << 18) // len(request) + 1  # what is read from a socket at once
        writer.close()
        connection.transport.abort()

    asyncio.run(main())


def test_an_upgrade_beside_a_body_is_refused_and_one_without_is_not_taken():
    upgrade = b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"

    async def answer_to(sent: bytes) -> bytes:
        _, reader, writer = await connected()
        writer.write(sent)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()
        return head + await asyncio.wait_for(reader.read(200), 5)

    async def main() -> None:
        said = await answer_to(b"POST / HTTP/1.1\r\n" + upgrade + b"Content-Length: 3\r\n\r\nabc")
        assert said.startswith(b"HTTP/1.1 400")
        assert b"expected no Upgrade beside a body" in said
        said = await answer_to(b"GET / HTTP/1.1\r\n" + upgrade + b"\r\n")
        assert said.startswith(b"HTTP/1.1 200")

    asyncio.run(main())
