"""Report sections on figures: accuracy beside others, reliability, coverage, photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lookbook.data.dataset import FEW
from lookbook.evaluation import metrics
from lookbook.inference.thresholds import COVERAGE
from lookbook.reports import charts
from lookbook.reports.charts import Axis, Line
from lookbook.reports.context import Context, Fact, Number, Section, Tile, grouped
from lookbook.runs.photograph_schema import KindScore, PhotographEvaluation
from lookbook.runs.schema import Evaluation, ThresholdScores

#: kinds, or classes, beyond which there is no table of kinds by classes
MOST_CELLS = 20
#: figures of photographs beside the accuracy, in the order of the page
FIGURES = (
    *("accuracy_with_shoes", "accuracy_groups", "accuracy_top_half"),
    *("unknown_refused", "garments_refused", "refused"),
)


@dataclass(frozen=True, kw_only=True)
class VerdictSection(Section):
    """How good the answers are, beside others, and how that was measured."""

    accuracy: Number
    interval: Number
    claim: str
    warning: str
    #: the line of accuracies as SVG, wide and narrow, and where the others on it are from
    lines: list[str]
    sources: str
    facts: list[Fact]
    how: list[str]


@dataclass(frozen=True)
class ThresholdNumbers:
    """What thresholds do on the test part, and which share they were `asked` to answer."""

    asked: str
    answered: Number
    right: Number
    held: Number
    set_size: Number
    refused: Number


@dataclass(frozen=True, kw_only=True)
class CalibrationSection(Section):
    """Whether the percentages can be believed."""

    ece: Number
    by_chance: Number
    coverage: str
    thresholds: ThresholdNumbers | None


@dataclass(frozen=True)
class KindRow:
    """How photographs of one kind were answered, and some of them."""

    name: str
    n: str
    #: None where no class is right
    right: Number | None
    refused: Number
    #: whether to refuse is right, as no class is
    unknown: bool
    taken: str
    #: the surest right answers, and the surest wrong ones; of a kind that has no right class all
    hits: list[Tile]
    misses: list[Tile]


@dataclass(frozen=True)
class KindCell:
    """How often a class was the answer to a kind, how dark that is drawn, whether it is right."""

    count: str
    shade: float
    hit: bool


@dataclass(frozen=True, kw_only=True)
class PhotographsSection(Section):
    """How a model recognises photographs."""

    claim: Number
    facts: list[Fact]
    rows: list[KindRow]
    #: for each kind a cell for each class; none where there are too many
    cells: list[list[KindCell]]
    how: list[str]


def verdict(context: Context) -> VerdictSection:
    """Say how good the answers are, beside others, and how that was measured."""
    found = context.answers.found
    low, high = found.interval
    bounds = context.t("verdict.interval", low=context.percent(low), high=context.percent(high))
    published = context.answers.published
    known = published.references if published else {}
    return VerdictSection(
        accuracy=Number(context.percent(found.accuracy, 2), "accuracy", found.accuracy),
        interval=Number(bounds, "interval", f"{low} {high}"),
        claim=_claim(context, round(found.accuracy * found.n), found.n),
        warning=_warning(context),
        lines=[
            charts.number_line(_points(context, known), (low, high), narrow=narrow)
            for narrow in (False, True)
        ],
        sources=context.t("verdict.sources") if known else "",
        facts=_facts(context),
        how=_how(context),
    )


def _warning(context: Context) -> str:
    """Say what keeps the figures from being believed; nothing where nothing does."""
    found, warnings = context.answers.found, []
    run = context.answers.run
    if isinstance(found, Evaluation) and found.on_validation:
        apart = run is not None and run.conditions.data.calibrated_apart
        warnings.append(context.t(f"verdict.on_validation{'_alone' if apart else ''}"))
    copies = found.copies if isinstance(found, Evaluation) else None
    if copies and (n := copies.exact + copies.near):
        counts = {"n": n, "all": found.n, "exact": copies.exact, "near": copies.near}
        values = {name: grouped(count) for name, count in counts.items()}
        without = copies.accuracy_without
        key = "verdict.all_copies" if without is None else "verdict.copies"
        warnings.append(context.t(key, accuracy=context.percent(without or 0.0, 2), **values))
    if not found.above_commonest:
        share = context.percent(found.commonest_share)
        warnings.append(context.t("verdict.weak", name=found.commonest, share=share))
    if run is not None and "under_one_epoch" in run.metrics.weaknesses:
        warnings.append(context.t("verdict.under_one_epoch"))
    if few := [context.name(int(k)) for k in np.flatnonzero(context.test.counts < FEW)]:
        names = ", ".join(few[:10]) + (" …" if len(few) > 10 else "")
        warnings.append(context.t("verdict.few", few=FEW, names=names))
    return " ".join(warnings)


def _points(context: Context, known: dict[str, float]) -> list[tuple[str, str, float, charts.Kind]]:
    """Return what stands on the line of accuracies: the model's, and what it is judged by."""
    # beside people and networks, a guess says nothing
    others = known or {"commonest": float(context.test.counts.max() / len(context.test))}
    points: list[tuple[str, str, float, charts.Kind]] = [
        (context.t(f"verdict.{who}"), context.percent(share), share, "quiet")
        for who, share in others.items()
    ]
    own = context.answers.found.accuracy
    return [*points, (context.t("verdict.this"), context.percent(own), own, "right")]


