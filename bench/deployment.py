"""Measure whether a model says the same elsewhere: in Node.js, in a browser, in 8 bits.

::

    python -m bench deployment RUN       bench/results/…/deployment.*
    python -m bench deployment --redraw  the table again, from the .json alone

Run it after `make test`, which installs what it takes: Chromium, and onnxruntime-node for Node.js.
The page is opened in headless Chromium; all else is ONNX Runtime.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.harness import files
from bench.harness.conditions import condition_lines, conditions, version_line
from bench.harness.page import markdown, table
from bench.harness.record import Record
from lookbook.core.files import write_bytes
from lookbook.exports import int8, web_demo
from lookbook.inference.model import Model
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import Run, read_run

if TYPE_CHECKING:
    from bench.harness.record import Results

NAME = "deployment"
#: test images that all are asked about, and those that the page is timed with
PICTURES, TIMED = 500, 500
NODE_MODULES = Path(sys.prefix) / "web" / "node_modules"
#: asks Node.js for the probabilities of images in a file
NODE = """
const ort = require("onnxruntime-node"), fs = require("fs");
(async () => {
  const [model, pixels, shape] = process.argv.slice(1);
  const session = await ort.InferenceSession.create(model);
  const bytes = Uint8Array.from(fs.readFileSync(pixels));
  const images = new ort.Tensor("uint8", bytes, JSON.parse(shape));
  console.log(JSON.stringify(Array.from((await session.run({ images })).probs.data)));
})();
"""
#: asks the page for probabilities, and how long each image took
PAGE = """([text, size]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), probs = [], took = [];
  for (let round = 0; round < 2; round++) {
    took.length = probs.length = 0; // the first round lets the browser compile
    for (let i = 0; i < bytes.length; i += size) {
      const start = performance.now();
      probs.push(Array.from(answer(bytes.subarray(i, i + size)).probs));
      took.push(performance.now() - start);
    }
  }
  return [probs, took];
}"""


def measure(run: Run) -> dict[str, Any]:
    """Ask everybody about the same test images."""
    model, test = Model.open(run.model), load_part(run, "test")
    images = test.images[:PICTURES]
    said = model.predict(images).probs
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        found = {
            "the network in PyTorch": _apart(_ask_network(run, images), said),
            "onnxruntime-node": _apart(_ask_node(run, images, place), said),
        }
        written = web_demo.write_web_demo(run, place / "try.html")
        page, took = _ask_page(written, images)
        found["the page in Chromium"] = _apart(page, said)
        size = written.stat().st_size
        compared = int8.quantize(run, place / "small.onnx")
        small = Model.open(compared.path).predict(test.images)
    whole = model.predict(test.images)
    return {
        "run": run.folder.name,
        "recipe": run.recipe.name,
        "n": len(images),
        "largest_difference": found,
        "page_bytes": size,
        "page_ms": [float(np.quantile(took, q)) for q in (0, 0.5, 0.95, 1)],
        "int8": {
            "bytes": compared.size,
            "pictures_per_second": compared.speed,
            "validation_accuracy": compared.accuracy,
            "same_class": float((small.probs.argmax(1) == whole.probs.argmax(1)).mean()),
            "n": len(test),
        },
        "model_bytes": len(model.content),
        "weight_bytes": 4 * run.metrics.parameters,
        "versions": run.conditions.versions,
    }


def _apart(probs: np.ndarray, said: np.ndarray) -> float:
    return float(np.abs(probs - said).max())


def _ask_network(run: Run, images: np.ndarray) -> np.ndarray:
    import torch

    from lookbook.networks.weights import load_network

    with torch.inference_mode():
        _, probs, _ = load_network(run)(torch.from_numpy(images))
    return np.asarray(probs.numpy())


def _ask_node(run: Run, images: np.ndarray, place: Path) -> np.ndarray:
    (place / "images.bin").write_bytes(images.tobytes())
    arguments = [str(run.model.resolve()), str(place / "images.bin"), json.dumps(images.shape)]
    ended = subprocess.run(
        [shutil.which("node") or "node", "-e", NODE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)},
    )
    return np.array(json.loads(ended.stdout)).reshape(len(images), -1)


def _ask_page(page: Path, images: np.ndarray) -> tuple[np.ndarray, list[float]]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    text = base64.b64encode(images[:TIMED].tobytes()).decode()
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page()
        shown.goto(page.resolve().as_uri())
        probs, took = shown.evaluate(PAGE, [text, images[0].size])
        browser.close()
    return np.array(probs), took


# ---- the table ----


def to_markdown(results: Results) -> str:
    """Write what differs, how fast it is, then the conditions."""
    conditions = [
        *condition_lines(results),
        f"Versions: {version_line(results['measurements'][0]['versions'])}",
    ]
    body = [line for one in results["measurements"] for line in ["", *_lines(one)]]
    return markdown(results, "A model elsewhere", body[1:], conditions)


def _lines(one: dict[str, Any]) -> list[str]:
    least, middle, most, longest = one["page_ms"]
    small = one["int8"]
    rows = [
        [f"{name}: largest difference of a probability", f"{value:.1e}"]
        for name, value in one["largest_difference"].items()
    ]
    rows += [
        ["the page: size", f"{one['page_bytes'] / 1e6:.2f} MB"],
        [
            "the page: milliseconds for a picture, least / median / 95 in 100 / most",
            f"{least:.1f} / {middle:.1f} / {most:.1f} / {longest:.1f}",
        ],
        [
            "the model file: bytes beyond the weights",
            f"{one['model_bytes'] - one['weight_bytes']:,} of {one['model_bytes']:,}",
        ],
        [
            f"8 bits: same class, of all {small['n']:,} test pictures",
            f"{100 * small['same_class']:.2f} %",
        ],
        [
            "8 bits: validation accuracy, and that of 32 bits",
            " / ".join(f"{100 * share:.2f} %" for share in small["validation_accuracy"]),
        ],
        ["8 bits: bytes, and those of 32", " / ".join(f"{n:,}" for n in small["bytes"])],
        [
            "8 bits: pictures a second, and those of 32",
            " / ".join(f"{speed:,.0f}" for speed in small["pictures_per_second"]),
        ],
    ]
    return [
        f"## Recipe `{one['recipe']}`",
        "",
        f"Against `model.onnx` in ONNX Runtime for Python, the first {one['n']} test pictures:",
        "",
        *table(("", "measured"), rows),
    ]


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the runs that are named, or write the table again; return the exit code."""
    parser = files.options(__doc__, NAME)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs, or their names")
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if not args.runs:
        parser.error("name at least one RUN: the folder of a run, or its name in runs/")
    now = conditions("the test parts of the runs")
    record = Record(measurements=[measure(read_run(name)) for name in args.runs])
    results = record.results(NAME, now, trial=args.trial)
    return 0 if files.finish(results, args.out, redraw, whole=True) else 1


def redraw(path: Path) -> list[Path]:
    """Write the table beside a file of results, from that file alone."""
    page = path.with_suffix(".md")
    write_bytes(page, to_markdown(json.loads(path.read_text(encoding="utf-8"))).encode())
    return [page]
