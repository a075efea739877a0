"""A few image files to one array, and requests for such on a stream."""

from __future__ import annotations

import io
import pickle

import numpy as np
from PIL import Image

from lookbook.images.batch import Request, answer_all, read_batch


def test_notes_and_places_are_those_of_the_files(tmp_path):
    Image.fromarray(np.full((20, 30), 700, np.uint16)).save(tmp_path / "dark.png")
    Image.fromarray(np.full((20, 30), 70, np.uint8)).save(tmp_path / "grey.png")
    paths = [str(tmp_path / name) for name in ("none.png", "grey.png", "dark.png")]
    batch = read_batch(Request(paths, None, colour=False))
    assert (batch.n, batch.kept, [*batch.dim]) == (3, [1, 2], [2])
    assert batch.images.shape == (2, 20, 30)


def test_requests_are_answered_until_there_are_no_more(tmp_path):
    Image.fromarray(np.full((20, 30), 70, np.uint8)).save(tmp_path / "grey.png")
    request = Request([str(tmp_path / "grey.png")], (10, 10), colour=True)
    requests, answers = io.BytesIO(2 * pickle.dumps(request)), io.BytesIO()
    answer_all(requests, answers)
    answers.seek(0)
    for _ in range(2):
        np.testing.assert_array_equal(pickle.load(answers).images, np.full((1, 10, 10, 3), 70))
    assert answers.read() == b""
