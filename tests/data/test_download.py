"""Fetching: each source, each way in which one fails, and a cache that is whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gzip
import hashlib
import json
import multiprocessing
import os
import pwd
import resource
import socket
import tarfile
import threading
import tracemalloc
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import lookbook
from lookbook.data import download
from lookbook.data.catalog import BUILTIN, Archive, BuiltinDataset, Digest
from lookbook.data.download import fetch, find_builtin, load_kept
from lookbook.errors import DamagedFileError, DownloadError, InputError, OutputError
from made_data import FILES, arrays_in, made_dataset

FIRST = FILES["train", "images"]


def assert_kept(kept: Path, expected: dict[str, np.ndarray]) -> None:
    """Assert that the cache holds these arrays, and that nothing else lies beside it."""
    for part in ("train", "test"):
        images, labels = load_kept(kept, part)
        np.testing.assert_array_equal(images, expected[f"{part}-images"])
        np.testing.assert_array_equal(labels, expected[f"{part}-labels"])
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
    assert {path.name for path in kept.parent.iterdir()} <= {kept.name, f".{kept.name}.lock"}


class Web:
    """A stand-in for the publishers' servers: what it answers, and what it was asked."""

    def __init__(self):
        self.files = {}
        self.asked = Counter()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked[self.path] += 1
                answer = web.files.get(self.path)
                if callable(answer):
                    answer(self)
                elif answer is None:
                    self.send_error(404)
                else:
                    send(self, answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def mirror(self, folder: Path, at: str = "/data/") -> str:
        """Serve the files of a folder; return the mirror's address."""
        self.files |= {at + path.name: path.read_bytes() for path in folder.iterdir()}
        return self.address + at


def send(handler, body: bytes, *, length: int | None = None) -> None:
    """Answer with a body, and perhaps with a length that is not its own."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    with contextlib.suppress(ConnectionError):  # the reader may have heard enough
        handler.wfile.write(body)


@pytest.fixture
def web(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    web = Web()
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture
def source(tmp_path):
    """The folder that holds the publisher's files."""
    return tmp_path / "publisher"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def dead_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


REFUSED = f"[Errno {errno.ECONNREFUSED}] {os.strerror(errno.ECONNREFUSED)}"


def all_failed(dataset: BuiltinDataset, *answers: str) -> str:
    """The whole message where no source gave the files."""
    lines = "\n".join(f"  {answer}" for answer in answers)
    return (
        f"could not get Made from any source:\n{lines}\nCheck the network (proxies: HTTPS_PROXY), "
        "or download the files of https://example.org/made by hand and run: lookbook fetch "
        f"{dataset.name} --from FOLDER"
    )


# ---- the publishers ----


def test_the_first_mirror_that_works_is_taken(web, source, cache):
    made_dataset(source)
    mirrors = (dead_address(), web.mirror(source), web.address + "/never-asked/")
    dataset = made_dataset(source, mirrors=mirrors)
    told = []
    kept = fetch(dataset, cache=cache, report=lambda *what: told.append(what))
    assert kept == cache / "made"
    assert_kept(kept, arrays_in(source))
    assert web.asked == {f"/data/{name}": 1 for name in FILES.values()}
    sizes = {name: (source / name).stat().st_size for name in FILES.values()}
    assert told == [(name, size, size) for name, size in sizes.items()]
    about = json.loads((kept / "source.json").read_text())
    assert about == {
        "dataset": "made",
        "source": mirrors[1],
        "sha256_of_content": {name: dataset.digests[name][0].value for name in FILES.values()},
    }


def test_a_second_fetch_asks_nobody(web, source, cache, monkeypatch):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    kept = fetch(dataset, cache=cache)
    monkeypatch.setattr(download, "_sources", lambda *_: pytest.fail("looked for a source"))
    assert fetch(dataset, cache=cache) == kept
    assert sum(web.asked.values()) == 4


def test_a_redirect_is_followed_and_the_hash_decides(web, source, cache):
    made_dataset(source)
    web.mirror(source)

    def redirect(handler):
        handler.send_response(302)
        handler.send_header("Location", handler.path.replace("/moved/", "/data/"))
        handler.end_headers()

    web.files |= {f"/moved/{name}": redirect for name in FILES.values()}
    dataset = made_dataset(source, mirrors=(web.address + "/moved/",))
    assert_kept(fetch(dataset, cache=cache), arrays_in(source))


def test_each_source_says_why_it_failed(web, source, cache, tmp_path):
    made_dataset(source)
    other = tmp_path / "other"
    made_dataset(other, seed=1)
    dead = dead_address()
    whole = (source / FIRST).read_bytes()
    web.mirror(source, "/cut/")
    web.files[f"/cut/{FIRST}"] = lambda handler: send(handler, whole[:100], length=len(whole))
    web.mirror(source, "/page/")
    web.files[f"/page/{FIRST}"] = b"<html>please log in</html>"
    mirrors = (
        dead,
        web.address + "/nothing/",
        web.address + "/cut/",
        web.address + "/page/",
        web.mirror(other, "/other/"),
    )
    dataset = made_dataset(source, mirrors=mirrors)
    others = gzip.decompress((other / FIRST).read_bytes())
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, cache=cache)
    assert str(caught.value) == all_failed(
        dataset,
        f"{dead}: {FIRST}: {REFUSED}",
        f"{mirrors[1]}: {FIRST}: HTTP Error 404: Not Found",
        f"{mirrors[2]}: {FIRST}: the connection broke after 100 of {len(whole)} bytes",
        f"{mirrors[3]}: {FIRST} is not an IDX file of bytes: it begins with 3c68746d, expected "
        "00000801 (labels) or 00000803 (images)",
        f"{mirrors[4]}: {FIRST} is not Made's {FIRST} (SHA-256 of its content is "
        f"{hashlib.sha256(others).hexdigest()}, expected {dataset.digests[FIRST][0].value}); "
        "fetch the files of https://example.org/made",
    )
    assert [path.name for path in cache.iterdir()] in ([], [".made.lock"])


