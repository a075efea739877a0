"""The section on data: classes, pixels, and what the audit found."""

from __future__ import annotations

import numpy as np
import pytest

import lookbook
from browser import opened
from lookbook.core.templates import LANGS
from lookbook.data.dataset import Dataset
from lookbook.evaluation.audit import OutOfFold, audit
from lookbook.reports import page, section_data


def test_names_of_classes_are_not_cut_up_on_a_phone(browser, pages):
    heights = "all => all.map(one => one.getClientRects()[0].height)"
    for lang in LANGS:
        with opened(browser, pages[lang], width=360) as shown:
            # one line, and the image beside it
            assert max(shown.eval_on_selector_all(".classes tbody th", heights)) < 70


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
