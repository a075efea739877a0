"""The lookbook in a real browser: what it shows, what it does, and that it is for everybody."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

import lookbook
from browser import axe_violations, chromium, opened
from conftest import lookbook as program
from conftest import made_images
from lookbook.core.templates import LANGS, say, texts
from lookbook.data.dataset import Dataset
from lookbook.data.sources import load, resolve
from lookbook.errors import InputError
from lookbook.evaluation import analysis
from lookbook.evaluation.audit import OutOfFold, audit
from lookbook.inference import onnx_graph
from lookbook.inference.model import Model
from lookbook.reports import page, report_data, section_answers, section_data
from lookbook.runs.parts import load_part

PARTS = ("train", "test")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def hard_run(tmp_path_factory):
    """A run that makes mistakes: images in much noise, and a few wrong labels.

    Of 700 images more than 50 are for validation, enough to set thresholds.
    """
    from lookbook.recipes import TUTORIAL
    from lookbook.training.pipeline import train

    folder = tmp_path_factory.mktemp("hard")
    arrays = {}
    for part, n, seed in (("train", 700, 0), ("test", 150, 1)):
        images, labels = made_images(n, seed=seed)
        noise = np.random.default_rng(seed).integers(0, 130, images.shape)
        arrays[f"{part}_images"] = np.minimum(images.astype(int) + noise, 255).astype(np.uint8)
        labels[::25] = (labels[::25] + 1) % 3
        arrays[f"{part}_labels"] = labels
    arrays["train_images"][7] = arrays["train_images"][4]
    arrays["test_images"][3] = arrays["train_images"][3]
    np.savez(folder / "bars.npz", **arrays, classes=np.array(["top", "middle", "bottom"]))
    return train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "runs" / "bars-1")


@pytest.fixture(scope="module")
def pages(hard_run):
    """The report on that run, in both languages."""
    gathered = report_data.collect(hard_run)
    return {
        lang: page.write_run_report(gathered, hard_run.folder / f"{lang}.html", lang)
        for lang in LANGS
    }


@pytest.fixture(scope="module")
def answers(hard_run):
    """The test part and the model's probabilities, by the only way to predict."""
    test = load_part(hard_run, "test")
    return test, Model.open(hard_run.model).predict(test.images).probs


# ---- what it does ----


@pytest.mark.parametrize("lang", LANGS)
def test_it_opens_from_a_file_without_any_network(browser, pages, lang):
    with opened(browser, pages[lang]) as shown:
        assert shown.get_attribute("html", "lang") == lang
        assert shown.locator("main > section").count() == 11
        headings = shown.locator("main h2").all_inner_texts()
        contents = shown.locator("nav a").all_inner_texts()
        assert [one.lstrip("0123456789\n ") for one in headings] == contents
        assert shown.inner_text("h1") == "bars"


def test_a_cell_opens_exactly_its_images_the_surest_first(browser, pages, answers):
    test, probs = answers
    said = probs.argmax(axis=1)
    with opened(browser, pages["en"]) as shown:
        for cell in shown.locator(".matrix a").all():
            truth, predicted = map(int, cell.get_attribute("href").split("-")[1:])
            cell.click()
            expect(cell).to_have_attribute("aria-current", "true")
            shown_indices = shown.eval_on_selector_all(
                "#cell-pictures a", "links => links.map(link => Number(link.dataset.index))"
            )
            inside = np.flatnonzero((test.labels == truth) & (said == predicted))
            order = np.lexsort((inside, -np.rint(1000 * probs[inside].max(axis=1))))
            assert shown_indices == inside[order][:60].tolist()
            confidences = np.round(probs[shown_indices].max(axis=1), 3)
            assert (np.diff(confidences) <= 1e-6).all()
            assert str(len(inside)) in shown.inner_text("#cell-title")


def test_a_confused_pair_opens_its_images_however_often_it_is_chosen(browser, pages):
    with opened(browser, pages["en"]) as shown:
        address = shown.locator(".confused a").first.get_attribute("href")
    # with the address of that cell from the beginning, too
    for anchor in ("", address):
        with opened(browser, pages["en"], anchor) as shown:
            cell = shown.locator("#cell")
            for _ in range(2):
                shown.locator(".confused a").first.click()
                expect(cell).to_be_focused()
                expect(cell).to_be_in_viewport()
                cell.evaluate("one => one.blur()")
            shown.locator("#cell-pictures a").first.click()
            shown.click("#close")
            shown.locator(".confused a").first.click()
            expect(cell).to_be_focused()


def test_the_matrix_is_walked_and_opened_by_keyboard(browser, pages):
    """One stop of the Tab key; arrows go to the next cell that holds anything, and stay inside."""
    with opened(browser, pages["en"]) as shown:
        links = shown.eval_on_selector_all(".matrix a", "all => all.map(one => one.hash)")
        held = [tuple(map(int, link.split("-")[1:])) for link in links]
        at = held[0]
        shown.focus(".matrix a")
        for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight"):
            axis, way = {"Right": (1, 1), "Left": (1, -1), "Down": (0, 1), "Up": (0, -1)}[key[5:]]
            line = [one for one in held if one[1 - axis] == at[1 - axis]]
            ahead = [one for one in line if way * (one[axis] - at[axis]) > 0]
            at = min(ahead, key=lambda one: abs(one[axis] - at[axis]), default=at)
            shown.keyboard.press(key)
            assert shown.evaluate("document.activeElement.hash") == f"#cell-{at[0]}-{at[1]}"
        assert at != held[0]
        shown.keyboard.press("Enter")
        cell = shown.locator(f'.matrix a[href="#cell-{at[0]}-{at[1]}"]')
        expect(cell).to_have_attribute("aria-current", "true")
        expect(shown.locator("#cell")).to_be_focused()
        shown.keyboard.press("Escape")
        expect(cell).to_be_focused()
        shown.keyboard.press("Tab")
        assert not shown.evaluate("document.activeElement.closest('.matrix')")


def test_there_is_a_way_back_to_the_matrix(browser, pages):
    with opened(browser, pages["en"]) as shown:
        cell = shown.locator(".matrix .hit a").last
        cell.click()
        expect(shown.locator("#cell")).to_be_focused()
        shown.locator("#cell-pictures a").last.scroll_into_view_if_needed()
        shown.click("#back")
        expect(cell).to_be_focused()
        expect(cell).to_be_in_viewport()


def test_many_images_come_when_asked_for(browser, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (150, 8, 8), dtype=np.uint8)
    labels = np.arange(150) % 2
    written = lookbook.report(images, labels, np.eye(2)[labels], out=tmp_path / "a.html")
    with opened(browser, written, "#cell-0-0") as shown:
        assert shown.locator("#cell-pictures a").count() == 60
        more = shown.locator("#cell .more")
        assert more.inner_text().split("\n")[0] == "Show 15 more"
        more.locator("button").click()
        assert shown.locator("#cell-pictures a").count() == 75
        expect(more).to_be_hidden()
        # among the images stand images alone
        assert shown.locator(".gallery > :not(a)").count() == 0


