"""The page to try a model on, in a real browser: it answers as the model file does."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from test_bundle import NODE_MODULES

from browser import axe_violations, chromium, opened
from conftest import lookbook, made_images, with_data
from image_files import GOLDEN
from lookbook.core.templates import LANGS, texts
from lookbook.data.catalog import BUILTIN
from lookbook.data.sources import resolve
from lookbook.errors import ExportError, LookbookWarning
from lookbook.evaluation.evaluate import evaluate
from lookbook.exports import web_demo
from lookbook.images.preprocessing import fit_image, match_polarity, read_image
from lookbook.images.specification import VERSIONS
from lookbook.inference.model import Model
from lookbook.inference.prediction import predict
from lookbook.inference.thresholds import Thresholds
from lookbook.networks.weights import load_network
from lookbook.recipes import LARGE, STANDARD, STRONG, TRANSFER, TUTORIAL
from lookbook.runs.data_parts import load_part
from lookbook.runs.store import read_run
from lookbook.training.pipeline import train

RECIPES = {
    "dense": TUTORIAL.with_epochs(3),
    "convolutions": STANDARD.with_epochs(4),
    "fine": replace(LARGE, widths=(16, 16, 24, 24)).with_epochs(2),
    "colour": STANDARD.with_epochs(4),
    "dense colour": TUTORIAL.with_epochs(2),
    "strong": STRONG,
    "large": LARGE,
    "wide dense colour": TUTORIAL,
}
#: how far novelty may be off in half precision: a strange image rouses traits that hardly ever
#: answered before, and 0.017 was seen
HALF = 0.03
#: those with many weights → how many times larger their images are
WIDE = {"strong": 2, "large": 2, "wide dense colour": 4}


@pytest.fixture(scope="module")
def browser():
    """A browser with a camera that it makes up."""
    made_up = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(*made_up) as started:
        yield started


def enlarged(images: np.ndarray, by: int) -> np.ndarray:
    pictures = (Image.fromarray(image) for image in images)
    size = images.shape[2] * by, images.shape[1] * by
    return np.stack([np.asarray(one.resize(size, Image.Resampling.BICUBIC)) for one in pictures])


def make_run(folder: Path, kind: str):
    images, labels = made_images(900, seed=3)
    others, more = made_images(500, seed=4)
    noise = np.random.default_rng(0).integers(0, 150, others.shape)
    others = np.minimum(others.astype(int) + noise, 255).astype(np.uint8)
    if kind in WIDE:
        others, more = others[:100], more[:100]  # in a browser and in Node.js each takes its time
        images, others = (enlarged(x, WIDE[kind]) for x in (images, others))
    if "colour" in kind:
        images, others = (np.stack([x, 255 - x, x // 2], axis=-1) for x in (images, others))
    classes = np.array(["<b>top</b>", 'the "middle"', "아래"])
    np.savez(folder / "bars.npz", train_images=images, train_labels=labels,
             test_images=others, test_labels=more, classes=classes)  # fmt: skip
    epochs = 2 if kind in WIDE else RECIPES[kind].epochs
    run = train(str(folder / "bars.npz"), RECIPES[kind], out=folder / "run", epochs=epochs)
    evaluate(run)
    return run


@pytest.fixture(scope="module", params=RECIPES)
def any_run(request, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("any"), request.param)


@pytest.fixture(scope="module")
def some_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("some"), "convolutions")


@pytest.fixture(scope="module")
def page(some_run):
    return web_demo.write_web_demo(some_run, some_run.folder / "try.html")


def ask_page(browser, path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a page's network says of bytes: probabilities and novelty."""
    text = base64.b64encode(images.tobytes()).decode()
    with opened(browser, path) as shown:
        said = shown.evaluate(
            """([text, size]) => {
              const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), said = [];
              for (let i = 0; i < bytes.length; i += size)
                said.push(answer(bytes.subarray(i, i + size)));
              return said.map(({ probs, novelty }) => [Array.from(probs), novelty]);
            }""",
            [text, images[0].size],
        )
    return np.array([one[0] for one in said]), np.array([one[1] for one in said])


