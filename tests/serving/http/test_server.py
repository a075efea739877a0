"""A server as it runs: every answer is right, bounds hold, and no request is lost at its end."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from conftest import lookbook
from lookbook.inference.model import Model
from served import Client, ask_all, inference, serving

RUN = "runs/bars-tutorial-1"
rng = np.random.default_rng(0)
IMAGES = [rng.integers(0, 256, (1 + i % 7, 12, 10), dtype=np.uint8) for i in range(60)]
REQUESTS = [inference(images) for images in IMAGES]


@pytest.fixture(scope="module", params=[False, True], ids=["all cores", "one core"])
def served(place, request):
    with serving(f"m={place / RUN}", "--max-queue", "64", on_one_core=request.param) as one:
        yield one


@pytest.fixture(scope="module")
def expected(place) -> list[list[list[float]]]:
    """What the model says of each image alone."""
    model = Model.open(place / RUN / "model.onnx").on_one_core()
    answers = []
    for images in IMAGES:
        alone = [model.predict(image[None]) for image in images]
        rows = zip(*alone, strict=True)
        answers.append([np.concatenate(each).ravel().tolist() for each in rows])
    return answers


@pytest.mark.slow
def test_every_answer_is_bit_by_bit_that_to_the_image_alone(served, expected):
    def check(i: int, status: int, body: bytes) -> None:
        if status == 200:
            outputs = json.loads(body)["outputs"]
            assert [each["data"] for each in outputs] == expected[i % len(expected)]

    clients = [Client(served.port, REQUESTS, check=check) for _ in range(8)]
    ask_all(clients, iter(range(4000)))
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) <= {200, 429}
    assert statuses[200] > 2000
    assert [client.lost for client in clients] == [[]] * 8
    answered = [client.statuses.total() for client in clients]
    assert min(answered) >= 0.8 * np.median(answered)


@pytest.mark.slow
def test_more_than_it_can_answer_is_refused_and_health_and_metrics_still_answer(place):
    with serving(f"m={place / RUN}", "--max-queue", "4", on_one_core=True) as served:
        clients = [Client(served.port, REQUESTS[:4]) for _ in range(40)]
        asking = threading.Thread(target=ask_all, args=(clients, iter(range(4000))))
        asking.start()
        with httpx.Client(base_url=served.url, timeout=10) as client:
            while asking.is_alive():
                assert client.get("/v2/health/ready").json() == {"ready": True}
                text = client.get("/metrics").text
                assert int(float(text.split("\nlookbook_queue_images ")[1].split()[0])) <= 4
        asking.join()
        statuses = sum((client.statuses for client in clients), Counter())
        assert set(statuses) == {200, 429}
        assert statuses.total() == 4000
        assert [lost for client in clients for lost in client.lost] == []


@pytest.mark.slow
def test_requests_are_logged_as_json_where_that_is_asked_for(place):
    with serving(f"m={place / RUN}", "--log-requests") as served:
        given = {"x-request-id": "abc"}
        body = REQUESTS[0].partition(b"\r\n\r\n")[2]
        assert httpx.post(f"{served.url}/v2/models/m/infer", content=body).status_code == 200
        assert httpx.get(f"{served.url}/v2/models/x?a=1", headers=given).status_code == 404
        assert served.end() == 0
    first, second = (json.loads(line) for line in served.said if '"request_id"' in line)
    assert (first["message"], first["route"]) == ("POST /v2/models/m/infer", "infer")
    assert (first["status"], first["level"]) == (200, "info")
    assert 0 < first["ms"] < 60_000
    del second["time"], second["ms"]
    assert second == {
        "level": "info", "logger": "lookbook.serving", "message": "GET /v2/models/x",
        "request_id": "abc", "route": "/v2/models/{name}", "status": 404,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2])
def test_what_has_arrived_is_answered_before_it_ends(place, n_workers):
    for attempt in range(2):
        with serving(f"m={place / RUN}", "--workers", str(n_workers)) as served:
            kept = [1, 3, 1000][attempt]
            clients = [Client(served.port, REQUESTS, kept) for _ in range(24)]
            asking = threading.Thread(target=ask_all, args=(clients, itertools.count()))
            asking.start()
            time.sleep(random.uniform(0.1, 0.8))
            start = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - start < 30
            asking.join(30)
            assert [lost for client in clients for lost in client.lost] == []
            assert all(client.statuses[200] for client in clients)


@pytest.mark.slow
def test_an_open_connection_is_answered_once_more_after_the_signal_and_then_closed(place):
    with serving(f"m={place / RUN}") as served:
        first, second = (socket.create_connection(("127.0.0.1", served.port)) for _ in range(2))
        first.sendall(REQUESTS[0])
        assert b"connection: close" not in _answer(first)
        served.process.terminate()
        time.sleep(0.3)
        # on the one that was used, and on one on which nothing was ever sent
        for connected in (first, second):
            connected.sendall(REQUESTS[1])
            head = _answer(connected)
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in head
            assert connected.recv(1) == b""
        assert served.process.wait(20) == 0


def _answer(connected: socket.socket) -> bytes:
    """Return the head of an answer, in small letters but for the first line; its body is read."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connected.recv(65536)
    head, _, body = content.partition(b"\r\n\r\n")
    line, _, headers = head.partition(b"\r\n")
    headers = headers.lower()
    length = int(headers.split(b"content-length: ")[1].split(b"\r")[0])
    while len(body) < length:
        body += connected.recv(65536)
    return line + b"\r\n" + headers


