"""Others' programs against the server: tritonclient, kserve's REST client, schemathesis."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.harness import peer_process
from bench.harness.peer_process import SCRIPTS, Peer, PeerError
from bench.harness.record import Record
from bench.serving.servers import LOOKBOOK, MLSERVER, MODEL, Running, running
from bench.serving.setting import Setting
from conformance import oip_v2
from lookbook.inference.model import Model

CLIENTS = (
    Peer(
        "tritonclient",
        "JSON and binary both ways, plain and gzip",
        "serving_tritonclient.py",
        requirements=("tritonclient[http]==2.73.0",),
        environment="tritonclient",
    ),
    Peer(
        "kserve's REST client",
        "JSON and binary both ways",
        "serving_kserve.py",
        requirements=("kserve==0.21.0",),
        environment="kserve",
    ),
)
SCHEMATHESIS = Peer(
    "schemathesis",
    "requests made from the OpenAPI description, right and wrong",
    "",
    requirements=("schemathesis==4.32.5",),
    environment="schemathesis",
)
#: largest difference of a probability that went through decimals
NEAR = 1e-6


def measure_clients(setting: Setting, record: Record) -> None:
    """Let others' clients ask, then make requests from the OpenAPI description."""
    with running(LOOKBOOK, setting.run.model, setting.server_core) as server:
        for client in CLIENTS:
            try:
                found = _ask(client, setting, server)
            except PeerError as error:
                record.fail({"name": client.name}, str(error))
            else:
                record.measurements.append({"part": "clients", "name": client.name, **found})
        found = _fuzz(setting, server)
        record.measurements.append({"part": "clients", "name": SCHEMATHESIS.name, **found})


def measure_conformance(setting: Setting, record: Record) -> None:
    """Test both servers of the protocol for what it asks of them."""
    for peer in (LOOKBOOK, MLSERVER):
        with running(peer, setting.run.model, setting.server_core) as server:
            host, port = server.address
            results = list(oip_v2.run(oip_v2.Server(f"http://{host}:{port}", MODEL)))
        record.measurements.append(
            {"part": "conformance", "server": peer.name, "results": [asdict(r) for r in results]}
        )


def _ask(client: Peer, setting: Setting, server: Running) -> dict[str, object]:
    python = peer_process.set_up(client)
    images = setting.images[:16]
    host, port = server.address
    with tempfile.TemporaryDirectory() as scratch:
        inputs = Path(scratch) / "inputs.npz"
        probs = Model.open(setting.run.model).predict(images).probs
        np.savez(inputs, images=images, probs=probs)
        command = [python, SCRIPTS / client.script, f"{host}:{port}", MODEL, inputs]
        printed = peer_process.output_of([str(word) for word in command])
    found = peer_process.parse(printed, {"n", "difference", "version"})
    near = f"probabilities within {found['difference']:.0e}"
    message = f"{found['version']}: {found['n']} ways, {near}"
    return {"works": found["difference"] <= NEAR, "message": message, **found}


def _fuzz(setting: Setting, server: Running) -> dict[str, object]:
    """Run schemathesis for so many minutes, one seed after the other."""
    program = peer_process.set_up(SCHEMATHESIS).with_name("st").absolute()
    host, port = server.address
    with tempfile.TemporaryDirectory() as scratch:  # it keeps what it found where it runs
        ended = subprocess.run(
            fuzz_command(program, f"http://{host}:{port}", setting.minutes),
            capture_output=True,
            text=True,
            check=False,
            cwd=scratch,
        )
    cases = sum(int(n) for n in re.findall(r"(\d+) generated", ended.stdout))
    alive = server.process.poll() is None
    return {
        "works": ended.returncode == 0 and alive,
        "message": f"{setting.minutes:g} minutes, {cases:,} requests, exit code {ended.returncode}",
        "said": ended.stdout[-4000:],
    }


def fuzz_command(program: Path, url: str, minutes: float) -> list[str]:
    """Return the command of schemathesis: its checks, within that time.

    Left out is that what follows the description is accepted: images may have another size.
    """
    time = str(round(60 * minutes))
    options = ["--max-time", time, "--exclude-checks", "positive_data_acceptance"]
    return [str(program), "run", f"{url}/openapi.json", *options]
