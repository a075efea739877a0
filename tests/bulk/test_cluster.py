"""A cluster of Ray: the rows of the loop, whoever is killed in the middle."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import lookbook
from conftest import made_images
from image_files import GOLDEN
from kinds import SHAPES, squares
from lookbook.bulk import cluster, parts
from lookbook.bulk.cluster import Cluster
from lookbook.bulk.parts import FilePart
from lookbook.bulk.prediction import BulkPrediction
from lookbook.bulk.unfinished import Unfinished
from lookbook.errors import InputError, LookbookError
from lookbook.estimator import LookbookClassifier
from lookbook.inference.prediction import row_of
from test_docs import blocks


@pytest.fixture(scope="module")
def ray():
    """Ray on two cores, the fewest with which all that the pages show must end; nothing stays."""
    ray = pytest.importorskip("ray")
    folder = mkdtemp(prefix="ray-", dir="/tmp")  # names of its sockets must be short
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # it would keep a token in the user's home
        before = signal.getsignal(signal.SIGTERM)
        ray.init("local", num_cpus=2, object_store_memory=2 * 10**8, _temp_dir=folder, **options)
        signal.signal(signal.SIGTERM, before)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def album(tmp_path):
    """A file of every kind that is read, two hundred plain ones, and one that cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for kind, (name, save, _, _) in GOLDEN.items():
        save(folder / f"{kind}{Path(name).suffix}")
    for number, image in enumerate(made_images(200, seed=5)[0]):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def loop(run, folder):
    """Return the rows of the loop."""
    return [row_of(each) for each in lookbook.Predictor(run).predict_each(str(folder))]


def rows_in(folder):
    table = parquet.read_table(folder).sort_by("file")
    return [tuple(row.values()) for row in table.to_pylist()]


# ---- Ray Data, and Dask ----


