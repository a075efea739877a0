"""The sections on accuracy and calibration: every sentence and number is true."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from made_reports import written

import lookbook
from browser import opened
from conftest import lookbook as program
from lookbook.core.templates import LANGS
from lookbook.data.dataset import Dataset
from lookbook.data.sources import resolve
from lookbook.reports import page


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