def test_a_deep_link_opens_a_image_with_its_probabilities(browser, pages, answers):
    test, probs = answers
    with opened(browser, pages["en"], "#picture-42") as shown:
        assert shown.inner_text("#picture-title") == "Test picture 42"
        assert test.classes[probs[42].argmax()] in shown.inner_text("#picture-caption")
        values = shown.locator("#picture-bars .value").all_inner_texts()
        assert values == [f"{100 * round(1000 * float(p)) / 1000:.1f}\u00a0%" for p in probs[42]]
        shown.keyboard.press("ArrowRight")
        expect(shown.locator("#picture-title")).to_have_text("Test picture 43")
        shown.keyboard.press("Escape")
        assert not shown.locator("#picture").is_visible()
    with opened(browser, pages["en"], "#trust") as shown:
        assert shown.locator("#trust").is_visible()
        assert shown.evaluate("scrollY") > 100


def test_the_search_finds_what_it_is_asked_for(browser, pages, answers):
    test, probs = answers
    wrong = np.flatnonzero(probs.argmax(axis=1) != test.labels)
    with opened(browser, pages["en"]) as shown:
        shown.select_option("[name=right]", "0")
        assert shown.inner_text("#found") == f"{len(wrong)} of {len(test)} pictures"
        shown.select_option("[name=order]", "least")
        first = shown.locator("#results a").first.get_attribute("data-index")
        assert int(first) == wrong[probs[wrong].max(axis=1).argmin()]
        shown.click("[type=reset]")
        shown.fill("[name=index]", "7")
        assert shown.locator("#results a").count() == 1
        shown.click("#results a")
        expect(shown.locator("#picture-title")).to_have_text("Test picture 7")


def test_the_search_is_by_class_by_answer_and_by_confidence(browser, pages, answers):
    test, probs = answers
    said, sure = probs.argmax(axis=1), np.rint(1000 * probs.max(axis=1))
    middle = np.sort(sure)[75] / 10
    asked = {"label": "1", "said": "2", "least": str(middle), "most": str(middle)}
    expected = {
        "label": test.labels == 1,
        "said": said == 2,
        "least": sure >= 10 * middle,
        "most": sure <= 10 * middle,
    }
    with opened(browser, pages["en"]) as shown:
        for names in (("label",), ("said",), ("least",), ("most",), ("label", "said", "least")):
            shown.click("[type=reset]")
            for name in names:
                field = shown.locator(f"#filter [name={name}]")
                if name in ("label", "said"):
                    field.select_option(asked[name])
                else:
                    field.fill(asked[name])
            inside = np.flatnonzero(np.logical_and.reduce([expected[name] for name in names]))
            assert len(inside) < len(test)
            expect(shown.locator("#found")).to_have_text(f"{len(inside)} of 150 pictures")
            found = shown.eval_on_selector_all(
                "#results a", "links => links.map(link => Number(link.dataset.index))"
            )
            assert found == inside[:60].tolist()


def test_the_matrix_shows_shares_of_rows_and_of_columns(browser, pages, answers):
    test, probs = answers
    matrix = np.zeros((3, 3), int)
    np.add.at(matrix, (test.labels, probs.argmax(axis=1)), 1)
    with opened(browser, pages["en"]) as shown:
        for unit, sums in (("row", matrix.sum(axis=1)), ("column", matrix.sum(axis=0))):
            shown.check(f"[value={unit}]")
            for truth, said in product(range(3), range(3)):
                if matrix[truth, said]:
                    text = shown.inner_text(f'.matrix a[href="#cell-{truth}-{said}"]')
                    share = matrix[truth, said] / sums[truth if unit == "row" else said]
                    assert float(text) == pytest.approx(100 * share, abs=0.0501)


def test_the_map_shows_a_image_under_the_pointer(browser, pages):
    with opened(browser, pages["en"], "#map") as shown:
        shown.locator("#plane").scroll_into_view_if_needed()
        box = shown.locator("#plane").bounding_box()
        for x, y in product(np.linspace(0.02, 0.98, 40), np.linspace(0.02, 0.98, 30)):
            shown.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if shown.locator("#hover").is_visible():
                break
        assert shown.locator("#hover .p").is_visible()
        shown.mouse.down()
        shown.mouse.up()
        expect(shown.locator("#picture")).to_be_visible()


def test_mistakes_on_the_map_keep_the_colour_of_their_class(browser, pages):
    """Of the red that means "wrong" there is none; "mistakes alone" makes the others faint."""
    inks = """() => {
      const plane = document.getElementById("plane");
      const levels = plane.getContext("2d").getImageData(0, 0, plane.width, plane.height).data;
      const pixels = new Uint32Array(levels.buffer);
      const ink = (name) => {
        const made = document.body.appendChild(document.createElement("i"));
        made.style.color = `var(${name})`;
        const [r, g, b] = getComputedStyle(made).color.match(/\\d+/g).map(Number);
        const wanted = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
        return pixels.filter((one) => one === wanted).length;
      };
      return [ink("--wrong"), ink("--c0"), ink("--c1"), ink("--c2")];
    }"""
    with opened(browser, pages["en"]) as shown:
        wrong, *classes = shown.evaluate(inks)
        assert wrong == 0
        assert min(classes) > 0  # rings are drawn without transparency
        before = draws(shown)
        shown.click("#only-wrong")
        assert shown.get_attribute("#only-wrong", "aria-pressed") == "true"
        assert draws(shown) != before
        shown.click("#only-wrong")
        assert draws(shown) == before


def test_fields_of_the_filter_stand_on_one_line(browser, pages):
    with opened(browser, pages["en"]) as shown:
        fields = shown.locator("#filter :is(select, input, button)")
        boxes = [one.bounding_box() for one in fields.all()]
        rows = {round(box["y"]) for box in boxes}
        assert len({round(box["height"]) for box in boxes}) == 1
        assert len(rows) == -(-len(boxes) // sum(round(b["y"]) == min(rows) for b in boxes))


def test_dark_mode_follows_the_system_and_the_button(browser, pages):
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, pages["en"]) as shown:
        assert shown.evaluate(paper) == "rgb(255, 255, 255)"
        assert shown.inner_text("#theme") == "Dark mode"
        shown.click("#theme")
        assert shown.evaluate(paper) == "rgb(19, 21, 20)"
        assert shown.inner_text("#theme") == "Light mode"
    with opened(browser, pages["en"], dark=True) as shown:
        assert shown.evaluate(paper) == "rgb(19, 21, 20)"
        assert shown.inner_text("#theme") == "Light mode"
        shown.click("#theme")
        assert shown.evaluate(paper) == "rgb(255, 255, 255)"


def test_both_languages_are_in_the_file_and_what_was_chosen_stays(browser, pages):
    with opened(browser, pages["ko"]) as shown:
        korean = shown.inner_text("main"), shown.title()
    with opened(browser, pages["en"]) as shown:
        english = shown.inner_text("main"), shown.title()
        cells = shown.locator(".matrix td").all_inner_texts()
        shown.select_option("[name=right]", "0")
        shown.locator(".matrix .hit a").first.click()
        expect(shown.locator("#cell")).to_be_focused()
        place = "one => one.getBoundingClientRect().top"
        before = shown.eval_on_selector("#confusion", place)
        box = shown.locator("#lang").bounding_box()
        shown.mouse.click(box["x"] + 5, box["y"] + 5)  # `click` would scroll to it first
        assert shown.get_attribute("html", "lang") == "ko"
        assert shown.title() == korean[1]
        # it says what the page that was written in Korean says
        assert shown.inner_text("#cell-title").startswith("맞힌 top")
        assert shown.inner_text("#found").endswith("장")
        assert shown.input_value("[name=right]") == "0"
        assert shown.locator(".matrix td").all_inner_texts() == cells
        assert abs(shown.eval_on_selector("#confusion", place) - before) < 2
        shown.click("[type=reset]")
        expect(shown.locator("#found")).to_have_text("150장 가운데 150장")
        shown.evaluate("document.getElementById('cell').hidden = true")
        assert shown.inner_text("main") == korean[0]
        shown.click("#theme")
        shown.click("#lang")
        assert shown.get_attribute("html", "lang") == "en"
        assert shown.inner_text("#theme") == "Light mode"
        shown.evaluate("document.getElementById('cell').hidden = true")
        assert (shown.inner_text("main"), shown.title()) == english


