"""Figures: what they show of answers, histories and long names, and files that are not ours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lookbook import plots
from lookbook.data.dataset import Dataset
from lookbook.errors import InputError, OutputError
from lookbook.images.photographs import Cutout, cut_out
from lookbook.inference.predictor import Prediction
from made_photographs import COLOURS, made

NAMES = ("cat", "dog", "cow")


#: ending → how such a file begins
MAGIC = {
    ".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff", ".JPEG": b"\xff\xd8\xff", ".pdf": b"%PDF",
    ".svg": b"<?xml", ".svgz": b"\x1f\x8b", ".eps": b"%!PS", ".ps": b"%!PS", ".tif": b"II*\0",
    ".tiff": b"II*\0", ".webp": b"RIFF", ".gif": b"GIF8",
}  # fmt: skip


def prediction(truth, probs=(0.7, 0.2, 0.1), classes=NAMES):
    image = np.zeros((8, 8), np.uint8)
    return Prediction("test:1", image, np.float32(probs), classes, truth)


@pytest.mark.parametrize(
    ("truth", "caption", "bars"),
    [
        (0, plots.RIGHT, [plots.RIGHT, plots.OTHER, plots.OTHER]),
        (1, plots.WRONG, [plots.WRONG, plots.RIGHT, plots.OTHER]),
        (None, plots.INK, [plots.INK, plots.OTHER, plots.OTHER]),
    ],
)
def test_right_is_blue_and_wrong_is_red(truth, caption, bars):
    figure = plots.plot_predictions([prediction(truth)])
    image, chart = figure.axes
    assert image.xaxis.label.get_color() == caption
    assert [bar.get_facecolor()[:3] for bar in chart.patches] == [to_rgb(c) for c in bars]


def test_of_many_classes_the_ten_most_probable_are_shown():
    probs = np.random.default_rng(0).dirichlet(np.ones(200))
    one = prediction(3, probs, tuple(f"c{k}" for k in range(200)))
    chart = plots.plot_predictions([one]).axes[1]
    widths = [bar.get_width() for bar in chart.patches]
    np.testing.assert_allclose(widths, np.sort(np.float32(probs))[::-1][:10])


def test_history_draws_validation_only_where_there_is_one():
    entry = {"epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": None, "val_accuracy": None}
    assert [len(axes.lines) for axes in plots.plot_history([entry]).axes] == [1, 1]
    entry |= {"val_loss": 0.6, "val_accuracy": 0.7}
    assert [len(axes.lines) for axes in plots.plot_history([entry]).axes] == [2, 2]


def test_an_image_of_ones_own_is_kept_and_one_of_ours_is_redrawn(tmp_path):
    figure = plots.plot_picture(np.zeros((8, 8), np.uint8))
    own, ours = tmp_path / "own.png", tmp_path / "ours.png"
    Image.new("L", (4, 4)).save(own)
    before = own.read_bytes()
    with pytest.raises(InputError) as caught:
        plots.save(figure, own)
    assert str(caught.value) == (
        f"{own} exists and was not drawn by lookbook; choose another name or folder"
    )
    assert own.read_bytes() == before
    plots.save(figure, ours)
    plots.save(figure, ours)
    with Image.open(ours) as drawn:
        assert drawn.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_figure_that_cannot_be_written_is_told():
    with pytest.raises(OutputError, match=r"^cannot write /proc/nowhere/x\.png: "):
        plots.save(
            plots.plot_picture(np.zeros((8, 8), np.uint8)), plots.Path("/proc/nowhere/x.png")
        )


def test_balance_counts_each_class():
    dataset = Dataset(np.zeros((5, 8, 8), np.uint8), np.array([0, 0, 0, 2, 2]), NAMES)
    axes = plots.plot_balance(dataset).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [3, 0, 2]


LONG = (
    "a very long class name that nobody reads",
    "another quite long name, 53 characters long",
    "c",
)


def labels_of(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def width_of(axes):
    axes.figure.canvas.draw()
    return axes.get_window_extent().width


def test_long_names_are_cut_and_take_no_room_from_the_image_and_the_bars():
    image, chart = plots.plot_predictions([prediction(1, classes=LONG)]).axes
    assert image.get_xlabel() == "a very long cla… 70 %\n(true: another quite…)"
    assert labels_of(chart.yaxis) == ["a very long cla…", "another quite l…", "c"]
    like = ("T-shirt/top", "dog", "cow")
    for cut, usual in zip(
        (image, chart),
        plots.plot_predictions([prediction(1, classes=like)]).axes,
        strict=True,
    ):
        assert width_of(cut) == pytest.approx(width_of(usual), rel=0.03)


def test_long_names_do_not_shrink_the_matrix():
    cut, usual = (
        plots.plot_confusion(np.eye(3, dtype=int), names).axes[0]
        for names in (LONG, ("T-shirt/top", "dog", "cow"))
    )
    assert labels_of(cut.xaxis)[0] == "a very long class name…"
    assert width_of(cut) > 0.95 * width_of(usual)


@pytest.mark.parametrize(("k", "step"), [(30, 1), (47, 1), (200, 4)])
def test_of_many_classes_every_nth_is_named(k, step):
    names = tuple(f"c{i}" for i in range(k))
    matrix = plots.plot_confusion(np.eye(k, dtype=int), names).axes[0]
    dataset = Dataset(np.zeros((k, 8, 8), np.uint8), np.arange(k), names)
    balance = plots.plot_balance(dataset)
    for axis in (matrix.xaxis, matrix.yaxis, balance.axes[0].yaxis):
        assert labels_of(axis) == list(names[::step])
    assert balance.get_figheight() <= 13


def test_accuracies_of_a_history_have_the_decimals_that_tell_them_apart():
    entry = {"loss": 0.1, "val_loss": None, "val_accuracy": None}
    history = [entry | {"epoch": i, "accuracy": 0.99 + i / 2000} for i in range(1, 5)]
    axes = plots.plot_history(history).axes[1]
    axes.figure.canvas.draw()
    shown = labels_of(axes.yaxis)
    assert len(set(shown)) == len(shown)
    assert len({len(text) for text in shown}) == 1
    assert [float(t.removesuffix(" %")) for t in shown] == pytest.approx(
        list(100 * axes.get_yticks())
    )


def test_a_history_of_one_epoch_has_one_tick():
    entry = {"epoch": 1, "loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.7}
    axes = plots.plot_history([entry]).axes[0]
    assert list(axes.get_xticks()) == [1]


@pytest.mark.parametrize(
    ("doubt", "text"),
    [
        ({"unsure": True}, "not sure"),
        ({"strange": True}, "not one of these?"),
        ({"strange": True, "unsure": True}, "not one of these?"),
    ],
)
def test_doubts_stand_above_the_class(doubt, text):
    figure = plots.plot_predictions([replace(prediction(1), **doubt)])
    assert figure.axes[0].get_xlabel().splitlines()[0] == text


@pytest.mark.slow
def test_a_figure_is_of_the_format_that_its_ending_names(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DPI", 20)
    figure = plots.plot_picture(np.zeros((8, 8), np.uint8))
    for ending, magic in MAGIC.items():
        path = plots.save(figure, tmp_path / f"a{ending}")
        assert path.read_bytes().startswith(magic), ending
        if ending != ".png":  # of which we know our own
            with pytest.raises(InputError) as caught:
                plots.save(figure, path)
            assert str(caught.value) == (
                f"{path} exists and is not overwritten; choose another name or folder"
            )


@pytest.mark.parametrize("name", ["a", "a.", "a.txt", "a.html", "a.pgf", ".png", "a.png.bak"])
def test_an_ending_that_is_none_of_a_figure_is_refused(tmp_path, name):
    with pytest.raises(InputError) as caught:
        plots.check_place(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name} has no ending of a figure; expected one of {', '.join(plots.ENDINGS)}"
    )


def test_a_photograph_is_drawn_with_its_outline_beside_what_the_model_saw():
    photograph, truth = made(*COLOURS["dark on light"])
    cutout = cut_out(Image.fromarray(photograph).resize((144, 192)))
    plain = Cutout(np.full((192, 144, 3), 90, np.uint8), np.ones((192, 144), bool))
    seen, probs = np.zeros((28, 28), np.uint8), np.float32([0.2, 0.8])
    found = [
        Prediction("shirt.jpg", seen, probs, ("top", "bag"), inverted=True, cutout=each)
        for each in (cutout, plain, None)
    ]
    cells = np.reshape(plots.plot_predictions(found).axes, (3, 3))
    np.testing.assert_array_equal(cells[0, 0].images[0].get_array(), cutout.photograph)
    ends = cells[0, 0].collections[-1].get_paths()[0].get_extents()
    rows, columns = (np.flatnonzero(truth.any(axis)) for axis in (1, 0))
    expected = [2 * columns[0], 2 * rows[0], 2 * columns[-1] + 2, 2 * rows[-1] + 2]
    np.testing.assert_allclose([*ends.min, *ends.max], expected, atol=3)
    np.testing.assert_array_equal(cells[0, 1].images[0].get_array(), seen)
    assert cells[0, 1].get_xlabel() == "what the model saw"
    assert not cells[1, 0].collections
    assert "nothing stands out" in cells[1, 0].get_xlabel()
    assert not cells[2, 1].axison  # no photograph