def _answers(connected: socket.socket, n: int) -> list[tuple[frozenset[bytes], bytes]]:
    """Return the lines of so many answers' heads, and their bodies."""
    content, answers = b"", []
    while len(answers) < n:
        head, blank, body = content.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0] or 0)
        if blank and len(body) >= length:
            answers.append((frozenset(head.split(b"\r\n")), body[:length]))
            content = body[length:]
        else:
            block = connected.recv(65536)
            assert block
            content += block
    return answers


def _ways(body: bytes, path: str = "/v2/models/m/infer") -> list[bytes]:
    """A request as it is answered by callbacks, and in ways that take a task."""
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\nx-request-id: 7\r\n".encode()
    packed = gzip.compress(body)
    return [
        head + b"content-length: %d\r\n\r\n" % len(body) + body,
        head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        head + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed,
    ]


@pytest.mark.slow
def test_short_requests_are_answered_as_all_others(served):
    right = REQUESTS[0].partition(b"\r\n\r\n")[2]
    for body, path, status in (
        (right, "/v2/models/m/infer", b" 200 "),
        (b"{", "/v2/models/m/infer", b" 400 "),
        (right, "/v2/models/other/infer", b" 404 "),
    ):
        ways = _ways(body, path)
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one:
            alone = []
            for way in ways:
                one.sendall(way)
                alone += _answers(one, 1)
            one.sendall(b"".join(ways + ways))  # one behind the other
            behind = _answers(one, 2 * len(ways))
        assert status in next(line for line in alone[0][0] if line.startswith(b"HTTP"))
        assert {*alone, *behind} == {alone[0]}


@pytest.mark.slow
def test_head_is_answered_as_get_without_the_body(served):
    for path in ("/", "/v2/health/ready", "/v2/models/m", "/metrics", "/nothing"):
        head, whole = (httpx.request(method, served.url + path) for method in ("HEAD", "GET"))
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert whole.content


@pytest.mark.slow
def test_it_listens_on_loopback_alone_and_gives_no_files_and_fetches_nothing(served):
    with pytest.raises(ConnectionRefusedError):  # all of 127.0.0.0/8 is this machine
        socket.create_connection(("127.0.0.2", served.port), timeout=5)
    for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/../model.onnx"):
        with socket.create_connection(("127.0.0.1", served.port)) as connected:
            connected.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert _answer(connected).startswith(b"HTTP/1.1 404")
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.3)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/a.png"
        for options in (
            {"params": {"url": address}, "json": {"url": address}},
            {"data": {"file": address, "url": address}},
            {"content": address, "headers": {"content-type": "image/png"}},
        ):
            answered = httpx.post(served.url + "/predict", **options)
            assert answered.status_code in {400, 415, 422}
            assert "error" in answered.json()
        with pytest.raises(TimeoutError):
            other.accept()


