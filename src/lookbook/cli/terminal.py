"""Say in a terminal what was found: tables, bars, shaded images. Nothing is printed."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from lookbook.core.translation import t, translate
from lookbook.runs.store import is_on_validation

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from lookbook.data.dataset import Dataset
    from lookbook.evaluation.metrics import Weakness
    from lookbook.exports.int8 import Comparison
    from lookbook.inference.predictor import Prediction
    from lookbook.inference.thresholds import Verdict
    from lookbook.runs.store import Run
    from lookbook.training.loop import Progress

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


def labelled(rows: list[tuple[str, str]]) -> str:
    """Write results on a line each, after what they are.

    >>> print(labelled([("accuracy", "88.6 %"), ("time", "8.6 s")]))
    accuracy  88.6 %
    time      8.6 s
    """
    width = max(columns(label) for label, _ in rows)
    return "\n".join(f"{_pad(label, width)}  {text}" for label, text in rows)


# ---- data ----


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
    first, second = columns(heads[0]), max(columns(name) for name in (heads[1], *names))
    lines = [f"| {heads[0]} | {_pad(heads[1], second)} |"]
    lines += [f"|{'-' * (first + 1)}:|{'-' * (second + 2)}|"]
    lines += [f"| {k:>{first}} | {_pad(name, second)} |" for k, name in enumerate(names)]
    return "\n".join(lines)


def parts(train: Dataset, test: Dataset) -> str:
    """Write shapes and types of both parts of the data."""
    return labelled(
        [
            (title, f"{part.images.shape} {part.images.dtype}, {t('labels')} {part.labels.shape}")
            for title, part in ((t("training part"), train), (t("test part"), test))
        ]
    )


def balance(dataset: Dataset) -> str:
    """Write how many images each class has, with bars."""
    most = int(dataset.counts.max())
    rows = [
        [name, f"{count:,}", bar(count / most, 24)]
        for name, count in zip(dataset.classes, dataset.counts, strict=True)
    ]
    return table(rows, right={1})


# ---- runs and results ----


def warnings_of(weaknesses: Sequence[Weakness]) -> list[tuple[str, str]]:
    """Return why a trained network is not to be relied on, as `labelled` takes it."""
    said = {
        "under_one_epoch": t(
            "trained for less than one epoch: it has not seen every training image"
        ),
        "not_above_commonest": t(
            "on validation not clearly better than always answering the commonest class"
        ),
    }
    return [(t("warning"), said[each]) for each in weaknesses]


def results(found: dict[str, Any], weaknesses: Sequence[Weakness] = ()) -> str:
    """Write what an evaluation found, of a network with these weaknesses."""
    from lookbook.evaluation import metrics  # keeps `--help` fast

    rows = [[t("class"), t("precision"), t("recall"), "F1", t("images")]]
    none = "–" if can_show("–") else "-"
    for one, shares in zip(found["per_class"], metrics.class_shares(found), strict=True):
        if "own" in found and one["n"] == 0:
            continue
        written = [none if share is None else percent(share) for share in shares.values()]
        rows.append([one["class"], *written, f"{one['n']:,}"])
    confused = [
        t(
            "{first} and {second}: {count:,} ({there:,} and {back:,})",
            first=visible(one["pair"][0]),
            second=visible(one["pair"][1]),
            count=one["count"],
            there=one["first_as_second"],
            back=one["second_as_first"],
        )
        for one in found["most_confused"]
    ] or [t("none")]
    loss = t(
        "{loss:.4f}  (before calibration: {before:.4f})",
        loss=found["loss"],
        before=found["uncalibrated_loss"],
    )
    error = t(
        "{error}  (exactly true percentages would show {chance})",
        error=percent(found["ece"], 2),
        chance=percent(found["ece_by_chance"], 2),
    )
    on_validation, elsewhere = is_on_validation(found), "own" in found
    of_test = not (on_validation or elsewhere)
    lines = [
        (t("test accuracy") if of_test else t("accuracy"), _accuracy(found)),
        *(_elsewhere(found) if elsewhere else _on_validation() if on_validation else []),
        *_baseline(found),
        *_few_tested(found),
        *warnings_of([each for each in weaknesses if each == "under_one_epoch"]),
        (t("test loss") if of_test else t("loss"), loss),
        (t("calibration error"), error),
        *_thresholds(found["thresholds"]),
    ]
    return (
        f"{labelled(lines)}\n\n{table(rows, right={1, 2, 3, 4})}\n\n"
        + t("most confused")
        + "".join(f"\n  {pair}" for pair in confused)
    )


def _accuracy(found: dict[str, Any]) -> str:
    """Write an accuracy with its interval."""
    return t(
        "{accuracy}  ({interval}, {n:,} images)",
        accuracy=percent(found["accuracy"], 2),
        interval=interval(found["interval"]),
        n=found["n"],
    )


def _elsewhere(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Write which other data was measured on, and beside it the run's own evaluation."""
    names = [visible(one["class"]) for one in found["per_class"] if one["n"]]
    every, conditions, own = len(found["classes"]), found["conditions"], found["own"]
    classes = t("all classes")
    if len(names) < every:
        few = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        classes = t("{n} of the {every} classes: {names}", n=len(names), every=every, names=few)
    parts = {
        "test": t("its test part"),
        "validation": t("its validation part"),
        "all": t("all of it"),
    }
    what = f"{visible(conditions['data'])}  ({parts[conditions['part']]}, {classes})"
    result = t("not evaluated yet")
    if own is not None:
        of = f"  ({t('validation')})" if own["part"] == "validation" else ""
        result = _accuracy(own) + of
    return [(t("measured on"), what), (t("its own result"), result)]


