"""Measure how many images a second a run's model answers, beside ONNX Runtime alone and Keras.

::

    python -m bench inference                      the newest run of each recipe in runs/
    python -m bench inference --run RUN RUN        these runs: bench/results/…/inference.*
    python -m bench inference --trial --run RUN    a quick trial, written under another name
    python -m bench inference --redraw             table and figure again, from the .json alone

Run it with the Python of the project's environment, on Linux: cores are given to each process by
its affinity. All entries take their turn in each round, each in a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
import tempfile
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from bench.harness import files
from bench.harness.arithmetic import Spread, spread, three
from bench.harness.conditions import condition_lines, conditions, version_line
from bench.harness.figure import INK, OURS, PEER, drawing
from bench.harness.page import markdown, table
from bench.harness.peer_process import SCRIPTS, say
from bench.harness.record import Record
from lookbook.runs.store import Run, list_runs, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.harness.record import Results

NAME = "inference"
SCRIPT = SCRIPTS / "predict_speed.py"
ROUNDS = 5
THREADS = (1, 2)
BATCHES = (1, 1000)
#: what each script has to print
REQUIRED = {"rates", "versions"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One way to get answers from a network."""

    name: str
    about: str
    ours: bool = False


ENTRIES = (
    Entry(
        "lookbook",
        "Model.predict with the run's model.onnx: uint8 in, logits and calibrated probabilities "
        "out; scaling, the mean over views of the least certain pictures, temperature and "
        "softmax included",
        ours=True,
    ),
    Entry(
        "onnxruntime",
        "ONNX Runtime alone with the same network and weights: scaled float32 in, logits out; no "
        "scaling, no mirror image, no temperature, no softmax, no check of what comes in",
    ),
    Entry(
        "keras-predict",
        "Keras's predict, one call for each batch: float32 from 0 to 1 in, probabilities out",
    ),
    Entry("keras-batch", "Keras's predict_on_batch, with the same network, in and out"),
)


# ---- what is measured ----


def choose_runs(names: list[str] | None) -> list[Run]:
    """Return the runs of these names, or the newest of each recipe in runs/."""
    if names is not None:
        return [read_run(name) for name in names]
    newest: dict[str, Run] = {}
    for one in list_runs():
        newest.setdefault(one.recipe.name, one)
    return list(newest.values())


def describe_run(chosen: Run) -> dict[str, Any]:
    """Return what a reader has to know about a run's network."""
    data, recipe = chosen.conditions.data, chosen.recipe
    return {
        "name": recipe.name,
        "network": recipe.network,
        "widths": list(recipe.widths),
        "mirror": recipe.mirror,
        "shape": [*data.size, *([3] if data.channels == 3 else [])],
        "classes": len(data.classes),
        "parameters": chosen.metrics.parameters,
        "data": Path(data.name).name,
    }


def prepare(chosen: Run, folder: Path) -> tuple[Path, Path]:
    """Write test images and the bare network, float32 N C H W in, logits out; return both.

    How long the bare network takes does not depend on what an image shows; how many views a model
    file looks at does, as it looks again at those that one view leaves unsure.
    """
    import torch

    from lookbook.networks.weights import load_network
    from lookbook.runs.data_parts import load_part

    test = load_part(chosen, "test").images
    raw = np.resize(test[: max(BATCHES)], (max(BATCHES), *test.shape[1:]))
    classifier: Any = load_network(chosen)
    with torch.no_grad():
        scaled = classifier.scaler(torch.from_numpy(raw)).float().contiguous()
    inputs, bare = folder / "inputs.npz", folder / "bare.onnx"
    np.savez(inputs, raw=raw, scaled=scaled.numpy())
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # the exporter, the options and the opset of lookbook's own model files
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            classifier.network,
            (scaled[:2],),
            buffer,  # type: ignore[arg-type]  # this exporter writes into open files, too
            dynamo=False,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_axes={"pixels": {0: "N"}, "logits": {0: "N"}},
            opset_version=17,
        )
    bare.write_bytes(buffer.getvalue())
    return inputs, bare


def command(
    entry: Entry, chosen: Run, files: tuple[Path, Path], keras: Path | None, arguments: list[str]
) -> list[str] | None:
    """Return the command that measures an entry, or None where its environment is missing."""
    inputs, bare = files
    start = [str(SCRIPT), "--what", entry.name, "--inputs", str(inputs), *arguments]
    if entry.name.startswith("keras"):
        about = describe_run(chosen)
        network = ["--network", about["network"], "--classes", str(about["classes"])]
        widths = ["--widths", *map(str, about["widths"])]
        return None if keras is None else [str(keras), *start, *network, *widths]
    return [sys.executable, *start, "--model", str(chosen.model if entry.ours else bare)]


