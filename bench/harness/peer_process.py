"""Start a peer's script in an environment of its own, and read the one JSON line it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "bench" / "peers"
#: environments and the exported data; git ignores it
SCRATCH = ROOT / ".bench"


@dataclass(frozen=True)
class Peer:
    """One entry of a table: a script, and the environment that it runs in."""

    name: str
    #: what it is, for the reader of the table
    about: str
    #: file in `bench/peers/`
    script: str
    #: what pip installs, pinned; peers with the same environment have the same requirements
    requirements: tuple[str, ...] = ()
    #: folder in `.bench/`; None for the project's own environment
    environment: str | None = None
    #: what the script takes besides data, seed and number of images
    arguments: tuple[str, ...] = ()
    #: seeds at most, for what takes minutes a seed; None for as many as are asked for
    seeds: int | None = None
    #: whether it is lookbook that is measured
    ours: bool = False


TENSORFLOW = ("tensorflow==2.21.0", "keras==3.15.1", "numpy==2.4.6")
#: the peer that all times are measured by, and whose environment all that needs Keras runs in
KERAS = Peer(
    name="keras-tensorflow",
    about="the tutorial's script, Keras on TensorFlow",
    script="keras_example.py",
    requirements=TENSORFLOW,
    environment="keras-tensorflow",
    arguments=("--example", "tutorial", "--backend", "tensorflow"),
)


class PeerError(Exception):
    """A peer could not be set up, or did not measure anything."""


def set_up(peer: Peer, scratch: Path = SCRATCH) -> Path:
    """Return the Python that runs a peer, from an environment that is made where it is missing.

    Raises
    ------
    PeerError
        The environment cannot be made; the message is what pip said last.
    """
    if peer.environment is None:
        return Path(sys.executable)
    folder = scratch / peer.environment
    python = folder / "bin" / "python"
    # written last: an environment without it was not finished, one with other pins is outdated
    finished = folder / "requirements.txt"
    wanted = "\n".join(peer.requirements) + "\n"
    if finished.exists() and finished.read_text() == wanted:
        return python
    say(f"{peer.name}: installing {', '.join(peer.requirements)} into {folder}")
    output_of([sys.executable, "-m", "venv", "--clear", str(folder)])
    output_of([str(python), "-m", "pip", "install", "--quiet", *peer.requirements])
    finished.write_text(wanted)
    return python


def output_of(command: list[str]) -> str:
    """Return what a command prints.

    Raises
    ------
    PeerError
        It failed; the message is the end of what it complained.
    """
    environment = {
        **os.environ,
        # what matters of a complaint is its end: no hint at newer versions of pip, and not the
        # dozen lines that TensorFlow tells of its start
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ended.returncode != 0:
        complaint = ended.stderr.strip().splitlines()[-15:]
        raise PeerError("\n".join(complaint) or f"ended with exit code {ended.returncode}")
    return ended.stdout


def parse(printed: str, required: set[str]) -> dict[str, Any]:
    """Return the one JSON line that a script printed.

    Raises
    ------
    PeerError
        It printed something else, or the line lacks something that is required.
    """
    try:
        (line,) = printed.splitlines()
        found = dict(json.loads(line))
    except (ValueError, TypeError) as error:
        raise PeerError(f"expected one line with a JSON object, got {printed[:80]!r}") from error
    if missing := required - found.keys():
        raise PeerError(f"the JSON line lacks {', '.join(sorted(missing))}")
    return found


def say(message: str) -> None:
    """Tell on stderr how far the work is."""
    print(message, file=sys.stderr, flush=True)
