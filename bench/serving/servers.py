"""Servers that are measured, each on one core: how they are started, found ready and ended."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.harness import peer_process
from bench.harness.peer_process import SCRIPTS, Peer, PeerError
from bench.serving.load import Address

#: name of the model on every server
MODEL = "m"
#: seconds until a server must be ready, and until it must have ended
START, END = 60.0, 40.0

LOOKBOOK = Peer("lookbook", "`lookbook serve`, one worker", "", ours=True)
MLSERVER = Peer(
    "MLServer",
    "without parallel workers; checks of inputs are left to its runtime, which has none here",
    "mlserver_onnx.py",
    # its parallel workers fail with later versions of uvloop
    requirements=("mlserver==1.7.1", "uvloop==0.21.0", "onnxruntime==1.32.0"),
    environment="mlserver",
)
FASTAPI = Peer(
    "FastAPI",
    "a plain handler: JSON to numpy to the session, on uvicorn",
    "fastapi_onnx.py",
    requirements=("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "onnxruntime==1.32.0"),
    environment="fastapi",
)
SERVERS = (LOOKBOOK, MLSERVER, FASTAPI)


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    address: Address

    def memory(self) -> int:
        """Return the bytes in memory of its process and of those that it started."""
        return sum(_resident(pid) for pid in _family(self.process.pid))

    def stop(self) -> int:
        """End it as a service manager does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END)


@contextmanager
def running(server: Peer, model: Path, core: int, *options: str) -> Iterator[Running]:
    """Start a server of a model file, or of what `lookbook serve` takes, on that core.

    Raises
    ------
    PeerError
        It was not ready in time; the message is the end of what it wrote.
    """
    with tempfile.TemporaryDirectory() as scratch, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command, environment = _command(server, model, port, Path(scratch))
        with (Path(scratch) / "log").open("wb") as log:
            process = subprocess.Popen(
                [*kept_to(core), *command, *options],
                stdout=log,
                stderr=log,
                env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"} | environment,
            )
        try:
            found = Running(process, ("127.0.0.1", port))
            if not _is_ready(found):
                said = (Path(scratch) / "log").read_text(errors="replace")
                code = process.poll()
                raise PeerError(f"{server.name} did not become ready ({code=}): {said[-2000:]}")
            yield found
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _command(
    server: Peer, model: Path, port: int, scratch: Path
) -> tuple[list[str], dict[str, str]]:
    """Return the command that serves, and what its environment holds beside ours."""
    if server.ours:
        lookbook = Path(sys.executable).with_name("lookbook")
        return [str(lookbook), "serve", f"{MODEL}={model}", "--port", str(port)], {}
    python = str(peer_process.set_up(server))
    script = SCRIPTS / server.script
    if server is MLSERVER:
        _write_settings(scratch, model, port)
        program = str(Path(python).with_name("mlserver"))
        return [program, "start", str(scratch)], {"PYTHONPATH": str(SCRIPTS)}
    return [python, str(script), str(model.resolve()), str(port)], {}


def _write_settings(folder: Path, model: Path, port: int) -> None:
    """Write what MLServer reads: its own settings, and those of the model."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    types = {"tensor(uint8)": "UINT8", "tensor(float)": "FP32"}

    def tensors(found: list[Any]) -> list[dict[str, object]]:
        return [
            {
                "name": each.name,
                "datatype": types[each.type],
                "shape": [side if isinstance(side, int) else -1 for side in each.shape],
            }
            for each in found
        ]

    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    about = {
        "name": MODEL,
        "versions": ["1"],
        "platform": "onnx",
        "implementation": "mlserver_onnx.OnnxRuntime",
        "parameters": {"uri": str(model.resolve()), "version": "1"},
        "inputs": tensors(session.get_inputs()),
        "outputs": tensors(session.get_outputs()),
    }
    (folder / "model-settings.json").write_text(json.dumps(about))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(address: Address, path: str) -> int | None:
    """Return the status of a GET, or None where nothing answers."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _is_ready(server: Running) -> bool:
    end = time.monotonic() + START
    while time.monotonic() < end and server.process.poll() is None:
        if ask(server.address, "/v2/health/ready") == 200:
            return True
        time.sleep(0.05)
    return False


# ---- memory, as Linux counts it ----


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def has_taskset() -> bool:
    """Return whether processes can be kept to a core from outside, as on Linux."""
    return shutil.which("taskset") is not None and hasattr(os, "sched_getaffinity")


def kept_to(core: int) -> list[str]:
    """Return what a command begins with that runs on that core alone."""
    return [shutil.which("taskset") or "taskset", "-c", str(core)]
