"""Picture files: one policy for every kind of file, and a clear refusal for every damaged one."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from lookbook import photos
from lookbook.datasets import load
from lookbook.decoding import FORMATS
from lookbook.errors import InputError, LookbookWarning
from lookbook.photos import (
    border_median,
    find_polarity,
    fit_picture,
    load_picture,
    match_polarity,
    read_picture,
    read_size,
)

HEIGHT, WIDTH = 20, 16
rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
ALPHA = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
#: so light that white would hide it
LIGHT = 200 + COLOUR // 5
#: sixteen colours, and a number of one for each pixel
PALETTE = rng.integers(0, 256, (16, 3), dtype=np.uint8)
NUMBERS = rng.integers(0, 16, (HEIGHT, WIDTH), dtype=np.uint8)


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay pixels on white, by the formula."""
    opacity = alpha[..., None] / 255
    return pixels * opacity + 255 * (1 - opacity)


def smooth(height: int, width: int, *, channels: int = 3) -> np.ndarray:
    """A picture that JPEG keeps nearly as it is: each corner has a shade of its own."""
    rows, columns = np.mgrid[0:height, 0:width]
    shades = 40 + 120 * rows / height + 80 * columns / width
    return np.repeat(shades[..., None], channels, axis=2).astype(np.uint8)


def save_palette(path: Path, **options) -> None:
    picture = Image.frombytes("P", (WIDTH, HEIGHT), NUMBERS.tobytes())
    picture.putpalette(PALETTE.tobytes())
    picture.save(path, **options)


