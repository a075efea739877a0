"""Decoding of image files within bounds of memory and time, checksums verified."""

from __future__ import annotations

import math
import os
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lookbook.core.bounded_io import BoundedFile, NamedBytes

if TYPE_CHECKING:
    from PIL import Image
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

#: formats that are opened, whatever a file is called; parsers of others never run
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

#: brands by which a HEIC file begins
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

#: what Pillow's readers answer damage with, seen with 100,000 files that were changed at random
DAMAGE = (
    ArithmeticError,
    AssertionError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

#: bytes that decoding an image may take, itself included: with 110 MB that `predict` takes before,
#: they are below 600 MB; Pillow's 89 million pixels take 358 MB
MAX_MEMORY = 480_000_000
#: pixels on a side: Pillow puts a row together block by block, each time anew, which takes minutes
#: for one of 80 million pixels; and it keeps 8 bytes for each row
MAX_SIDE = 2**20
#: calls, and bytes, that a header may be read in: 50 MB of comment are read byte by byte
MAX_HEADER = 2**18, 2**26
#: calls that pixels may be read in: some decoders are Python, and read pixel by pixel
MAX_CALLS = 2**21
#: bytes of a JPEG that is read without bounds: what it may be read for cannot take long
SMALL_JPEG = 2**18
#: bytes of a JPEG before its pixels, and of one in arithmetic coding, which is slow and rare
MAX_JPEG_HEADER, MAX_ARITHMETIC = 2**25, 2**24
#: pixels of a JPEG times its scans, 1 ns each, and its scans
MAX_SCANNED, MAX_SCANS = 2**32, 1000
#: chunks of a PNG, and bytes of those that hold no pixels
MAX_CHUNKS, MAX_BESIDE = 2**18, 2**26
#: strips or tiles of a TIFF, and samples of a pixel: of more, Pillow writes a line into the log
MAX_BLOCKS, MAX_SAMPLES = 2**17, 6
#: bytes of a PPM whose levels are written as words: Pillow reads 4 million a second
MAX_PLAIN, MAX_COMMENTS = 2**24, 1000
#: bytes that are looked through at once
BLOCK = 2**16

#: channels of a PNG by its colour type
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
#: ... of what follows a byte of 255 in a JPEG, all but a 0, a restart, and another 255
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: markers of a JPEG that start a frame, and those of them with progressive scans
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_ARITHMETIC = {each for each in _FRAMES if each > 0xC8}


class TooLargeError(ValueError):
    """An image is within the number of pixels, and would still take too much."""


@dataclass(frozen=True)
class Outline:
    """What is known of an image file before it is opened."""

    #: bytes of all its samples, where they are more than Pillow keeps of them
    unpacked: int = 0
    #: bytes that decoding takes beside the image
    beside: int = 0
    #: notes may stand behind the pixels, such as how to turn them
    late: bool = False


def decode(
    path: Path | NamedBytes, least: tuple[int, int] | None = None, max_memory: int | None = None
) -> Image.Image:
    """Return an image with its pixels; a large JPEG may come smaller, but not below `least`.

    `least` is a height and a width; `max_memory` are the bytes that decoding may take,
    `MAX_MEMORY` or fewer.

    Raises
    ------
    Exception
        One of `DAMAGE`, or Pillow's own: the file is damaged, or would take too much.
    """
    from PIL import Image  # noqa: PLC0415  # only for files

    with BoundedFile(path) as file:
        outline = _look(file)
        file.restart(*MAX_HEADER)
        with Image.open(file, formats=FORMATS) as image:
            if least and _memory(image, outline) > MAX_MEMORY:
                image.draft(None, least[::-1])
            _bound(image, outline, max_memory)
            # a WebP names its decoder later
            decoder = image.tile[0][0] if image.tile else None
            if decoder == "ppm_plain":
                _check_plain(file)
            file.calls, file.room = MAX_CALLS, MAX_MEMORY
            with _without_lines_of_libtiff() if decoder == "libtiff" else image:
                image.load()
            # a WebP keeps its decoder and what that wrote, three times the image
            return image.copy() if image.format == "WEBP" else image


def measure(path: Path) -> tuple[int, int] | None:
    """Return height and width of an image file, the right way up, or None where it is none.

    Reads the header alone.
    """
    from PIL import Image, TiffImagePlugin  # noqa: PLC0415

    try:
        with BoundedFile(path) as file:
            outline = _look(file, whole=False)
            file.restart(*MAX_HEADER)
            with Image.open(file, formats=FORMATS) as image:
                if outline.late:
                    _bound(image, outline)
                    image.load()
                width, height = image.size
                if isinstance(image, TiffImagePlugin.TiffImageFile):
                    # newer versions of Pillow turn the size of these, and of no others
                    width, height = image.tag_v2[256], image.tag_v2[257]
                turned = orientation(image) > 4
    except (*DAMAGE, Image.DecompressionBombError):
        return None
    return (width, height) if turned else (height, width)


def is_heic(path: Path | NamedBytes) -> bool:
    """Say whether a file is a photograph as iPhones write them, whatever it is called."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in HEIC


def orientation(image: Image.Image) -> int:
    """Return how an image lies, as EXIF counts: 1 is upright, 5 to 8 lie on their side."""
    from PIL import ExifTags, Image  # noqa: PLC0415

    # the method of a PNG would decode it to look for notes behind its pixels
    value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bound(image: Image.Image, outline: Outline, max_memory: int | None = None) -> None:
    """Refuse an image that would take too much to decode."""
    from PIL import Image  # noqa: PLC0415

    if (side := max(image.size)) > MAX_SIDE:
        raise TooLargeError(f"is {side:,} pixels long, at most {MAX_SIDE:,} can be read")
    if outline.unpacked > 4 * (Image.MAX_IMAGE_PIXELS or math.inf):
        raise TooLargeError(f"would unpack to {outline.unpacked // 10**6:,} MB")
    if (memory := _memory(image, outline)) > (max_memory or MAX_MEMORY):
        raise TooLargeError(f"would take {memory // 10**6:,} MB of memory to decode")


def _memory(image: Image.Image, outline: Outline) -> int:
    """Return how many bytes decoding takes at most."""
    a_pixel = {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if "I;16" in image.mode else 4)
    if image.format == "WEBP":
        a_pixel = 16  # the image, what the decoder wrote, and two frames that it keeps
    return image.width * image.height * a_pixel + outline.beside


def _look(file: BoundedFile, *, whole: bool = True) -> Outline:
    """Look through a file before Pillow does; the `whole`, or its header alone."""
    start = file.read(12)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        file.seek(8)
        return _look_at_png(file, whole=whole)
    if start.startswith(b"\xff\xd8\xff"):
        if file.length <= SMALL_JPEG:
            file.free()
        file.seek(2)
        return _look_at_jpeg(file, whole=whole)
    if start[:2] in (b"II", b"MM"):
        return _look_at_tiff(file, whole=whole)
    if start[8:] == b"WEBP":
        return Outline(beside=file.length)
    return Outline()


def _check_plain(file: BoundedFile) -> None:
    """Refuse a PPM of words that Pillow would read for minutes."""
    place = file.tell()
    file.restart()
    content = file.read(MAX_PLAIN + 1)
    file.seek(place)
    if len(content) > MAX_PLAIN or content.count(b"#") > MAX_COMMENTS:
        raise ValueError("it would take too long to read")


@contextmanager
def _without_lines_of_libtiff() -> Iterator[None]:
    """Keep libtiff from writing on standard error: it asks nobody, and names no file."""
    if sys.stderr is None:  # closed: its number may be another file's by now
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# ---- PNG ----


def _look_at_png(file: BinaryIO, *, whole: bool) -> Outline:
    """Walk through the chunks, and compare their checksums: Pillow skips those of the pixels."""
    unpacked, rows, beside, pixels, late = 0, 0, 0, False, False
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise EOFError("it is cut short")
        length, kind = struct.unpack(">I4s", head)
        is_pixels = kind in (b"IDAT", b"fdAT")
        pixels |= is_pixels
        beside += 0 if is_pixels else length
        late |= pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
        if beside > MAX_BESIDE:
            raise ValueError("it would take too much memory to read")
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", file.read(10))
            row = width * _PNG_CHANNELS.get(colour, 4) * depth // 8
            unpacked, rows = row * height, 2 * row  # a row is told by the one before
            file.seek(-10, os.SEEK_CUR)
        if not whole:
            file.seek(length + 4, os.SEEK_CUR)
        elif _checksum(file, kind, length) != file.read(4):
            raise ValueError(f"the checksum of its chunk {kind.decode('latin-1')!r} is wrong")
        if kind == b"IEND":
            return Outline(unpacked, beside + rows, late)
    raise ValueError("it would take too long to read")


def _checksum(file: BinaryIO, kind: bytes, length: int) -> bytes:
    crc = zlib.crc32(kind)
    while length and (block := file.read(min(length, BLOCK))):
        crc = zlib.crc32(block, crc)
        length -= len(block)
    return struct.pack(">I", crc)


# ---- JPEG ----


def _look_at_jpeg(file: BoundedFile, *, whole: bool) -> Outline:
    """Walk through the markers: how many scans there are, and what is kept between them."""
    scans, pixels, samples, kept, layers = 0, 0, 0.0, False, 0
    size = file.length
    for marker, content in _segments(file):
        if marker in _FRAMES and len(content) > 6:
            height, width, layers = struct.unpack(">HHB", content[1:6])
            shares = [(each >> 4) * (each & 15) for each in content[7::3]]
            pixels = max(pixels, height * width)
            samples = max(samples, pixels * sum(shares) / max(1, *shares))
            kept |= marker in _PROGRESSIVE
            if marker in _ARITHMETIC and size > MAX_ARITHMETIC:
                raise ValueError("it would take too long to read")
        if marker == 0xDA:
            scans += 1
            kept |= content[0] < layers  # not all of an image in one scan
            if not whole:
                break
            if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
                raise ValueError(f"it comes in {scans:,} scans or more, which takes too long")
        elif not scans and file.tell() > MAX_JPEG_HEADER:
            raise ValueError("it would take too long to read")
    # 16 bits for each coefficient, of all scans, before the first pixel can be told
    return Outline(beside=2 * math.ceil(samples) if kept else 0)


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment of a JPEG, up to its end."""
    while (marker := _next_marker(file)) not in (None, 0xD9):
        if marker in (0x01, 0xD8):
            continue
        length = file.read(2)
        if len(length) < 2:
            return
        yield marker, file.read(int.from_bytes(length, "big") - 2) or b"\0"


def _next_marker(file: BinaryIO) -> int | None:
    """Move behind the next marker and return it; None at the end of the file."""
    before, size = b"", 256  # in a header the next one is at hand
    while block := file.read(size):
        block, size = before + block, BLOCK
        if found := _MARKER.search(block):
            file.seek(found.end() - len(block), os.SEEK_CUR)
            return block[found.end() - 1]
        before = block[-1:]
    return None


# ---- TIFF ----

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOUR, _ORDER = 256, 257, 258, 259, 262, 266
_ORIENTATION, _SAMPLES, _ROWS, _PLANES = 274, 277, 278, 284
_STRIPS, _TILES = (273, 279), (324, 325)
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_JPEG, _DEFLATE = (6, 7), (8, 32946)


def _look_at_tiff(file: BoundedFile, *, whole: bool) -> Outline:
    """Read the tags: how large strips or tiles are; compare the checksums of those in deflate."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2  # noqa: PLC0415

    file.restart(*MAX_HEADER)
    head = file.read(8)
    tags = ImageFileDirectory_v2(head + (file.read(8) if head[2] == 43 else b""))
    file.seek(tags.next)
    tags.load(file)
    taken = MAX_HEADER[1] - file.room
    width, height = _number(tags, _WIDTH), _number(tags, _HEIGHT)
    samples, separate = _number(tags, _SAMPLES, 1), _number(tags, _PLANES, 1) == 2
    if samples > MAX_SAMPLES:
        raise ValueError(f"its {samples:,} samples a pixel are too many")
    bits = _number(tags, _BITS, 1) * (1 if separate else samples)
    tiled = _TILES[0] in tags
    across = _number(tags, _TILE_WIDTH) if tiled else width
    down = _number(tags, _TILE_HEIGHT) if tiled else min(height, _number(tags, _ROWS, height))
    n = math.ceil(width / across) * math.ceil(height / down) * (samples if separate else 1)
    # what is kept as luminance and colour comes out in 32 bits
    block = across * down * max(bits, 32 if _number(tags, _COLOUR, 0) == 6 else 0) // 8
    if n > MAX_BLOCKS:
        raise ValueError(f"its {n:,} strips or tiles would take too long to read")
    offsets, sizes = (_numbers(tags, tag)[:n] for tag in (_TILES if tiled else _STRIPS))
    compression = _number(tags, _COMPRESSION, 1)
    beside = 3 * taken  # Pillow reads the tags again, and once more for EXIF
    if compression != 1:
        beside += block + sum(sizes)
    if _number(tags, _ORIENTATION, 1) != 1:
        beside += 4 * width * height  # it is turned as a whole
    outline = Outline(width * height * bits * (samples if separate else 1) // 8, beside)
    if whole and max(beside, n * block // 2) <= MAX_MEMORY:
        if compression in _JPEG:
            _check_scans(file, across * down)
        if compression in _DEFLATE and _number(tags, _ORDER, 1) == 1:
            _check_deflate(file, offsets, sizes, block)
    return outline


def _numbers(tags: ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    values = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(each, int) and each >= 0 for each in values):
        raise ValueError(f"its tag {tag} holds no whole numbers")
    return values


def _number(tags: ImageFileDirectory_v2, tag: int, default: int | None = None) -> int:
    values = _numbers(tags, tag) or (() if default is None else (default,))
    if not values:
        raise ValueError(f"it lacks the tag {tag}")
    return values[0]


def _check_scans(file: BoundedFile, pixels: int) -> None:
    """Refuse strips or tiles in JPEG of too many scans: the two bytes never stand within one."""
    scans, before = 0, b""
    file.restart()
    while block := file.read(BLOCK):
        scans += (before + block).count(b"\xff\xda")
        before = block[-1:]
    if scans * pixels > MAX_SCANNED:
        raise ValueError(f"it comes in {scans:,} scans, which takes too long")


def _check_deflate(
    file: BoundedFile, offsets: tuple[int, ...], sizes: tuple[int, ...], most: int
) -> None:
    """Unpack strips or tiles to their end, where a checksum stands: libtiff stops before it."""
    file.restart()
    for offset, size in zip(offsets, sizes, strict=False):
        file.seek(offset)
        unpacker, left, room = zlib.decompressobj(), size, most + BLOCK
        while not unpacker.eof and (data := file.read(min(left, BLOCK))):
            left -= len(data)
            while data and not unpacker.eof:
                room -= len(unpacker.decompress(data, BLOCK))
                data = unpacker.unconsumed_tail
                if room < 0:
                    raise ValueError("a strip or tile unpacks to more than it should")
        if not unpacker.eof:
            raise EOFError("a strip or tile is cut short")