def test_an_answer_that_is_not_http(web, source, cache):
    web.files[f"/data/{FIRST}"] = lambda handler: handler.wfile.write(b"220 ftp ready\r\n")
    dataset = made_dataset(source, mirrors=(web.address + "/data/",))
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, cache=cache)
    assert str(caught.value) == all_failed(dataset, f"{dataset.mirrors[0]}: {FIRST}: 220 ftp ready")


def test_a_server_that_falls_silent(web, source, cache, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    done = threading.Event()
    web.files[f"/data/{FIRST}"] = lambda _handler: done.wait(5)
    dataset = made_dataset(source, mirrors=(web.address + "/data/",))
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, cache=cache)
    done.set()
    assert str(caught.value) == all_failed(dataset, f"{dataset.mirrors[0]}: {FIRST}: timed out")


def test_a_file_without_end(web, source, cache, monkeypatch):
    monkeypatch.setattr(download, "LARGEST_FILE", 10**6)
    web.files[f"/data/{FIRST}"] = bytes(2 * 10**6)
    dataset = made_dataset(source, mirrors=(web.address + "/data/",))
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, cache=cache)
    assert str(caught.value) == all_failed(
        dataset, f"{dataset.mirrors[0]}: {FIRST} is larger than 1,000,000 bytes"
    )


