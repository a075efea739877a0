"""The context of sections: what they say of one image, and of many."""

from __future__ import annotations

import re

import numpy as np

import lookbook
from browser import opened
from lookbook.core.templates import say, texts


def test_one_is_written_as_one(browser, tmp_path):
    image, label = np.zeros((1, 8, 8), np.uint8), np.array([0])
    right = lookbook.report(image, label, np.eye(2)[[0]], out=tmp_path / "right.html")
    wrong = lookbook.report(image, label, np.eye(2)[[1]], out=tmp_path / "wrong.html")
    for path, sentences in (
        (right, ["Right for the 1 test picture.", "1 test picture: rows true"]),
        (wrong, ["Wrong for the 1 test picture.", "The 1 mistake whose", "· 1 picture"]),
    ):
        with opened(browser, path) as shown:
            said = re.sub(r"\s+", " ", shown.inner_text("main"))
            assert shown.inner_text("#found") == "1 of 1 picture"
        for sentence in [*sentences, "test part: 1 picture of 8×8 pixels"]:
            assert sentence in said
        assert re.findall(r"(?<![\w.,])1 (?:test )?(?:pictures|mistakes)", said) == []
    english = texts("reports/report", "en")
    for n, expected in (
        ("1", "1 label of the training part was corrected by a person before."),
        ("21", "21 labels of the training part were corrected by a person before."),
    ):
        assert say(english["verdict.corrected"], n=n) == expected
    machine = {"device": "a", "versions": "b", "seed": 0, "started": "c"}
    assert "a, 1 thread; b" in say(english["verdict.conditions"], threads=1, **machine)
    assert "a, 2 threads; b" in say(english["verdict.conditions"], threads=2, **machine)
