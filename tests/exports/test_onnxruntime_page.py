"""The page on a network that its own engine does not compute: ONNX Runtime Web is in it."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from browser import opened
from conftest import made_images
from lookbook.errors import InputError
from lookbook.exports.formats import export
from lookbook.exports.onnxruntime_page import KERNEL, PLACES, RUNTIME, find_runtime
from lookbook.inference.model import Model
from lookbook.recipes import TUTORIAL
from lookbook.training.pipeline import train

#: where a checkout may have the package itself
INSTALLED = Path(sys.prefix) / "web"
#: what the page asks of the package; it says what it was given, and takes no two images at once
STAND_IN = """
export const env = { wasm: {} };
export class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
let busy = false;
export class InferenceSession {
  static async create(model, { executionProviders }) {
    const { numThreads, wasmBinary } = env.wasm;
    if (numThreads !== 1 || wasmBinary.join() !== "7,8,9") throw new Error("kernel");
    if (executionProviders.join() !== "wasm" || model.length < 1000) throw new Error("model");
    return new InferenceSession();
  }
  async run({ images: { type, data, dims } }, outputs) {
    if (busy || type !== "uint8" || dims.join() !== "1,12,10") throw new Error(`${busy} ${dims}`);
    if (outputs.join() !== "probs,novelty") throw new Error(outputs);
    busy = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    busy = false;
    const first = data.reduce((a, b) => a + b) > 0 ? 1 : 0;
    return { probs: { data: [1 - first, first * 0.875, first * 0.125] }, novelty: { data: [0] } };
  }
}
"""


@pytest.fixture(scope="module")
def bars_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("bars")
    images, labels = made_images(300, seed=3, classes=3)
    classes = np.array(["top", "middle", "bottom"])
    np.savez(place / "bars.npz", images=images, labels=labels, classes=classes)
    return train(str(place / "bars.npz"), TUTORIAL, epochs=2, out=place / "run")


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a stand-in for the package into a folder."""

    def write(place="dist"):
        folder = tmp_path / "npm" / place
        folder.mkdir(parents=True)
        (folder / RUNTIME).write_text(STAND_IN, encoding="utf-8")
        (folder / KERNEL).write_bytes(bytes([7, 8, 9]))
        return tmp_path / "npm"

    return write


@pytest.mark.parametrize("place", PLACES)
def test_the_package_is_found_as_npm_unpacks_or_installs_it(package, place):
    folder = package(place)
    assert find_runtime(folder) == (folder / place / RUNTIME, folder / place / KERNEL)


def test_another_folder_is_refused_with_the_way_on(tmp_path, bars_run):
    with pytest.raises(InputError, match="npm pack onnxruntime-web"):
        export(bars_run, "html", tmp_path / "page.html", onnxruntime=tmp_path)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("to", ["int8", "folder"])
def test_it_is_for_a_page_alone(bars_run, package, tmp_path, to):
    with pytest.raises(InputError, match="`onnxruntime` is for a page"):
        export(bars_run, to, tmp_path / "out", onnxruntime=package())


def test_the_page_shows_what_the_runtime_says_of_bytes_in_the_models_size(
    browser, bars_run, package, tmp_path
):
    page = export(bars_run, "html", tmp_path / "page.html", onnxruntime=package())
    document = re.search(r'id="document"[^>]*>(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert document is not None
    held = base64.b64decode(json.loads(document[1])["model"])
    assert held == Model.open(bars_run.model).content
    with opened(browser, page) as shown:  # from the disk; it fails on requests and errors
        shown.locator("#samples > *").first.click()
        expect(shown.locator("#bars .first .name")).to_have_text("middle")
        expect(shown.locator("#bars .first .value")).to_have_text("87.5 %")


@pytest.mark.skipif(
    not (INSTALLED / "node_modules" / "onnxruntime-web").exists(),
    reason="the npm package onnxruntime-web is not installed",
)
def test_the_package_itself_answers_as_the_model_file_does(browser, bars_run, tmp_path):
    page = export(bars_run, "html", tmp_path / "page.html", onnxruntime=INSTALLED)
    with opened(browser, page) as shown:
        pixels = np.full((12, 10), 90, np.uint8)
        said = shown.evaluate("answer(new Uint8Array(120).fill(90)).then(({ probs }) => probs)")
        expected = Model.open(bars_run.model).predict(pixels[None]).probs[0]
        np.testing.assert_allclose(said, expected, atol=1e-4)