def measure(runs: list[Run], rounds: int, seconds: float) -> Record:
    """Measure all entries in turn, round by round."""
    record = Record()
    keras = record.keras_python()
    with tempfile.TemporaryDirectory() as scratch:
        networks = {}
        for number, chosen in enumerate(runs):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            networks[number] = prepare(chosen, folder)
        entries = [one for one in ENTRIES if keras is not None or not one.name.startswith("keras")]
        turns = product(range(rounds), enumerate(runs), THREADS, entries)
        for turn, (number, chosen), threads, entry in record.turns(turns, _case):
            options = ["--threads", str(threads), "--seconds", str(seconds)]
            options += ["--batches", *map(str, BATCHES)]
            which = {"name": entry.name, "run": number, "threads": threads, "round": turn}
            asked = command(entry, chosen, networks[number], keras, options)
            if asked and (found := record.ask(which, asked, REQUIRED)):
                rates = "   ".join(f"{n}: {rate:10,.0f}" for n, rate in found["rates"].items())
                say(
                    f"round {turn}  {chosen.recipe.name:<10} {entry.name:<14} "
                    f"{_threads(threads):<9}   pictures/s at batch {rates}"
                )
    return record


def _case(turn: tuple[int, tuple[int, Run], int, Entry]) -> str:
    _, (_, chosen), threads, entry = turn
    return f"{chosen.recipe.name}, {entry.name}, {_threads(threads)}"


# ---- the table ----


def rates(results: Results, name: str, number: int, threads: int, batch: int) -> dict[int, float]:
    """Return images per second of an entry, by round."""
    return {
        one["round"]: one["rates"][str(batch)]
        for one in results["measurements"]
        if (one["name"], one["run"], one["threads"]) == (name, number, threads)
    }


def ratio(results: Results, name: str, number: int, threads: int, batch: int) -> Spread | None:
    """Return our images per second in units of an entry's, round by round."""
    ours = rates(results, "lookbook", number, threads, batch)
    theirs = rates(results, name, number, threads, batch)
    pairs = [ours[turn] / theirs[turn] for turn in ours.keys() & theirs.keys()]
    return spread(pairs) if pairs else None


def to_markdown(results: Results, figure: str) -> str:
    """Write a table for each run, then what it means, then the conditions."""
    parts = [
        line
        for number, about in enumerate(results["conditions"]["data"])
        for line in _run_part(results, number, about)
    ]
    body = [
        *parts,
        f"![Pictures per second, least, median and most of the rounds]({figure})",
        "",
        _MEANING,
    ]
    return markdown(results, "Pictures per second", body, _conditions(results))


#: what is true of every table
_MEANING = """\
A call answers one batch, and the next one begins when it has; loading and the first calls are \
before the clock. lookbook's time includes all that stands around its network, as a user gets it. \
The peers need scaled pictures, too, but theirs are scaled before the clock starts. A network that \
averages over views computes the least certain pictures, about a quarter, two to ten times more."""


def _run_part(results: Results, number: int, about: dict[str, Any]) -> list[str]:
    cases = _cases(results)
    heads = tuple(f"batch {batch:,}, {_threads(threads)}" for batch, threads in cases)
    rows, ratios = [], []
    for entry in results["entries"]:
        name = entry["name"]
        found = [rates(results, name, number, threads, batch) for batch, threads in cases]
        if not any(found):
            continue
        rows.append([name, *(_three(spread(f.values()) if f else None, 0) for f in found)])
        if not entry["ours"]:
            compared = [ratio(results, name, number, threads, batch) for batch, threads in cases]
            ratios.append([f"of {name}'s", *(_three(one, _digits(one)) for one in compared)])
    return [
        f"## {_run_title(about)}",
        "",
        "Pictures per second: min / median / max over the rounds.",
        "",
        *table(("", *heads), rows),
        "",
        "lookbook's pictures per second, as a multiple, round by round: min / median / max.",
        "",
        *table(("", *heads), ratios),
        "",
    ]


def _cases(results: Results) -> list[tuple[int, int]]:
    """Return each size of batch with each number of threads."""
    return list(product(results["conditions"]["batches"], results["conditions"]["threads"]))


def _three(values: Spread | None, digits: int) -> str:
    return "–" if values is None else three(values, digits)


def _digits(values: Spread | None) -> int:
    return 2 if values is None or values.middle < 10 else 0


def _threads(n: int) -> str:
    return "1 thread" if n == 1 else f"{n} threads"


def _run_title(about: dict[str, Any]) -> str:
    shape = "×".join(map(str, about["shape"]))
    return f"Recipe {about['name']}, {shape}: {about['parameters']:,} parameters"


_TURNS = """\
each entry is measured for {seconds:g} s at each size of batch, in a process of its own; all take \
their turn in each round"""
_CORES = """\
N threads are N cores that the process may use, and the library is told N threads; lookbook counts \
the cores, ONNX Runtime is told by intra_op_num_threads, TensorFlow by \
intra_op_parallelism_threads and inter_op_parallelism_threads"""