def save_rotated(path: Path) -> None:
    """Save a picture that lies on its side, as telephones do, with the note how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right to show it
    lying = Image.fromarray(np.rot90(smooth(HEIGHT, WIDTH)))
    lying.save(path, exif=exif, quality=95)


def save_animation(path: Path) -> None:
    first = Image.frombytes("P", (WIDTH, HEIGHT), NUMBERS.tobytes())
    first.putpalette(PALETTE.tobytes())
    first.save(path, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT), "red")])


def save_grey_with_alpha(path: Path) -> None:
    Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]).save(path)


def save_cmyk(path: Path) -> None:
    """Black ink only: the shade is what the ink leaves of white."""
    ink = Image.fromarray(255 - smooth(HEIGHT, WIDTH)[..., 0])
    none = Image.new("L", ink.size)
    Image.merge("CMYK", [none, none, none, ink]).save(path, quality=95)


#: a grey level and a colour that a PNG may call transparent
LEVEL, SHADE = int(GREY[3, 4]), COLOUR[3, 4].tolist()

#: kind → (file name, how it is saved, the pixels that it must give, how far off they may be)
GOLDEN: dict[str, tuple[str, Callable[[Path], None], np.ndarray, int]] = {
    "grey": ("x.png", lambda p: Image.fromarray(GREY).save(p), GREY, 0),
    "colour": ("x.png", lambda p: Image.fromarray(COLOUR).save(p), COLOUR, 0),
    "colour and alpha": (
        "x.png",
        lambda p: Image.fromarray(np.dstack([COLOUR, ALPHA])).save(p),
        on_white(COLOUR, ALPHA),
        1,
    ),
    "grey and alpha": ("x.png", save_grey_with_alpha, on_white(GREY[..., None], ALPHA), 1),
    "palette": ("x.png", save_palette, PALETTE[NUMBERS], 0),
    "palette with a transparent colour": (
        "x.png",
        lambda p: save_palette(p, transparency=3),
        np.where(NUMBERS[..., None] == 3, 255, PALETTE[NUMBERS]),
        0,
    ),
    "palette with shades of transparency": (
        "x.png",
        lambda p: save_palette(p, transparency=bytes(range(0, 256, 16))),
        on_white(PALETTE[NUMBERS], 16 * NUMBERS),
        1,
    ),
    "black and white": (
        "x.png",
        lambda p: Image.fromarray(GREY > 127).save(p),
        np.where(GREY > 127, 255, 0),
        0,
    ),
    "16-bit grey": (
        "x.png",
        lambda p: Image.fromarray(GREY.astype(np.uint16) * 256 + 200).save(p),
        GREY,
        0,
    ),
    "16-bit grey in 32": (
        "x.tiff",
        lambda p: Image.fromarray(GREY.astype(np.int32) * 256 + 200).save(p),
        GREY,
        0,
    ),
    "black and white with a transparent colour": (
        "x.png",
        lambda p: Image.fromarray(GREY > 127).save(p, transparency=0),
        np.where(GREY > 127, 255, 0),  # white that can be seen, so on black
        0,
    ),
    "white and alpha": (
        "x.png",
        lambda p: Image.fromarray(np.dstack([LIGHT, ALPHA])).save(p),
        LIGHT * (ALPHA[..., None] / 255),  # on black
        1,
    ),
    "grey with a transparent level": (
        "x.png",
        lambda p: Image.fromarray(GREY).save(p, transparency=LEVEL),
        np.where(GREY == LEVEL, 255, GREY),
        0,
    ),
    "colour with a transparent colour": (
        "x.png",
        lambda p: Image.fromarray(COLOUR).save(p, transparency=tuple(SHADE)),
        np.where((COLOUR == SHADE).all(axis=2, keepdims=True), 255, COLOUR),
        0,
    ),
    "16-bit grey with a transparent level": (
        "x.png",
        lambda p: Image.fromarray(GREY.astype(np.uint16) * 256 + 200).save(
            p, transparency=LEVEL * 256 + 200
        ),
        np.where(GREY == LEVEL, 255, GREY),
        0,
    ),
    "CMYK": ("x.jpg", save_cmyk, smooth(HEIGHT, WIDTH), 3),
    "rotated by EXIF": ("x.jpg", save_rotated, smooth(HEIGHT, WIDTH), 3),
    "animation": ("x.gif", save_animation, PALETTE[NUMBERS], 0),
    "bitmap": ("x.bmp", lambda p: Image.fromarray(COLOUR).save(p), COLOUR, 0),
    "webp": ("x.webp", lambda p: Image.fromarray(COLOUR).save(p, lossless=True), COLOUR, 0),
    "pgm": ("x.pgm", lambda p: Image.fromarray(GREY).save(p), GREY, 0),
}


@pytest.fixture(params=GOLDEN)
def golden(request, tmp_path):
    """A file of each kind, and what it must give."""
    name, save, expected, off = GOLDEN[request.param]
    save(tmp_path / name)
    return tmp_path / name, expected, off


def test_each_kind_of_file_gives_the_pixels_of_the_policy(golden):
    path, expected, off = golden
    picture = read_picture(path)
    assert picture.mode in ("L", "RGB")
    found = np.asarray(picture).astype(float)
    if found.ndim > expected.ndim:
        expected = expected[..., None]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=off)
    assert read_size(path) == found.shape[:2] == (HEIGHT, WIDTH)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (28, 28), (9, 13)])
def test_training_sees_what_prediction_sees(golden, tmp_path, channels, size):
    """The same file gives the same pixels alone and in a class folder, training and test."""
    path, _, _ = golden
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            (folder / path.name).write_bytes(path.read_bytes())
    alone = fit_picture(read_picture(path), size, colour=channels == 3)
    for part in ("train", "test"):
        dataset = load(str(tmp_path / "data"), part, size=size, channels=channels)
        assert dataset.images.shape == (2, *size, *([3] if channels == 3 else []))
        for image in dataset.images:
            np.testing.assert_array_equal(image, alone)


def test_a_far_larger_picture_is_read_as_it_is_fitted_from_its_whole(golden, monkeypatch):
    """In strips, and averaged over squares at once: the pixels are the same."""
    path, _, _ = golden
    monkeypatch.setattr(photos, "STRIP", 16)
    for by in (1, 3):
        monkeypatch.setattr(photos, "EXCESS", 2 / by)
        for colour in (False, True):
            whole = fit_picture(read_picture(path), (8, 9), colour=colour)
            np.testing.assert_array_equal(load_picture(path, (8, 9), colour=colour), whole)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("lies", range(1, 9))
def test_pictures_are_turned_upright_whole_and_in_strips(tmp_path, monkeypatch, kind, lies):
    """All eight ways in which a picture may lie, against Pillow's own."""
    path = tmp_path / f"photo.{kind}"
    exif = Image.Exif()
    exif[0x0112] = lies
    pixels = np.random.default_rng(lies).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    assert read_size(path) == upright.size[::-1] == ((34, 21) if lies > 4 else (21, 34))
    np.testing.assert_array_equal(np.asarray(read_picture(path)), np.asarray(upright))
    monkeypatch.setattr(photos, "STRIP", 16)
    monkeypatch.setattr(photos, "EXCESS", 1)
    np.testing.assert_array_equal(
        load_picture(path, (8, 9), colour=True), fit_picture(upright, (8, 9), colour=True)
    )


