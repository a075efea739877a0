"""Damaged arrays: .npz files, folders of IDX files, probabilities of other programs."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lookbook.data.sources import load
from lookbook.evaluation import probabilities

from . import mutate
from .cage import Act, Answer, Attack

N = 40
#: values of `classes` that are no names
CLASSES: tuple[Any, ...] = (
    np.array([("a", 1), ("b", 2)], dtype=[("name", "U3"), ("n", int)]),
    np.array(["a", None], dtype=object),
    np.array([b"a", b"\xff"]),
    np.array(["a\ud800", "b"]),
    np.array(["a", "a"]),
    np.array(["x" * 100_000, "b"]),
    np.array("one"),
    np.zeros((2, 0)),
    np.array([np.datetime64("2020-01-01"), np.datetime64("NaT")]),
    np.array([1.5, np.nan]),
    np.array([], dtype=str),
)


def parts() -> dict[str, dict[str, np.ndarray]]:
    """Return whole sets of arrays, by the names under which programs keep them."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (N, 10, 8), dtype=np.uint8), np.arange(N) % 2
    colour = rng.integers(0, 256, (N, 10, 8, 3), dtype=np.uint8)
    names = ("train_images", "train_labels", "test_images", "test_labels")
    return {
        "split": dict(zip(names, (images, labels, images, labels), strict=True)),
        "named": {"images": colour, "labels": labels, "classes": np.array(["a", "b"])},
        "keras": {"x_train": images[..., None], "y_train": labels[:, None],
                  "x_test": images[..., None], "y_test": labels[:, None]},
    }  # fmt: skip


