"""The table of suspected labels: written, judged by a person, and read back as corrections."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_images
from lookbook.data import corrections
from lookbook.errors import InputError


def judged(findings, parts, judge, tmp_path):
    """Write the table, let somebody judge each row, return the file."""
    rows = list(csv.DictReader(io.StringIO(corrections.to_csv(findings, parts[0], *parts))))
    for row in rows:
        judge(row)
    path = tmp_path / "suspects.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        table = csv.DictWriter(file, corrections.WRITTEN)
        table.writeheader()
        table.writerows(rows)
    return path


def agree(row):
    row["correction"] = row["suggestion"]


def test_a_table_of_suspects_comes_back_as_corrections(findings, parts, tmp_path):
    found = corrections.read(judged(findings, parts, agree, tmp_path), parts[0])
    assert {index for index, _ in found} == set(findings.training.indices.tolist())
    suspected = set(findings.training.indices[: findings.training.suspected].tolist())
    turned = [
        label == (parts[0].labels[index] - 1) % 3 for index, label in found if index in suspected
    ]
    assert len(turned) > 8
    assert all(turned)
    corrected = corrections.apply(parts[0], found)
    assert (corrected.labels != parts[0].labels).sum() == len(found)
    np.testing.assert_array_equal(corrected.images, parts[0].images)


def test_labels_that_were_confirmed_are_no_corrections(findings, parts, tmp_path):
    """And of two rows for one image, as a table has them of labels judged before, the later."""
    first, second, third = findings.training.indices[:3].tolist()
    before = parts[0].labels.copy()

    def decide(row):
        if row["part"] != "train":
            return
        if int(row["index"]) == first:
            row["correction"] = row["label"]
        elif int(row["index"]) in (second, third):
            row["correction"] = row["suggestion"]

    path = judged(findings, parts, decide, tmp_path)
    lines = path.read_text("utf-8-sig").splitlines()
    again = next(line for line in lines if line.startswith(f"train,{third},"))
    label = parts[0].classes[before[third]]
    path.write_text("\n".join([*lines, again.rpartition(",")[0] + f",{label}"]), "utf-8")
    found = corrections.read(path, parts[0])
    assert [index for index, _ in found] == [second]
    assert (corrections.apply(parts[0], found).labels != before).sum() == len(found)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda row: row.update(correction=""),
         "{} corrects no training image; write the right class into the column 'correction' of "
         "those that are wrong"),
        (lambda row: row.update(correction="botom"),
         "{}, line 2: no class is called 'botom'; did you mean 'bottom'?; classes: top, middle, "
         "bottom"),
        (lambda row: row.update(correction="top", index="9999"),
         "{}, line 2: the training part has no image 9999, it has 600; write the table again: "
         "lookbook report RUN --corrections FILE"),
        (lambda row: row.update(correction="top", index=5000 * "9"),
         "{}, line 2: the training part has no image " + 40 * "9" + "…, it has 600; write the "
         "table again: lookbook report RUN --corrections FILE"),
        (lambda row: row.update(correction="top", picture="sha256:0"),
         "{}, line 2: training image {index} is not the one that was judged: the data has "
         "changed; write the table again: lookbook report RUN --corrections FILE"),
    ],
)  # fmt: skip
def test_wrong_corrections_are_refused(findings, parts, tmp_path, judge, message):
    path = judged(findings, parts, judge, tmp_path)
    with pytest.raises(InputError) as caught:
        corrections.read(path, parts[0])
    first = findings.training.indices[0]
    assert str(caught.value) == message.format(path, index=first)


def test_names_that_look_like_formulas_come_back(findings, parts, tmp_path):
    """And those that a Mac writes in parts of syllables."""
    named = tuple(replace(part, classes=("=1+1", "가방", " @b")) for part in parts)
    path = judged(findings, named, agree, tmp_path)
    assert "'=1+1" in path.read_text("utf-8-sig")
    expected = corrections.read(judged(findings, parts, agree, tmp_path), parts[0])
    path = judged(findings, named, agree, tmp_path)
    path.write_text(unicodedata.normalize("NFD", path.read_text("utf-8-sig")), "utf-16")
    assert corrections.read(path, named[0]) == expected


def test_any_other_file_is_refused(parts, tmp_path):
    with pytest.raises(InputError, match=r"no file .*; write one: lookbook report RUN"):
        corrections.read(tmp_path / "none.csv", parts[0])
    (tmp_path / "a.csv").write_text("part,index\ntrain,1\n")
    with pytest.raises(InputError, match="lacks the columns confidence, correction, label"):
        corrections.read(tmp_path / "a.csv", parts[0])
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a table"):
        corrections.read(tmp_path / "b.csv", parts[0])


@pytest.mark.slow
def test_a_training_takes_corrections_and_says_so(findings, parts, tmp_path):
    names = np.array(parts[0].classes)
    np.savez(
        tmp_path / "bars.npz",
        train_images=parts[0].images,
        train_labels=parts[0].labels,
        test_images=parts[1].images,
        test_labels=parts[1].labels,
        classes=names,
    )
    path = judged(findings, parts, agree, tmp_path)
    options = ["--recipe", "tutorial", "--epochs", "1", "--out", "run"]
    ended = lookbook("train", "bars.npz", *options, "--corrections", path, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    from lookbook.runs.store import read_run

    data = read_run(tmp_path / "run").conditions["data"]
    assert len(data["corrections"]) == len(findings.training.indices)
    assert lookbook("evaluate", "run", cwd=tmp_path).returncode == 0
    # the next table holds what was decided before
    ended = lookbook("report", "run", "--corrections", "next.csv", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "lookbook train" in ended.stdout
    again = corrections.read(tmp_path / "next.csv", parts[0])
    assert again == sorted(map(tuple, data["corrections"]))
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert f"{len(again)} labels of the training part were corrected by a person" in html


@pytest.mark.slow
def test_image_files_brought_to_one_size_take_corrections_back(tmp_path):
    images, labels = made_images(240, seed=0, classes=2)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        named = 1 - label if i in (20, 21) else label  # in the wrong folder
        folder = tmp_path / "mine" / ("bottom", "top")[named]
        folder.mkdir(parents=True, exist_ok=True)
        size = 20 + i % 3, 24 + i % 3
        Image.fromarray(image).resize(size, Image.Resampling.NEAREST).save(folder / f"{i}.png")
    options = ["mine", "--size", "12", "--recipe", "tutorial", "--epochs", "4"]
    assert lookbook("train", *options, "--out", "run", cwd=tmp_path).returncode == 0
    ended = lookbook("report", "run", "--corrections", "suspects.csv", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    again = re.search(r"then: lookbook (.*)$", ended.stdout, re.MULTILINE)[1].split()
    with (tmp_path / "suspects.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        agree(row)
    with (tmp_path / "suspects.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, corrections.WRITTEN)
        table.writeheader()
        table.writerows(rows)
    ended = lookbook(*again, "--out", "corrected", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    conditions = json.loads((tmp_path / "corrected" / "conditions.json").read_text())
    of_training = [row for row in rows if row["part"] == "train"]
    assert len(conditions["data"]["corrections"]) == len(of_training) > 0
