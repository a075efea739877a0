"""The command `python -m bench serving`: which parts are measured, and where results go."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.harness import files
from bench.harness.conditions import conditions
from bench.harness.peer_process import PeerError
from bench.harness.record import Record
from bench.serving import clients, page, photographs, promises, rates
from bench.serving.servers import SERVERS, has_taskset
from bench.serving.setting import Setting
from lookbook.core.files import write_bytes
from lookbook.runs.store import read_run

NAME = "serving"
PARTS: dict[str, Callable[[Setting, Record], None]] = {
    "rates": rates.measure_rates,
    "latency": rates.measure_latency,
    "photographs": photographs.measure_photographs,
    "identity": promises.measure_identity,
    "overload": promises.measure_overload,
    "stops": promises.measure_stops,
    "swaps": promises.measure_swaps,
    "clients": clients.measure_clients,
    "conformance": clients.measure_conformance,
}


def main(arguments: Sequence[str] | None, about: str | None) -> int:
    """Measure the parts that are asked for, or write the page again; return the exit code."""
    parser = files.options(about, NAME)
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run of Fashion-MNIST")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="default: all")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs, for their part")
    parser.add_argument("--rounds", type=int, default=5, help="starts of each server; default: 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load; default: 3")
    parser.add_argument("--minutes", type=float, default=10.0, help="of schemathesis; default: 10")
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if args.run is None:
        parser.error("name a RUN: the folder of a run, or its name in runs/")
    cores = sorted(os.sched_getaffinity(0)) if has_taskset() else []
    if len(cores) < 2:
        parser.error("two cores are needed, for server and clients, and Linux's taskset")
    photos = tuple(sorted(args.photos.rglob("*.jp*g"))) if args.photos else ()
    parts = [part for part in args.parts if part != "photographs" or photos]
    setting = Setting(
        read_run(args.run),
        server_core=cores[0],
        client_core=cores[-1],
        seconds=0.5 if args.trial else args.seconds,
        rounds=1 if args.trial else args.rounds,
        minutes=0.2 if args.trial else args.minutes,
        trial=args.trial,
        photographs=photos,
    )
    record = Record()
    now = conditions("test images in turn")
    for part in parts:
        try:
            PARTS[part](setting, record)
        except PeerError as error:
            record.fail({"name": part}, str(error))
        except KeyboardInterrupt:
            record.stop()
            break
    entries = {
        "model": f"recipe `{setting.run.recipe.name}` on {setting.run.conditions.data.name}",
        **{name: asdict(setting)[name] for name in ("server_core", "client_core")},
        "servers": {each.name: ", ".join([each.about, *each.requirements]) for each in SERVERS},
    }
    results = record.results(NAME, now, trial=args.trial, entries=entries)
    whole = [*PARTS] == args.parts == parts
    return 0 if files.finish(results, args.out, redraw, whole=whole) else 1


def redraw(path: Path) -> list[Path]:
    """Write the page beside a file of results, from that file alone."""
    written = path.with_suffix(".md")
    found = json.loads(path.read_text(encoding="utf-8"))
    write_bytes(written, page.to_markdown(found).encode())
    return [written]
