"""Image files are decoded within bounds, and a changed bit is found where a format allows it."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_preprocessing import refusal

from image_files import png_chunk, smooth
from lookbook.errors import InputError
from lookbook.images import decoding
from lookbook.images.preprocessing import load_image, read_image, read_size

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)


def saved(kind: str, pixels: np.ndarray = PIXELS, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(*tags: tuple[int, int], pixels: bytes = b"") -> bytes:
    """A TIFF of these tags, as its specification has it; `pixels` stand behind them."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + pixels


def reason(path: Path) -> str:
    """Say why a file is refused, without what to do instead."""
    message = refusal(path)
    return re.sub(r"^cannot be read \((.*)\); .*", r"\1", message.removeprefix(f"{path} "))


# ---- checksums ----


@pytest.mark.slow
def test_each_bit_of_a_png_is_checked(tmp_path):
    path = tmp_path / "image.png"
    content = saved("PNG", PIXELS[:8, :8, 0])
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(InputError):
            read_image(path)


def test_the_message_names_the_part_of_a_png_that_was_changed(tmp_path):
    path = tmp_path / "image.png"
    content = bytearray(saved("PNG"))
    content[content.index(b"IDAT") + 20] ^= 1
    path.write_bytes(content)
    assert refusal(path) == (
        f"{path} cannot be read (the checksum of its chunk 'IDAT' is wrong); save it again, as a "
        "PNG or JPEG of 8 bits a channel"
    )
    path.write_bytes(saved("PNG")[:-12])
    assert reason(path) == "it is cut short"


