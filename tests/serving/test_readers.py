"""Uploaded files are read by processes, of which one may end."""

from __future__ import annotations

import asyncio
import errno
import io
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lookbook.core.bounded_io import NamedBytes
from lookbook.errors import InputError
from lookbook.images.specification import Preprocessing
from lookbook.images.workers import Worker
from lookbook.serving import readers
from lookbook.serving.readers import Readers
from lookbook.serving.refusals import Refusal

STEPS = Preprocessing.of((12, 10), "mixed")
pytestmark = pytest.mark.slow


def named(name: str, level: int) -> NamedBytes:
    file = io.BytesIO()
    Image.new("L", (10, 12), level).save(file, "PNG")
    return NamedBytes(name, file.getvalue())


FILES = [named(f"{i}.png", i) for i in range(40)]


def read(made: Readers, files: list[NamedBytes]) -> list:
    async def main() -> list:
        together = await asyncio.gather(*(made.read([each], STEPS) for each in files))
        return [one for listed in together for one in listed]

    return asyncio.run(main())


def test_each_file_gets_its_own_image_or_its_own_error():
    made = Readers(2)
    files = [*FILES, NamedBytes("bad.png", FILES[0].content[:50])]
    found = read(made, files[::-1])[::-1]
    assert [each.source for each in found] == [each.name for each in files]
    assert isinstance(found.pop(), InputError)
    assert [int(each.image[0, 0]) for each in found] == [*range(40)]
    made.close()
    assert made._reading == {}


def test_small_files_are_read_in_the_loop_with_the_same_images_and_errors(monkeypatch):
    broken, wide = NamedBytes("bad.png", FILES[0].content[:50]), io.BytesIO()
    Image.new("L", (3000, 2000), 9).save(wide, "PNG")
    long = NamedBytes("long.png", FILES[1].content + bytes(readers.SMALL_FILE))
    files = [*FILES[:5], broken, NamedBytes("wide.png", wide.getvalue()), long]
    by_processes = Readers(1)
    expected = read(by_processes, files)
    by_processes.close()
    given = []
    whole = Worker.read

    def count(worker: Worker, request):
        given.extend(each.name for each in request.paths)
        return whole(worker, request)

    monkeypatch.setattr(Worker, "read", count)
    made = Readers(1, reads_small=True)
    found = read(made, files)
    made.close()
    assert sorted(given) == ["long.png", "wide.png"]
    for here, there in zip(found, expected, strict=True):
        assert here.source == there.source
        assert str(here) == str(there)
        if not isinstance(here, InputError):
            assert np.array_equal(here.image, there.image)


def test_of_files_read_together_only_the_one_that_ends_its_process_has_no_answer(monkeypatch):
    whole = Worker.read

    def deadly(worker: Worker, request):
        if any(each.name == "7.png" for each in request.paths):
            worker.kill()
        return whole(worker, request)

    monkeypatch.setattr(Worker, "read", deadly)
    made = Readers(1)
    found = read(made, FILES)
    made.close()
    errors = [each for each in found if isinstance(each, InputError)]
    assert [each.source for each in errors] == ["7.png"]
    assert "takes too much time or memory" in str(errors[0])
    assert len(found) == 40


def test_a_process_that_reads_for_too_long_is_ended(monkeypatch):
    monkeypatch.setattr(readers, "SECONDS", 0.0)
    made = Readers(1)
    whole = Worker.read

    def slow(worker: Worker, request):
        made.end_late(time.monotonic() + 1)
        return whole(worker, request)

    monkeypatch.setattr(Worker, "read", slow)
    (found,) = read(made, [FILES[0]])
    assert isinstance(found, InputError)
    monkeypatch.setattr(Worker, "read", whole)
    (found,) = read(made, [FILES[3]])
    assert np.array_equal(found.image, np.full((12, 10), 3))
    made.close()


