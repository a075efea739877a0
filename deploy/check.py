"""Run the Dockerfile's steps in an empty environment; say how large it is, and that it answers.

::

    python deploy/check.py RUN

It needs the network, or a package index of yours, and no container engine.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
#: where the image has its environment
PREFIX = "/opt/lookbook"
SECONDS = 60


def steps(dockerfile: str) -> list[list[str]]:
    r"""Return the commands that make the environment.

    >>> steps("RUN useradd a\nRUN /opt/lookbook/bin/pip install .")
    [['/opt/lookbook/bin/pip', 'install', '.']]
    """
    lines = re.findall(r"^RUN (.+)$", dockerfile, flags=re.MULTILINE)
    return [shlex.split(line) for line in lines if PREFIX in line]


def install(environment: Path) -> None:
    """Run the steps, with the environment in another place."""
    for step in steps((ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")):
        command = [word.replace(PREFIX, str(environment)) for word in step]
        command[0] = sys.executable if command[0] == "python" else command[0]
        subprocess.run(command, cwd=ROOT, check=True)


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def answers(environment: Path, run: str) -> bool:
    """Say whether a server of it answers, and ends when it is told to."""
    program = environment / "bin" / "lookbook"
    with subprocess.Popen([program, "serve", run, "--port", "18000"]) as server:
        try:
            return _is_ready()
        finally:
            server.send_signal(signal.SIGTERM)


def _is_ready() -> bool:
    for _ in range(SECONDS):
        try:
            with urlopen("http://127.0.0.1:18000/v2/health/ready") as answer:
                return bool(answer.status == 200)
        except URLError:
            time.sleep(1)
    return False


def main() -> int:
    """Install, measure, ask."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "lookbook"
        install(environment)
        if list(environment.glob("lib/*/site-packages/torch")):
            print("PyTorch is in it")
            return 1
        print(f"{size_of(environment) / 1e6:.0f} MB beside Python")
        os.environ.pop("PYTHONPATH", None)
        return 0 if answers(environment, sys.argv[1]) else 1


if __name__ == "__main__":
    sys.exit(main())
