"""Write runs, evaluations and predictions as a terminal shows them. Nothing is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.cli import course, terminal
from lookbook.core.translation import t, translate
from lookbook.runs.schema import ExternalEvaluation

if TYPE_CHECKING:
    from lookbook.exports.int8 import Comparison
    from lookbook.inference.predictor import Prediction
    from lookbook.inference.thresholds import Verdict
    from lookbook.runs.schema import (
        Evaluation,
        OwnResult,
        ThresholdScores,
        Validation,
        Weakness,
    )
    from lookbook.runs.store import Run

#: labels below which the percentages that they set are rough
FEW_LABELS = 200


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


def run_table(runs: list[Run]) -> str:
    """Write runs as a table: recipe, data, accuracy, duration."""
    heads = ["run", "recipe", "data", "accuracy", "fit", "started (UTC)"]
    rows = [[t(head) for head in heads]]
    for run in runs:
        evaluation = run.evaluation()
        validation = run.metrics.validation
        if evaluation is not None:
            accuracy = terminal.percent(evaluation.accuracy, 2)
            text = "{accuracy} validation" if evaluation.on_validation else "{accuracy} test"
            shown = t(text, accuracy=accuracy) + _beside_accuracy(evaluation)
        elif validation:
            accuracy = terminal.percent(validation.accuracy, 2)
            shown = t("{accuracy} validation", accuracy=accuracy) + _beside_accuracy(validation)
        else:
            shown = t("not known")
        if weaknesses := run.metrics.weaknesses:
            short = {
                "under_one_epoch": t("under an epoch"),
                "not_above_commonest": t("as guessing"),
            }
            shown += f" ({', '.join(short[each] for each in weaknesses)})"
        rows.append(
            [
                str(run.folder),
                run.recipe.name,
                run.conditions.data.name.rsplit("/", 1)[-1],
                shown,
                terminal.duration(run.metrics.fit_seconds)
                + (f" ({t('stopped')})" if run.metrics.stopped else ""),
                run.conditions.started[:16].replace("T", " "),
            ]
        )
    return terminal.table(rows)


def _beside_accuracy(found: Evaluation | Validation) -> str:
    """Write what uneven classes ask for beside the accuracy."""
    if not found.uneven or found.balanced_accuracy is None or found.macro_f1 is None:
        return ""
    return ", " + t(
        "balanced {balanced}, macro F1 {f1}",
        balanced=terminal.percent(found.balanced_accuracy),
        f1=terminal.percent(found.macro_f1),
    )


def trained(run: Run, took: float, before: float = 0.0) -> str:
    """Write how a training ended: accuracy on validation, and where the time went.

    This process took some seconds; of a training that was resumed, the fit did `before`, too.
    """
    seconds, whole = dict(run.conditions.seconds), took + before
    seconds["saving and the rest"] = whole - sum(seconds.values())
    parts = [
        f"{t(name)} {terminal.duration(each)}" for name, each in seconds.items() if each >= 0.05
    ]
    epochs = run.metrics.epochs
    lines = [
        (t("recipe"), t("{name}, epochs: {epochs:,.4g}", name=run.recipe.name, epochs=epochs)),
        (t("time"), f"{terminal.duration(whole)}  ({', '.join(parts)})"),
        (t("run"), str(run.folder)),
    ]
    if before:
        said = t("{time} of it before it was stopped or killed", time=terminal.duration(before))
        lines.insert(2, ("", said))
    if n := run.conditions.processes:
        said = t(
            "{n:,} together, threads of each: {threads:,}", n=n, threads=run.conditions.threads
        )
        lines.insert(1, (t("processes"), said))
    if found := run.metrics.validation:
        accuracy = terminal.percent(found.accuracy, 2)
        if found.cross_validated:
            accuracy = t("{accuracy} in a cross-validation", accuracy=accuracy)
        elif run.conditions.final:
            accuracy = t("{accuracy} of a twin trained without these images", accuracy=accuracy)
        accuracy = t(
            "{accuracy}  ({interval}, {n:,} images)",
            accuracy=accuracy,
            interval=terminal.interval(found.interval),
            n=found.n,
        )
        lines.insert(0, (t("validation accuracy"), accuracy + _beside_accuracy(found)))
        if found.cross_validated and not run.conditions.final:
            said = t("--final learns from the images that were set aside, too, and costs no time")
            lines.insert(1, ("", said))
    lines += course.lines(run.conditions)
    if weaknesses := run.metrics.weaknesses:
        lines += warnings_of(weaknesses)
        lines.append(("", t("give it more time (--budget, --epochs) or more images")))
    return terminal.labelled(lines)


def evaluation(
    found: Evaluation,
    weaknesses: Sequence[Weakness] = (),
    *,
    calibrated_apart: bool = False,
    set_by: Validation | None = None,
) -> str:
    """Write what an evaluation found, of a network with these weaknesses.

    Where the validation part was measured on, it may be that others set percentages and thresholds:
    see `DataInfo.calibrated_apart`. Otherwise answers to images that training did not see did,
    which are `set_by`.
    """
    from lookbook.evaluation import metrics  # keeps `--help` fast

    rows = [[t("class"), t("precision"), t("recall"), "F1", t("images")]]
    none = "–" if terminal.can_show("–") else "-"
    elsewhere = isinstance(found, ExternalEvaluation)
    for one, shares in zip(found.per_class, metrics.class_shares(found), strict=True):
        if elsewhere and one.n == 0:
            continue
        written = [none if share is None else terminal.percent(share) for share in shares]
        rows.append([one.name, *written, f"{one.n:,}"])
    confused = [
        t(
            "{first} and {second}: {count:,} ({there:,} and {back:,})",
            first=terminal.visible(one.pair[0]),
            second=terminal.visible(one.pair[1]),
            count=one.count,
            there=one.first_as_second,
            back=one.second_as_first,
        )
        for one in found.most_confused
    ] or [t("none")]
    loss = t(
        "{loss:.4f}  (before calibration: {before:.4f})",
        loss=found.loss,
        before=found.uncalibrated_loss,
    )
    error = t(
        "{error}  (exactly true percentages would show {chance})",
        error=terminal.percent(found.ece, 2),
        chance=terminal.percent(found.ece_by_chance, 2),
    )
    of_test = not (found.on_validation or elsewhere)
    lines = [
        (t("test accuracy") if of_test else t("accuracy"), _accuracy(found)),
        *_copies(found),
        *_measured_on(found, calibrated_apart=calibrated_apart),
        *_baseline(found),
        *_few_tested(found),
        *warnings_of([each for each in weaknesses if each == "under_one_epoch"]),
        (t("test loss") if of_test else t("loss"), loss),
        (t("calibration error"), error),
        *(percentages(set_by) if set_by and found.thresholds else []),
        *_thresholds(found.thresholds),
    ]
    return (
        f"{terminal.labelled(lines)}\n\n{terminal.table(rows, right={1, 2, 3, 4})}\n\n"
        + t("most confused")
        + "".join(f"\n  {pair}" for pair in confused)
    )


def percentages(set_by: Validation | None) -> list[tuple[str, str]]:
    """Write that percentages are rough where few images set them, or none."""
    from lookbook.inference.thresholds import FEWEST_LABELS  # keeps `--help` fast

    n = set_by.n if set_by else 0
    if n >= FEW_LABELS:
        return []
    if n < FEWEST_LABELS:
        said = t("not calibrated: too few images ({n:,}) to do so by", n=n)
    elif set_by and set_by.cross_validated:
        said = t("rough: {n:,} images set them, in a cross-validation", n=n)
    else:
        said = t("rough: {n:,} images set them", n=n)
    return [(t("percentages"), said)]


def _accuracy(found: Evaluation | OwnResult) -> str:
    """Write an accuracy with its interval."""
    return t(
        "{accuracy}  ({interval}, {n:,} images)",
        accuracy=terminal.percent(found.accuracy, 2),
        interval=terminal.interval(found.interval),
        n=found.n,
    )


def _copies(found: Evaluation) -> list[tuple[str, str]]:
    """Write how many test images are copies of training images, and the accuracy without them."""
    copies = found.copies
    if not copies or not copies.exact + copies.near:
        return []
    said = t(
        "{n:,} of {all:,} test images are copies of training images "
        "({exact:,} exact, {near:,} near)",
        n=copies.exact + copies.near,
        all=found.n,
        exact=copies.exact,
        near=copies.near,
    )
    lines = [(t("copies"), said)]
    if copies.accuracy_without is not None:
        accuracy = terminal.percent(copies.accuracy_without, 2)
        lines.append(("", t("without them: {accuracy}", accuracy=accuracy)))
    return lines


def _measured_on(found: Evaluation, *, calibrated_apart: bool) -> list[tuple[str, str]]:
    """Write what was measured on, where it is no test part of the run's own data."""
    if isinstance(found, ExternalEvaluation):
        return _elsewhere(found)
    if not found.on_validation:
        return []
    return _on_validation_alone() if calibrated_apart else _on_validation()


