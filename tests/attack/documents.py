"""Damaged documents of a run, and what stands in their place, read by the commands."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from lookbook.evaluation.evaluate import evaluate
from lookbook.evaluation.photographs import evaluate_photographs
from lookbook.recipes import TUTORIAL

from . import mutate
from .cage import Act, Answer, Attack, WrongAnswerError, command

#: document → the commands that read it, those more often that are fast
READERS = {
    "recipe.json": ("runs", "evaluate", "predict", "figures"),
    "history.json": ("runs", "evaluate", "runs", "evaluate", "figures", "report"),
    "metrics.json": ("runs", "evaluate", "predict", "report"),
    "conditions.json": ("runs", "evaluate", "predict", "runs", "evaluate", "predict", "export"),
    "evaluation.json": ("runs", "evaluate", "runs", "evaluate", "runs", "evaluate", "figures"),
    "photographs.json": ("report", "photos"),
    "analysis.npz": ("report",),
    "request.json": ("runs", "resume"),
}
#: how often each of them is damaged
OFTEN = (
    *("recipe.json",) * 4, *("history.json",) * 4, *("metrics.json",) * 4,
    *("conditions.json",) * 7, *("evaluation.json",) * 8, "analysis.npz", *("request.json",) * 3,
    *("photographs.json",) * 2,
)  # fmt: skip
WORDS = {
    "runs": ("runs",),
    "evaluate": ("evaluate", "one"),
    "photos": ("evaluate", "one", "--photos", "photos"),
    "predict": ("predict", "one", "test:0", "image.png"),
    "figures": ("figures", "one", "--out", "figures"),
    "report": ("report", "one", "--out", "report.html"),
    "export": ("export", "one", "--to", "folder", "--out", "kit"),
    "resume": ("train", "--resume", "three"),
}


class Documents(Attack):
    """One document is damaged, and a command reads it; another run beside it stays listed."""

    def prepare(self, folder: Path) -> None:
        """Train and report two runs, and begin a third."""
        from PIL import Image

        from lookbook.training.pipeline import train

        rng = np.random.default_rng(0)
        labels = np.arange(48) % 3
        images = (rng.integers(0, 90, (48, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
        np.savez(folder / "data.npz", train_images=images, train_labels=labels,
                 test_images=images[:9], test_labels=labels[:9])  # fmt: skip
        Image.fromarray(images[0]).save(folder / "image.png")
        for label in ("0", "other"):
            (folder / "photos" / label).mkdir(parents=True)
            Image.fromarray(images[0]).save(folder / "photos" / label / "1.png")
        recipe = TUTORIAL.with_epochs(2)
        for name in ("one", "two"):
            evaluate(train(str(folder / "data.npz"), recipe, out=folder / "runs" / name))
        evaluate_photographs(folder / "runs" / "one", folder / "photos")
        asked = iter(range(2))
        train(str(folder / "data.npz"), recipe, out=folder / "runs" / "three",
              should_stop=lambda: next(asked, None) is None)  # fmt: skip
        os.chdir(folder)
        shutil.copytree("runs", "kept")

    def start(self, folder: Path) -> None:
        """Say where each document stands."""
        os.chdir(folder)
        self.places = {
            name: Path("three.unfinished" if name == "request.json" else "one") / name
            for name in READERS
        }

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Damage one document."""
        del number
        shutil.rmtree("runs")
        for place in ("figures", "kit"):
            shutil.rmtree(place, ignore_errors=True)
        shutil.copytree("kept", "runs")
        name = mutate.choose(rng, OFTEN)
        asked = mutate.choose(rng, READERS[name])
        if asked == "report" and not Path("kept/one/analysis.npz").exists():
            command("report", "one")  # what the next report goes on with
            shutil.copy("runs/one/analysis.npz", "kept/one")
        path = "runs" / self.places[name]
        content = path.read_bytes()
        if rng.random() < 0.04:
            _put_other(rng, path)
        elif name.endswith(".npz"):
            path.write_bytes(mutate.damage(rng, content, [content]))
        else:
            path.write_bytes(mutate.text_of(rng, content))

        def act() -> Answer:
            printed = command(*WORDS[asked])
            if asked == "runs" and "two" not in printed:
                raise WrongAnswerError(f"one bad run took the other from the list: {printed[:200]}")
            return Answer()

        return act


def _put_other(rng: np.random.Generator, path: Path) -> None:
    """Put something in the place of a file that is none, or has no end."""
    path.unlink()
    kind = mutate.choose(rng, ("pipe", "folder", "zeros", "loop", "nothing", "large", "link"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(5 * 2**30)
    elif kind != "nothing":
        path.symlink_to({"zeros": "/dev/zero", "loop": path.name, "link": "/etc/passwd"}[kind])