@pytest.mark.parametrize("lang", LANGS)
def test_a_phone_scrolls_down_and_not_sideways(browser, pages, lang):
    with opened(browser, pages[lang], width=360) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= 360
        assert not shown.evaluate("document.getElementById('contents').open")


LABEL_SIZES = """
() => [...document.querySelectorAll("svg")].filter((svg) => svg.clientWidth).flatMap((svg) => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  const size = (text) => scale * parseFloat(getComputedStyle(text).fontSize);
  return [...svg.querySelectorAll("text")].map(size);
})
"""


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("width", [360, 700, 900, 1280])
def test_labels_of_drawings_can_be_read_on_any_screen(browser, pages, lang, width):
    with opened(browser, pages[lang], width=width) as shown:
        sizes = shown.evaluate(LABEL_SIZES)
        assert len(sizes) > 100
        assert min(sizes) >= 10
        assert shown.locator("#verdict svg:visible").count() == 1


def test_names_of_classes_are_not_cut_up_on_a_phone(browser, pages):
    heights = "all => all.map(one => one.getClientRects()[0].height)"
    for lang in LANGS:
        with opened(browser, pages[lang], width=360) as shown:
            # one line, and the image beside it
            assert max(shown.eval_on_selector_all(".classes tbody th", heights)) < 70


@pytest.mark.parametrize("lang", LANGS)
def test_captions_stay_on_a_phone_s_screen(browser, pages, lang):
    with opened(browser, pages[lang], width=360) as shown:
        captions = shown.locator("caption span")
        assert captions.count() == 2
        for scrolled in (0, 9999):
            for scroller in shown.locator(".scroll:has(caption)").all():
                scroller.evaluate(f"(one) => {{ one.scrollLeft = {scrolled}; }}")
            for caption in captions.all():
                box = caption.bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= 360


def test_a_phone_shows_some_of_a_long_list_first(browser, tmp_path):
    images, labels, probs = made_answers(40, 3, (8, 8), wrong=0.5)
    out = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    with opened(browser, out, width=390) as shown:
        cards = shown.locator(".card:visible")
        assert cards.count() == 6
        every = shown.locator(".card").count()
        assert every > 12
        shown.locator(".cards + .more button").click()
        assert cards.count() == every
        expect(shown.locator(".card").nth(6)).to_be_focused()
    with opened(browser, out) as shown:
        assert shown.locator(".card:visible").count() == every
        assert shown.locator(".cards + .more:visible").count() == 0


@pytest.mark.parametrize(("k", "fits"), [(10, True), (24, False)])
def test_a_matrix_fits_a_phone_or_fades_out_where_it_goes_on(browser, tmp_path, k, fits):
    images, labels, probs = made_answers(400, k, (8, 8), wrong=0.6)
    out = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    mask = "one => getComputedStyle(one).maskImage.includes('rgb(0, 0, 0) 100%')"
    with opened(browser, out, width=390) as shown:
        box = shown.locator(".scroll:has(.matrix)")
        hidden = "one => one.scrollWidth - one.clientWidth"
        assert (box.evaluate(hidden) <= 1) == fits
        assert box.evaluate(mask) == fits
        assert (box.get_attribute("tabindex") is None) == fits
        box.evaluate("one => { one.scrollLeft = 9999; }")
        shown.wait_for_function("() => !document.querySelector('.scroll.after:has(.matrix)')")
        assert box.evaluate(mask)


# ---- on paper ----


def draws(shown):
    return shown.evaluate("document.getElementById('plane').toDataURL()")


def test_paper_is_white_and_nothing_on_it_is_folded(browser, pages):
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, pages["en"]) as shown:
        light = draws(shown)
    with opened(browser, pages["en"], dark=True) as shown:
        dark = draws(shown)
        assert dark != light
        folded = shown.locator(".finding:not([open])").count()
        assert folded > 1
        shown.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert draws(shown) == light
        assert shown.locator(".finding:not([open])").count() == 0
        shown.evaluate("dispatchEvent(new Event('afterprint'))")
        assert draws(shown) == dark
        assert shown.locator(".finding:not([open])").count() == folded
        # without the script's help, and whatever was chosen
        for _ in range(2):
            shown.emulate_media(media="print")
            assert shown.evaluate(paper) == "rgb(255, 255, 255)"
            shown.emulate_media(media="screen")
            shown.click("#theme")


@pytest.mark.parametrize("k", [3, 10, 60])
def test_whatever_is_printed_is_as_wide_as_the_page(browser, pages, tmp_path, k):
    written = pages["en"]
    if k > 3:
        images, labels, probs = made_answers(400, k, (28, 28), wrong=0.6)
        written = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    with opened(browser, written, width=680) as shown:
        shown.emulate_media(media="print")
        assert shown.evaluate("document.documentElement.scrollWidth") <= 680
        matrix = shown.locator(".matrix").bounding_box()
        assert matrix["x"] + matrix["width"] <= 680
        assert not shown.locator(".gallery button").first.is_visible()
        assert shown.eval_on_selector("h2", "one => getComputedStyle(one).breakAfter") == "avoid"


# ---- colours ----


def class_colours():
    """Return the colours of classes in sRGB, 0 to 1: of the light theme and of both dark ones."""
    style = (Path(page.__file__).parents[1] / "core" / "web" / "base.css").read_text(
        encoding="utf-8"
    )
    found = re.findall(r"--c\d: #([0-9a-f]{6})", style)
    return np.array([list(bytes.fromhex(one)) for one in found]).reshape(-1, 10, 3) / 255


#: what people who lack one kind of cones have in its place: as much of the two others
LACKING = {
    "protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
    "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
    "tritan": [[1, 0, 0], [0, 1, 0], [-0.395913, 0.801109, 0]],
}