def _facts(context: Context) -> list[Fact]:
    """List what is known of the run and of its evaluation."""
    found, run = context.answers.found, context.answers.run
    facts = []
    if run is not None:
        facts = [
            _fact(context, "fit", context.duration(run.metrics.fit_seconds)),
            _fact(context, "recipe", run.recipe.name),
            _fact(context, "parameters", grouped(sum(layer.learnt for layer in context.layers))),
        ]
        validation = run.metrics.validation
        if run.conditions.final and validation and not validation.cross_validated:
            twin = context.duration(run.metrics.calibration_seconds)
            facts.insert(1, _fact(context, "twin", twin))
    facts.append(_fact(context, "n", grouped(found.n), "n", found.n))
    balanced = found.balanced_accuracy
    facts.append(
        _fact(context, "balanced", context.percent(balanced, 2), "balanced_accuracy", balanced)
    )
    if found.uneven:
        f1 = found.macro_f1
        facts.append(_fact(context, "macro_f1", context.percent(f1, 2), "macro_f1", f1))
    if context.answers.published:  # of other data it stands on the line of accuracies
        share = found.commonest_share
        facts.append(_fact(context, "commonest", context.percent(share), "commonest_share", share))
    facts.append(_fact(context, "loss", f"{found.loss:.4f}", "loss", found.loss))
    if isinstance(found, Evaluation):
        before = found.uncalibrated_loss
        facts.append(_fact(context, "before", f"{before:.4f}", "uncalibrated_loss", before))
    return facts


def _fact(
    context: Context, key: str, text: str, metric: str = "", value: float | None = None
) -> Fact:
    """Return a fact with its name."""
    return Fact(context.t(f"verdict.{key}"), Number(text, metric, value))


def _claim(context: Context, right: int, n: int) -> str:
    """Say in one sentence how often the model is wrong."""
    wrong = n - right
    if wrong == 0:
        return context.t("verdict.all_right", n=grouped(n))
    if right == 0:
        return context.t("verdict.all_wrong", n=grouped(n))
    said = {"right": grouped(right), "n": grouped(n)}
    in_ten = round(10 * wrong / n)
    if in_ten == 10:
        return context.t("verdict.nearly_all", **said)
    if wrong / n > 0.3:
        return context.t("verdict.in_ten", **said, k=in_ten)
    return context.t("verdict.one_in", **said, k=grouped(round(n / wrong)))


def _how(context: Context) -> list[str]:
    """Say what was chosen on which images, and under which conditions."""
    run = context.answers.run
    if run is None:
        return [context.t("verdict.handed")]
    measured, conditions = run.metrics, run.conditions
    lines = [context.t("verdict.trained", n=grouped(measured.training_images))]
    balance = conditions.class_weights
    if balance is not None and balance.taken == "balanced":
        lines.append(context.t("verdict.evened", times=f"{balance.ratio:.1f}"))
    if measured.validation:
        own = conditions.data.validation_sha256 is not None
        key = "final" if conditions.final else "own_validation" if own else "validation"
        if measured.validation.cross_validated:
            key = "cross_validated"
        accuracy = context.percent(measured.validation.accuracy)
        n = grouped(measured.validation.n)
        lines.append(context.t(f"verdict.{key}", n=n, accuracy=accuracy))
        model = context.answers.model
        known = model is not None and model.calibration is not None
        lines.append(context.t(f"verdict.{'calibrated' if known else 'uncalibrated'}"))
    if corrected := conditions.data.corrections:
        lines.append(context.t("verdict.corrected", n=grouped(len(corrected))))
    found = context.answers.found
    if isinstance(found, Evaluation) and not found.on_validation:
        lines.append(context.t("verdict.once", n=grouped(len(context.test))))
    if measured.stopped:
        lines.append(context.t("verdict.stopped"))
    machine = conditions.machine
    named = machine.accelerator or machine.processor
    software = ", ".join(
        f"{name} {number}"
        for name, number in conditions.versions.items()
        if not name.endswith("sha256")
    )
    lines.append(
        context.t(
            "verdict.conditions",
            device=named,
            threads=conditions.threads,
            versions=software,
            seed=conditions.seed,
            started=conditions.started[:16].replace("T", " "),
        )
    )
    return lines