@pytest.fixture
def blocked(monkeypatch) -> tuple[threading.Event, list[str]]:
    """Have processes wait until the event; names of the files that they were given."""
    go_on, given, whole = threading.Event(), [], Worker.read

    def wait(worker: Worker, request):
        given.extend(each.name for each in request.paths)
        go_on.wait(20)
        return whole(worker, request)

    monkeypatch.setattr(Worker, "read", wait)
    return go_on, given


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


def test_files_whose_client_has_gone_leave_the_queue(blocked, monkeypatch):
    go_on, given = blocked
    monkeypatch.setattr(readers, "MOST", 1)
    made = Readers(1)

    async def main() -> None:
        leaving = asyncio.create_task(made.read(FILES[:5], STEPS))
        await until(lambda: given)
        staying = asyncio.create_task(made.read(FILES[30:32], STEPS))
        await until(lambda: made._given.qsize() == 4 + 2)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        assert made._given.qsize() == 2
        go_on.set()
        found = await staying
        assert [int(each.image[0, 0]) for each in found] == [30, 31]
        made.close()

    asyncio.run(main())
    assert given == ["0.png", "30.png", "31.png"]


def hang(worker: Worker, request) -> None:
    """Read for as long as the process is there."""
    del request
    with pytest.raises(EOFError):
        worker.receive()


def test_a_process_that_reads_for_nobody_is_ended_soon(monkeypatch):
    whole = Worker.read
    monkeypatch.setattr(Worker, "read", hang)
    made = Readers(1)

    async def main() -> None:
        leaving = asyncio.create_task(made.read(FILES[:1], STEPS))
        await until(lambda: any(made._reading.values()))
        soon = time.monotonic() + readers.UNHEARD_SECONDS + 1
        made.end_late(soon)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert any(made._reading.values())  # somebody waited for it
        monkeypatch.setattr(Worker, "read", whole)
        made.end_late(soon)
        async with asyncio.timeout(20):
            (found,) = await made.read(FILES[3:4], STEPS)
        assert found.image[0, 0] == 3
        made.close()

    asyncio.run(main())


def test_at_the_end_what_waits_and_what_is_read_is_left(monkeypatch):
    monkeypatch.setattr(Worker, "read", hang)
    made = Readers(1)

    async def main() -> None:
        reading = asyncio.create_task(made.read(FILES, STEPS))
        await until(lambda: made._reading)
        closing = threading.Thread(target=made.close, daemon=True)
        closing.start()
        await until(lambda: not closing.is_alive())
        reading.cancel()

    asyncio.run(main())
    assert made._reading == {}


def test_a_process_that_starts_while_the_others_end_is_ended_too(monkeypatch):
    made = Readers(1)
    ends: list[threading.Thread] = []

    def start() -> Worker:
        ends.append(threading.Thread(target=made.close, daemon=True))
        ends[0].start()
        while not made._given.qsize():  # once `close` has seen that there are none, it says so
            time.sleep(0.01)
        return Worker()

    monkeypatch.setattr(readers, "Worker", start)
    monkeypatch.setattr(Worker, "read", hang)

    async def main() -> None:
        reading = asyncio.create_task(made.read(FILES[:1], STEPS))
        await until(lambda: ends and not ends[0].is_alive())
        reading.cancel()

    asyncio.run(main())


def test_where_no_process_can_be_started_the_request_is_refused_and_the_next_is_read(
    monkeypatch, caplog
):
    troubles = [OSError(errno.EMFILE, "Too many open files")]

    def start() -> Worker:
        if troubles:
            raise troubles.pop()
        return Worker()

    monkeypatch.setattr(readers, "Worker", start)
    made = Readers(1)

    async def main() -> None:
        async with asyncio.timeout(20):
            with pytest.raises(Refusal) as refused:
                await made.read(FILES[:1], STEPS)
            assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
            assert refused.value.reason.startswith("no process can be started")
            (found,) = await made.read(FILES[3:4], STEPS)
        assert found.image[0, 0] == 3
        made.close()

    asyncio.run(main())
    assert "Too many open files" in caplog.text
