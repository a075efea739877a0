"""Batches of image files: in order, few ahead, whoever reads them; and what ends them."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookbook.images import pool
from lookbook.images.batch import Request
from lookbook.images.pool import Pool
from lookbook.images.specification import Preprocessing

NEXT = Pool._next


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{number:03}.png") for number in range(200)]
    for number, path in enumerate(paths):
        Image.new("L", (12, 9), number).save(path)
    return paths


def pool_of(files: list[str], ahead: int = 1000, **asked) -> Pool:
    def request(places):
        return Request(files[places.start : places.stop], (9, 12), colour=False, **asked)

    return Pool(len(files), request, ahead)


@pytest.mark.parametrize("ahead", [1, 5, 70, 1000])
@pytest.mark.parametrize("parallel", [False, True])
def test_batches_come_in_the_order_of_the_files(files, ahead, parallel, request):
    started = request.getfixturevalue("workers") if parallel else []
    shades, places = [], []
    for first, batch in pool_of(files, ahead).batches():
        places += range(first, first + batch.n)
        shades += batch.images[:, 0, 0].tolist()
    assert places == shades == [*range(200)]
    assert len(started) == 2 * parallel


def test_no_more_than_so_many_are_read_before_those_are_taken_that_come_first(files, workers):
    wanted = []

    def request(places):
        wanted.append(places.stop)
        return Request(files[places.start : places.stop], (9, 12), colour=False)

    with closing(Pool(len(files), request, 20).batches()) as batches:
        for first, _ in batches:
            until = time.monotonic() + (0.3 if first == 60 else 0)
            while time.monotonic() < until:
                time.sleep(0.01)
            assert max(wanted) <= first + 20
    assert len(workers) == 2


def test_who_takes_no_more_batches_leaves_no_worker_behind(files, workers):
    before = threading.active_count()
    with closing(pool_of(files, 10).batches()) as batches:
        for first, _ in batches:
            if first > 20:
                break
    assert [worker._process.returncode for worker in workers] == [-9, -9]
    assert threading.active_count() == before


@pytest.mark.usefixtures("workers")
def test_what_cannot_be_read_says_why_and_what_takes_a_share_too_much_is_read_alone(
    files, monkeypatch
):
    monkeypatch.setattr(pool, "MAX_MEMORY", 3 * 50_000)
    monkeypatch.setattr(pool, "MIN_SHARE", 0)
    Image.new("RGB", (200, 200), (150, 150, 150)).save(files[150])  # 160,000 bytes
    Path(files[160]).write_bytes(b"no image")
    found = dict(pool_of(files).batches())
    shades = {
        first + place: image[0, 0]
        for first, batch in found.items()
        for place, image in zip(batch.kept, batch.images, strict=True)
    }
    errors = {f + k: error for f, b in found.items() for k, error in b.errors.items()}
    assert shades == {number: number for number in range(200) if number != 160}
    assert errors.keys() == {160}
    assert errors[160].startswith(f"{files[160]} is not an image that can be read")


def test_files_of_a_killed_worker_are_read_here(files, workers, monkeypatch):
    read = pool.Worker.read

    def killed(self, request):
        self.kill()
        return read(self, request)

    monkeypatch.setattr(pool.Worker, "read", killed)
    monkeypatch.setattr(Pool, "_next", NEXT)
    shades = [shade for _, b in pool_of(files).batches() for shade in b.images[:, 0, 0].tolist()]
    assert (shades, len(workers)) == ([*range(200)], 2)


def test_grey_images_of_another_polarity_are_inverted_by_whoever_reads_them(files, workers):
    steps = Preprocessing.of((9, 12), "light on dark")
    found = list(pool_of(files, steps=steps).batches())
    inverted = np.concatenate([batch.inverted for _, batch in found])
    images = np.concatenate([batch.images for _, batch in found])
    assert np.flatnonzero(inverted).tolist() == [*range(192, 200)]
    assert images[199, 0, 0] == 255 - 199
    assert len(workers) == 2


def test_photographs_are_cut_out_by_whoever_reads_them(tmp_path, workers):
    for number in range(30):
        photograph = Image.new("RGB", (120, 160), "white")
        photograph.paste("navy", (30 + number, 40, 70 + number, 120))
        photograph.save(tmp_path / f"{number:02}.png")
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    steps = Preprocessing.of((28, 28), "light on dark", photographs=True)

    def request(places):
        return Request(files[places.start : places.stop], (28, 28), colour=False, steps=steps)

    found = [batch for _, batch in Pool(len(files), request, 1000).batches()]
    assert all(batch.inverted.all() for batch in found)
    assert sum(len(batch.cutouts) for batch in found) == 30
    images = np.concatenate([batch.images for batch in found])
    assert (images[:, 1:-1, 8:-8] > 0).all()
    assert len(workers) == 2
