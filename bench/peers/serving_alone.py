"""Measure without a server: decoding, reading, `Model.predict`, `Predictor`; print JSON."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from lookbook.images.photographs import Prepared
from lookbook.inference.model import Model
from lookbook.inference.predictor import Predictor
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import read_run


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["model", "photographs"])
    parser.add_argument("source", type=Path, help="a run, or a model file")
    parser.add_argument("--n", type=int, help="test images")
    parser.add_argument("--pause", type=float, help="seconds between two of them")
    parser.add_argument("--files", type=Path, nargs="*", help="photographs")
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    if args.what == "model":
        print(json.dumps({"seconds": _model(args.source, args.n, args.pause)}))
        return
    predictor = Predictor(Model.open(args.source))
    rates = {
        "decode": rate(lambda: [_decode(path) for path in args.files], args.seconds),
        "read": rate(lambda: [_read(predictor, path) for path in args.files], args.seconds),
        "predictor": rate(lambda: predictor.predict(args.files), args.seconds),
    }
    print(json.dumps({name: one * len(args.files) for name, one in rates.items()}))


def _model(folder: Path, n: int, pause: float) -> list[float]:
    """Return the seconds of each call with one image, with pauses as a server has them."""
    run = read_run(folder)
    model, images = Model.open(run.model), load_part(run, "test").images[:n]
    took = []
    for image in images:
        model.predict(image[None])
    for image in images:
        time.sleep(pause)
        start = time.perf_counter()
        model.predict(image[None])
        took.append(time.perf_counter() - start)
    return took


def _decode(path: Path) -> np.ndarray:
    """Return the pixels of a file, in full: what no server can leave out."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _read(predictor: Predictor, path: Path) -> list[Prepared]:
    """Return a file as the model takes it: decoded, and brought to its size and polarity."""
    return predictor.preprocess(predictor.decode(path))


def rate(call: Callable[[], object], seconds: float) -> float:
    """Return calls a second, after one that is not counted."""
    call()
    calls, start, passed = 0, time.perf_counter(), 0.0
    while passed < seconds:
        call()
        calls += 1
        passed = time.perf_counter() - start
    return calls / passed


if __name__ == "__main__":
    main()