@pytest.mark.slow
def test_a_request_that_is_left_leaves_the_queue(place):
    with serving(f"m={place / RUN}", "--max-queue", "8") as served:
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", served.port)) as one:
                one.sendall(REQUESTS[6])
        with httpx.Client(base_url=served.url, timeout=10) as client:
            answered = client.post(
                "/v2/models/m/infer", content=REQUESTS[6].partition(b"\r\n\r\n")[2]
            )
            assert answered.status_code == 200
            text = client.get("/metrics").text
            assert 'lookbook_requests_total{route="infer",status="499"}' in text
            assert text.split("\nlookbook_queue_images ")[1].split()[0] == "0.0"


@pytest.mark.slow
def test_requests_one_behind_the_other_are_all_answered_after_the_signal(place):
    with serving(f"m={place / RUN}") as served:
        connected = socket.create_connection(("127.0.0.1", served.port))
        connected.sendall(b"".join(REQUESTS[:30]))
        served.process.terminate()
        content = b""
        while block := connected.recv(65536):
            content += block
        assert content.count(b"HTTP/1.1 200 OK") == 30
        assert served.process.wait(20) == 0


@pytest.mark.slow
def test_a_new_version_is_taken_without_a_lost_request(place, tmp_path):
    versions = tmp_path / "m"
    shutil.copytree(place / RUN, versions / "1")
    with serving(versions) as served:
        seen: set[str] = set()

        def check(_i: int, status: int, body: bytes) -> None:
            assert status == 200
            seen.add(json.loads(body)["model_version"])

        clients = [Client(served.port, REQUESTS[:3], check=check) for _ in range(4)]
        stopping = itertools.takewhile(lambda _i: seen != {"1", "2"}, itertools.count())
        asking = threading.Thread(target=ask_all, args=(clients, stopping))
        asking.start()
        time.sleep(0.3)
        shutil.copytree(place / RUN, versions / "2")
        asking.join(60)
        assert seen == {"1", "2"}
        assert [client.lost for client in clients] == [[]] * 4
        old = httpx.get(f"{served.url}/v2/models/m/versions/1")
        assert old.json()["versions"] == ["1", "2"]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(place):
    with serving(f"m={place / RUN}", "--workers", "2") as served:
        children = f"/proc/{served.process.pid}/task/{served.process.pid}/children"
        workers = _workers(children)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len({*_workers(children)} - {*workers}) < 1:
            time.sleep(0.2)
        time.sleep(1)
        for _ in range(20):
            assert httpx.get(f"{served.url}/v2/health/ready").status_code == 200
        assert "lookbook_requests_total" in httpx.get(f"{served.url}/metrics").text
        assert served.end() == 0


def _workers(children: str) -> list[int]:
    """Return the processes that serve; Python's own beside them watches what they share."""
    numbers = [int(each) for each in Path(children).read_text().split()]
    return [one for one in numbers if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nothing"], "no run nothing"),
        ([f"a={RUN}", f"a={RUN}"], "two models are called 'a'"),
        ([RUN, "--token-file", "none"], "the token file none cannot be read"),
        ([RUN, "--host", "no.such.host.invalid"], "no host 'no.such.host.invalid'"),
        (
            [RUN, "--host", "203.0.113.1"],
            "cannot listen on 203.0.113.1: it is no address of this machine; choose another --host",
        ),
        ([RUN, "--port", "70000"], "--port"),
        ([RUN, "--port", "a"], "--port"),
        ([RUN, "--workers", "0"], "--workers"),
    ],
)
def test_wrong_use_is_said_in_one_sentence(place, arguments, expected):
    ended = lookbook("serve", *arguments, cwd=place)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_said(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = lookbook("serve", RUN, "--port", str(port), cwd=place)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"error: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another "
        "--port\n"
    )
