"""Bounded reading: as from any file, until it is too much."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookbook.core import bounded_io
from lookbook.core.bounded_io import BoundedFile, fill

CONTENT = bytes(range(256)) * 4
TOO_MUCH = "^it would take too long to read$"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "content"
    path.write_bytes(CONTENT)
    return path


@given(sizes=st.lists(st.one_of(st.none(), st.integers(-2, 700)), max_size=9))
def test_within_its_bounds_it_is_read_as_any_file(path, sizes):
    plain = io.BytesIO(CONTENT)
    with BoundedFile(path, calls=len(sizes), room=len(CONTENT)) as file:
        for size in sizes:
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=30), room=st.integers(0, 1024))
def test_no_more_bytes_are_given_than_there_is_room_for(path, sizes, room):
    with BoundedFile(path, room=room) as file:
        for done in np.cumsum(sizes):
            size = sizes.pop(0)
            if done > room:
                with pytest.raises(ValueError, match=TOO_MUCH):
                    file.read(size)
                break
            assert len(file.read(size)) == size


@pytest.mark.parametrize("size", [None, -1, 2**60])
def test_all_of_a_file_is_as_much_as_it_has_room_for(path, size):
    with BoundedFile(path, room=100) as file:
        with pytest.raises(ValueError, match=TOO_MUCH):
            file.read(size)
        assert file.tell() == 101  # and not the whole file, which may have any size
    with BoundedFile(path, room=len(CONTENT)) as file:
        assert file.read(size) == CONTENT


@pytest.mark.parametrize("size", [None, -1, 2**40, 2**62])
def test_what_a_header_announces_takes_no_memory(path, size):
    with BoundedFile(path) as file:
        assert file.read(1) == CONTENT[:1]
        assert file.read(size) == CONTENT[1:]


def test_so_many_calls_are_allowed_and_the_empty_ones_count(path):
    with BoundedFile(path, calls=3) as file:
        assert [file.read(0), file.read(2), file.read()] == [b"", CONTENT[:2], CONTENT[2:]]
        with pytest.raises(ValueError, match=TOO_MUCH):
            file.read(0)


def test_it_starts_again_with_other_bounds(path):
    with BoundedFile(path, calls=1, room=10) as file:
        assert file.read(10) == CONTENT[:10]
        file.restart(calls=1, room=4)
        assert file.read(4) == CONTENT[:4]
        with pytest.raises(ValueError, match=TOO_MUCH):
            file.read(1)
        file.restart()
        assert file.read() == CONTENT


class Sparing(io.BytesIO):
    """A file that gives few bytes at once, as a pipe may."""

    def readinto(self, buffer):
        return super().readinto(memoryview(buffer)[:7])


@pytest.mark.parametrize("kind", [io.BytesIO, Sparing])
@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 1023, 1024, 1025, 5000])
def test_an_array_is_filled_as_far_as_the_bytes_go(monkeypatch, kind, size):
    monkeypatch.setattr(bounded_io, "BLOCK", 256)
    content, file = np.full(size, 99, np.uint8), kind(CONTENT)
    n = fill(content, file)
    assert n == min(size, len(CONTENT))
    np.testing.assert_array_equal(content[:n], np.frombuffer(CONTENT[:n], np.uint8))
    assert (content[n:] == 99).all()  # no page of it is touched
    assert file.read() == CONTENT[n:]
