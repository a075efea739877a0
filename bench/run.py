"""Measure lookbook and its peers in turn, several seeds each, and write a table and a figure.

::

    python bench/run.py                          everything: bench/results/fashion-mnist.*
    python bench/run.py --train-images 2000    a quick trial, written under another name
    python bench/run.py --redraw                 table and figure again, from the .json alone

Run it with the Python of the project's environment, on Linux or macOS. Each peer gets an
environment of its own in `.bench/`, with pinned versions, the first time that it is needed.

A further peer is one script in `bench/peers/` and one line in `PEERS`. The script takes
`--data FILE.npz --seed S`, and `--train-images N` for the first N training images only, needs
nothing but NumPy and its own library, and prints one JSON line: fit_seconds, accuracy, first_loss,
last_loss, versions, threads, device. A new recipe of ours is an entry by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script sees its own folder alone, not the package `bench`

from bench import summary  # noqa: E402
from lookbook.cli.terminal import duration  # noqa: E402
from lookbook.core.environment import machine, versions  # noqa: E402
from lookbook.data.catalog import BUILTIN  # noqa: E402
from lookbook.data.sources import load  # noqa: E402
from lookbook.recipes import LARGE, RECIPES  # noqa: E402

SCRIPTS = ROOT / "bench" / "peers"
RESULTS = ROOT / "bench" / "results"
#: environments and the exported data; git ignores it
SCRATCH = ROOT / ".bench"
#: the data, and what the files of the results are called
DATASET = "fashion-mnist"
#: runs of each entry
SEEDS = 5


@dataclass(frozen=True)
class Peer:
    """One entry of the table: a script, and the environment that it runs in."""

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


_TENSORFLOW = ("tensorflow==2.21.0", "keras==3.15.1", "numpy==2.4.6")
_JAX = ("jax==0.10.2", "jaxlib==0.10.2", "keras==3.15.1", "numpy==2.4.6")

PEERS = (
    Peer(
        name="keras-tensorflow",
        about="the tutorial's script, Keras on TensorFlow",
        script="keras_example.py",
        requirements=_TENSORFLOW,
        environment="keras-tensorflow",
        arguments=("--example", "tutorial", "--backend", "tensorflow"),
    ),
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
        requirements=_TENSORFLOW,
        environment="keras-tensorflow",
        arguments=("--example", "convnet", "--backend", "tensorflow"),
        seeds=2,
    ),
    *(_recipe(name) for name in RECIPES),
    _recipe("quick", epochs=10),
)

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


class PeerError(Exception):
    """A peer could not be set up, or did not measure anything."""


# ---- environments and data ----


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
    _say(f"{peer.name}: installing {', '.join(peer.requirements)} into {folder}")
    output_of([sys.executable, "-m", "venv", "--clear", str(folder)])
    output_of([str(python), "-m", "pip", "install", "--quiet", *peer.requirements])
    finished.write_text(wanted)
    return python


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


# ---- measuring ----


def measure(
    peers: tuple[Peer, ...],
    data: Path,
    seeds: range,
    train_pictures: int | None = None,
    scratch: Path = SCRATCH,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run every peer with the first seed, then every peer with the next; return runs and failures.

    Taking turns, and never two at once: what else the machine does then hits all alike. A peer
    that has had its most seeds takes no further turn. Ctrl-C ends it and keeps what was measured.
    """
    measurements: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    try:
        pythons = _set_up_all(peers, scratch, failures)
        turns = [(seed, peer) for seed in seeds for peer in pythons if seed in seeds[: peer.seeds]]
        for done, (seed, peer) in enumerate(turns):
            _say(f"{done + 1} of {len(turns)}: {peer.name}{_left(measurements, turns[done:])}")
            try:
                python = pythons[peer]
                measurements.append(_measure_once(peer, python, data, seed, train_pictures))
            except PeerError as error:
                failures.append(_failure(peer, seed, error))
    except KeyboardInterrupt:
        add_stop(failures)
    return measurements, failures


def add_stop(failures: list[dict[str, Any]]) -> None:
    """Add to the failures that Ctrl-C stopped the rest, and say it."""
    failures.append({"name": "the rest", "message": "stopped by Ctrl-C"})
    _say("stopped; what was measured is kept")