def test_a_png_that_says_behind_its_pixels_how_it_lies(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(COLOUR).save(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    content, note = path.read_bytes(), exif.tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(content[:-12] + png_chunk(b"eXIf", note) + content[-12:])
    assert read_size(path) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(read_picture(path)), np.rot90(COLOUR, -1))


@pytest.mark.parametrize(("level", "ground"), [(0, 255), (191, 255), (192, 0), (255, 0)])
def test_what_is_transparent_lies_on_a_ground_that_contrasts(tmp_path, level, ground):
    path, alpha = tmp_path / "sign.png", np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[5:9, 3:8] = 255
    picture = Image.new("L", (WIDTH, HEIGHT), level)
    picture.putalpha(Image.fromarray(alpha))
    picture.save(path)
    image = load_picture(path, (HEIGHT, WIDTH), colour=False)
    np.testing.assert_array_equal(image, np.where(alpha, level, ground))


@pytest.mark.parametrize(
    ("highest", "told"),
    [
        (0, None),
        (255, "255 of 65,535; save them with 8 bits"),
        (4095, "4,095 of 65,535; multiply them by 16"),
        (4096, None),
    ],
)
def test_16_bits_of_which_few_are_used_are_told(tmp_path, highest, told):
    """Levels of 8 or 12 bits in a file of 16 come out black: alone, and once for a folder."""
    path = tmp_path / "cat" / "scan.png"
    path.parent.mkdir()
    Image.fromarray(np.linspace(0, highest, 81).astype(np.uint16).reshape(9, 9)).save(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_picture(path)
    expected = [f"{path} is nearly black: its 16-bit levels end at {told}"] if told else []
    assert [str(each.message) for each in caught] == expected
    for name in ("cat/2", "cat/3", "cat/4", "dog/1", "dog/2", "dog/3", "dog/4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(path.read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        n = len(load(str(tmp_path)))
    dark = [str(each.message) for each in caught if "too dark" in str(each.message)]
    assert len(dark) == len(expected)
    for each in dark:
        assert each.startswith(f"{n} of {n} pictures come out too dark; the first: {tmp_path}")


# ---- what is refused ----


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as the specification of PNG has it."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_picture(path)
    return str(caught.value)


def test_a_palette_that_lacks_is_told(tmp_path):
    head = struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(72))), (b"IEND", b""))
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*each) for each in chunks))
    assert refusal(path) == (
        f"{path} cannot be read (it lacks its palette); save it again, as a PNG or JPEG of 8 bits "
        "a channel"
    )


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: pytest.fail("was decoded"))
    for side in (11, 15):  # Pillow warns of the one, and refuses the other
        path = tmp_path / f"{side}.png"
        Image.new("L", (side, side)).save(path)
        assert refusal(path) == (f"{path} would unpack to more than 100 pixels; shrink it first")


