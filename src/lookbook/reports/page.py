"""The report: one HTML file that shows everything about a model's answers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.files import encode, write_bytes
from lookbook.core.templates import LANGS, Lang, fill, json_in_page, render
from lookbook.data.array_checks import as_images, as_labels
from lookbook.data.dataset import Dataset
from lookbook.errors import InputError, check_types
from lookbook.evaluation import probabilities
from lookbook.evaluation.analysis import analyse
from lookbook.evaluation.evaluate import judge
from lookbook.images import sprites
from lookbook.images.preprocessing import find_polarity
from lookbook.reports import (
    section_answers,
    section_data,
    section_metrics,
    section_model,
)
from lookbook.reports.context import Answers, Context, Gallery, Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64, UInt8

    from lookbook.data.formats.source import DataSource
    from lookbook.evaluation.audit import Findings
    from lookbook.reports.report_data import ReportData

# ---- public verbs ----


def report(
    images: UInt8[np.ndarray, "N H W *C"],
    labels: Int64[np.ndarray, "N"],
    probs: Float[np.ndarray, "N K"],
    *,
    classes: Sequence[str] | None = None,
    out: str | Path = "lookbook.html",
    title: str = "Test pictures",
    lang: Lang = "en",
) -> Path:
    """Write a report on the probabilities of any framework; return the file.

    Parameters
    ----------
    images
        The test images: uint8 of 0..255, (N, H, W), (N, H, W, 1) or (N, H, W, 3).
    labels
        Their true classes, 0..K-1, (N,) or (N, 1).
    probs
        The model's probabilities; each row sums to 1.
    classes
        Names of the classes; without them their numbers.
    out
        The file; one that exists is replaced.
    title
        What stands above it all.
    lang
        `en` or `ko`.

    Raises
    ------
    InputError
        The arrays do not belong together, or a row of `probs` does not sum to 1.
    OutputError
        The file cannot be written.

    Examples
    --------
    >>> images = np.zeros((20, 8, 8), np.uint8)
    >>> labels = np.arange(20) % 2
    >>> report(images, labels, np.eye(2)[labels], out=getfixture("tmp_path") / "a.html").name
    'a.html'
    """
    check_types(
        classes=(classes, Iterable | None),
        out=(out, str | PathLike),
        lang=(lang, Lang),
    )
    probs = np.asarray(probs)
    if probs.ndim != 2:
        raise InputError(
            "probs must have a row for each image and a column for each class, got shape "
            f"{probs.shape}"
        )
    names = tuple(classes) if classes is not None else tuple(map(str, range(probs.shape[1])))
    test = Dataset(as_images(images), as_labels(labels), names)
    return report_on(test, probabilities.check(probs, test), Path(out), title=title, lang=lang)


def report_on(
    test: Dataset,
    probs: Float[np.ndarray, "N K"],
    out: Path,
    *,
    title: str,
    subtitle: str = "",
    training: Dataset | None = None,
    findings: Findings | None = None,
    source: DataSource | None = None,
    lang: Lang = "en",
) -> Path:
    """Write a report on probabilities that were checked, with what is known of the data."""
    examples = source.examples if source else ()
    answers = Answers(
        test=test,
        probs=probs,
        found=judge(probs, test.labels, test.classes),
        analysis=analyse(test, probs, training=training, examples=examples),
        title=title,
        subtitle=subtitle,
        training=training,
        findings=findings,
        source=source,
    )
    return write_report(answers, out, lang)


def write_run_report(collected: ReportData, out: Path, lang: Lang = "en") -> Path:
    """Write the report on a run; return the file."""
    answers = Answers(
        test=collected.test,
        probs=collected.probs,
        found=collected.found,
        analysis=collected.analysis,
        title=collected.run.source.title,
        subtitle=f"{collected.run.recipe.name} · {collected.run.folder.resolve().name}",
        training=collected.training,
        findings=collected.findings,
        run=collected.run,
        model=collected.model,
        source=collected.run.source,
        photographs=collected.photographs,
    )
    return write_report(answers, out, lang)


def write_report(answers: Answers, out: Path, lang: Lang = "en") -> Path:
    """Write the page; return the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    write_bytes(out, encode(_render(answers, lang)))
    return out


# ---- the page ----


def _render(answers: Answers, lang: Lang) -> str:
    """Return the page in one language, with the other one in it.

    Images, answers and the cells of the matrix are there once, for both.
    """
    images = Gallery()
    contexts = {
        one: Context(answers, one, images) for one in sorted(LANGS, key=lambda one: one != lang)
    }
    sections = {one: _sections(context) for one, context in contexts.items()}
    sprite = sprites.pack(np.stack(images.images))  # all images are known by now
    bodies = {
        one: _body(context, sections[one], sprite, first=one == lang)
        for one, context in contexts.items()
    }
    return fill(
        "reports/report",
        ("reports/report.js",),
        answers=json_in_page(section_answers.for_script(contexts[lang], sprite)),
        bodies=bodies,
        lang=lang,
        name=contexts[lang].t("page.title", name=answers.title),
        polarity=_polarity(answers.test),
        sprite=sprite,
    )


def _body(
    context: Context,
    sections: dict[str, Section | None],
    sprite: sprites.Sprite,
    *,
    first: bool,
) -> str:
    """Return what the page says in one language; whatever has nothing to show is left out."""
    sections = sections | {"search": section_answers.search(context, sprite)}
    shown = [name for name, section in sections.items() if section]
    return render(
        "reports/report.body.html",
        **sections,
        sections=shown,
        n={name: number for number, name in enumerate(shown, 1)},
        cover=section_answers.cover(context),
        sprite=sprite,
        title=context.answers.title,
        subtitle=context.answers.subtitle,
        names=context.test.classes,
        n_test=len(context.test),
        t=context.t,
        lang=context.lang,
        first=first,
        footer=context.t("page.footer", version=version("lookbook"), date=_today()),
    )


def _sections(context: Context) -> dict[str, Section | None]:
    """Return the sections of the page by their names in it; None where one has nothing to show."""
    return {
        "verdict": section_metrics.verdict(context),
        "data": section_data.data(context),
        "network": section_model.network(context),
        "training": section_model.training(context),
        "confusion": section_answers.confusion(context),
        "mistakes": section_answers.mistakes(context),
        "classes": section_answers.per_class(context),
        "trust": section_metrics.calibration(context),
        "map": section_answers.the_map(context),
        "robustness": section_model.robustness(context),
        "photographs": section_metrics.photographs(context),
    }


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _polarity(test: Dataset) -> str:
    """Say how grey images are drawn, so that the page can show them as ink on paper."""
    return "colour" if test.channels == 3 else find_polarity(test.images).replace(" ", "-")
