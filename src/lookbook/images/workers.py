"""Processes beside this one: those that read image files, and what any of them is.

Measured with 3,068 JPEGs of up to 192 pixels on two cores, as a ratio to one process: these 1.75;
two threads 1.1, as half of the time is Python's own, which one thread runs at a time; joblib 1.4,
as its processes take longer to start. Those of `multiprocessing` run the user's script a second
time or, forked, outlive a parent that is killed; these end with their input.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, cast

import msgspec
import numpy as np
import PIL

from lookbook.images.batch import Batch, Request

if TYPE_CHECKING:
    from types import TracebackType

#: where this package lies, and what it reads images with; of the user's own folders none, whose
#: modules may have the name of any other
FOLDERS = [str(Path(__file__).parents[2])]
FOLDERS += [str(Path(str(each.__file__)).parents[1]) for each in (msgspec, np, PIL)]
FOLDERS += [str(Path(str(spec.origin)).parents[1]) for spec in [find_spec("scipy")] if spec]
#: starting threads for linear algebra takes as long as all else; and memory that is given back
#: after each array and taken anew costs 6 ms, of 34, where a photograph is cut out (glibc)
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}
#: whatever is imported may write on standard output: what it writes is no answer
_PROGRAM = """
import os, sys
answers = os.dup(1)
os.dup2(2, 1)
sys.path += sys.argv[2:]
from importlib import import_module
import_module(sys.argv[1]).serve(answers)
"""


class Child:
    """A process that gets pickled objects, and sends others; it ends with its input.

    Parameters
    ----------
    module
        Its `serve` gets the number of the file that takes what is sent; what comes is on standard
        input.
    options, folders
        Options of Python, and where it finds modules beyond those that it has.

    Raises
    ------
    OSError
        No process can be started.
    """

    def __init__(self, module: str, options: Sequence[str], folders: Sequence[str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # Python itself
            [sys.executable, *options, *_flags(), "-c", _PROGRAM, module, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _ENVIRONMENT,
            start_new_session=True,  # Ctrl-C is for the process that started it
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def kill(self) -> None:
        """End it; whoever waits for an answer gets none."""
        self._process.kill()

    def send(self, message: object) -> None:
        """Give it an object.

        Raises
        ------
        OSError
            It is gone.
        """
        pickle.dump(message, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
        self._requests.flush()

    def receive(self) -> Any:
        """Return what it sends next.

        Raises
        ------
        Exception
            It is gone: half an answer may raise anything.
        """
        return pickle.load(self._answers)  # noqa: S301  # of our own process


class Worker(Child):
    """A process that reads image files, one request after the other.

    Raises
    ------
    OSError
        No process can be started.
    """

    def __init__(self) -> None:
        # what is installed is not looked for: it is told
        super().__init__("lookbook.images.batch", ("-I", "-S"), FOLDERS)

    def read(self, request: Request) -> Batch | None:
        """Return what is in the files, or None where the process is gone."""
        try:
            self.send(request)
            batch: Batch = self.receive()
        except Exception:  # noqa: BLE001  # half an answer may raise anything
            return None
        return batch


def _flags() -> list[str]:
    return ["-B"] if sys.dont_write_bytecode else []


def can_start() -> bool:
    """Say whether the running program is an interpreter, which runs another module on demand."""
    return Path(sys.executable or "").stem.startswith(("python", "pypy"))
