"""Context of a report's sections: answers, language, images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lookbook.core.names import text
from lookbook.core.templates import Lang, say, texts
from lookbook.core.translation import join_particles
from lookbook.inference import onnx_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from lookbook.data.catalog import BuiltinDataset
    from lookbook.data.dataset import Dataset
    from lookbook.data.formats.source import DataSource
    from lookbook.evaluation.analysis import Analysis
    from lookbook.evaluation.audit import Findings
    from lookbook.inference.model import Model
    from lookbook.reports.report_data import SeenPhotographs
    from lookbook.runs.schema import Scores
    from lookbook.runs.store import Run


@dataclass(frozen=True)
class Answers:
    """What a report is about: images, and a model's probabilities for them.

    Everything else is optional: what lacks is left out of the page.
    """

    test: Dataset
    probs: Float[np.ndarray, "N K"]
    #: what `evaluate` found, of a run an `Evaluation`
    found: Scores
    analysis: Analysis
    title: str
    #: which model, and where it is kept
    subtitle: str = ""
    training: Dataset | None = None
    findings: Findings | None = None
    run: Run | None = None
    model: Model | None = None
    source: DataSource | None = None
    photographs: SeenPhotographs | None = None

    @property
    def published(self) -> BuiltinDataset | None:
        """What is known of a built-in dataset."""
        return self.source.published if self.source else None


# ---- what sections are made of ----


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a section of the page shows; what not all have stands in types of their own."""

    #: how it is to be read, and what stands small below it
    read: str = ""
    note: str = ""
    #: as SVG
    charts: Sequence[str] = ()


@dataclass(frozen=True)
class Number:
    """A figure as it is written, and for who reads the page by program its name and value."""

    text: str
    metric: str = ""
    value: float | str | None = None


@dataclass(frozen=True)
class Fact:
    """A figure with what it is of."""

    name: str
    number: Number


@dataclass(frozen=True)
class Tile:
    """An image: its place in the sprite, what it is, its file."""

    at: int
    about: str
    file: str


# ---- the page while it is made ----


@dataclass
class Gallery:
    """The images of a page, each once, and where each is in the sprite."""

    images: list[np.ndarray] = field(default_factory=list)
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, part: str, index: int, image: np.ndarray) -> int:
        """Return the place of an image; the first time it gets one."""
        key = part, int(index)
        if key not in self.places:
            self.places[key] = len(self.images)
            self.images.append(image)
        return self.places[key]


class Context:
    """One report in one language, while its parts are made."""

    def __init__(self, answers: Answers, lang: Lang, gallery: Gallery | None = None) -> None:
        self.answers, self.lang = answers, lang
        self.test, self.probs, self.analysis = answers.test, answers.probs, answers.analysis
        self.parts = {"test": answers.test}
        if answers.training is not None:
            self.parts["training"] = answers.training
        self.layers = onnx_graph.layers(answers.model) if answers.model is not None else []
        self.predicted = self.probs.argmax(axis=1)
        self.of_truth = self.probs[np.arange(len(self.test)), self.test.labels]
        self.gallery = gallery or Gallery()
        for index in self.analysis.shown:
            self.gallery.add("test", index, self.test.images[index])

    def t(self, key: str, **values: object) -> str:
        """Return a text in the page's language, with values filled in."""
        text = texts("reports/report", self.lang)[key]
        return join_particles(say(text, **values)) if values else text

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share as a percentage."""
        return self.t("script.percent").format(f"{100 * share:.{digits}f}")

    def duration(self, seconds: float) -> str:
        """Write a duration in the page's language."""
        units = {"en": ("s", "min", "h"), "ko": ("초", "분", "시간")}[self.lang]
        gap = " " if self.lang == "en" else ""
        if seconds < 59.95:
            return f"{seconds:.1f}{gap}{units[0]}"
        whole = round(seconds)
        if whole < 3600:
            return f"{whole // 60}{gap}{units[1]} {whole % 60}{gap}{units[0]}"
        return f"{whole // 3600}{gap}{units[2]} {whole % 3600 // 60}{gap}{units[1]}"

    def name(self, k: int) -> str:
        """Return the name of a class."""
        return self.test.classes[int(k)]

    def at(self, part: str, index: int) -> int:
        """Return where an image of a part is in the sprite."""
        return self.gallery.add(part, index, self.parts[part].images[index])

    def file(self, part: str, index: int) -> str:
        """Return the name of an image's file; nothing where the data is arrays."""
        files = self.parts[part].files
        return text(files[index]) if files else ""

    def tile(self, word: str, index: int, about: str = "") -> Tile:
        """Return an image of a part; unless told otherwise it is called by number and label."""
        part = self.parts[word]
        about = about or self.t(
            "data.picture",
            part=self.t(f"word.{word}"),
            index=grouped(index),
            name=part.classes[part.labels[index]],
        )
        return Tile(self.at(word, index), about, self.file(word, index))


# ---- numbers ----


def grouped(n: float) -> str:
    """Write a number with its thousands apart.

    >>> grouped(60000)
    '60,000'
    """
    return f"{n:,}"


def tenths(share: float) -> int:
    """Return a share in tenths of a percent, as the page shows it everywhere.

    >>> tenths(0.1234)
    123
    """
    return round(1000 * float(share))
