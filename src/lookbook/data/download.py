"""Download of a built-in dataset: sources in order, verified hashes, an atomic cache."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookbook.data.catalog import BUILTIN, Archive, BuiltinDataset, Digest, Part
from lookbook.data.formats.idx import parse_content, read_content
from lookbook.data.formats.npz import DAMAGE, open_arrays
from lookbook.errors import (
    DamagedFileError,
    DownloadError,
    InputError,
    OutputError,
    closest,
    write_call,
)

if TYPE_CHECKING:
    from jaxtyping import Int64, UInt8

#: seconds without a byte after which a source counts as dead
TIMEOUT = 20.0
#: bytes after which a file is not what was asked for (EMNIST's archive has 562 million)
LARGEST_FILE = 700_000_000

#: told what is being done, and how many of how many bytes are there (0 where unknown)
Report = Callable[[str, int, int], None]


def cache_folder(kind: str = "datasets") -> Path:
    """Return the folder where fetched datasets are kept, or others: the platform's cache folder.

    Raises
    ------
    OutputError
        There is none: the user has no home folder.
    """
    import platformdirs  # noqa: PLC0415  # not needed where a path is known

    try:
        folder = Path(platformdirs.user_cache_dir("lookbook", appauthor=False)).expanduser()
    except RuntimeError as error:  # a number without a name and a home, as in some containers
        raise OutputError(
            "no place to keep datasets: this user has no home folder; name a cache folder in "
            "XDG_CACHE_HOME, or a home in HOME"
        ) from error
    return folder / kind


def find_builtin(name: str) -> BuiltinDataset:
    """Return the built-in dataset of that name.

    >>> find_builtin("fashion-mnist").title
    'Fashion-MNIST'

    Raises
    ------
    InputError
        There is none of that name; the message lists those that exist.
    """
    if name not in BUILTIN:
        known = list(BUILTIN)
        raise InputError(
            f"no dataset is called '{name}'{closest(name, known)}; "
            f"built in are {', '.join(known)}; your own: a folder of class folders, "
            "an .npz file, or a folder of IDX files"
        )
    return BUILTIN[name]


def fetch(
    dataset: BuiltinDataset,
    *,
    folder: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _what, _done, _total: None,
) -> Path:
    """Make sure that a dataset is in the cache, verified, and return its folder there.

    Sources, in order: `folder` where it is given (and then no other); the cache; the Debian
    package's folder; the publishers over HTTPS; `apt-get download` of the Debian package, which
    needs no root. A file counts only when its published hash agrees, wherever a source redirects.

    Raises
    ------
    DownloadError
        No source gave the right files; the message says what each one answered.
    OutputError
        The cache cannot be written.
    """
    kept = (cache or cache_folder()) / dataset.name
    try:
        if folder is None and (kept / "source.json").exists():
            return kept
        kept.parent.mkdir(parents=True, exist_ok=True)
        with locked(kept):
            # another process may have been faster
            if folder is not None or not (kept / "source.json").exists():
                with scratch_folder(kept) as scratch:
                    found, source = _find_files(dataset, folder, scratch, report)
                    _keep(dataset, found, source, scratch, kept)
    except OSError as error:
        raise OutputError(
            f"cannot write the cache {kept.parent}: {error.strerror or error}; "
            "make room there or allow writing, or name another cache folder in XDG_CACHE_HOME"
        ) from error
    return kept


def is_fetched(dataset: BuiltinDataset) -> bool:
    """Say whether a dataset is in the cache."""
    return (cache_folder() / dataset.name / "source.json").exists()


def load_kept(kept: Path, part: Part) -> tuple[UInt8[np.ndarray, "N H W"], Int64[np.ndarray, "N"]]:
    """Return one part of a dataset in the cache, as `fetch` left it there."""
    try:
        images, labels = (_read(kept / f"{part}-{what}.npy") for what in ("images", "labels"))
    except DAMAGE as error:
        raise DamagedFileError(
            f"the cached dataset {kept} is damaged ({error}); delete that folder and fetch "
            f"it again: {write_call('load_data', kept.name)}"
        ) from error
    return images, labels.astype(np.int64)


def _read(path: Path) -> np.ndarray[Any, Any]:
    with open_arrays(path) as arrays:
        return arrays.read("array")


@contextmanager
def locked(kept: Path) -> Iterator[None]:
    """Keep other processes from filling the same folder of the cache."""
    from filelock import FileLock  # noqa: PLC0415  # not needed where the cache is filled

    with FileLock(kept.parent / f".{kept.name}.lock"):
        yield


@contextmanager
def scratch_folder(kept: Path) -> Iterator[Path]:
    """Give an empty folder beside the cache; what a killed process left there goes first."""
    scratch = kept.parent / f".fetch-{kept.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _find_files(
    dataset: BuiltinDataset, folder: Path | None, scratch: Path, report: Report
) -> tuple[dict[str, bytes], str]:
    """Return the verified content of each file, and the source that gave them."""
    if folder is not None:
        return _read_folder(dataset, folder, scratch), str(folder)
    answers = []
    for source, get in _sources(dataset, scratch, report):
        place = scratch
        try:
            place = get()
            return _read_folder(dataset, place, scratch), source
        except (DownloadError, DamagedFileError) as error:
            # the file's name says enough: the folder is in the scratch folder, or is the source
            answers.append(f"  {source}: {str(error).replace(f'{place}/', '')}")
    raise DownloadError(
        f"could not get {dataset.title} from any source:\n"
        + "\n".join(answers)
        + f"\nCheck the network (proxies: HTTPS_PROXY), or download the files of "
        f"{dataset.homepage} by hand and run: lookbook fetch {dataset.name} --from FOLDER"
    )


def _sources(
    dataset: BuiltinDataset, scratch: Path, report: Report
) -> Iterator[tuple[str, Callable[[], Path]]]:
    if dataset.debian_folder and Path(dataset.debian_folder).is_dir():
        debian_folder = Path(dataset.debian_folder)
        yield dataset.debian_folder, lambda: debian_folder
    for number, mirror in enumerate(dataset.mirrors):
        place = scratch / str(number)
        yield mirror, partial(_download, dataset, mirror, place, report)
    if dataset.debian_package and shutil.which("apt-get") and shutil.which("dpkg-deb"):
        get = partial(_apt_download, dataset, scratch / "apt", report)
        yield f"apt-get download {dataset.debian_package}", get


# ---- one source after another ----


def _download(dataset: BuiltinDataset, mirror: str, place: Path, report: Report) -> Path:
    place.mkdir()
    for name in [dataset.archive.name] if dataset.archive else dataset.files.values():
        with (place / name).open("wb") as file:
            for block, total in _read_url(mirror, name):
                file.write(block)
                report(name, file.tell(), total)
    return place


def _read_url(mirror: str, name: str) -> Iterator[tuple[bytes, int]]:
    """Give what an address holds in blocks, each with the size of the whole (0 where unknown)."""
    done = 0
    try:
        with urllib.request.urlopen(mirror + name, timeout=TIMEOUT) as response:  # noqa: S310  # own addresses
            total = response.length or 0
            while block := response.read(1 << 18):
                done += len(block)
                if done > LARGEST_FILE:
                    raise DownloadError(f"{name} is larger than {LARGEST_FILE:,} bytes")
                yield block, total
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{name}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", None) or error).strip()
        raise DownloadError(f"{name}: {reason}") from error
    if total and done != total:
        raise DownloadError(f"{name}: the connection broke after {done:,} of {total:,} bytes")


def _apt_download(dataset: BuiltinDataset, place: Path, report: Report) -> Path:
    """Fetch and unpack the Debian package without root, with package lists of our own if needed."""
    package = dataset.debian_package or ""
    report(f"apt-get download {package}", 0, 0)
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "archives" / "partial").mkdir(parents=True)
    own_lists = ["-o", f"Dir::State::lists={place}/lists", "-o", f"Dir::Cache={place}"]
    fault = _run(["apt-get", "-q", "download", package], place)
    if fault:  # this machine has no package lists, or old ones
        _run(["apt-get", "-q", *own_lists, "update"], place)  # the lists that came may suffice
        fault = _run(["apt-get", "-q", *own_lists, "download", package], place)
    packages = [str(path) for path in place.glob("*.deb")]
    unpacked = place / "unpacked"
    fault = fault or _run(["dpkg-deb", "-x", *packages, str(unpacked)], place)
    if fault:
        raise DownloadError(fault)
    return unpacked / (dataset.debian_folder or "").lstrip("/")


def _run(command: list[str], place: Path) -> str:
    """Run one of our commands; return nothing where it went well, else the last line it said."""
    # found on the PATH, as a person would find it
    ended = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode == 0:
        return ""
    said = (ended.stderr.strip() or ended.stdout.strip()).splitlines()
    return said[-1] if said else f"{command[0]} ended with {ended.returncode}"


# ---- what a folder holds, verified ----


def _read_folder(dataset: BuiltinDataset, folder: Path, scratch: Path) -> dict[str, bytes]:
    if dataset.archive is not None:
        folder = _unpack(dataset, dataset.archive, folder, scratch)
    return {name: _read_file(dataset, folder, name) for name in dataset.files.values()}


def _unpack(dataset: BuiltinDataset, archive: Archive, folder: Path, scratch: Path) -> Path:
    path = folder / archive.name
    if not path.is_file():
        raise DownloadError(f"{folder} lacks {archive.name}; fetch it from {dataset.homepage}")
    _verify(dataset, path, archive.name, (archive.digest,), content=None)
    place = scratch / "unpacked"  # not beside the archive: the user's folder stays as it is
    place.mkdir()
    with zipfile.ZipFile(path) as members:
        for name in dataset.files.values():
            (place / name).write_bytes(members.read(archive.folder + name))
    return place


def _read_file(dataset: BuiltinDataset, folder: Path, name: str) -> bytes:
    plain = name.removesuffix(".gz")
    found = [
        folder / candidate
        for candidate in (name, plain, plain.replace("-idx", ".idx"))
        if (folder / candidate).is_file()
    ]
    if not found:
        raise DownloadError(
            f"{folder} lacks {name}; expected are {', '.join(dataset.files.values())}"
        )
    content = read_content(found[0])
    _verify(dataset, found[0], name, dataset.digests.get(name, ()), content)
    return content


def _verify(
    dataset: BuiltinDataset,
    path: Path,
    name: str,
    digests: tuple[Digest, ...],
    content: bytes | None,
) -> None:
    for digest in digests:
        found = _hash_of(path, digest, content)
        if found != digest.value:
            hashed = f"{digest.algorithm.upper().replace('SHA', 'SHA-')} of its {digest.of}"
            raise DownloadError(
                f"{path} is {_whose(path, content)}not {dataset.title}'s {name} ({hashed} is "
                f"{found}, expected {digest.value}); fetch the files of {dataset.homepage}"
            )


def _hash_of(path: Path, digest: Digest, content: bytes | None) -> str:
    if digest.of == "content" and content is not None:
        return hashlib.new(digest.algorithm, content).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, digest.algorithm).hexdigest()


def _whose(path: Path, content: bytes | None) -> str:
    """Say whose file this is, where a built-in dataset publishes its hash."""
    for dataset in BUILTIN.values():
        for name, digests in dataset.digests.items():
            if any(_hash_of(path, digest, content) == digest.value for digest in digests):
                return f"{dataset.title}'s {name}, "
    return ""


# ---- the cache ----


def _keep(
    dataset: BuiltinDataset, found: dict[str, bytes], source: str, scratch: Path, kept: Path
) -> None:
    """Write the arrays beside their place, then move them there in one step."""
    fresh = scratch / "kept"
    fresh.mkdir()
    for (part, what), name in dataset.files.items():
        array = parse_content(found[name])
        if what == "images" and dataset.transposed:
            array = np.ascontiguousarray(array.swapaxes(1, 2))
        if what == "labels":
            array = array - np.uint8(dataset.first_label)
        np.save(fresh / f"{part}-{what}.npy", array)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    about = {"dataset": dataset.name, "source": source, "sha256_of_content": digests}
    (fresh / "source.json").write_text(json.dumps(about, indent=2) + "\n")
    old = scratch / "old"
    if kept.exists():
        os.replace(kept, old)  # noqa: PTH105  # a rename in one step, onto nothing
    os.replace(fresh, kept)  # noqa: PTH105
