"""Web demo: one HTML file that classifies images in the browser."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET, Struct, UnsetType, field, structs

from lookbook.core.files import encode, write_bytes
from lookbook.core.templates import LANGS, Lang, asset, fill, json_in_page, texts
from lookbook.errors import ExportError, write_call
from lookbook.evaluation.evaluate import load_samples
from lookbook.inference import onnx_graph
from lookbook.inference.model import Model, open_model
from lookbook.inference.thresholds import Thresholds

if TYPE_CHECKING:
    from jaxtyping import Float32

    from lookbook.data.dataset import Dataset
    from lookbook.data.formats.source import DataSource
    from lookbook.images.specification import Preprocessing
    from lookbook.inference.model_card import ModelCard, Views
    from lookbook.runs.schema import ThresholdScores, Validation
    from lookbook.runs.store import Run

#: scripts of the page, in the order in which they stand in it, and those that cut out photographs
SCRIPTS = ("exports/engine.js", "exports/photo.js", "exports/try.js")
#: what stands in the place of the first of them: where a server answers, or ONNX Runtime Web
ENGINES = {"ServedNetwork": "exports/served.js", "RuntimeNetwork": "exports/onnxruntime.js"}
CUTTING = tuple(
    f"exports/{name}.js" for name in ("minimum_cut", "segmentation", "cutout", "outline")
)
#: bytes that a page may take
MOST_BYTES = 4_000_000
#: weights of a network beyond which they are kept in half precision: 2.4 MB in base64
MOST_EXACT = 450_000
#: weights of a layer that takes so little room that they always stay in single precision
SMALL_LAYER = 10_000
#: sample images, and bytes of the page beyond which there are fewer
SAMPLES, SAMPLE_BYTES = 20, 540_000
#: texts on what the accuracy beside the test was measured on
VALIDATION_FACTS = {"fact_validation", "fact_twin", "fact_cross_validation"}
#: where numbers stand: in which list, from which place on, and how many they are
Place = tuple[str, int, int]


class Step(Struct, frozen=True, kw_only=True):
    """A step of the network; what its kind does not have is left out."""

    kind: str
    rectified: bool
    weights: Place | UnsetType = UNSET
    #: by which the weights of each filter are multiplied
    factors: Place | UnsetType = UNSET
    filters: int | UnsetType = UNSET
    kernel: tuple[int, ...] | UnsetType = UNSET
    shifts: Place | UnsetType | None = UNSET
    stride: tuple[int, ...]
    pads: tuple[int, ...]


class Network(Struct, frozen=True, kw_only=True):
    """A model as `engine.js` takes it: steps, and all their numbers in base64."""

    #: height, width and channels
    shape: tuple[int, ...]
    steps: list[Step]
    novelty: dict[str, Place]
    chosen: list[int]
    views: Views | None
    #: of answers with each class
    temperatures: list[float]
    #: the products in WebAssembly
    kernel: str
    #: whether `many` are in half precision; `exact` never are
    half: bool
    many: str
    exact: str


class ServedNetwork(Struct, frozen=True, kw_only=True):
    """A model that a server answers for, as `served.js` takes it."""

    #: height, width and channels
    shape: tuple[int, ...]
    #: address of its infer route, beside that of the page
    server: str


class ResultOnTest(Struct, frozen=True):
    """What the model does on the test part."""

    accuracy: float
    interval: tuple[float, float]
    n: int
    thresholds: ThresholdScores | None


class Source(Struct, frozen=True):
    """Where a built-in dataset is from, and its licence."""

    data: str
    homepage: str
    licence: str


class About(Struct, frozen=True, kw_only=True):
    """Facts about the model; `data` and `source` of a built-in dataset alone."""

    data: str | None
    title: str
    recipe: str
    parameters: int
    training_images: int = field(name="trainingPictures")
    validation_fact: str = field(name="validationFact")
    validation: Validation | None
    test: ResultOnTest | None
    source: Source | None


class Samples(Struct, frozen=True):
    """Test images to try, as they are stored, in base64."""

    labels: list[int] = []
    indices: list[int] = []
    pixels: str = ""


class OnPhotographs(Struct, frozen=True, rename="camel"):
    """How sure answers to photographs are: see `PhotographCalibration`."""

    power: float
    sure_from: float | None
    strange_from: float | None


class Words(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the page says of the model and its answers, in all languages."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing | None
    weaknesses: list[str]
    #: in which the page opens; None: in the browser's
    lang: Lang | None
    #: the probability from which an answer is sure, the novelty from which an image is strange
    sure_from: float | None
    strange_from: float | None
    #: None where photographs are answered as all images are
    photographs: OnPhotographs | None
    about: About
    texts: dict[Lang, dict[str, str]]
    samples: Samples = Samples()


def write_web_demo(run: Run, out: Path, lang: Lang | None = None) -> Path:
    """Write the page on a run's model; return the file, of at most 4 MB.

    It opens in one of its languages, or in that of the browser.

    The page asks nothing of any network: weights are in it, and as many test images as there is
    room for. It answers as the model file does, images that are photographed, dropped, pasted or
    drawn.

    Raises
    ------
    ExportError
        The network is too large for such a page, or computes what that does not; nothing is
        written.
    DamagedFileError, InputError
        The run's model or data was changed, or its data is no longer where it was.
    OutputError
        The file cannot be written.
    """
    model = open_model(run)
    if model.card.backbone:
        raise ExportError(
            "the page computes no network of another program, which this one's features come from; "
            f"let a server answer, whose page is the same: lookbook serve {run.folder}; or put "
            "ONNX Runtime Web into the page: `onnxruntime`"
        )
    if onnx_graph.has_depthwise(model):
        raise ExportError(
            "the page computes no depthwise convolutions, which this network has; let a server "
            f"answer, whose page is the same: lookbook serve {run.folder}; or put ONNX Runtime Web "
            "into the page: `onnxruntime`"
        )
    network, words = describe(model), find_words(run, model, lang)
    bare = len(fill_page(run, network, words))
    if bare > MOST_BYTES:
        instead = write_call("export", str(run.folder), to="folder")
        raise ExportError(
            f"the page would take {bare:,} bytes, {MOST_BYTES:,} are allowed: this network has "
            f"{run.metrics.parameters:,} parameters; write a folder instead: {instead}"
        )
    # nobody needs the images of a model that came with the package
    test = None if run.is_bundled and not run.source.is_here() else load_samples(run)
    if test is not None:
        words = structs.replace(words, samples=choose_samples(test, MOST_BYTES - bare))
    write_bytes(out, fill_page(run, network, words))
    return out


def served_page(run: Run, server: str, lang: Lang | None = None) -> bytes:
    """Return the page on a run's model for a server that answers at that address."""
    model = open_model(run)
    words = find_words(run, model, lang)
    height, width = model.input_shape[:2]
    for said in words.texts.values():
        lead = said["lead_served"].replace("{height}×{width}", f"{height}×{width}")
        said |= {"lead": lead, "footer": said["footer_served"]}
    network = ServedNetwork(shape=(*model.input_shape, 1)[:3], server=server)
    return fill_page(run, network, words, connect="; connect-src 'self'")


