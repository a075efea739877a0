"""Say in a terminal what was found: tables, bars, shaded pictures, progress. Nothing is printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from lookbook.datasets import Dataset
    from lookbook.prediction import Prediction
    from lookbook.runs import Run
    from lookbook.training import Progress, Tell

SHADES = " .:-=+*#%@"
#: seconds after which a long epoch tells of itself where nobody sees a moving bar
QUIET = 10.0


def bar(share: float, width: int = 30) -> str:
    """Draw a share of 0 to 1 in eighths of a character.

    >>> bar(0.5, width=4), bar(0.28, width=4)
    ('██  ', '█▏  ')
    """
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage.

    >>> percent(0.8863, 2)
    '88.63 %'
    """
    return f"{100 * share:.{digits}f} %"


def interval(bounds: list[float] | tuple[float, float]) -> str:
    """Write a 95 % interval.

    >>> interval((0.8799, 0.8924))
    '95 % interval 88.0 to 89.2 %'
    """
    return f"95 % interval {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    >>> duration(0.034), duration(8.62), duration(75), duration(7260)
    ('0.03 s', '8.6 s', '1 min 15 s', '2 h 1 min')
    """
    if 0.001 <= seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def table(rows: list[list[str]], right: set[int] | None = None) -> str:
    """Line up columns; those whose numbers stand in `right` end at the same place.

    >>> print(table([["class", "n"], ["Bag", "1,000"]], right={1}))
    class      n
    Bag    1,000
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = right or set()
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


# ---- data ----


