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
from scipy.stats import false_discovery_control

from conftest import lookbook, made_images
from lookbook.data import corrections
from lookbook.data.dataset import Dataset
from lookbook.errors import InputError
from lookbook.evaluation import audit as audits
from lookbook.evaluation.audit import (
    NEAR,
    Findings,
    OutOfFold,
    audit,
    count_suspects,
    find_first,
    find_near,
    find_suspects,
)
from lookbook.inference.thresholds import fit_temperature
from lookbook.recipes import STANDARD
from lookbook.training import cross_validation
from lookbook.training.cross_validation import FOLDS, ask, assign_folds


def test_a_check_that_is_added_to_the_registry_is_run_after_the_others(monkeypatch):
    images, labels = made_images(40, seed=0)
    part = Dataset(images, labels, ("a", "b", "c"))

    def check(examined, found):
        assert len(found.exact) >= 40  # what the others found is known by then
        return replace(found, recipe=f"{len(examined.images)} images")

    before = audit(part, part, None)
    monkeypatch.setattr(audits, "CHECKS", (*audits.CHECKS, check))
    after = audit(part, part, None)
    assert (before.recipe, after.recipe) == ("", "80 images")
    np.testing.assert_array_equal(after.exact, before.exact)
    np.testing.assert_array_equal(after.near, before.near)


def test_every_kind_of_pair_holds_the_pairs_that_are_of_it():
    pairs = np.array([[0, 1], [0, 4], [3, 4]])  # in the training part, across, in the test part
    found = replace(Findings.none(3), exact=pairs, near=pairs[:1])
    labels = np.array([0, 0, 1, 1, 0])
    kinds = {(one.name, one.part): one.select(found, labels) for one in audits.PAIR_ISSUES}
    assert {key: None if kept is None else kept.tolist() for key, kept in kinds.items()} == {
        ("doubles_across", ""): [[0, 4]],
        ("doubles_within", "training"): [[0, 1]],
        ("doubles_within", "test"): [[3, 4]],
        ("near_across", ""): [],
        ("near_within", "training"): [[0, 1]],
        ("near_within", "test"): None,
        ("conflicting", ""): [[3, 4]],
    }
    assert audits.pairs_of_different_labels(Findings.none(3), labels) is None


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (10, 12, 3), (70, 70)])
def test_no_pair_of_near_images_is_missed(shape):
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


