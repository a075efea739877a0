"""Progress of long work: a bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lookbook.cli import terminal
from lookbook.core.listeners import listen
from lookbook.core.translation import t, translate

if TYPE_CHECKING:
    from lookbook.training.callbacks import Progress, Tell

#: seconds after which a long epoch tells of itself where nobody sees a moving bar
QUIET = 10.0
#: seconds after which something that moves is shown
SOON = 1.0
#: columns below which the moving bar is a short one, so that its line still fits
NARROW = 100


@contextmanager
def show_progress() -> Iterator[Tell]:
    """Give a listener for `train`: a moving bar in a terminal, plain lines in a pipe."""
    if terminal.is_quiet():
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
            sys.stderr.write(epoch_line(progress) + "\n")
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
                description=stage(progress),
                completed=progress.images,
                total=progress.images_per_epoch,
                now=_now(progress, narrow=narrow),
            )
            if progress.epoch_ended:
                bars.console.print(epoch_line(progress), highlight=False, soft_wrap=True)

        start = time.monotonic()

        def tell_reading(done: int, n: int) -> None:
            nonlocal start
            if done in (0, n):
                start = time.monotonic()
                bars.reset(task, description="", now="")
            else:
                left = (time.monotonic() - start) * (n - done) / done
                now = images_line(done, n, left)
                bars.update(task, description=t("reading"), completed=done, total=n, now=now)

        with listen(tell_reading):
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
    if terminal.is_quiet():
        yield _say_nothing
        return
    start = time.monotonic()
    moving = sys.stderr.isatty()

    def tell(step: str, done: float) -> None:
        _write_over(step_line(step, done, time.monotonic() - start))

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
    if terminal.is_quiet():
        yield _say_nothing
        return
    last = ("", 0.0)

    def report(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if what == last[0] and now - last[1] < _pause():
            return
        last = (what, now)
        line = translate(what)
        if total:
            line += "  " + t("{done:.1f} of {all:.1f} MB", done=done / 1e6, all=total / 1e6)
        _write_over(line)

    yield report
    if last[0] and sys.stderr.isatty():
        _clear_line()


@contextmanager
def show_images() -> Iterator[Callable[[int, int], None]]:
    """Give a listener for work on many images: how many are done, and how long all still takes."""
    line = _ImagesLine(str)
    try:
        yield line.tell
    finally:
        line.clear()


@contextmanager
def show_reading() -> Iterator[None]:
    """Show how far each reading of image files is that comes in a block and takes its time."""
    line = _ImagesLine(lambda what: f"{t('reading')}  {what}")
    try:
        with listen(line.tell):
            yield
    finally:
        line.clear()


class _ImagesLine:
    """A line that says how many images are done, where that takes longer than a moment."""

    def __init__(self, write: Callable[[str], str]) -> None:
        self._write = write
        self._start = self._last = time.monotonic()
        #: how many were done, and when: of work that does not say when it starts, when the first
        #: were, as until then processes and files were opened
        self._first: tuple[int, float] | None = None

    def tell(self, done: int, n: int) -> None:
        """Show it anew where it is time to; none done is the start of another work."""
        now = time.monotonic()
        if done in (0, n):
            self.clear()
            self._start = self._last = now
            self._first = (0, now) if done == 0 else None
            return
        before, since = self._first = self._first or (done, now)
        if now - self._last >= max(_pause(), 0 if self._stands else SOON):
            self._last = now
            sure = done > before and now - since >= SOON
            left = (now - since) * (n - done) / (done - before) if sure else None
            if not terminal.is_quiet():
                _write_over(self._write(images_line(done, n, left)))

    @property
    def _stands(self) -> bool:
        return self._last > self._start

    def clear(self) -> None:
        """Leave nothing of it in a terminal."""
        if self._stands and sys.stderr.isatty() and not terminal.is_quiet():
            _clear_line()


def images_line(done: int, n: int, left: float | None) -> str:
    """Write how many images are done, and how long all still takes, if that is known.

    >>> images_line(1200, 3000, 30.0), images_line(1, 3000, None)
    ('1,200/3,000 images, about 30.0 s left', '1/3,000 images')
    """
    what = t("{done:,}/{all:,} images", done=done, all=n)
    if left is None:
        return what
    return t("{what}, about {time} left", what=what, time=terminal.duration(left))


def _pause() -> float:
    """Return the seconds after which there is something new to be shown."""
    return 0.2 if sys.stderr.isatty() else QUIET


def _write_over(line: str) -> None:
    """Write a line over the last one of a terminal, or below the last one of a pipe."""
    if sys.stderr.isatty():
        _clear_line(f"{line}\r")
    else:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def stage(progress: Progress) -> str:
    """Write the epoch, and of a calibration twin that it is one."""
    twin = "" if progress.stage == "training" else f"{t(progress.stage)}  "
    if progress.epochs is None:
        return twin + t("epoch {epoch}", epoch=progress.epoch)
    epoch = f"{progress.epoch:>{len(str(progress.epochs))}}/{progress.epochs}"
    return twin + t("epoch {epoch}", epoch=epoch)


def epoch_line(progress: Progress) -> str:
    """Write the state of a training in one line."""
    parts = [
        stage(progress),
        t("{done:,}/{all:,} images", done=progress.images, all=progress.images_per_epoch),
        t("loss {loss:.4f}", loss=progress.loss),
        t("accuracy {accuracy}", accuracy=terminal.percent(progress.accuracy, 2)),
    ]
    if progress.val_loss is not None and progress.val_accuracy is not None:
        parts += [
            t("val loss {loss:.4f}", loss=progress.val_loss),
            t("val accuracy {accuracy}", accuracy=terminal.percent(progress.val_accuracy, 2)),
        ]
    return "  ".join([*parts, t("{time} left", time=terminal.duration(progress.seconds_left))])


#: steps of a report, as they are called while they last
STEPS = {
    "answers": "answers to the test images",
    "out-of-fold": "answers of networks that have not seen the images",
    "duplicates": "duplicates and suspected labels",
    "map": "a map of the test images",
    "nearest": "training images nearest to the mistakes",
    "occlusion": "where the model looked",
    "robustness": "robustness",
    "page": "the page",
}


def step_line(step: str, done: float, seconds: float) -> str:
    """Write which step of a report begins, and how long all still takes.

    >>> step_line("page", 0.8, 20.0)
    '80 %  the page, about 5.0 s left'
    """
    what = f"{terminal.percent(done, 0)}  {t(STEPS[step])}"
    if done == 0:
        return what
    return t(
        "{what}, about {time} left", what=what, time=terminal.duration(seconds * (1 - done) / done)
    )
