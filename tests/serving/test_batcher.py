"""Batches of what waits, with a bound that holds exactly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from lookbook.inference.model import Outputs
from lookbook.inference.thresholds import Thresholds
from lookbook.serving.batcher import Batcher
from lookbook.serving.metrics import Metrics
from lookbook.serving.refusals import Refusal


@dataclass
class Echo:
    """A model whose answer is the image; it waits to be let go, where it is told to."""

    name: str = "echo"
    version: str = "1"
    max_batch: int = 4
    gate: threading.Event = field(default_factory=threading.Event)
    is_asked: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)
    fails: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def model(self) -> Echo:
        return self

    def predict(self, images: np.ndarray) -> Outputs:
        self.is_asked.set()
        self.gate.wait(20)
        self.sizes.append(len(images))
        if self.fails:
            raise ValueError("broken")
        values = images.astype(np.float32).reshape(len(images), -1)
        return Outputs(values, values, values[:, 0])


def numbered(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint8).reshape(-1, 1, 1)


def run(test: Callable[[Batcher], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        batcher = Batcher(
            asyncio.get_running_loop(), settings.pop("max_queue", 8), Metrics(), **settings
        )
        await test(batcher)
        batcher.close()
        assert batcher.n_images == 0

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError


def test_what_waits_while_one_is_in_work_goes_together_and_each_gets_its_own():
    echo = Echo()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(echo, numbered(7)))
        await until(echo.is_asked.is_set)
        others = [asyncio.create_task(batcher.answer(echo, numbered(i, i + 1))) for i in (0, 2, 4)]
        await asyncio.sleep(0)
        assert batcher.n_images == 7
        echo.gate.set()
        assert (await first).novelty.tolist() == [7]
        assert [(await each).novelty.tolist() for each in others] == [[0, 1], [2, 3], [4, 5]]
        assert echo.sizes == [1, 4, 2]  # never above max_batch

    run(ask)


@pytest.mark.parametrize("threads", [0, 1])
def test_what_waits_at_the_end_is_left(threads):
    echo = Echo(max_batch=1)

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        batcher = Batcher(loop, 8, Metrics(), threads)
        for i in range(8):
            batcher.submit(echo, numbered(i), lambda _job: None)
        if threads:
            await until(echo.is_asked.is_set)
        threading.Timer(0.2, echo.gate.set).start()  # after `close` has begun
        batcher.close()

    asyncio.run(ask())
    assert len(echo.sizes) <= threads


def test_a_large_request_is_parted_and_comes_back_whole_whatever_ends_first():
    echo = Echo(max_batch=3)
    echo.gate.set()

    async def ask(batcher: Batcher) -> None:
        outputs = await batcher.answer(echo, numbered(*range(40)))
        assert outputs.novelty.tolist() == [*range(40)]
        assert max(echo.sizes) == 3

    run(ask, max_queue=40, threads=3)


def test_the_loop_itself_computes_where_there_are_no_threads():
    echo = Echo(max_batch=3)
    echo.gate.set()

    async def ask(batcher: Batcher) -> None:
        asked = [asyncio.create_task(batcher.answer(echo, numbered(i))) for i in range(8)]
        await asyncio.sleep(0)
        asked[1].cancel()
        with pytest.raises(Refusal):
            await batcher.answer(echo, numbered(1, 2))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        del answers[1]
        assert [each.novelty.tolist() for each in answers] == [[i] for i in (0, *range(2, 8))]
        assert max(echo.sizes) == 3
        echo.fails = True
        with pytest.raises(ValueError, match="broken"):
            await batcher.answer(echo, numbered(*range(8)))

    run(ask, threads=0)


def test_of_a_long_queue_several_batches_are_computed_before_connections_are_looked_at():
    echo = Echo(max_batch=2)
    echo.gate.set()
    looks: list[int] = []

    async def ask(batcher: Batcher) -> None:
        asked = [asyncio.create_task(batcher.answer(echo, numbered(i))) for i in range(8)]
        await asyncio.sleep(0)
        while not all(each.done() for each in asked):
            await asyncio.sleep(0)
            looks.append(len(echo.sizes))

    run(ask, threads=0)
    # two batches until half of the queue's eight is left, then one a look
    assert [*dict.fromkeys(looks)] == [2, 3, 4]


def test_the_bound_is_exact():
    echo = Echo()

    async def ask(batcher: Batcher) -> None:
        waiting = [asyncio.create_task(batcher.answer(echo, numbered(i))) for i in range(8)]
        await until(lambda: batcher.n_images == 8)
        with pytest.raises(Refusal) as refused:
            await batcher.answer(echo, numbered(9))
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
        with pytest.raises(Refusal) as refused:
            await batcher.answer(echo, numbered(*range(9)))
        assert refused.value.status == 413  # however empty the queue
        echo.gate.set()
        assert [(await each).novelty.tolist() for each in waiting] == [[i] for i in range(8)]
        await batcher.answer(echo, numbered(9))

    run(ask)


def test_cancelled_requests_leave_the_queue_and_are_not_computed():
    echo = Echo()

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(echo, numbered(0)))
        await until(echo.is_asked.is_set)
        waiting = [asyncio.create_task(batcher.answer(echo, numbered(i))) for i in range(1, 8)]
        await until(lambda: batcher.n_images == 8)
        for each in waiting[:6]:
            each.cancel()
        await until(lambda: batcher.n_images == 2)
        echo.gate.set()
        assert (await waiting[6]).novelty.tolist() == [7]
        assert (await first).novelty.tolist() == [0]
        assert echo.sizes == [1, 1]

    run(ask)


def test_what_a_model_raises_is_told_to_all_of_the_batch_and_the_next_is_answered():
    echo = Echo(fails=True)
    echo.gate.set()

    async def ask(batcher: Batcher) -> None:
        with pytest.raises(ValueError, match="broken"):
            await batcher.answer(echo, numbered(*range(8)))
        echo.fails = False
        assert (await batcher.answer(echo, numbered(1))).novelty.tolist() == [1]

    run(ask)


def test_models_do_not_mix_and_the_one_that_waits_longest_is_first():
    one, two = Echo("one"), Echo("two")

    async def ask(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(one, numbered(0)))
        await until(one.is_asked.is_set)
        asked = [
            asyncio.create_task(batcher.answer(model, numbered(i)))
            for i, model in enumerate((two, one, two, one))
        ]
        await until(lambda: batcher.n_images == 5)
        two.gate.set()
        one.gate.set()
        await asyncio.gather(first, *asked)
        assert (one.sizes, two.sizes) == ([1, 2], [2])

    run(ask)


def test_room_that_is_kept_counts_until_it_is_given_back():
    async def ask(batcher: Batcher) -> None:
        with batcher.room_for(8), pytest.raises(Refusal):
            batcher.check_room()
        batcher.check_room(8)

    run(ask)
