"""The style of figures: colours, texts and letters of both languages."""

from __future__ import annotations

import unicodedata
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lookbook import plots
from lookbook.data.dataset import Dataset
from lookbook.errors import LookbookWarning
from lookbook.inference.predictor import Prediction
from lookbook.reports import figure_style

NAMES = ("cat", "dog", "cow")


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def seen_without_green(colour):
    """What a person without green cones sees: Viénot, Brettel and Mollon (1999)."""
    linear = np.array([((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
    return np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]) @ linear


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot([0.2126, 0.7152, 0.0722], channels)


def test_colours_are_apart_for_the_colour_blind_and_readable_on_white():
    seen = [seen_without_green(c) for c in (plots.RIGHT, plots.WRONG, plots.OTHER)]
    for i in range(3):
        for j in range(i):
            assert np.abs(seen[i] - seen[j]).max() > 0.15
    for colour in (plots.RIGHT, plots.WRONG, plots.INK):
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # WCAG 2.2, text on white


def test_a_notebook_shows_a_figure_without_further_set_up():
    figure = plots.plot_confusion(np.eye(3, dtype=int), NAMES)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.skipif(not plots.korean_fonts(), reason="there is no Korean font on this machine")
@pytest.mark.filterwarnings("error:Glyph")
def test_korean_labels():
    figure = plots.plot_confusion(np.eye(3, dtype=int), ("고양이", "개", "소"), lang="ko")
    assert figure.axes[0].get_xlabel() == "예측한 클래스"
    figure._repr_png_()  # a missing glyph would be an error


@pytest.fixture
def without_korean_font(monkeypatch):
    monkeypatch.setattr(figure_style, "korean_fonts", lambda: ())
    figure_style.note_missing_font.cache_clear()
    yield
    figure_style.note_missing_font.cache_clear()


@pytest.mark.usefixtures("without_korean_font")
def test_without_a_korean_font_labels_are_english_and_it_says_so():
    with pytest.warns(LookbookWarning, match="no font for Korean on this machine"):
        figure = plots.plot_confusion(np.eye(3, dtype=int), NAMES, lang="ko")
    assert figure.axes[0].get_xlabel() == "predicted class"


@pytest.mark.slow
@pytest.mark.usefixtures("without_korean_font")
def test_without_a_korean_font_korean_classes_are_numbered_and_one_note_says_so():
    classes = ("고양이", "dog", "소")
    images = np.zeros((3, 8, 8), np.uint8)
    dataset = Dataset(images, np.arange(3), classes)
    one = Prediction("사진.png", images[0], np.float32([0.7, 0.2, 0.1]), classes, truth=2)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        figures = [
            plots.plot_balance(dataset),
            plots.plot_pictures(dataset, 0),
            plots.plot_picture(images[0], "7: 고양이"),
            plots.plot_predictions([one]),
            plots.plot_confusion(np.eye(3, dtype=int), classes),
        ]
        for figure in figures:
            figure._repr_png_()
    assert [str(each.message) for each in noted] == [
        "no font for Korean on this machine: figures are labelled in English, classes that they "
        "cannot name by numbers; on Debian: apt-get install fonts-nanum"
    ]
    names = ["class 0", "dog", "class 2"]
    balance, pictures, picture, prediction, confusion = figures
    assert [tick.get_text() for tick in balance.axes[0].get_yticklabels()] == names
    assert pictures.axes[2].get_xlabel() == "class 2\n2"
    assert picture.axes[0].get_title() == "7: ???"
    assert prediction.axes[0].get_title() == "??.png"
    assert prediction.axes[0].get_xlabel() == "class 0 70 %\n(true: class 2)"
    assert [tick.get_text() for tick in confusion.axes[0].get_xticklabels()] == names


@pytest.mark.skipif(not plots.korean_fonts(), reason="there is no Korean font on this machine")
def test_syllables_that_come_in_parts_are_drawn_whole():
    apart = unicodedata.normalize("NFD", "고양이")
    figure = plots.plot_confusion(np.eye(2, dtype=int), (apart, "dog"))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["고양이", "dog"]


def test_both_languages_have_the_same_texts():
    assert plots.TEXTS["en"].keys() == plots.TEXTS["ko"].keys()
    for key, text in plots.TEXTS["en"].items():
        assert text.count("{") == plots.TEXTS["ko"][key].count("{")


def test_names_are_no_formulas_and_have_no_line_breaks():
    figure = plots.plot_confusion(np.eye(3, dtype=int), ("$x_", "$\\frac$", "two\nlines"))
    assert labels_of(figure.axes[0].xaxis) == ["$x_", "$\\frac$", "two lines"]
    figure._repr_png_()  # a formula that is none would be an error
