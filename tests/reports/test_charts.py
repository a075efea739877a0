"""Charts as SVG: points, ticks and names where they belong."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lookbook.reports import charts
from lookbook.reports.charts import Axis, Line, round_ticks

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawn):
    return ET.fromstring(drawn.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))


def test_a_chart_puts_points_where_they_belong():
    line = Line("a & b", [0, 5, 10], [0.0, 0.5, 1.0], "right", [2, 2, 2])
    drawn = parsed(
        charts.chart("t", Axis("x", 0, 10), Axis("y", 0, 1), [line, Line("c", [0, 10], [1, 1])])
    )
    dots = [(float(d.get("cx")), float(d.get("cy"))) for d in drawn.iter(f"{SVG}circle")]
    assert dots[1] == pytest.approx(tuple(np.mean([dots[0], dots[2]], axis=0)), abs=0.1)
    assert dots[0][0] < dots[2][0]
    assert dots[0][1] > dots[2][1]  # up is less in SVG
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"a & b", "c", "x", "t"} <= set(texts)


def test_values_that_are_not_there_are_not_drawn():
    line = Line("", [0, 1, 2], [0.5, float("nan"), 1.0], "right", [1, 1, 1])
    drawn = parsed(charts.chart("t", Axis("x", 0, 2), Axis("y", 0, 1), [line]))
    assert len(list(drawn.iter(f"{SVG}circle"))) == 2


@pytest.mark.parametrize(
    ("least", "most"), [(0, 1), (0.86, 0.95), (0, 0.004), (3, 3), (0, 12345), (79.99999, 100)]
)
def test_ticks_are_round_and_inside(least, most):
    ticks = round_ticks(least, most)
    assert 1 <= len(ticks) <= 9
    assert all(least - 1e-9 <= tick <= most + 1e-9 for tick in ticks)
    assert all(len(f"{tick:g}") <= 6 for tick in ticks)


@pytest.mark.parametrize("narrow", [False, True])
def test_names_on_the_number_line_do_not_cover_each_other(narrow):
    points = [
        (name, "88.6 %", share, "quiet")
        for name, share in (("a", 0.886), ("bb", 0.887), ("이름", 0.888))
    ]
    points += [("this model", "88.9 %", 0.889, "right")]
    drawn = parsed(charts.number_line(points, (0.88, 0.90), narrow=narrow))
    assert drawn.get("class") == ("narrow" if narrow else "wide")
    width = float(drawn.get("viewBox").split()[2])
    boxes = []
    for text in drawn.iter(f"{SVG}text"):
        if " " in (text.text or ""):
            half = 3.3 * charts._width(text.text)
            boxes.append((float(text.get("x")) - half, float(text.get("x")) + half, text.get("y")))
    assert len(boxes) == 4
    for i, (left, right, y) in enumerate(boxes):
        assert left > 0
        assert right < width
        for other_left, other_right, other_y in boxes[:i]:
            assert y != other_y or right < other_left or left > other_right