def ask_node(model: Path, images: np.ndarray, tmp_path: Path) -> np.ndarray:
    """Return what ONNX Runtime says in Node.js."""
    if not (NODE_MODULES / "onnxruntime-node").exists():
        pytest.fail("onnxruntime-node is not here; make test installs it")
    (tmp_path / "images.bin").write_bytes(images.tobytes())
    script = f"""
      const ort = require("onnxruntime-node"), fs = require("fs");
      (async () => {{
        const session = await ort.InferenceSession.create({json.dumps(str(model))});
        const pixels = Uint8Array.from(fs.readFileSync("images.bin"));
        const images = new ort.Tensor("uint8", pixels, {json.dumps(list(images.shape))});
        const {{ probs }} = await session.run({{ images }});
        console.log(JSON.stringify(Array.from(probs.data)));
      }})();
    """
    ended = subprocess.run(
        [shutil.which("node"), "-e", script], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"NODE_PATH": str(NODE_MODULES)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return np.array(json.loads(ended.stdout)).reshape(len(images), -1)


def test_network_file_node_and_page_say_the_same(browser, any_run, tmp_path):
    images = load_part(any_run, "test").images
    model = Model.open(any_run.model)
    by_file = model.predict(images)
    with torch.inference_mode():
        _, by_network, novelty = load_network(any_run)(torch.from_numpy(images))
    path = web_demo.write_web_demo(any_run, tmp_path / "try.html")
    by_page, page_novelty = ask_page(browser, path, images)
    for probs in (by_network.numpy(), ask_node(any_run.model, images, tmp_path), by_page):
        assert np.abs(probs - by_file.probs).max() < 1e-3
    np.testing.assert_allclose(novelty, by_file.novelty, rtol=1e-3)
    half = web_demo.describe(model).half
    assert half == (any_run.metrics["parameters"] > 450_000)
    np.testing.assert_allclose(page_novelty, by_file.novelty, rtol=HALF if half else 1e-3)


def test_half_precision_halves_the_page_and_says_the_same(browser, some_run, tmp_path, monkeypatch):
    whole = web_demo.write_web_demo(some_run, tmp_path / "whole.html")
    monkeypatch.setattr(web_demo, "MOST_EXACT", 1000)
    path = web_demo.write_web_demo(some_run, tmp_path / "try.html")
    assert path.stat().st_size < whole.stat().st_size - 2 * some_run.metrics["parameters"]
    images = load_part(some_run, "test").images
    probs, novelty = ask_page(browser, path, images)
    expected = Model.open(some_run.model).predict(images)
    assert np.abs(probs - expected.probs).max() < 1e-3
    np.testing.assert_allclose(novelty, expected.novelty, rtol=HALF)


# ---- what multiplies ----

WEB = Path(web_demo.__file__).parent / "web"


@pytest.mark.browser
def test_the_kernel_is_its_text_compiled():
    if not (NODE_MODULES / "wabt").exists():
        pytest.fail("wabt is not here; make test installs it")
    script = """
      require("wabt")().then((wabt) => {
        const text = require("fs").readFileSync(0, "utf8");
        const parsed = wabt.parseWat("multiply.wat", text, { simd: true });
        process.stdout.write(parsed.toBinary({}).buffer);
      });
    """
    ended = subprocess.run(
        [shutil.which("node"), "-e", script], input=(WEB / "multiply.wat").read_bytes(),
        capture_output=True, env=os.environ | {"NODE_PATH": str(NODE_MODULES)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (WEB / "multiply.wasm").read_bytes()


#: builds the page's network once more; returns how often WebAssembly was started for it
COUNT = """() => {
  const Started = WebAssembly.Instance;
  let times = 0;
  WebAssembly.Instance = function (...given) {
    const started = new Started(...given);
    times++;
    return started;
  };
  Engine.build(MODEL);
  return times;
}"""
ALLOWED = " 'wasm-unsafe-eval'"


def test_a_page_multiplies_by_its_kernel(browser, page):
    with opened(browser, page) as shown:
        assert shown.evaluate(COUNT) == 1


def test_a_page_whose_kernel_is_not_allowed_does_without(browser, page, tmp_path):
    path = changed(page, tmp_path, ALLOWED, "")
    shown = browser.new_page()
    shown.goto(path.as_uri())
    assert shown.evaluate(COUNT) == 0
    assert shown.locator("#samples button").count() > 1
    shown.close()


def changed(page: Path, tmp_path: Path, before: str, after: str) -> Path:
    """Return a copy of a page in which one text is another."""
    text = page.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path = tmp_path / "changed.html"
    path.write_text(text.replace(before, after), encoding="utf-8")
    return path


def test_a_browser_without_simd_says_the_same(browser, any_run, tmp_path):
    whole = web_demo.write_web_demo(any_run, tmp_path / "try.html")
    kernel = base64.b64encode((WEB / "multiply.wasm").read_bytes()).decode()
    path = changed(whole, tmp_path, kernel, base64.b64encode(b"no WebAssembly").decode())
    model = Model.open(any_run.model)
    images = load_part(any_run, "test").images[:20]
    expected = model.predict(images)
    probs, novelty = ask_page(browser, path, images)
    assert np.abs(probs - expected.probs).max() < 1e-3
    rtol = HALF if web_demo.describe(model).half else 1e-3
    np.testing.assert_allclose(novelty, expected.novelty, rtol=rtol)


def test_a_browser_without_webassembly_shows_the_page(browser, page):
    context = browser.new_context()
    context.add_init_script("delete window.WebAssembly")
    shown = context.new_page()
    shown.goto(page.as_uri())
    assert shown.evaluate(
        "answer(new Uint8Array(MODEL.shape.reduce((a, b) => a * b))).probs.length"
    )
    context.close()


# ---- at most 4 MB ----


def test_the_largest_recipe_fits_with_a_sample(browser, tmp_path):
    labels = np.arange(200) % 10
    noise = np.random.default_rng(0).integers(0, 130, (200, 64, 64, 3))
    images = (noise + 12 * labels[:, None, None, None]).astype(np.uint8)
    classes = np.array([f"class {k}" for k in range(10)])
    np.savez(tmp_path / "photos.npz", images=images, labels=labels, classes=classes)
    run = train(str(tmp_path / "photos.npz"), LARGE, out=tmp_path / "run", epochs=1)
    path = web_demo.write_web_demo(run, tmp_path / "try.html")
    assert 3_800_000 < path.stat().st_size <= 4_000_000
    with opened(browser, path) as shown:
        assert shown.locator("#samples button").count() >= 1
    seen = load_part(run, "test").images[:4]
    probs, novelty = ask_page(browser, path, seen)
    expected = Model.open(run.model).predict(seen)
    assert np.abs(probs - expected.probs).max() < 1e-3
    np.testing.assert_allclose(novelty, expected.novelty, rtol=3e-3)


def test_what_does_not_fit_is_refused(some_run, tmp_path, monkeypatch):
    monkeypatch.setattr(web_demo, "MOST_BYTES", 60_000)
    with pytest.raises(ExportError) as caught:
        web_demo.write_web_demo(some_run, tmp_path / "try.html")
    instead = f"`lookbook.export('{some_run.folder}', to='folder')`"
    assert re.sub("take [0-9,]+ bytes", "take … bytes", str(caught.value)) == (
        "the page would take … bytes, 60,000 are allowed: this network has "
        f"{some_run.metrics['parameters']:,} parameters; write a folder instead: {instead}"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n", [0, 7])
def test_samples_take_the_room_that_is_left(browser, some_run, tmp_path, monkeypatch, n):
    path = tmp_path / "try.html"
    monkeypatch.setattr(web_demo, "SAMPLES", 0)
    bare = web_demo.write_web_demo(some_run, path).stat().st_size
    monkeypatch.undo()
    # of 12×10 bytes in base64, each with its label and index
    room = n * (160 + 20) + 100
    monkeypatch.setattr(web_demo, "MOST_BYTES", bare + room)
    assert bare + n * 160 <= web_demo.write_web_demo(some_run, path).stat().st_size <= bare + room
    with opened(browser, path) as shown:
        expect(shown.locator("#samples button")).to_have_count(n)
        if n == 0:
            expect(shown.locator("#said")).to_have_text("Nothing yet")
            expect(shown.locator("#try-samples")).to_be_hidden()
        Image.new("L", (10, 12), 0).save(tmp_path / "blank.png")
        shown.locator("#file").set_input_files(tmp_path / "blank.png")
        shown.wait_for_function("() => current && current.truth === undefined")


# ---- image files ----

#: kinds whose colours a browser mixes or decodes by rules of its own: levels that they may differ
BROWSERS_OWN = {
    "colour and alpha": 2,
    "grey and alpha": 2,
    "palette with shades of transparency": 2,
    "CMYK": 2,
    "rotated by EXIF": 2,
}
#: no browser shows these
NOT_SHOWN = {"16-bit grey in 32", "pgm"}


def seen_by(
    shown, path: Path, shapes: list[tuple[int, int, int]], polarity: str = "mixed"
) -> list[np.ndarray]:
    """Return what a page makes of an image file, for models of these shapes."""
    found = shown.evaluate(
        """async ([text, shapes, polarity]) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const picture = await decode(new Blob([bytes]));
          return shapes.map((shape) => Array.from(Photo.see(picture, shape, polarity).values));
        }""",
        [base64.b64encode(path.read_bytes()).decode(), shapes, polarity],
    )
    return [np.array(values) for values in found]


def largest_difference(shown, path: Path, sizes: list[tuple[int, int]]) -> int:
    """Return by how many levels the page and `photos` differ, in grey and in colour."""
    shapes = [(*size, channels) for size in sizes for channels in (1, 3)]
    image, most = read_image(path), 0
    for (*size, channels), found in zip(shapes, seen_by(shown, path, shapes), strict=True):
        expected = fit_image(image, tuple(size), colour=channels == 3)
        most = max(most, np.abs(found - expected.ravel().astype(int)).max())
    return most


@pytest.mark.parametrize("kind", sorted(GOLDEN.keys() - NOT_SHOWN))
def test_the_page_sees_what_prediction_sees(browser, page, tmp_path, kind):
    name, save, _, _ = GOLDEN[kind]
    save(tmp_path / name)
    with opened(browser, page) as shown:
        off = largest_difference(shown, tmp_path / name, [(20, 16), (9, 13)])
    assert off <= BROWSERS_OWN.get(kind, 0)


@pytest.mark.parametrize("ground", [0, 250])
@pytest.mark.parametrize("polarity", ["light on dark", "dark on light", "mixed"])
def test_the_page_swaps_light_and_dark_where_prediction_does(
    browser, page, tmp_path, polarity, ground
):
    picture = Image.new("L", (20, 16), ground)
    picture.paste(128, (5, 4, 15, 12))
    picture.save(tmp_path / "square.png")
    image = fit_image(read_image(tmp_path / "square.png"), (16, 20), colour=False)
    expected, swapped = match_polarity(image, polarity)
    assert swapped == ((polarity, ground) in (("light on dark", 250), ("dark on light", 0)))
    with opened(browser, page) as shown:
        (found,) = seen_by(shown, tmp_path / "square.png", [(16, 20, 1)], polarity)
    np.testing.assert_array_equal(found, expected.ravel())


def test_the_page_holds_the_steps_of_its_model(browser, page, some_run):
    with opened(browser, page) as shown:
        found = shown.evaluate("() => [MODEL.preprocessing, Photo.VERSIONS]")
    assert found == [Model.open(some_run.model).about["preprocessing"], list(VERSIONS)]


def test_a_page_that_does_not_know_the_steps_refuses_pictures_and_says_why(browser, page, tmp_path):
    path = changed(page, tmp_path, '"version":1', '"version":3')
    Image.new("L", (30, 40), 250).save(tmp_path / "photo.png")
    with opened(browser, path) as shown:
        shown.locator("#file").set_input_files(tmp_path / "photo.png")
        expect(shown.locator("#trouble")).to_have_text(texts("exports/try", "en")["unknown_steps"])
        expect(shown.locator("#said")).to_have_text("Nothing yet")
        shown.locator("#samples button").first.click()  # these are of its size already
        expect(shown.locator("#trouble")).to_be_hidden()
        expect(shown.locator("#said")).not_to_have_text("Nothing yet")


@pytest.mark.parametrize(("suffix", "mode"), [*product(["png", "jpg"], ["L", "RGB"])])
def test_it_shrinks_large_photographs_as_prediction_does(browser, page, tmp_path, suffix, mode):
    """Far larger ones in two steps, from several strips; so that no square fits evenly."""
    shape = (230, 310, 3) if mode == "RGB" else (230, 310)
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    photo = Image.fromarray(pixels).resize((1501, 1001), Image.Resampling.BICUBIC)
    path = tmp_path / f"photo.{suffix}"
    photo.save(path)
    with opened(browser, page) as shown:
        off = largest_difference(shown, path, [(12, 10), (28, 28), (300, 200)])
    assert off <= (2 if suffix == "jpg" else 0)  # browsers decode JPEG by rules of their own


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(browser, page, tmp_path):
    Image.new("1", (10_000, 9_000)).save(tmp_path / "sky.png")
    with opened(browser, page) as shown:
        shown.evaluate("() => { createImageBitmap = () => Promise.reject(new Error()); }")
        shown.locator("#file").set_input_files(tmp_path / "sky.png")
        expect(shown.locator("#trouble")).to_have_text(
            "sky.png has more than 89 million pixels; shrink it first."
        )


# ---- the page itself ----


def test_it_starts_with_a_sample_and_says_what_it_is(browser, page, some_run):
    test = load_part(some_run, "test")
    with opened(browser, page) as shown:
        expect(shown.locator("#samples button")).to_have_count(20)
        assert shown.locator("#note").inner_text()
        texts = shown.locator("#bars .name").all_inner_texts()
        assert texts == list(test.classes)
        widths = shown.eval_on_selector_all(
            "#bars i", "all => all.map(one => parseFloat(one.style.getPropertyValue('--p')))"
        )
        assert sum(widths) == pytest.approx(100, abs=0.1)
        shares = shown.locator("#bars .value").all_inner_texts()
        assert [float(text.split("\u00a0")[0]) for text in shares] == pytest.approx(
            widths, abs=0.051
        )
        assert re.search(r"^[\d.]+ ms for this picture$", shown.locator("#time").inner_text())
    assert page.stat().st_size < 4_000_000


def test_samples_are_answered_as_the_model_does(browser, page, some_run):
    test = load_part(some_run, "test")
    model = Model.open(some_run.model)
    with opened(browser, page) as shown:
        for button in shown.locator("#samples button").all()[:8]:
            button.click()
            index = int(re.search(r"test picture (\d+)$", button.get_attribute("aria-label"))[1])
            said = model.predict(test.images[index : index + 1])
            kept, top = model.calibration, said.probs[0].max()
            name = test.classes[said.probs[0].argmax()]
            expected = "Not one of these?" if said.novelty[0] > kept.strange_from else (
                "Not sure" if top < kept.sure_from(0.9) else name)  # fmt: skip
            assert shown.locator("#said").inner_text() == expected
            assert button.get_attribute("aria-pressed") == "true"
            truth = test.labels[index] == said.probs[0].argmax()
            assert shown.locator("#note").inner_text().startswith("Right" if truth else "Wrong")


def test_an_image_file_is_shown_and_answered(browser, page, some_run, tmp_path):
    image = made_images(1, seed=9)[0][0]
    Image.fromarray(image).resize((100, 120), Image.Resampling.NEAREST).save(tmp_path / "own.png")
    expected = fit_image(read_image(tmp_path / "own.png"), (12, 10), colour=False)
    with opened(browser, page) as shown:
        with shown.expect_file_chooser() as chooser:
            shown.locator("#choose").click()
        chooser.value.set_files(tmp_path / "own.png")
        expect(shown.locator("#note")).to_have_text("")
        found = shown.evaluate("Array.from(current.pixels)")
        probs = shown.evaluate("Array.from(current.probs)")
    np.testing.assert_array_equal(found, expected.ravel())
    said = Model.open(some_run.model).predict(expected[None]).probs[0]
    assert np.abs(said - probs).max() < 1e-3


def test_dropped_and_pasted_files_are_taken(browser, page, tmp_path):
    Image.new("L", (10, 12), 0).save(tmp_path / "blank.png")
    text = base64.b64encode((tmp_path / "blank.png").read_bytes()).decode()
    for event in ("drop", "paste"):
        with opened(browser, page) as shown:
            shown.evaluate(
                """([text, kind]) => {
                  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                  const transfer = new DataTransfer();
                  transfer.items.add(new File([bytes], "blank.png", { type: "image/png" }));
                  const event = kind === "drop"
                    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true })
                    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
                  document.body.dispatchEvent(event);
                }""",
                [text, event],
            )
            expect(shown.locator("#note")).to_have_text("")
            assert set(shown.evaluate("Array.from(current.pixels)")) == {0}


def test_what_is_no_image_is_refused_in_words(browser, page, tmp_path):
    (tmp_path / "song.png").write_bytes(b"no picture")
    with opened(browser, page) as shown:
        shown.locator("#file").set_input_files(tmp_path / "song.png")
        expect(shown.locator("#trouble")).to_have_text(
            "song.png is no picture that this browser can read; try a PNG or JPEG file."
        )


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_drawing_is_answered_stroke_by_stroke(browser, page, hand):
    with opened(browser, page) as shown:
        shown.locator("#draw").click()
        expect(shown.locator("#pad")).to_be_focused()
        assert shown.locator("#said").inner_text() == "Nothing yet"
        if hand == "mouse":
            box = shown.locator("#pad").bounding_box()
            middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            shown.mouse.move(*middle)
            shown.mouse.down()
            shown.mouse.move(middle[0] + 40, middle[1], steps=4)
            shown.mouse.up()
        else:
            for key in ("Space", *["ArrowRight"] * 3, "Space", "ArrowUp"):
                shown.keyboard.press(key)
        check_drawn(shown)
        shown.locator("#clear").click()
        assert shown.evaluate("current") is None


def check_drawn(shown) -> None:
    shown.wait_for_function("() => current && !isDue")
    pixels = np.array(shown.evaluate("Array.from(current.pixels)"))
    assert pixels.max() > 100
    assert np.median(pixels) == 0


@contextmanager
def on_phone(browser, path: Path, camera: str = "navigator.mediaDevices"):
    """Open a page on a small screen that is touched, with such a camera."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.set_offline(True)
    context.add_init_script(
        f"Object.defineProperty(navigator, 'mediaDevices', {{ value: {camera} }});"
    )
    shown = context.new_page()
    shown.goto(path.resolve().as_uri())
    yield shown
    context.close()


def test_a_finger_draws_and_does_not_scroll(browser, page):
    with on_phone(browser, page) as shown:
        shown.locator("#draw").tap()
        box = shown.locator("#pad").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = shown.evaluate("scrollY")
        screen = shown.context.new_cdp_session(shown)
        for kind, down in (("Start", 0), ("Move", 30), ("Move", 60), ("End", None)):
            points = [] if down is None else [{"x": x, "y": y + down}]
            screen.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        check_drawn(shown)
        rows = np.array(shown.evaluate("Array.from(current.pixels)")).reshape(12, 10).max(axis=1)
        assert (rows > 100).sum() >= 2
        assert shown.evaluate("down") is False
        assert shown.evaluate("scrollY") == before


# ---- the camera ----


def take_image(shown, button: str, folder: Path) -> None:
    """Answer what a button asks the device for, and check that the page looks at that."""
    image = made_images(1, seed=9)[0][0]
    Image.fromarray(image).save(folder / "taken.png")
    with shown.expect_file_chooser() as chooser:
        shown.locator(button).tap()
    assert chooser.value.element.get_attribute("capture") == "environment"
    chooser.value.set_files(folder / "taken.png")
    shown.wait_for_function("() => current && current.truth === undefined")
    np.testing.assert_array_equal(shown.evaluate("Array.from(current.pixels)"), image.ravel())
    expect(shown.locator("#trouble")).to_be_hidden()


def test_where_a_page_has_no_camera_the_device_opens_its_own(browser, page, tmp_path):
    with on_phone(browser, page, camera="undefined") as shown:
        take_image(shown, "#camera", tmp_path)
        expect(shown.locator("#take")).to_be_hidden()


def test_where_a_camera_is_refused_a_button_opens_the_devices_own(browser, page, tmp_path):
    refused = "{ getUserMedia: () => Promise.reject(new DOMException('no', 'NotAllowedError')) }"
    with on_phone(browser, page, camera=refused) as shown:
        expect(shown.locator("#take")).to_be_hidden()
        shown.locator("#camera").tap()
        expect(shown.locator("#trouble")).to_have_text(
            "This page could not open a camera. “Take a picture” opens the one of your device, "
            "where it has one."
        )
        expect(shown.locator("#take")).to_have_text("Take a picture")
        take_image(shown, "#take", tmp_path)


def test_a_camera_is_watched_until_it_is_stopped(browser, page):
    with opened(browser, page) as shown:
        shown.locator("#camera").click()
        expect(shown.locator("#camera")).to_have_text("Take this picture")
        expect(shown.locator("#hint")).to_have_text(
            "It looks all the time; “Take this picture” keeps what is shown."
        )
        shown.wait_for_function("() => stream && current && current.live")
        shown.locator("#lang").click()
        expect(shown.locator("#camera")).to_have_text("이 장면 찍기")
        shown.locator("#camera").click()
        expect(shown.locator("#camera")).to_have_text("카메라")
        expect(shown.locator("#photo")).to_be_visible()
        assert shown.evaluate("stream") is None
        assert shown.evaluate("current.live") is False


# ---- doubt, and what a screen reader says ----


def test_doubt_is_said(browser, page, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (12, 10), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with opened(browser, page) as shown:
        shown.locator("#file").set_input_files(tmp_path / "noise.png")
        expect(shown.locator("#said")).to_have_text("Not one of these?")
        expect(shown.locator("#doubt")).to_have_text(
            re.compile(r"^Unlike the pictures it learnt from: .*\. If it is .*: .+, [\d.]+\s%\.$")
        )
        assert shown.evaluate("current.novelty > MODEL.strangeFrom")
        assert fill_of_first_bar(shown) == NO_FILL
        shown.evaluate("MODEL.sureFrom = 1.1; MODEL.strangeFrom = null")
        shown.locator("#samples button").first.click()
        expect(shown.locator("#said")).to_have_text("Not sure")
        expect(shown.locator("#doubt")).to_have_text(
            re.compile(r"^Most likely .+, [\d.]+\s%\. It answers from 110\.0\s% on, which 9 in 10 ")
        )
        assert shown.locator("#sure").inner_text() == ""
        assert fill_of_first_bar(shown) == NO_FILL


NO_FILL = "rgba(0, 0, 0, 0)"


def fill_of_first_bar(shown) -> str:
    """Return the colour of the most probable class's bar."""
    return shown.eval_on_selector("#bars .first i", "one => getComputedStyle(one).backgroundColor")


def test_what_is_no_sample_is_answered_beside_what_the_model_learnt_from(browser, page, tmp_path):
    """However sure the answer; and blue and red are for what is known to be right or wrong."""
    Image.fromarray(made_images(1, seed=9)[0][0]).save(tmp_path / "own.png")
    with opened(browser, page) as shown:
        shown.evaluate("MODEL.sureFrom = MODEL.strangeFrom = null")
        kind = shown.locator("#kind")
        fills = set()
        for truth in range(3):  # one of them is right
            shown.evaluate("truth => { current.truth = truth; showAnswer(); }", truth)
            expect(kind).to_be_hidden()
            fills.add(fill_of_first_bar(shown))
        assert len(fills) == 2
        shown.locator("#file").set_input_files(tmp_path / "own.png")
        expect(kind).to_have_text(
            "It learnt from 765 pictures of “bars”: grey, light on dark ground, 12×10 pixels. A "
            "picture of another kind, such as a photograph taken at home, may get a wrong answer "
            "however high the percentage."
        )
        assert shown.locator("#sure").inner_text()
        assert fill_of_first_bar(shown) not in {*fills, NO_FILL}
        expect(shown.locator("#spoken")).to_contain_text("It learnt from 765 pictures")
        shown.locator("#lang").click()
        expect(kind).to_have_text(
            "‘bars’ 이미지 765장으로 훈련했습니다(어두운 바탕의 흑백, 12×10픽셀). 집에서 찍은 "
            "사진처럼 종류가 다른 이미지라면, 확률이 아무리 높아도 틀린 답일 수 있습니다."
        )
        shown.locator("#draw").click()
        expect(kind).to_be_hidden()  # nothing is drawn yet
        shown.locator("#samples button").first.click()
        expect(kind).to_be_hidden()


def test_every_dataset_says_in_both_languages_what_it_shows(browser, page):
    with opened(browser, page) as shown:
        for lang, data in product(LANGS, BUILTIN):
            text = shown.evaluate(
                "(given) => { [lang, MODEL.about.data] = given; return learntFrom(); }",
                [lang, data],
            )
            assert f"({BUILTIN[data].title})" in text
            assert "{" not in text


def test_thresholds_are_told_with_what_they_did_on_the_test_images(browser, page, some_run):
    kept = Thresholds.of(Model.open(some_run.model).calibration)
    did = some_run.evaluation().thresholds
    with opened(browser, page) as shown:
        fact = shown.locator("#facts li", has_text="above a novelty")
        expect(fact).to_have_text(
            f"“Not sure” is said below {100 * kept.sure:.1f} %, “not one of these” above a novelty "
            f"of {kept.strange:.2f}. Of the pictures held back from training 10 in 100 and 3 in "
            "100 lie there, though all are of these classes. Of the test pictures "
            f"{100 * (1 - did.answered):.1f} % fell below the first; of the others "
            f"{100 * did.right:.1f} % got the right answer. {100 * did['refused']:.1f} % lay "
            "above the second."
        )
        shown.evaluate("() => { MODEL.about.test = null; showFacts(); }")
        expect(fact).to_contain_text("though all are of these classes.")
        expect(fact).not_to_contain_text("test")


def test_page_and_program_make_the_same_of_every_answer(browser, page, some_run):
    """One rule: what `predict` and its JSON say of an image is what stands on the page."""
    own = made_images(300, seed=9)[0]
    noise = np.random.default_rng(0).integers(0, 256, (20, *own.shape[1:]), dtype=np.uint8)
    images = np.concatenate([own, noise])
    expected = [one.verdict for one in predict(some_run, images)]
    assert len(set(expected)) == 3, set(expected)
    words = {"Not sure": "not sure", "Not one of these?": "not one of these"}
    with opened(browser, page) as shown:
        said = shown.evaluate(
            """(all) => all.map((pixels) => {
              look(Uint8Array.from(pixels));
              return document.getElementById("said").textContent;
            })""",
            images.reshape(len(images), -1).tolist(),
        )
    assert [words.get(each, "answer") for each in said] == expected


def test_what_changes_all_the_time_is_read_out_where_the_verdict_changes(browser, page):
    with opened(browser, page) as shown:
        shown.evaluate("MODEL.sureFrom = MODEL.strangeFrom = heard = null; delete current.truth")
        first, second = shown.evaluate("MODEL.classes.slice(0, 2)")

        def spoken_after(probs: list[float], *, live: bool) -> str:
            shown.evaluate("known => { Object.assign(current, known); showAnswer(); }",
                           {"probs": probs, "live": live})  # fmt: skip
            shown.wait_for_timeout(1200)
            return shown.locator("#spoken").inner_text()

        assert spoken_after([0.9, 0.05, 0.05], live=True) == f"{first}. 90.0\u00a0%"
        assert spoken_after([0.8, 0.15, 0.05], live=True) == f"{first}. 90.0\u00a0%"
        assert shown.locator("#sure").inner_text() == "80.0\u00a0%"
        assert spoken_after([0.1, 0.7, 0.2], live=True) == f"{second}. 70.0\u00a0%"
        # another image of the same class
        kind = shown.locator("#kind").inner_text()
        assert spoken_after([0.1, 0.6, 0.3], live=False) == f"{second}. 60.0\u00a0%. {kind}"
        expect(shown.locator("#spoken")).to_have_attribute("aria-live", "polite")
        expect(shown.locator("#bars")).to_have_attribute("aria-label", "Probabilities by class")


def test_the_pen_tells_whether_it_is_down(browser, page):
    with opened(browser, page) as shown:
        shown.locator("#draw").click()
        pen, spoken = shown.locator("#pen"), shown.locator("#spoken")
        shown.evaluate("clearTimeout(toSpeak); toSpeak = 1")  # of the drawing nothing is said
        shown.keyboard.down("Space")
        shown.keyboard.down("Space")  # held: the browser repeats it
        shown.keyboard.up("Space")
        expect(pen).to_have_class("down")
        expect(spoken).to_have_text("Pen down")
        shown.locator("#clear").click()
        expect(pen).not_to_have_class("down")
        assert shown.evaluate("down") is False
        for text in ("Pen down", "Pen up"):
            shown.keyboard.press("Space")
            expect(spoken).to_have_text(text)
        expect(pen).not_to_have_class("down")


def test_it_says_whose_images_it_learnt_from(browser, page):
    with opened(browser, page, width=320) as shown:
        last = shown.locator("#facts li").last
        expect(last).to_have_text(
            "Licence: not stated; it is for whoever trained this model to say, as the pictures "
            "allow."
        )
        known = msgspec.to_builtins(web_demo._source(resolve("kmnist")))
        shown.evaluate("known => { MODEL.about.source = known; translate(); }", known)
        expect(last).to_have_text(
            "Training data: Kuzushiji-MNIST, licence: CC BY-SA 4.0. Source: "
            "https://github.com/rois-codh/kmnist"
        )
        assert shown.evaluate("document.documentElement.scrollWidth") <= 320  # the address breaks
        shown.locator("#lang").click()
        expect(last).to_have_text(
            "훈련 데이터: Kuzushiji-MNIST, 라이선스: CC BY-SA 4.0. 출처: "
            "https://github.com/rois-codh/kmnist"
        )


def test_it_says_where_percentages_are_not_calibrated(browser, page):
    with opened(browser, page) as shown:
        facts = shown.locator("#facts")
        expect(facts).to_contain_text("The percentages are calibrated")
        shown.evaluate("() => { MODEL.sureFrom = null; showFacts(); }")
        expect(facts).to_contain_text("too few validation pictures to calibrate the percentages")
        expect(facts).not_to_contain_text("The percentages are calibrated")


@pytest.mark.parametrize(
    ("lang", "dark", "width"), [*product(["en", "ko"], [False, True], [1280, 360])]
)
def test_axe_finds_nothing(browser, page, lang, dark, width):
    with opened(browser, page, width=width, dark=dark) as shown:
        if lang == "ko":
            shown.locator("#lang").click()
            expect(shown.locator("h2").first).to_have_text("보여 주기")
        assert axe_violations(shown) == []
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.locator("#draw").click()
        assert axe_violations(shown) == []


def test_both_languages_say_everything():
    english, korean = texts("exports/try", "en"), texts("exports/try", "ko")
    assert english.keys() == korean.keys()
    for key in english:
        wanted = sorted(re.findall(r"{\w*}", english[key]))
        assert sorted(re.findall(r"{\w*}", korean[key])) == wanted, key
        assert re.search("[가-힣]", korean[key]) or not re.search("[a-z]{4}", korean[key]), key


def test_the_page_says_everything_before_its_script_runs(page):
    written = page.read_text(encoding="utf-8").partition("<body>")[2].partition("<script")[0]
    english = texts("exports/try", "en")
    found = re.findall(r'data-t="(\w+)"[^>]*>([^<]*)<', written)
    assert len(found) == 15
    for key, text in found:
        assert html.unescape(text) == english[key]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(some_run, tmp_path):
    written = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.html"
        words = "export", some_run.folder, "--to", "html", "--out", out
        ended = lookbook(*words, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert ended.returncode == 0, ended.stderr
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_the_command_writes_the_page(some_run, tmp_path):
    ended = lookbook("export", some_run.folder, "--to", "html", "--out", "x/try.html", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^page  x/try\.html  \(\d\.\d MB, needs no network\)$", ended.stdout, re.M)
    assert (tmp_path / "x" / "try.html").exists()


def test_a_run_whose_data_is_gone_gets_a_page_without_samples(browser, some_run, tmp_path):
    run = read_run(shutil.copytree(some_run.folder, tmp_path / "run"))
    run = with_data(run, name=str(tmp_path / "gone.npz"))
    with pytest.warns(LookbookWarning, match=r"^without sample images: .*gone\.npz"):
        path = web_demo.write_web_demo(run, tmp_path / "try.html")
    with opened(browser, path) as shown:
        expect(shown.locator("#samples button")).to_have_count(0)


def test_a_camera_that_cannot_be_shown_is_told(browser, page):
    with opened(browser, page) as shown:
        shown.evaluate("() => { $('video').play = () => Promise.reject(new Error('no')); }")
        shown.locator("#camera").click()
        expect(shown.locator("#trouble")).to_contain_text("This page could not open a camera.")
        assert shown.evaluate("$('video').srcObject.active") is False


def test_a_run_without_thresholds_gets_a_page_that_works(browser, tmp_path):
    """As a `final` training leaves it that was stopped: looked at in all views, nothing known."""
    images, labels = made_images(60, seed=3, classes=2)
    np.savez(tmp_path / "bars.npz", images=images, labels=labels, classes=np.array(["US$$", "$&"]))
    steps = iter(range(100))
    run = train(
        str(tmp_path / "bars.npz"), STANDARD, out=tmp_path / "run", final=True,
        should_stop=lambda: next(steps) > 3,
    )  # fmt: skip
    assert run.metrics["stopped"]
    path = web_demo.write_web_demo(run, tmp_path / "try.html")
    test = load_part(run, "test").images
    probs, _ = ask_page(browser, path, test)
    assert np.abs(probs - Model.open(run.model).predict(test).probs).max() < 1e-3
    with opened(browser, path) as shown:
        assert shown.locator("#said").inner_text() in ("US$$", "$&")
        assert re.fullmatch(
            r"(Right|Wrong): it shows (US\$\$|\$&)\.", shown.locator("#note").inner_text()
        )


def test_of_the_texts_on_validation_and_weaknesses_those_of_the_model_alone_are_there(some_run):
    model = Model.open(some_run.model)
    assert model.card.weaknesses == []
    for said in web_demo.find_words(some_run, model, None).texts.values():
        assert said.keys() & web_demo.VALIDATION_FACTS == {"fact_validation"}
        assert not any(name.startswith("weak_") for name in said)
    card = msgspec.structs.replace(model.card, weaknesses=["under_one_epoch"])
    weak = Model.write(onnx.load_from_string(model.content), card)
    said = web_demo._texts(some_run, weak, "ko")
    assert [name for name in said if name.startswith("weak_")] == ["weak_under_one_epoch"]


def test_a_page_without_samples_is_not_said_to_have_some(own_run, tmp_path, monkeypatch):
    monkeypatch.setattr(web_demo, "load_samples", lambda _run: None)
    assert not web_demo.has_samples(web_demo.write_web_demo(own_run, tmp_path / "bare.html"))


def test_both_languages_state_the_same_numbers():
    said = [texts("exports/try", lang) for lang in LANGS]
    # in Korean, 89 million is 8,900 times ten thousand
    for key in said[0].keys() - {"too_large"}:
        numbers = [set(re.findall(r"\d+", re.sub(r"\{.*?\}", "", each[key]))) for each in said]
        assert numbers[0] == numbers[1], key


def test_depthwise_convolutions_are_for_the_server(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 40, 40, 3), dtype=np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, images=images, labels=np.arange(60) % 2)
    run = train(str(data), TRANSFER, epochs=0.5, out=tmp_path / "run")
    with pytest.raises(ExportError, match=f"lookbook serve {re.escape(str(run.folder))}") as caught:
        web_demo.write_web_demo(run, tmp_path / "page.html")
    assert "depthwise" in str(caught.value)
    assert str(caught.value).endswith("or put ONNX Runtime Web into the page: `onnxruntime`")
    assert not (tmp_path / "page.html").exists()
    # the server's own page needs no network
    assert b"connect-src 'self'" in web_demo.served_page(run, "/v2/models/run/infer")
