"""Show a model's answers in a report: how good they are, which are wrong, which can be believed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.core.templates import LANGS, json_in_page, texts
from lookbook.data.catalog import BUILTIN
from lookbook.data.dataset import FEW
from lookbook.evaluation import metrics
from lookbook.evaluation.nearest_neighbors import MOST_TRAINING, NEAREST
from lookbook.evaluation.selection import extremes
from lookbook.images import sprites
from lookbook.inference.thresholds import COVERAGE
from lookbook.reports import charts
from lookbook.reports.charts import Axis, Line
from lookbook.reports.context import Sheet, grouped, tenths
from lookbook.runs.store import is_on_validation

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

#: classes whose probabilities are shown and kept for each image
LEADING = 10
#: classes whose probabilities stand beside a mistake, with the true one; a click shows the others
BESIDE = 3
#: classes beyond which the matrix is written small
SMALL = 20
#: colours of classes on the map
COLOURS = 10
#: images that run across the top
COVER = 48


def cover(sheet: Sheet) -> list[int]:
    """Choose images that run across the top: class by class, all that the model knew."""
    right = sheet.analysis.shown[
        sheet.said[sheet.analysis.shown] == sheet.test.labels[sheet.analysis.shown]
    ]
    chosen: list[int] = []
    for turn in range(COVER):
        for k in range(len(sheet.test.classes)):
            of_class = right[sheet.test.labels[right] == k]
            if turn < len(of_class):
                chosen.append(int(of_class[turn]))
    return [sheet.at("test", index) for index in chosen[:COVER]]


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


def confusion(sheet: Sheet) -> dict[str, Any]:
    """Write the matrix as a table of links."""
    named = zip(sheet.test.classes, sheet.answers.found["confusion_matrix"], strict=True)
    return {
        "rows": [
            {"name": name, "counts": [grouped(n) if n else "" for n in counts]}
            for name, counts in named
        ],
        "small": len(sheet.test.classes) > SMALL,
        "caption": sheet.t("confusion.caption", n=grouped(len(sheet.test))),
    }


def mistakes(sheet: Sheet) -> dict[str, Any]:
    """Show the most confused pairs and the largest losses."""
    numbers = {name: k for k, name in enumerate(sheet.test.classes)}
    pairs = []
    for one in sheet.answers.found["most_confused"]:
        a, b = one["pair"]
        ways = [
            {
                "true": numbers[truth],
                "predicted": numbers[said],
                "text": sheet.t("mistakes.way", n=grouped(n), truth=truth, said=said),
            }
            for truth, said, n in (
                (a, b, one["first_as_second"]),
                (b, a, one["second_as_first"]),
            )
            if n
        ]
        pairs.append(
            {
                "title": sheet.t("mistakes.pair", a=a, b=b),
                "count": one["count"],
                "text": sheet.t("mistakes.count", n=grouped(one["count"])),
                "ways": ways,
            }
        )
    cards = [_card(sheet, place, int(index)) for place, index in enumerate(sheet.analysis.hardest)]
    read = [sheet.t("mistakes.largest_read", n=len(cards))]
    if sheet.analysis.looked.size:
        read.append(sheet.t("mistakes.looked_read"))
    if sheet.analysis.nearest.size:
        key = "nearest_read" if sheet.analysis.by_features else "nearest_read_pixels"
        read.append(sheet.t(f"mistakes.{key}"))
        training = sheet.answers.training
        if training is not None and len(training) > MOST_TRAINING:
            read.append(sheet.t("mistakes.drawn", n=grouped(MOST_TRAINING)))
    return {"pairs": pairs, "cards": cards, "read": " ".join(read)}


def _card(sheet: Sheet, place: int, index: int) -> dict[str, Any]:
    """Show one mistake: image, where the model looked, probabilities, its like."""
    truth = int(sheet.test.labels[index])
    neighbours = []
    training = sheet.answers.training
    for near in sheet.analysis.nearest[place] if training is not None else ():
        label = int(training.labels[near])  # type: ignore[union-attr]
        kind = "right" if label == truth else "wrong" if label == sheet.said[index] else ""
        neighbours.append(
            {
                "at": sheet.at("training", int(near)),
                "about": sheet.describe("training", int(near)),
                "file": sheet.file("training", int(near)),
                "name": sheet.name(label),
                "kind": kind,
            }
        )
    sure = sheet.percent(tenths(sheet.probs[index].max()) / 1000)
    return {
        "index": index,
        "at": sheet.at("test", index),
        "about": sheet.about_test(index),
        "said": f"{sheet.name(sheet.said[index])} {sure}",
        "truth": sheet.t("mistakes.truth", truth=sheet.name(truth)),
        "number": sheet.t("mistakes.number", index=grouped(index)),
        "file": sheet.file("test", index),
        "bars": _bars(sheet, index),
        "heat": _heat(sheet, place),
        "neighbours": neighbours[:NEAREST],
    }


def _bars(sheet: Sheet, index: int) -> list[dict[str, Any]]:
    """Return the greatest probabilities of one image, and that of the true class."""
    probs, truth = sheet.probs[index], int(sheet.test.labels[index])
    rows = []
    for k in _leading(probs[None], sheet.test.labels[[index]], BESIDE + 1)[0]:
        kind = "right" if k == truth else "wrong" if k == sheet.said[index] else ""
        share = tenths(probs[k]) / 1000
        rows.append(
            {
                "name": sheet.name(k),
                "share": round(100 * share, 1),
                "text": sheet.percent(share),
                "kind": kind,
            }
        )
    return rows


def _leading(
    probs: Float[np.ndarray, "M K"], labels: Int64[np.ndarray, "M"], most: int = LEADING
) -> Int64[np.ndarray, "M L"]:
    """Return the most probable classes of each image, and in any case the true one."""
    leading = np.argsort(-probs, axis=1, kind="stable")[:, :most]
    lacking = ~(leading == labels[:, None]).any(axis=1)
    leading[lacking, -1] = labels[lacking]
    return leading


def _heat(sheet: Sheet, place: int) -> str:
    """Return where the model looked as a transparent image, orange where it matters."""
    if not sheet.analysis.looked.size:
        return ""
    map_ = sheet.analysis.looked[place]
    pixels = np.zeros((*map_.shape, 4), np.uint8)
    pixels[..., :3] = (230, 110, 0)
    pixels[..., 3] = (200 * map_).round().astype(np.uint8)
    return sprites.address(pixels)


def per_class(sheet: Sheet) -> dict[str, Any]:
    """Write precision, recall and F1 of each class, with its easiest and hardest images."""
    on_page = np.zeros(len(sheet.test), bool)
    on_page[sheet.analysis.shown] = True
    right = sheet.said == sheet.test.labels
    found = sheet.answers.found
    shares = metrics.class_shares(found)
    rows = []
    for k, one in enumerate(found["per_class"]):
        members = np.flatnonzero((sheet.test.labels == k) & on_page)
        typical, worst = extremes(members, sheet.of_truth, right)
        measured = [
            {
                "name": f"{key}-{k}",
                "value": one[key],
                "text": "–" if share is None else sheet.percent(share),
            }
            for key, share in shares[k].items()
        ]
        measured.append({"name": f"n-{k}", "value": one["n"], "text": grouped(one["n"])})
        rows.append(
            {
                "name": one["class"],
                "metrics": measured,
                "typical": [sheet.shown_test(i) for i in typical],
                "worst": [sheet.shown_test(i) for i in worst],
            }
        )
    return {"rows": rows, "note": _sampled(sheet, "classes")}


def _sampled(sheet: Sheet, part: str) -> str:
    """Say what a part shows of the test images; nothing where a page holds them all."""
    shown = sheet.analysis.shown
    if len(shown) == len(sheet.test):
        return ""
    wrong = sheet.said != sheet.test.labels
    return sheet.t(
        f"{part}.sampled",
        shown=grouped(len(shown)),
        all=grouped(len(sheet.test)),
        wrong=grouped(int(wrong[shown].sum())),
        all_wrong=grouped(int(wrong.sum())),
    )


def trust(sheet: Sheet) -> dict[str, Any]:
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


def the_map(sheet: Sheet) -> dict[str, Any] | None:
    """Say what the map is of; the script draws it."""
    analysis = sheet.analysis
    if not len(analysis.places):
        return None
    features = sheet.t("map.features" if analysis.by_features else "map.pixels")
    notes = [sheet.t("map.note", features=features)]
    if analysis.landmarks < len(analysis.shown):
        notes.append(sheet.t("map.landmarks", landmarks=grouped(analysis.landmarks)))
    if len(sheet.test.classes) > COLOURS:
        notes.append(sheet.t("map.colours"))
    notes.append(_sampled(sheet, "map"))
    read = sheet.t("map.read" if analysis.by_features else "map.read_pixels")
    return {"legend": sheet.test.classes, "note": " ".join(notes).strip(), "read": read}


def search(sheet: Sheet, sprite: sprites.Sprite) -> dict[str, Any]:
    """Say what the page holds of the test part."""
    n = len(sheet.test)
    named = BUILTIN[sheet.answers.data].examples if sheet.answers.data in BUILTIN else ()
    notes = [_sampled(sheet, "search")]
    if sprite.side != sheet.test.size:
        notes.append(sheet.t("search.small"))
    if sprite.levels < 256:
        notes.append(sheet.t("search.greys"))
    return {
        "examples": [index for index in named if index < n],
        "example": int(sheet.analysis.shown[0]),
        "note": " ".join(notes).strip(),
    }


def for_script(sheet: Sheet, sprite: sprites.Sprite) -> str:
    """Return what the script needs, as JSON that cannot end its element."""
    shown = sheet.analysis.shown
    probs = sheet.probs[shown]
    leading = _leading(probs, sheet.test.labels[shown])
    shares = np.take_along_axis(probs, leading, axis=1)
    document = {
        "classes": sheet.test.classes,
        "most": leading.shape[1],
        "columns": sprite.columns,
        "index": _packed(shown.astype("<u4")),
        "label": _packed(sheet.test.labels[shown].astype(np.uint8)),
        "leading": _packed(leading.astype(np.uint8)),
        "tenths": _packed(np.rint(1000 * shares.astype(np.float64)).astype("<u2")),
        "rank": _packed(sheet.of_truth[shown].argsort(kind="stable").argsort().astype("<u2")),
        "xy": _packed((65535 * sheet.analysis.places).astype("<u2")),
        "files": [sheet.file("test", index) for index in shown] if sheet.test.files else [],
        "title": sheet.answers.title,
        "text": {lang: texts("reports/report", lang)["script"] for lang in LANGS},
    }
    return json_in_page(document)


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
