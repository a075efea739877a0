"""The page of a server that does not answer, in a browser: nothing old stands beside a new picture.

The page is the server's own; what it asks is answered here.
"""

from __future__ import annotations

import json

import pytest
from PIL import Image
from playwright.sync_api import expect

from lookbook.core.templates import texts
from lookbook.exports.web_demo import served_page

ADDRESS = "http://lookbook.test/"
#: what the outline is drawn with, pixels of what the model sees, and all that is said
SHOWN = """() => ({
  lines: [...document.getElementById("outline").children].map((each) => each.getAttribute("d")),
  seen: document.getElementById("seen").getContext("2d")
    .getImageData(0, 0, 28, 28).data.some((level) => level),
  said: ["said", "sure", "doubt", "kind", "note", "time"]
    .map((id) => document.getElementById(id).textContent),
  bars: [...document.querySelectorAll("#bars i")].map((each) => each.style.getPropertyValue("--p")),
})"""


@pytest.fixture
def asked(browser, cutting_run, tmp_path):
    """The page, and how it is answered: `answers[0]` fulfils a route."""
    for name, place in (("coat.png", 100), ("shoe.png", 180)):
        image = Image.new("L", (300, 300), 200)
        image.paste(60, (place, 60, place + 60, 240))
        image.save(tmp_path / name)
    (tmp_path / "song.png").write_bytes(b"no picture")
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    content = served_page(cutting_run, "infer").decode()
    page.route(ADDRESS, lambda route: route.fulfill(body=content, content_type="text/html"))
    answers = [right]

    def answer(route) -> None:
        answers[0](route)

    page.route(f"{ADDRESS}infer", answer)
    page.goto(ADDRESS)
    yield page, answers
    context.close()


def right(route) -> None:
    probs, novelty = {"data": [0.9, 0.06, 0.04]}, {"data": [0.1]}
    route.fulfill(status=200, body=json.dumps({"outputs": [probs, novelty]}))


def check_nothing(page) -> None:
    """Check that the page shows no answer."""
    shown = page.evaluate(SHOWN)
    assert shown["said"] == ["Nothing yet", "", "", "", "", ""]
    assert not any(shown["lines"])
    assert not shown["seen"]
    assert {*shown["bars"]} == {"0.00"}


def show_coat(page, folder) -> None:
    page.set_input_files("#file", folder / "coat.png")
    page.wait_for_function("() => current !== null")
    assert all(page.evaluate(SHOWN)["lines"])


def refuse(status: int, body: str):
    return lambda route: route.fulfill(status=status, body=body)


FAILURES = {
    "no connection": (
        lambda route: route.abort(), "The server does not answer; is it still running?"
    ),
    **{
        str(status): (
            refuse(status, '{"error": "what was expected"}'), "No answer came: what was expected"
        )
        for status in (401, 404, 413, 422, 429, 500)
    },
    "a server between": (refuse(502, "<h1>Bad Gateway</h1>"), "No answer came: HTTP 502"),
}  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_without_an_answer_nothing_old_stands_beside_a_new_picture(asked, tmp_path, failure):
    page, answers = asked
    show_coat(page, tmp_path)
    answers[0], said = FAILURES[failure]
    page.set_input_files("#file", tmp_path / "shoe.png")
    expect(page.locator("#trouble")).to_have_text(said)
    expect(page.locator("#photo")).to_be_visible()
    check_nothing(page)
    answers[0] = right
    show_coat(page, tmp_path)
    expect(page.locator("#trouble")).to_be_hidden()


def test_while_an_answer_is_awaited_nothing_old_stands_beside_a_new_picture(asked, tmp_path):
    page, answers = asked
    show_coat(page, tmp_path)
    waiting = []
    answers[0] = waiting.append
    before = page.locator("#photo").get_attribute("src")
    page.set_input_files("#file", tmp_path / "shoe.png")
    expect(page.locator("#photo")).not_to_have_attribute("src", before)
    check_nothing(page)
    page.wait_for_timeout(50)
    # what it is answered is of no use once another picture stands there
    page.set_input_files("#file", tmp_path / "song.png")
    expect(page.locator("#trouble")).to_contain_text("song.png")
    right(waiting[0])
    page.wait_for_timeout(200)
    check_nothing(page)


@pytest.mark.parametrize("name", ["song.png", "shoe.png"])
def test_what_went_wrong_is_said_in_the_language_that_is_chosen(asked, tmp_path, name):
    page, answers = asked
    show_coat(page, tmp_path)
    answers[0] = lambda route: route.abort()
    page.set_input_files("#file", tmp_path / name)
    expect(page.locator("#trouble")).not_to_be_empty()
    page.locator("#lang").click()
    key = "no_picture" if name == "song.png" else "no_answer_served"
    expected = texts("exports/try", "ko")[key].replace("{name}", name)
    expect(page.locator("#trouble")).to_have_text(expected)


def test_the_photograph_before_does_not_stand_beside_a_broken_file(asked, tmp_path):
    page, _ = asked
    show_coat(page, tmp_path)
    page.set_input_files("#file", tmp_path / "song.png")
    expect(page.locator("#trouble")).to_contain_text("song.png")
    expect(page.locator("#photo")).to_be_hidden()
    check_nothing(page)
