"""Image files: one policy for every kind of file, and a clear refusal for every damaged one."""

from __future__ import annotations

import errno
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from image_files import COLOUR, GOLDEN, GREY, HEIGHT, WIDTH, png_chunk, smooth
from lookbook.data.sources import load
from lookbook.errors import InputError, LookbookWarning
from lookbook.images import preprocessing
from lookbook.images.decoding import FORMATS
from lookbook.images.preprocessing import (
    border_median,
    find_polarity,
    fit_image,
    load_image,
    match_polarity,
    read_image,
    read_size,
)


@pytest.fixture(params=GOLDEN)
def golden(request, tmp_path):
    """A file of each kind, and what it must give."""
    name, save, expected, off = GOLDEN[request.param]
    save(tmp_path / name)
    return tmp_path / name, expected, off


def test_each_kind_of_file_gives_the_pixels_of_the_policy(golden):
    path, expected, off = golden
    image = read_image(path)
    assert image.mode in ("L", "RGB")
    found = np.asarray(image).astype(float)
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
    alone = fit_image(read_image(path), size, colour=channels == 3)
    for part in ("train", "test"):
        dataset = load(str(tmp_path / "data"), part, size=size, channels=channels)
        assert dataset.images.shape == (2, *size, *([3] if channels == 3 else []))
        for image in dataset.images:
            np.testing.assert_array_equal(image, alone)


def test_a_far_larger_image_is_read_as_it_is_fitted_from_its_whole(golden, monkeypatch):
    """In strips, and averaged over squares at once: the pixels are the same."""
    path, _, _ = golden
    monkeypatch.setattr(preprocessing, "STRIP", 16)
    for by in (1, 3):
        monkeypatch.setattr(preprocessing, "FIRST_STEP", 2 / by)
        for colour in (False, True):
            whole = fit_image(read_image(path), (8, 9), colour=colour)
            np.testing.assert_array_equal(load_image(path, (8, 9), colour=colour), whole)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("lies", range(1, 9))
def test_images_are_turned_upright_whole_and_in_strips(tmp_path, monkeypatch, kind, lies):
    """All eight ways in which an image may lie, against Pillow's own."""
    path = tmp_path / f"photo.{kind}"
    exif = Image.Exif()
    exif[0x0112] = lies
    pixels = np.random.default_rng(lies).integers(0, 256, (21, 34, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=exif)
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened)
    assert read_size(path) == upright.size[::-1] == ((34, 21) if lies > 4 else (21, 34))
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(upright))
    monkeypatch.setattr(preprocessing, "STRIP", 16)
    monkeypatch.setattr(preprocessing, "FIRST_STEP", 1)
    np.testing.assert_array_equal(
        load_image(path, (8, 9), colour=True), fit_image(upright, (8, 9), colour=True)
    )


def test_a_png_that_says_behind_its_pixels_how_it_lies(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(COLOUR).save(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    content, note = path.read_bytes(), exif.tobytes().removeprefix(b"Exif\0\0")
    path.write_bytes(content[:-12] + png_chunk(b"eXIf", note) + content[-12:])
    assert read_size(path) == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(read_image(path)), np.rot90(COLOUR, -1))


@pytest.mark.parametrize(("level", "ground"), [(0, 255), (191, 255), (192, 0), (255, 0)])
def test_what_is_transparent_lies_on_a_ground_that_contrasts(tmp_path, level, ground):
    path, alpha = tmp_path / "sign.png", np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[5:9, 3:8] = 255
    picture = Image.new("L", (WIDTH, HEIGHT), level)
    picture.putalpha(Image.fromarray(alpha))
    picture.save(path)
    image = load_image(path, (HEIGHT, WIDTH), colour=False)
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
        read_image(path)
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
        assert each.startswith(f"{n} of {n} images come out too dark; the first: {tmp_path}")


# ---- what is refused ----


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_image(path)
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
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert refusal(path) == (
        f"{path} is not an image that can be read; expected one of BMP, GIF, JPEG, PNG, PPM, "
        "TIFF, WEBP"
    ), kind
    assert read_size(path) is None


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_cut_at_every_tenth_is_refused(tmp_path, kind):
    path = tmp_path / f"image.{kind.lower()}"
    noise = np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format=kind)
    whole = path.read_bytes()
    for tenth in range(10):
        path.write_bytes(whole[: tenth * len(whole) // 10])
        assert refusal(path).startswith(f"{path} ")
    path.write_bytes(whole)
    assert read_image(path).size == (50, 60)


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
        assert refusal(path) == f"no image file {path}; check the name"


def changed_at_random(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for place, value in changes:
        changed[place % len(changed)] = value
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow names the damage, too
@given(
    kind=st.sampled_from(FORMATS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_changed_bytes_give_an_image_or_a_refusal(tmp_path_factory, kind, changes):
    path = tmp_path_factory.mktemp("changed") / "picture"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("BMP", "GIF", "PPM") else {"exif": exif}
    Image.fromarray(smooth(9, 8)).save(path, format=kind, **options)
    path.write_bytes(changed_at_random(path.read_bytes(), changes))
    read_size(path)
    try:
        answer = read_image(path).mode
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
    image = fit_image(picture, size, colour=colour)
    assert image.dtype == np.uint8
    assert image.shape == (*size, 3) if colour else size
    assert (image == 200).all()


def test_an_image_of_the_right_size_stays_as_it_is():
    np.testing.assert_array_equal(
        fit_image(Image.fromarray(COLOUR), (HEIGHT, WIDTH), colour=True), COLOUR
    )
    np.testing.assert_array_equal(
        fit_image(Image.fromarray(GREY), (HEIGHT, WIDTH), colour=False), GREY
    )


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_is_cut_off_and_nothing_is_squashed(turned):
    """A square in the middle of a wide strip stays a square, and the ground goes on."""
    strip = np.full((20, 80), 230, np.uint8)
    strip[5:15, 35:45] = 10  # a square of 10 × 10 pixels: a quarter of that at a quarter the size
    image = fit_image(Image.fromarray(strip.T if turned else strip), (20, 20), colour=False)
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
    image = fit_image(Image.fromarray(pixels), (40, 40), colour=True)
    assert image[0, 0].tolist() == image[-1, -1].tolist() == [10, 120, 250]


@pytest.mark.parametrize("shape", [(1, 60000), (60000, 1), (5000, 3)])
def test_a_long_thin_image_costs_little_memory(shape, monkeypatch):
    sizes = []
    new = Image.new
    monkeypatch.setattr(Image, "new", lambda *args: sizes.append(args[1]) or new(*args))
    image = fit_image(new("L", shape, 90), (28, 28), colour=False)
    assert (image == 90).all()
    assert all(width * height < 2_000_000 for width, height in sizes)


def test_a_large_photograph_is_shrunk_by_its_mean():
    """Shrinking in two steps gives nearly the mean over each pixel's square."""
    pixels = np.random.default_rng(2).integers(0, 256, (1280, 1280), dtype=np.uint8)
    pixels[:640] //= 4
    image = fit_image(Image.fromarray(pixels), (16, 16), colour=False).astype(float)
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


def test_an_image_is_inverted_only_where_both_sides_are_sure():
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


def test_a_heic_photograph_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "photo.jpg"  # whatever it is called
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(InputError, match=r"is a HEIC photograph, .*; convert it to JPEG first"):
        read_image(path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = tmp_path / "mine.png"
    Image.new("L", (9, 9)).save(path)

    def refuse(path):  # root may read everything: refuse by hand
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("lookbook.images.decoding.BoundedFile", refuse)
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(caught.value) == (f"{path} cannot be read: Permission denied; check its permissions")