def calibration(context: Context) -> CalibrationSection:
    """Draw confidence against accuracy, and coverage against accuracy."""
    bins = metrics.reliability(context.probs, context.test.labels)
    most = max((share for *_, share in bins), default=1)
    dots = [2 + 7 * float(np.sqrt(share / most)) for *_, share in bins]
    whole = lambda share: context.percent(share, 0)  # noqa: E731
    lines = [
        Line("", [0, 1], [0, 1], "quiet"),
        Line("", [c for c, _, _ in bins], [a for _, a, _ in bins], "right", dots, joined=False),
    ]
    reliability = charts.chart(
        context.t("trust.reliability"),
        Axis(context.t("trust.confidence"), 0, 1, whole),
        Axis(context.t("trust.accuracy"), 0, 1, whole),
        lines,
        size=(360, 300),
    )
    shares, accuracies = metrics.coverage_curve(context.probs, context.test.labels)
    low = min(accuracies)
    coverage = charts.chart(
        context.t("trust.coverage"),
        Axis(context.t("trust.answered"), 0, 1, whole),
        Axis(
            context.t("trust.right_of_answered"),
            max(0.0, low - 0.02),
            1.0,
            lambda s: context.percent(s, 0 if low < 0.96 else 1),
        ),
        [Line("", shares, accuracies, "right", charts.dots(shares))],
        size=(360, 300),
    )
    found = context.answers.found
    ece = context.t("trust.ece", ece=context.percent(found.ece, 2))
    by_chance = context.t("trust.chance", ece=context.percent(found.ece_by_chance, 2))
    scores = found.thresholds if isinstance(found, Evaluation) else None
    return CalibrationSection(
        ece=Number(ece, "ece", found.ece),
        by_chance=Number(by_chance, "ece_by_chance", found.ece_by_chance),
        coverage=_covered(context, shares, accuracies),
        charts=[reliability, coverage],
        thresholds=_thresholds(context, scores) if scores else None,
        note=context.t("trust.note"),
    )


def _covered(context: Context, shares: list[float], accuracies: list[float]) -> str:
    """Say how often the model is right where it may leave out a tenth of the images."""
    at = next(k for k, share in enumerate(shares) if share >= COVERAGE)
    accuracy = context.percent(accuracies[at])
    if shares[at] == 1:
        return context.t("trust.covered_all", accuracy=accuracy)
    return context.t("trust.covered", unsure=context.percent(1 - shares[at]), accuracy=accuracy)


def _thresholds(context: Context, scores: ThresholdScores) -> ThresholdNumbers:
    """Say what thresholds that validation images set do on the test part."""

    def share(name: str, value: float) -> Number:
        return Number(context.percent(value), name, value)

    return ThresholdNumbers(
        asked=context.percent(scores.coverage, 0),
        answered=share("answered", scores.answered),
        right=share("right", scores.right),
        held=share("held", scores.held),
        set_size=Number(f"{scores.set_size:.2f}", "set_size", scores.set_size),
        refused=share("refused", scores.refused),
    )


def photographs(context: Context) -> PhotographsSection | None:
    """Show how the model recognises photographs; None where that was not measured."""
    seen = context.answers.photographs
    if seen is None:
        return None
    found = seen.found
    many = max(len(found.per_kind), len(found.classes)) > MOST_CELLS
    model = context.answers.model
    steps = model.preprocessing if model is not None else None
    read = "read_cut" if steps is not None and steps.cuts_out else "read"
    return PhotographsSection(
        read=context.t(f"photographs.{read}"),
        claim=_claim_of_photographs(context, found),
        facts=_photograph_facts(context, found),
        rows=[_kind_row(context, one) for one in found.per_kind],
        cells=[] if many else [_kind_cells(found, one) for one in found.per_kind],
        how=_how_photographed(context, found),
        note=_note_of_photographs(context, found),
    )


