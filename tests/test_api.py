"""The public names of the package, as somebody meets them who only reads what Python shows."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import pydoc
import re
import warnings
from importlib.metadata import version

import numpy as np
import pytest
import torch

import lookbook
from conftest import made_images
from lookbook import plots
from lookbook.data.sources import resolve
from lookbook.errors import InputError
from lookbook.exports import int8
from lookbook.recipes import TUTORIAL
from lookbook.runs.config import TrainRequest
from lookbook.training import pipeline

FUNCTIONS = [
    *(name for name in lookbook.__all__ if inspect.isfunction(getattr(lookbook, name))),
    *(name for name in dir(plots) if name.startswith("plot_")),
]


def public(name: str) -> object:
    return getattr(lookbook if name in lookbook.__all__ else plots, name)


def test_the_version_is_that_of_the_package():
    assert lookbook.__version__ == version("lookbook")


def test_the_public_names_are_there_and_are_all_that_dir_shows():
    assert set(lookbook.__all__) >= {"Prediction", "resume", "export", "train", "__version__"}
    assert dir(lookbook) == sorted(lookbook.__all__)
    for name in lookbook.__all__:
        assert getattr(lookbook, name) is not None
    with pytest.raises(AttributeError, match="module 'lookbook' has no attribute 'nope'"):
        _ = lookbook.nope


def test_no_public_name_is_hidden_by_a_module_of_that_name():
    for module in pkgutil.walk_packages(lookbook.__path__, "lookbook."):
        if module.name != "lookbook.__main__" and "bundle_files" not in module.name:
            importlib.import_module(module.name)
    for name in set(lookbook.__all__) - {"plots"}:
        assert not inspect.ismodule(getattr(lookbook, name)), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_shows_no_internals(name):
    shown = pydoc.plain(pydoc.render_doc(public(name)))
    assert not re.search(r"0x[0-9a-f]{6}|<function|<lambda>|lambda |seconds_before|_since", shown)
    assert public(name).__doc__


def test_what_is_shown_of_objects_fits_on_a_line(run):
    found = lookbook.predict(run, ["test:0"])[0]
    model = lookbook.Model.open(run.model)
    data = lookbook.Dataset(*made_images(30, seed=0), ("a", "b", "c"))
    assert repr(found) == f"Prediction('test:0', {found.name!r}, {found.confidence:.4f})"
    assert repr(model) == f"Model(3 classes, (12, 10), {run.model.stat().st_size:,} bytes)"
    assert repr(lookbook.Model(b"not opened")) == "Model(10 bytes)"
    assert repr(data) == "Dataset((30, 12, 10) uint8, 3 classes)"
    assert repr(run) == f"Run({str(run.folder)!r}, tutorial)"


def test_export_from_python_writes_where_it_is_told_or_into_the_run(own_run, tmp_path):
    assert lookbook.export(own_run, "html") == own_run.folder / "try.html"
    folder = lookbook.export(own_run.folder, "folder", out=tmp_path / "kit")
    assert (folder / "model.onnx").exists()
    with pytest.raises(InputError, match="exists and is not overwritten"):
        lookbook.export(own_run, "folder", out=str(tmp_path / "kit"))
    with pytest.raises(InputError, match="no form 'pdf' to export to; expected int8, html, folder"):
        lookbook.export(own_run, "pdf")


def test_training_from_python_can_be_followed_in_the_log(bars, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lookbook")
    lookbook.train(str(bars), TUTORIAL.with_epochs(2), out=tmp_path / "run")
    assert [record.name for record in caplog.records] == ["lookbook"] * 2
    assert caplog.messages[1].startswith("training: epoch 2, loss ")


def test_what_the_process_spent_before_counts_into_the_account_of_time(bars, tmp_path):
    request = TrainRequest(resolve(str(bars)), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    run = pipeline.train_since(7.5, request)
    assert run.conditions["seconds"]["imports"] == 7.5


def test_tables_of_pandas_are_learnt_from_without_a_warning():
    pandas = pytest.importorskip("pandas")
    images, labels = made_images(120, seed=0)
    squares = np.zeros((120, 16, 16), np.uint8)
    squares[:, :12, :10] = images
    table = pandas.DataFrame(squares.reshape(120, -1)).add_prefix("pixel")
    names = pandas.Series(np.array(["top", "middle", "bottom"])[labels])
    assert not table.to_numpy().flags.writeable  # of which PyTorch warns
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            classifier = lookbook.LookbookClassifier(epochs=1, random_state=0).fit(table, names)
            assert classifier.predict(table[:7]).shape == (7,)
            classifier.score(table, names)
    finally:
        torch.set_warn_always(False)
    assert classifier.model_.input_shape == (16, 16)


def test_8_bits_leave_the_log_of_other_programs_alone(caplog):
    root = logging.getLogger()
    before = list(root.filters), list(root.handlers), logging.root.manager.disable
    advice = root.makeRecord(
        "root", logging.WARNING, "/x/onnxruntime/quantization/a.py", 1, "advice", (), None
    )
    with int8._quiet():
        logging.getLogger("other").warning("another thread's")
        root.warning("one of root's")
        root.handle(advice)
    assert caplog.messages == ["another thread's", "one of root's"]
    assert (root.filters, root.handlers, logging.root.manager.disable) == before


IMAGES, LABELS = made_images(30, seed=0)
PROBS = np.eye(3)[LABELS]


def fit(**options):
    return lookbook.LookbookClassifier(**options).fit(IMAGES, LABELS)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("train", {"recipe": 5}, "`recipe` must be str or Recipe, got 5"),
        ("train", {"out": 5}, "`out` must be str or PathLike, got 5"),
        ("train", {"corrections": 5}, "`corrections` must be str or PathLike, got 5"),
        ("train", {"size": (28, "28")}, "`size` must be int, got '28'"),
        ("train", {"callbacks": 5}, "`callbacks` must be Iterable, got 5"),
        ("train", {"tell": 5}, "`tell` must be Callable, got 5"),
        ("resume", {"should_stop": "no"}, "`should_stop` must be Callable, got 'no'"),
        ("load", {"size": "a"}, "`size` must be int or tuple or list, got 'a'"),
        ("load", {"size": ("a", 9)}, "`size` must be 8 to 288 pixels, got 'a'"),
        ("load", {"size": (9, 9, 9)}, "`size` must be a side, or height and width, got (9, 9, 9)"),
        ("load", {"channels": "a"}, "`channels` must be Integral, got 'a'"),
        ("list_runs", {"root": 5}, "`root` must be str or PathLike, got 5"),
        ("evaluate", {"data": 5}, "expected the name or the path of data, got int"),
        ("export", {"to": ["html"]}, "no form ['html'] to export to; expected int8, html, folder"),
        ("export", {"out": 5}, "`out` must be str or PathLike, got 5"),
        ("predict", {"coverage": "a"}, "`coverage` must be Real, got 'a'"),
        ("predict", {"sets": True}, "`sets` must be Real, got True"),
        ("load_network", {"run": 5}, "expected a run, its folder or its name, got int"),
        ("report", {"classes": 5}, "`classes` must be Iterable, got 5"),
        ("report", {"classes": [1, 2, 3]}, "`classes` must be str, got 1"),
        ("report", {"lang": "fr"}, "`lang` must be 'en' or 'ko', got 'fr'"),
        ("report", {"lang": ["ko"]}, "`lang` must be 'en' or 'ko', got ['ko']"),
        ("report", {"out": 5}, "`out` must be str or PathLike, got 5"),
        ("Model.open", {"path": 5}, "`path` must be str or PathLike, got 5"),
        ("fit", {"recipe": 5}, "`recipe` must be str or Recipe, got 5"),
        ("fit", {"epochs": "5"}, "`epochs` must be Real, got '5'"),
    ],
)
def test_arguments_of_another_type_are_refused_in_one_sentence(
    own_run, bars, monkeypatch, name, arguments, expected
):
    monkeypatch.chdir(own_run.folder.parent.parent)
    needed = {
        "train": {"data": str(bars), "epochs": 1},
        "resume": {"run": own_run.folder},
        "load": {"data": str(bars)},
        "export": {"run": own_run, "to": "html"},
        "evaluate": {"run": own_run},
        "predict": {"source": own_run, "inputs": "test:0"},
        "report": {"images": IMAGES, "labels": LABELS, "probs": PROBS},
    }.get(name, {})
    called = {"fit": fit, "Model.open": lookbook.Model.open}.get(name) or public(name)
    with pytest.raises(InputError) as caught:
        called(**needed | arguments)
    assert str(caught.value) == expected


def test_a_network_is_loaded_by_the_name_of_its_run(own_run):
    weights = lookbook.load_network(str(own_run.folder)).state_dict()
    expected = lookbook.load_network(own_run).state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
