"""Listeners: who hears how far a reading of images is, without being handed down to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: what hears how many images are done, of how many: first that none is, at last that all are
HearImages = Callable[[int, int], None]
_listener: ContextVar[HearImages | None] = ContextVar("listener", default=None)


@contextmanager
def listen(hear: HearImages) -> Iterator[None]:
    """Have a function hear of all images that are read in a block, instead of one around it.

    >>> with listen(lambda done, n: print(f"{done} of {n}")):
    ...     tell_images(2, 30)
    2 of 30
    >>> tell_images(3, 30)
    """
    before = _listener.set(hear)
    try:
        yield
    finally:
        _listener.reset(before)


def tell_images(done: int, n: int) -> None:
    """Tell how many images are done, if anybody listens."""
    hear = _listener.get()
    if hear is not None:
        hear(done, n)
