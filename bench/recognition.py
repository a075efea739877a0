"""Measure how well models of Fashion-MNIST recognise photographs of clothes.

::

    python -m bench recognition DIR … --runs RUN …   bench/results/…/recognition.*
    python -m bench recognition DIR … --runs RUN … --adapt OTHERS    also models that saw OTHERS
    python -m bench recognition --redraw             the table again, from the .json alone

DIR holds a folder of photographs for each kind: see docs/recognition.md. Runs of one recipe are its
seeds. Masks are measured where DIR holds photographs of bench/photographs/masks.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from bench.adaptation import measure_adapted
from bench.harness import files
from bench.harness.conditions import condition_lines, conditions, list_seeds, version_line
from bench.harness.page import markdown, table
from bench.harness.peer_process import ROOT, say
from bench.harness.record import Record
from lookbook.cli import progress
from lookbook.core.files import write_bytes
from lookbook.evaluation.photographs import measure
from lookbook.images.photographs import cut_out, read_for
from lookbook.images.specification import Preprocessing
from lookbook.runs.store import Run, read_run

if TYPE_CHECKING:
    from jaxtyping import Bool

    from bench.harness.record import Results

NAME = "recognition"
#: outlines of photographs, drawn by hand
MASKS = ROOT / "bench" / "photographs" / "masks.json"
#: intersection over union from which on a mask is of use
USEFUL = 0.6
#: Pillow fills the pixels that an outline touches, too: it is drawn so many times larger
FINER = 4


@dataclass(frozen=True)
class Row:
    """A figure, and what it should reach."""

    key: str
    title: str
    reach: float
    aim: float
    #: the less, the better
    least: bool = False

    def goal(self, value: float) -> str:
        """Write a goal with what it bounds."""
        return f"{'≤' if self.least else '≥'} {100 * value:.0f} %"


ROWS = (
    Row("accuracy_garments", "garments: right class", 0.66, 0.75),
    Row("accuracy_with_shoes", "the same with shoes", 0.62, 0.70),
    Row("accuracy_top_half", "the half that it is surest of: right class", 0.82, 0.92),
    Row("accuracy_groups", "right group of four", 0.84, 0.92),
    Row("unknown_refused", "hat, shorts, skirt: refused", 0.60, 0.75),
    Row("garments_refused", "garments: refused", 0.25, 0.20, least=True),
    Row("ece", "calibration error (ECE)", 0.10, 0.05, least=True),
)
MASK_ROWS = (
    Row("median", "masks: intersection over union, median", 0.88, 0.93),
    Row("useful", f"masks: share with at least {USEFUL}", 0.92, 0.97),
)


def measure_all(folders: list[Path], runs: list[Run]) -> Record:
    """Measure each run on each folder, in turn; show the progress of each."""
    record = Record()
    turns = list(product(folders, runs))
    for folder, run in record.turns(turns, lambda turn: f"{turn[1].recipe.name}, {turn[0].name}"):
        with progress.show_images() as tell:
            found = measure(run, folder, tell).to_json()
        name = folder.resolve().name
        found["conditions"]["data"] = name  # where it lies is nobody's business
        which = {"name": run.recipe.name, "seed": run.conditions.seed, "folder": name}
        record.measurements.append({**which, **found})
        say(f"seed {which['seed']}  {which['name']}  right class {100 * found['accuracy']:.1f} %")
    return record


def _has(found: dict[str, Any], row: Row) -> bool:
    return found.get(row.key) is not None


# ---- masks ----


def overlaps(folder: Path) -> Iterator[float]:
    """Yield how well masks of a folder's photographs agree with those that were drawn by hand."""
    steps = Preprocessing.of((28, 28), "light on dark", photographs=True)
    for name, drawn in sorted(json.loads(MASKS.read_text(encoding="utf-8")).items()):
        path = folder.joinpath(*Path(name).parts[-2:])
        if steps is not None and path.is_file():
            mask = cut_out(read_for(path, steps)).mask
            yield overlap(mask, fill(drawn, mask.shape))


