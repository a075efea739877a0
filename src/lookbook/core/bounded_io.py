"""Bounded reading: so many bytes, in so many calls, and no more."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

#: bytes that are read at once
BLOCK = 2**20
UNBOUNDED = 2**62


class BoundedFile(io.BufferedReader):
    """A file for readers that trust what it says: what they may ask of it ends.

    Parameters
    ----------
    path
        The file.
    calls, room
        How many times it may be read from, and how many bytes in all; both can be changed later.
    """

    def __init__(self, path: Path, calls: int = UNBOUNDED, room: int = UNBOUNDED) -> None:
        super().__init__(io.FileIO(path))
        self.calls, self.room = calls, room
        self._length = os.fstat(self.fileno()).st_size

    def restart(self, calls: int = UNBOUNDED, room: int = UNBOUNDED) -> None:
        """Go back to its start, with other bounds."""
        self.seek(0)
        self.calls, self.room = calls, room

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises
        ------
        ValueError
            That was too much.
        """
        asked = self._length if size is None or size < 0 else min(size, self._length)
        # memory for all that is asked is taken at once: no more than the file has, and one too many
        content = super().read(min(asked, self.room + 1))
        self.calls -= 1
        self.room -= len(content)
        if self.calls < 0 or self.room < 0:
            raise ValueError("it would take too long to read")
        return content


def fill(content: UInt8[np.ndarray, "N"], file: io.BufferedIOBase) -> int:
    """Fill an array with the next bytes of a file; return how many there were.

    No memory is taken beyond that of the bytes that are there, whatever the array's size.
    """
    view, place = content.data, 0
    while n := file.readinto(view[place : place + BLOCK]):
        place += n
    return place
