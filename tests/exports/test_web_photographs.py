"""Photographs on the page: cut out and answered as prediction does, and what is shown of that."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browser import axe_violations, chromium, opened
from conftest import made_images
from lookbook.core.templates import texts
from lookbook.exports import web_demo
from lookbook.images.photographs import prepare, read_for
from lookbook.images.segmentation import _Graph
from lookbook.images.specification import Preprocessing
from lookbook.inference.model import Model
from lookbook.inference.predictor import Predictor
from made_photographs import COLOURS, made

STEPS = Preprocessing.of((28, 28), "light on dark", photographs=True)
SIZES = [(72, 96), (300, 400), (640, 427), (1501, 1001), (90, 90)]


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page(cutting_run, tmp_path_factory):
    return web_demo.write_web_demo(cutting_run, tmp_path_factory.mktemp("page") / "try.html")


def photographs(folder: Path) -> list[Path]:
    """Twenty made photographs, as PNG and JPEG."""
    paths = []
    for seed, (colours, size) in enumerate(product(COLOURS.values(), SIZES)):
        image = Image.fromarray(made(*colours, (96, 72) if size[0] > size[1] else (72, 96))[0])
        paths.append(folder / f"{seed}.{'jpg' if seed % 2 else 'png'}")
        image.resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def show(shown, path: Path) -> None:
    """Let a page look at a file, and wait for its answer."""
    shown.evaluate("() => { current = null; }")
    shown.locator("#file").set_input_files(path)
    shown.wait_for_function("() => current && current.truth === undefined")


def test_twenty_photographs_are_seen_and_answered_as_prediction_does(
    browser, page, cutting_run, tmp_path
):
    paths, predictor = photographs(tmp_path), Predictor(cutting_run)
    off = []
    with opened(browser, page) as shown:
        for path, expected in zip(paths, predictor.predict(paths), strict=True):
            show(shown, path)
            pixels, probs, mask = shown.evaluate(
                "[current.pixels, current.probs, current.cutout.mask].map((all) => Array.from(all))"
            )
            off.append(np.abs(np.array(pixels) - expected.image.ravel().astype(int)).mean())
            assert np.mean(np.array(mask, bool) == expected.cutout.mask.ravel()) > 0.998, path
            assert np.abs(probs - expected.probs).max() < 0.02, path
            name = {"not sure": "Not sure", "not one of these": "Not one of these?"}
            said = name.get(expected.verdict, expected.name)
            assert shown.locator("#said").inner_text() == said, path
    # browsers decode JPEG by rules of their own
    assert max(off[::2]) < 0.01
    assert max(off) < 2


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 10_000), (10_000, 1), (300, 400)])
def test_where_nothing_stands_out_the_page_says_so(browser, page, cutting_run, tmp_path, size):
    Image.new("RGB", size, "teal").save(tmp_path / "plain.png")
    (expected,) = Predictor(cutting_run).predict(tmp_path / "plain.png")
    assert expected.verdict == "not one of these"
    with opened(browser, page) as shown:
        show(shown, tmp_path / "plain.png")
        np.testing.assert_array_equal(
            shown.evaluate("Array.from(current.pixels)"), expected.image.ravel()
        )
        expect(shown.locator("#said")).to_have_text("Not one of these?")
        expect(shown.locator("#doubt")).to_contain_text("Nothing in this picture stands out")
        expect(shown.locator("#note")).to_have_text("")
        assert outline(shown) == ""
        shown.locator("#lang").click()
        expect(shown.locator("#doubt")).to_contain_text("배경과 뚜렷이 구분되는 것이 없어")


def test_how_sure_it_is_of_photographs_is_told(browser, page, cutting_run, tmp_path):
    known = Model.open(cutting_run.model).card.photographs or None
    Image.fromarray(made(*COLOURS["dark on light"])[0]).save(tmp_path / "photo.png")
    with opened(browser, page) as shown:
        facts = shown.locator("#facts li", has_text="Of photographs “not sure” is said below")
        expect(facts).to_have_count(0 if known is None else 1)
        show(shown, tmp_path / "photo.png")
        kind = shown.locator("#kind")
        if known is None:
            expect(kind).to_contain_text("A picture of another kind")
        else:
            expect(kind).to_contain_text("How sure it is of photographs was set by simulated ones")
            expect(facts).to_contain_text(f"below {100 * known.thresholds.sure:.1f} %")
        shown.locator("#lang").click()
        assert "{" not in shown.locator("#answer").inner_text()


def outline(shown) -> str:
    return shown.locator("#outline .line").get_attribute("d")


def test_a_line_is_drawn_around_what_was_cut_out(browser, page, tmp_path):
    """Where it is in the photograph: within two pixels of 192."""
    image, truth = made(*COLOURS["dark on light"])
    path = tmp_path / "photo.png"
    Image.fromarray(image).resize((720, 960), Image.Resampling.BICUBIC).save(path)
    with opened(browser, page) as shown:
        assert outline(shown) == ""
        show(shown, path)
        rows, columns = (np.flatnonzero(truth.any(axis)) for axis in (1, 0))
        expected = [2 * columns[0], 2 * rows[0], 2 * columns[-1] + 2, 2 * rows[-1] + 2]
        found = shown.eval_on_selector(
            "#outline .line",
            "(one) => (({ x, y, width, height }) => [x, y, x + width, y + height])(one.getBBox())",
        )
        np.testing.assert_allclose(found, expected, atol=2)
        assert shown.locator("#outline").get_attribute("viewBox") == "0 0 144 192"
        assert outline(shown).count("M") == 1
        expect(shown.locator("#note")).to_contain_text(texts("exports/try", "en")["cut_out"])
        assert axe_violations(shown) == []
        shown.locator("#samples button").first.click()
        assert outline(shown) == ""


def test_parts_and_holes_have_lines_of_their_own(browser, page):
    mask = np.zeros((80, 100), np.uint8)
    mask[10:70, 5:60], mask[30:50, 20:40], mask[20:60, 70:98] = 1, 0, 1
    with opened(browser, page) as shown:
        line = shown.evaluate("(mask) => Outline.path(mask, 100, 80)", mask.ravel().tolist())
    assert line.count("M") == line.count("Z") == 3


def test_a_picture_of_the_size_of_the_model_is_taken_as_it_is(browser, page, tmp_path):
    pixels = made_images(1, seed=9)[0][0].repeat(3, 0).repeat(3, 1)[:28, :28]
    Image.fromarray(pixels).save(tmp_path / "own.png")
    Image.fromarray(255 - pixels).save(tmp_path / "swapped.png")
    with opened(browser, page) as shown:
        for name in ("own", "swapped"):
            show(shown, tmp_path / f"{name}.png")
            np.testing.assert_array_equal(
                shown.evaluate("Array.from(current.pixels)"), pixels.ravel()
            )
            assert outline(shown) == ""


def test_of_a_drawing_nothing_is_cut_out(browser, page):
    """It is light on black, and stays where it was drawn."""
    with opened(browser, page) as shown:
        shown.locator("#draw").click()
        for key in ("Space", *["ArrowRight"] * 5, "Space"):
            shown.keyboard.press(key)
        shown.wait_for_function("() => current && !isDue")
        drawn = np.array(shown.evaluate("Array.from(current.pixels)")).reshape(28, 28)
        assert outline(shown) == ""
    assert drawn.max() > 100
    assert (drawn[:, :10] == 0).all()


def test_cuts_are_those_of_scipy(browser, page):
    """The least of all minimum cuts, of any capacities, zeros and ties among them."""
    rng = np.random.default_rng(0)
    with opened(browser, page) as shown:
        for most, (height, width) in product([2, 9, 400], [(1, 7), (7, 1), (6, 8), (30, 25)]):
            excess = rng.integers(-most, most + 1, (height, width)) / 16
            colours = rng.normal(50, 1, (height, width, 3))
            graph = _Graph.of(colours)
            links = rng.integers(0, most, len(graph.links)) / 16
            expected = graph._replace(links=links).cut(excess, np.ones((height, width), bool))
            both = np.zeros((height, width, 2), int)
            across = height * (width - 1)
            both[:, :-1, 0] = 16 * links[:across].reshape(height, width - 1)
            both[:-1, :, 1] = 16 * links[across:].reshape(height - 1, width)
            found = shown.evaluate(
                "(given) => Array.from(MinimumCut.reached(...given))",
                [width, height, (-16 * excess).astype(int).ravel().tolist(), both.ravel().tolist()],
            )
            np.testing.assert_array_equal(found, expected.ravel())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA"])
def test_other_kinds_of_pixels_are_cut_out_alike(browser, page, tmp_path, mode):
    image = Image.fromarray(made(*COLOURS["dark on light"])[0])
    path = tmp_path / "photo.png"
    image.resize((300, 400)).convert(mode).save(path)
    with opened(browser, page) as shown:
        assert shown.evaluate("MODEL.preprocessing.version") == 2
        show(shown, path)
        found = shown.evaluate("Array.from(current.pixels)")
    expected = prepare(read_for(path, STEPS), STEPS).image
    np.testing.assert_array_equal(found, expected.ravel())


def test_a_heic_photograph_is_refused_with_what_to_do(browser, page, tmp_path):
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with opened(browser, page) as shown:
        shown.locator("#file").set_input_files(tmp_path / "photo.heic")
        expect(shown.locator("#trouble")).to_contain_text("convert it to JPEG first")
