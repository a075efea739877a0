"""The sections on accuracy and calibration: every sentence and number is true."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from made_reports import made_answers, written
from msgspec import structs
from PIL import Image

import lookbook
from browser import axe_violations, opened
from conftest import lookbook as program
from conftest import made_images
from lookbook.core.templates import LANGS
from lookbook.data.dataset import Dataset
from lookbook.data.sources import resolve
from lookbook.evaluation.analysis import analyse
from lookbook.evaluation.evaluate import judge
from lookbook.evaluation.photographs import evaluate_photographs
from lookbook.reports import page, report_data
from lookbook.reports.context import Answers
from lookbook.reports.report_data import SeenPhotographs
from lookbook.runs.photograph_schema import (
    KindScore,
    PhotographConditions,
    PhotographEvaluation,
    PhotographExample,
)
from lookbook.runs.store import read_run


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


def test_macro_f1_is_shown_of_uneven_classes_alone(tmp_path):
    said = {"en": "macro F1 (mean F1 of the classes)", "ko": "매크로 F1(클래스별 F1의 평균)"}
    for counts, shown in (((60, 40), False), ((61, 40), True)):
        labels = np.repeat([0, 1], counts)
        images = np.zeros((len(labels), 8, 8), np.uint8)
        for lang, name in said.items():
            out = tmp_path / f"{lang}.html"
            lookbook.report(images, labels, np.eye(2)[labels], out=out, lang=lang)
            assert (name in written(out)) is shown


@pytest.mark.slow
def test_it_says_where_uneven_classes_were_balanced(own_run, tmp_path):
    path = own_run.folder / "conditions.json"
    conditions = json.loads(path.read_text())
    balance = {"taken": "balanced", "ratio": 24.29, "smallest": 7, "why": "uneven"}
    said = {"en": "training showed each class as often", "ko": "모든 클래스를 똑같이 자주"}
    for taken in ("balanced", "none"):
        path.write_text(json.dumps(conditions | {"class_weights": balance | {"taken": taken}}))
        found = report_data.collect(read_run(own_run.folder))
        for lang, sentence in said.items():
            text = written(page.write_run_report(found, tmp_path / "page.html", lang))
            assert (sentence in text) is (taken == "balanced")
            assert ("24.3" in text) is (taken == "balanced")


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


# ---- photographs ----


@pytest.fixture(scope="module")
def photographed(hard_run, tmp_path_factory):
    """A run that was measured on photographs of its classes, and of nothing, with their folder."""
    folder = tmp_path_factory.mktemp("photographed")
    images, labels = made_images(30, seed=7)
    images[::4] = 0  # answered somehow
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = folder / "photos" / ("top", "middle", "bottom")[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((100, 120), 0).save(place / f"{number}.png")
    (folder / "photos" / "noise").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "noise" / "1.png")
    (folder / "photos" / "noise" / "2.png").write_bytes(b"no image")
    run = read_run(shutil.copytree(hard_run.folder, folder / "bars-1"))
    with pytest.warns(UserWarning, match="left out 1 file"):
        evaluate_photographs(run, folder / "photos")
    for lang in LANGS:
        page.write_run_report(report_data.collect(run), folder / f"{lang}.html", lang)
    return run, folder


def test_photographs_are_shown_as_they_were_measured(browser, photographed):
    run, folder = photographed
    found = run.photographs()
    for lang in LANGS:
        with opened(browser, folder / f"{lang}.html") as shown:
            part = shown.locator("#photographs")
            values = part.locator("data").evaluate_all(
                "all => Object.fromEntries(all.map(one => [one.dataset.metric, one.value]))"
            )
            rows = [row.all_inner_texts() for row in _cells(part.locator(".kinds tbody tr"))]
            cells = part.locator(".matrix tbody td").all_inner_texts()
            hits = part.locator(".matrix tbody td.hit").count()
            sprites = part.locator(".kinds .p").count()
            said = part.inner_text()
        names = ("accuracy", "accuracy_top_half", "unknown_refused", "refused", "ece")
        assert values == {f"photographs-{name}": str(getattr(found, name)) for name in names}
        assert [row[0] for row in rows] == ["top", "middle", "bottom", "noise"]
        for row, one in zip(rows, found.per_kind, strict=True):
            right = "–" if one.right is None else f"{100 * one.right / one.n:.0f}"
            assert (row[1], row[2].rstrip("\u00a0%")) == (str(one.n), right)
        counts = [n for one in found.per_kind for n in one.answers]
        assert cells == [str(n) if n else "" for n in counts]
        assert hits == 3
        assert sprites == len(found.examples) > 8
        assert found.conditions.started[:10] in said
        assert str(folder) not in said


def _cells(rows):
    return [row.locator("th, td") for row in rows.all()]


def test_the_part_on_photographs_is_for_everybody(browser, photographed):
    _, folder = photographed
    for lang, dark, width in (("en", True, 1280), ("ko", False, 360)):
        with opened(browser, folder / f"{lang}.html", width=width, dark=dark) as shown:
            assert axe_violations(shown) == []
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            korean = re.search("[가-힣]", shown.locator("#photographs .claim").inner_text())
            assert bool(korean) == (lang == "ko")


def test_examples_whose_files_are_gone_or_changed_are_left_out(photographed, tmp_path):
    run, folder = photographed
    run = read_run(shutil.copytree(run.folder, tmp_path / "bars-1"))
    elsewhere = shutil.copytree(folder / "photos", tmp_path / "photos")
    found = run.photographs()
    moved = structs.replace(found.conditions, data=str(elsewhere))
    (run.folder / "photographs.json").write_text(
        json.dumps(structs.replace(found, conditions=moved).to_json())
    )
    predictor = lookbook.Predictor(run)
    assert len(report_data.see_photographs(run, predictor).examples) == len(found.examples)
    gone, changed = (
        found.examples[0],
        next(one for one in found.examples if one.answer != found.examples[0].answer),
    )
    shutil.copy(elsewhere / gone.file, elsewhere / changed.file)
    (elsewhere / gone.file).unlink()
    left = [one for one, _ in report_data.see_photographs(run, predictor).examples]
    assert left == [one for one in found.examples if one not in (gone, changed)]


def made_photographs(classes):
    """What photographs of two kinds of Fashion-MNIST might show, and of one that it lacks."""

    def score(kind, names, answers, right):
        counts = [answers.get(name, 0) for name in classes]
        return KindScore(
            kind=kind, classes=names, n=sum(counts), right=right, refused=1, strange=1,
            answers=counts, most_wrong="Bag",
        )  # fmt: skip

    shares = {
        "accuracy_garments": 0.5, "accuracy_with_shoes": 0.625, "accuracy_groups": 0.75,
        "accuracy_top_half": 0.6, "unknown_refused": 0.5, "garments_refused": 0.25,
    }  # fmt: skip
    general = {"accuracy": 0.625, "refused": 0.25}
    return PhotographEvaluation(
        **shares, **general, ece=0.1, n=10, classes=list(classes),
        standard_errors=dict.fromkeys(shares | general, 0.0125),
        per_kind=[
            score("dress", ["Dress"], {"Dress": 2, "Bag": 2}, 2),
            score("shoes", ["Sandal", "Sneaker", "Ankle boot"], {"Sneaker": 3, "Bag": 1}, 3),
            score("hat", [], {"Bag": 2}, None),
        ],
        examples=[
            PhotographExample(file="dress/<b>.jpg", kind="dress", answer="Dress",
                              probability=0.9, right=True),
        ],
        conditions=PhotographConditions(
            run="a", recipe="b", data="/home/me/photos", sha256="0" * 64, files=12, unreadable=2,
            lacking=["skirt"], seed=0, started="2026-01-02T03:04:05+00:00", seconds=1.0,
        ),
    )  # fmt: skip


def test_garments_shoes_and_groups_are_named_where_the_data_has_them(tmp_path):
    source = resolve("fashion-mnist")
    classes = source.published.classes
    images, labels, probs = made_answers(60, 10, (28, 28))
    test = Dataset(images, labels, classes)
    found = made_photographs(classes)
    seen = SeenPhotographs(found, [(found.examples[0], images[0])])
    answers = Answers(
        test, probs, judge(probs, labels, classes), analyse(test, probs), title="t",
        source=source, photographs=seen,
    )  # fmt: skip
    text = written(page.write_report(answers, tmp_path / "a.html"))
    part = text[text.index('<section id="photographs"') :]
    assert "Of photographs of garments it names 50.0 % rightly (± 1.2)." in part
    assert 'data-metric="photographs-accuracy_groups" value="0.75">75.0 % ± 1.2<' in part
    assert "<dt>known kinds refused" not in part.partition("</section>")[0]
    assert "10 photographs in the folder photos, measured on 2026-01-02." in part
    assert "The model learnt from Fashion-MNIST alone" in part
    assert "2 further files could not be read." in part
    assert "There were no photographs of skirt." in part
    assert "/home/me" not in part
    assert 'title="dress/&lt;b&gt;.jpg"' in part
    assert "Groups are upper body, trousers, dress and shoes." in part


def test_a_run_without_photographs_has_no_part_on_them(pages):
    assert '<section id="photographs"' not in written(pages["en"])
