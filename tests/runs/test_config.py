"""What a training was asked for: as it is written, read again, and read from earlier versions."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from lookbook.data.sources import load
from lookbook.errors import DamagedFileError, InputError
from lookbook.recipes import STANDARD
from lookbook.runs import schema
from lookbook.runs.config import TrainConfig
from lookbook.runs.store import list_runs, read_request, read_run, sealed
from lookbook.training.pipeline import resume, train

CONFIG = TrainConfig(
    data="images.npz",
    recipe=STANDARD,
    seed=7,
    size=28,
    final=True,
    fit_seconds=2.5,
    train_sha256="0" * 64,
    validation_sha256="1" * 64,
    split=1,
    corrections=[(3, 0), (5, 1)],
    versions={"torch": "2.8"},
    processor="one",
    threads=2,
)
#: what the first versions did not write
LATER = ("validation_sha256", "split", "corrections", "processor", "threads", "kept_together")


def write(folder, document):
    place = folder / "run.unfinished"
    place.mkdir()
    (place / "request.json").write_text(json.dumps(sealed(document)))
    return folder / "run"


def test_what_was_asked_for_is_read_as_it_was_written(tmp_path):
    assert read_request(write(tmp_path, CONFIG.to_json())) == (tmp_path / "run", CONFIG)


def test_a_request_has_the_keys_that_it_always_had():
    assert list(CONFIG.to_json()) == [
        "data", "recipe", "seed", "size", "final", "fit_seconds", "train_sha256",
        "validation_sha256", "split", "corrections", "versions", "processor", "threads",
        "kept_together",
    ]  # fmt: skip
    assert CONFIG.to_json()["recipe"] == STANDARD.to_json()


def test_a_request_of_an_earlier_version_is_read(tmp_path):
    document = {key: value for key, value in CONFIG.to_json().items() if key not in LATER}
    _, config = read_request(write(tmp_path, document))
    assert (config.recipe, config.seed, config.fit_seconds) == (STANDARD, 7, 2.5)
    assert (config.validation_sha256, config.split, config.threads) == (None, None, None)
    assert (config.corrections, config.processor) == ([], "")


@pytest.mark.parametrize("size", [None, 8, 288, (8, 288)])
def test_a_size_is_read_as_it_was_asked_for(tmp_path, size):
    config = replace(CONFIG, size=size)
    assert read_request(write(tmp_path, config.to_json()))[1] == config


@pytest.mark.parametrize(
    ("size", "why"),
    [
        (0, "`size` must be 8 to 288 pixels, got 0"),
        (289, "`size` must be 8 to 288 pixels, got 289"),
        ([16, 7], "`size` must be 8 to 288 pixels, got 7"),
        ([16, 16, 16], "Expected `array` of length 2"),
        ([16, "16"], "Expected `int`, got `str`"),
        ("16", "Expected `int | array | null`, got `str`"),
    ],
)
def test_a_size_that_no_image_has_is_refused(tmp_path, size, why):
    folder = write(tmp_path, CONFIG.to_json() | {"size": size})
    with pytest.raises(DamagedFileError, match=re.escape(why)):
        read_request(folder)


def test_what_a_later_version_asks_for_cannot_be_obeyed(tmp_path):
    folder = write(tmp_path, CONFIG.to_json() | {"more": [1]})
    with pytest.raises(DamagedFileError, match="unknown field `more`; delete "):
        read_request(folder)


@pytest.mark.parametrize("name", ["history", "counted"])
def test_an_epoch_keeps_the_keys_of_its_document(name):
    epoch = {
        "epoch": 2, "pictures": 30, "pictures_per_epoch": 40, "loss": 0.5, "accuracy": 0.75,
        "val_loss": None, "val_accuracy": None, "seconds": 1.5, "learning_rate": 0.25,
    }  # fmt: skip
    record = schema.EpochRecord(2, 30, 40, 0.5, 0.75, None, None, 1.5, 0.25)
    counted = schema.Counted(seconds=1.5, steps_done=3, sums=(0.5, 1, 2), history=[record])
    written = {"history": [record], "counted": counted}[name]
    content = schema.msgspec.json.encode(written)
    plain = json.loads(content)
    assert (plain if name == "history" else plain["history"]) == [epoch]
    found = schema.decode(name, content)
    assert found == written


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"final": 1}, "`final` must be bool, got 1"),
        ({"final": "no"}, "`final` must be bool, got 'no'"),
        ({"mirror": 1}, "`mirror` must be bool, got 1"),
        ({"seed": "a"}, "`seed` must be int, got 'a'"),
        ({"seed": None}, "`seed` must be int, got None"),
        ({"budget": "3s"}, "`budget` must be int or float, got '3s'"),
        ({"epochs": "5"}, "`epochs` must be int or float, got '5'"),
        ({"size": "28"}, "`size` must be int or tuple, got '28'"),
    ],
)
def test_what_is_asked_for_in_another_type_is_refused_before_any_work(tmp_path, asked, expected):
    with pytest.raises(InputError) as caught:
        train("fashion-mnist", "quick", out=tmp_path / "run", **asked)
    assert str(caught.value) == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [None, 5, b"mnist"])
def test_what_is_no_name_and_no_path_is_refused(given):
    for call in (train, load):
        with pytest.raises(InputError, match=r"^expected the name or the path of data, got "):
            call(given)
    for call in (read_run, resume):
        with pytest.raises(InputError, match=r"^expected a run, its folder or its name, got "):
            call(given)


def test_runs_of_a_folder_by_its_name(tmp_path):
    assert list_runs(str(tmp_path)) == list_runs(str(tmp_path / "none")) == []
