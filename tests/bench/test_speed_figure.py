"""The figure of speed: every entry with its spread, and names that cover nothing."""

import numpy as np
import pytest
from matplotlib.text import Text

from bench.speed_figure import plot
from bench.speed_summary import REFERENCE
from speed_results import ACCURACIES, FITS, made_up_results, measurement


@pytest.fixture
def results():
    return made_up_results()


def test_figure_shows_each_entry_with_its_spread_and_marks_the_reference(results):
    (axes,) = plot(results).axes
    assert axes.get_xscale() == "log"
    assert {text.get_text() for text in axes.texts} == {
        "keras-tensorflow",
        "tutorial",
        "T = 44.0 s",
    }
    for drawn, name in zip(axes.containers, FITS, strict=True):
        fits, accuracies = FITS[name], ACCURACIES[name]
        dot, _, (across, upright) = drawn.lines
        assert dot.get_xydata()[0] == pytest.approx((np.median(fits), np.mean(accuracies)))
        (ends,) = across.get_segments()
        assert ends[:, 0] == pytest.approx((min(fits), max(fits)))
        (ends,) = upright.get_segments()
        assert ends[:, 1] == pytest.approx((min(accuracies), max(accuracies)))
    looks = {(drawn.lines[0].get_color(), drawn.lines[0].get_marker()) for drawn in axes.containers}
    assert len(looks) == 2
    assert axes.get_xlim() == (5, 100)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_names_in_the_figure_cover_neither_each_other_nor_a_dot(results, seed):
    rng = np.random.default_rng(seed)
    # a crowd at the bottom, as the tutorial's network gives in every library
    fits = [44.0, 9, 10.5, 12, 22, *rng.uniform(1, 300, 7)]
    accuracies = [0.875, *rng.normal(0.877, 0.002, 4), *rng.uniform(0.88, 0.94, 7)]
    names = [REFERENCE, *(f"lookbook-entry-{i}" for i in range(11))]
    results["entries"] = [{"name": n, "about": "", "ours": i > 3} for i, n in enumerate(names)]
    results["measurements"] = [
        measurement(name, 0, fit, accuracy)
        for name, fit, accuracy in zip(names, fits, accuracies, strict=True)
    ]
    figure = plot(results)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    texts = [text for text in axes.texts if not text.get_text().startswith("T = ")]
    boxes = [Text.get_window_extent(text) for text in texts]
    assert len(boxes) == 12
    dots = axes.transData.transform(np.stack([fits, accuracies], axis=1))
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(*dot) for dot in dots)
        assert axes.bbox.contains(box.x0, box.y0)
        assert axes.bbox.contains(box.x1, box.y1)
