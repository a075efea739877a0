"""Names of files: as text from any system, compared in one form."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookbook.core.names import few, plain, stem, text, title

KOREAN = st.text(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3), min_size=1)
linux = pytest.mark.skipif(sys.platform == "win32", reason="names are no bytes there")


@pytest.mark.parametrize(
    ("names", "expected"),
    [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d"], "a, b, c, …")],
)
def test_the_first_three_are_named(names, expected):
    assert few(names) == expected


@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_a_name_in_utf_8_is_itself(name):
    assert text(os.fsdecode(name.encode())) == name


@linux
@pytest.mark.parametrize("name", ["고양이/1.png", "개", "뷁 (1)", "한글 abc.jpg"])
def test_a_name_of_a_korean_windows_is_read_in_its_letters(name):
    raw = name.encode("cp949")
    with pytest.raises(UnicodeDecodeError):
        raw.decode()
    assert text(os.fsdecode(raw)) == name


@linux
@given(raw=st.binary().filter(lambda raw: 0 not in raw))
def test_any_name_is_text_that_can_be_written(raw):
    """UTF-8, CP949, or with its odd bytes written out: nothing is left out of it."""
    shown = text(os.fsdecode(raw))
    shown.encode()
    readings = [raw.decode(encoding, "backslashreplace") for encoding in ("utf-8", "cp949")]
    assert shown in readings


def test_half_a_letter_is_written_out():
    assert text("a\ud800b") == "a\\ud800b"
    assert text(os.fsdecode(b"\xff\xffcaf\xe9")) == "\\xff\\xffcaf\\xe9"


@given(name=KOREAN)
def test_hangul_is_one_name_in_syllables_and_in_their_parts(name):
    """Each syllable is an initial, a vowel, perhaps a final, as Unicode, chapter 3.12, counts."""
    apart = "".join(
        chr(0x1100 + code // 588)
        + chr(0x1161 + code % 588 // 28)
        + (chr(0x11A7 + code % 28) if code % 28 else "")
        for code in (ord(letter) - 0xAC00 for letter in name)
    )
    assert apart == unicodedata.normalize("NFD", name) != name
    assert plain(apart) == plain(name) == name


@pytest.mark.parametrize(
    ("path", "name", "called"),
    [
        ("/me/bars.npz", "bars", "bars"),
        ("/me/bars.NPZ", "bars", "bars"),
        ("/me/photos.2024", "photos.2024", "photos.2024"),
        ("/me/v1.5.npz", "v1.5", "v1.5"),
        ("/me/clothes/train", "train", "clothes/train"),
        ("/me/clothes/Images", "Images", "clothes/Images"),
        ("/me/clothes/training", "training", "clothes/training"),
        ("/me/data/cats", "cats", "cats"),
        ("/data", "data", "data"),  # nothing is around it
    ],
)
def test_data_is_called_after_its_file_or_folder(path, name, called):
    assert (stem(Path(path)), title(Path(path))) == (name, called)
