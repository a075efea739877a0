"""Start the program as a user does, without its imports: a server that has them forks.

The child has its own folder, environment, output and exit code, and runs `lookbook.__main__`; what
it saves are the seconds in which every process would import torch anew.
"""

from __future__ import annotations

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

#: what a call would import anew
NEEDED = (
    "lookbook.cli.main",
    "lookbook.exports.bundle",
    "lookbook.exports.web_demo",
    "lookbook.reports.figures",
    "lookbook.reports.page",
    "lookbook.training.pipeline",
    "onnxruntime",
    "torch.onnx",
)
#: of the terminal, for all that is printed
WIDTH = {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}


def call(
    arguments: list[str], cwd: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run `lookbook` with these arguments; return its exit code and what it printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        asked = {"arguments": arguments, "cwd": str(cwd), "environment": environment}
        asked["outputs"] = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in (out, err)]
        server = _server()
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


@cache
def _server() -> subprocess.Popen[str]:
    """Start the server, once in a process of tests."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | WIDTH,
    )
    atexit.register(server.kill)
    return server


def _serve() -> None:
    for name in NEEDED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(asked)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _become(asked: dict[str, Any]) -> None:
    """Be the program, in a child that ends with it."""
    code: Any = 1
    for number, path in enumerate([os.devnull, *asked["outputs"]]):
        os.dup2(os.open(path, os.O_RDWR), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["lookbook", *asked["arguments"]]
    try:
        runpy.run_module("lookbook", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  # as the interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    _serve()