def _elsewhere(found: ExternalEvaluation) -> list[tuple[str, str]]:
    """Write which other data was measured on, and beside it the run's own evaluation."""
    names = [terminal.visible(one.name) for one in found.per_class if one.n]
    every, conditions, own = len(found.classes), found.conditions, found.own
    classes = t("all classes")
    if len(names) < every:
        few = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        classes = t("{n} of the {every} classes: {names}", n=len(names), every=every, names=few)
    parts = {
        "test": t("its test part"),
        "validation": t("its validation part"),
        "all": t("all of it"),
    }
    what = f"{terminal.visible(conditions.data)}  ({parts[conditions.part]}, {classes})"
    result = t("not evaluated yet")
    if own is not None:
        of = f"  ({t('validation')})" if own.part == "validation" else ""
        result = _accuracy(own) + of
    return [(t("measured on"), what), (t("its own result"), result)]


def _baseline(found: Evaluation) -> list[tuple[str, str]]:
    """Write what guessing would give, and warn where the model does not do clearly better."""
    if sum(one.n > 0 for one in found.per_class) == 1:
        return []  # one class alone: nothing is common
    balanced = t(
        "{balanced}  (the mean recall of the classes: each counts the same)",
        balanced=terminal.percent(found.balanced_accuracy, 2),
    )
    commonest = t(
        "{share}  (the accuracy of always answering {name})",
        share=terminal.percent(found.commonest_share, 2),
        name=terminal.visible(found.commonest),
    )
    f1 = t(
        "{f1}  (the mean F1 of the classes: each counts the same)",
        f1=terminal.percent(found.macro_f1, 2),
    )
    lines = [(t("balanced accuracy"), balanced), (t("macro F1"), f1)]
    lines = [*lines[: 1 + found.uneven], (t("commonest class"), commonest)]
    if not found.above_commonest:
        weak = t("not clearly better than always answering the commonest class")
        lines.append((t("warning"), weak))
    return lines