def _claim_of_photographs(context: Context, found: PhotographEvaluation) -> Number:
    """Say in one sentence how many photographs are recognised."""
    name, key, share = "accuracy", "claim", found.accuracy
    if found.accuracy_garments is not None:
        name, key, share = "accuracy_garments", "claim_garments", found.accuracy_garments
    error = f"{100 * found.standard_errors[name]:.1f}"
    said = context.t(f"photographs.{key}", share=context.percent(share), error=error)
    return _figure(said, name, share)


def _note_of_photographs(context: Context, found: PhotographEvaluation) -> str:
    """Say how figures are to be read."""
    grouped = ["groups"] if found.accuracy_groups is not None else []
    return " ".join(context.t(f"photographs.{key}") for key in ("mean", *grouped))


def _photograph_facts(context: Context, found: PhotographEvaluation) -> list[Fact]:
    """List the figures that this model has, with their standard errors."""
    facts = []
    for name in FIGURES:
        share = getattr(found, name)
        if share is None or (name == "refused" and found.garments_refused is not None):
            continue
        text = f"{context.percent(share)} ± {100 * found.standard_errors[name]:.1f}"
        facts.append(Fact(context.t(f"photographs.{name}"), _figure(text, name, share)))
    ece = _figure(context.percent(found.ece), "ece", found.ece)
    return [*facts, Fact(context.t("photographs.ece"), ece)]


def _figure(text: str, name: str, value: float) -> Number:
    """Return a figure of photographs, which has the name of one of the test part."""
    return Number(text, f"photographs-{name}", value)


def _kind_row(context: Context, one: KindScore) -> KindRow:
    """Say how photographs of a kind were answered, and show some."""
    seen = context.answers.photographs
    examples = seen.examples if seen else []
    tiles: dict[bool, list[Tile]] = {True: [], False: []}
    for index, (example, image) in enumerate(examples):
        if example.kind == one.kind:
            about = context.t(
                "photographs.example",
                kind=one.kind,
                answer=example.answer,
                share=context.percent(example.probability),
            )
            at = context.gallery.add("photographs", index, image)
            tiles[example.right is True].append(Tile(at, about, example.file))
    answers, wrong = seen.found if seen else None, one.most_wrong
    taken = ""
    if answers is not None and wrong is not None:
        count = one.answers[answers.classes.index(wrong)]
        taken = context.t("photographs.taken", name=wrong, n=grouped(count))
    right = None if one.right is None else one.right / one.n
    refused = one.refused / one.n
    return KindRow(
        name=one.kind,
        n=grouped(one.n),
        right=None if right is None else Number(context.percent(right, 0), "", 100 * right),
        refused=Number(context.percent(refused, 0), "", 100 * refused),
        unknown=right is None,
        taken=taken,
        hits=tiles[True],
        misses=tiles[False],
    )


def _kind_cells(found: PhotographEvaluation, one: KindScore) -> list[KindCell]:
    """Return how often each class was the answer to a kind; the more often, the darker."""
    cells = []
    for name, count in zip(found.classes, one.answers, strict=True):
        share, hit = count / one.n, name in one.classes
        shade = share if hit else float(np.sqrt(share))
        cells.append(KindCell(grouped(count) if count else "", round(shade, 3), hit))
    return cells


def _how_photographed(context: Context, found: PhotographEvaluation) -> list[str]:
    """Say which photographs these are, what was not read, and when it was measured."""
    conditions = found.conditions
    lines = [
        context.t(
            "photographs.measured",
            n=grouped(found.n),
            folder=conditions.data.replace("\\", "/").rsplit("/", 1)[-1],
            date=conditions.started[:10],
        )
    ]
    if context.answers.published:
        lines.append(context.t("photographs.learnt", title=context.answers.published.title))
    if conditions.unreadable:
        lines.append(context.t("photographs.unreadable", n=grouped(conditions.unreadable)))
    if conditions.lacking:
        lines.append(context.t("photographs.lacking", names=", ".join(conditions.lacking)))
    return lines