def test_a_bomb_in_a_folder_is_left_out(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (9, 9)).save(tmp_path / name / f"{number}.png")
    bomb = tmp_path / "dog" / "bomb.png"
    Image.new("L", (15, 15)).save(bomb)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.warns(LookbookWarning, match=re.escape(str(bomb))):
        dataset = load(str(tmp_path), "train", size=9)
    assert dataset.counts.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"),
        ("PSD", b"8BPS\0\x01" + bytes(6) + b"\0\x03\0\0\0\x08\0\0\0\x08\0\x08\0\x03" + bytes(64)),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"),
        ("text", "옷 사진 👗\n".encode()),
        ("nothing", b""),
    ],
)
def test_another_kind_of_file_in_disguise_is_refused(tmp_path, monkeypatch, kind, content):
    Image.init()
    for name in set(Image.OPEN) - {*FORMATS, "DIB", "MPO"}:
        monkeypatch.setitem(Image.OPEN, name, (lambda *_: pytest.fail("parser ran"), None))
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert refusal(path) == (
        f"{path} is not a picture that can be read; expected one of BMP, GIF, JPEG, PNG, PPM, "
        "TIFF, WEBP"
    ), kind
    assert read_size(path) is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_at_every_tenth_is_refused(tmp_path, kind):
    path = tmp_path / f"picture.{kind.lower()}"
    noise = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=kind)
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: tenth * len(whole) // 10])
        assert refusal(path).startswith(f"{path} ")
    path.write_bytes(whole)
    assert read_picture(path).size == (50, 60)


def test_what_the_message_of_a_cut_file_says(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(smooth(60, 50)).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    message = refusal(path)
    assert re.sub(r"\d+ bytes", "… bytes", message) == (
        f"{path} cannot be read (image file is truncated (… bytes not processed)); save it again, "
        "as a PNG or JPEG of 8 bits a channel"
    )


@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (np.zeros((9, 9), np.float32), "floating-point pixels have no fixed range"),
        (np.full((9, 9), 2**16, np.int32), "32-bit pixels have no fixed range"),
        (np.full((9, 9), -1, np.int32), "32-bit pixels have no fixed range"),
    ],
)
def test_pixels_without_a_range_are_refused(tmp_path, pixels, why):
    path = tmp_path / "scan.tiff"
    Image.fromarray(pixels).save(path)
    assert refusal(path) == (
        f"{path} cannot be read ({why}); save it again, as a PNG or JPEG of 8 bits a channel"
    )


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "missing.png"):
        assert refusal(path) == f"no picture file {path}; check the name"


def changed_at_random(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow names the damage, too
@given(
    kind=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_give_a_picture_or_a_refusal(tmp_path_factory, kind, changes):
    path = tmp_path_factory.mktemp("changed") / "picture"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("BMP", "GIF", "PPM") else {"exif": exif}
    Image.fromarray(smooth(9, 8)).save(path, format=kind, **options)
    path.write_bytes(changed_at_random(path.read_bytes(), changes))
    read_size(path)
    try:
        answer = read_picture(path).mode
    except InputError as error:
        answer = str(error)
    assert answer in ("L", "RGB") or str(path) in answer


# ---- one size ----


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    colour=st.booleans(),
)
def test_one_colour_stays_one_colour(width, height, size, colour):
    picture = Image.new("RGB", (width, height), (200, 200, 200))
    image = fit_picture(picture, size, colour=colour)
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3) if colour else size
    assert (image == 200).all()


def test_a_picture_of_the_right_size_stays_as_it_is():
    np.testing.assert_array_equal(
        fit_picture(Image.fromarray(COLOUR), (HEIGHT, WIDTH), colour=True), COLOUR
    )
    np.testing.assert_array_equal(
        fit_picture(Image.fromarray(GREY), (HEIGHT, WIDTH), colour=False), GREY
    )


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_is_cut_off_and_nothing_is_squashed(turned):
    """A square in the middle of a wide strip stays a square, and the ground goes on."""
    strip = np.full((20, 80), 230, np.uint8)
    strip[5:15, 35:45] = 10  # a square of 10 × 10 pixels: a quarter of that at a quarter the size
    image = fit_picture(Image.fromarray(strip.T if turned else strip), (20, 20), colour=False)
    assert image[0, 0] == image[-1, -1] == image[10, 0] == image[0, 10] == 230
    ink = (230 - image.astype(float)) / 220
    assert ink.sum() == pytest.approx(10 * 10 / 16, rel=0.02)
    assert ink.sum(axis=0).max() == pytest.approx(ink.sum(axis=1).max(), abs=0.02)
    rows, columns = np.nonzero(ink > 0.02)
    assert np.ptp(rows) == np.ptp(columns)


