"""Write the lookbook: one HTML file that shows everything about a model's answers."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookbook import anatomy, charts, metrics, sprites
from lookbook.analysis import NEAREST, Analysis, Curve, analyse
from lookbook.builtin import BUILTIN
from lookbook.charts import Axis, Line
from lookbook.datasets import Dataset
from lookbook.errors import InputError
from lookbook.evaluation import judge
from lookbook.model import Model
from lookbook.photos import find_polarity
from lookbook.runs import Run, write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64, UInt8

    from lookbook.audit import Findings, Suspects
    from lookbook.dossier import Dossier

Lang = Literal["en", "ko"]
LANGS: tuple[Lang, ...] = ("en", "ko")
#: example pictures of a class, and classes whose pictures are shown
EXAMPLES, MOST_CLASSES = 16, 50
#: typical and worst pictures of a class
FEW = 5
#: pairs and suspects that are shown of each kind of finding
FOUND = 18
#: classes whose probabilities are kept for each picture
LEADING = 10
#: classes beyond which the matrix is written small
SMALL = 20
#: filters that are drawn
FILTERS = 32


@dataclass(frozen=True)
class Answers:
    """What a report is about: pictures, and a model's probabilities for them.

    Everything else is optional: what lacks is left out of the page.
    """

    test: Dataset
    probs: Float[np.ndarray, "N K"]
    #: what `evaluate` found
    found: dict[str, Any]
    analysis: Analysis
    title: str
    training: Dataset | None = None
    findings: Findings | None = None
    run: Run | None = None
    model: Model | None = None
    #: name of a built-in dataset
    data: str = ""


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
        The test pictures: uint8 of 0..255, (N, H, W) or (N, H, W, 3).
    labels
        Their true classes, 0..K-1.
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
    names = tuple(classes) if classes is not None else tuple(map(str, range(np.shape(probs)[1])))
    test = Dataset(np.asarray(images), np.asarray(labels, np.int64), names)
    return report_on(test, np.asarray(probs), Path(out), title=title, lang=lang)


def report_on(
    test: Dataset,
    probs: Float[np.ndarray, "N K"],
    out: Path,
    *,
    title: str,
    training: Dataset | None = None,
    findings: Findings | None = None,
    data: str = "",
    lang: Lang = "en",
) -> Path:
    """Write a report on probabilities for a test part, with what is known of the data."""
    probs = _check(probs, test)
    examples = BUILTIN[data].examples if data in BUILTIN else ()
    answers = Answers(
        test=test,
        probs=probs,
        found=judge(probs, test.labels, test.classes),
        analysis=analyse(test, probs, training=training, examples=examples),
        title=title,
        training=training,
        findings=findings,
        data=data,
    )
    return write_report(answers, out, lang)


def write_run_report(dossier: Dossier, out: Path, lang: Lang = "en") -> Path:
    """Write the report on a run; return the file."""
    answers = Answers(
        test=dossier.test,
        probs=dossier.probs,
        found=dossier.found,
        analysis=dossier.analysis,
        title=dossier.run.folder.name,
        training=dossier.training,
        findings=dossier.findings,
        run=dossier.run,
        model=dossier.model,
        data=dossier.run.conditions["data"]["name"],
    )
    return write_report(answers, out, lang)


def _check(probs: Float[np.ndarray, "N K"], test: Dataset) -> Float[np.ndarray, "N K"]:
    """Refuse what are no probabilities of these pictures."""
    expected = (len(test), len(test.classes))
    if probs.shape != expected or probs.dtype.kind != "f":
        raise InputError(
            f"probs must be floats of shape {expected}, a row for each picture and a column for "
            f"each class, got {probs.dtype} of shape {probs.shape}"
        )
    if not np.isfinite(probs).all() or probs.min() < 0:
        raise InputError(
            "probs must be between 0 and 1, got others; are they logits? then apply softmax first"
        )
    sums = probs.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-3:
        raise InputError(
            f"each row of probs must sum to 1, row {worst} sums to {sums[worst]:.4f}; are they "
            "logits, or single-class scores? then apply softmax first"
        )
    return probs


def write_report(answers: Answers, out: Path, lang: Lang = "en") -> Path:
    """Write the page; return the file.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, _Page(answers, lang).render().encode())
    return out


# ---- texts and numbers ----


@cache
def _texts(lang: Lang) -> dict[str, Any]:
    source = files("lookbook").joinpath("web", f"report.{lang}.json")
    return dict(json.loads(source.read_text(encoding="utf-8")))


@cache
def _asset(name: str) -> str:
    return files("lookbook").joinpath("web", name).read_text(encoding="utf-8")


def _count(n: float) -> str:
    return f"{n:,}"


