"""Write a table of answers to many images, and print how fast, as one JSON line.

Two ways: `lookbook predict --processes N`, by the function that the command calls; and the loop
that one writes oneself, with ONNX Runtime and pyarrow, in one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

#: share of the images in which processes start: it belongs to no tenth
START = 0.01
#: rows that the loop writes at once
GROUP = 65_536
IDX_HEAD = 16


def main() -> None:
    """Measure one way with one file of images."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--what", choices=["lookbook", "loop"], required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--n", type=int, help="images that the loop answers")
    parser.add_argument("--batch", type=int, default=64, help="of the loop")
    args = parser.parse_args()
    found = _bulk(args) if args.what == "lookbook" else _loop(args)
    versions = {name: version(name) for name in ("lookbook", "onnxruntime", "numpy", "pyarrow")}
    print(json.dumps({**found, "versions": {"python": sys.version.split()[0], **versions}}))


def _bulk(args: argparse.Namespace) -> dict[str, Any]:
    from lookbook.bulk.prediction import BulkPrediction

    work = BulkPrediction(args.model, [args.images], args.out)
    start = time.perf_counter()
    heard = [(start, 0)]
    work.run(args.processes, lambda done, _: heard.append((time.perf_counter(), done)))
    n = len(work)
    return {
        "images": n,
        "seconds": time.perf_counter() - start,
        "first_rate": _rate(heard, START * n, (START + 0.1) * n),
        "last_rate": _rate(heard, 0.9 * n, n),
    }


def _rate(heard: list[tuple[float, int]], first: float, last: float) -> float:
    """Return images a second between two numbers of them, by straight lines between what was heard.

    >>> _rate([(0.0, 0), (1.0, 50), (2.0, 200)], 25, 125)
    100.0
    """
    times = []
    for wanted in (first, last):
        for (before, low), (after, high) in pairwise(heard):
            if low <= wanted <= high and high > low:
                times.append(before + (after - before) * (wanted - low) / (high - low))
                break
    return (last - first) / (times[1] - times[0])


def _loop(args: argparse.Namespace) -> dict[str, Any]:
    """Answer the images of an IDX file as a script of twenty lines does."""
    import onnxruntime
    import pyarrow as pa
    from pyarrow import parquet

    session = onnxruntime.InferenceSession(args.model)
    about = json.loads(session.get_modelmeta().custom_metadata_map["lookbook"])
    classes = np.array(about["classes"], object)
    images = np.memmap(args.images, np.uint8, "r", IDX_HEAD, (args.n, 28, 28))
    schema = pa.schema([("file", pa.string()), ("class", pa.string()), ("probability", "float")])
    start = time.perf_counter()
    with parquet.ParquetWriter(args.out, schema) as writer:
        rows: list[np.ndarray] = []
        for i in range(0, args.n, args.batch):
            rows.append(session.run(["probs"], {"images": images[i : i + args.batch]})[0])
            if len(rows) * args.batch >= GROUP or i + args.batch >= args.n:
                probs = np.concatenate(rows)
                first = i + args.batch - len(rows) * args.batch
                columns = {
                    "file": [f"{args.images}:{first + k}" for k in range(len(probs))],
                    "class": classes[probs.argmax(axis=1)],
                    "probability": probs.max(axis=1),
                }
                writer.write_table(pa.table(columns, schema))
                rows = []
    return {"images": args.n, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    main()
