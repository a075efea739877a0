"""The report in a real browser: what it shows, what it does, and that it is for everybody."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from made_reports import draws, made_answers
from playwright.sync_api import expect

import lookbook
from browser import axe_violations, opened
from conftest import made_images
from lookbook.core.templates import LANGS, texts
from lookbook.data.sources import load
from lookbook.errors import InputError
from lookbook.evaluation import analysis
from lookbook.reports import page

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


@pytest.mark.parametrize(("width", "n"), [(390, 8), (1280, 16), (1600, 24)])
def test_images_across_the_top_end_where_the_page_does(browser, pages, width, n):
    with opened(browser, pages["en"], width=width) as shown:
        boxes = [one.bounding_box() for one in shown.locator(".cover .p").all()]
        rows = sorted({round(box["y"]) for box in boxes})
        first = [box for box in boxes if round(box["y"]) == rows[0]]
        assert len(first) == n
        assert max(box["x"] + box["width"] for box in first) == pytest.approx(width, abs=1)
        whole = shown.locator(".cover").bounding_box()
        assert whole["height"] == pytest.approx(2 * first[0]["width"], abs=1)


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


# ---- on a phone ----


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


# ---- on paper ----


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

PACKAGE = Path(page.__file__).parents[1]


def test_all_colours_of_pages_stand_in_one_file():
    styles = [each for each in PACKAGE.glob("*/web/*.css") if each.name != "colours.css"]
    assert len(styles) == 4
    for style in styles:
        assert re.findall(r"#[0-9a-f]{6}\b", style.read_text(encoding="utf-8")) == [], style


def class_colours():
    """Return the colours of classes in sRGB, 0 to 1: of the light theme and of both dark ones."""
    style = (PACKAGE / "core" / "web" / "colours.css").read_text(encoding="utf-8")
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
    english, korean = (texts("reports/report", lang) for lang in ("en", "ko"))
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


# ---- any data, any framework ----


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
