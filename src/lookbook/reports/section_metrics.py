"""Report sections on accuracy and calibration: interval, comparison, reliability, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import FEW
from lookbook.evaluation import metrics
from lookbook.inference.thresholds import COVERAGE
from lookbook.reports import charts
from lookbook.reports.charts import Axis, Line
from lookbook.reports.context import Sheet, grouped
from lookbook.runs.store import is_on_validation


def verdict(sheet: Sheet) -> dict[str, Any]:
    """Say how good the answers are, beside others, and how that was measured."""
    found = sheet.answers.found
    share, n = found["accuracy"], found["n"]
    low, high = found["interval"]
    known = BUILTIN[sheet.answers.data].references if sheet.answers.data in BUILTIN else {}
    return {
        "accuracy": share,
        "text": sheet.percent(share, 2),
        "bounds": f"{low} {high}",
        "interval": sheet.t("verdict.interval", low=sheet.percent(low), high=sheet.percent(high)),
        "claim": _claim(sheet, round(share * n), n),
        "warning": _warning(sheet),
        "lines": [
            charts.number_line(_points(sheet, known), (low, high), narrow=narrow)
            for narrow in (False, True)
        ],
        "sources": sheet.t("verdict.sources") if known else "",
        "facts": _facts(sheet),
        "how": _how(sheet),
    }


def _warning(sheet: Sheet) -> str:
    """Say what keeps the figures from being believed; nothing where nothing does."""
    found, warnings = sheet.answers.found, []
    if is_on_validation(sheet.answers.found):
        warnings.append(sheet.t("verdict.on_validation"))
    if not found["above_commonest"]:
        share = sheet.percent(found["commonest_share"])
        warnings.append(sheet.t("verdict.weak", name=found["commonest"], share=share))
    run = sheet.answers.run
    if run is not None and "under_one_epoch" in run.metrics.get("weaknesses", []):
        warnings.append(sheet.t("verdict.under_one_epoch"))
    if few := [sheet.name(int(k)) for k in np.flatnonzero(sheet.test.counts < FEW)]:
        names = ", ".join(few[:10]) + (" …" if len(few) > 10 else "")
        warnings.append(sheet.t("verdict.few", few=FEW, names=names))
    return " ".join(warnings)


def _points(sheet: Sheet, known: dict[str, float]) -> list[tuple[str, str, float, charts.Kind]]:
    """Return what stands on the line of accuracies: the model's, and what it is judged by."""
    # beside people and networks, a guess says nothing
    others = known or {"commonest": float(sheet.test.counts.max() / len(sheet.test))}
    points: list[tuple[str, str, float, charts.Kind]] = [
        (sheet.t(f"verdict.{who}"), sheet.percent(share), share, "quiet")
        for who, share in others.items()
    ]
    own = sheet.answers.found["accuracy"]
    return [*points, (sheet.t("verdict.this"), sheet.percent(own), own, "right")]


def _facts(sheet: Sheet) -> list[dict[str, Any]]:
    """List what is known of the run and of its evaluation."""
    found, run = sheet.answers.found, sheet.answers.run
    facts = []
    if run is not None:
        facts = [
            _fact(sheet, "fit", sheet.duration(run.metrics["fit_seconds"])),
            _fact(sheet, "recipe", run.recipe["name"]),
            _fact(sheet, "parameters", grouped(sum(layer.learnt for layer in sheet.layers))),
        ]
        if run.conditions["final"] and run.metrics["validation"]:
            twin = sheet.duration(run.metrics["calibration_seconds"])
            facts.insert(1, _fact(sheet, "twin", twin))
    facts.append(_fact(sheet, "n", grouped(found["n"]), "n", found["n"]))
    balanced = found["balanced_accuracy"]
    facts.append(
        _fact(sheet, "balanced", sheet.percent(balanced, 2), "balanced_accuracy", balanced)
    )
    if sheet.answers.data in BUILTIN:  # of other data it stands on the line of accuracies
        share = found["commonest_share"]
        facts.append(_fact(sheet, "commonest", sheet.percent(share), "commonest_share", share))
    for key, metric in (("loss", "loss"), ("before", "uncalibrated_loss")):
        if metric in found:
            facts.append(_fact(sheet, key, f"{found[metric]:.4f}", metric, found[metric]))
    return facts


def _fact(
    sheet: Sheet, key: str, text: str, metric: str = "", value: object = ""
) -> dict[str, Any]:
    """Return a fact with its name."""
    return {"name": sheet.t(f"verdict.{key}"), "text": text, "metric": metric, "value": value}


def _claim(sheet: Sheet, right: int, n: int) -> str:
    """Say in one sentence how often the model is wrong."""
    wrong = n - right
    if wrong == 0:
        return sheet.t("verdict.all_right", n=grouped(n))
    if right == 0:
        return sheet.t("verdict.all_wrong", n=grouped(n))
    said = {"right": grouped(right), "n": grouped(n)}
    in_ten = round(10 * wrong / n)
    if in_ten == 10:
        return sheet.t("verdict.nearly_all", **said)
    if wrong / n > 0.3:
        return sheet.t("verdict.in_ten", **said, k=in_ten)
    return sheet.t("verdict.one_in", **said, k=grouped(round(n / wrong)))