def _set_up_all(
    peers: tuple[Peer, ...], scratch: Path, failures: list[dict[str, Any]]
) -> dict[Peer, Path]:
    """Return the Python of each peer that could be set up, and add the others to the failures."""
    pythons = {}
    for peer in peers:
        try:
            pythons[peer] = set_up(peer, scratch)
        except (PeerError, OSError) as error:
            failures.append(_failure(peer, None, error))
    return pythons


def _left(measurements: list[dict[str, Any]], turns: list[tuple[int, Peer]]) -> str:
    """Say how long these turns take, once each entry has had one."""
    took = {one["name"]: one["process_seconds"] for one in measurements}
    if not all(peer.name in took for _, peer in turns):
        return ""
    return f", about {duration(sum(took[peer.name] for _, peer in turns))} left"


def _measure_once(
    peer: Peer, python: Path, data: Path, seed: int, train_pictures: int | None
) -> dict[str, Any]:
    command = [str(python), str(SCRIPTS / peer.script), "--data", str(data), "--seed", str(seed)]
    if train_pictures is not None:
        command += ["--train-pictures", str(train_pictures)]
    load_average = os.getloadavg()
    start = time.perf_counter()
    printed = output_of([*command, *peer.arguments])
    process_seconds = time.perf_counter() - start
    found = parse(printed, REQUIRED)
    _say(
        f"seed {seed}  {peer.name:<20} fit {found['fit_seconds']:6.2f} s   "
        f"accuracy {100 * found['accuracy']:.2f} %   whole process {process_seconds:6.2f} s"
    )
    return {
        "name": peer.name,
        "seed": seed,
        **found,
        "process_seconds": process_seconds,
        "load_average_before": load_average,
    }


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


def _failure(peer: Peer, seed: int | None, error: Exception) -> dict[str, Any]:
    failure = {"name": peer.name, "seed": seed, "message": str(error)}
    _say(f"{summary.describe(failure)}; the others go on")
    return failure


# ---- conditions ----


def conditions(data: dict[str, Any], train_pictures: int | None) -> dict[str, Any]:
    """Return what a reader has to know about these measurements, as it is before the first."""
    commit = _git("rev-parse", "HEAD")
    found = machine(accelerator=None)  # each peer says itself which device it took
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {**data, "train_pictures": train_pictures or data["train_pictures"]},
        "machine": {name: value for name, value in found.items() if name != "accelerator"},
        "load_average": os.getloadavg(),
        "commit": commit,
        "clean": commit is not None and _git("status", "--porcelain") == "",
        "versions": versions(),
    }


def _git(*arguments: str) -> str | None:
    """Return git's answer, or None without git or outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(ROOT), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


# ---- the command ----


def main() -> int:
    """Measure and draw, or only draw; return the exit code."""
    args = _parser().parse_args()
    if args.redraw is not None:
        _draw(args.redraw)
        return 0
    peers = tuple(peer for peer in PEERS if args.only is None or peer.name in args.only)
    path, data = export_data()
    now = conditions(data, args.train_pictures)
    measurements, failures = measure(peers, path, range(args.seeds), args.train_pictures)
    if not measurements:
        _say("nothing was measured, nothing is written")
        return 1
    results = {
        "trial": args.train_pictures is not None,
        "conditions": now,
        "entries": [_entry(peer) for peer in peers],
        "measurements": measurements,
        "failures": failures,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    whole = args.only is None and args.seeds >= SEEDS and not failures
    target = args.out / f"{_stem(args.train_pictures, whole=whole)}.json"
    target.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"wrote {target}")
    _draw(target)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
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
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument(
        "--redraw",
        type=Path,
        nargs="?",
        const=RESULTS / f"{DATASET}.json",
        metavar="FILE",
        help="measure nothing; write table and figure again beside this .json",
    )
    return parser


def _stem(train_pictures: int | None, *, whole: bool) -> str:
    """Return the name of the files; what is not the whole result never takes its place."""
    part = "" if whole else "-part"
    return DATASET + part + ("" if train_pictures is None else f"-trial-{train_pictures}")


def _entry(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "about": peer.about,
        "ours": peer.ours,
        "requirements": peer.requirements,
    }


def _draw(results: Path) -> None:
    for path in summary.redraw(results):
        print(f"wrote {path}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
