"""Measure lookbook and its peers in turn, several seeds each, and write a table and a figure.

::

    python -m bench speed                          all: bench/results/…/speed.*
    python -m bench speed --train-pictures 2000    a quick trial, written under another name
    python -m bench speed --redraw                 table and figure again, from the .json alone

Run it with the Python of the project's environment, on Linux or macOS. Each peer gets an
environment of its own in `.bench/`, with pinned versions, the first time that it is needed.

A further peer is one script in `bench/peers/` and one entry in `PEERS`. The script takes
`--data FILE.npz --seed S`, and `--train-pictures N` for the first N training images only, needs
nothing but NumPy and its own library, and prints one JSON line: fit_seconds, accuracy, first_loss,
last_loss, versions, threads, device. A new recipe of ours is an entry by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.harness import files
from bench.harness.conditions import conditions
from bench.harness.peer_process import KERAS, SCRATCH, SCRIPTS, TENSORFLOW, Peer, say
from bench.harness.record import Record
from bench.speed_figure import plot
from bench.speed_summary import to_markdown
from lookbook.data.catalog import BUILTIN
from lookbook.data.sources import load
from lookbook.recipes import LARGE, RECIPES, TRANSFER

NAME = "speed"
DATASET = "fashion-mnist"
#: runs of each entry
SEEDS = 5
#: what each script has to print
REQUIRED = {
    "fit_seconds",
    "accuracy",
    "first_loss",
    "last_loss",
    "versions",
    "threads",
    "device",
}


def _recipe(name: str, epochs: int | None = None) -> Peer:
    """Return the entry of one of our recipes, if asked for with another number of passes."""
    options = ("--recipe", name) + (() if epochs is None else ("--epochs", str(epochs)))
    return Peer(
        name=f"lookbook-{name}" if epochs is None else f"lookbook-{name}-{epochs}",
        about=f"lookbook train {DATASET} {' '.join(options)} --final",
        script="lookbook_recipe.py",
        arguments=(*options, "--builtin", DATASET),
        seeds=2 if name == LARGE.name else None,
        ours=True,
    )


_JAX = ("jax==0.10.2", "jaxlib==0.10.2", "keras==3.15.1", "numpy==2.4.6")

PEERS = (
    KERAS,
    Peer(
        name="keras-jax",
        about="the tutorial's script, Keras on JAX",
        script="keras_example.py",
        requirements=_JAX,
        environment="keras-jax",
        arguments=("--example", "tutorial", "--backend", "jax"),
    ),
    Peer(
        name="sklearn-mlp",
        about="scikit-learn's MLPClassifier, the tutorial's network and settings",
        script="sklearn_mlp.py",
        requirements=("scikit-learn==1.9.1", "scipy==1.17.1", "numpy==2.4.6"),
        environment="sklearn",
    ),
    Peer(
        name="pytorch-loop",
        about="a plain PyTorch loop, the tutorial's network and settings",
        script="pytorch_loop.py",
    ),
    Peer(
        name="keras-convnet",
        about="Keras's documented convnet for 28×28 digits, 15 passes, Keras on TensorFlow",
        script="keras_example.py",
        requirements=TENSORFLOW,
        environment="keras-tensorflow",
        arguments=("--example", "convnet", "--backend", "tensorflow"),
        seeds=2,
    ),
    # it is for photographs: 60,000 images at 224 pixels would take hours
    *(_recipe(name) for name in RECIPES if name != TRANSFER.name),
    _recipe("quick", epochs=10),
)

# ---- what is measured ----


def export_data(scratch: Path = SCRATCH) -> tuple[Path, dict[str, Any]]:
    """Write the data as one .npz that every peer can read, and return what it is."""
    train, test = load(DATASET, "train"), load(DATASET, "test")
    scratch.mkdir(exist_ok=True)
    path = scratch / f"{DATASET}.npz"
    np.savez(
        path,
        train_images=train.images,
        train_labels=train.labels,
        test_images=test.images,
        test_labels=test.labels,
        classes=np.array(train.classes),
    )
    about = {
        "title": BUILTIN[DATASET].title,
        "train_pictures": len(train),
        "test_pictures": len(test),
        "train_sha256": train.sha256(),
        "test_sha256": test.sha256(),
    }
    return path, about


def measure(
    peers: tuple[Peer, ...],
    data: Path,
    seeds: range,
    train_pictures: int | None = None,
    scratch: Path = SCRATCH,
) -> Record:
    """Run every peer with the first seed, then every peer with the next.

    A peer that has had its most seeds takes no further turn.
    """
    record = Record()
    pythons = _set_up_all(peers, scratch, record)
    turns = [(seed, peer) for seed in seeds for peer in pythons if seed in seeds[: peer.seeds]]
    for seed, peer in record.turns(turns, lambda turn: turn[1].name):
        command = [str(pythons[peer]), str(SCRIPTS / peer.script)]
        command += ["--data", str(data), "--seed", str(seed)]
        command += [] if train_pictures is None else ["--train-pictures", str(train_pictures)]
        which = {"name": peer.name, "seed": seed}
        if found := record.ask(which, [*command, *peer.arguments], REQUIRED):
            say(
                f"seed {seed}  {peer.name:<20} fit {found['fit_seconds']:6.2f} s   "
                f"accuracy {100 * found['accuracy']:.2f} %   "
                f"whole process {found['process_seconds']:6.2f} s"
            )
    return record


def _set_up_all(peers: tuple[Peer, ...], scratch: Path, record: Record) -> dict[Peer, Path]:
    """Return the Python of each peer that could be set up, and keep the others' failures."""
    pythons = {}
    for peer in peers:
        python = None if record.stopped else record.python_of(peer, scratch)
        if python is not None:
            pythons[peer] = python
    return pythons


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    peers = tuple(peer for peer in PEERS if args.only is None or peer.name in args.only)
    path, data = export_data()
    data["train_pictures"] = args.train_pictures or data["train_pictures"]
    now = conditions(data)
    record = measure(peers, path, range(args.seeds), args.train_pictures)
    trial = args.train_pictures is not None
    entries = [_entry(peer) for peer in peers]
    results = record.results(NAME, now, trial=trial, entries=entries)
    whole = args.only is None and args.seeds >= SEEDS
    written = files.finish(results, args.out, redraw, whole=whole)
    return 1 if record.failures or written is None else 0


def redraw(path: Path) -> list[Path]:
    """Write table and figure beside a file of results, from that file alone."""
    return files.redraw(path, to_markdown, plot)


def _parser() -> argparse.ArgumentParser:
    parser = files.options(__doc__, NAME, trial=False)
    fewer = ", ".join(f"{peer.name} {peer.seeds}" for peer in PEERS if peer.seeds is not None)
    parser.add_argument(
        "--seeds",
        type=int,
        default=SEEDS,
        metavar="N",
        help=f"runs of each entry: seeds 0 to N-1; at most: {fewer}",
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--train-pictures", type=int, metavar="N", help="a trial with N pictures")
    return parser


def _entry(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "about": peer.about,
        "ours": peer.ours,
        "requirements": peer.requirements,
    }