def _on_photographs(model: Model) -> OnPhotographs | None:
    """Return how sure answers to photographs are."""
    found = model.card.photographs
    if not found:
        return None
    thresholds = found.ask()
    return OnPhotographs(found.power, thresholds.sure, thresholds.strange)


def has_samples(page: Path) -> bool:
    """Say whether a page that was written shows sample images."""
    return b'"samples":{"labels":[],' not in page.read_bytes()


def fill_page(run: Run, network: Struct, words: Words, *, connect: str = "") -> bytes:
    """Return the page on a network, as its engine takes it.

    `connect` is the part of its policy that says what it may ask, or run, beside its script.
    """
    scripts = (ENGINES.get(type(network).__name__, SCRIPTS[0]), *SCRIPTS[1:])
    cuts_out = words.preprocessing is not None and words.preprocessing.cuts_out
    page = fill(
        "exports/try",
        (*CUTTING, *scripts) if cuts_out else scripts,
        title=run.source.title,
        texts=texts("exports/try", "en") | words.texts["en"],
        document=json_in_page(network, words if connect else _alone(words)),
        connect=connect,
    )
    return encode(page)


def _alone(words: Words) -> Words:
    """Leave out the texts that only a server's page says."""
    kept = {
        lang: {
            name: text
            for name, text in said.items()
            if not name.endswith("_served") and name != "no_answer"
        }
        for lang, said in words.texts.items()
    }
    return structs.replace(words, texts=kept)


# ---- the network ----


def describe(model: Model) -> Network:
    """Return a model as `engine.js` takes it."""
    many, exact = _Numbers("many"), _Numbers("exact")
    listed = [_step(step, many, exact) for step in onnx_graph.steps(model)]
    parts = onnx_graph.novelty_parts(model)
    chosen = parts.pop("chosen").tolist()
    # directions have length 1 and are most of the numbers; errors in the others count many times
    novelty = {
        name: (many if name == "directions" else exact).add(part) for name, part in parts.items()
    }
    half = many.count > MOST_EXACT
    return Network(
        shape=(*model.input_shape, 1)[:3],
        steps=listed,
        novelty=novelty,
        chosen=chosen,
        views=model.card.views,
        temperatures=_temperatures(model.card),
        kernel=base64.b64encode(asset("exports/multiply.wasm")).decode(),
        half=half,
        many=many.to_base64("<f2" if half else "<f4"),
        exact=exact.to_base64("<f4"),
    )


def _temperatures(card: ModelCard) -> list[float]:
    """Return the temperature of answers with each class."""
    caution = [1.0] * len(card.classes) if card.caution is UNSET else card.caution
    return [card.temperature * each for each in caution]


