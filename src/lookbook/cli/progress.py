"""Show how far long work is: a moving bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lookbook.cli import terminal
from lookbook.core.translation import t, translate

if TYPE_CHECKING:
    from lookbook.training.loop import Progress, Tell

_quiet = False


def set_quiet(quiet: bool) -> None:  # noqa: FBT001  # as the command line's options are given
    """Show nothing of how far work is, or show it again."""
    global _quiet  # noqa: PLW0603  # one terminal, one process
    _quiet = quiet


def is_quiet() -> bool:
    """Say whether results and errors alone are to be shown."""
    return _quiet


#: seconds after which a long epoch tells of itself where nobody sees a moving bar
QUIET = 10.0
#: columns below which the moving bar is a short one, so that its line still fits
NARROW = 100


@contextmanager
def show_progress() -> Iterator[Tell]:
    """Give a listener for `train`: a moving bar in a terminal, plain lines in a pipe."""
    if _quiet:
        yield _say_nothing
        return
    with _moving_bar() if sys.stderr.isatty() else _plain_lines() as tell:
        yield tell


def _say_nothing(*_: object) -> None:
    """Listen, and show nothing."""


@contextmanager
def _plain_lines() -> Iterator[Tell]:
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        if progress.epoch_ended or time.monotonic() - last > QUIET:
            last = time.monotonic()
            sys.stderr.write(terminal.epoch_line(progress) + "\n")
            sys.stderr.flush()

    yield tell


@contextmanager
def _moving_bar() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    narrow = console.width < NARROW
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10 if narrow else 20),
        TextColumn("{task.fields[now]}"),
    )
    with Bar(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None, now="")

        def tell(progress: Progress) -> None:
            bars.update(
                task,
                description=terminal.stage(progress),
                completed=progress.images,
                total=progress.images_per_epoch,
                now=_now(progress, narrow=narrow),
            )
            if progress.epoch_ended:
                bars.console.print(terminal.epoch_line(progress), highlight=False, soft_wrap=True)

        yield tell


def _now(progress: Progress, *, narrow: bool) -> str:
    done, whole = progress.images, progress.images_per_epoch
    parts = [f"{done:,}/{whole:,}"]
    if not narrow:
        parts = [t("{done:,}/{all:,} images", done=done, all=whole)]
        parts.append(t("loss {loss:.4f}", loss=progress.loss))
    return "  ".join(
        (
            *parts,
            t("accuracy {accuracy}", accuracy=terminal.percent(progress.accuracy)),
            t("{time} left", time=terminal.duration(progress.seconds_left)),
        )
    )


@contextmanager
def show_steps() -> Iterator[Callable[[str, float], None]]:
    """Give a listener for long work in steps: what is done now, and how long all still takes."""
    if _quiet:
        yield _say_nothing
        return
    start = time.monotonic()
    moving = sys.stderr.isatty()

    def tell(step: str, done: float) -> None:
        line = terminal.step_line(step, done, time.monotonic() - start)
        if moving:
            _clear_line(line + "\r")
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        if moving:
            _clear_line()


def _clear_line(text: str = "") -> None:
    """Clear the line of a terminal, which is meant to be steered here, and write another."""
    raw = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
    raw.write(f"\x1b[2K{text}")
    raw.flush()


@contextmanager
def show_download() -> Iterator[Any]:
    """Give a listener for `fetch`: bytes of each file, in a terminal or a pipe."""
    if _quiet:
        yield _say_nothing
        return
    last = ("", 0.0)

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if what == last[0] and now - last[1] < (0.2 if sys.stderr.isatty() else QUIET):
            return
        last = (what, now)
        line = translate(what)
        if total:
            line += "  " + t("{done:.1f} of {all:.1f} MB", done=done / 1e6, all=total / 1e6)
        if sys.stderr.isatty():
            _clear_line(f"{line}\r")
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    yield report
    if last[0] and sys.stderr.isatty():
        _clear_line()