@contextmanager
def at_most(seconds):
    """Raise where a block takes longer: what waits for a core that nobody frees waits for ever."""

    def end(_number, _frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_the_code_of_the_page_gives_the_rows_of_the_loop(run, album, tmp_path, monkeypatch):
    shutil.copytree(run.folder, tmp_path / "runs" / "mine-standard-1")
    monkeypatch.chdir(tmp_path)
    on_ray, on_dask = blocks("docs/scale.md", "python")
    with at_most(120):
        exec(compile(on_ray, "scale.md", "exec"), {})
    expected = loop(run, album)
    assert rows_in("rows") == sorted(expected)
    exec(compile(on_dask, "scale.md", "exec"), {})
    assert rows_in("rows.parquet") == expected


@pytest.mark.slow
def test_pixels_that_ray_decodes_and_a_process_that_is_killed(ray, run, tmp_path):
    """As the page says: `read_images` of plain files. A process is killed in the middle."""
    folder, pids = tmp_path / "plain", tmp_path / "pids"
    folder.mkdir()
    pids.mkdir()
    for number, image in enumerate(made_images(240, seed=6)[0]):
        colour = np.dstack([image, image // 2, 255 - image])
        shown = Image.fromarray([image, colour][number % 2]).resize((30 + number % 3, 40))
        shown.save(folder / f"{number:03}.{'png' if number % 3 else 'jpg'}")

    class Slow(lookbook.Predictor):
        def __call__(self, batch):
            (pids / str(os.getpid())).touch()
            time.sleep(0.3)
            return super().__call__(batch)

    def kill_one():
        while len(found := [*pids.iterdir()]) < 2:
            time.sleep(0.01)
        os.kill(int(found[0].name), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    images = ray.data.read_images(str(folder), include_paths=True, override_num_blocks=12)
    model = lookbook.Predictor(run).model
    # two processes on one core: the other one reads
    options = {"fn_constructor_args": [model], "concurrency": 2, "num_cpus": 0.5, "batch_size": 16}
    images.map_batches(Slow, **options).write_parquet(str(tmp_path / "rows"))
    killer.join()
    assert len([*pids.iterdir()]) > 2
    assert rows_in(tmp_path / "rows") == sorted(loop(run, folder))


# ---- parts, on a cluster ----


@pytest.fixture
def array(tmp_path):
    np.savez(tmp_path / "옷.npz", images=made_images(40_000, seed=7)[0])
    return tmp_path / "옷.npz"


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "FILES", 70)
    monkeypatch.setattr(parts, "ARRAY_IMAGES", 8_000)


def busy_processes():
    """Return the processes below this one that answer a part."""
    listed = subprocess.run(
        ["ps", "-wwaxo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    found = [line.split(None, 2) for line in listed.stdout.splitlines()]
    ours = {str(os.getpid())}
    for _ in range(4):
        ours |= {pid for pid, parent, _ in found if parent in ours}
    return [int(pid) for pid, _, title in found if pid in ours and title.startswith("ray::_answer")]


@pytest.mark.slow
@pytest.mark.usefixtures("ray", "small_parts")
def test_the_table_is_that_of_processes_though_some_are_killed_in_the_middle(
    run, album, array, tmp_path
):
    killed, told = [], []

    def hear(done, n):
        told.append((done, n))
        if len(killed) < 2:
            for pid in busy_processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    inputs, n = [album, array, album / "003.png"], 201 + len(GOLDEN) + 40_000 + 1
    expected, out = tmp_path / "expected.csv", tmp_path / "rows.csv"
    BulkPrediction(run, inputs, expected).run(2)
    summary = BulkPrediction(run, inputs, out).run(2, hear, Cluster)
    assert len(killed) >= 2
    assert out.read_bytes() == expected.read_bytes()
    assert (summary.images, summary.n_failed, told[-1]) == (n, 1, (n, n))
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".unfinished")]


@pytest.mark.slow
@pytest.mark.usefixtures("ray", "small_parts")
def test_what_is_done_stays_for_any_engine(run, array, tmp_path):
    def stop(done, _n):
        if done:
            raise KeyboardInterrupt

    expected, out = tmp_path / "expected.parquet", tmp_path / "rows.parquet"
    BulkPrediction(run, [array], expected).run(1)
    work = BulkPrediction(run, [array], out)
    with pytest.raises(KeyboardInterrupt):
        work.run(2, stop, Cluster)
    assert 0 < work.done < len(work)
    with pytest.warns(lookbook.LookbookWarning, match="going on: "):
        BulkPrediction(run, [array], out).run(1, engine=Cluster)
    assert parquet.read_table(out).equals(parquet.read_table(expected))


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_every_kind_of_images_gives_the_rows_of_the_loop(tmp_path):
    for number, shape in enumerate(SHAPES):
        images, labels = squares(shape, 200)
        model = LookbookClassifier(epochs=1, random_state=0).fit(images, labels).model_
        folder = tmp_path / str(number)
        folder.mkdir()
        for i, image in enumerate(images[:20]):
            Image.fromarray(255 - image if i % 3 else image).save(folder / f"{i:03}.png")
        np.savez(tmp_path / f"{number}.npz", images=images)
        inputs = [folder, tmp_path / f"{number}.npz"]
        for name, engine in (("ray", {"engine": Cluster}), ("local", {})):
            BulkPrediction(model, inputs, tmp_path / f"{name}.csv").run(2, **engine)
        assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_a_part_that_ends_its_processes_and_other_versions_end_the_work(
    run, album, tmp_path, monkeypatch
):
    class Deadly(lookbook.Predictor):
        def on_one_core(self):
            os.abort()

    work = BulkPrediction(run, [album], tmp_path / "rows.csv")
    monkeypatch.setattr(work, "_predictor", Deadly(run))
    with pytest.raises(LookbookError, match=r"^the images from .* ended 3 processes"):
        work.run(1, engine=Cluster)
    versions = cluster.row_versions()
    monkeypatch.setattr(cluster, "row_versions", lambda: versions | {"onnxruntime": "1.0"})
    with pytest.raises(LookbookError, match=r"has .*, this one has .*onnxruntime 1\.0.*; install"):
        BulkPrediction(run, [album], tmp_path / "other.csv").run(1, engine=Cluster)


def test_files_that_a_machine_does_not_see_are_told(run, tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.png" for name in ("here", "there", "nowhere", "broken")]
    Image.fromarray(made_images(1, seed=0)[0][0]).save(paths[0])
    paths[3].write_bytes(b"no image")
    part = FilePart(tuple(map(str, paths)))
    monkeypatch.setattr(cluster, "_open", lambda _job: lookbook.Predictor(run).on_one_core())
    answer = cluster._answer([None], part)
    assert answer.unseen == [1, 2]
    shutil.copy(paths[0], paths[1])  # as if it lay on this machine alone
    work = object.__new__(Cluster)
    work._parts, work._unfinished = {0: part}, Unfinished(tmp_path / "rows.csv", "key")
    work._unfinished.folder.mkdir()
    assert work._write(0, answer).n_failed == 3
    text = next(work._unfinished.folder.glob("*.csv")).read_text("utf-8")
    assert text.count(f"there.png is not on {socket.gethostname()}, a machine of the cluster") == 1
    assert text.count("no image file") == 1
    assert text.count("is not an image that can be read") == 1


# ---- the cluster itself ----


def test_an_address_where_no_cluster_answers_is_told_in_seconds():
    for address in ("nonsense", "host", ":6379", "127.0.0.1:port", "127.0.0.1:²"):
        with pytest.raises(InputError, match=r"is no `address` of a cluster; expected HOST:PORT"):
            cluster._check(address)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        start = time.monotonic()
        with pytest.raises(LookbookError, match=r"answers at .* \(Connection refused"):
            cluster._check(f"127.0.0.1:{taken.getsockname()[1]}")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(LookbookError, match=r"\(another program listens there\); start"):
            cluster._check(f"127.0.0.1:{server.server_port}")
        server.shutdown()
    for address in ("127.0.0.1:99999", "no-such-host.invalid:6379"):
        with pytest.raises(LookbookError, match="no Ray cluster answers at"):
            cluster._check(address)
    assert time.monotonic() - start < 20


def test_without_ray_it_is_said_what_to_install(run, album, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"install it: pip install 'lookbook\[ray\]'"):
        BulkPrediction(run, [album], tmp_path / "rows.csv").run(1, engine=Cluster)
    assert [path.name for path in tmp_path.iterdir()] == [album.name]


@pytest.mark.slow
def test_the_command_says_nothing_of_ray_and_leaves_nothing_after_ctrl_c(run, array, tmp_path):
    expected, out = tmp_path / "expected.csv", tmp_path / "rows.csv"
    BulkPrediction(run, [array], expected).run(2)
    command = [sys.executable, "-m", "lookbook", "predict", run.folder, array, "--out", out]
    command += ["--engine", "ray", "--processes", "2"]
    quiet = os.environ | {"RAY_AUTH_MODE": "disabled", "HOME": str(tmp_path)}
    options = {"env": quiet, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **options) as stopped:
        while not [*tmp_path.glob("rows.csv.unfinished/*-0*.json")]:
            assert stopped.poll() is None, stopped.stderr.read()
            time.sleep(0.01)
        (folder,) = folders_of(stopped.pid)
        os.killpg(stopped.pid, signal.SIGINT)
        _, told = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert re.search(r"of 40,000 images are done and kept in .*; the same command goes on", told)
    assert "ray" not in told.replace(str(tmp_path), "").lower()
    assert not folder.exists()
    again = subprocess.run(command, check=True, **options)
    first, *progress = again.stderr.splitlines()
    assert re.fullmatch("note: going on: .* of 40,000 images are done", first)
    assert all(re.match(r"[\d,]+/40,000 images", line) for line in progress)
    assert out.read_bytes() == expected.read_bytes()
    assert not (tmp_path / ".ray").exists()


def folders_of(pid):
    """Return the folders of the Ray that a process has started: its socket lies there."""
    command = ["ps", "-wwaxo", "ppid=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in listed.splitlines() if line.split(None, 1)[0] == str(pid)]
    return {Path(found) for line in lines for found in re.findall(r"/tmp/ray-\w+", line)}