def shade(image: UInt8[np.ndarray, "H W *C"]) -> str:
    """Draw a picture in characters, two for each pixel, dark for low values.

    Pictures wider than 40 pixels are thinned out.

    >>> import numpy as np
    >>> print(shade(np.uint8([[0, 255], [128, 64]])))
      @@
    ++::
    """
    grey = image.mean(axis=2) if image.ndim == 3 else image
    step = -(-grey.shape[1] // 40)
    levels = grey[::step, ::step].astype(int) * len(SHADES) // 256
    return "\n".join("".join(SHADES[level] * 2 for level in row).rstrip() for row in levels)


def pixel_row(image: UInt8[np.ndarray, "H W *C"], row: int) -> tuple[str, str]:
    """Write one row of pixels, before scaling and after; of colour pictures the first channel.

    >>> import numpy as np
    >>> pixel_row(np.uint8([[0, 2, 255]]), 0)
    ('0 2 255', '0. 0.00784314 1.')
    """
    import numpy as np  # keeps `--help` fast

    pixels = image[row] if image.ndim == 2 else image[row, :, 0]
    scaled = (np.format_float_positional(level / 255, precision=8) for level in pixels)
    return " ".join(str(level) for level in pixels), " ".join(scaled)


def label_table(classes: tuple[str, ...]) -> str:
    """Write the classes as a Markdown table.

    >>> print(label_table(("cat", "dog")))
    | label | class |
    |------:|-------|
    |     0 | cat   |
    |     1 | dog   |
    """
    width = max(5, *(len(name) for name in classes))
    lines = [f"| label | {'class':<{width}} |", f"|------:|{'-' * (width + 2)}|"]
    lines += [
        f"| {k:>5} | {name.replace('|', chr(92) + '|'):<{width}} |"
        for k, name in enumerate(classes)
    ]
    return "\n".join(lines)


def balance(dataset: Dataset) -> str:
    """Write how many pictures each class has, with bars."""
    most = int(dataset.counts.max())
    rows = [
        [name, f"{count:,}", bar(count / most, 24)]
        for name, count in zip(dataset.classes, dataset.counts, strict=True)
    ]
    return table(rows, right={1})


# ---- runs and results ----


def results(found: dict[str, Any]) -> str:
    """Write what an evaluation found."""
    rows = [["class", "precision", "recall", "F1", "pictures"]]
    rows += [
        [
            one["class"],
            *(percent(one[key]) for key in ("precision", "recall", "f1")),
            f"{one['n']:,}",
        ]
        for one in found["per_class"]
    ]
    confused = "\n".join(
        f"  {one['pair'][0]} and {one['pair'][1]}: {one['count']:,} "
        f"({one['first_as_second']:,} and {one['second_as_first']:,})"
        for one in found["most_confused"]
    )
    return (
        f"test accuracy      {percent(found['accuracy'], 2)}  ({interval(found['interval'])}, "
        f"{found['n']:,} pictures)\n"
        f"test loss          {found['loss']:.4f}  "
        f"(before calibration: {found['uncalibrated_loss']:.4f})\n"
        f"calibration error  {percent(found['ece'], 2)}  "
        "(how far percentages and truth lie apart, on average)\n\n"
        f"{table(rows, right={1, 2, 3, 4})}\n\n"
        f"most confused\n{confused or '  none'}"
    )


def prediction(one: Prediction) -> str:
    """Write a prediction with its probabilities as bars."""
    verdict = {True: "right", False: "wrong", None: ""}[one.right]
    truth = "" if one.truth is None else f"   true class: {one.classes[one.truth]} ({verdict})"
    inverted = (
        "\n  (seen inverted: light and dark are swapped between it and what the model learnt from)"
    )
    rows = [
        [
            "→" if k == one.label else " ",
            one.classes[k],
            percent(float(one.probs[k])),
            bar(float(one.probs[k])),
        ]
        for k in one.shown_classes()
    ]
    return (
        f"{one.source}: {one.name}, {percent(one.confidence)}{truth}"
        f"{inverted if one.inverted else ''}\n{table(rows, right={2})}"
    )


def run_table(runs: list[Run]) -> str:
    """Write runs as a table: recipe, data, accuracy, duration."""
    rows = [["run", "recipe", "data", "accuracy", "fit", "started (UTC)"]]
    for run in runs:
        evaluation = run.evaluation()
        validation = run.metrics["validation"]
        if evaluation:
            shown = f"{percent(evaluation['accuracy'], 2)} test"
        else:
            shown = (
                f"{percent(validation['accuracy'], 2)} validation" if validation else "not known"
            )
        rows.append(
            [
                str(run.folder),
                run.recipe["name"],
                run.conditions["data"]["name"].rsplit("/", 1)[-1],
                shown,
                duration(run.metrics["fit_seconds"])
                + (" (stopped)" if run.metrics["stopped"] else ""),
                run.conditions["started"][:16].replace("T", " "),
            ]
        )
    return table(rows)


def trained(run: Run) -> str:
    """Write how a training ended: accuracy on validation, and where the time went."""
    seconds = run.conditions["seconds"]
    parts = ", ".join(f"{name} {duration(took)}" for name, took in seconds.items() if took >= 0.05)
    found = run.metrics["validation"]
    lines = [f"time                 {duration(sum(seconds.values()))}  ({parts})"]
    if found:
        of = " of a twin trained without these pictures" if run.conditions["final"] else ""
        lines.insert(
            0,
            f"validation accuracy  {percent(found['accuracy'], 2)}{of}  "
            f"({interval(found['interval'])}, {found['n']:,} pictures)",
        )
    return "\n".join(lines)


# ---- progress ----


def epoch_line(progress: Progress) -> str:
    """Write the state of a training in one line."""
    validation = ""
    if progress.val_loss is not None and progress.val_accuracy is not None:
        validation = (
            f"  val loss {progress.val_loss:.4f}  val accuracy {percent(progress.val_accuracy, 2)}"
        )
    twin = "" if progress.stage == "training" else f"{progress.stage}  "
    return (
        f"{twin}epoch {progress.epoch:>{len(str(progress.epochs))}}/{progress.epochs}  "
        f"{progress.pictures:,}/{progress.pictures_per_epoch:,} pictures  "
        f"loss {progress.loss:.4f}  accuracy {percent(progress.accuracy, 2)}{validation}  "
        f"{duration(progress.seconds_left)} left"
    )


@contextmanager
def show_progress() -> Iterator[Tell]:
    """Give a listener for `train`: a moving bar in a terminal, plain lines in a pipe."""
    with _moving_bar() if sys.stderr.isatty() else _plain_lines() as tell:
        yield tell


@contextmanager
def _plain_lines() -> Iterator[Tell]:
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        if progress.epoch_ended or time.monotonic() - last > QUIET:
            last = time.monotonic()
            sys.stderr.write(epoch_line(progress) + "\n")
            sys.stderr.flush()

    yield tell


@contextmanager
def _moving_bar() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[now]}"),
    )
    with Bar(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None, now="")

        def tell(progress: Progress) -> None:
            bars.update(
                task,
                description=f"epoch {progress.epoch}/{progress.epochs}",
                completed=progress.pictures,
                total=progress.pictures_per_epoch,
                now=f"{progress.pictures:,}/{progress.pictures_per_epoch:,} pictures  "
                f"loss {progress.loss:.4f}  accuracy {percent(progress.accuracy)}  "
                f"{duration(progress.seconds_left)} left",
            )
            if progress.epoch_ended:
                bars.console.print(epoch_line(progress), highlight=False, soft_wrap=True)

        yield tell


@contextmanager
def show_download() -> Iterator[Any]:
    """Give a listener for `fetch`: bytes of each file, in a terminal or a pipe."""
    last = ("", 0.0)

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if what == last[0] and now - last[1] < (0.2 if sys.stderr.isatty() else QUIET):
            return
        last = (what, now)
        amount = f"  {done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else ""
        ends = "\r" if sys.stderr.isatty() else "\n"
        sys.stderr.write(f"{what}{amount}{ends}")
        sys.stderr.flush()

    yield report
    if last[0] and sys.stderr.isatty():
        sys.stderr.write("\x1b[2K")  # clear the line
