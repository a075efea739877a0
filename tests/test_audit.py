"""Doubles and suspected labels, and the table that brings corrections back."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
import unicodedata
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from conftest import lookbook, made_pictures
from lookbook import audit as audits
from lookbook import corrections, datasets
from lookbook.audit import NEAR, Findings, audit, find_first, find_near, find_suspects
from lookbook.datasets import Dataset
from lookbook.errors import InputError
from lookbook.opinions import FOLDS, ask, assign_folds


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (10, 12, 3), (70, 70)])
def test_no_pair_of_near_pictures_is_missed(shape):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (12, *shape)).astype(float)
    # copies at many distances, below and above what counts as near
    spread = rng.uniform(0, 2 * NEAR, 48).reshape(-1, *[1] * len(shape))
    copies = base[np.arange(48) % 12] + spread * rng.choice([-1, 1], (48, *shape))
    images = np.concatenate([base, copies, base[:3]]).round().clip(0, 255).astype(np.uint8)
    firsts = find_first(images)
    near, compared = find_near(images, np.unique(firsts), np.zeros(0, int))
    again = set(np.flatnonzero(firsts != np.arange(len(images))).tolist())
    rows = images.reshape(len(images), -1).astype(float)
    distance = {
        (a, b): np.sqrt(((rows[a] - rows[b]) ** 2).mean())
        for a, b in combinations(range(len(images)), 2)
    }
    same = {p for p, d in distance.items() if d == 0}
    assert {(int(firsts[i]), i) for i in again} == same
    assert compared == len(images) - len(again)
    expected = {pair for pair, d in distance.items() if 0 < d < NEAR and not again & set(pair)}
    assert {tuple(pair) for pair in near.tolist()} == expected
    assert len(expected) > 10


def test_suspects_are_those_of_confident_learning():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 2000)
    probs = rng.dirichlet(np.ones(4), 2000) * 0.5 + 0.5 * np.eye(4)[truth]
    labels = truth.copy()
    turned = rng.choice(2000, 60, replace=False)
    labels[turned] = (labels[turned] + 1) % 4
    found = find_suspects(labels, probs)
    # the rule, written out: some other class is above its own mean confidence, and most probable
    bars = np.array([probs[labels == k, k].mean() for k in range(4)])
    confident = np.where(probs >= bars, probs, -1)
    best = confident.argmax(axis=1)
    doubted = (best != labels) & (probs.argmax(axis=1) != labels)
    expected = np.flatnonzero((confident.max(axis=1) >= 0) & doubted)
    assert set(found.indices) == set(expected)
    credible = probs[found.indices, labels[found.indices]]
    assert (np.diff(credible) >= 0).all()
    np.testing.assert_allclose(found.shares[:, 1], credible)
    # careful rather than complete: what it suspects is wrong
    assert set(found.indices) <= set(turned)
    assert len(found.indices) > 20


def test_folds_share_each_class_evenly():
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    fold = assign_folds(labels, FOLDS)
    for k, n in enumerate((50, 23, 7)):
        counts = np.bincount(fold[labels == k], minlength=FOLDS)
        assert counts.sum() == n
        assert counts.max() - counts.min() <= 1


@pytest.fixture(scope="module")
def parts():
    """Bars with wrong labels in each part: of every fortieth picture."""
    made = []
    for n, seed in ((600, 0), (200, 1)):
        images, labels = made_pictures(n, seed=seed)
        labels[::40] = (labels[::40] + 1) % 3
        made.append(Dataset(images, labels, ("top", "middle", "bottom")))
    return made


@pytest.fixture(scope="module")
def findings(parts):
    return audit(*parts, ask(*parts), FOLDS)


def test_networks_that_have_not_seen_a_picture_find_its_wrong_label(parts, findings):
    for suspects, part in ((findings.training, parts[0]), (findings.test, parts[1])):
        assert set(suspects.indices) <= set(range(0, len(part), 40))
        assert len(suspects.indices) >= 0.6 * len(part) / 40
        np.testing.assert_array_equal(suspects.opinions, (part.labels[suspects.indices] - 1) % 3)
        assert suspects.shares[:, 0].min() > 0.7


def test_findings_are_the_same_after_they_were_kept(findings):
    again = Findings.from_arrays(findings.to_arrays())
    np.testing.assert_array_equal(again.training.shares, findings.training.shares)
    np.testing.assert_array_equal(again.exact, findings.exact)
    assert (again.n_training, again.folds) == (600, FOLDS)


def test_a_class_of_one_picture_takes_no_opinions_from_the_others(parts):
    lone = [
        Dataset(
            np.concatenate([part.images, np.full((1, 12, 10), 200, np.uint8)]),
            np.append(part.labels, 3),
            (*part.classes, "lone"),
        )
        for part in parts
    ]
    opinions = ask(*lone)
    for part, probs in zip(lone, opinions, strict=True):
        assert np.flatnonzero(np.isnan(probs).any(axis=1)).tolist() == [len(part) - 1]
        assert np.isnan(probs[-1]).all()
    found = audit(*lone, opinions, FOLDS)
    for suspects, part in ((found.training, parts[0]), (found.test, parts[1])):
        assert set(suspects.indices) <= set(range(0, len(part), 40))
        assert len(suspects.indices) >= 0.6 * len(part) / 40
        np.testing.assert_array_equal(suspects.opinions, (part.labels[suspects.indices] - 1) % 3)


def test_suspects_keep_their_numbers_beside_pictures_that_were_not_judged():
    probs = np.tile([0.9, 0.1], (20, 1))
    probs[10:] = probs[10:, ::-1]
    probs[3] = np.nan
    labels = np.repeat([0, 1], 10)
    labels[12] = 0
    assert find_suspects(labels, probs).indices.tolist() == [12]


def test_classes_of_one_picture_get_no_opinions():
    images = np.zeros((3, 8, 8), np.uint8)
    part = Dataset(images, np.array([0, 0, 1]), ("many", "one"))
    assert ask(part, part) is None
    found = audit(part, part, None, FOLDS)
    assert found.folds == 0
    assert len(found.training.indices) == 0
    assert len(found.exact) == 5


def most_memory(call):
    """Return the bytes that a call takes at its height."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_pictures_are_compared_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(100, 104, (100, 32, 32, 3), dtype=np.uint8)
    every, none = np.arange(100), np.zeros(0, int)
    near, _ = find_near(images, every, none)
    assert len(near) == 100 * 99 / 2
    monkeypatch.setattr(datasets, "CHUNK", 2**18)
    np.testing.assert_array_equal(find_near(images, every, none)[0], near)
    # the pixels of all pairs take 60 MB
    assert most_memory(lambda: find_near(images, every, none)) < 4e6
    many = rng.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    assert most_memory(lambda: find_first(many)) < many.nbytes / 6