class _Numbers:
    """Numbers of a network, one after the other."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name
        self._parts: list[np.ndarray] = []

    def add(self, values: Float32[np.ndarray, "..."]) -> Place:
        """Return where they stand."""
        place = self._name, self.count, values.size
        self._parts.append(values.ravel())
        self.count += values.size
        return place

    def to_base64(self, form: str) -> str:
        return base64.b64encode(np.concatenate(self._parts).astype(form).tobytes()).decode()


def _step(step: onnx_graph.Step, many: _Numbers, exact: _Numbers) -> Step:
    bare = Step(
        kind=step.kind,
        rectified=step.rectified,
        kernel=step.kernel if step.kind == "pool" else UNSET,
        stride=step.stride,
        pads=step.pads,
    )
    if step.weights is None:
        return bare
    rows = step.weights.reshape(len(step.weights), -1)
    # half precision keeps 11 bits of a number, but fewer of one below 0.00006: with a factor
    # for each filter its greatest weight is 1
    factors = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float32).tiny)
    # a whitening layer has few weights, whose products must cancel each other
    fitting = exact if rows.size < SMALL_LAYER else many
    return structs.replace(
        bare,
        weights=fitting.add(rows / factors[:, None]),
        factors=exact.add(factors),
        filters=len(rows),
        kernel=step.weights.shape[1:3],
        shifts=None if step.shifts is None else exact.add(step.shifts),
    )


# ---- what stands around it ----


def find_words(run: Run, model: Model, lang: Lang | None) -> Words:
    """Return what the page says of the model, without sample images."""
    thresholds = Thresholds.of(model.calibration)
    return Words(
        classes=model.classes,
        preprocessing=model.preprocessing,
        weaknesses=model.card.weaknesses,
        lang=lang,
        sure_from=thresholds.sure,
        strange_from=thresholds.strange,
        photographs=_on_photographs(model),
        about=_about(run),
        texts={lang: _texts(run, model, lang) for lang in LANGS},
    )


def _texts(run: Run, model: Model, lang: Lang) -> dict[str, str]:
    """Return the texts of the page, without those that it has no use for on this model.

    Where nothing is cut out it says nothing of that; of the accuracy beside the test it says one
    thing; and it names the weaknesses that there are.
    """
    unused = VALIDATION_FACTS - {_validation_fact(run)}
    endings: tuple[str, ...] = ()
    if not model.card.cuts_out_photographs:
        unused |= {"cut_out", "nothing_found", "fact_photographs"}
        endings = ("_photograph",)
    weaknesses = {f"weak_{each}" for each in model.card.weaknesses}
    return {
        name: text
        for name, text in texts("exports/try", lang).items()
        if name not in unused
        and not name.endswith(endings)
        and (not name.startswith("weak_") or name in weaknesses)
    }


def _about(run: Run) -> About:
    """Return facts about a run's model."""
    source, result = run.source, None
    if one := run.tested():
        result = ResultOnTest(one.accuracy, one.interval, one.n, one.thresholds)
    return About(
        data=source.identity if source.published else None,
        title=source.title,
        recipe=run.recipe.name,
        parameters=run.metrics.parameters,
        training_images=run.metrics.training_images,
        validation_fact=_validation_fact(run),
        validation=run.metrics.validation,
        test=result,
        source=_source(source),
    )


def _validation_fact(run: Run) -> str:
    """Name the text that says what the accuracy beside the test was measured on."""
    if (validation := run.metrics.validation) and validation.cross_validated:
        return "fact_cross_validation"
    return "fact_twin" if run.conditions.final else "fact_validation"


def _source(source: DataSource) -> Source | None:
    """Return where a built-in dataset is from; of other data nothing is known.

    >>> from lookbook.data.sources import resolve
    >>> _source(resolve("/home/me/images"))
    >>> _source(resolve("mnist")).licence
    'CC BY-SA 3.0'
    """
    known = source.published
    if known is None:
        return None
    return Source(known.title, known.homepage, known.licence)


def choose_samples(test: Dataset, room: int) -> Samples:
    """Return test images of all classes in turn, as they are stored, and what they show.

    Parameters
    ----------
    test
        The test part.
    room
        Bytes that the page has left for them.
    """
    size = 4 * -(-test.images[0].nbytes // 3) + 20  # base64, and its label and index
    n = min(SAMPLES, max(1, SAMPLE_BYTES // size), room // size)
    order = np.argsort(_turns(test.labels), kind="stable")[:n]
    pixels = base64.b64encode(test.images[order].tobytes()).decode()
    return Samples(test.labels[order].tolist(), order.tolist(), pixels)


def _turns(labels: np.ndarray) -> np.ndarray:
    """Return for each image how many of its class came before it.

    >>> _turns(np.array([1, 1, 0, 1])).tolist()
    [0, 1, 0, 2]
    """
    seen: dict[int, int] = {}
    turns = []
    for label in labels.tolist():
        turns.append(seen.get(label, 0))
        seen[label] = turns[-1] + 1
    return np.array(turns)