def as_lab(colours, lacking=None):
    """Return colours in CIELAB, as somebody sees them; Viénot, Brettel and Mollon (1999)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    if lacking:
        to_cones = np.array(
            [
                [17.8824, 43.5161, 4.11935],
                [3.45565, 27.1554, 3.86714],
                [0.0299566, 0.184309, 1.46709],
            ]
        )
        linear = linear @ (np.linalg.inv(to_cones) @ np.array(LACKING[lacking]) @ to_cones).T
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear.clip(0, 1) @ to_xyz.T / to_xyz.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])],
        axis=-1,
    )


def test_colours_of_classes_differ_for_everybody():
    light, *dark = class_colours()
    assert len(dark) == 2
    np.testing.assert_array_equal(*dark)
    for theme in (light, dark[0]):
        for lacking, least in ((None, 18), ("protan", 10), ("deutan", 10), ("tritan", 10)):
            seen = as_lab(theme, lacking)
            distances = np.linalg.norm(seen[:, None] - seen, axis=-1)
            assert distances[np.triu_indices(10, k=1)].min() > least


# ---- for everybody ----


# each two of language, darkness and width meet
@pytest.mark.parametrize(
    ("lang", "dark", "width"),
    [("en", False, 360), ("en", True, 1280), ("ko", False, 1280), ("ko", True, 360)],
)
def test_axe_finds_no_violation(browser, pages, lang, dark, width):
    with opened(browser, pages[lang], width=width, dark=dark) as shown:
        for finding in shown.locator(".finding summary").all()[1:]:
            finding.click()
        shown.locator(".matrix a").first.click()
        assert axe_violations(shown) == []
        shown.evaluate("location.hash = 'picture-1'")
        shown.wait_for_selector("#picture[open]")
        assert axe_violations(shown) == []


def test_axe_finds_no_violation_with_many_classes(browser, tmp_path):
    images, labels, probs = made_answers(60, 21, (8, 8), wrong=0.5)
    written = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    with opened(browser, written) as shown:
        shown.locator(".matrix a").first.click()
        assert axe_violations(shown) == []


def test_both_languages_say_the_same_things():
    def flat(lang):
        return {
            (section, name): text
            for section, names in texts("reports/report", lang).items()
            if isinstance(names, dict)
            for name, text in names.items()
        }

    english, korean = flat("en"), flat("ko")
    assert english.keys() == korean.keys()
    for key, text in english.items():
        places = sorted(re.findall(r"\{\w*\}", text))
        assert places == sorted(re.findall(r"\{\w*\}", korean[key])), key
        assert re.search("[가-힣]", korean[key]) or not re.search("[a-z]{4}", korean[key]), key


def test_the_korean_page_holds_no_english_sentence(browser, pages):
    with opened(browser, pages["ko"]) as shown:
        text = shown.inner_text("main")
    # names of versions, of methods and of people apart, no four English words follow each other
    assert re.findall(r"\b[A-Za-z]{2,} [a-z]{2,} [a-z]{2,} [a-z]{2,}\b", text) in (
        [],
        ["van der Maaten"],
    )


# ---- what it says ----


def test_every_number_is_the_one_of_evaluate(browser, pages, hard_run):
    ended = program("evaluate", hard_run.folder, "--json", cwd=hard_run.folder.parent)
    found = json.loads(ended.stdout)
    names = ("accuracy", "balanced_accuracy", "loss", "uncalibrated_loss", "n", "ece")
    names += ("ece_by_chance",)
    expected = {name: str(found[name]) for name in names}
    expected["interval"] = " ".join(map(str, found["interval"]))
    for k, one in enumerate(found["per_class"]):
        expected |= {f"{name}-{k}": str(one[name]) for name in ("precision", "recall", "f1", "n")}
    for k, one in enumerate(found["most_confused"]):
        expected[f"confused-{k}"] = str(one["count"])
    for name in ("answered", "right", "held", "set_size", "refused"):
        expected[name] = str(found["thresholds"][name])
    for lang in LANGS:
        with opened(browser, pages[lang]) as shown:
            values = shown.eval_on_selector_all(
                "data", "all => all.map(one => [one.dataset.metric, one.value, one.innerText])"
            )
            cells = shown.eval_on_selector_all(
                ".matrix tbody td",
                "all => all.map(one => one.innerText)",
            )
        assert {name: value for name, value, _ in values} == expected
        assert cells == [str(n) if n else "" for n in np.ravel(found["confusion_matrix"])]
        for name, value, text in values:
            written = re.findall(r"\d[\d,]*(?:\.\d+)?", re.sub(r"^95\s?%", "", text))
            exact = [float(one) * (100 if "%" in text else 1) for one in value.split()]
            assert len(written) == len(exact), name
            for shown_as, number in zip(written, exact, strict=True):
                # rounded, and not otherwise: half of the last digit that is written
                half = 0.5 * 10.0 ** -len(shown_as.partition(".")[2])
                assert abs(float(shown_as.replace(",", "")) - number) <= 1.001 * half, name


def test_the_largest_losses_come_first_true_class_in_blue_and_answer_in_red(
    browser, pages, answers
):
    test, probs = answers
    said = probs.argmax(axis=1)
    of_truth = probs[np.arange(len(test)), test.labels]
    wrong = np.flatnonzero(said != test.labels)
    expected = wrong[np.argsort(of_truth[wrong], kind="stable")][:24]
    with opened(browser, pages["en"]) as shown:
        cards = shown.locator(".card")
        links = cards.locator(".views > a").evaluate_all("all => all.map(one => one.hash)")
        assert links == [f"#picture-{index}" for index in expected]
        inks = {
            kind: shown.evaluate(
                f"""() => {{
                  const made = document.body.appendChild(document.createElement("i"));
                  made.style.color = "var(--{kind})";
                  return getComputedStyle(made).color;
                }}"""
            )
            for kind in ("right", "wrong")
        }
        assert inks == {"right": "rgb(0, 96, 158)", "wrong": "rgb(191, 38, 38)"}
        for card, index in zip(cards.all(), expected, strict=True):
            for kind, k in (("right", test.labels[index]), ("wrong", said[index])):
                bar = card.locator(f".bars .{kind}")
                assert bar.locator(".name").text_content().startswith(test.classes[k])
                share = f"{100 * round(1000 * float(probs[index, k])) / 1000:.1f}\u00a0%"
                assert bar.locator(".value").inner_text() == share
                ink = bar.locator("i").evaluate("one => getComputedStyle(one).backgroundColor")
                assert ink == inks[kind]


def written(path):
    """Return what stands in a page, with plain spaces."""
    return path.read_text(encoding="utf-8").replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("wrong", "english", "korean"),
    [
        (7, "Right for 93 of 100 test pictures: about 1 in 14 is wrong.",
         "약 14장에 1장꼴로 틀립니다."),
        (94, "Right for 6 of 100 test pictures: about 9 in 10 are wrong.",
         "10장에 약 9장꼴로 틀립니다."),
        (96, "Right for 4 of 100 test pictures: nearly all are wrong.",
         "테스트 이미지 100장 가운데 4장만 맞혔습니다. 거의 모두 틀립니다."),
        (100, "Wrong for all of 100 test pictures.", "테스트 이미지 100장을 모두 틀렸습니다."),
    ],
)  # fmt: skip
def test_the_claim_is_true_of_bad_models_too(tmp_path, wrong, english, korean):
    images, labels = np.zeros((100, 8, 8), np.uint8), np.arange(100) % 2
    said = np.where(np.arange(100) < wrong, 1 - labels, labels)
    for lang, claim in (("en", english), ("ko", korean)):
        out = tmp_path / f"{lang}.html"
        lookbook.report(images, labels, np.eye(2)[said], out=out, lang=lang)
        assert claim in written(out)


def test_a_model_no_better_than_guessing_is_warned_of(tmp_path):
    images, labels = np.zeros((100, 8, 8), np.uint8), np.repeat([0, 1], [90, 10])
    for lang, warning in (("en", "would be right for 90.0 %"), ("ko", "90.0%를 맞힙니다")):
        out = tmp_path / "a.html"
        for said, warned in ((np.zeros(100, int), True), (labels, False)):
            lookbook.report(images, labels, np.eye(2)[said], out=out, lang=lang)
            assert (warning in written(out)) == warned


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 11, 40, 101])
def test_what_it_says_of_nine_in_ten_is_true_of_some_images(tmp_path, n):
    rng = np.random.default_rng(n)
    images, labels = np.zeros((n, 8, 8), np.uint8), rng.integers(0, 2, n)
    sure = rng.integers(51, 80, n) / 100  # many alike
    said = np.where(rng.random(n) < 0.8, labels, 1 - labels)
    probs = np.where(np.eye(2, dtype=bool)[said], sure[:, None], 1 - sure[:, None])
    # of all sets "whatever is at least so sure" the smallest with nine in ten
    sets = [sure >= least for least in np.unique(sure)]
    least = min((one for one in sets if 10 * one.sum() >= 9 * n), key=np.sum)
    share, accuracy = least.mean(), 100 * (said == labels)[least].mean()
    expected = f"right for {accuracy:.1f} % of all."
    if share < 1:
        expected = (
            f"“not sure” for the {100 * (1 - share):.1f} % of the pictures that it is least sure "
            f"of, it is right for {accuracy:.1f} % of the others."
        )
    for order in (np.arange(n), np.arange(n)[::-1]):
        out = tmp_path / "a.html"
        lookbook.report(images, labels[order], probs[order], out=out)
        assert expected in written(out)
    spoken = re.findall(r'aria-label="coverage: ([^"]*)"', written(out))[0]
    places = [spoken.count(f"{100 * one.mean():.0f} %: ") for one in sets]
    assert len(sets) > 12 or all(places)
    if n == 1:
        assert '<circle class="dot fill-right"' in written(out).split("coverage: ")[1]


def test_one_is_written_as_one(browser, tmp_path):
    image, label = np.zeros((1, 8, 8), np.uint8), np.array([0])
    right = lookbook.report(image, label, np.eye(2)[[0]], out=tmp_path / "right.html")
    wrong = lookbook.report(image, label, np.eye(2)[[1]], out=tmp_path / "wrong.html")
    for path, sentences in (
        (right, ["Right for the 1 test picture.", "1 test picture: rows true"]),
        (wrong, ["Wrong for the 1 test picture.", "The 1 mistake whose", "· 1 picture"]),
    ):
        with opened(browser, path) as shown:
            said = re.sub(r"\s+", " ", shown.inner_text("main"))
            assert shown.inner_text("#found") == "1 of 1 picture"
        for sentence in [*sentences, "test part: 1 picture of 8×8 pixels"]:
            assert sentence in said
        assert re.findall(r"(?<![\w.,])1 (?:test )?(?:pictures|mistakes)", said) == []
    verdict = texts("reports/report", "en")["verdict"]
    for n, expected in (
        ("1", "1 label of the training part was corrected by a person before."),
        ("21", "21 labels of the training part were corrected by a person before."),
    ):
        assert say(verdict["corrected"], n=n) == expected
    machine = {"device": "a", "versions": "b", "seed": 0, "started": "c"}
    assert "a, 1 thread; b" in say(verdict["conditions"], threads=1, **machine)
    assert "a, 2 threads; b" in say(verdict["conditions"], threads=2, **machine)


def test_fashion_mnist_is_judged_by_what_others_reached(browser, tmp_path):
    names = ("T-shirt/top", "Trouser")
    part = Dataset(np.zeros((20, 28, 28), np.uint8), np.arange(20) % 2, names)
    probs = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    out = tmp_path / "a.html"
    page.report_on(part, probs, out, title="t", source=resolve("fashion-mnist"))
    with opened(browser, out) as shown:
        named = shown.locator("#verdict svg.wide text").all_text_contents()
    assert {
        "the tutorial 88.6\u00a0%",
        "people 83.5\u00a0%",
        "best published 96.9\u00a0%",
        "this model 100.0\u00a0%",
    } <= set(named)


@pytest.mark.slow
def test_it_says_on_how_many_images_changes_were_tried(hard_run, pages, tmp_path):
    assert "On 150 test pictures, all there are." in written(pages["en"])
    gathered = report_data.collect(hard_run)
    sampled = replace(gathered, analysis=replace(gathered.analysis, changed=100))
    out = page.write_run_report(sampled, tmp_path / "a.html")
    assert "On 100 test pictures, drawn at random." in written(out)


def test_nearest_images_of_a_large_training_part_are_said_to_be_of_a_sample(
    hard_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(section_answers, "MOST_TRAINING", 100)
    written = page.write_run_report(report_data.collect(hard_run), tmp_path / "a.html")
    assert "among 100 training pictures, drawn at random" in written.read_text(encoding="utf-8")


def test_images_are_said_to_be_negatives_where_they_are(browser, tmp_path):
    images, labels = made_images(30, seed=0)
    for polarity, made in (("light", images), ("dark", 255 - images), ("mixed", images + 70)):
        written = lookbook.report(made, labels, np.eye(3)[labels], out=tmp_path / "a.html")
        for dark in (False, True):
            with opened(browser, written, dark=dark) as shown:
                negative = "invert(1)" in shown.eval_on_selector(
                    ".cover .p", "one => getComputedStyle(one).filter"
                )
                assert negative == ((polarity, dark) in {("light", False), ("dark", True)})
                assert shown.locator(".negative").is_visible() == negative
                stored = shown.eval_on_selector(".pixels .p", "one => getComputedStyle(one).filter")
                assert stored == "none"


@pytest.mark.parametrize(
    ("k", "each", "note"),
    [
        (20, 16, ""),
        (21, 5, "Of more than 20 classes, 5 examples of each are shown instead of 16."),
    ],
)
def test_a_class_has_sixteen_examples_and_fewer_where_there_are_many(
    browser, tmp_path, k, each, note
):
    labels = np.arange(20 * k) % k
    images = np.zeros((20 * k, 8, 8), np.uint8)
    out = lookbook.report(images, labels, np.eye(k)[labels], out=tmp_path / "a.html")
    with opened(browser, out) as shown:
        rows = shown.locator(".classes tbody tr").all()
        assert [row.locator(".examples .p").count() for row in rows] == [each] * k
        notes = shown.locator("#data > p.quiet:not(.negative)").all_inner_texts()
    assert notes == ([note] if note else [])


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_row_of_pixels_is_shown_before_and_after_scaling(browser, tmp_path, colours):
    images = np.random.default_rng(0).integers(0, 256, (9, 14, 12, *colours), dtype=np.uint8)
    labels = np.arange(9) % 2
    out = lookbook.report(images, labels, np.eye(2)[labels], out=tmp_path / "a.html")
    row = images[3, 10] if not colours else images[3, 10, :, 0]
    with opened(browser, out) as shown:
        assert "test picture 3, 1. " in shown.inner_text("#data h3 + p")
        before, after = (text.split() for text in shown.locator(".pixels code").all_inner_texts())
        # all of them are seen: they are wrapped
        clipped = "all => all.some(one => one.scrollWidth > one.clientWidth)"
        assert not shown.eval_on_selector_all(".pixels code", clipped)
    assert list(map(int, before)) == row.tolist()
    np.testing.assert_allclose(np.float64(after), row / 255, atol=1e-7)


def test_near_pairs_and_the_images_in_them_are_told_apart(browser, tmp_path):
    # one test image that is nearly the same as each of two training images
    grey = np.uint8([10, 14, 200, 12])[:, None, None].repeat(8, 1).repeat(8, 2)
    training = Dataset(grey[:3], np.array([0, 1, 0]), ("a", "b"))
    test = Dataset(grey[3:], np.array([0]), ("a", "b"))
    found = audit(training, test, None)
    out = tmp_path / "a.html"
    probs = np.float32([[1, 0]])
    page.report_on(test, probs, out, title="t", training=training, findings=found)
    with opened(browser, out) as shown:
        across = shown.locator(".finding", has_text="nearly the same as a training picture")
        assert across.locator("summary").text_content().endswith(": 1")
        assert across.locator(".pairs li").count() == 2
        about = across.locator("p").last.text_content()
        assert about == "2 of 2 pairs are shown; one picture can stand in several."
        within = shown.locator(".finding", has_text="Pairs in the training part")
        assert "are shown" not in within.text_content()


def test_the_average_is_of_all_images_of_a_class():
    images = np.zeros((5000, 8, 8), np.uint8)
    images[1::2] = 200
    images[-1] = 255
    mean = section_data._mean(images, np.arange(5000))
    np.testing.assert_array_equal(mean, images.mean(axis=0).round())
    monochrome = section_data._mean(np.uint8([[[[0, 9, 255]]], [[[1, 9, 255]]]]), np.array([1]))
    assert monochrome.tolist() == [[[1, 9, 255]]]


def test_what_was_found_is_open_and_what_was_not_is_only_named(browser, pages):
    with opened(browser, pages["en"]) as shown:
        counts = {}
        for finding in shown.locator(".finding").all():
            title = finding.locator("summary").inner_text()
            counts[title] = int(finding.locator("strong").inner_text().replace(",", ""))
        # what is none is named alone, but for the least credible labels, which can be looked at
        assert all(n or "label errors" in title for title, n in counts.items())
        unfolded = shown.locator(".finding[open] summary")
        assert unfolded.all_inner_texts() == [max(counts, key=counts.__getitem__)]
        assert "Pairs of these with two different labels" in shown.inner_text("ul.in-vain")


def test_it_tells_what_was_found_in_the_data(browser, pages):
    with opened(browser, pages["en"]) as shown:
        counts = {}
        for finding in shown.locator(".finding summary").all_inner_texts():
            title, _, count = finding.rpartition(": ")
            counts[title] = int(count.replace(",", ""))
    assert counts["Test pictures that stand in the training part, too, pixel by pixel"] == 1
    repeated = "Pictures of the training part that repeat another one, pixel by pixel"
    assert counts[repeated] == 1
    assert counts["Suspected label errors in the training part"] >= 8


@pytest.mark.slow
def test_an_unfinished_looking_place_is_not_overwritten(hard_run):
    ended = program("report", hard_run.folder, "--out", ".", cwd=hard_run.folder)
    assert ended.returncode == 2
    assert ended.stderr == "error: . is a folder; name a file: --out report.html\n"


# ---- any data, any framework ----


def made_answers(n, k, shape, *, wrong=0.2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    labels = rng.integers(0, k, n)
    said = np.where(rng.random(n) < wrong, rng.integers(0, k, n), labels)
    probs = np.full((n, k), 0.3 / k) + 0.7 * np.eye(k)[said]
    return images, labels, probs.astype(np.float32)


@pytest.mark.parametrize(
    ("n", "k", "shape"),
    [
        (1, 2, (8, 8)),
        (3, 2, (28, 28)),
        (60, 3, (224, 224, 3)),
        (300, 11, (40, 70)),
        (1500, 200, (8, 8)),
        (100_000, 10, (8, 8)),
    ],
)
def test_any_size_gives_a_correct_page(browser, tmp_path, n, k, shape):
    images, labels, probs = made_answers(n, k, shape)
    written = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    assert written.stat().st_size < 6_000_000
    accuracy = float((probs.argmax(axis=1) == labels).mean())
    with opened(browser, written) as shown:
        assert float(shown.get_attribute("[data-metric=accuracy]", "value")) == accuracy
        total = shown.eval_on_selector_all(
            ".matrix a",
            "all => all.reduce((sum, one) => sum + Number(one.innerText.replaceAll(',', '')), 0)",
        )
        assert total == n
        note = shown.inner_text("#search")
        if n == 100_000:
            assert "The page holds 10,000 of 100,000 test pictures" in note
        else:
            assert "The page holds" not in note


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "wrong"), [(100_000, 200, 0.4), (100_000, 200, 1.0), (20_000, 50, 0.2)]
)
def test_many_classes_leave_less_room_for_images(tmp_path, monkeypatch, n, k, wrong):
    """With images of nothing but noise, which cannot be compressed."""
    # where they lie on the map matters not, and takes long to find out
    monkeypatch.setattr(
        analysis, "embed", lambda seen: (np.ones((len(seen), 2), np.float32), len(seen))
    )
    images, labels, probs = made_answers(n, k, (28, 28), wrong=wrong)
    names = [f"a class with a long name, {number}" for number in range(k)]
    out = lookbook.report(images, labels, probs, classes=names, out=tmp_path / "a.html")
    assert out.stat().st_size < 6_000_000
    cells = len(np.unique(labels * k + probs.argmax(axis=1)))
    assert out.read_text(encoding="utf-8").count("<a href=#cell-") == cells


@pytest.mark.parametrize("lang", LANGS)
def test_a_sample_shows_what_is_right_and_says_what_it_is(browser, tmp_path, lang):
    images, labels, probs = made_answers(3000, 2, (64, 64, 3), wrong=0.5)
    written = lookbook.report(images // 8, labels, probs, out=tmp_path / "a.html", lang=lang)
    wrong = int((probs.argmax(axis=1) != labels).sum())
    assert wrong > 641
    sizes = {"3,000", "641", "320", f"{wrong:,}"}
    with opened(browser, written, "#cell-0-0") as shown:
        assert shown.locator(".cover .p").count() == 48
        assert shown.locator("#cell-pictures a").count() == 60
        hits = ((probs.argmax(axis=1) == 0) & (labels == 0)).sum()
        assert f"{hits:,}" in shown.inner_text("#cell-title")
        for row in shown.locator(".perclass tbody tr").all():
            assert row.locator("td:nth-last-child(2) .thumb").count() == 5
            assert row.locator("td:last-child .thumb").count() == 5
        said = {
            part: set(
                re.findall(r"\d[\d,]*\d", shown.locator(f"#{part} > p.quiet").last.inner_text())
            )
            for part in ("classes", "map", "search")
        }
    assert {"3,000", "641"} <= said["classes"]
    assert sizes <= said["map"]
    assert sizes <= said["search"]


def judged_page(tmp_path, counts, accuracy):
    """Write a report on data of so many training images a class, judged by networks or not."""
    classes = tuple(f"class {k}" for k in range(len(counts)))
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    part = Dataset(images, labels, classes)
    probs = np.eye(len(counts), dtype=np.float32)[labels]
    findings = audit(
        part, part, OutOfFold(probs, probs, 5, "quick", accuracy) if accuracy else None
    )
    return page.report_on(
        part, probs, tmp_path / "a.html", title="t", training=part, findings=findings
    )


def test_it_says_which_labels_were_not_judged(browser, tmp_path):
    with opened(browser, judged_page(tmp_path, (5, 1, 4), 0.9)) as shown:
        about = shown.locator(".finding").last.text_content()
        assert "fewer than 2 training pictures: class 1." in about
    with opened(browser, judged_page(tmp_path, (5, 4, 4), 0.9)) as shown:
        assert "fewer than 2" not in shown.text_content("#data")
    with opened(browser, judged_page(tmp_path, (5, 1, 1), 0)) as shown:
        last = shown.locator(".finding").last
        assert last.locator("summary").inner_text() == "Suspected label errors: not looked for"
        assert "at least two classes must have 2 training pictures" in last.text_content()


def test_networks_that_are_too_weak_show_no_list(browser, tmp_path):
    with opened(browser, judged_page(tmp_path, (5, 4, 4), 0.6)) as shown:
        last = shown.locator(".finding").last
        summary = "Suspected label errors in the test part: too weak to judge"
        assert last.locator("summary").inner_text() == summary
        assert "They find 60\u00a0% of the training part's labels." in last.text_content()
        assert last.locator(".pairs").count() == 0


def test_where_no_label_is_suspected_the_least_credible_ones_are_shown(browser, tmp_path):
    labels = np.arange(40) % 2
    images = np.arange(40, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    part = Dataset(images, labels, ("a", "b"))
    probs = np.full((40, 2), 0.3)
    probs[np.arange(40), np.where(np.arange(40) < 10, 1 - labels, labels)] = 0.7
    findings = audit(part, part, OutOfFold(probs, probs, 5, "quick", 0.75))
    assert findings.training.suspected == 0
    out = tmp_path / "a.html"
    page.report_on(part, probs, out, title="t", training=part, findings=findings)
    with opened(browser, out) as shown:
        last = shown.locator(".finding").last
        assert last.locator("summary").inner_text().endswith("in the test part: 0")
        assert last.locator(".pairs li").count() == 6
        assert "None is: chance alone" in last.text_content()


def test_shares_of_nothing_are_not_written(browser, tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    labels, said = np.array([0, 0, 2, 2]), np.array([0, 1, 0, 0])
    written = lookbook.report(images, labels, np.eye(4)[said], out=tmp_path / "a.html")
    with opened(browser, written) as shown:
        rows = [
            row.locator("td.n").all_inner_texts() for row in shown.locator(".perclass tr").all()[1:]
        ]
    # given to one image, of none; of two images, given to none; neither
    assert rows[1] == ["0.0\u00a0%", "–", "0.0\u00a0%", "0"]
    assert rows[2] == ["–", "0.0\u00a0%", "0.0\u00a0%", "2"]
    assert rows[3] == ["–", "–", "–", "0"]


def test_a_class_without_a_image_and_a_model_that_is_always_right(browser, tmp_path):
    images = np.zeros((6, 8, 8), np.uint8)
    labels = np.array([0, 0, 0, 2, 2, 2])
    written = lookbook.report(images, labels, np.eye(3)[labels], out=tmp_path / "a.html")
    with opened(browser, written) as shown:
        assert shown.inner_text(".claim").startswith("Right for all of 6 test pictures.")
        assert "There are none: every test picture was named rightly." in shown.inner_text(
            "#mistakes"
        )
        assert shown.inner_text(".perclass tbody tr:nth-child(2) td:nth-child(5)") == "0"


def test_names_cannot_break_the_page(browser, tmp_path):
    names = ["<script>document.title='x'</script>", "\"quoted' & </script>", "티셔츠", "👟 {{ t }}"]
    images, labels, probs = made_answers(40, 4, (12, 12))
    written = lookbook.report(
        images, labels, probs, classes=names, title=names[0], out=tmp_path / "a.html"
    )
    with opened(browser, written, "#picture-3") as shown:
        assert shown.title() == f"Lookbook of {names[0]}"
        assert shown.locator(".perclass tbody th").all_inner_texts() == names
        # letters of Korean stand upright in a vertical line, and then upside down in a turned one
        heading = shown.locator(".matrix thead th span").nth(2)
        assert heading.evaluate("one => getComputedStyle(one).textOrientation") == "sideways"
        written = shown.locator("#picture-bars .name").all_text_contents()
        assert [text.split(" (")[0] for text in written] == names
        assert axe_violations(shown) == []


def test_ten_thousand_images_of_fashion_stay_below_6_mb(browser, tmp_path):
    test = load("fashion-mnist", "test")
    probs = np.full((10_000, 10), 0.02) + 0.8 * np.eye(10)[test.labels]
    written = lookbook.report(
        test.images, test.labels, probs, classes=test.classes, out=tmp_path / "a.html"
    )
    assert written.stat().st_size < 6_000_000
    with opened(browser, written, "#picture-9999") as shown:
        assert shown.inner_text("#picture-title") == "Test picture 9,999"


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (np.ones((4, 2)), "each row of probs must sum to 1, as those of a softmax do, row 0 sums "
         "to 2.0000; of scores that judge each class alone (sigmoid), divide each row by its sum"),
        (np.full((3, 2), 0.5), "probs must be floats of shape (4, 2), a row for each image and a "
         "column for each class, got float64 of shape (3, 2)"),
        (np.eye(2, dtype=int)[[0, 1, 0, 1]], "probs must be floats of shape (4, 2), a row for each "
         "image and a column for each class, got int64 of shape (4, 2)"),
    ],
)  # fmt: skip
def test_what_are_no_probabilities_is_refused(tmp_path, probs, message):
    with pytest.raises(InputError) as caught:
        lookbook.report(np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1], probs, out=tmp_path / "a.html")
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


def test_a_report_takes_the_shapes_that_files_of_arrays_may_have(monkeypatch):
    taken = []
    monkeypatch.setattr(page, "report_on", lambda test, *_, **__: taken.append(test))
    images, labels = made_images(20, seed=0, classes=2)
    lookbook.report(images[..., None], labels[:, None].astype(np.uint8), np.eye(2)[labels])
    (test,) = taken
    np.testing.assert_array_equal(test.images, images)
    np.testing.assert_array_equal(test.labels, labels)
    for wrong in ({"images": images / 255}, {"labels": np.eye(2)[labels]}):
        with pytest.raises(InputError, match=r"; use \(images \* 255\)|labels\.argmax"):
            lookbook.report(
                **({"images": images, "labels": labels, "probs": np.eye(2)[labels]} | wrong)
            )


def test_probabilities_of_another_program_become_a_page(browser, hard_run, answers, tmp_path):
    _, probs = answers
    np.save(tmp_path / "probs.npy", probs)
    data = Path(hard_run.conditions["data"]["name"])
    ended = program("report", "--predictions", "probs.npy", "--data", data, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "report  probs.html\nnext: open it in a browser\n"
    with opened(browser, tmp_path / "probs.html") as shown:
        assert shown.locator("#training, #network, #robustness").count() == 0
        assert shown.locator("main > section").count() == 8
        assert "handed to this report" in shown.inner_text("#verdict")
        assert shown.locator(".finding").count() > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run, as in lookbook report runs/fashion-mnist-standard-1, or give both "
         "--predictions probs.npy and --data DATA"),
        (["--predictions", "p.npy"],
         "--predictions needs --data DATA, whose test part they are for"),
        (["--predictions", "p.npy", "--data", "mnist"],
         "no file p.npy; save probabilities with numpy.save, or as a table: file,CLASS,CLASS,…"),
        (["x"], "no run x; there are none yet: lookbook train"),
        (["x", "--predictions", "p.npy"],
         "--predictions goes with --data, --lang and --out alone; a run, and --corrections, need a "
         "model of this program"),
    ],
)  # fmt: skip
def test_wrong_use(tmp_path, arguments, message):
    ended = program("report", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"error: {message}\n")


# ---- a second time ----


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_the_second_report_needs_no_training_and_no_torch(hard_run):
    import subprocess
    import sys

    code = (
        "import sys\nfrom lookbook.cli.main import main\n"
        f"sys.argv = ['lookbook', 'report', {str(hard_run.folder)!r}, '--lang', 'ko']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "False"
    # the command speaks the page's language, too
    assert ended.stdout.splitlines()[0] == f"보고서  {hard_run.folder / 'report.ko.html'}"


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_damaged_or_foreign_analysis_is_made_anew(hard_run, monkeypatch):
    examined = []
    real = report_data.examine_data

    def examine(*given, **options):
        examined.append(1)
        return real(*given, **options)

    monkeypatch.setattr(report_data, "examine_data", examine)
    kept = hard_run.folder / report_data.ANALYSIS
    report_data.collect(hard_run)
    assert examined == []
    kept.write_bytes(kept.read_bytes()[:1000])
    report_data.collect(hard_run)
    assert examined == [1]
    monkeypatch.setattr(report_data, "FORMAT", 0)  # as another version of the program kept it
    report_data.collect(hard_run)
    assert examined == [1, 1]


def test_a_test_part_that_changed_since_the_evaluation_is_refused(hard_run, tmp_path):
    import shutil

    folder = shutil.copytree(hard_run.folder, tmp_path / "run")
    path = folder / "evaluation.json"
    found = json.loads(path.read_text())
    found["conditions"]["images_sha256"] = "0" * 64
    path.write_text(json.dumps(found))
    ended = program("report", folder, cwd=tmp_path)
    assert ended.returncode == 2
    assert "changed since" in ended.stderr
    assert f"delete {path} to evaluate again" in ended.stderr


def test_of_many_classes_the_true_one_is_always_shown(browser, tmp_path):
    images, labels, probs = made_answers(60, 30, (8, 8), wrong=0.5)
    written = lookbook.report(images, labels, probs, out=tmp_path / "a.html")
    worst = int(np.argmin(probs[np.arange(60), labels]))
    with opened(browser, written, f"#picture-{worst}") as shown:
        truth = shown.text_content("#picture-bars .right .name")
        assert truth == f"{labels[worst]} (true class)"
        assert shown.locator("#picture-bars li").count() == 10
    with opened(browser, written, "#picture-99") as shown:
        assert shown.inner_text("#picture-title") == "This page does not hold test picture 99."


@pytest.mark.parametrize("options", [{"final": True}, {"epochs": 1.5}, {"budget": 3.0}])
def test_any_training_gives_a_page(browser, hard_run, tmp_path, options):
    from lookbook.recipes import QUICK
    from lookbook.training.pipeline import train

    run = train(hard_run.conditions["data"]["name"], QUICK, out=tmp_path / "run", **options)
    written = page.write_run_report(report_data.collect(run), tmp_path / "a.html")
    with opened(browser, written) as shown:
        assert shown.locator("#training svg").count() == 5
        text = shown.inner_text("#training")
        assert ("No pictures were set aside" in text) == ("final" in options)
        facts = shown.locator(".facts dt").all_inner_texts()
        assert ("training time of the twin" in facts) == ("final" in options)
        about = shown.locator("#training svg").first.get_attribute("aria-label")
        last = f"{run.history[-1]['loss']:g}"[:4]
        assert last in about


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shape"), [(4, (8, 8)), (20, (9, 14, 3))])
def test_a_handful_of_images_gives_a_report(tmp_path, n, shape):
    """Fewer than there are networks to judge them; and a class that no test image shows."""
    from lookbook.recipes import QUICK
    from lookbook.training.pipeline import train

    rng = np.random.default_rng(0)
    arrays = {f"{part}_images": rng.integers(0, 256, (n, *shape), np.uint8) for part in PARTS}
    arrays |= {"train_labels": np.arange(n) % 2, "test_labels": np.zeros(n, int)}
    np.savez(tmp_path / "few.npz", **arrays)
    run = train(str(tmp_path / "few.npz"), QUICK.with_epochs(1), out=tmp_path / "run")
    gathered = report_data.collect(run)
    assert "Class by class" in written(page.write_run_report(gathered, tmp_path / "a.html"))


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory):
    """A short training of `standard` on images in colour, some of them with wrong labels."""
    from lookbook.training.pipeline import train

    folder = tmp_path_factory.mktemp("colour")
    arrays = {}
    for part, n in (("train", 240), ("test", 60)):
        rng = np.random.default_rng(n)
        labels = np.arange(n) % 3
        images = rng.integers(0, 90, (n, 16, 16, 3), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4:12, 4:12, label] += 150
        labels[::8] = (labels[::8] + 1) % 3
        arrays |= {f"{part}_images": images, f"{part}_labels": labels}
    np.savez(folder / "colours.npz", **arrays, classes=np.array(["red", "green", "blue"]))
    return train(str(folder / "colours.npz"), "standard", epochs=3, out=folder / "run")


def test_convolutions_on_images_in_colour_are_shown(browser, colour_run, tmp_path):
    gathered = report_data.collect(colour_run)
    out = page.write_run_report(gathered, tmp_path / "a.html")
    mistakes = len(gathered.analysis.hardest)
    assert mistakes > 3
    with opened(browser, out) as shown:
        layers = " ".join(shown.locator(".layers .name").all_inner_texts())
        assert "whitening: filters" in layers
        assert "convolution 3×3, then ReLU" in layers
        # stacks of maps, not columns alone
        drawn = shown.locator("#network svg g").evaluate_all(
            "all => all.map(one => one.querySelectorAll('.map').length)"
        )
        assert max(drawn) > 3
        filters = shown.locator(".filters img")
        assert filters.count() > 3
        assert filters.evaluate_all("all => all.every(one => one.naturalWidth > 1)")
        heat = shown.locator(".card .looked img")
        assert heat.count() == mistakes
        assert heat.evaluate_all("all => all.every(one => one.naturalWidth > 3)")
        beside = [
            card.locator(".neighbour .p").evaluate_all("all => all.map(one => one.ariaLabel)")
            for card in shown.locator(".card").all()
        ]
    training, classes = gathered.training, gathered.training.classes
    seen, asked = (
        onnx_graph.features(gathered.model, images).astype(float)
        for images in (training.images, gathered.test.images[gathered.analysis.hardest])
    )
    for labels, features in zip(beside, asked, strict=True):
        assert len(labels) == 3
        nearest = [int(re.search(r"picture ([\d,]+)", one)[1].replace(",", "")) for one in labels]
        for one, k in zip(labels, nearest, strict=True):
            assert one == f"training picture {k}, {classes[training.labels[k]]}"
        distances = np.array([np.linalg.norm(one - features) for one in seen])
        np.testing.assert_allclose(distances[nearest], np.sort(distances)[:3], rtol=1e-3, atol=1e-3)
