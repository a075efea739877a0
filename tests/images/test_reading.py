"""Image files to one array: alone or with workers, the same array, notes and errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinds import SHAPES, squares
from lookbook.errors import InputError
from lookbook.images import pool, reading
from lookbook.images.batch import read_batch
from lookbook.images.preprocessing import load_image
from lookbook.images.reading import read_images

#: the next batch, whoever reads it
NEXT = pool.Pool._next


def write(folder: Path, images: list[np.ndarray]) -> list[Path]:
    paths = [folder / f"{number:03}.png" for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_one_size_keep_it(tmp_path, shape):
    images, _ = squares(shape, 7)
    paths = write(tmp_path, list(images))
    found = read_images(paths)
    np.testing.assert_array_equal(found.images, images)
    assert (found.kept, found.damaged, found.dim) == ([*range(7)], [], [])


@pytest.mark.parametrize("odd", [0, 3, 6])
@pytest.mark.parametrize("size", [(9, 30), (300, 20), (7, 12)])
def test_images_of_several_sizes_come_in_the_usual_one(tmp_path, odd, size):
    images = list(squares((20, 11, 3), 7)[0])
    images[odd] = np.resize(images[odd], (*size, 3))
    paths = write(tmp_path, images)
    expected = [load_image(path, (64, 64), colour=True) for path in paths]
    np.testing.assert_array_equal(read_images(paths).images, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [None, (28, 28), (10, 17)])
def test_workers_read_what_one_process_reads(tmp_path, shape, size, request):
    images = list(squares(shape, 30)[0])
    images[20] = np.resize(images[20], (40, 12, *shape[2:]))
    images[25] = np.full((20, 30), 700, np.uint16)  # 16 bits, and nearly black
    paths = write(tmp_path, images)
    paths[11].write_bytes(b"no image")
    paths[28].write_bytes(paths[28].read_bytes()[:-20])
    one = read_images(paths, size)
    started = request.getfixturevalue("workers")
    many = read_images(paths, size)
    assert len(started) == 2
    np.testing.assert_array_equal(many.images, one.images)
    assert many[1:] == one[1:]
    assert one.damaged == [paths[11], paths[28]]
    assert len(one.dim) == 1
    assert str(paths[25]) in one.dim[0]


def test_grey_stays_grey_with_workers(tmp_path, workers):
    images, _ = squares((12, 12), 9)
    paths = write(tmp_path, list(images))
    np.testing.assert_array_equal(read_images(paths).images, images)
    assert read_images(paths, channels=3).images.shape == (9, 12, 12, 3)
    assert len(workers) == 4


@pytest.mark.usefixtures("workers")
def test_images_are_brought_to_the_usual_size_once(tmp_path, monkeypatch):
    """Each image that came late brought all that were read so far, again and again."""
    images = list(squares((12, 12), 300)[0])
    images[1] = np.zeros((20, 12), np.uint8)
    counted = []
    resize = reading.to_usual_size
    monkeypatch.setattr(
        reading, "to_usual_size", lambda some: counted.append(len(some)) or resize(some)
    )
    reading_ = reading._Reading(write(tmp_path, images), None, colour=False)
    for first in (2, 100, 200, 0, *range(4, 100, 2)):
        request = reading_._request(range(first, first + 2))._replace(size=None)
        reading_._keep(first, read_batch(request))
    assert sum(counted) <= len(images)


@pytest.mark.usefixtures("workers")
def test_what_takes_much_memory_is_read_at_last(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "MAX_MEMORY", 3 * 50_000)
    monkeypatch.setattr(pool, "MIN_SHARE", 0)
    images = [*squares((20, 20, 3), 8)[0]]
    images[6] = np.zeros((200, 200, 3), np.uint8)  # 160,000 bytes, of 50,000 for each process
    paths = write(tmp_path, images)
    found = read_images(paths, (20, 20))
    assert (found.kept, found.damaged) == ([*range(8)], [])


@pytest.mark.usefixtures("workers")
def test_files_of_a_killed_worker_are_read_by_others(tmp_path, monkeypatch):
    images, _ = squares((12, 12), 40)
    paths = write(tmp_path, list(images))
    read = pool.Worker.read

    def killed(self, request):
        self.kill()
        return read(self, request)

    monkeypatch.setattr(pool.Worker, "read", killed)
    monkeypatch.setattr(pool.Pool, "_next", NEXT)
    np.testing.assert_array_equal(read_images(paths).images, images)


def test_no_worker_outlives_ctrl_c(tmp_path, workers, monkeypatch):
    paths = write(tmp_path, list(squares((12, 12), 40)[0]))
    keep = reading._Reading._keep

    def interrupted(self, first, batch):
        keep(self, first, batch)
        if workers:
            raise KeyboardInterrupt

    monkeypatch.setattr(reading._Reading, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_images(paths)
    assert [worker._process.returncode for worker in workers] == [-9, -9]


def test_a_system_without_processes_to_give_reads_alone(tmp_path, workers, monkeypatch):
    def refuse(_):
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(pool.Worker, "__init__", refuse)
    images, _ = squares((12, 12), 9)
    np.testing.assert_array_equal(read_images(write(tmp_path, list(images))).images, images)
    assert workers == []


def test_a_program_that_is_no_interpreter_reads_alone(tmp_path, workers, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    images, _ = squares((12, 12), 9)
    np.testing.assert_array_equal(read_images(write(tmp_path, list(images))).images, images)
    assert workers == []


@pytest.mark.usefixtures("workers")
def test_files_that_cannot_be_read_are_named(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    with pytest.raises(InputError, match=r"none of the 5 image files can be read .*0\.png"):
        read_images(paths)


OPENED = """
import sys
from pathlib import Path
from lookbook.images.reading import read_images
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
paths = sorted(Path(sys.argv[1]).iterdir())
read_images(paths)
print([opened.count(str(path)) for path in paths])
"""


def test_each_file_is_opened_once(tmp_path):
    for number, ending in enumerate(("png", "jpg", "tif", "webp", "ppm", "bmp", "gif")):
        Image.new("L", (30 + number, 20)).save(tmp_path / f"one.{ending}")
    program = [sys.executable, "-c", OPENED, tmp_path]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == "[1, 1, 1, 1, 1, 1, 1]\n"