def _baseline(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Write what guessing would give, and warn where the model does not do clearly better."""
    if sum(one["n"] > 0 for one in found["per_class"]) == 1:
        return []  # one class alone: nothing is common
    balanced = t(
        "{balanced}  (the mean recall of the classes: each counts the same)",
        balanced=percent(found["balanced_accuracy"], 2),
    )
    commonest = t(
        "{share}  (the accuracy of always answering {name})",
        share=percent(found["commonest_share"], 2),
        name=visible(found["commonest"]),
    )
    lines = [(t("balanced accuracy"), balanced), (t("commonest class"), commonest)]
    if not found["above_commonest"]:
        weak = t("not clearly better than always answering the commonest class")
        lines.append((t("warning"), weak))
    return lines


def _on_validation() -> list[tuple[str, str]]:
    """Write that the data has no test part."""
    return [
        (t("measured on"), t("the validation part, as there is no test part: percentages and")),
        ("", t("thresholds were set by it, and new images may be answered a little worse")),
    ]


def _few_tested(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Warn of classes that few test images show."""
    import numpy as np  # keeps `--help` fast

    from lookbook.data.dataset import few_tested

    names = tuple(visible(name) for name in found["classes"])
    counts = np.array([one["n"] for one in found["per_class"]])
    if "own" in found:  # some of the classes are enough
        names, counts = tuple(np.array(names)[counts > 0]), counts[counts > 0]
    warning = few_tested(names, counts)
    return [(t("warning"), translate(warning))] if warning else []


def _thresholds(found: dict[str, float] | None) -> list[tuple[str, str]]:
    """Write what thresholds of the validation part do on the test part."""
    if found is None:
        why = "cannot be said, nor were the percentages calibrated: too few validation images"
        return [(t("not sure"), t(why))]
    asked = f"{found['coverage']:g}"
    sure = t(
        "where it may say so, it answers {answered}, and {right} of these right  "
        "(--coverage {asked})",
        answered=percent(found["answered"]),
        right=percent(found["right"]),
        asked=asked,
    )
    likely = t(
        "sets of {size:.2f} on average hold the right one for {held}  (--sets {asked})",
        size=found["set_size"],
        held=percent(found["held"]),
        asked=asked,
    )
    refused = t("said of {refused}, wrongly: all of them are", refused=percent(found["refused"]))
    return [
        (t("not sure"), sure),
        (t("likely classes"), likely),
        (t("not one of these"), refused),
    ]


#: what is made of an answer → the words before its class; the same in all that shows answers
VERDICTS: dict[Verdict, str] = {
    "answer": "",
    "not sure": "not sure; most likely ",
    "not one of these": "not one of these? most likely ",
}


def answer_line(one: Prediction) -> str:
    """Write a prediction on one line, without its probabilities."""
    inverted = f"  ({t('seen inverted')})" if one.inverted else ""
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
        right = t("right") if one.right else t("wrong")
        name = visible(one.classes[one.truth])
        truth = "   " + t("true class: {name} ({right})", name=name, right=right)
    said = f"{t(VERDICTS[one.verdict])}{visible(one.name)}, {percent(one.confidence)}"
    return f"{visible(one.source)}: {said}{truth}"


def _beside(one: Prediction) -> list[str]:
    """Write what a reader has to know beside a prediction."""
    said = []
    if one.strange:
        said.append(t("(it is unlike the images that the model learnt from)"))
    if one.inverted:
        swapped = "light and dark are swapped between it and what the model learnt from"
        said.append(f"({t('seen inverted')}: {t(swapped)})")
    return said


def _likely(one: Prediction) -> list[str]:
    """Write the classes that are likely, where that was asked for."""
    if one.likely is None:
        return []
    names = ", ".join(visible(one.classes[k]) for k in one.likely)
    none = t("no class; it is too unsure of all of them")
    return [t("likely: {names}", names=names or none)]


def comparison(found: Comparison) -> str:
    """Write how a model in 8 bits compares with the same in 32, and which one to use."""
    of = t("training accuracy") if found.final else t("validation accuracy")
    rows = [["", of, t("size"), t("images a second")]]
    for i, bits in enumerate((8, 32)):
        size, speed = f"{found.size[i] / 1000:,.0f} kB", f"{found.speed[i]:,.0f}"
        rows.append([t("{n} bits", n=bits), percent(found.accuracy[i], 2), size, speed])
    smaller = found.size[0] < found.size[1]
    if found.pays and smaller:
        use = t("use it: it is faster here and smaller")
    elif found.pays:
        use = t("use it: it is faster here")
    elif smaller:
        use = t("use it where size counts; it is not faster here, so keep model.onnx otherwise")
    else:
        use = t("keep model.onnx: this one is neither smaller nor faster here")
    same = t("same class for {share} of {n:,} images", share=percent(found.agreement, 2), n=found.n)
    return f"{t('wrote')}  {found.path}\n\n{table(rows, right={1, 2, 3})}\n\n{same}\n{use}"


def run_table(runs: list[Run]) -> str:
    """Write runs as a table: recipe, data, accuracy, duration."""
    heads = ["run", "recipe", "data", "accuracy", "fit", "started (UTC)"]
    rows = [[t(head) for head in heads]]
    for run in runs:
        evaluation = run.evaluation()
        validation = run.metrics["validation"]
        if evaluation:
            accuracy = percent(evaluation["accuracy"], 2)
            on_validation = is_on_validation(evaluation)
            text = "{accuracy} validation" if on_validation else "{accuracy} test"
            shown = t(text, accuracy=accuracy)
        elif validation:
            shown = t("{accuracy} validation", accuracy=percent(validation["accuracy"], 2))
        else:
            shown = t("not known")
        if weaknesses := run.metrics.get("weaknesses"):
            short = {
                "under_one_epoch": t("under an epoch"),
                "not_above_commonest": t("as guessing"),
            }
            shown += f" ({', '.join(short[each] for each in weaknesses)})"
        rows.append(
            [
                str(run.folder),
                run.recipe["name"],
                run.conditions["data"]["name"].rsplit("/", 1)[-1],
                shown,
                duration(run.metrics["fit_seconds"])
                + (f" ({t('stopped')})" if run.metrics["stopped"] else ""),
                run.conditions["started"][:16].replace("T", " "),
            ]
        )
    return table(rows)


def trained(run: Run, whole: float) -> str:
    """Write how a training ended: accuracy on validation, and where the `whole` time went."""
    seconds = dict(run.conditions["seconds"])
    seconds["saving and the rest"] = whole - sum(seconds.values())
    parts = [f"{t(name)} {duration(took)}" for name, took in seconds.items() if took >= 0.05]
    epochs = run.metrics["epochs"]
    lines = [
        (t("recipe"), t("{name}, epochs: {epochs:,.4g}", name=run.recipe["name"], epochs=epochs)),
        (t("time"), f"{duration(whole)}  ({', '.join(parts)})"),
        (t("run"), str(run.folder)),
    ]
    if found := run.metrics["validation"]:
        accuracy = percent(found["accuracy"], 2)
        if run.conditions["final"]:
            accuracy = t("{accuracy} of a twin trained without these images", accuracy=accuracy)
        accuracy = t(
            "{accuracy}  ({interval}, {n:,} images)",
            accuracy=accuracy,
            interval=interval(found["interval"]),
            n=found["n"],
        )
        lines.insert(0, (t("validation accuracy"), accuracy))
    if weaknesses := run.metrics["weaknesses"]:
        lines += warnings_of(weaknesses)
        lines.append(("", t("give it more time (--budget, --epochs) or more images")))
    return labelled(lines)


# ---- progress ----


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
        t("accuracy {accuracy}", accuracy=percent(progress.accuracy, 2)),
    ]
    if progress.val_loss is not None and progress.val_accuracy is not None:
        parts += [
            t("val loss {loss:.4f}", loss=progress.val_loss),
            t("val accuracy {accuracy}", accuracy=percent(progress.val_accuracy, 2)),
        ]
    return "  ".join([*parts, t("{time} left", time=duration(progress.seconds_left))])


#: steps of a report, as they are called while they last
STEPS = {
    "answers": "answers to the test images",
    "opinions": "opinions of networks that have not seen the images",
    "doubles": "doubles and suspected labels",
    "map": "a map of the test images",
    "nearest": "training images nearest to the mistakes",
    "looked": "where the model looked",
    "robustness": "what the model can stand",
    "page": "the page",
}


def step_line(step: str, done: float, seconds: float) -> str:
    """Write which step of a report begins, and how long all still takes.

    >>> step_line("page", 0.8, 20.0)
    '80 %  the page, about 5.0 s left'
    """
    what = f"{percent(done, 0)}  {t(STEPS[step])}"
    if done == 0:
        return what
    return t("{what}, about {time} left", what=what, time=duration(seconds * (1 - done) / done))