def test_a_file_cut_at_every_tenth_is_never_kept(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    whole = (source / FIRST).read_bytes()
    for tenth in range(10):
        web.files[f"/data/{FIRST}"] = whole[: tenth * len(whole) // 10]
        with pytest.raises(DownloadError, match=FIRST):
            fetch(dataset, cache=cache)
        assert not (cache / "made").exists()
    web.files[f"/data/{FIRST}"] = whole
    assert_kept(fetch(dataset, cache=cache), arrays_in(source))


def test_a_bomb_costs_no_memory(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4) for n in (12, 9, 8))
    web.files[f"/data/{FIRST}"] = gzip.compress(head) + 200 * gzip.compress(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, cache=cache)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22
    assert str(caught.value) == all_failed(
        dataset,
        f"{dataset.mirrors[0]}: {FIRST} is damaged: its header announces 864 bytes, it holds more; "
        "fetch it again",
    )


# ---- several processes, and killed ones ----


@pytest.mark.slow
def test_eight_processes_at_once_make_one_copy(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=fetch, args=(dataset,), kwargs={"cache": cache}) for _ in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 8
    assert web.asked == {f"/data/{name}": 1 for name in FILES.values()}
    assert_kept(cache / "made", arrays_in(source))


def test_a_killed_fetch_leaves_no_broken_cache(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    half_sent, end = threading.Event(), threading.Event()

    def send_half(handler):
        whole = (source / FIRST).read_bytes()
        send(handler, whole[: len(whole) // 2], length=len(whole))
        half_sent.set()
        end.wait(30)

    web.files[f"/data/{FIRST}"] = send_half
    process = multiprocessing.get_context("spawn").Process(
        target=fetch, args=(dataset,), kwargs={"cache": cache}
    )
    process.start()
    assert half_sent.wait(30)
    process.kill()
    process.join(30)
    end.set()
    assert not (cache / "made").exists()
    assert (cache / ".fetch-made").exists()  # what it had; the next fetch clears it away
    web.mirror(source)
    assert_kept(fetch(dataset, cache=cache), arrays_in(source))


def test_the_cache_is_there_in_one_step(source, cache, monkeypatch):
    """All is written elsewhere; whoever stops the last step finds no cache, and no rest."""

    def stop(_source, target):
        assert target == cache / "made"
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch(made_dataset(source), folder=source, cache=cache)
    assert [path.name for path in cache.iterdir()] in ([], [".made.lock"])


# ---- the user's own folder ----


def test_a_folder_is_read_and_stays_as_it_is(source, cache):
    dataset = made_dataset(source)
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    kept = fetch(dataset, folder=source, cache=cache)
    assert_kept(kept, arrays_in(source))
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert json.loads((kept / "source.json").read_text())["source"] == str(source)


@pytest.mark.parametrize("ending", ["-ubyte", ".idx-ubyte"])
def test_unpacked_files_are_taken_too(source, cache, tmp_path, ending):
    """As gunzip leaves them, and with the dot that some unpackers put into their names."""
    dataset = made_dataset(source)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    for name in FILES.values():
        plain = name.removesuffix(".gz")
        plain = plain if ending == "-ubyte" else plain.replace("-idx", ".idx")
        (unpacked / plain).write_bytes(gzip.decompress((source / name).read_bytes()))
    assert_kept(fetch(dataset, folder=unpacked, cache=cache), arrays_in(source))


def test_a_folder_that_lacks_a_file(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    (source / FIRST).unlink()
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, folder=source, cache=cache)
    assert str(caught.value) == (
        f"{source} lacks {FIRST}; expected are {', '.join(FILES.values())}"
    )
    assert not web.asked  # a folder that was named is the only source


def test_another_dataset_under_the_same_file_names(source, cache, tmp_path, monkeypatch):
    """Digits and clothes have the same file names; the message names both."""
    clothes = made_dataset(source, name="clothes", title="Clothes")
    digits = made_dataset(tmp_path / "digits", seed=1, title="Digits")
    monkeypatch.setitem(BUILTIN, "made", digits)
    with pytest.raises(DownloadError) as caught:
        fetch(clothes, folder=tmp_path / "digits", cache=cache)
    assert str(caught.value) == (
        f"{tmp_path}/digits/{FIRST} is Digits's {FIRST}, not Clothes's {FIRST} (SHA-256 of its "
        f"content is {digits.digests[FIRST][0].value}, expected "
        f"{clothes.digests[FIRST][0].value}); fetch the files of https://example.org/made"
    )
    assert not (cache / "clothes").exists()


def test_a_wrong_folder_leaves_the_cache_as_it_was(source, cache, tmp_path):
    dataset = made_dataset(source)
    fetch(dataset, folder=source, cache=cache)
    made_dataset(tmp_path / "wrong", seed=1)
    with pytest.raises(DownloadError):
        fetch(dataset, folder=tmp_path / "wrong", cache=cache)
    assert_kept(cache / "made", arrays_in(source))


def test_a_folder_replaces_what_is_kept(source, cache):
    dataset = made_dataset(source)
    fetch(dataset, folder=source, cache=cache)
    (cache / "made" / "train-images.npy").write_bytes(b"damaged")
    assert_kept(fetch(dataset, folder=source, cache=cache), arrays_in(source))


# ---- an archive ----


def made_archive(folder: Path, **changes) -> BuiltinDataset:
    """Pack a dataset as EMNIST is packed: a zip with gzip/, transposed images, labels from 1."""
    made_dataset(folder / "files")
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        archive.writestr("gzip/emnist-byclass-mapping.txt", "not wanted")
        for name in FILES.values():
            content = gzip.decompress((folder / "files" / name).read_bytes())
            head, body = (content[:16], content[16:]) if "images" in name else (b"", content)
            if not head:
                head, body = content[:8], bytes(label + 1 for label in content[8:])
            archive.writestr(f"gzip/{name}", gzip.compress(head + body))
    digest = hashlib.md5((folder / "gzip.zip").read_bytes(), usedforsecurity=False).hexdigest()
    return made_dataset(
        folder / "files",
        archive=Archive("gzip.zip", Digest("md5", digest, of="file"), "gzip/"),
        digests={},
        first_label=1,
        transposed=True,
        **changes,
    )


def upright(folder: Path) -> dict[str, np.ndarray]:
    expected = arrays_in(folder / "files")
    return {
        name: array.transpose(0, 2, 1) if "images" in name else array
        for name, array in expected.items()
    }


def test_an_archive_is_fetched_and_unpacked(web, tmp_path, cache):
    made_archive(tmp_path)
    web.files["/emnist/gzip.zip"] = (tmp_path / "gzip.zip").read_bytes()
    dataset = made_archive(tmp_path, mirrors=(web.address + "/emnist/",))
    kept = fetch(dataset, cache=cache)
    assert_kept(kept, upright(tmp_path))
    assert load_kept(kept, "train")[0].shape == (12, 8, 9)
    assert web.asked == {"/emnist/gzip.zip": 1}


def test_an_archive_in_a_folder_stays_as_it_is(tmp_path, cache):
    source = tmp_path / "source"
    dataset = made_archive(source)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    assert_kept(fetch(dataset, folder=source, cache=cache), upright(source))
    after = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    assert after == before


def test_an_archive_that_is_another_or_missing(tmp_path, cache):
    dataset = made_archive(tmp_path)
    archive = tmp_path / "gzip.zip"
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, folder=tmp_path, cache=cache)
    found = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    assert str(caught.value) == (
        f"{archive} is not Made's gzip.zip (MD5 of its file is {found}, expected "
        f"{dataset.archive.digest.value}); fetch the files of https://example.org/made"
    )
    archive.unlink()
    with pytest.raises(DownloadError) as caught:
        fetch(dataset, folder=tmp_path, cache=cache)
    assert str(caught.value) == (
        f"{tmp_path} lacks gzip.zip; fetch it from https://example.org/made"
    )


# ---- Debian's package ----

#: does what apt-get does as far as we ask it: LISTS says whether this machine has package lists
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
for word in "$@"; do
  case "$word" in
    Dir::State::lists=*) lists="${word#*=}" ;;
    Dir::Cache=*) test -d "${word#*=}/archives/partial" || exit 99 ;;
    update) test -d "$lists/partial" && touch "$lists/Packages"; exit 100 ;; # one list failed
    download) found=1 ;;
  esac