def _how(sheet: Sheet) -> list[str]:
    """Say what was chosen on which images, and under which conditions."""
    run = sheet.answers.run
    if run is None:
        return [sheet.t("verdict.handed")]
    measured, conditions = run.metrics, run.conditions
    lines = [sheet.t("verdict.trained", n=grouped(measured["training_pictures"]))]
    if measured["validation"]:
        own = conditions["data"].get("validation_sha256") is not None
        key = "final" if conditions["final"] else "own_validation" if own else "validation"
        accuracy = sheet.percent(measured["validation"]["accuracy"])
        n = grouped(measured["validation"]["n"])
        lines.append(sheet.t(f"verdict.{key}", n=n, accuracy=accuracy))
        model = sheet.answers.model
        known = model is not None and model.calibration is not None
        lines.append(sheet.t(f"verdict.{'calibrated' if known else 'uncalibrated'}"))
    if corrected := conditions["data"].get("corrections"):
        lines.append(sheet.t("verdict.corrected", n=grouped(len(corrected))))
    if not is_on_validation(sheet.answers.found):
        lines.append(sheet.t("verdict.once", n=grouped(len(sheet.test))))
    if measured["stopped"]:
        lines.append(sheet.t("verdict.stopped"))
    machine = conditions["machine"]
    named = machine.get("accelerator") or machine["processor"]
    software = ", ".join(
        f"{name} {number}"
        for name, number in conditions["versions"].items()
        if not name.endswith("sha256")
    )
    lines.append(
        sheet.t(
            "verdict.conditions",
            device=named,
            threads=conditions["threads"],
            versions=software,
            seed=conditions["seed"],
            started=conditions["started"][:16].replace("T", " "),
        )
    )
    return lines


def calibration(sheet: Sheet) -> dict[str, Any]:
    """Draw confidence against accuracy, and coverage against accuracy."""
    bins = metrics.reliability(sheet.probs, sheet.test.labels)
    most = max((share for *_, share in bins), default=1)
    dots = [2 + 7 * float(np.sqrt(share / most)) for *_, share in bins]
    whole = lambda share: sheet.percent(share, 0)  # noqa: E731
    lines = [
        Line("", [0, 1], [0, 1], "quiet"),
        Line("", [c for c, _, _ in bins], [a for _, a, _ in bins], "right", dots, joined=False),
    ]
    reliability = charts.chart(
        sheet.t("trust.reliability"),
        Axis(sheet.t("trust.confidence"), 0, 1, whole),
        Axis(sheet.t("trust.accuracy"), 0, 1, whole),
        lines,
        size=(360, 300),
    )
    shares, accuracies = metrics.coverage_curve(sheet.probs, sheet.test.labels)
    low = min(accuracies)
    coverage = charts.chart(
        sheet.t("trust.coverage"),
        Axis(sheet.t("trust.answered"), 0, 1, whole),
        Axis(
            sheet.t("trust.right_of_answered"),
            max(0.0, low - 0.02),
            1.0,
            lambda s: sheet.percent(s, 0 if low < 0.96 else 1),
        ),
        [Line("", shares, accuracies, "right", charts.dots(shares))],
        size=(360, 300),
    )
    found = sheet.answers.found
    return {
        "ece": found["ece"],
        "ece_text": sheet.t("trust.ece", ece=sheet.percent(found["ece"], 2)),
        "chance": found["ece_by_chance"],
        "chance_text": sheet.t("trust.chance", ece=sheet.percent(found["ece_by_chance"], 2)),
        "thresholds": _thresholds(sheet, found.get("thresholds")),
        "coverage_text": _covered(sheet, shares, accuracies),
        "charts": [reliability, coverage],
        "note": sheet.t("trust.note"),
    }


def _covered(sheet: Sheet, shares: list[float], accuracies: list[float]) -> str:
    """Say how often the model is right where it may leave out a tenth of the images."""
    at = next(k for k, share in enumerate(shares) if share >= COVERAGE)
    accuracy = sheet.percent(accuracies[at])
    if shares[at] == 1:
        return sheet.t("trust.covered_all", accuracy=accuracy)
    return sheet.t("trust.covered", unsure=sheet.percent(1 - shares[at]), accuracy=accuracy)


def _thresholds(sheet: Sheet, found: dict[str, float] | None) -> dict[str, Any]:
    """Say what thresholds that validation images set do on the test part; nothing without any.

    Each number comes as its name, its value and its text.
    """
    if found is None:
        return {}
    numbers = {
        name: (name, found[name], sheet.percent(found[name]))
        for name in ("answered", "right", "held", "refused")
    }
    size = ("set_size", found["set_size"], f"{found['set_size']:.2f}")
    return {"asked": sheet.percent(found["coverage"], 0), **numbers, "set_size": size}
