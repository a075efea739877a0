"""Bounded reading: so many bytes, in so many calls, and no more."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

#: bytes that are read at once
BLOCK = 2**20
UNBOUNDED = 2**62


class NamedBytes(NamedTuple):
    """The bytes of a file that lies nowhere, with its name; it is read as a path is."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return self.name

    def is_file(self) -> bool:
        """Say that it is there, as a path does."""
        return True

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Open it for reading, as a path does."""
        del mode
        return io.BytesIO(self.content)


class BoundedFile(io.BufferedReader):
    """A file for readers that trust what it says: what they may ask of it ends.

    Parameters
    ----------
    path
        The file, or its bytes.
    calls, room
        How many times it may be read from, and how many bytes in all; both can be changed later.
    """

    def __init__(
        self, path: Path | NamedBytes, calls: int = UNBOUNDED, room: int = UNBOUNDED
    ) -> None:
        if isinstance(path, NamedBytes):
            super().__init__(path.open())
            self.length = len(path.content)
        else:
            super().__init__(io.FileIO(path))
            self.length = os.fstat(self.fileno()).st_size
        self.calls, self.room = calls, room

    def restart(self, calls: int = UNBOUNDED, room: int = UNBOUNDED) -> None:
        """Go back to its start, with other bounds."""
        self.seek(0)
        self.calls, self.room = calls, room

    def free(self) -> None:
        """Have no bounds from now on, which read in Python: 1 µs each time."""
        self.read = super().read  # type: ignore[method-assign]

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises
        ------
        ValueError
            That was too much.
        """
        asked = self.length if size is None or size < 0 else min(size, self.length)
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
