"""Names, folders and files become a Dataset, or a message that says what to mend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookbook.data.catalog import BUILTIN
from lookbook.data.download import fetch
from lookbook.data.sources import load, load_data, resolve
from lookbook.errors import InputError, LookbookWarning
from lookbook.runs.places import free_folder
from made_data import (
    arrays_in,
    images_of,
    left_out,
    made_dataset,
    refusal,
    save_npz,
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A built-in dataset called `made`, in a cache of its own; the folder of its files."""
    source = tmp_path / "publisher"
    dataset = made_dataset(source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(BUILTIN, "made", dataset)
    fetch(dataset, folder=source)
    return source


def test_a_built_in_name(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()  # a folder of that name does not hide it; ./made is the folder
    expected = arrays_in(made)
    with pytest.warns(LookbookWarning) as caught:
        load("made")
    assert left_out(caught) == [
        "./made is there, too; the built-in dataset is taken; write ./made for the folder"
    ]
    assert caught[0].filename == __file__
    load("made", "test")
    (tmp_path / "made").rename(tmp_path / "other")
    for part in ("train", "test"):
        dataset = load("made", part)
        np.testing.assert_array_equal(dataset.images, expected[f"{part}-images"])
        np.testing.assert_array_equal(dataset.labels, expected[f"{part}-labels"])
        assert dataset.classes == ("a", "b", "c")
    (tmp_path / "other").rename(tmp_path / "made")
    assert refusal("./made").startswith("made has 0 class folders; ")
    with pytest.raises(InputError, match=r"^made has 0 class folders; "):
        load(Path("made"))
    assert [resolve("made").identity, resolve("./made").identity] == [
        "made",
        str(tmp_path / "made"),
    ]
    assert resolve(Path("made")).identity == str(tmp_path / "made")
    assert not resolve("made").resizable
    assert resolve("./made").resizable
    assert resolve("made").measured_part() == "test"


def test_load_data_gives_what_keras_gives(made):
    expected = arrays_in(made)
    (x_train, y_train), (x_test, y_test) = load_data("made")
    for name, array in {
        "train-images": x_train,
        "train-labels": y_train,
        "test-images": x_test,
        "test-labels": y_test,
    }.items():
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected[name])


def test_names_and_paths_that_do_not_exist(tmp_path):
    known = ", ".join(BUILTIN)
    assert refusal("fashionmnist") == (
        "no dataset is called 'fashionmnist'; did you mean 'fashion-mnist'?; built in are "
        f"{known}; your own: a folder of class folders, an .npz file, or a folder of IDX files"
    )
    rest = (
        f"DATA is one of {known}, a folder of class folders, an .npz file, or a folder of IDX files"
    )
    missing, file = tmp_path / "missing", tmp_path / "notes.txt"
    file.write_text("no images")
    assert refusal("") == f"DATA is empty; {rest}"
    assert refusal(missing) == f"{missing} does not exist; {rest}"
    assert refusal(file) == f"{file} is neither a folder nor an .npz file; {rest}"
    for name in ("data.zip", "data.tar.gz"):
        (tmp_path / name).touch()
        assert refusal(tmp_path / name) == (
            f"{tmp_path / name} is an archive; unpack it, and name what was in it; {rest}"
        )
    for address in ("https://example.org/data.npz", "S3://bucket/data"):
        assert refusal(address) == (
            f"{address} is an address, and nothing is fetched from there; download it, unpack it, "
            f"and name the file or folder; {rest}"
        )


def test_an_npz_file_in_capitals_is_one(tmp_path):
    path = save_npz(tmp_path / "x.npz", images=images_of(10), labels=np.arange(10) % 2)
    assert len(load(path.rename(tmp_path / "X.NPZ"))) == 8
    assert resolve(tmp_path / "X.NPZ").measured_part() == "split"
    assert free_folder(resolve(tmp_path / "X.NPZ").stem, "quick").name == "X-quick-1"


@pytest.mark.parametrize("size", [0, 7, 289, 10**9, (64, 300)])
def test_a_size_out_of_range(tmp_path, size):
    worst = size if isinstance(size, int) else 300
    assert refusal(tmp_path, size=size) == f"`size` must be 8 to 288 pixels, got {worst}"
