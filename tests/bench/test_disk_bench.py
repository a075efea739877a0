"""The benchmark of images on the disk: what it writes, in which turns, what it asks for."""

import json

import numpy as np
import pytest

from bench import disk
from bench.harness.record import Record


def _measurement(where, round_, seconds, gigabytes):
    n = 1_000_000 if where == "disk" else 60_000
    return {
        "where": where, "n": n, "round": round_, "fit_seconds": seconds, "seen": n,
        "data_bytes": n * 12_288, "anonymous_bytes": gigabytes * 1e9, "device": "cpu",
        "threads": 2, "versions": {"python": "3.11.7", "source_sha256": "ab"},
    }  # fmt: skip


@pytest.fixture
def results():
    return {
        "name": "disk",
        "trial": False,
        "conditions": {
            "started": "now", "data": "images", "commit": "c", "clean": True,
            "load_average": (0, 0, 0),
            "machine": {"processor": "P", "cores": 2, "system": "Linux"},
        },
        "measurements": [
            _measurement("memory", 0, 20.0, 1.2),
            _measurement("disk", 0, 390.0, 0.6),
            _measurement("memory", 1, 22.0, 1.2),
        ],
        "failures": [],
    }  # fmt: skip


def test_what_is_asked_for_is_of_the_images_on_the_disk(results):
    assert [right for _, _, right in disk.goals(results)] == [True, True]
    assert disk.goals(results)[1][1] == "1.11"  # 0.39 ms beside 0.35
    results["measurements"][1] = _measurement("disk", 0, 410.0, 1.6)
    assert [right for _, _, right in disk.goals(results)] == [False, False]
    results["measurements"] = results["measurements"][:1]
    assert disk.goals(results) == []


def test_the_page_has_a_row_for_each_epoch(results):
    page = disk.to_markdown(results)
    assert "| an image: at most 1.15 times as long | 1.11 | yes |" in page
    assert "| in memory | 60,000 | 0.74 GB | 20.0 | 0.333 | 1.20 GB |" in page
    assert "| on the disk | 1,000,000 | 12.29 GB | 390.0 | 0.390 | 0.60 GB |" in page
    assert "- lookbook: cpu, 2 threads; python 3.11.7\n" in page


def test_images_are_those_that_there_are_in_colours_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "BLOCK", 4)
    grey = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    path = tmp_path / "images.raw"
    disk.write_images(path, 10, grey)
    images = np.fromfile(path, np.uint8).reshape(10, 8, 8, 3)
    tints = (
        images.reshape(10, -1, 3).max(axis=1)
        / grey.reshape(3, -1).max(axis=1)[np.arange(10) % 3, None]
    )
    assert (tints > 0.35).all()
    assert (tints < 1).all()
    for image, tint, one in zip(images, tints, grey[np.arange(10) % 3], strict=True):
        np.testing.assert_allclose(image, one[..., None] * tint, atol=2)
    assert len({image.tobytes() for image in images}) == 10
    before = path.stat().st_mtime_ns
    disk.write_images(path, 10, grey)
    assert path.stat().st_mtime_ns == before
    disk.write_images(path, 11, grey)  # what was cut short is written again
    assert path.stat().st_size == 11 * 8 * 8 * 3


def test_what_is_measured_is_kept_and_gone_on_from(tmp_path, monkeypatch):
    asked = []

    def ask(record, which, command, _required):
        asked.append((which["where"], "--mapped" in command))
        record.measurements.append(_measurement(which["where"], which["round"], 21, 1))
        if len(asked) == 2:
            record.stop()
        return record.measurements[-1]

    monkeypatch.setattr(Record, "ask", ask)
    monkeypatch.setattr(disk, "export", lambda *_: (tmp_path / "grey.raw", tmp_path / "labels.npy"))
    np.zeros((2, disk.SIDE, disk.SIDE), np.uint8).tofile(tmp_path / "grey.raw")
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    arguments = ["--images", "7", "--out", str(out), "--scratch", str(scratch)]
    assert disk.main(arguments) == 1
    assert [path.name for path in scratch.iterdir()] == ["images-64-7.raw"]
    assert disk.main(arguments) == 0
    assert asked == [("memory", False), ("disk", True), ("memory", False)]
    assert not list(scratch.iterdir())  # all is measured
    assert len(json.loads((out / "disk-part.json").read_text())["measurements"]) == 3
