"""Damaged images of every format, and images that are small as files and large in memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookbook.data.sources import load
from lookbook.errors import LookbookError
from lookbook.images.preprocessing import FORMATS
from lookbook.inference.predictor import Predictor
from lookbook.recipes import TUTORIAL

from . import mutate
from .cage import Act, Answer, Attack, WrongAnswerError

#: format → file ending
ENDINGS = {"JPEG": "jpg", "TIFF": "tif", "PPM": "pgm"}
#: damage that only this format knows
OWN: dict[str, Callable[[mutate.Rng, bytes], bytes]] = {
    "TIFF": mutate.tag,
    "JPEG": mutate.segment,
    "PPM": mutate.digits,
}


def corpus() -> list[tuple[str, bytes]]:
    """Return whole image files: the format of each, and its bytes."""
    rng = np.random.default_rng(0)
    shades = np.add.outer(np.arange(30), np.arange(24))[..., None] * np.array([3, 2, 4])
    rgb = Image.fromarray((shades + rng.integers(0, 40, shades.shape)).astype(np.uint8))
    grey, few, ink = rgb.convert("L"), rgb.quantize(16), rgb.convert("CMYK")
    alpha = rgb.copy()
    alpha.putalpha(grey)
    bits, deep = grey.convert("1"), Image.fromarray(np.asarray(grey).astype(np.uint16) * 200)
    large = rgb.resize((160, 200))
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [rgb, rgb.rotate(90)]}
    kept: list[tuple[str, Image.Image, dict[str, Any]]] = [
        *(("BMP", one, {}) for one in (bits, grey, few, rgb, alpha)),
        *(("GIF", one, {}) for one in (grey, few, large)),
        *(("GIF", few, options) for options in ({"interlace": 1}, {"transparency": 3}, more)),
        *(("JPEG", one, {}) for one in (grey, rgb, ink, large)),
        *(("JPEG", rgb, options) for options in ({"progressive": True}, {"exif": exif})),
        ("JPEG", large, {"progressive": True, "optimize": True, "subsampling": 2}),
        *(("PNG", one, {}) for one in (bits, grey, few, rgb, alpha, deep, large)),
        *(("PNG", grey.convert("LA"), {}), ("PNG", few, {"transparency": 3}), ("PNG", rgb, more)),
        *(("PPM", one, {}) for one in (bits, grey, rgb, deep, large)),
        *(("TIFF", one, {}) for one in (bits, grey, few, rgb, alpha, ink, deep, grey.convert("F"))),
        *(
            ("TIFF", rgb, {"compression": each})
            for each in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        ("TIFF", bits, {"compression": "group4"}),
        ("TIFF", large, {"compression": "tiff_lzw", "exif": exif}),
        ("TIFF", rgb, more),
        *(("WEBP", one, {}) for one in (rgb, alpha, large)),
        *(("WEBP", rgb, options) for options in ({"lossless": True}, {"exif": exif}, more)),
    ]
    found = []
    for name, image, options in kept:
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        found.append((name, buffer.getvalue()))
    found += [
        ("PPM", b"P3\n# text\n4 3\n255\n" + b"1 2 200 " * 12),
        ("PPM", b"P1 8 8 " + b"10" * 32),
    ]
    lacking = set(FORMATS) - {name for name, _ in found} - {"MPO"}  # several JPEGs in one file
    if lacking:
        raise LookupError(f"no image of {lacking} to damage")
    return found


class Images(Attack):
    """An image is damaged and asked for, alone or as one of a folder."""

    def prepare(self, folder: Path) -> None:
        """Train a model, and lay out class folders."""
        from lookbook.training.pipeline import train

        images = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
        np.savez(folder / "data.npz", images=images, labels=np.arange(40) % 2)
        train(str(folder / "data.npz"), TUTORIAL.with_epochs(1), out=folder / "run")
        for k, (name, content) in enumerate(corpus()):
            (folder / "folder" / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
            (folder / "folder" / "ab"[k % 2] / f"{k}.{_ending(name)}").write_bytes(content)

    def start(self, folder: Path) -> None:
        """Open the model, read the images."""
        self.folder, self.corpus = folder, corpus()
        self.predictor = Predictor(folder / "run" / "model.onnx")
        self.contents = [content for _, content in self.corpus]
        self.pixels = {
            content: self._pixels(folder / f"whole.{_ending(name)}", content)
            for name, content in self.corpus
            if name == "PNG"
        }

    def _pixels(self, path: Path, content: bytes) -> bytes:
        path.write_bytes(content)
        return self.predictor.predict(path)[0].image.tobytes()

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Damage one of the images."""
        del number
        name, content = mutate.choose(rng, self.corpus)
        whole, kind = content, rng.random()
        checked = name == "PNG" and kind < 0.3
        if checked:
            content = mutate.flip(rng, content)
        elif name in OWN and kind < 0.4:
            for _ in range(int(mutate.choose(rng, (1, 2, 3)))):
                content = OWN[name](rng, content)
        else:
            content = mutate.damage(rng, content, self.contents)
        if name == "PNG" and not checked and rng.random() < 0.7:
            content = mutate.with_checksums(content)
        ending = _ending(name)
        if rng.random() < 0.03:
            return self._in_a_folder(content, ending)
        path = self.folder / f"mutant.{ending}"

        def act() -> Answer:
            (found,) = self.predictor.predict(path)
            if checked and found.image.tobytes() != self.pixels[whole]:
                raise WrongAnswerError("a bit of a PNG was flipped, and other pixels were answered")
            return Answer()

        path.write_bytes(content)
        return act

    def _in_a_folder(self, content: bytes, ending: str) -> Act:
        path = self.folder / "folder" / "a" / f"mutant.{ending}"
        path.write_bytes(content)

        def act() -> Answer:
            try:
                return Answer(load(self.folder / "folder", size=12).images.nbytes)
            finally:
                path.unlink()

        return act