def _on_validation() -> list[tuple[str, str]]:
    """Write that the data has no test part."""
    return [
        (t("measured on"), t("the validation part, as there is no test part: percentages and")),
        ("", t("thresholds were set by it, and new images may be answered a little worse")),
    ]


def _on_validation_alone() -> list[tuple[str, str]]:
    """Write that the data has no test part, and that its validation part serves as one."""
    return [
        (t("measured on"), t("the validation part, as there is no test part: the network did not")),
        ("", t("learn from it, and other images set percentages and thresholds")),
    ]


def _few_tested(found: Evaluation) -> list[tuple[str, str]]:
    """Warn of classes that few test images show."""
    import numpy as np  # keeps `--help` fast

    from lookbook.data.dataset import few_tested

    names = tuple(terminal.visible(name) for name in found.classes)
    counts = np.array([one.n for one in found.per_class])
    if isinstance(found, ExternalEvaluation):  # some of the classes are enough
        names, counts = tuple(np.array(names)[counts > 0]), counts[counts > 0]
    warning = few_tested(names, counts)
    return [(t("warning"), translate(warning))] if warning else []


def _thresholds(found: ThresholdScores | None) -> list[tuple[str, str]]:
    """Write what thresholds of the validation part do on the test part."""
    if found is None:
        why = "cannot be said, nor were the percentages calibrated: too few images"
        return [(t("not sure"), t(why))]
    asked = f"{found.coverage:g}"
    sure = t(
        "where it may say so, it answers {answered}, and {right} of these right  "
        "(--coverage {asked})",
        answered=terminal.percent(found.answered),
        right=terminal.percent(found.right),
        asked=asked,
    )
    likely = t(
        "sets of {size:.2f} on average hold the right one for {held}  (--sets {asked})",
        size=found.set_size,
        held=terminal.percent(found.held),
        asked=asked,
    )
    refused = t(
        "said of {refused}, wrongly: all of them are", refused=terminal.percent(found.refused)
    )
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
    seen = t("seen inverted") if one.seen == "whole" else t(one.seen)
    said = [f"({seen})"] * one.inverted + _likely(one)
    return "  ".join([_answer(one), *said])


