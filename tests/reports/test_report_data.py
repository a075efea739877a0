"""What is known of a run: found out once, kept, and made anew where it is of something else."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from made_reports import written

from conftest import imported
from conftest import lookbook as program
from lookbook.reports import page, report_data
from lookbook.runs.store import read_run

PARTS = ("train", "test")


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_the_second_report_needs_no_training_and_no_torch(hard_run):
    code, names, printed = imported("report", hard_run.folder, "--lang", "ko", cwd=hard_run.folder)
    assert code == 0
    assert "torch" not in names
    # the command speaks the page's language, too
    assert printed.splitlines()[0] == f"보고서  {hard_run.folder / 'report.ko.html'}"


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_two_processes_write_the_same_bytes(hard_run, tmp_path):
    reports = []
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.html"
        ended = program("report", hard_run.folder, "--out", out, cwd=tmp_path, PYTHONHASHSEED=seed)
        assert ended.returncode == 0, ended.stderr
        reports.append(out.read_bytes())
    assert reports[0] == reports[1]


@pytest.mark.slow
@pytest.mark.usefixtures("pages")
def test_a_damaged_or_foreign_analysis_is_made_anew(hard_run, tmp_path, monkeypatch):
    run = read_run(shutil.copytree(hard_run.folder, tmp_path / "bars-1"))
    examined = []
    real = report_data.examine_data

    def examine(*given, **options):
        examined.append(1)
        return real(*given, **options)

    monkeypatch.setattr(report_data, "examine_data", examine)
    kept = run.folder / report_data.ANALYSIS
    report_data.collect(run)
    assert examined == []
    kept.write_bytes(kept.read_bytes()[:1000])
    report_data.collect(run)
    assert examined == [1]
    monkeypatch.setattr(report_data, "FORMAT", 0)  # as another version of the program kept it
    report_data.collect(run)
    assert examined == [1, 1]


def test_a_test_part_that_changed_since_the_evaluation_is_refused(hard_run, tmp_path):
    folder = shutil.copytree(hard_run.folder, tmp_path / "run")
    path = folder / "evaluation.json"
    found = json.loads(path.read_text())
    found["conditions"]["images_sha256"] = "0" * 64
    path.write_text(json.dumps(found))
    ended = program("report", folder, cwd=tmp_path)
    assert ended.returncode == 2
    assert "changed since" in ended.stderr
    assert f"delete {path} to evaluate again" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("n", "shape"), [(4, (8, 8)), (20, (9, 14, 3))])
def test_a_handful_of_images_gives_a_report(tmp_path, n, shape):
    """Fewer than there are networks to judge them; and a class that no test image shows."""
    from lookbook.recipes import QUICK
    from lookbook.training.pipeline import train

    rng = np.random.default_rng(0)
    arrays = {f"{part}_images": rng.integers(0, 256, (n, *shape), np.uint8) for part in PARTS}
    arrays |= {"train_labels": np.arange(n) % 2, "test_labels": np.zeros(n, int)}
    np.savez(tmp_path / "few.npz", **arrays)
    run = train(str(tmp_path / "few.npz"), QUICK.with_epochs(1), out=tmp_path / "run")
    gathered = report_data.collect(run)
    assert "Class by class" in written(page.write_run_report(gathered, tmp_path / "a.html"))