def _ending(name: str) -> str:
    return ENDINGS.get(name, name.lower())


# ---- bombs ----

SIDE = 9400


def _png(bits: int, colour: int, samples: int) -> bytes:
    row = bytes(1 + SIDE * samples * bits // 8)
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    head = struct.pack(">IIBBBBB", SIDE, SIDE, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    whole = b"".join(struct.pack(">I", len(d)) + name + d + bytes(4) for name, d in chunks)
    return mutate.with_checksums(b"\x89PNG\r\n\x1a\n" + whole)


def _tiff(fields: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    entries = b"".join(struct.pack("<HHII", *field) for field in sorted(fields))
    return struct.pack("<2sHIH", b"II", 42, 8, len(fields)) + entries + bytes(4) + rest


def _large_tiles() -> bytes:
    """Return a TIFF of a few bytes: one tile of 32,768² pixels."""
    packed = zlib.compress(bytes(1000))
    fields = [(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    fields += [(277, 3, 1, 1), (322, 4, 1, 32768), (323, 4, 1, 32768), (325, 4, 1, len(packed))]
    fields += [(324, 4, 1, 8 + 2 + 12 * 10 + 4)]
    return _tiff(fields, packed)


def _many_scans(side: int, n: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rfind(b"\xff\xda")
    return content[:last] + content[last:-2] * n + b"\xff\xd9"


def _saved(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _frames() -> bytes:
    first = Image.new("P", (3000, 3000))
    more = [Image.new("P", (3000, 3000), k % 4) for k in range(60)]
    return _saved(first, "GIF", save_all=True, append_images=more)


def _text_chunks() -> bytes:
    """Return a PNG whose texts unpack to 1,000 times their size."""
    text = b"zTXt" + b"k\0\0" + zlib.compress(bytes(60_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    plain = _saved(Image.new("L", (20, 20)), "PNG")
    return plain[:33] + chunk * 20 + plain[33:]


#: name → its content
BOMBS: dict[str, Callable[[], bytes]] = {
    "rgba.png": lambda: _png(8, 6, 4),
    "grey-16.png": lambda: _png(16, 0, 1),
    "rgb-16.png": lambda: _png(16, 2, 3),
    "grey-alpha-16.png": lambda: _png(16, 4, 2),
    "rgb.png": lambda: _png(8, 2, 3),
    "palette.png": lambda: _saved(Image.new("P", (SIDE, SIDE)), "PNG", transparency=0),
    "tiles.tif": _large_tiles,
    "scans.jpg": lambda: _many_scans(4000, 2000),
    "wide-scans.jpg": lambda: _many_scans(9400, 200),
    "comment.ppm": lambda: b"P6\n#" + b"x" * 50_000_000 + b"\n2 2\n255\n" + bytes(12),
    "spaces.ppm": lambda: b"P6" + b" " * 50_000_000 + b"2 2 255\n" + bytes(12),
    "comments.pgm": lambda: b"P2\n" + b"#x\n" * 10_000_000 + b"2 2\n255\n1 2 3 4",
    "digits.ppm": lambda: b"P3\n2 2\n255\n" + b"0" * 20_000_000 + b" 1 1 1",
    "text.pgm": lambda: b"P2\n9000 9000\n255\n" + b"1 " * 40_000_000,
    "large.jpg": lambda: _saved(Image.new("RGB", (SIDE, SIDE)), "JPEG"),
    "ink.jpg": lambda: _saved(Image.new("CMYK", (SIDE, SIDE)), "JPEG"),
    "large.webp": lambda: _saved(Image.new("RGBA", (SIDE // 2, SIDE // 2)), "WEBP", lossless=True),
    "frames.gif": _frames,
    "float.tif": lambda: _saved(Image.new("F", (6000, 6000)), "TIFF", compression="tiff_lzw"),
    "int.tif": lambda: _saved(Image.new("I", (SIDE, SIDE)), "TIFF", compression="tiff_lzw"),
    "line.png": lambda: _saved(Image.new("RGB", (80_000_000, 1)), "PNG"),
    "text.png": _text_chunks,
    "fax.tif": lambda: _saved(Image.new("1", (SIDE, SIDE)), "TIFF", compression="group4"),
}


class Bombs(Images):
    """Images that are whole, and may take much memory or time; a number for each."""

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Write one of the images."""
        del rng
        name = list(BOMBS)[number % len(BOMBS)]
        path = self.folder / name
        path.write_bytes(BOMBS[name]())

        def act() -> Answer:
            try:
                self.predictor.predict(path)
            except LookbookError as error:
                raise type(error)(f"{name}: {error}") from error
            return Answer()

        return act