def made_probs(n=4000, k=6, seed=0):
    """Return probabilities that are true, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.15), n)
    labels = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return probs, labels


def test_the_ranking_is_of_labels_that_networks_would_change_the_least_likely_first():
    probs, labels = made_probs()
    found = find_suspects(labels, probs)
    own = probs[np.arange(len(labels)), labels]
    assert set(found.indices) == set(np.flatnonzero(probs.argmax(axis=1) != labels))
    assert (np.diff(own[found.indices]) >= 0).all()
    np.testing.assert_array_equal(found.predicted, probs[found.indices].argmax(axis=1))
    np.testing.assert_allclose(found.shares[:, 1], own[found.indices])
    np.testing.assert_allclose(found.shares[:, 0], probs[found.indices].max(axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_suspects_are_counted_as_scipy_controls_false_discoveries(seed):
    own = np.random.default_rng(seed).random(500) ** 3
    expected = (false_discovery_control(own) <= 0.5).sum()
    assert 10 < count_suspects(own) == expected < 490


@pytest.mark.parametrize("seed", range(3))
def test_of_suspected_labels_half_are_wrong_and_of_true_ones_next_to_none_is(seed):
    """Labels as unlikely as the probabilities say are no errors; exchanged ones are."""
    probs, labels = made_probs(seed=seed)
    assert find_suspects(labels, probs).suspected <= 0.002 * len(labels)
    rng = np.random.default_rng(seed)
    turned = rng.choice(len(labels), len(labels) // 50, replace=False)
    labels[turned] = (labels[turned] + rng.integers(1, 6, len(turned))) % 6
    found = find_suspects(labels, probs)
    suspected = set(found.indices[: found.suspected].tolist())
    assert len(suspected & set(turned.tolist())) >= max(0.5 * len(suspected), 0.5 * len(turned))


def test_networks_that_are_too_weak_suspect_nothing_and_their_ranking_is_kept():
    probs, labels = made_probs()
    strong, weak = find_suspects(labels[::-1], probs), find_suspects(labels[::-1], probs, weak=True)
    assert strong.suspected > weak.suspected == 0
    np.testing.assert_array_equal(strong.indices, weak.indices)


@pytest.mark.parametrize("wrong", [0, 0.05])
def test_the_temperature_is_that_of_true_labels_where_some_are_wrong(wrong):
    probs, labels = made_probs()
    rng = np.random.default_rng(0)
    turned = rng.choice(len(labels), round(wrong * len(labels)), replace=False)
    labels[turned] = (labels[turned] + rng.integers(1, 6, len(turned))) % 6
    logits = 2 * np.log(np.maximum(probs, 1e-12))
    assert cross_validation.fit_beside_errors(logits, labels) == pytest.approx(2, rel=0.1)
    if wrong:
        assert fit_temperature(logits, labels) > 3


@pytest.mark.parametrize(("accuracy", "asked"), [(0.9, ["quick"]), (0.6, ["quick", "standard"])])
def test_convolutions_are_asked_where_quick_networks_find_too_few_labels(
    monkeypatch, parts, accuracy, asked
):
    seen = []

    def answer(*given):
        seen.append(given[2].name)
        probs = np.full((600, 3), 1 / 3)
        return OutOfFold(probs, probs, 5, seen[-1], accuracy + 0.1 * len(seen))

    monkeypatch.setattr(cross_validation, "_ask", answer)
    found = ask(*parts)
    assert seen == asked
    assert found.recipe == asked[-1]


def test_judges_of_photographs_learn_in_as_many_passes_as_a_minute_holds():
    for n, side, passes in ((2438, 64, 12), (300, 64, 30), (240_000, 64, 1)):
        part = Dataset(np.zeros((2, side, side, 3), np.uint8), np.array([0, 1]), ("a", "b"))
        suited = cross_validation._suit(STANDARD, part, round(0.8 * n), 5)
        assert suited.epochs == pytest.approx(passes, rel=0.02)


def test_folds_share_each_class_evenly():
    labels = np.repeat([0, 1, 2], [50, 23, 7])
    fold = assign_folds(labels, FOLDS)
    for k, n in enumerate((50, 23, 7)):
        counts = np.bincount(fold[labels == k], minlength=FOLDS)
        assert counts.sum() == n
        assert counts.max() - counts.min() <= 1


@pytest.fixture(scope="module")
def parts():
    """Bars with wrong labels in each part: of every fortieth image."""
    made = []
    for n, seed in ((600, 0), (200, 1)):
        images, labels = made_images(n, seed=seed)
        labels[::40] = (labels[::40] + 1) % 3
        made.append(Dataset(images, labels, ("top", "middle", "bottom")))
    return made


@pytest.fixture(scope="module")
def findings(parts):
    return audit(*parts, ask(*parts))


def test_networks_that_have_not_seen_a_image_find_its_wrong_label(parts, findings):
    for suspects, part in ((findings.training, parts[0]), (findings.test, parts[1])):
        suspected = suspects.indices[: suspects.suspected]
        assert set(suspected) <= set(range(0, len(part), 40))
        assert len(suspected) >= 0.6 * len(part) / 40
        predicted = suspects.predicted[: suspects.suspected]
        np.testing.assert_array_equal(predicted, (part.labels[suspected] - 1) % 3)
        assert suspects.shares[: suspects.suspected, 0].min() > 0.7


def test_findings_are_the_same_after_they_were_kept(findings):
    again = Findings.from_arrays(findings.to_arrays())
    np.testing.assert_array_equal(again.training.shares, findings.training.shares)
    np.testing.assert_array_equal(again.exact, findings.exact)
    assert (again.n_training, again.networks, again.recipe) == (600, FOLDS, "quick")
    assert again.training.suspected == findings.training.suspected
    assert again.accuracy == findings.accuracy > 0.9


@pytest.mark.slow
def test_a_class_of_one_image_takes_no_answers_from_the_others(parts):
    lone = [
        Dataset(
            np.concatenate([part.images, np.full((1, 12, 10), 200, np.uint8)]),
            np.append(part.labels, 3),
            (*part.classes, "lone"),
        )
        for part in parts
    ]
    judged = ask(*lone)
    for part, probs in zip(lone, (judged.training, judged.test), strict=True):
        assert np.flatnonzero(np.isnan(probs).any(axis=1)).tolist() == [len(part) - 1]
        assert np.isnan(probs[-1]).all()
    found = audit(*lone, judged)
    for suspects, part in ((found.training, parts[0]), (found.test, parts[1])):
        suspected = suspects.indices[: suspects.suspected]
        assert set(suspected) <= set(range(0, len(part), 40))
        assert len(suspected) >= 0.6 * len(part) / 40
        predicted = suspects.predicted[: suspects.suspected]
        np.testing.assert_array_equal(predicted, (part.labels[suspected] - 1) % 3)


def test_suspects_keep_their_numbers_beside_images_that_were_not_judged():
    probs = np.tile([0.9, 0.1], (20, 1))
    probs[10:] = probs[10:, ::-1]
    probs[3] = np.nan
    labels = np.repeat([0, 1], 10)
    labels[12] = 0
    assert find_suspects(labels, probs).indices.tolist() == [12]


def test_classes_of_one_image_are_not_judged():
    images = np.zeros((3, 8, 8), np.uint8)
    part = Dataset(images, np.array([0, 0, 1]), ("many", "one"))
    assert ask(part, part) is None
    found = audit(part, part, None)
    assert found.networks == 0
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


def test_large_images_are_compared_some_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(100, 104, (100, 32, 32, 3), dtype=np.uint8)
    every, none = np.arange(100), np.zeros(0, int)
    near, _ = find_near(images, every, none)
    assert len(near) == 100 * 99 / 2
    monkeypatch.setattr("lookbook.core.arrays.CHUNK", 2**18)
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


@pytest.fixture
def halves():
    """A training and a test part, all of whose images are nearly the same."""
    rng = np.random.default_rng(0)
    training, test = (
        Dataset(rng.integers(100, 103, (n, 8, 8), dtype=np.uint8), np.arange(n) % 2, ("a", "b"))
        for n in (100, 10)
    )
    # one of them stands in the training part, too
    training.images[7] = test.images[2]
    return training, test


def test_of_too_many_images_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_COMPARED", 30)
    found = audit(*halves, None)
    assert (found.compared, found.different) == (30, 109)
    of_test = {7, *range(100, 110)} - {102}
    assert of_test <= set(found.near.ravel().tolist())


def test_of_images_that_are_too_much_alike_the_test_part_is_compared(monkeypatch, halves):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 300)
    found = audit(*halves, None)
    assert (found.compared, found.different) == (13, 109)  # 109, 54, 27, 13
    compared = set(found.near.ravel().tolist())
    assert {7, *range(100, 110)} - {102} <= compared
    assert len(compared) == found.compared


def test_images_that_are_all_alike_are_sampled(monkeypatch):
    monkeypatch.setattr(audits, "MOST_CANDIDATES", 1000)
    images = np.random.default_rng(0).integers(100, 103, (200, 8, 8), dtype=np.uint8)
    near, compared = find_near(images, np.arange(200), np.zeros(0, int))
    assert compared == 25
    assert len(near) == 25 * 24 / 2


def test_a_part_of_one_class_has_no_suspects():
    found = find_suspects(np.array([1, 1]), np.array([[0.9, 0.1], [0.5, 0.5]]))
    assert len(found.indices) == 0


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
