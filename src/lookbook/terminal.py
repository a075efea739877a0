"""Say in a terminal what was found: tables, bars, shaded pictures. Nothing is printed."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from lookbook.runs import is_on_validation

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from lookbook.calibration import Verdict
    from lookbook.datasets import Dataset
    from lookbook.fitting import Progress
    from lookbook.int8 import Comparison
    from lookbook.metrics import Weakness
    from lookbook.prediction import Prediction
    from lookbook.runs import Run

SHADES = " .:-=+*#%@"
EIGHTHS = " ▏▎▍▌▋▊▉"


def can_show(text: str) -> bool:
    """Say whether the standard output has these characters in its encoding."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")  # None where it is a text in memory
    except UnicodeEncodeError:
        return False
    return True


def bar(share: float, width: int = 30) -> str:
    """Draw a share of 0 to 1 in eighths of a character; in whole ones where there are no eighths.

    >>> bar(0.5, width=4), bar(0.28, width=4)
    ('██  ', '█▏  ')
    """
    if not can_show("█" + EIGHTHS):
        return ("#" * round(share * width)).ljust(width)
    full, rest = divmod(round(share * width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


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


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese, Japanese, Korean take two each.

    >>> columns("Bag"), columns("가방")
    (3, 4)
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _pad(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - columns(text))
    return space + text if right else text + space


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
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = right or set()
    lines = [
        "  ".join(
            _pad(cell, width, right=i in right)
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
    names = [visible(name).replace("|", chr(92) + "|") for name in classes]
    width = max(5, *(columns(name) for name in names))
    lines = [f"| label | {'class':<{width}} |", f"|------:|{'-' * (width + 2)}|"]
    lines += [f"| {k:>5} | {_pad(name, width)} |" for k, name in enumerate(names)]
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


def warnings_of(weaknesses: Sequence[Weakness], indent: int = 19) -> str:
    """Write why a trained network is not to be relied on, each on a line."""
    from lookbook.metrics import WEAKNESSES  # keeps `--help` fast

    return "".join(f"{'warning':{indent}}{WEAKNESSES[each]}\n" for each in weaknesses)


def results(found: dict[str, Any], weaknesses: Sequence[Weakness] = ()) -> str:
    """Write what an evaluation found, of a network with these weaknesses."""
    from lookbook import metrics  # keeps `--help` fast

    rows = [["class", "precision", "recall", "F1", "pictures"]]
    none = "–" if can_show("–") else "-"
    for one, shares in zip(found["per_class"], metrics.class_shares(found), strict=True):
        written = [none if share is None else percent(share) for share in shares.values()]
        rows.append([one["class"], *written, f"{one['n']:,}"])
    confused = "\n".join(
        f"  {visible(one['pair'][0])} and {visible(one['pair'][1])}: {one['count']:,} "
        f"({one['first_as_second']:,} and {one['second_as_first']:,})"
        for one in found["most_confused"]
    )
    on_validation = is_on_validation(found)
    accuracy, loss = ("accuracy", "loss") if on_validation else ("test accuracy", "test loss")
    return (
        f"{accuracy:<19}{percent(found['accuracy'], 2)}  ({interval(found['interval'])}, "
        f"{found['n']:,} pictures)\n"
        f"{_on_validation() if on_validation else ''}"
        f"{_baseline(found)}{_few_tested(found)}"
        f"{warnings_of([each for each in weaknesses if each == 'under_one_epoch'])}"
        f"{loss:<19}{found['loss']:.4f}  "
        f"(before calibration: {found['uncalibrated_loss']:.4f})\n"
        f"calibration error  {percent(found['ece'], 2)}  "
        f"(exactly true percentages would show {percent(found['ece_by_chance'], 2)})\n"
        f"{_thresholds(found['thresholds'])}\n"
        f"{table(rows, right={1, 2, 3, 4})}\n\n"
        f"most confused\n{confused or '  none'}"
    )


def _baseline(found: dict[str, Any]) -> str:
    """Write what guessing would give, and warn where the model does not do clearly better."""
    name, balanced = visible(found["commonest"]), percent(found["balanced_accuracy"], 2)
    text = (
        f"balanced accuracy  {balanced}  (the mean recall of the classes: each counts the same)\n"
        f"commonest class    {percent(found['commonest_share'], 2)}  (the accuracy of always "
        f"answering {name})\n"
    )
    if found["above_commonest"]:
        return text
    return (
        f"{text}warning            not clearly better than always answering the commonest class\n"
    )


def _on_validation() -> str:
    """Write that the data has no test part."""
    return (
        "measured on        the validation part, as there is no test part: percentages and "
        "thresholds were set by\n                   it, and new pictures may be answered a little "
        "worse\n"
    )


def _few_tested(found: dict[str, Any]) -> str:
    """Warn of classes that few test pictures show."""
    import numpy as np  # keeps `--help` fast

    from lookbook.datasets import few_tested

    names = tuple(visible(name) for name in found["classes"])
    warning = few_tested(names, np.array([one["n"] for one in found["per_class"]]))
    return f"warning            {warning}\n" if warning else ""


def _thresholds(found: dict[str, float] | None) -> str:
    """Write what thresholds of the validation part do on the test part."""
    if found is None:
        return (
            "not sure           cannot be said, nor were the percentages calibrated: too few "
            "validation pictures\n"
        )
    asked = f"{found['coverage']:g}"
    return (
        f"not sure           where it may say so, it answers {percent(found['answered'])}, and "
        f"{percent(found['right'])} of these right  (--coverage {asked})\n"
        f"likely classes     sets of {found['set_size']:.2f} on average hold the right one for "
        f"{percent(found['held'])}  (--sets {asked})\n"
        f"not one of these   said of {percent(found['refused'])}, wrongly: all of them are\n"
    )


#: what is made of an answer → the words before its class; the same in all that shows answers
VERDICTS: dict[Verdict, str] = {
    "answer": "",
    "not sure": "not sure; most likely ",
    "not one of these": "not one of these? most likely ",
}


def answer_line(one: Prediction) -> str:
    """Write a prediction on one line, without its probabilities."""
    inverted = "  (seen inverted)" if one.inverted else ""
    return f"{_answer(one)}{inverted}{''.join(f'  {said}' for said in _likely(one))}"


def prediction(one: Prediction) -> str:
    """Write a prediction with its probabilities as bars."""
    arrow = "→" if can_show("→") else ">"
    rows = [
        [
            arrow if k == one.label else " ",
            one.classes[k],
            percent(float(one.probs[k])),
            bar(float(one.probs[k])),
        ]
        for k in one.shown_classes()
    ]
    said = [_answer(one), *_beside(one), *_likely(one)]
    return "\n  ".join(said) + f"\n{table(rows, right={2})}"


def _answer(one: Prediction) -> str:
    """Write what is made of a prediction, and the truth where it is known."""
    truth = ""
    if one.truth is not None:
        right = "right" if one.right else "wrong"
        truth = f"   true class: {visible(one.classes[one.truth])} ({right})"
    said = f"{VERDICTS[one.verdict]}{visible(one.name)}, {percent(one.confidence)}"
    return f"{visible(one.source)}: {said}{truth}"


def _beside(one: Prediction) -> list[str]:
    """Write what a reader has to know beside a prediction."""
    said = []
    if one.strange:
        said.append("(it is unlike the pictures that the model learnt from)")
    if one.inverted:
        said.append(
            "(seen inverted: light and dark are swapped between it and what the model learnt from)"
        )
    return said


def _likely(one: Prediction) -> list[str]:
    """Write the classes that are likely, where that was asked for."""
    if one.likely is None:
        return []
    names = ", ".join(visible(one.classes[k]) for k in one.likely)
    return [f"likely: {names or 'no class; it is too unsure of all of them'}"]


def comparison(found: Comparison) -> str:
    """Write how a model in 8 bits compares with the same in 32, and which one to use."""
    of = "training accuracy" if found.final else "validation accuracy"
    rows = [["", of, "size", "pictures a second"]]
    for i, bits in enumerate(("8 bits", "32 bits")):
        size, speed = f"{found.size[i] / 1000:,.0f} kB", f"{found.speed[i]:,.0f}"
        rows.append([bits, percent(found.accuracy[i], 2), size, speed])
    smaller = found.size[0] < found.size[1]
    if found.pays:
        use = f"use it: it is faster here{' and smaller' if smaller else ''}"
    elif smaller:
        use = "use it where size counts; it is not faster here, so keep model.onnx otherwise"
    else:
        use = "keep model.onnx: this one is neither smaller nor faster here"
    return (
        f"wrote  {found.path}\n\n{table(rows, right={1, 2, 3})}\n\n"
        f"same class for {percent(found.agreement, 2)} of {found.n:,} pictures\n{use}"
    )


def run_table(runs: list[Run]) -> str:
    """Write runs as a table: recipe, data, accuracy, duration."""
    rows = [["run", "recipe", "data", "accuracy", "fit", "started (UTC)"]]
    for run in runs:
        evaluation = run.evaluation()
        validation = run.metrics["validation"]
        if evaluation:
            part = "validation" if is_on_validation(evaluation) else "test"
            shown = f"{percent(evaluation['accuracy'], 2)} {part}"
        else:
            shown = (
                f"{percent(validation['accuracy'], 2)} validation" if validation else "not known"
            )
        if weaknesses := run.metrics.get("weaknesses"):
            short = {"under_one_epoch": "under an epoch", "not_above_commonest": "as guessing"}
            shown += f" ({', '.join(short[each] for each in weaknesses)})"
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


def trained(run: Run, whole: float) -> str:
    """Write how a training ended: accuracy on validation, and where the `whole` time went."""
    seconds = dict(run.conditions["seconds"])
    seconds["saving and the rest"] = whole - sum(seconds.values())
    parts = ", ".join(f"{name} {duration(took)}" for name, took in seconds.items() if took >= 0.05)
    found = run.metrics["validation"]
    epochs = run.metrics["epochs"]
    lines = [
        f"recipe               {run.recipe['name']}, epochs: {epochs:,.4g}",
        f"time                 {duration(whole)}  ({parts})",
    ]
    if found:
        of = " of a twin trained without these pictures" if run.conditions["final"] else ""
        lines.insert(
            0,
            f"validation accuracy  {percent(found['accuracy'], 2)}{of}  "
            f"({interval(found['interval'])}, {found['n']:,} pictures)",
        )
    weaknesses = run.metrics["weaknesses"]
    lines += warnings_of(weaknesses, 21).splitlines()
    if weaknesses:
        lines.append(f"{'':21}give it more time (--budget, --epochs) or more pictures")
    return "\n".join(lines)


# ---- progress ----


def stage(progress: Progress) -> str:
    """Write the epoch, and of a calibration twin that it is one."""
    twin = "" if progress.stage == "training" else f"{progress.stage}  "
    if progress.epochs is None:
        return f"{twin}epoch {progress.epoch}"
    return f"{twin}epoch {progress.epoch:>{len(str(progress.epochs))}}/{progress.epochs}"


def epoch_line(progress: Progress) -> str:
    """Write the state of a training in one line."""
    validation = ""
    if progress.val_loss is not None and progress.val_accuracy is not None:
        validation = (
            f"  val loss {progress.val_loss:.4f}  val accuracy {percent(progress.val_accuracy, 2)}"
        )
    return (
        f"{stage(progress)}  "
        f"{progress.pictures:,}/{progress.pictures_per_epoch:,} pictures  "
        f"loss {progress.loss:.4f}  accuracy {percent(progress.accuracy, 2)}{validation}  "
        f"{duration(progress.seconds_left)} left"
    )


#: steps of a report, as they are called while they last
STEPS = {
    "answers": "answers to the test pictures",
    "opinions": "opinions of networks that have not seen the pictures",
    "doubles": "doubles and suspected labels",
    "map": "a map of the test pictures",
    "nearest": "training pictures nearest to the mistakes",
    "looked": "where the model looked",
    "robustness": "what the model can stand",
    "page": "the page",
}


def step_line(step: str, done: float, seconds: float) -> str:
    """Write which step of a report begins, and how long all still takes.

    >>> step_line("page", 0.8, 20.0)
    '80 %  the page, about 5.0 s left'
    """
    left = f", about {duration(seconds * (1 - done) / done)} left" if done > 0 else ""
    return f"{100 * done:.0f} %  {STEPS[step]}{left}"