def _conditions(results: Results) -> list[str]:
    found = results["conditions"]
    return [
        *condition_lines(results),
        f"Pictures: {max(found['batches']):,} test pictures of the run's data",
        f"Rounds: {found['rounds']}; {_TURNS.format(seconds=found['seconds'])}",
        f"Threads: {_CORES}",
        *(_keras_line(about) for about in found["data"]),
        *(_entry_line(results, entry) for entry in results["entries"]),
    ]


def _keras_line(about: dict[str, Any]) -> str:
    network = (
        f"the tutorial's dense network, hidden layers {about['widths']}"
        if about["network"] == "dense"
        else "the small convnet of its documentation (32 and 64 filters of 3×3, max pools, "
        "dropout, one dense layer): another network than ours, and a smaller one"
    )
    return f"Keras beside recipe {about['name']}: {network}; its weights are not trained"


def _entry_line(results: Results, entry: dict[str, Any]) -> str:
    measured = [one for one in results["measurements"] if one["name"] == entry["name"]]
    versions = version_line(measured[0]["versions"]) if measured else "not measured"
    return f"{entry['name']}: {entry['about']}; {versions}"


# ---- the figure ----


def plot(results: Results) -> Figure:
    """Draw images per second, a row of panels for each run, a panel for each size of batch."""
    runs, batches = results["conditions"]["data"], results["conditions"]["batches"]
    size = (7.6, 0.9 + 1.75 * len(runs))
    title = "Pictures per second (log scale): median, least and most of the rounds"
    with drawing(results, title, size, (len(runs), len(batches))) as (figure, panels):
        for (number, about), (column, batch) in product(enumerate(runs), enumerate(batches)):
            axes = panels[number, column]
            _draw_panel(axes, results, number, batch)
            axes.set_title(f"recipe {about['name']}, batch {batch:,}", loc="left", fontsize=9)
            axes.tick_params(labelleft=column == 0)
        _draw_legend(figure, results["conditions"]["threads"])
    return figure


def _draw_panel(axes: Axes, results: Results, number: int, batch: int) -> None:
    entries, counts = results["entries"], results["conditions"]["threads"]
    axes.set_xscale("log")
    for place, entry in enumerate(entries):
        for threads, shift in zip(counts, np.linspace(-0.19, 0.19, len(counts)), strict=True):
            found = rates(results, entry["name"], number, threads, batch)
            if found:
                colour = OURS if entry["ours"] else PEER
                face = "white" if threads == 1 else colour
                _draw_dot(axes, spread(found.values()), place + shift, colour, face)
    axes.set_yticks(range(len(entries)), [entry["name"] for entry in entries])
    axes.set_ylim(len(entries) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.grid(visible=False, axis="y")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.3, high * 4)  # room for the numbers
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _draw_dot(axes: Axes, values: Spread, y: float, colour: str, face: str) -> None:
    axes.plot([values.least, values.most], [y, y], color=colour, lw=1.6, solid_capstyle="round")
    axes.plot([values.middle], [y], "o", ms=5, mfc=face, mec=colour, mew=1.2)
    axes.annotate(
        _short(values.middle),
        (max(values.most, values.middle), y),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=7.5,
        color=INK,
    )


def _short(value: float) -> str:
    """Write three digits of a rate.

    >>> _short(12345.6), _short(987.6), _short(1234567.0)
    ('12,300', '988', '1,230,000')
    """
    return f"{float(f'{value:.3g}'):,.0f}"


def _draw_legend(figure: Figure, counts: list[int]) -> None:
    handles = [
        Line2D([], [], ls="", marker="o", ms=5, mec=INK, mfc="white" if n == 1 else INK)
        for n in counts
    ]
    figure.legend(
        handles,
        [_threads(n) for n in counts],
        loc="upper right",
        ncols=len(counts),
        frameon=False,
        fontsize=8,
        borderaxespad=0.6,
    )


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    runs = choose_runs(args.run)
    if not runs:
        say("no runs in runs/ yet; train one: lookbook train")
        return 1
    rounds, seconds = (1, 0.05) if args.trial else (args.rounds, args.seconds)
    now = conditions([describe_run(one) for one in runs])
    how = {"rounds": rounds, "seconds": seconds, "threads": THREADS, "batches": BATCHES}
    record = measure(runs, rounds, seconds)
    entries = [dataclasses.asdict(entry) for entry in ENTRIES]
    results = record.results(NAME, {**now, **how}, trial=args.trial, entries=entries)
    written = files.finish(results, args.out, redraw, whole=rounds >= ROUNDS)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME)
    parser.add_argument(
        "--run", nargs="+", metavar="RUN", help="runs; default: the newest of each recipe in runs/"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns that each entry takes")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="for one entry, at each size of batch"
    )
    return parser
