"""Bundle: a folder with model, model card and examples that needs nothing of this program."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lookbook.core.files import cannot_write, to_json
from lookbook.errors import InputError
from lookbook.evaluation import metrics
from lookbook.evaluation.evaluate import load_samples
from lookbook.inference.model import open_model
from lookbook.inference.thresholds import Thresholds

if TYPE_CHECKING:
    from lookbook.data.dataset import Dataset
    from lookbook.inference.model import Model
    from lookbook.runs.schema import Evaluation
    from lookbook.runs.store import Run

#: polarity → how the card says it
GROUNDS = {
    "light on dark": "light things on dark ground",
    "dark on light": "dark things on light ground",
}
#: files that are the same for every model
EXAMPLES = ("picture.py", "predict.py", "predict.mjs")


def write_bundle(run: Run, folder: Path) -> Path:
    """Write a run's model with a card and examples in Python and JavaScript; return the folder.

    Raises
    ------
    InputError
        The folder exists.
    DamagedFileError
        The run's model was changed.
    OutputError
        The folder cannot be written.
    """
    if os.path.lexists(folder):
        raise InputError(f"{folder} exists and is not overwritten; choose another `out`")
    model = open_model(run)
    test = load_samples(run)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lookbook-"))
        try:
            (scratch / "model.onnx").write_bytes(model.content)
            # of an older model, too, how images are prepared
            about = model.about | {"preprocessing": model.preprocessing}
            (scratch / "about.json").write_text(to_json(about), encoding="utf-8")
            for name, text in _examples(model).items():
                (scratch / name).write_text(text, encoding="utf-8")
            suffix = "pgm" if len(model.input_shape) == 2 else "ppm"
            if test is not None:
                Image.fromarray(test.images[0]).save(scratch / f"sample.{suffix}")
            card = _card(run, model, suffix, test)
            (scratch / "README.md").write_text(card, encoding="utf-8")
            scratch.chmod(0o755)
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise cannot_write(folder, error, unchanged=True) from error
    return folder


def _examples(model: Model) -> dict[str, str]:
    """Return the files of examples, by name; cutting out photographs takes two more."""
    examples = {name: _read(name) for name in EXAMPLES}
    if model.card.cuts_out_photographs:
        segmentation = files("lookbook.images").joinpath("segmentation.py")
        examples["cutout.py"] = _read("cutout.py")
        examples["segmentation.py"] = segmentation.read_text(encoding="utf-8")
    return examples


def _read(name: str) -> str:
    return files("lookbook.exports").joinpath("bundle_files", name).read_text(encoding="utf-8")


def _card(run: Run, model: Model, suffix: str, test: Dataset | None) -> str:
    """Write what the model is, what it can do, and what not."""
    import jinja2  # noqa: PLC0415  # 0.1 s

    template = jinja2.Environment(  # noqa: S701  # Markdown, no page
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return template.from_string(_read("README.md")).render(
        title=run.source.title,
        plain=_plain,
        weaknesses=[metrics.WEAKNESSES[each] for each in run.metrics.weaknesses],
        about=model.card,
        calibration=model.calibration,
        thresholds=Thresholds.of(model.calibration),
        metrics=run.metrics,
        conditions=run.conditions,
        found=run.tested(),
        sample=None if test is None else f"sample.{suffix}",
        suffix=suffix,
        label=None if test is None else _printable(test.classes[test.labels[0]]),
        percent=_percent,
        rows=_rows(run.tested()),
        classes=[_plain(name) for name in model.classes],
        ground=GROUNDS.get(model.polarity) if len(model.input_shape) == 2 else None,
    )


def _printable(name: str) -> str:
    """Write a class name so that it stays on its line."""
    return "".join(c if c.isprintable() else " " for c in name)


def _plain(name: str) -> str:
    """Write a name so that it stays a name in Markdown, in which HTML is allowed."""
    return re.sub(r"([\\`*_{}\[\]<>()#|&])", r"\\\1", _printable(name))


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"


def _rows(found: Evaluation | None) -> list[list[str]]:
    """Return precision and recall of each class, for the card's table."""
    if not found:
        return []
    rows = []
    for one, shares in zip(found.per_class, metrics.class_shares(found), strict=True):
        both = (shares.precision, shares.recall)
        written = ["–" if share is None else _percent(share, 1) for share in both]
        rows.append([_plain(one.name), *written])
    return rows
