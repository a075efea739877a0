"""The page to try a model on, in a real browser: it answers as the model file does."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from browser import axe_violations, chromium, opened
from conftest import lookbook, made_pictures
from lookbook import tryout
from lookbook.evaluation import evaluate, load_part
from lookbook.model import Model
from lookbook.photos import fit_picture, read_picture
from lookbook.recipes import LARGE, STANDARD, TUTORIAL
from lookbook.templates import texts
from lookbook.training import load_network, train
from test_kit import NODE_MODULES
from test_photos import GOLDEN

RECIPES = {
    "dense": TUTORIAL.with_epochs(3),
    "convolutions": STANDARD.with_epochs(4),
    "fine": replace(LARGE, widths=(16, 16, 24, 24)).with_epochs(2),
    "colour": STANDARD.with_epochs(4),
    "dense colour": TUTORIAL.with_epochs(2),
}


@pytest.fixture(scope="module")
def browser():
    """A browser with a camera that it makes up."""
    made_up = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with chromium(*made_up) as started:
        yield started


def make_run(folder: Path, kind: str):
    images, labels = made_pictures(900, seed=3)
    others, more = made_pictures(500, seed=4)
    noise = np.random.default_rng(0).integers(0, 150, others.shape)
    others = np.minimum(others.astype(int) + noise, 255).astype(np.uint8)
    if "colour" in kind:
        images, others = (np.stack([x, 255 - x, x // 2], axis=-1) for x in (images, others))
    classes = np.array(["<b>top</b>", 'the "middle"', "아래"])
    np.savez(folder / "bars.npz", train_images=images, train_labels=labels,
             test_images=others, test_labels=more, classes=classes)  # fmt: skip
    run = train(str(folder / "bars.npz"), RECIPES[kind], out=folder / "run")
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
    return tryout.write_tryout(some_run, some_run.folder / "try.html")


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
    assert len(images) == 500
    by_file = Model.open(any_run.model).predict(images)
    with torch.inference_mode():
        _, by_network, novelty = load_network(any_run)(torch.from_numpy(images))
    path = tryout.write_tryout(any_run, tmp_path / "try.html")
    by_page, page_novelty = ask_page(browser, path, images)
    for probs in (by_network.numpy(), ask_node(any_run.model, images, tmp_path), by_page):
        assert np.abs(probs - by_file.probs).max() < 1e-3
    np.testing.assert_allclose(novelty, by_file.novelty, rtol=1e-3)
    np.testing.assert_allclose(page_novelty, by_file.novelty, rtol=1e-3)


def test_in_half_precision_it_still_does(browser, some_run, tmp_path, monkeypatch):
    whole = tryout.write_tryout(some_run, tmp_path / "whole.html")
    monkeypatch.setattr(tryout, "MOST_EXACT", 1000)
    path = tryout.write_tryout(some_run, tmp_path / "try.html")
    assert path.stat().st_size < whole.stat().st_size - 2 * some_run.metrics["parameters"]
    images = load_part(some_run, "test").images
    probs, _ = ask_page(browser, path, images)
    expected = Model.open(some_run.model).predict(images).probs
    assert np.abs(probs - expected).max() < 1e-2
    assert (probs.argmax(1) == expected.argmax(1)).mean() > 0.99


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


@pytest.mark.parametrize("kind", sorted(GOLDEN.keys() - NOT_SHOWN))
@pytest.mark.parametrize("size", [(20, 16), (9, 13)])
def test_the_page_sees_what_prediction_sees(browser, page, tmp_path, kind, size):
    name, save, _, _ = GOLDEN[kind]
    save(tmp_path / name)
    height, width = size
    for colour in (False, True):
        expected = fit_picture(read_picture(tmp_path / name), size, colour=colour)
        with opened(browser, page) as shown:
            found = shown.evaluate(
                """async ([text, shape]) => {
                  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
                  const canvas = await canvasOf(new Blob([bytes]));
                  return Array.from(Photo.see(canvas, shape, "mixed").values);
                }""",
                [
                    base64.b64encode((tmp_path / name).read_bytes()).decode(),
                    [height, width, 3 if colour else 1],
                ],
            )
        off = np.abs(np.array(found) - expected.ravel().astype(int)).max()
        assert off <= BROWSERS_OWN.get(kind, 0), f"{off} levels"


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


def test_a_picture_file_is_shown_and_answered(browser, page, some_run, tmp_path):
    image = made_pictures(1, seed=9)[0][0]
    Image.fromarray(image).resize((100, 120), Image.Resampling.NEAREST).save(tmp_path / "own.png")
    expected = fit_picture(read_picture(tmp_path / "own.png"), (12, 10), colour=False)
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


def test_what_is_no_picture_is_refused_in_words(browser, page, tmp_path):
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
        shown.wait_for_function("current && !isDue")
        pixels = np.array(shown.evaluate("Array.from(current.pixels)"))
        assert pixels.max() > 100
        assert np.median(pixels) == 0
        shown.locator("#clear").click()
        assert shown.evaluate("current") is None


def test_without_a_camera_it_says_what_to_do(browser, page):
    with opened(browser, page) as shown:
        shown.evaluate(
            "navigator.mediaDevices && Object.defineProperty(navigator, 'mediaDevices',"
            " { value: undefined })"
        )
        shown.locator("#camera").click()
        expect(shown.locator("#trouble")).to_have_text(
            "No camera could be opened here. On a phone, choose “Choose a picture” to take one."
        )


def test_a_camera_is_watched_until_it_is_stopped(browser, page):
    with opened(browser, page) as shown:
        shown.locator("#camera").click()
        expect(shown.locator("#camera")).to_have_attribute("aria-pressed", "true")
        shown.wait_for_function("stream && current && current.truth === undefined")
        shown.locator("#camera").click()
        expect(shown.locator("#photo")).to_be_visible()
        assert shown.evaluate("stream") is None


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
    english, korean = texts("try", "en"), texts("try", "ko")
    assert english.keys() == korean.keys()
    for key in english:
        wanted = sorted(re.findall(r"{\w*}", english[key]))
        assert sorted(re.findall(r"{\w*}", korean[key])) == wanted, key
        assert re.search("[가-힣]", korean[key]) or not re.search("[a-z]{4}", korean[key]), key


def test_the_command_writes_the_page(some_run, tmp_path):
    ended = lookbook("export", some_run.folder, "--to", "html", "--out", "x/try.html", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^page  x/try\.html  \(\d\.\d MB, needs no network\)$", ended.stdout, re.M)
    assert (tmp_path / "x" / "try.html").exists()


def test_what_exists_is_not_overwritten(some_run, tmp_path):
    (tmp_path / "notes.txt").write_text("import lookbook")
    run, model = some_run.folder, some_run.model
    before = model.read_bytes()
    for command, place in (
        (["export", run, "--to", "html"], "notes.txt"),
        (["export", run, "--to", "int8"], "notes.txt"),
        (["export", run, "--to", "int8"], str(model)),
        (["export", run, "--to", "html"], str(model)),
    ):
        ended = lookbook(*command, "--out", place, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr == (
            f"error: {place} exists and is not overwritten; choose another --out\n"
        )
    ended = lookbook("report", run, "--out", "notes.txt", cwd=tmp_path)
    assert ended.stderr == (
        "error: notes.txt exists and was not written by lookbook; choose another name\n"
    )
    ended = lookbook("export", run, "--to", "int8", "--out", "small", cwd=tmp_path)
    assert ended.stderr == "error: small must end in .onnx, by which model files are known\n"
    assert (tmp_path / "notes.txt").read_text() == "import lookbook"
    assert model.read_bytes() == before


def test_a_run_without_thresholds_gets_a_page_that_works(browser, tmp_path):
    """As a `final` training leaves it that was stopped: looked at in all views, nothing known."""
    images, labels = made_pictures(60, seed=3, classes=2)
    np.savez(tmp_path / "bars.npz", images=images, labels=labels, classes=np.array(["US$$", "$&"]))
    steps = iter(range(100))
    run = train(
        str(tmp_path / "bars.npz"), STANDARD, out=tmp_path / "run", final=True,
        should_stop=lambda: next(steps) > 3,
    )  # fmt: skip
    assert run.metrics["stopped"]
    path = tryout.write_tryout(run, tmp_path / "try.html")
    test = load_part(run, "test").images
    probs, _ = ask_page(browser, path, test)
    assert np.abs(probs - Model.open(run.model).predict(test).probs).max() < 1e-3
    with opened(browser, path) as shown:
        assert shown.locator("#said").inner_text() in ("US$$", "$&")
        assert re.fullmatch(
            r"(Right|Wrong): it shows (US\$\$|\$&)\.", shown.locator("#note").inner_text()
        )
