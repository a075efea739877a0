"""The sections on the model, of every recipe and training."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_reports import written

from browser import opened
from lookbook.inference import onnx_graph
from lookbook.recipes import TRANSFER
from lookbook.reports import page, report_data, section_model
from lookbook.runs.schema import EpochRecord


@pytest.mark.slow
def test_it_says_on_how_many_images_changes_were_tried(hard_run, pages, tmp_path):
    assert "On 150 test pictures, all there are." in written(pages["en"])
    gathered = report_data.collect(hard_run)
    sampled = replace(gathered, analysis=replace(gathered.analysis, changed=100))
    out = page.write_run_report(sampled, tmp_path / "a.html")
    assert "On 100 test pictures, drawn at random." in written(out)


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


@pytest.mark.parametrize(
    ("first", "said"), [("conv", "pretrained"), ("whitening", "conv"), ("dense", "dense")]
)
def test_filters_are_said_to_be_from_where_they_are(monkeypatch, first, said):
    monkeypatch.setattr(onnx_graph, "first_filters", lambda _model: np.ones((32, 3, 3, 3)))
    context = SimpleNamespace(layers=[SimpleNamespace(kind=first)], t=lambda key, **_values: key)
    filters = section_model._filters(context, None)
    assert (filters.title, filters.read) == (
        f"network.filters_{said}",
        f"network.filters_{said}_read",
    )


def test_a_head_that_was_fitted_at_once_is_not_said_to_have_been_learning():
    context = SimpleNamespace(t=lambda key, **_values: key, percent=lambda *_given: "")
    for recipe, told in ((TRANSFER, "note"), (TRANSFER.suited_to(100), "head")):
        run = SimpleNamespace(recipe=recipe, history=[EpochRecord(1, 9, 9, 1, 1, 1, 1, 1)])
        assert section_model._note(context, run).startswith(f"training.{told} training.validation")
