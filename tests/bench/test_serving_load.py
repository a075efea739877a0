"""The load generator counts every answer, notices what is lost, and keeps the pace that is set."""

import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from bench.serving import requests
from bench.serving.load import Clients, whole_answer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
FULL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi"
ASKED = [requests.post("/a", b"1"), requests.post("/a", b"2")]


@contextmanager
def serving(answer):
    """Answer each request of each connection with what `answer(connection, number)` says."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    seen = []

    def talk(peer, place):
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a half waits 40 ms
            for number in range(10**9):
                data = b""
                while not data.endswith((b"\r\n\r\n1", b"\r\n\r\n2")):
                    if not (more := peer.recv(4096)):
                        return
                    data += more
                seen.append(data[-1:])
                said = answer(place, number)
                if said is None:
                    return
                half = len(said) // 2  # in two parts, as it may come
                peer.sendall(said[:half])
                peer.sendall(said[half:])
                if said is LAST:
                    return

    def listen():
        for place in range(10**9):
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(peer, place), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield listener, seen
    finally:
        listener.close()


def load_of(answer, n, **how):
    with serving(answer) as (listener, seen):
        clients = Clients(listener.getsockname(), ASKED, n)
        load = clients.closed(5, **how)
        clients.close()
    return load, seen


def test_every_answer_is_counted_and_requests_take_turns():
    load, seen = load_of(lambda *_: OK, 3, most=30)
    assert load.statuses == {200: 30}
    assert len(load.latencies) == 30 == sum(load.answers)
    assert seen.count(b"1") == seen.count(b"2") == 15
    assert load.lost == []
    assert load.rate == pytest.approx(30 / load.seconds)


def test_what_settles_is_not_counted():
    with serving(lambda *_: OK) as (listener, seen):
        looked = []
        clients = Clients(listener.getsockname(), ASKED, 4, lambda *each: looked.append(each))
        clients.settle()
        assert len(seen) == 4
        load = clients.closed(most=8)
        clients.close()
    assert load.statuses == {200: 8}
    assert sum(load.answers) == 8 == len(looked)


def test_refusals_are_no_answers():
    load, _ = load_of(lambda _, number: OK if number % 2 else FULL, 1, most=20)
    assert load.statuses == {200: 10, 429: 10}
    assert len(load.latencies) == 10


def test_a_connection_that_starves_is_seen():
    def slow(place, _):
        if place == 0:
            time.sleep(0.05)
        return OK

    load, _ = load_of(slow, 4, most=400)
    assert load.least_share < 0.5


def test_a_request_without_its_answer_is_lost():
    load, _ = load_of(lambda _, number: OK if number < 3 else None, 1, most=8)
    assert load.statuses == {200: 6}
    assert len(load.lost) == 2


def test_an_answer_that_closes_its_connection_loses_nothing():
    load, _ = load_of(lambda _, number: LAST if number == 1 else OK, 2, most=20)
    assert load.statuses == {200: 20}
    assert load.lost == []


def test_it_ends_once_nobody_listens():
    def stop(*_):
        listener.shutdown(socket.SHUT_RDWR)  # a close alone would leave the thread that accepts
        return LAST

    with serving(stop) as (listener, _):
        clients = Clients(listener.getsockname(), ASKED, 1)
        load = clients.closed(5)
        clients.close()
    assert load.refused
    assert load.statuses == {200: 1}
    assert load.seconds < 4


def test_a_pace_is_kept_and_latencies_count_from_when_a_request_was_due():
    with serving(lambda *_: (time.sleep(0.05), OK)[1]) as (listener, _):
        clients = Clients(listener.getsockname(), ASKED, 1)
        load = clients.paced(40, 0.5)  # one connection answers 20 a second
        clients.close()
    assert load.late >= 5
    assert load.latencies[-1] > 0.1
    with serving(lambda *_: OK) as (listener, _):
        clients = Clients(listener.getsockname(), ASKED, 8)
        load = clients.paced(100, 0.5)
        clients.close()
    assert 40 <= load.statuses[200] <= 51
    with serving(lambda *_: OK) as (listener, _):
        clients = Clients(listener.getsockname(), ASKED, 8)
        load = clients.paced(100, most=20)
        clients.close()
    assert load.statuses == {200: 20}
    assert load.seconds >= 0.18
    with serving(lambda *_: OK) as (listener, _):
        clients = Clients(listener.getsockname(), ASKED, 1)
        load = clients.paced(4, most=2)  # the first is due at once, and sent then
        clients.close()
    assert min(load.latencies) < 0.1


def test_an_answer_without_its_length_is_no_answer():
    with pytest.raises(ValueError, match="without Content-Length"):
        whole_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert whole_answer(LAST) == (200, b"hi", True)


# ---- requests ----

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def test_requests_are_what_the_protocol_says():
    head, body = requests.in_json(IMAGES, "/v2/models/m/infer").split(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b'"shape":[2,3,4]' in body
    assert b'"outputs":[{"name":"probs"}]' in body
    head, body = requests.in_binary(IMAGES, "/v2", ("a", "b")).split(b"\r\n\r\n", 1)
    (line,) = (line for line in head.split(b"\r\n") if line.startswith(b"Inference-Header"))
    length = int(line.split(b":")[1])
    assert body[length:] == IMAGES.tobytes()
    assert body[:length].count(b'{"binary_data":true}') == 2


def test_tensors_of_an_answer_are_what_follows_its_json():
    assert requests.tensors_of(b'{"a": "}"}\x00}\xff') == b"\x00}\xff"