def _npy(array: np.ndarray, *, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


def _zip(members: dict[str, bytes], *, deflate: bool) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(
        buffer, "w", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    ) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def _header(rng: np.random.Generator, content: bytes) -> bytes:
    """Damage the text in which an .npy file says its type and shape."""
    (size,) = struct.unpack("<H", content[8:10])
    text = content[10 : 10 + size].decode("latin-1").strip()
    if rng.random() < 0.6:
        text = mutate.choose(
            rng,
            (
                text.replace("(", f"({mutate.choose(rng, mutate.NUMBERS)}, "),
                text.replace(f"({N}", f"({mutate.choose(rng, (*mutate.NUMBERS, -1))}"),
                text.replace("'descr': '", f"'descr': '{mutate.choose(rng, '<>|=OVMmcfSUab')}"),
                text.replace("False", mutate.choose(rng, ("True", "0", "None", "{}"))),
                text.replace(")", mutate.choose(rng, ("", "))", ", )", "L)", "*9)"))),
                "(" * int(mutate.choose(rng, (10, 90, 5000))),
                f"{{'descr': [('a', '<u1'), ('b', 'O')], 'fortran_order': False, 'shape': ({N},)}}",
                "",
            ),
        )
        written = text.encode("latin-1")
    else:
        written = mutate.damage(rng, text.encode("latin-1"), [text.encode("latin-1")])
    written = written[:65_000] + b"\n"
    return content[:8] + struct.pack("<H", len(written)) + written + content[10 + size :]


class Arrays(Attack):
    """Arrays are damaged, as files and inside, and taken as data or as probabilities."""

    def start(self, folder: Path) -> None:
        """Make whole files of each kind."""
        self.folder, self.parts = folder, parts()
        for name in ("idx", "whole"):
            (folder / name).mkdir(exist_ok=True)
        arrays = self.parts["split"]
        self.data = folder / "whole" / "data.npz"
        np.savez(self.data, **arrays)
        self.test = load(self.data, "test")
        self.idx = {
            f"{part}-{what}-ubyte": _idx(arrays[f"{short}_{array}"].astype(np.uint8))
            for part, short in (("train", "train"), ("t10k", "test"))
            for what, array in (("images-idx3", "images"), ("labels-idx1", "labels"))
        }

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Damage a file of one of the kinds."""
        del number
        kind = rng.random()
        if kind < 0.25:
            return self._idx_folder(rng)
        if kind < 0.45:
            return self._probabilities(rng)
        return self._npz(rng)

    def _npz(self, rng: np.random.Generator) -> Act:
        path = self.folder / "mutant.npz"
        arrays = dict(mutate.choose(rng, list(self.parts.values())))
        if rng.random() < 0.1:
            arrays["classes"] = mutate.choose(rng, CLASSES)
        if rng.random() < 0.2:
            arrays = {name: _odd(rng, array) for name, array in arrays.items()}
        members = {f"{name}.npy": _member(array) for name, array in arrays.items()}
        if rng.random() < 0.65:
            name = mutate.choose(rng, list(members))
            change = _header if rng.random() < 0.6 else _damage
            members[name] = change(rng, members[name])
        content = _zip(members, deflate=bool(rng.random() < 0.5))
        if rng.random() < 0.35:
            content = mutate.damage(rng, content, [content])
        path.write_bytes(content)
        return lambda: Answer(load(path, mutate.choose(rng, ("train", "test"))).images.nbytes)

    def _idx_folder(self, rng: np.random.Generator) -> Act:
        for old in (self.folder / "idx").iterdir():
            old.unlink()
        for name, content in self.idx.items():
            changed = content
            if rng.random() < 0.4:
                changed = mutate.damage(rng, changed, [content])
            packed = rng.random() < 0.5
            if packed:
                changed = gzip.compress(changed, 1, mtime=0)
                if rng.random() < 0.3:
                    changed = mutate.damage(rng, changed, [content])
            (self.folder / "idx" / f"{name}{'.gz' if packed else ''}").write_bytes(changed)
        part = mutate.choose(rng, ("train", "test"))
        return lambda: Answer(load(self.folder / "idx", part).images.nbytes)

    def _probabilities(self, rng: np.random.Generator) -> Act:
        path = self.folder / f"mutant.{mutate.choose(rng, ('npy', 'npy', 'npz', 'csv'))}"
        probs = rng.dirichlet([1.0, 1.0], len(self.test)).astype(np.float32)
        if path.suffix == ".npy":
            content = _npy(probs)
        elif path.suffix == ".npz":
            names = np.array([f"{i}.png" for i in range(len(probs))])
            members = {"probs": probs, "files": names, "classes": np.array(["0", "1"])}
            content = _zip({f"{k}.npy": _npy(v) for k, v in members.items()}, deflate=True)
        else:
            rows = [f"{i}.png,{one[0]},{one[1]}" for i, one in enumerate(probs)]
            content = "\n".join(["file,0,1", *rows]).encode()
        changed = content
        if path.suffix == ".npy" and rng.random() < 0.6:
            changed = _header(rng, content)
        elif rng.random() < 0.95:
            changed = mutate.damage(rng, content, [content])
        path.write_bytes(changed)

        def act() -> Answer:
            found = probabilities.read(path)
            return Answer(found.arrange(self.test, self.test).nbytes)

        return act


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def _member(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _odd(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    """Return an array of another type, shape or range."""
    array = np.atleast_1d(array)
    other = mutate.choose(
        rng,
        (
            *("float32", "float16", "int8", "bool", "complex64", "uint16", "S3", "U3", "O", ">i4"),
            *("m8[s]", "int64"),
        ),
    )
    if rng.random() < 0.4 and array.dtype.kind in "iu":
        return array.astype(other)
    return mutate.choose(
        rng,
        (
            array[..., :0],
            array[None],
            array.T,
            array.ravel(),
            array.ravel()[:1],
            np.tile(array, 3),
            array,
        ),
    )


def _damage(rng: np.random.Generator, content: bytes) -> bytes:
    return mutate.damage(rng, content, [content])


# ---- bombs ----


def _zeros(gigabytes: float, *, deflate: bool = True) -> bytes:
    """Return an .npz of few bytes whose images unpack to so much."""
    n = int(gigabytes * 2**30) // (224 * 224)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (n, 224, 224)}
    )
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method, compresslevel=9) as file:
        with file.open("images.npy", "w", force_zip64=True) as member:
            member.write(head.getvalue())
            for _ in range(n):
                member.write(bytes(224 * 224))
        file.writestr("labels.npy", _npy(np.arange(2)))
    return buffer.getvalue()


def _packed_zeros() -> bytes:
    """Return an IDX file of few bytes whose images unpack to 1.6 GB."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
        file.write(struct.pack(">4I", 0x803, 2**21, 28, 28))
        for _ in range(784):
            file.write(bytes(2**21))
    return buffer.getvalue()


def _many_members() -> bytes:
    return _zip({f"{i}.npy": b"" for i in range(200_000)}, deflate=False)


#: name → its content
BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros.npz": lambda: _zeros(4),
    "many.npz": _many_members,
    "header.npy": lambda: _npy(np.zeros((2, 2)))[:10] + b"(" * 60_000,
    "shape.npy": lambda: _npy(np.zeros((2, 2))).replace(b"(2, 2)", b"(2, 9999999999)"),
    "names.npz": lambda: _zip(
        {"images.npy": _npy(np.zeros((4, 8, 8), np.uint8)), "labels.npy": _npy(np.arange(4) % 2),
         "classes.npy": _npy(np.zeros(2, "U50000000"))}, deflate=True),
    "train-images-idx3-ubyte.gz": _packed_zeros,
}  # fmt: skip


class ArrayBombs(Attack):
    """Arrays that are small as files and large in memory; a number for each."""

    def start(self, folder: Path) -> None:
        """Remember the place."""
        self.folder = folder

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Write one of the files."""
        del rng
        name = list(BOMBS)[number % len(BOMBS)]
        place = self.folder / name.partition(".")[0]
        place.mkdir(exist_ok=True)
        (place / name).write_bytes(BOMBS[name]())
        if name.endswith(".npy"):
            return lambda: Answer(probabilities.read(place / name).probs.nbytes)
        return lambda: Answer(load(place / name if name.endswith(".npz") else place).images.nbytes)
