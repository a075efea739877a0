"""Web demo by ONNX Runtime Web: for networks that the page's own engine does not compute."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from lookbook.core.files import write_bytes
from lookbook.errors import InputError
from lookbook.evaluation.evaluate import load_samples
from lookbook.exports.web_demo import SAMPLE_BYTES, choose_samples, fill_page, find_words
from lookbook.inference.model import open_model

if TYPE_CHECKING:
    from lookbook.core.templates import Lang
    from lookbook.runs.store import Run

#: what of the package `onnxruntime-web` the page holds: its module, and what that runs
RUNTIME, KERNEL = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
#: where these lie in what a user may name: the package, as npm unpacks or installs it
PLACES = (".", "dist", "package/dist", "node_modules/onnxruntime-web/dist")


class RuntimeNetwork(Struct, frozen=True, kw_only=True):
    """A model file and what runs it, as `onnxruntime.js` takes them: in base64."""

    #: height, width and channels
    shape: tuple[int, ...]
    runtime: str
    kernel: str
    model: str


def write_onnxruntime_page(run: Run, out: Path, folder: Path, lang: Lang | None = None) -> Path:
    """Write the page on a run's model, with ONNX Runtime Web of that folder in it.

    It opens as any other, from the disk, too, and asks nothing of any network; but it takes 19 MB
    and four thirds of the model file.

    Raises
    ------
    InputError
        The folder does not hold the package `onnxruntime-web`.
    DamagedFileError, OutputError
        As `write_web_demo`.
    """
    runtime, kernel = find_runtime(folder)
    model = open_model(run)
    network = RuntimeNetwork(
        shape=(*model.input_shape, 1)[:3],
        runtime=_encode(runtime.read_bytes()),
        kernel=_encode(kernel.read_bytes()),
        model=_encode(model.content),
    )
    words = find_words(run, model, lang)
    test = None if run.is_bundled and not run.source.is_here() else load_samples(run)
    if test is not None:
        words = structs.replace(words, samples=choose_samples(test, SAMPLE_BYTES))
    write_bytes(out, fill_page(run, network, words, connect=" blob:"))
    return out


def find_runtime(folder: Path) -> tuple[Path, Path]:
    """Return the two files of the package, wherever in such a folder they lie.

    Raises
    ------
    InputError
        They are not there.
    """
    for place in PLACES:
        found = folder / place / RUNTIME, folder / place / KERNEL
        if all(each.is_file() for each in found):
            return found
    raise InputError(
        f"{folder} does not hold {RUNTIME} and {KERNEL}; unpack the package onnxruntime-web there: "
        "npm pack onnxruntime-web"
    )


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
