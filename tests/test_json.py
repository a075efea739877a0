"""The page on JSON: it names exactly the keys that commands print and runs hold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import made_images
from lookbook.cli import main as cli
from lookbook.recipes import TUTORIAL
from lookbook.training.pipeline import train

PAGE = Path(__file__).resolve().parents[1] / "docs" / "json.md"
#: objects whose keys are told in words
WHOLE = {"machine", "versions", "seconds", "sha256", "standard_errors"}
#: Python's types of what the page calls so
KINDS = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "true": bool,
    "false": bool,
    "null": type(None),
    "object": dict,
    "list": list,
    "lists": list,
    "two": list,
}


def described(heading: str) -> dict[str, str]:
    """What the page says under a heading: key → type."""
    part = PAGE.read_text("utf-8").partition(f"# {heading}\n")[2]
    part = re.split(r"^#", part, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(
        r"^\| (?:\*\*)?`([^`]+)`(?:\*\*)? \| ([^|]+) \| [^|]+ \|$", part, re.MULTILINE
    )
    assert len(dict(rows)) == len(rows), "a key is named twice"
    return dict(rows)


def flattened(document, prefix=""):
    """Yield keys with their values; those of objects inside after a dot, of lists after []."""
    for key, value in document.items():
        yield prefix + key, value
        if isinstance(value, dict) and key not in WHOLE:
            yield from flattened(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from flattened(value[0], f"{prefix}{key}[].")


def is_of_kind(value, kind):
    kinds = [KINDS[word.split()[0]] for word in re.split(r" or |, ", kind)]
    return any(isinstance(value, each) for each in kinds) and (
        not isinstance(value, bool) or bool in kinds
    )


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """What commands print of a small run, and what it holds."""
    folder = tmp_path_factory.mktemp("json")
    images, labels = made_images(600, seed=0)
    labels[::7] = (labels[::7] + 1) % 3  # so that some classes are confused
    np.savez(folder / "data.npz", images=images, labels=labels)
    run = train(str(folder / "data.npz"), TUTORIAL.with_epochs(1), out=folder / "run")
    return run.folder


def printed(capsys, *words):
    cli.app([str(word) for word in words], prog_name="lookbook", standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def check(heading, document, *, without=()):
    told, found = described(heading), dict(flattened(document))
    assert set(told) - set(without) == set(found)
    for key, value in found.items():
        assert is_of_kind(value, told[key]), (key, value, told[key])


@pytest.mark.parametrize("options", [(), ("--coverage", "0.9", "--sets", "0.9")])
def test_predict_prints_the_keys_that_the_page_names(documents, capsys, options):
    for one in printed(capsys, "predict", documents, "test:0", "test:1", *options, "--json"):
        check("`lookbook predict --json`", one, without={"model"})


def test_an_answer_of_the_bundled_model_names_it(tmp_path, capsys):
    Image.new("RGB", (30, 20)).save(tmp_path / "plain.png")
    (one,) = printed(capsys, "predict", tmp_path / "plain.png", "--json")
    check("`lookbook predict --json`", one)
    assert one["model"] == "bundled"


def test_evaluate_prints_the_keys_that_the_page_names(documents, capsys):
    found = printed(capsys, "evaluate", documents, "--json")
    assert found["copies"] is None  # the test part was split off
    keys = [f"copies.{each}" for each in ("exact", "near", "accuracy_without")]
    check("`lookbook evaluate --json`", found, without=keys)
    assert json.loads((documents / "evaluation.json").read_text()) == found


def test_evaluate_prints_the_keys_of_copies_that_the_page_names(capsys, tmp_path):
    (images, labels), (others, truth) = made_images(600, seed=0), made_images(200, seed=1)
    for each in (labels, truth):  # so that some classes are confused
        each[::7] = (each[::7] + 1) % 3
    others[0] = images[0]
    parts = {"x_train": images, "y_train": labels, "x_test": others, "y_test": truth}
    np.savez(tmp_path / "parts.npz", **parts)
    run = train(str(tmp_path / "parts.npz"), TUTORIAL.with_epochs(1), out=tmp_path / "run")
    found = printed(capsys, "evaluate", run.folder, "--json")
    assert found["copies"]["exact"] == 1
    check("`lookbook evaluate --json`", found)


def test_evaluate_prints_the_keys_of_photographs_that_the_page_names(documents, capsys, tmp_path):
    for label, image in enumerate(made_images(3, seed=1)[0]):
        (tmp_path / str(label)).mkdir()
        Image.fromarray(image).save(tmp_path / str(label) / "1.png")
    found = printed(capsys, "evaluate", documents, "--photos", tmp_path, "--json")
    check("With `--photos`", found)
    assert json.loads((documents / "photographs.json").read_text()) == found


@pytest.mark.parametrize("name", ["history", "metrics", "conditions"])
def test_a_run_holds_the_keys_that_the_page_names(documents, name):
    document = json.loads((documents / f"{name}.json").read_text())
    for one in document if isinstance(document, list) else [document]:
        check(f"`{name}.json`", one)
