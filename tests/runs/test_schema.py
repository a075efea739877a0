"""Documents of a run: every value is checked where it is read, and the rest is passed over."""

from __future__ import annotations

import json

import pytest
from made_runs import CONDITIONS, DOCUMENTS, REMEDIES, write_run

from lookbook.core.files import write_document
from lookbook.errors import DamagedFileError
from lookbook.runs.store import read_run


def refusal(run, name):
    """What is said of a run one of whose documents was changed."""
    with pytest.raises(DamagedFileError) as caught:
        read_run(run.folder).evaluation()
    message = str(caught.value)
    assert message.startswith(str(run.folder / f"{name}.json"))
    assert message.endswith(f"; {REMEDIES[name]}")
    return message


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "null", "3", '"x"', "[[]]", "", "[" * 100_000, "NaN", '"\\ud800"', "9" * 5000],
)
@pytest.mark.parametrize("name", REMEDIES)
def test_documents_of_another_form_are_named(own_run, name, text):
    (own_run.folder / f"{name}.json").write_text(text)
    assert f"does not hold what a run's {name}.json holds: " in refusal(own_run, name)


@pytest.mark.parametrize(
    ("name", "where", "value", "why"),
    [
        ("recipe", ["widths"], [0], "Expected `int` >= 1 - at `$.widths[0]`"),
        ("recipe", ["epochs"], "many", "Expected `float`, got `str` - at `$.epochs`"),
        ("history", [0, "loss"], None, "Expected `float`, got `null` - at `$[0].loss`"),
        ("recipe", ["scaling"], "x" * 99_999, f"'{'x' * 80}"),
        ("metrics", ["validation", "interval"], [0.5], "Expected `array` of length 2"),
        ("metrics", ["weaknesses"], ["under_one_epoch"] * 9, "at `$.weaknesses`"),
        ("metrics", ["temperature"], 0, "Expected `float` > 0.0 - at `$.temperature`"),
        (
            "conditions",
            ["data", "size"],
            [28, 10**6],
            "Expected `int` <= 288 - at `$.data.size[1]`",
        ),
        ("conditions", ["data", "name"], "\0", "at `$.data.name`"),
        ("conditions", ["data", "classes"], ["a"], "at `$.data.classes`"),
        (
            "conditions",
            ["data", "corrections"],
            [[300, 0]],
            "corrects images or classes that are",
        ),
        ("evaluation", ["commonest"], "other", "it names classes that are none of them"),
        ("conditions", ["sha256", "model.onnx"], "../x", "at `$.sha256[...]`"),
        ("evaluation", ["accuracy"], 1.5, "Expected `float` <= 1.0 - at `$.accuracy`"),
        (
            "evaluation",
            ["confusion_matrix"],
            [[1]],
            "the confusion matrix of 3 classes must be 3×3",
        ),
        ("evaluation", ["confusion_matrix", 0, 0], 31, "must count the images of each class"),
        ("evaluation", ["per_class", 0, "class"], "other", "per_class must name the classes"),
        ("evaluation", ["n"], 2**60, "at `$.n`"),
    ],
)
def test_every_value_of_a_document_is_checked(own_run, name, where, value, why):
    path = own_run.folder / f"{name}.json"
    document = json.loads(path.read_text())
    inside = document
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = value
    path.write_text(json.dumps(document))
    said = refusal(own_run, name)
    assert why in said
    assert len(said) < 1000


def test_the_parts_of_a_run_are_read_by_key_as_in_earlier_versions(run):
    files = {name: json.loads((run.folder / f"{name}.json").read_text()) for name in DOCUMENTS}
    assert json.dumps([dict(epoch) for epoch in run.history]) == json.dumps(files["history"])
    for name in ("recipe", "metrics", "conditions"):
        assert json.dumps(dict(getattr(run, name))) == json.dumps(files[name])
    assert run.metrics["validation"]["accuracy"] == run.metrics.validation.accuracy
    assert run.metrics["training_pictures"] == run.metrics.training_images == 255
    assert run.conditions["data"]["size"] == list(run.conditions.data.size) == [12, 10]
    assert run.recipe["epochs"] == 4


@pytest.mark.parametrize("more", [[{"of": None}], json.loads("[" * 99 + "]" * 99)])
def test_what_a_document_holds_besides_is_passed_over(own_run, more):
    """As a later version may write it."""
    evaluation = own_run.evaluation()
    for name in ("recipe", "metrics", "conditions", "evaluation"):
        document = evaluation if name == "evaluation" else getattr(own_run, name)
        document = document.to_json() | {"more": more}
        (own_run.folder / f"{name}.json").write_text(json.dumps(document))
    history = [dict(epoch) | {"more": more} for epoch in own_run.history]
    (own_run.folder / "history.json").write_text(json.dumps(history))
    assert read_run(own_run.folder) == own_run
    assert read_run(own_run.folder).evaluation() == evaluation


def test_a_large_document_is_refused_before_it_is_read(own_run):
    with (own_run.folder / "metrics.json").open("wb") as file:
        file.truncate(1 << 40)  # takes no room
    assert "takes more than 8,000,000 bytes" in refusal(own_run, "metrics")


def test_data_of_another_form_is_named(tmp_path):
    write_run(tmp_path / "a", DOCUMENTS, {})
    conditions = CONDITIONS | {"data": {"name": "mnist"}}
    write_document(tmp_path / "a" / "conditions.json", conditions)
    with pytest.raises(DamagedFileError, match=r"missing required field `size` - at `\$\.data`"):
        read_run(tmp_path / "a")