@pytest.mark.slow
@pytest.mark.parametrize("tiled", [False, True])
def test_each_bit_of_compressed_pixels_in_a_tiff_is_checked(tmp_path, tiled):
    path = tmp_path / "image.tiff"
    pixels = np.random.default_rng(0).integers(0, 9, (16, 16), dtype=np.uint8)
    packed = zlib.compress(pixels.tobytes())
    place = ((322, 16), (323, 16), (324, 0), (325, 0)) if tiled else ((273, 0), (279, 0))
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1} | dict(place)
    start, size = (324, 325) if tiled else (273, 279)
    tags |= {start: len(tiff(*tags.items())), size: len(packed)}
    content = tiff(*tags.items(), pixels=packed)
    path.write_bytes(content)
    np.testing.assert_array_equal(np.asarray(read_image(path)), pixels)
    refused = 0
    for bit in range(8 * tags[start], 8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            np.testing.assert_array_equal(np.asarray(read_image(path)), pixels)
        except InputError:
            refused += 1
    assert refused > 8 * len(packed) - 8  # the last byte before the checksum has bits to spare


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
def test_tiff_files_of_each_compression_are_read(tmp_path, compression):
    path = tmp_path / "image.tiff"
    for pixels in (smooth(40, 30), smooth(40, 30)[..., 0]):
        Image.fromarray(pixels).save(path, compression=compression)
        assert read_size(path) == (40, 30)
        np.testing.assert_allclose(np.asarray(read_image(path)), pixels, atol=3)


def test_what_libtiff_says_of_damage_is_not_shown(tmp_path, capfd):
    path = tmp_path / "image.tiff"
    Image.fromarray(PIXELS).save(path, compression="tiff_lzw")
    content = path.read_bytes()
    path.write_bytes(content.replace(content[8:60], b"\xff" * 52))
    assert reason(path).startswith("decoder error")
    path.write_bytes(tiff((256, 8), (257, 8), (258, 8), (262, 1), (277, 127)))
    assert reason(path) == "its 127 samples a pixel are too many"
    assert capfd.readouterr() == ("", "")


# ---- bounds ----


@pytest.mark.slow
def test_an_image_of_88_million_pixels_takes_less_than_600_mb(tmp_path):
    """Transparent, and turned: whole layers of it would take 1.4 GB."""
    path, exif = tmp_path / "sky.png", Image.Exif()
    exif[0x0112] = 6
    Image.new("P", (9800, 9000)).save(path, transparency=1, exif=exif, compress_level=1)
    script = """if True:
        import sys
        from pathlib import Path
        from PIL import PngImagePlugin
        from lookbook.images.preprocessing import load_image
        def most():
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
        before = most()
        image = load_image(Path(sys.argv[1]), (64, 64), colour=True)
        print(most() - before, image.shape)
    """
    command = [sys.executable, "-c", script, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, shape = ended.stdout.split(maxsplit=1)
    assert shape == "(64, 64, 3)\n"
    assert 50 < float(taken) < 200


TOO_LONG = "it would take too long to read"


def test_tiles_that_are_larger_than_memory_are_refused(tmp_path):
    path, tile = tmp_path / "tiles.tiff", zlib.compress(bytes(300))
    tags = (256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (322, 32768), (323, 32768), (325, 20)
    path.write_bytes(tiff(*tags, (324, 122), pixels=tile))
    assert refusal(path) == f"{path} would take 1,073 MB of memory to decode; shrink it first"


@pytest.mark.parametrize(("side", "many"), [(1, "300,000"), (16, "131,584")])
def test_strips_and_tiles_that_are_too_many_are_refused(tmp_path, side, many):
    path = tmp_path / "strips.tiff"
    if side == 1:
        tags = (256, 8), (257, 300_000), (258, 8), (262, 1), (273, 0), (278, 1)
    else:
        tags = (256, 8192), (257, 4104), (258, 8), (262, 1), (322, 16), (323, 16), (324, 0)
    path.write_bytes(tiff(*tags))
    assert reason(path) == f"its {many} strips or tiles would take too long to read"
    assert read_size(path) is None


def progressive(scans: int) -> bytes:
    """A JPEG whose last scan comes so many times."""
    content = saved("JPEG", smooth(64, 64), progressive=True)
    last, end = content.rindex(b"\xff\xda"), content.rindex(b"\xff\xd9")
    return content[:last] + scans * content[last:end] + content[end:]


def test_a_jpeg_of_too_many_scans_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(progressive(1))
    image = np.asarray(read_image(path))
    np.testing.assert_allclose(image, smooth(64, 64), atol=8)
    path.write_bytes(progressive(1000))
    assert reason(path) == "it comes in 1,001 scans or more, which takes too long"
    monkeypatch.setattr(decoding, "MAX_SCANNED", 20 * 64 * 64)
    path.write_bytes(progressive(20))
    assert reason(path) == "it comes in 21 scans or more, which takes too long"
    # the same in a TIFF
    path.write_bytes(tiff((256, 64), (257, 64), (259, 7), (262, 1)) + 21 * b"\xff\xda")
    assert reason(path) == "it comes in 21 scans, which takes too long"


def test_a_large_jpeg_of_several_scans_comes_smaller(tmp_path, monkeypatch):
    """Its coefficients take 6 bytes a pixel until the last scan; refused where that is too much."""
    path, pixels = tmp_path / "photo.jpg", smooth(640, 960)
    Image.fromarray(pixels).save(path, progressive=True, subsampling=0, quality=95)
    whole = load_image(path, (8, 12), colour=True)
    monkeypatch.setattr(decoding, "MAX_MEMORY", 7 * 640 * 960)
    assert read_image(path, (8, 12)).size == (240, 160)
    small = load_image(path, (8, 12), colour=True)
    np.testing.assert_allclose(small.astype(int), whole, atol=2)
    assert refusal(path) == f"{path} would take 6 MB of memory to decode; shrink it first"
    monkeypatch.setattr(decoding, "MAX_MEMORY", 6 * 640 * 960)
    with pytest.raises(InputError, match="would take 4 MB of memory to decode; shrink it first"):
        load_image(path, (8, 12), colour=True)


def test_pixels_of_several_layers_of_16_bits_are_bounded(tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 16, 6, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(10 * bytes(81)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels + png_chunk(b"IEND", b""))
    assert read_image(path).size == (10, 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # 800 bytes are more than 600
    assert refusal(path) == f"{path} would unpack to 0 MB; shrink it first"


@pytest.mark.parametrize("size", [(2**20 + 1, 1), (1, 2**20 + 1)])
def test_sides_are_bounded(tmp_path, size):
    path = tmp_path / "line.pgm"
    path.write_bytes(b"P5\n%d %d\n255\n" % size + bytes(2**20 + 1))
    assert refusal(path) == (
        f"{path} is 1,048,577 pixels long, at most 1,048,576 can be read; shrink it first"
    )
    path.write_bytes(b"P5\n%d %d\n255\n" % (2**20, 1) + bytes(2**20))
    assert load_image(path, (8, 8), colour=True).shape == (8, 8, 3)


def test_a_webp_counts_what_its_decoder_keeps(tmp_path, monkeypatch):
    path = tmp_path / "image.webp"
    Image.fromarray(PIXELS).save(path)
    assert read_image(path).size == (10, 12)
    monkeypatch.setattr(decoding, "MAX_MEMORY", 15 * PIXELS[..., 0].size)
    assert refusal(path) == f"{path} would take 0 MB of memory to decode; shrink it first"


def slow_files() -> dict[str, bytes]:
    """Files whose header, or pixels, Pillow would read byte by byte."""
    png, gif, jpeg = saved("PNG"), saved("GIF"), saved("JPEG")
    comments = b"!\xfe" + 200_000 * b"\x01a" + b"\0"
    first = gif.index(b",", 13 + 3 * 128)
    bmp = b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078)
    bmp += struct.pack("<IiiHHIIiiII", 40, 9, 9, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024)
    return {
        "ppm with a long comment": b"P6\n#" + 300_000 * b"a" + b"\n8 8\n255\n" + bytes(192),
        "gif of comments": gif[:first] + comments + gif[first:],
        "jpeg of bytes between its parts": jpeg[:20] + 300_000 * b"a" + jpeg[20:],
        "png of empty chunks": png[:33] + 500 * png_chunk(b"prVt", b"") + png[33:],
        "ppm of odd levels": b"P6\n50 50\n100\n" + bytes(7500),
        "pgm of words": b"P2\n9 9\n255\n" + 81 * b"7 " + 900 * b" ",
        "pgm of words and comments": b"P2\n9 9\n255\n" + 81 * b"7 #\n",
        "bmp of runs": bmp + 9 * (9 * b"\x01\x07" + b"\0\0"),
    }


@pytest.mark.parametrize("kind", slow_files())
def test_what_would_be_read_byte_by_byte_is_bounded(tmp_path, monkeypatch, kind):
    path = tmp_path / "picture"
    path.write_bytes(slow_files()[kind])
    for name, most in (("CHUNKS", 400), ("CALLS", 100), ("PLAIN", 999), ("COMMENTS", 80)):
        monkeypatch.setattr(decoding, f"MAX_{name}", most)
    assert reason(path) == TOO_LONG


@pytest.mark.parametrize("kind", slow_files())
def test_a_little_of_that_is_read(tmp_path, kind):
    path = tmp_path / "picture"
    content = slow_files()[kind]
    path.write_bytes(content.replace(300_000 * b"a", 99 * b"a").replace(200_000 * b"\x01a", b""))
    assert read_image(path).width > 7


def test_what_is_no_image_in_a_png_is_bounded(tmp_path, monkeypatch):
    path, png = tmp_path / "image.png", saved("PNG")
    path.write_bytes(png[:33] + png_chunk(b"prVt", bytes(5000)) + png[33:])
    assert read_image(path).size == (10, 12)
    monkeypatch.setattr(decoding, "MAX_BESIDE", 4000)
    assert reason(path) == "it would take too much memory to read"


def test_a_row_of_a_png_counts_twice_beside_its_pixels(tmp_path, monkeypatch):
    path = tmp_path / "line.png"
    Image.new("L", (5000, 1)).save(path)
    monkeypatch.setattr(decoding, "MAX_MEMORY", 3 * 5000 + 100)
    assert read_image(path).size == (5000, 1)
    monkeypatch.setattr(decoding, "MAX_MEMORY", 3 * 5000 - 100)
    assert "memory to decode" in refusal(path)