def test_the_padding_has_the_colour_of_the_border():
    pixels = np.zeros((10, 40, 3), np.uint8)
    pixels[...] = (10, 120, 250)
    pixels[2:8, 2:38] = 255
    image = fit_picture(Image.fromarray(pixels), (40, 40), colour=True)
    assert image[0, 0].tolist() == image[-1, -1].tolist() == [10, 120, 250]


@pytest.mark.parametrize("shape", [(1, 60000), (60000, 1), (5000, 3)])
def test_a_long_thin_picture_costs_little_memory(shape, monkeypatch):
    sizes = []
    new = Image.new
    monkeypatch.setattr(Image, "new", lambda *args: sizes.append(args[1]) or new(*args))
    image = fit_picture(new("L", shape, 90), (28, 28), colour=False)
    assert (image == 90).all()
    assert all(width * height < 2_000_000 for width, height in sizes)


def test_a_large_photograph_is_shrunk_by_its_mean():
    """Shrinking in two steps gives nearly the mean over each pixel's square."""
    pixels = np.random.default_rng(2).integers(0, 256, (1280, 1280), dtype=np.uint8)
    pixels[:640] //= 4
    image = fit_picture(Image.fromarray(pixels), (16, 16), colour=False).astype(float)
    means = pixels.reshape(16, 80, 16, 80).mean(axis=(1, 3))
    inside = [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]  # the filter is wider than a pixel
    np.testing.assert_allclose(image[inside], means[inside], atol=4)


# ---- light on dark, or dark on light ----


def framed(border: int, inside: int) -> np.ndarray:
    image = np.full((8, 8), inside, np.uint8)
    image[0] = image[-1] = image[:, 0] = image[:, -1] = border
    return image


def test_the_border_decides_the_polarity():
    dark, light, grey = framed(0, 200), framed(255, 30), framed(128, 128)
    assert find_polarity(np.stack([dark] * 9 + [grey])) == "light on dark"
    assert find_polarity(np.stack([light] * 9 + [dark])) == "dark on light"
    assert find_polarity(np.stack([dark] * 8 + [light] * 2)) == "mixed"
    assert find_polarity(np.stack([np.dstack([light] * 3)] * 3)) == "dark on light"
    for border, polarity in ((63, "light on dark"), (64, "mixed"), (191, "mixed")):
        assert find_polarity(framed(border, 100)[None]) == polarity
    assert find_polarity(framed(192, 100)[None]) == "dark on light"


def test_a_picture_is_inverted_only_where_both_sides_are_sure():
    dark, light, grey = framed(0, 200), framed(255, 30), framed(128, 128)
    image, inverted = match_polarity(light, "light on dark")
    assert inverted
    np.testing.assert_array_equal(image, framed(0, 225))
    assert match_polarity(dark, "dark on light")[1]
    for picture, polarity in (
        (dark, "light on dark"),
        (light, "dark on light"),
        (light, "mixed"),
        (grey, "light on dark"),
    ):
        image, inverted = match_polarity(picture, polarity)
        assert not inverted
        np.testing.assert_array_equal(image, picture)


def test_the_border_is_the_outermost_ring():
    assert int(border_median(framed(7, 200))) == 7
    colours = np.dstack([framed(7, 0), framed(8, 0), framed(9, 0)])
    assert border_median(colours).tolist() == [7, 8, 9]
    assert int(border_median(np.array([[5]], np.uint8))) == 5
