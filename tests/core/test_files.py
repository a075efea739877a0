"""Files: what is said where one cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lookbook.core.files import cannot_write, write_bytes, write_document
from lookbook.errors import OutputError


@pytest.mark.parametrize(
    ("code", "argument", "remedy"),
    [
        (errno.ENOSPC, "figure", "make room or choose another place with `figure`"),
        (errno.EROFS, "figure", "choose another place with `figure`"),
        (errno.ENOSPC, None, "make room there"),
        (errno.EROFS, None, "allow writing there"),
    ],
)
def test_another_place_is_given_by_the_argument_that_named_it(code, argument, remedy):
    error = cannot_write(Path("x"), OSError(code, os.strerror(code)), argument=argument)
    assert str(error) == f"cannot write x: {os.strerror(code)}; {remedy}"


def test_of_a_run_s_own_files_nobody_chose_the_place():
    path = Path("/proc/nowhere/a.json")
    with pytest.raises(OutputError, match=r"No such file or directory; allow writing there$"):
        write_document(path, {})
    with pytest.raises(OutputError, match=r"; choose another place with `to`$"):
        write_bytes(path, b"", argument="to")


@pytest.mark.parametrize(
    ("code", "unchanged", "rest"),
    [
        (errno.ENOSPC, True, "nothing was changed; make room or choose another place with `out`"),
        (errno.EFBIG, False, "make room or choose another place with `out`"),
        (errno.EROFS, True, "nothing was changed; choose another place with `out`"),
        (errno.EACCES, False, "choose another place with `out`"),
    ],
)
def test_what_to_do_where_writing_failed(code, unchanged, rest):
    error = cannot_write(Path("x"), OSError(code, os.strerror(code)), unchanged=unchanged)
    assert str(error) == f"cannot write x: {os.strerror(code)}; {rest}"
