"""`lookbook report` and `export`: of another program's probabilities, wrong use, language."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser import opened
from conftest import lookbook
from lookbook.core.templates import texts


def test_probabilities_in_a_damaged_file_are_refused(bars, tmp_path):
    np.savez(tmp_path / "p.npz", probs=np.ones((90, 3)))
    whole = (tmp_path / "p.npz").read_bytes()
    for n in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "p.npy").write_bytes(whole[:n])
        ended = lookbook("report", "--predictions", "p.npy", "--data", bars, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("error: p.npy is no .npy or .npz file of numbers (")
        assert "); save probabilities with numpy.save, or as a table" in ended.stderr


@pytest.mark.slow
def test_an_unfinished_looking_place_is_not_overwritten(hard_run):
    ended = lookbook("report", hard_run.folder, "--out", ".", cwd=hard_run.folder)
    assert ended.returncode == 2
    assert ended.stderr == "error: . is a folder; name a file: --out report.html\n"


def test_probabilities_of_another_program_become_a_page(browser, hard_run, answers, tmp_path):
    _, probs = answers
    np.save(tmp_path / "probs.npy", probs)
    data = Path(hard_run.conditions["data"]["name"])
    ended = lookbook("report", "--predictions", "probs.npy", "--data", data, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "report  probs.html\nnext: open it in a browser\n"
    with opened(browser, tmp_path / "probs.html") as shown:
        assert shown.locator("#training, #network, #robustness").count() == 0
        assert shown.locator("main > section").count() == 8
        assert "handed to this report" in shown.inner_text("#verdict")
        assert shown.locator(".finding").count() > 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run, as in lookbook report runs/fashion-mnist-standard-1, or give both "
         "--predictions probs.npy and --data DATA"),
        (["--predictions", "p.npy"],
         "--predictions needs --data DATA, whose test part they are for"),
        (["--predictions", "p.npy", "--data", "mnist"],
         "no file p.npy; save probabilities with numpy.save, or as a table: file,CLASS,CLASS,…"),
        (["x"], "no run x; there are none yet: lookbook train"),
        (["x", "--predictions", "p.npy"],
         "--predictions goes with --data, --lang and --out alone; a run, and --corrections, need a "
         "model of this program"),
    ],
)  # fmt: skip
def test_wrong_use(tmp_path, arguments, message):
    ended = lookbook("report", *arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, f"error: {message}\n")


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_named_by_its_flag(hard_run, tmp_path):
    place = "/proc/nowhere/a.csv"
    for words in (("--out", place), ("--out", "a.html", "--corrections", place)):
        ended = lookbook("report", hard_run.folder, *words, cwd=tmp_path)
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == (
            f"error: cannot write {place}: No such file or directory; choose another place with "
            f"{words[-2]}"
        )


@pytest.mark.parametrize(
    ("asked", "locale", "expected"),
    [
        (["--lang", "ko"], "en-US", "ko"),
        (["--lang", "ko"], "ko-KR", "ko"),
        ([], "ko-KR", "ko"),
        ([], "en-US", "en"),
    ],
)
def test_a_page_to_try_opens_in_the_language_asked_for_or_the_browsers(
    browser, own_run, asked, locale, expected
):
    ended = lookbook("export", own_run.folder, "--to", "html", *asked, cwd=own_run.folder)
    assert ended.returncode == 0, ended.stderr
    with opened(browser, own_run.folder / "try.html", locale=locale) as shown:
        assert shown.locator("html").get_attribute("lang") == expected
        assert shown.locator("#clear").inner_text() == texts("exports/try", expected)["clear"]
        shown.locator("#lang").click()
        assert shown.locator("html").get_attribute("lang") == {"ko": "en", "en": "ko"}[expected]
