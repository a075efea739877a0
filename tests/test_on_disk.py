"""Every command on a folder whose images stay on the disk, as those of a large one do."""

from __future__ import annotations

import numpy as np
import pytest

import lookbook
from kinds import write_folder
from lookbook.cli.commands import data, evaluate, reports
from lookbook.core.arrays import is_mapped
from lookbook.data.cache import folders
from lookbook.evaluation import audit
from lookbook.recipes import QUICK, STANDARD, TRANSFER


@pytest.fixture(autouse=True)
def keeps_all(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(folders, "FEWEST", 1)
    monkeypatch.setattr(folders, "WORTH_BYTES", 1)
    monkeypatch.chdir(tmp_path)


def write(place, parts, shape):
    for part in parts:
        write_folder(place / part, shape, {"고양이": 30, "dog": 26})
    return place


@pytest.mark.filterwarnings("ignore:.* is taken as it is split")
@pytest.mark.parametrize("parts", [("",), ("train", "validation", "test")])
@pytest.mark.parametrize(
    ("recipe", "shape"),
    [(STANDARD, (24, 18, 3)), (QUICK, (16, 16)), (TRANSFER, (48, 40, 3))],
    ids=lambda given: getattr(given, "name", str(given)),
)
def test_all_commands_take_a_folder_that_stays_on_the_disk(tmp_path, parts, recipe, shape):
    place = write(tmp_path / "mine", parts, shape)
    assert is_mapped(lookbook.load(place).images)
    data.look(str(place))
    run = lookbook.train(str(place), recipe, epochs=2, out="run", size=shape[:2])
    found = lookbook.evaluate(run)
    assert found.accuracy == lookbook.evaluate(run).accuracy
    evaluate.predict("run", ["test:0", str(place)])
    reports.report("run", out=tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 100_000
    reports.figures("run")
    lookbook.export(run, to="folder")


def test_copies_are_found_on_the_disk_as_in_memory(tmp_path):
    place = write(tmp_path / "mine", ("train", "test"), (24, 18, 3))
    for name in ("000.png", "001.png"):
        target = place / "test" / "dog" / name
        target.write_bytes((place / "train" / "dog" / name).read_bytes())
    training, test = (lookbook.load(place, part) for part in ("train", "test"))
    assert is_mapped(training.images)
    assert is_mapped(test.images)
    on_disk = audit.audit(training, test, None)
    held = [audit.replace(part, images=np.array(part.images)) for part in (training, test)]
    in_memory = audit.audit(*held, None)
    assert len(on_disk.exact) >= 2
    for one, other in zip(on_disk.to_arrays().items(), in_memory.to_arrays().items(), strict=True):
        np.testing.assert_array_equal(one[1], other[1], err_msg=one[0])
