"""The section on answers in a real browser: matrix, mistakes, classes, map, search."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from made_reports import draws, made_answers
from playwright.sync_api import expect

import lookbook
from browser import opened
from lookbook.core.templates import LANGS
from lookbook.reports import page, report_data, section_answers


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


def test_a_deep_link_opens_an_image_with_its_probabilities(browser, pages, answers):
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


def test_the_map_shows_an_image_under_the_pointer(browser, pages):
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


def test_nearest_images_of_a_large_training_part_are_said_to_be_of_a_sample(
    hard_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(section_answers, "MOST_TRAINING", 100)
    written = page.write_run_report(report_data.collect(hard_run), tmp_path / "a.html")
    assert "among 100 training pictures, drawn at random" in written.read_text(encoding="utf-8")


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


def test_a_class_without_an_image_and_a_model_that_is_always_right(browser, tmp_path):
    images = np.zeros((6, 8, 8), np.uint8)
    labels = np.array([0, 0, 0, 2, 2, 2])
    written = lookbook.report(images, labels, np.eye(3)[labels], out=tmp_path / "a.html")
    with opened(browser, written) as shown:
        assert shown.inner_text(".claim").startswith("Right for all of 6 test pictures.")
        assert "There are none: every test picture was named rightly." in shown.inner_text(
            "#mistakes"
        )
        assert shown.inner_text(".perclass tbody tr:nth-child(2) td:nth-child(5)") == "0"


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
