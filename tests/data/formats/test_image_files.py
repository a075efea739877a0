"""Image files in and below a folder: what is left out, and a folder of none that can be read."""

from __future__ import annotations

import pytest
from PIL import Image

from lookbook.data.formats.image_files import KINDS, list_images
from lookbook.data.formats.image_folder import find_layout, list_files
from lookbook.errors import InputError

CONVERT = (
    "but HEIC photographs, which are not read; convert them to JPEG first (an iPhone takes JPEG "
    "with Settings > Camera > Formats > Most Compatible)"
)


@pytest.fixture
def album(tmp_path):
    """Photographs as an iPhone writes them, in class folders, and a text."""
    for name in ("cat/1.HEIC", "cat/2.heic", "dog/3.heif", "dog/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    return tmp_path


def test_a_folder_of_heic_photographs_says_what_to_do(album):
    with pytest.raises(InputError) as caught:
        list_images(album)
    assert str(caught.value) == f"{album} holds no image files {CONVERT}"
    with pytest.raises(InputError) as caught:
        list_files(find_layout(album), "train")
    assert str(caught.value) == f"{album} holds no image files in its class folders {CONVERT}"


def test_heic_photographs_beside_others_are_left_out(album):
    Image.new("L", (9, 9)).save(album / "cat" / "4.png")
    names, (note,) = list_images(album)
    assert names == [str(album / "cat" / "4.png")]
    assert note.startswith("left out 4 files (of kinds that are not read: 2 .heic, 1 .heif, 1 .txt")


def test_a_folder_of_links_says_that_they_are_not_followed(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(InputError, match=r"holds no image files but links \(1\), which are not"):
        list_images(tmp_path)


def test_a_folder_of_other_files_says_what_is_read(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError) as caught:
        list_images(tmp_path)
    assert str(caught.value) == f"{tmp_path} holds no image files; expected {KINDS}"