# ---- corrections ----


def judged(findings, parts, judge, tmp_path):
    """Write the table, let somebody judge each row, return the file."""
    rows = list(csv.DictReader(io.StringIO(corrections.to_csv(findings, parts[0], *parts))))
    for row in rows:
        judge(row)
    path = tmp_path / "suspects.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:  # as spreadsheets write it
        table = csv.DictWriter(file, corrections.COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return path


def agree(row):
    row["correction"] = row["suggestion"]


def test_a_table_of_suspects_comes_back_as_corrections(findings, parts, tmp_path):
    found = corrections.read(judged(findings, parts, agree, tmp_path), parts[0])
    assert {index for index, _ in found} == set(findings.training.indices.tolist())
    assert all(label == (parts[0].labels[index] - 1) % 3 for index, label in found)
    corrected = corrections.apply(parts[0], found)
    assert (corrected.labels != parts[0].labels).sum() == len(found)
    np.testing.assert_array_equal(corrected.images, parts[0].images)


def test_labels_that_were_confirmed_are_no_corrections(findings, parts, tmp_path):
    """And of two rows for one picture, as a table has them of labels judged before, the later."""
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
         "{} corrects no training picture; write the right class into the column 'correction' of "
         "those that are wrong"),
        (lambda row: row.update(correction="botom"),
         "{}, line 2: no class is called 'botom'; did you mean 'bottom'?; classes: top, middle, "
         "bottom"),
        (lambda row: row.update(correction="top", index="9999"),
         "{}, line 2: the training part has no picture 9999, it has 600; write the table again: "
         "lookbook report RUN --corrections FILE"),
        (lambda row: row.update(correction="top", index=5000 * "9"),
         "{}, line 2: the training part has no picture " + 40 * "9" + "…, it has 600; write the "
         "table again: lookbook report RUN --corrections FILE"),
        (lambda row: row.update(correction="top", picture="sha256:0"),
         "{}, line 2: training picture {index} is not the one that was judged: the data has "
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
    from lookbook.runs import read_run

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


@pytest.fixture
def halves():
    """A training and a test part, all of whose pictures are nearly the same."""
    rng = np.random.default_rng(0)
    training, test = (
        Dataset(rng.integers(100, 103, (n, 8, 8), dtype=np.uint8), np.arange(n) % 2, ("a", "b"))
        for n in (100, 10)
    )
    # one of them stands in the training part, too
    training.images[7] = test.images[2]
    return training, test


def test_of_too_many_pictures_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_COMPARED", 30)
    found = audit(*halves, None, 0)
    assert (found.compared, found.different) == (30, 109)
    of_test = {7, *range(100, 110)} - {102}
    assert of_test <= set(found.near.ravel().tolist())


def test_of_pictures_that_are_too_much_alike_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 300)
    found = audit(*halves, None, 0)
    assert (found.compared, found.different) == (13, 109)  # 109, 54, 27, 13
    compared = set(found.near.ravel().tolist())
    assert {7, *range(100, 110)} - {102} <= compared
    assert len(compared) == found.compared


def test_pictures_that_are_all_alike_are_sampled(monkeypatch):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 1000)
    images = np.random.default_rng(0).integers(100, 103, (200, 8, 8), dtype=np.uint8)
    near, compared = find_near(images, np.arange(200), np.zeros(0, int))
    assert compared == 25
    assert len(near) == 25 * 24 / 2


def test_a_part_of_one_class_has_no_suspects():
    found = find_suspects(np.array([1, 1]), np.array([[0.9, 0.1], [0.5, 0.5]]))
    assert len(found.indices) == 0


def test_picture_files_brought_to_one_size_take_corrections_back(tmp_path):
    images, labels = made_pictures(240, seed=0, classes=2)
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
        table = csv.DictWriter(file, corrections.COLUMNS)
        table.writeheader()
        table.writerows(rows)
    ended = lookbook(*again, "--out", "corrected", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    conditions = json.loads((tmp_path / "corrected" / "conditions.json").read_text())
    of_training = [row for row in rows if row["part"] == "train"]
    assert len(conditions["data"]["corrections"]) == len(of_training) > 0