def prediction(one: Prediction) -> str:
    """Write a prediction with its probabilities as bars."""
    arrow = "→" if terminal.can_show("→") else ">"
    rows = [
        [
            arrow if k == one.label else " ",
            one.classes[k],
            terminal.percent(float(one.probs[k])),
            terminal.bar(float(one.probs[k])),
        ]
        for k in one.shown_classes()
    ]
    said = [_answer(one), *_beside(one), *_likely(one)]
    return "\n  ".join(said) + f"\n{terminal.table(rows, right={2})}"


def _answer(one: Prediction) -> str:
    """Write what is made of a prediction, and the truth where it is known."""
    truth = ""
    if one.truth is not None:
        right = t("right") if one.right else t("wrong")
        name = terminal.visible(one.classes[one.truth])
        truth = "   " + t("true class: {name} ({right})", name=name, right=right)
    said = t(VERDICTS[one.verdict]) + terminal.visible(one.name)
    share = terminal.percent(one.confidence)
    return f"{terminal.visible(one.source)}: {said}, {share}{truth}"


def _beside(one: Prediction) -> list[str]:
    """Write what a reader has to know beside a prediction."""
    if one.seen == "nothing stands out":
        return [t("(nothing stands out from its ground: the model saw all of it)")]
    said = [t("(it is unlike the images that the model learnt from)")] * one.strange
    if one.seen == "cut out":
        said.append(t("(what lies in its middle was cut out, and light and dark swapped)"))
    elif one.inverted:
        swapped = "light and dark are swapped between it and what the model learnt from"
        said.append(f"({t('seen inverted')}: {t(swapped)})")
    return said


def _likely(one: Prediction) -> list[str]:
    """Write the classes that are likely, where that was asked for."""
    if one.likely is None:
        return []
    names = ", ".join(terminal.visible(one.classes[k]) for k in one.likely)
    none = t("no class; it is too unsure of all of them")
    return [t("likely: {names}", names=names or none)]


def table_of_answers(path: Path, verdicts: Mapping[str, int], n_failed: int) -> str:
    """Write where a table of answers is, and how many there are of each verdict."""
    n = sum(verdicts.values()) + n_failed
    lines = [(t("wrote"), str(path)), (t("images"), f"{n:,}")]
    counts = {
        t("not sure"): verdicts["not sure"],
        t("not one of these"): verdicts["not one of these"],
        t("no answer"): n_failed,
    }
    lines += [
        (what, f"{count:,}  ({terminal.percent(count / n)})")
        for what, count in counts.items()
        if count
    ]
    return terminal.labelled(lines)


def comparison(found: Comparison) -> str:
    """Write how a model in 8 bits compares with the same in 32, and which one to use."""
    of = t("training accuracy") if found.final else t("validation accuracy")
    rows = [["", of, t("size"), t("images a second")]]
    for i, bits in enumerate((8, 32)):
        size, speed = f"{found.size[i] / 1000:,.0f} kB", f"{found.speed[i]:,.0f}"
        rows.append([t("{n} bits", n=bits), terminal.percent(found.accuracy[i], 2), size, speed])
    smaller = found.size[0] < found.size[1]
    if found.pays and smaller:
        use = t("use it: it is faster here and smaller")
    elif found.pays:
        use = t("use it: it is faster here")
    elif smaller:
        use = t("use it where size counts; it is not faster here, so keep model.onnx otherwise")
    else:
        use = t("keep model.onnx: this one is neither smaller nor faster here")
    same = t(
        "same class for {share} of {n:,} images",
        share=terminal.percent(found.agreement, 2),
        n=found.n,
    )
    return f"{t('wrote')}  {found.path}\n\n{terminal.table(rows, right={1, 2, 3})}\n\n{same}\n{use}"
