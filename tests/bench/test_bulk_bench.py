"""The benchmark of bulk prediction: its images, its rates, its memory, its page."""

import re

import numpy as np
import pytest

from bench import bulk
from bench.peers.bulk_table import _rate

OURS = {
    "name": "lookbook predict --processes 2, npz", "recipe": "quick", "images": 1_000_000,
    "seconds": 3.2, "process_seconds": 4.0, "first_rate": 300_000.4, "last_rate": 301_000.0,
    "peak_bytes": 230e6, "versions": {"python": "3"},
}  # fmt: skip
LOOP = {
    "name": "loop, batches of 64", "recipe": "quick", "images": 100_000, "seconds": 0.5,
    "process_seconds": 1.0, "peak_bytes": 100e6, "versions": {"python": "3"},
}  # fmt: skip


def test_rates_are_of_the_images_between_two_numbers():
    heard = [(0.0, 0), (1.0, 100), (2.0, 100), (3.0, 300), (5.0, 400)]
    assert _rate(heard, 100, 400) == pytest.approx(300 / 4)
    assert _rate(heard, 50, 200) == pytest.approx(150 / 2)


def test_the_page_says_what_was_measured():
    conditions = {
        "started": "now", "data": "images", "commit": "c", "clean": True, "load_average": (0, 0, 0),
        "machine": {"processor": "P", "cores": 2, "system": "Linux"},
    }  # fmt: skip
    results = {"trial": False, "failures": [], "conditions": conditions}
    page = bulk.to_markdown({**results, "measurements": [OURS, LOOP]})
    assert "| `quick` | 1,000,000 | 4.0 | 250,000 | 300,000 | 301,000 | 1.00 | 230 MB |" in page
    assert "| `quick` | 100,000 | 1.0 | 200,000 |  |  |  | 100 MB |" in page
    assert re.search("Images: images\n", page)


@pytest.mark.slow
def test_images_are_the_test_images_in_turn(tmp_path):
    from lookbook.data.formats.idx import read_idx

    paths = bulk.write_images(tmp_path, 10_003)
    images = np.load(paths["npz"])["images"]
    np.testing.assert_array_equal(read_idx(paths["IDX"]), images)
    np.testing.assert_array_equal(images[10_000:], images[:3])
