"""Probabilities of another program: in the order of the data, or by names; or refused."""

from __future__ import annotations

import csv
import unicodedata
import warnings

import numpy as np
import pytest

from lookbook.data.dataset import Dataset
from lookbook.errors import InputError, LookbookWarning
from lookbook.evaluation.probabilities import check, read

CLASSES = ("1", "10", "가방")


def made_parts() -> tuple[Dataset, Dataset]:
    """Return a training and a test part of files, in an order that no other program has."""
    labels = np.array([2, 0, 1, 0, 2, 1])
    names = ("가방/b.png", "1/b.png", "10/a.png", "1/a.png", "가방/old/a.png", "10/c.png")
    whole = Dataset(np.zeros((6, 8, 8), np.uint8), labels, CLASSES, names)
    return whole.take(np.array([5])), whole.take(np.arange(5))


TRAINING, TEST = made_parts()
#: probabilities that tell which row and which column they are
PROBS = np.array([[0.5 + row / 10, 0.3, 0.2 - row / 100] for row in range(5)])
PROBS /= PROBS.sum(axis=1, keepdims=True)


def write_table(path, names, classes, probs, header="file"):
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([header, *classes])
        table.writerows([name, *row] for name, row in zip(names, probs, strict=True))
    return path


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["csv", "npz"])
def test_named_rows_and_columns_may_have_any_order(tmp_path, form, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(5), rng.permutation(3)
    names = [TEST.files[row] for row in rows]
    classes = [unicodedata.normalize("NFD", CLASSES[k]) for k in columns]
    # as others write them: with what stands before them, with backslashes, in parts
    names[0] = f"/data/clothes/test/{names[0]}"
    names[1] = names[1].replace("/", "\\")
    names[2] = unicodedata.normalize("NFD", names[2])
    probs = PROBS[np.ix_(rows, columns)]
    if form == "csv":
        path = write_table(tmp_path / "p.csv", names, classes, probs)
    else:
        path = tmp_path / "p.npz"
        np.savez(path, probs=probs, files=np.array(names), classes=np.array(classes))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(read(path).arrange(TEST, TRAINING), PROBS, atol=1e-6)


def test_rows_without_names_are_taken_in_an_order_that_is_said(tmp_path):
    np.save(tmp_path / "p.npy", PROBS)
    with pytest.warns(LookbookWarning) as caught:
        np.testing.assert_allclose(
            read(tmp_path / "p.npy").arrange(TEST, TRAINING), PROBS, atol=1e-6
        )
    assert [str(one.message).split("bear no names; ")[1] for one in caught] == [
        "they are taken in this order: lookbook.load(DATA, 'test').files",
        "they are taken in this order: 1, 10, 가방",
    ]


def test_rows_of_training_pictures_are_left_out(tmp_path):
    names, probs = (*TRAINING.files, *TEST.files), np.concatenate([PROBS[:1], PROBS])
    path = write_table(tmp_path / "p.csv", names, CLASSES, probs)
    np.testing.assert_allclose(read(path).arrange(TEST, TRAINING), PROBS, atol=1e-6)


def test_a_name_may_be_shorter_where_it_is_the_only_one(tmp_path):
    short = ["가방/b.png", "1/b.png", "10/a.png", "1/a.png", "old/a.png"]
    path = write_table(tmp_path / "p.csv", short, CLASSES, PROBS)
    np.testing.assert_allclose(read(path).arrange(TEST, TRAINING), PROBS, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "classes", "message"),
    [
        (["a.png", *TEST.files[1:]], CLASSES,
         " names a.png, which may be 10/a.png and 1/a.png; write the folders, too"),
        (["x.png", *TEST.files[1:]], CLASSES,
         " names x.png, which is no image of this data; expected names like 가방/b.png"),
        ([TEST.files[1], *TEST.files[1:]], CLASSES, "names 1/b.png twice; expected each file once"),
        (TEST.files[:4], CLASSES,
         " has no row for 1 of 5 test images; lacking: 가방/old/a.png; "
         "lookbook.load(DATA, 'test').files lists all of them"),
        (TEST.files, ("1", "10", "bag"),
         ": its columns are not the classes of the data; no class: bag; lacking: 가방; the classes "
         "are 1, 10, 가방"),
        (TEST.files, ("1", "10", "10"), " names a class twice; expected each once"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_refused(tmp_path, names, classes, message):
    path = tmp_path / "p.npz"
    np.savez(path, probs=PROBS[: len(names)], files=np.array(names), classes=np.array(classes))
    with pytest.raises(InputError) as caught:
        read(path).arrange(TEST, TRAINING)
    assert str(caught.value).endswith(message)
    assert str(caught.value).startswith(str(path))


def test_images_without_files_have_no_names(tmp_path):
    arrays = Dataset(TEST.images, TEST.labels, CLASSES)
    path = write_table(tmp_path / "p.csv", TEST.files, CLASSES, PROBS)
    with pytest.raises(InputError, match="the images of this data are arrays without names"):
        read(path).arrange(arrays, TRAINING)
    # the columns alone
    path.write_text("10,1,가방\n" + "\n".join("0.1,0.7,0.2" for _ in range(5)), "utf-8")
    np.testing.assert_allclose(
        read(path).arrange(arrays, TRAINING), [[0.7, 0.1, 0.2]] * 5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"file,1,10\na,b,0\n",
         "line 2: could not convert string to float: 'b'; expected a probability for each class"),
        ("p.csv", b"file,1,10\n", "holds no rows"),
        ("p.npy", b"no array", "is no .npy or .npz file of numbers"),
    ],
)  # fmt: skip
def test_files_that_hold_none_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(tmp_path / name).arrange(TEST, TRAINING)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        ([[2.0, -1.0]] * 2, "got -1 to 2: logits, it seems; apply softmax first, as in "
         "scipy.special.softmax(logits, axis=1)"),
        ([[0.9, 0.9]] * 2, "each row of probs must sum to 1, as those of a softmax do, row 0 sums "
         "to 1.8000; of scores that judge each class alone (sigmoid), divide each row by its sum"),
        ([[90.0, 10.0]] * 2, "probs must be between 0 and 1, got percentages; divide them by 100"),
        ([[0.5, 0.5], [np.nan, 1]], "probs must be finite, row 1 holds nan; mend the model"),
    ],
)  # fmt: skip
def test_what_are_no_probabilities_is_told_what_to_do(probs, message):
    test = Dataset(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]), ("a", "b"))
    with pytest.raises(InputError) as caught:
        check(np.array(probs), test)
    assert str(caught.value).endswith(message)