def _tenths(share: float) -> int:
    """Return a share in tenths of a percent, as the page shows it everywhere."""
    return round(1000 * float(share))


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


# ---- the page ----


@dataclass
class _Pictures:
    """The pictures of a page, each once, and where each is in the sprite."""

    images: list[np.ndarray] = field(default_factory=list)
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    def add(self, part: str, index: int, image: np.ndarray) -> int:
        """Return the place of a picture; the first time it gets one."""
        key = part, int(index)
        if key not in self.places:
            self.places[key] = len(self.images)
            self.images.append(image)
        return self.places[key]


class _Page:
    """One report in one language: each part is a method that returns what its template shows."""

    def __init__(self, answers: Answers, lang: Lang) -> None:
        self.answers, self.lang = answers, lang
        self.test, self.probs, self.analysis = answers.test, answers.probs, answers.analysis
        self.parts = {"test": answers.test}
        if answers.training is not None:
            self.parts["training"] = answers.training
        self.layers = anatomy.layers(answers.model) if answers.model is not None else []
        self.said = self.probs.argmax(axis=1)
        self.of_truth = self.probs[np.arange(len(self.test)), self.test.labels]
        self.pictures = _Pictures()
        for index in self.analysis.shown:
            self.pictures.add("test", index, self.test.images[index])

    # -- texts --

    def t(self, key: str, **values: object) -> str:
        """Return a text in the page's language, with values filled in."""
        section, _, name = key.partition(".")
        text: str = _texts(self.lang)[section][name]
        return text.format(**values) if values else text

    def percent(self, share: float, digits: int = 1) -> str:
        """Write a share as a percentage."""
        text: str = _texts(self.lang)["percent"]
        return text.format(f"{100 * share:.{digits}f}")

    def name(self, k: int) -> str:
        """Return the name of a class."""
        return self.test.classes[int(k)]

    # -- all of it --

    def render(self) -> str:
        """Return the page."""
        import jinja2  # noqa: PLC0415  # 0.1 s

        parts: dict[str, Any] = {
            "verdict": self.verdict(),
            "data": self.data(),
            "network": self.network(),
            "training": self.training(),
            "confusion": self.confusion(),
            "mistakes": self.mistakes(),
            "per_class": self.per_class(),
            "trust": self.trust(),
            "map": self.map(),
            "robustness": self.robustness(),
        }
        cover = self.cover()
        sprite = sprites.pack(np.stack(self.pictures.images))
        script = _asset("report.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        sections = [
            name
            for name in (
                "verdict",
                "data",
                "network",
                "training",
                "confusion",
                "mistakes",
                "classes",
                "trust",
                "map",
                "robustness",
                "search",
            )
            if parts.get(name, True)
        ]
        template = jinja2.Environment(autoescape=True).from_string(_asset("report.html"))
        return template.render(
            **parts,
            lang=self.lang,
            t=self.t,
            title=self.answers.title,
            subtitle=self.answers.run.recipe["name"] if self.answers.run else "",
            version=version("lookbook"),
            polarity=self.polarity(),
            classes=self.test.classes,
            n_test=len(self.test),
            cover=cover,
            sections=sections,
            n={name: number for number, name in enumerate(sections, 1)},
            search=self.search(sprite),
            footer=self.t(
                "page.footer",
                version=version("lookbook"),
                date=datetime.now(UTC).date().isoformat(),
            ),
            sprite={
                "columns": sprite.columns,
                "rows": sprite.rows,
                "ratio": f"{sprite.side[1]} / {sprite.side[0]}",
                "address": sprite.address,
            },
            style=_asset("report.css"),
            script=script,
            script_hash=f"sha256-{digest}",
            answers=self.data_of_script(sprite),
        )

    def polarity(self) -> str:
        """Say how grey pictures are drawn, so that the page can show them as ink on paper."""
        if self.test.channels == 3:
            return "colour"
        return find_polarity(self.test.images).replace(" ", "-")

    def cover(self) -> list[int]:
        """Choose pictures that run across the top: class by class, all that the model knew."""
        right = self.analysis.shown[
            self.said[self.analysis.shown] == self.test.labels[self.analysis.shown]
        ]
        chosen: list[int] = []
        for turn in range(40):
            for k in range(len(self.test.classes)):
                of_class = right[self.test.labels[right] == k]
                if turn < len(of_class):
                    chosen.append(int(of_class[turn]))
        return [self.at("test", index) for index in chosen[:48]]

    def about_test(self, index: int) -> str:
        """Describe a test picture and the answer to it."""
        text: str = _texts(self.lang)["script"]["about"]
        return text.format(
            index=_count(int(index)),
            said=self.name(self.said[index]),
            sure=self.percent(_tenths(self.probs[index].max()) / 1000),
            truth=self.name(self.test.labels[index]),
        )

    def shown_test(self, index: int) -> dict[str, Any]:
        """Return what a small picture with a link needs."""
        return {"index": int(index), "at": self.at("test", index), "about": self.about_test(index)}

    # -- 1 the verdict --

    def verdict(self) -> dict[str, Any]:
        """Say how good the answers are, beside others, and how that was measured."""
        found, run = self.answers.found, self.answers.run
        share, n = found["accuracy"], found["n"]
        low, high = found["interval"]
        right = round(share * n)
        commonest = self.test.counts.max() / n
        points: list[tuple[str, str, float, charts.Kind]] = [
            (self.t("verdict.commonest"), self.percent(commonest), commonest, "quiet")
        ]
        known = BUILTIN[self.answers.data].references if self.answers.data in BUILTIN else {}
        points += [
            (self.t(f"verdict.{who}"), self.percent(known[who]), known[who], "quiet")
            for who in known
        ]
        if known:
            points = points[1:]  # beside people and networks, a guess says nothing
        points.append((self.t("verdict.this"), self.percent(share), share, "right"))
        facts = [
            self.fact("n", _count(n), "n", n),
            self.fact("loss", f"{found['loss']:.4f}", "loss", found["loss"]),
        ]
        if "uncalibrated_loss" in found:
            value = found["uncalibrated_loss"]
            facts.append(self.fact("before", f"{value:.4f}", "uncalibrated_loss", value))
        if run is not None:
            facts = [
                self.fact("fit", self.duration(run.metrics["fit_seconds"])),
                self.fact("recipe", run.recipe["name"]),
                self.fact("parameters", _count(sum(layer.learnt for layer in self.layers))),
                *facts,
            ]
        return {
            "accuracy": share,
            "text": self.percent(share, 2),
            "bounds": f"{low} {high}",
            "interval": self.t("verdict.interval", low=self.percent(low), high=self.percent(high)),
            "claim": self.claim(right, n),
            "line": charts.number_line(points, (low, high)),
            "sources": self.t("verdict.sources") if known else "",
            "facts": facts,
            "how": self.how(),
        }

    def fact(self, key: str, text: str, metric: str = "", value: object = "") -> dict[str, Any]:
        """Return a fact with its name."""
        return {"name": self.t(f"verdict.{key}"), "text": text, "metric": metric, "value": value}

    def claim(self, right: int, n: int) -> str:
        """Say in one sentence how often the model is wrong."""
        wrong = n - right
        if wrong == 0:
            return self.t("verdict.all_right", n=_count(n))
        if right == 0:
            return self.t("verdict.all_wrong", n=_count(n))
        said = {"right": _count(right), "n": _count(n)}
        if wrong / n > 0.3:
            return self.t("verdict.in_ten", **said, k=min(9, max(1, round(10 * wrong / n))))
        return self.t("verdict.one_in", **said, k=_count(round(n / wrong)))

    def how(self) -> list[str]:
        """Say what was chosen on which pictures, and under which conditions."""
        run = self.answers.run
        if run is None:
            return [self.t("verdict.handed")]
        measured, conditions = run.metrics, run.conditions
        lines = [self.t("verdict.trained", n=_count(measured["training_pictures"]))]
        if measured["validation"]:
            key = "final" if conditions["final"] else "validation"
            accuracy = self.percent(measured["validation"]["accuracy"])
            n = _count(measured["validation"]["n"])
            lines.append(self.t(f"verdict.{key}", n=n, accuracy=accuracy))
        lines.append(self.t("verdict.once", n=_count(len(self.test))))
        if measured["stopped"]:
            lines.append(self.t("verdict.stopped"))
        machine = conditions["machine"]
        named = machine.get("accelerator") or machine["processor"]
        software = ", ".join(
            f"{name} {number}"
            for name, number in conditions["versions"].items()
            if not name.endswith("sha256")
        )
        lines.append(
            self.t(
                "verdict.conditions",
                device=named,
                threads=conditions["threads"],
                versions=software,
                seed=conditions["seed"],
                started=conditions["started"][:16].replace("T", " "),
            )
        )
        return lines

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

    # -- 2 the data --

    def data(self) -> dict[str, Any]:
        """Show the classes, the pixels, and what was found in the data."""
        word = "training" if "training" in self.parts else "test"
        part = self.parts[word]
        counts = part.counts
        rows = []
        for k in range(len(part.classes)):
            of_class = np.flatnonzero(part.labels == k)
            rows.append(
                {
                    "name": part.classes[k],
                    "count": _count(int(counts[k])),
                    "share": round(100 * float(counts[k] / counts.max()), 1),
                    "average": self.average(part, k, of_class),
                    "examples": [self.at(word, i) for i in self.examples(of_class, k)],
                }
            )
        height, width = part.size
        colour = self.t("data.grey" if part.channels == 1 else "data.colour")
        hidden = ""
        if len(part.classes) > MOST_CLASSES:
            hidden = self.t("data.hidden", shown=MOST_CLASSES, all=len(part.classes))
        return {
            "caption": self.t(
                "data.caption",
                part=self.t(f"word.{word}"),
                n=_count(len(part)),
                size=f"{width}×{height}",
                colour=colour,
                k=len(part.classes),
            ),
            "rows": rows,
            "hidden": hidden,
            "pixels": self.pixels(part, word),
            "findings": self.findings(),
        }

    def at(self, part: str, index: int) -> int:
        """Return where a picture of a part is in the sprite."""
        return self.pictures.add(part, index, self.parts[part].images[index])

    def examples(self, of_class: Int64[np.ndarray, "n"], k: int) -> list[int]:
        """Choose examples of a class, spread over all of it."""
        if k >= MOST_CLASSES:
            return []
        most = EXAMPLES if len(self.test.classes) <= 20 else FEW
        step = max(1, len(of_class) // most)
        return [int(i) for i in of_class[::step][:most]]

    def average(self, part: Dataset, k: int, of_class: Int64[np.ndarray, "n"]) -> int | None:
        """Return where the average picture of a class is in the sprite."""
        if len(of_class) == 0 or k >= MOST_CLASSES:
            return None
        mean = np.mean([part.images[i] for i in of_class[:: max(1, len(of_class) // 2000)]], axis=0)
        return self.pictures.add("average", k, mean.round().astype(np.uint8))

    def pixels(self, part: Dataset, word: str) -> dict[str, Any]:
        """Show one row of one picture, before scaling and after."""
        index = len(part) // 3
        image = part.images[index]
        row = min(10, len(image) - 1)
        levels = image[row] if image.ndim == 2 else image[row, :, 0]
        picture = self.t(
            "data.picture",
            part=self.t(f"word.{word}"),
            index=_count(index),
            name=part.classes[part.labels[index]],
        )
        scaled = (
            np.format_float_positional(np.float32(level) / np.float32(255), precision=8)
            for level in levels
        )
        key = "data.row" if image.ndim == 2 else "data.row_red"
        return {
            "about": self.t(key, picture=picture, row=row),
            "at": self.at(word, index),
            "label": picture,
            "before": " ".join(str(level) for level in levels),
            "after": " ".join(scaled),
        }

    def findings(self) -> list[dict[str, Any]]:
        """List what an audit of the data found, with some pictures of each."""
        found = self.answers.findings
        if found is None:
            return []
        listed = []
        for kind, pairs in (("doubles", found.exact), ("near", found.near)):
            about = {"threshold": "8"}
            both = pairs >= found.n_training
            across = pairs[both[:, 0] != both[:, 1]]
            listed.append(self.pairs(f"{kind}_across", across, found, about, part=""))
            for part, inside in (("training", ~both.any(axis=1)), ("test", both.all(axis=1))):
                if inside.any():
                    listed.append(self.pairs(f"{kind}_within", pairs[inside], found, about, part))
        every = np.concatenate([found.exact, found.near])
        if len(every):
            labels = np.concatenate([self.parts["training"].labels, self.test.labels])
            odd = every[labels[every[:, 0]] != labels[every[:, 1]]]
            listed.append(self.pairs("conflicting", odd, found, {}, part=""))
        if found.folds:
            listed += [self.suspects(part, found) for part in ("training", "test")]
        return listed

    def pairs(
        self,
        key: str,
        pairs: Int64[np.ndarray, "P 2"],
        found: Findings,
        about: dict[str, str],
        part: str,
    ) -> dict[str, Any]:
        """Show some of the pairs of one kind."""
        word = self.t(f"word.{part}") if part else ""
        about_key = "near_about" if key.startswith("near") else f"{key}_about"
        several = len(np.unique(pairs[:, 1])) if key == "near_across" else len(pairs)
        hidden = ""
        if len(pairs) > FOUND:
            hidden = self.t("data.shown", shown=FOUND, all=_count(len(pairs)))
        return {
            "count": _count(several),
            "title": self.t(f"data.{key}", part=word),
            "about": self.t(f"data.{about_key}", **about) if about else self.t(f"data.{about_key}"),
            "pairs": [
                {"first": self.member(a, found), "second": self.member(b, found)}
                for a, b in pairs[:FOUND].tolist()
            ],
            "hidden": hidden,
        }

    def member(self, index: int, found: Findings) -> dict[str, Any]:
        """Describe one picture of a pair."""
        word = "training" if index < found.n_training else "test"
        own = index if word == "training" else index - found.n_training
        return {"at": self.at(word, own), "about": self.describe(word, own)}

    def describe(self, word: str, index: int) -> str:
        """Name a picture: part, number, label."""
        part = self.parts[word]
        return self.t(
            "data.picture",
            part=self.t(f"word.{word}"),
            index=_count(index),
            name=part.classes[part.labels[index]],
        )

    def suspects(self, word: str, found: Findings) -> dict[str, Any]:
        """Show the least credible labels of one part."""
        suspects: Suspects = getattr(found, word)
        part = self.parts[word]
        about = "suspects_train_about" if word == "training" else "suspects_test_about"
        hidden = ""
        n = len(suspects.indices)
        if n > FOUND:
            run = self.answers.run
            hidden = self.t("data.shown", shown=FOUND, all=_count(n))
            if run is not None:
                command = f"lookbook report {run.folder} --corrections suspects.csv"
                hidden = self.t("data.more", shown=FOUND, all=_count(n), command=command)
        return {
            "count": _count(n),
            "title": self.t("data.suspects", part=self.t(f"word.{word}")),
            "about": self.t(f"data.{about}", folds=found.folds),
            "suspects": [
                {
                    "at": self.at(word, int(index)),
                    "about": self.t("mistakes.number", index=_count(int(index)))
                    if word == "test"
                    else self.describe(word, int(index)).rsplit(",", 1)[0],
                    "given": self.t("data.given", name=self.name(part.labels[index])),
                    "opinion": self.t(
                        "data.opinion",
                        name=self.name(opinion),
                        share=self.percent(share[0]),
                        given=self.percent(share[1]),
                    ),
                }
                for index, opinion, share in zip(
                    suspects.indices[:FOUND],
                    suspects.opinions[:FOUND],
                    suspects.shares[:FOUND],
                    strict=True,
                )
            ],
            "hidden": hidden,
        }

    # -- 3 the network --

    def network(self) -> dict[str, Any] | None:
        """Draw the layers, and what the first of them looks for."""
        model = self.answers.model
        if model is None:
            return None
        height, width, *colours = self.test.images.shape[1:]
        shape = "×".join(map(str, (height, width, *colours)))
        none = self.t("network.one_parameter")
        rows = [{"name": self.t("network.input"), "shape": shape, "parameters": none}]
        found = self.layers
        rows += [self.layer(one) for one in found]
        rows.append(
            {
                "name": self.t("network.softmax"),
                "shape": str(found[-1].shape[0]),
                "parameters": none,
            }
        )
        total = self.t("network.total", n=_count(sum(one.learnt for one in found)))
        run = self.answers.run
        if run is not None and (run.recipe.get("mirror") or run.recipe.get("shift")):
            total += " " + self.t("network.views")
        channels = colours[0] if colours else 1
        shapes = [(channels, height, width), *(one.shape for one in found)]
        drawing = charts.layer_drawing(shapes, ", ".join(f"{r['name']} {r['shape']}" for r in rows))
        return {
            "drawing": drawing,
            "layers": rows,
            "total": total,
            **self.filters(model),
        }

    def layer(self, one: anatomy.Layer) -> dict[str, str]:
        """Write one layer."""
        sides = {"kernel": "×".join(map(str, one.kernel)), "stride": max(one.stride, default=1)}
        kind: str = one.kind
        if kind == "conv" and max(one.stride) > 1:
            kind = "conv_stride"
        counts = self.t("network.one_parameter")
        if one.learnt:
            counts = self.t("network.parameters", n=_count(one.learnt))
        elif one.computed:
            counts = self.t("network.computed", n=_count(one.computed))
        return {
            "name": self.t(f"network.{kind}", **sides),
            "shape": " × ".join(map(str, one.shape)),
            "parameters": counts,
        }

    def filters(self, model: Model) -> dict[str, Any]:
        """Draw filters of the first layer, each from its own darkest to its own lightest."""
        values = anatomy.first_filters(model)
        kind = "conv" if self.layers[0].kind in {"whitening", "conv"} else "dense"
        drawn = []
        for one in values[:FILTERS]:
            most = np.abs(one).max() or 1.0
            grey = ((one / most + 1) * 127.5).round().astype(np.uint8)
            drawn.append(self.image(grey))
        size = "×".join(map(str, values.shape[1:3]))
        said = {"shown": len(drawn), "all": len(values), "size": size}
        return {
            "filters": drawn,
            "filters_title": self.t(f"network.filters_{kind}"),
            "filters_read": self.t(f"network.filters_{kind}_read", **said),
        }

    def image(self, pixels: UInt8[np.ndarray, "H W *C"]) -> str:
        """Return a small image as an address."""
        import io  # noqa: PLC0415

        from PIL import Image  # noqa: PLC0415

        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    # -- 4 the training --

    def training(self) -> dict[str, Any] | None:
        """Draw loss, accuracy and learning rate over the training."""
        run = self.answers.run
        if run is None:
            return None
        history = run.history
        epochs = [one["epoch"] - 1 + one["pictures"] / one["pictures_per_epoch"] for one in history]
        seconds = [one["seconds"] for one in history]
        drawn = [
            self.curve(history, name, xs, unit)
            for name in ("loss", "accuracy")
            for xs, unit in ((epochs, "epoch"), (seconds, "seconds"))
        ]
        drawn.append(self.rate(run, epochs[-1]))
        recipe, extra = run.recipe, ""
        if recipe.get("hardest", 1.0) < 1:
            extra += self.t("training.hardest", share=self.percent(recipe["hardest"], 0))
        if recipe.get("label_smoothing"):
            extra += self.t("training.smoothing", share=self.percent(recipe["label_smoothing"], 0))
        return {
            "charts": drawn,
            "note": self.t("training.note", extra=extra),
        }

    def curve(self, history: list[dict[str, Any]], name: str, xs: list[float], unit: str) -> str:
        """Draw loss or accuracy of both parts."""
        lines = []
        parts: tuple[tuple[str, str, charts.Kind], ...] = (
            (name, "training", "quiet"),
            (f"val_{name}", "validation", "right"),
        )
        for key, word, kind in parts:
            ys = [float(one[key]) for one in history if one.get(key) is not None]
            if len(ys) == len(xs):
                dots = [2.5] * len(xs) if len(xs) <= 20 else []
                lines.append(Line(self.t(f"word.{word}"), xs, ys, kind, dots))
        every = [y for line in lines for y in line.ys]
        least, most = min(every), max(every)
        room = 0.06 * ((most - least) or 1)
        y = Axis(self.t(f"training.{name}"), max(0.0, least - room), most + room)
        if name == "accuracy":
            write = lambda share: self.percent(share, 0 if most - least > 0.03 else 1)  # noqa: E731
            y = Axis(y.name, y.least, min(1.0, y.most), write)
        title = f"{self.t(f'training.{name}')} · {self.t(f'training.{unit}')}"
        return charts.chart(title, Axis(self.t(f"training.{unit}"), 0, xs[-1]), y, lines)

    def rate(self, run: Run, epochs: float) -> str:
        """Draw the learning rate as a share of its largest."""
        shares = np.linspace(0, 1, 101)
        constant = run.recipe["schedule"] == "constant"
        values = np.ones(101) if constant else np.minimum(shares / 0.1, 1) * (1 - shares)
        line = Line("", (shares * epochs).tolist(), values.tolist(), "ink")
        title, unit = self.t("training.rate"), self.t("training.epoch")
        return charts.chart(
            title, Axis(unit, 0, epochs), Axis(title, 0, 1.05, ticks=(0, 0.5, 1)), [line]
        )

    # -- 5 the confusion matrix --

    def confusion(self) -> dict[str, Any]:
        """Write the matrix as a table of links."""
        matrix = np.array(self.answers.found["confusion_matrix"])
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        rows = []
        for k, name in enumerate(self.test.classes):
            cells: list[dict[str, Any]] = []
            for j, count in enumerate(matrix[k].tolist()):
                if not count:
                    cells.append({"count": 0})
                    continue
                hit = j == k
                shade = shares[k, j] if hit else np.sqrt(shares[k, j])
                about = self.t(
                    "confusion.hit" if hit else "confusion.cell",
                    truth=name,
                    said=self.name(j),
                )
                cells.append(
                    {
                        "count": count,
                        "text": _count(count),
                        "hit": hit,
                        "shade": f"{shade:.3f}",
                        "about": about,
                    }
                )
            rows.append({"name": name, "cells": cells})
        return {
            "rows": rows,
            "small": len(rows) > SMALL,
            "caption": self.t("confusion.caption", n=_count(len(self.test))),
        }

    # -- 6 the mistakes --

    def mistakes(self) -> dict[str, Any]:
        """Show the most confused pairs and the largest losses."""
        numbers = {name: k for k, name in enumerate(self.test.classes)}
        pairs = []
        for one in self.answers.found["most_confused"]:
            a, b = one["pair"]
            ways = [
                {
                    "true": numbers[truth],
                    "predicted": numbers[said],
                    "text": self.t("mistakes.way", n=_count(n), truth=truth, said=said),
                }
                for truth, said, n in (
                    (a, b, one["first_as_second"]),
                    (b, a, one["second_as_first"]),
                )
                if n
            ]
            pairs.append(
                {
                    "title": self.t("mistakes.pair", a=a, b=b),
                    "count": one["count"],
                    "text": self.t("mistakes.count", n=_count(one["count"])),
                    "ways": ways,
                }
            )
        cards = [self.card(place, int(index)) for place, index in enumerate(self.analysis.hardest)]
        read = [self.t("mistakes.largest_read", n=len(cards))]
        if self.analysis.looked.size:
            read.append(self.t("mistakes.looked_read"))
        if self.analysis.nearest.size:
            read.append(self.t("mistakes.nearest_read"))
        return {"pairs": pairs, "cards": cards, "read": " ".join(read)}

    def card(self, place: int, index: int) -> dict[str, Any]:
        """Show one mistake: picture, where the model looked, probabilities, its like."""
        truth = int(self.test.labels[index])
        neighbours = []
        training = self.answers.training
        for near in self.analysis.nearest[place] if training is not None else ():
            label = int(training.labels[near])  # type: ignore[union-attr]
            kind = "right" if label == truth else "wrong" if label == self.said[index] else ""
            neighbours.append(
                {
                    "at": self.at("training", int(near)),
                    "about": self.describe("training", int(near)),
                    "name": self.name(label),
                    "kind": kind,
                }
            )
        sure = self.percent(_tenths(self.probs[index].max()) / 1000)
        return {
            "index": index,
            "at": self.at("test", index),
            "about": self.about_test(index),
            "said": f"{self.name(self.said[index])} {sure}",
            "truth": self.t("mistakes.truth", truth=self.name(truth)),
            "number": self.t("mistakes.number", index=_count(index)),
            "bars": self.bars(index),
            "heat": self.heat(place),
            "neighbours": neighbours[:NEAREST],
        }

    def bars(self, index: int) -> list[dict[str, Any]]:
        """Return the probabilities of one picture: of all classes, or of the leading ones."""
        probs, truth = self.probs[index], int(self.test.labels[index])
        leading = np.argsort(-probs, kind="stable")[:LEADING]
        if len(probs) <= LEADING:
            leading = np.arange(len(probs))
        rows = []
        for k in leading.tolist():
            kind = "right" if k == truth else "wrong" if k == self.said[index] else ""
            share = _tenths(probs[k]) / 1000
            rows.append(
                {
                    "name": self.name(k),
                    "share": round(100 * share, 1),
                    "text": self.percent(share),
                    "kind": kind,
                }
            )
        return rows

    def heat(self, place: int) -> str:
        """Return where the model looked as a transparent image, orange where it matters."""
        if not self.analysis.looked.size:
            return ""
        map_ = self.analysis.looked[place]
        pixels = np.zeros((*map_.shape, 4), np.uint8)
        pixels[..., :3] = (230, 110, 0)
        pixels[..., 3] = (200 * map_).round().astype(np.uint8)
        return self.image(pixels)

    # -- 7 class by class --

    def per_class(self) -> list[dict[str, Any]]:
        """Write precision, recall and F1 of each class, with its easiest and hardest pictures."""
        on_page = np.zeros(len(self.test), bool)
        on_page[self.analysis.shown] = True
        rows = []
        for k, one in enumerate(self.answers.found["per_class"]):
            members = np.flatnonzero((self.test.labels == k) & on_page)
            order = members[np.argsort(self.of_truth[members], kind="stable")]
            typical = [i for i in order[::-1] if self.said[i] == k][:FEW]
            worst = [i for i in order if i not in typical][:FEW]
            measured = [
                {"name": f"{key}-{k}", "value": one[key], "text": self.percent(one[key])}
                for key in ("precision", "recall", "f1")
            ]
            measured.append({"name": f"n-{k}", "value": one["n"], "text": _count(one["n"])})
            rows.append(
                {
                    "name": one["class"],
                    "metrics": measured,
                    "typical": [self.shown_test(i) for i in typical],
                    "worst": [self.shown_test(i) for i in worst],
                }
            )
        return rows

    # -- 8 can the percentages be believed --

    def trust(self) -> dict[str, Any]:
        """Draw confidence against accuracy, and coverage against accuracy."""
        bins = metrics.reliability(self.probs, self.test.labels)
        most = max((share for *_, share in bins), default=1)
        dots = [2 + 7 * float(np.sqrt(share / most)) for *_, share in bins]
        whole = lambda share: self.percent(share, 0)  # noqa: E731
        lines = [
            Line("", [0, 1], [0, 1], "quiet"),
            Line("", [c for c, _, _ in bins], [a for _, a, _ in bins], "right", dots, joined=False),
        ]
        reliability = charts.chart(
            self.t("trust.reliability"),
            Axis(self.t("trust.confidence"), 0, 1, whole),
            Axis(self.t("trust.accuracy"), 0, 1, whole),
            lines,
            size=(360, 300),
        )
        shares, accuracies = metrics.coverage_curve(self.probs, self.test.labels)
        low = min(accuracies)
        coverage = charts.chart(
            self.t("trust.coverage"),
            Axis(self.t("trust.answered"), 0, 1, whole),
            Axis(
                self.t("trust.right_of_answered"),
                max(0.0, low - 0.02),
                1.0,
                lambda s: self.percent(s, 0 if low < 0.96 else 1),
            ),
            [Line("", shares, accuracies, "right")],
            size=(360, 300),
        )
        at_ninety = float(np.interp(0.9, shares, accuracies))
        ece = self.answers.found["ece"]
        return {
            "ece": ece,
            "ece_text": self.t("trust.ece", ece=self.percent(ece, 2)),
            "coverage_text": self.t("trust.covered", accuracy=self.percent(at_ninety)),
            "charts": [reliability, coverage],
            "note": self.t("trust.note"),
        }

    # -- 9 a map --

    def map(self) -> dict[str, Any] | None:
        """Say what the map is of; the script draws it."""
        analysis = self.analysis
        if not len(analysis.places):
            return None
        features = self.t("map.features" if analysis.by_features else "map.pixels")
        note = self.t("map.note", features=features)
        if analysis.landmarks < len(analysis.shown):
            note += " " + self.t("map.landmarks", landmarks=_count(analysis.landmarks))
        return {"legend": self.test.classes, "note": note}

    # -- 10 robustness --

    def robustness(self) -> dict[str, Any] | None:
        """Draw the accuracy under each change."""
        analysis = self.analysis
        if not analysis.curves:
            return None
        commonest = float(self.test.counts.max() / len(self.test))
        drawn = [self.stands(curve, commonest) for curve in analysis.curves]
        how = self.t(
            "robustness.all" if analysis.changed == len(self.test) else "robustness.random"
        )
        return {
            "charts": drawn,
            "note": self.t("robustness.note", n=_count(analysis.changed), how=how),
        }

    def stands(self, curve: Curve, commonest: float) -> str:
        """Draw one curve."""
        levels = list(curve.levels)
        first, last = levels[0], levels[-1]
        # contrast falls: the curve still begins at the left with the pictures as they are
        turned = -1 if first > last else 1
        xs = [turned * level for level in levels]
        unit = self.t(f"robustness.unit_{curve.change}")
        ticks = tuple(xs) if len(xs) <= 2 else None
        write: Any = lambda at: f"{turned * at:g}"  # noqa: E731
        if len(xs) == 2:
            no, yes = (word.strip() for word in unit.split(","))
            write = {xs[0]: no, xs[1]: yes}.get
            unit = ""
        dots = [3.0] * len(xs)
        lines = [
            Line("", [xs[0], xs[-1]], [commonest, commonest], "quiet"),
            Line("", xs, curve.accuracies, "right", dots),
        ]
        return charts.chart(
            self.t(f"robustness.{curve.change}"),
            Axis(unit, xs[0], xs[-1], write, ticks),
            Axis(self.t("trust.accuracy"), 0, 1, lambda share: self.percent(share, 0), (0, 0.5, 1)),
            lines,
            size=(240, 170),
        )

    # -- 11 search --

    def search(self, sprite: sprites.Sprite) -> dict[str, Any]:
        """Say what the page holds of the test part."""
        n, shown = len(self.test), len(self.analysis.shown)
        named = BUILTIN[self.answers.data].examples if self.answers.data in BUILTIN else ()
        notes = []
        if shown < n:
            notes.append(self.t("search.sampled", shown=_count(shown), all=_count(n)))
        if sprite.side != self.test.size:
            notes.append(self.t("search.small"))
        if sprite.levels < 256:
            notes.append(self.t("search.greys"))
        return {
            "examples": [index for index in named if index < n],
            "example": int(self.analysis.shown[0]),
            "note": " ".join(notes),
        }

    def data_of_script(self, sprite: sprites.Sprite) -> str:
        """Return what the script needs, as JSON that cannot end its element."""
        shown = self.analysis.shown
        most = min(LEADING, len(self.test.classes))
        probs = self.probs[shown]
        leading = np.argsort(-probs, axis=1, kind="stable")[:, :most]
        shares = np.take_along_axis(probs, leading, axis=1)
        tenths = np.rint(1000 * shares.astype(np.float64)).astype("<u2")
        document = {
            "classes": self.test.classes,
            "most": most,
            "columns": sprite.columns,
            "index": _packed(shown.astype("<u4")),
            "label": _packed(self.test.labels[shown].astype(np.uint8)),
            "leading": _packed(leading.astype(np.uint8)),
            "tenths": _packed(tenths),
            "xy": _packed((65535 * self.analysis.places).astype("<u2")),
            "text": _texts(self.lang)["script"],
        }
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        return (
            text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        )