done
if [ -z "$found" ] || { [ -z "$LISTS" ] && [ ! -e "$lists/Packages" ]; }; then
  echo "W: something else" >&2
  echo "E: Unable to locate package dataset-made" >&2
  exit 100
fi
cp "$PACKAGE" dataset-made_1_all.deb
"""
DPKG_DEB = """#!/bin/sh
echo "dpkg-deb $1" >> "$LOG"
mkdir -p "$3" && tar -xf "$2" -C "$3"
"""
DEBIAN_FOLDER = "/usr/share/datasets/made-for-the-tests-of-lookbook"


@pytest.fixture
def debian(source, tmp_path, monkeypatch):
    """A machine with stand-ins for apt-get and dpkg-deb, and a package for them to fetch."""
    dataset = made_dataset(
        source,
        mirrors=(dead_address(),),
        debian_package="dataset-made",
        debian_folder=DEBIAN_FOLDER,
    )
    with tarfile.open(tmp_path / "package", "w") as package:
        package.add(source, DEBIAN_FOLDER.lstrip("/"))
    (tmp_path / "bin").mkdir()
    for name, script in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (tmp_path / "bin" / name).write_text(script)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PACKAGE", str(tmp_path / "package"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv("LISTS", "")
    return dataset


def test_apt_where_the_machine_has_package_lists(debian, source, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LISTS", "yes")
    kept = fetch(debian, cache=cache)
    assert_kept(kept, arrays_in(source))
    about = json.loads((kept / "source.json").read_text())
    assert about["source"] == "apt-get download dataset-made"
    assert (tmp_path / "log").read_text().splitlines() == [
        "apt-get -q download dataset-made",
        "dpkg-deb -x",
    ]


def test_apt_with_lists_of_its_own(debian, source, cache, tmp_path):
    assert_kept(fetch(debian, cache=cache), arrays_in(source))
    place = cache / ".fetch-made" / "apt"
    own = f"-o Dir::State::lists={place}/lists -o Dir::Cache={place}"
    assert (tmp_path / "log").read_text().splitlines() == [
        "apt-get -q download dataset-made",
        f"apt-get -q {own} update",
        f"apt-get -q {own} download dataset-made",
        "dpkg-deb -x",
    ]


def test_apt_that_fails_says_why(debian, cache, tmp_path):
    (tmp_path / "bin" / "apt-get").write_text(
        "#!/bin/sh\necho 'E: Unable to locate package dataset-made' >&2\nexit 100\n"
    )
    with pytest.raises(DownloadError) as caught:
        fetch(debian, cache=cache)
    assert str(caught.value) == all_failed(
        debian,
        f"{debian.mirrors[0]}: {FIRST}: {REFUSED}",
        "apt-get download dataset-made: E: Unable to locate package dataset-made",
    )


def test_a_package_that_cannot_be_unpacked(debian, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("LISTS", "yes")
    (tmp_path / "bin" / "dpkg-deb").write_text("#!/bin/sh\nexit 2\n")
    with pytest.raises(DownloadError) as caught:
        fetch(debian, cache=cache)
    assert str(caught.value) == all_failed(
        debian,
        f"{debian.mirrors[0]}: {FIRST}: {REFUSED}",
        "apt-get download dataset-made: dpkg-deb ended with 2",
    )


def test_without_apt_there_is_one_source_fewer(debian, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DownloadError) as caught:
        fetch(debian, cache=cache)
    assert str(caught.value) == all_failed(debian, f"{debian.mirrors[0]}: {FIRST}: {REFUSED}")


def test_the_folder_of_an_installed_package(debian, source, cache, tmp_path):
    debian = dataclasses.replace(debian, debian_folder=str(source))
    kept = fetch(debian, cache=cache)
    assert_kept(kept, arrays_in(source))
    assert json.loads((kept / "source.json").read_text())["source"] == str(source)
    assert not (tmp_path / "log").exists()


def test_an_installed_package_that_is_damaged_is_passed_over(debian, web, source, cache, tmp_path):
    made_dataset(source)
    mirror = web.mirror(source)
    damaged = tmp_path / "damaged"
    made_dataset(damaged)
    (damaged / FIRST).write_bytes(b"damaged")
    debian = dataclasses.replace(debian, debian_folder=str(damaged), mirrors=(mirror,))
    kept = fetch(debian, cache=cache)
    assert_kept(kept, arrays_in(source))
    assert json.loads((kept / "source.json").read_text())["source"] == mirror


# ---- the cache ----


def cannot_write(cache: Path, why: int) -> str:
    return (
        f"cannot write the cache {cache}: {os.strerror(why)}; make room there or allow writing, or "
        "name another cache folder in XDG_CACHE_HOME"
    )


def test_a_cache_that_cannot_be_made(source, tmp_path):
    (tmp_path / "file").write_text("")
    cache = tmp_path / "file" / "cache"
    with pytest.raises(OutputError) as caught:
        fetch(made_dataset(source), folder=source, cache=cache)
    assert str(caught.value) == cannot_write(cache, errno.ENOTDIR)


def test_a_read_only_cache(source, cache, monkeypatch):
    dataset = made_dataset(source)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write everywhere: refuse by hand
    with pytest.raises(OutputError) as caught:
        fetch(dataset, folder=source, cache=cache)
    assert str(caught.value) == cannot_write(cache, errno.EROFS)


def test_a_full_disk_leaves_the_cache_as_it_was(source, cache):
    dataset = made_dataset(source)
    fetch(dataset, folder=source, cache=cache)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # no file may grow beyond 500 bytes
    try:
        with pytest.raises(OutputError) as caught:
            fetch(dataset, folder=source, cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == cannot_write(cache, errno.EFBIG)
    assert_kept(cache / "made", arrays_in(source))


def test_a_full_disk_while_downloading(web, source, cache):
    made_dataset(source)
    dataset = made_dataset(source, mirrors=(web.mirror(source),))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(OutputError) as caught:
            fetch(dataset, cache=cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == cannot_write(cache, errno.EFBIG)
    assert not (cache / "made").exists()


def test_a_damaged_cache_says_what_to_do(source, cache):
    kept = fetch(made_dataset(source), folder=source, cache=cache)
    whole = (kept / "train-images.npy").read_bytes()
    for tenth in range(10):
        (kept / "train-images.npy").write_bytes(whole[: tenth * len(whole) // 10])
        with pytest.raises(DamagedFileError) as caught:
            load_kept(kept, "train")
        assert str(caught.value).startswith(f"the cached dataset {kept} is damaged (")
        assert str(caught.value).endswith(
            "); delete that folder and fetch it again: `lookbook.load_data('made')`"
        )
    (kept / "train-images.npy").unlink()
    with pytest.raises(DamagedFileError) as caught:
        load_kept(kept, "train")
    assert str(caught.value) == (
        f"the cached dataset {kept} is damaged ([Errno 2] No such file or directory: "
        f"'{kept}/train-images.npy'); delete that folder and fetch it again: "
        "`lookbook.load_data('made')`"
    )


def test_a_cache_with_objects_is_refused(source, cache):
    kept = fetch(made_dataset(source), folder=source, cache=cache)
    np.save(kept / "train-labels.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DamagedFileError, match="it holds objects, which are refused"):
        load_kept(kept, "train")


def test_the_cache_is_where_the_platform_wants_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "lookbook" / "datasets"


def test_a_user_without_a_home_is_told_to_name_a_cache(monkeypatch):
    """As a container has it that runs under a number alone."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: {}[uid])
    with pytest.raises(OutputError, match="this user has no home folder; name a cache folder in"):
        fetch(BUILTIN["fashion-mnist"])


def test_a_cache_that_may_not_be_looked_into(monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(OutputError, match=r"cannot write the cache .*: Permission denied; make"):
        fetch(BUILTIN["fashion-mnist"], cache=Path("/root"))


# ---- what is built in ----


def test_certificates_are_never_switched_off():
    for path in Path(lookbook.__file__).parent.rglob("*.py"):
        for way in ("_create_unverified_context", "verify=False", "CERT_NONE", "check_hostname"):
            assert way not in path.read_text(encoding="utf-8"), f"{path} has {way}"


def test_a_name_that_is_not_built_in():
    with pytest.raises(InputError) as caught:
        find_builtin("fashion_mnist")
    assert str(caught.value) == (
        "no dataset is called 'fashion_mnist'; did you mean 'fashion-mnist'?; built in are "
        "fashion-mnist, mnist, kmnist, emnist-letters, emnist-balanced, "
        "clothing; your own: a folder of "
        "class folders, an .npz file, or a folder of IDX files"
    )
