"""What goes to a terminal: messages, next steps, tables, bars, and nothing that steers it."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.cells import cell_len, set_cell_size

from lookbook.core import files
from lookbook.core.environment import Launch
from lookbook.core.translation import t, translate
from lookbook.errors import LookbookWarning

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

SHADES = " .:-=+*#%@"
EIGHTHS = " ▏▎▍▌▋▊▉"


# ---- what is written, without what steers a terminal ----


def can_show(text: str) -> bool:
    """Say whether the standard output has these characters in its encoding."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")  # None where it is a text in memory
    except UnicodeEncodeError:
        return False
    return True


def visible(text: str) -> str:
    r"""Write line breaks and other characters that nobody sees as their codes.

    >>> print(visible("two\nlines"))
    two\nlines
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


#: letters and emoji are joined by these; they are not printable as such
_JOINERS = "\u200c\u200d"


def harmless(text: str) -> str:
    r"""Write as codes what would steer a terminal or turn its letters around; keep line breaks.

    >>> print(harmless("two\nlines, \x1b[31mred\u202e"))
    two
    lines, \x1b[31mred\u202e
    """
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else repr(c)[1:-1] for c in text)


def harmless_json(text: str) -> str:
    r"""Write as JSON's codes what would steer a terminal.

    >>> print(harmless_json('{"input": "\u202egnp"}'))
    {"input": "\u202egnp"}
    """
    return "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def _is_harmless(c: str) -> bool:
    return c.isprintable() or c in "\n\t" + _JOINERS or unicodedata.category(c) == "Zs"


class Harmless:
    """A text stream on which names of files and classes cannot steer the terminal.

    Whoever means to steer it writes to `rich_proxied_file`, as rich does: its progress bars and the
    colours of the help pass as they are.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write a text without what would steer the terminal."""
        return self.rich_proxied_file.write(harmless(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def harmless_streams() -> Iterator[None]:
    """Let nothing that is printed in a block steer the terminal: names of files are anybody's."""
    before = sys.stdout, sys.stderr
    # None where there is no terminal at all
    guarded: list[Any] = [stream and Harmless(stream) for stream in before]
    sys.stdout, sys.stderr = guarded
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


# ---- messages ----

_quiet = False


def set_quiet(quiet: bool) -> None:  # noqa: FBT001  # as the command line's options are given
    """Print results and errors alone, or notes, progress and next steps again."""
    global _quiet  # noqa: PLW0603  # one terminal, one process
    _quiet = quiet


def is_quiet() -> bool:
    """Say whether results and errors alone are to be shown."""
    return _quiet


def say(message: str) -> None:
    """Print a message beside the results."""
    # one line: a name with a line break in it says nothing of its own
    print(message.replace("\n", "\\n"), file=sys.stderr)


def say_error(message: str) -> None:
    """Print an error in the language of the user."""
    say(f"{t('error')}: {as_typed(translate(message))}")


#: notes that this command told: both parts of a folder may have the same
_told: set[str] = set()


def forget_notes() -> None:
    """Let every note be told again: another command begins."""
    _told.clear()


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a note of this program once, in place of `warnings.showwarning`."""
    note = f"{t('note')}: {as_typed(translate(str(message)))}"
    if issubclass(category, LookbookWarning) and not is_quiet() and note not in _told:
        _told.add(note)
        say(note)


def command_line(*words: object) -> str:
    """Write a command of this program as a shell takes it."""
    return shlex.join(["lookbook", *map(str, words)]).replace("\n", "\\n")


#: function of the package → words of the command that does the same
_COMMANDS = {
    "evaluate": ("evaluate",),
    "export": ("export",),
    "list_runs": ("runs",),
    "load": ("look",),
    "load_data": ("fetch",),
    "predict": ("predict",),
    "resume": ("train", "--resume"),
    "train": ("train",),
}
#: those whose work the processes that torchrun started share: advised to them, it is to them all
_SHARED = ("resume", "train")
#: an argument, an argument with its value, or a call, as errors name them
_MARKED = re.compile(
    "`((?:address|backbone|backbone_mean|backbone_std|budget|corrections|coverage|epochs|figure|final"
    "|from_scratch|groups|host|mirror|onnxruntime|out|port|processes"
    rf"|recipe|sets|size)(?:='[a-z]+')?|lookbook[.](?:{'|'.join(_COMMANDS)})\([^`]*\))`"
)


def as_typed(message: str) -> str:
    """Write the arguments and calls that an error names as flags and commands.

    >>> as_typed("choose another `out`, or go on: `lookbook.resume('my run')`")
    "choose another --out, or go on: lookbook train --resume 'my run'"
    """
    return _MARKED.sub(_typed, message)


def _typed(marked: re.Match[str]) -> str:
    try:
        said = ast.parse(marked[1]).body[0]
        match said:
            case ast.Expr(ast.Call(ast.Attribute(attr=function), arguments, named)):
                given = [word for each in arguments for word in _words(each)]
                options = {str(each.arg): ast.literal_eval(each.value) for each in named}
                return call_line(function, *given, **options)
            case ast.Assign([ast.Name(name)], value):
                return f"--{name} {ast.literal_eval(value)}"
            case ast.Expr(ast.Name(name)):
                return f"--{name.replace('_', '-')}"
    except (SyntaxError, ValueError):
        pass
    return marked[0]  # the name of a file, or whatever else


def _words(argument: ast.expr) -> list[str]:
    """Return what a command takes for an argument: of `...` nothing, of the name `run` RUN."""
    if isinstance(argument, ast.Name):
        return [argument.id.upper()]
    value = ast.literal_eval(argument)
    return [] if value is ... else [str(value)]


def call_line(function: str, *arguments: object, **named: object) -> str:
    """Write a call of this package as the command that does the same.

    >>> call_line("train", "mnist", recipe="quick", size=None, mirror=False)
    'lookbook train mnist --recipe quick --no-mirror'
    """
    words: list[object] = [*_COMMANDS[function], *arguments]
    for name, value in named.items():
        if value is False:
            words.append(f"--no-{name}")
        elif value is not None:
            words += [f"--{name}"] if value is True else [f"--{name}", value]
    command = command_line(*words)
    return shared(command, Launch.here().local_size) if function in _SHARED else command


def shared(command: str, processes: int) -> str:
    """Write a command as so many processes of this machine begin it together.

    >>> shared("lookbook train mnist", 2)
    'torchrun --nproc-per-node 2 -m lookbook train mnist'
    """
    return f"torchrun --nproc-per-node {processes} -m {command}" if processes > 1 else command


def suggest(first: str, *others: str, apart: bool = False) -> None:
    """Print what can be done next, below a blank line where it stands `apart`."""
    if not is_quiet():
        said = t("next") + ":"
        below = f"\n{' ' * cell_len(said)} "
        print("\n" * apart + f"{said} {below.join((first, *others))}")


def print_paths(what: str, paths: list[Path]) -> None:
    """Print paths below each other, after what they are."""
    print(labelled([("" if i else what, str(path)) for i, path in enumerate(paths)]))


def print_json(document: Any) -> None:
    """Print a document as JSON."""
    text = harmless_json(files.to_json(document))
    # programs read it: better \u codes than question marks where the output lacks a letter
    print(text if can_show(text) else json.dumps(document, indent=2) + "\n", end="")


# ---- texts ----


def bar(share: float, width: int = 30) -> str:
    """Draw a share of 0 to 1 in eighths of a character; in whole ones where there are no eighths.

    >>> bar(0.5, width=4), bar(0.28, width=4)
    ('██  ', '█▏  ')
    """
    if not can_show("█" + EIGHTHS):
        return ("#" * round(share * width)).ljust(width)
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def percent(share: float, digits: int = 1) -> str:
    """Write a share as a percentage.

    >>> percent(0.8863, 2)
    '88.63 %'
    """
    return t("{percent} %", percent=f"{100 * share:.{digits}f}")


def interval(bounds: list[float] | tuple[float, float]) -> str:
    """Write a 95 % interval.

    >>> interval((0.8799, 0.8924))
    '95 % interval 88.0 to 89.2 %'
    """
    low, high = (100 * bound for bound in bounds)
    return t("95 % interval {low:.1f} to {high:.1f} %", low=low, high=high)


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    >>> duration(0.034), duration(8.62), duration(75), duration(7260)
    ('0.03 s', '8.6 s', '1 min 15 s', '2 h 1 min')
    """
    if 0.001 <= seconds < 0.995:
        return t("{seconds:.2f} s", seconds=seconds)
    if seconds < 59.95:
        return t("{seconds:.1f} s", seconds=seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return t("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
    return t("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)


def table(rows: list[list[str]], right: set[int] | None = None) -> str:
    """Line up columns; those whose numbers stand in `right` end at the same place.

    >>> print(table([["class", "n"], ["Bag", "1,000"]], right={1}))
    class      n
    Bag    1,000
    """
    # 20 ms to import, for the commands that print a table
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for i in range(len(rows[0])):
        grid.add_column(justify="right" if i in (right or set()) else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(visible(cell)) for cell in row))
    # wide enough for any line: terminals break lines themselves, and pipes do not
    console = Console(width=1_000_000, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def labelled(rows: list[tuple[str, str]]) -> str:
    """Write results on a line each, after what they are.

    >>> print(labelled([("accuracy", "88.6 %"), ("time", "8.6 s")]))
    accuracy  88.6 %
    time      8.6 s
    """
    width = max(cell_len(label) for label, _ in rows)
    return "\n".join(f"{set_cell_size(label, width)}  {text}" for label, text in rows)


def shade(image: UInt8[np.ndarray, "H W *C"]) -> str:
    """Draw an image in characters, two for each pixel, dark for low values.

    Images wider than 40 pixels are thinned out.

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
    """Write one row of pixels, before scaling and after; of colour images the first channel.

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
    names = [visible(name).replace("|", chr(92) + "|") for name in classes]
    heads = t("label"), t("class")
    first, second = cell_len(heads[0]), max(cell_len(name) for name in (heads[1], *names))
    lines = [f"| {heads[0]} | {set_cell_size(heads[1], second)} |"]
    lines += [f"|{'-' * (first + 1)}:|{'-' * (second + 2)}|"]
    lines += [f"| {k:>{first}} | {set_cell_size(name, second)} |" for k, name in enumerate(names)]
    return "\n".join(lines)