def fill(drawn: dict[str, Any], size: tuple[int, ...]) -> Bool[np.ndarray, "H W"]:
    """Return a drawn mask at a size (height, width), whatever size it was drawn at.

    >>> square = {"size": [4, 4], "polygons": [[[0, 0], [2, 0], [2, 4], [0, 4]]], "holes": []}
    >>> fill(square, (4, 4)).sum(axis=0).tolist()
    [4, 4, 0, 0]
    """
    down, across = (FINER * side / of for side, of in zip(size, drawn["size"], strict=True))
    mask = Image.new("1", (FINER * size[1], FINER * size[0]))
    pen = ImageDraw.Draw(mask)
    for inside, shapes in ((1, drawn["polygons"]), (0, drawn["holes"])):
        for shape in shapes:
            pen.polygon([(x * across, y * down) for x, y in shape], fill=inside)
    return np.asarray(mask)[FINER // 2 :: FINER, FINER // 2 :: FINER]


def overlap(one: Bool[np.ndarray, "H W"], other: Bool[np.ndarray, "H W"]) -> float:
    """Return the intersection over union of two masks.

    >>> overlap(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.333...
    """
    return float((one & other).sum() / max(1, (one | other).sum()))


def measure_masks(folder: Path) -> dict[str, Any] | None:
    """Return how well masks agree with those drawn by hand; None where there are none of these."""
    found = list(overlaps(folder))
    if not found:
        return None
    useful = sum(each >= USEFUL for each in found) / len(found)
    return {
        "folder": folder.resolve().name,
        "n": len(found),
        "median": median(found),
        "useful": useful,
    }


# ---- the table ----


def to_markdown(results: Results) -> str:
    """Write the tables of each folder, then the conditions."""
    return markdown(results, "Recognition of photographs", tables(results), _conditions(results))


def tables(results: Results) -> list[str]:
    """Write for each folder what is reached, then kind by kind."""
    body = []
    for folder in _listed(results, "folder"):
        found = [one for one in results["measurements"] if one["folder"] == folder]
        body += ["", f"## {folder}", "", _about(found), "", *_table(results, folder, found)]
        body += ["", *_kind_table(found)]
    return body[1:]


def _about(found: list[dict[str, Any]]) -> str:
    """Say what was measured on."""
    conditions = found[0]["conditions"]
    return (
        f"{found[0]['n']:,} photographs, and {conditions['unreadable']} that cannot be read. ± is "
        "the standard error over photographs; in parentheses the standard deviation over seeds."
    )


def _table(results: Results, folder: str, found: list[dict[str, Any]]) -> list[str]:
    """Write the figures of each recipe beside what they should reach."""
    by_name = {name: [one for one in found if one["name"] == name] for name in _names(found)}
    rows = [
        [row.title, *(_cell(row, runs) for runs in by_name.values()), *map(row.goal, _goals(row))]
        for row in ROWS
        if any(_has(one, row) for one in found)
    ]
    for masks in results["entries"]["masks"]:
        if masks["folder"] == folder:
            for row in MASK_ROWS:
                cell = f"{100 * masks[row.key]:.1f} % of {masks['n']}"
                rows.append([row.title, *[cell] * len(by_name), *map(row.goal, _goals(row))])
    return table(("", *by_name, "reach", "aim"), rows)


def _goals(row: Row) -> tuple[float, float]:
    return row.reach, row.aim


def _cell(row: Row, runs: list[dict[str, Any]]) -> str:
    """Write the mean of a figure over runs, its standard error, and its spread."""
    values = [100 * one[row.key] for one in runs if _has(one, row)]
    if not values:
        return "–"
    errors = [100 * one["standard_errors"].get(row.key, np.nan) for one in runs]
    error = "" if np.isnan(errors).any() else f" ± {fmean(errors):.1f}"
    spread = f" (± {stdev(values):.1f})" if len(values) > 1 else ""
    return f"{fmean(values):.1f}{error} %{spread}"


def _kind_table(found: list[dict[str, Any]]) -> list[str]:
    """Write how the photographs of each kind were answered, by all runs of a recipe together.

    Models that saw other photographs refuse none, and have rows of their own above alone.
    """
    found = [one for one in found if one["refused"] is not None]
    names = _names(found)
    heads = [f"{name}: {what}" for name in names for what in ("right", "refused", "taken for")]
    rows = []
    for kind in dict.fromkeys(one["kind"] for run in found for one in run["per_kind"]):
        row = [kind, f"{next(one['n'] for one in found[0]['per_kind'] if one['kind'] == kind):,}"]
        for name in names:
            runs = [one for one in found if one["name"] == name]
            row += _kind_cells(runs, kind)
        rows.append(row)
    return table(("", "photographs", *heads), rows)


def _kind_cells(runs: list[dict[str, Any]], kind: str) -> list[str]:
    """Write how many are right and refused, and the most frequent wrong answer."""
    of_kind = [one for run in runs for one in run["per_kind"] if one["kind"] == kind]
    n = sum(one["n"] for one in of_kind)
    answers = np.sum([one["answers"] for one in of_kind], axis=0)
    classes, right = runs[0]["classes"], of_kind[0]["classes"]
    share = f"{100 * sum(one['right'] for one in of_kind) / n:.1f} %" if right else "–"
    wrong = np.where(np.isin(classes, right), 0, answers)
    taken = f"{classes[wrong.argmax()]} {100 * wrong.max() / n:.0f} %" if wrong.any() else "–"
    return [share, f"{100 * sum(one['refused'] for one in of_kind) / n:.1f} %", taken]


def _listed(results: Results, key: str) -> list[str]:
    return list(dict.fromkeys(one[key] for one in results["measurements"]))


def _names(found: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(one["name"] for one in found))


def _conditions(results: Results) -> list[str]:
    measured = results["measurements"]
    hashes = {one["folder"]: one["conditions"]["sha256"] for one in measured}
    return [
        *condition_lines(results),
        *(f"SHA-256 of the names and files of {name}: {value}" for name, value in hashes.items()),
        f"Runs: seeds {list_seeds(measured)}, which learnt from Fashion-MNIST alone",
        f"Versions: {version_line(results['conditions']['versions'])}",
    ]


# ---- the command ----


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure runs on photographs, or write the table again; return the exit code."""
    parser = files.options(__doc__, NAME, trial=False)
    parser.add_argument(
        "folders", type=Path, nargs="*", metavar="DIR", help="a folder for each kind in each"
    )
    parser.add_argument(
        "--runs", nargs="+", default=[], metavar="RUN", help="folders of runs, or their names"
    )
    parser.add_argument(
        "--adapt",
        type=Path,
        metavar="OTHERS",
        help="rows of their own: adapted to these photographs without their labels, and with ten "
        "labels of each kind",
    )
    args = parser.parse_args(arguments)
    if args.redraw is not None:
        return files.redraw_only(args.redraw, NAME, redraw)
    if not args.folders or not args.runs:
        parser.error("name at least one DIR of photographs, and --runs RUN …")
    runs = [read_run(name) for name in args.runs]
    now = conditions([folder.resolve().name for folder in args.folders])
    record = measure_all(args.folders, runs)
    if args.adapt:
        for folder, run in product(args.folders, runs):
            record.measurements += measure_adapted(run, folder, args.adapt)
    masks = [found for folder in args.folders if (found := measure_masks(folder))]
    results = record.results(NAME, now, trial=False, entries={"masks": masks})
    print("\n".join(tables(results)))
    return 0 if files.finish(results, args.out, redraw, whole=True) else 1


def redraw(path: Path) -> list[Path]:
    """Write the table beside a file of results, from that file alone."""
    page = path.with_suffix(".md")
    write_bytes(page, to_markdown(json.loads(path.read_text(encoding="utf-8"))).encode())
    return [page]
