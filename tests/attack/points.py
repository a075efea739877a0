"""Damaged resume points: a training goes on to the same weights, or says why not."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from lookbook.recipes import QUICK, STANDARD, TUTORIAL

from . import mutate
from .cage import Act, Answer, Attack, WrongAnswerError, command

RECIPES = {
    "dense": replace(TUTORIAL, epochs=2),
    "quick": replace(QUICK, batch_size=32, epochs=3),
    "standard": replace(STANDARD, widths=(16,) * 5, batch_size=40, epochs=3, hardest=0.5, shift=1),
}
#: steps after which the training stops
STEPS = 5


class Points(Attack):
    """A file of an unfinished training is damaged, and the training goes on."""

    def prepare(self, folder: Path) -> None:
        """Train a network of each kind, once whole and once until it is stopped."""
        from lookbook.training import checkpoints
        from lookbook.training.pipeline import train

        rng = np.random.default_rng(0)
        labels = np.arange(160) % 2
        images = (rng.integers(0, 99, (160, 12, 10)) + 99 * labels[:, None, None]).astype(np.uint8)
        np.savez(folder / "data.npz", images=images, labels=labels)
        checkpoints.APART = checkpoints.TIMES = 0
        os.chdir(folder)
        for name, recipe in RECIPES.items():
            steps = iter(range(STEPS))
            train("data.npz", recipe, epochs=recipe.epochs, out=f"whole-{name}")
            train("data.npz", recipe, epochs=recipe.epochs, out=name,
                  should_stop=lambda s=steps: next(s, None) is None)  # fmt: skip
            shutil.copytree(f"{name}.unfinished", f"kept-{name}")

    def start(self, folder: Path) -> None:
        """Remember the weights that come of a training that nothing stops."""
        os.chdir(folder)
        self.weights = {
            name: Path(f"whole-{name}/weights.safetensors").read_bytes() for name in RECIPES
        }

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Damage one of the files."""
        del number
        for old in Path().glob("mutant*"):
            shutil.rmtree(old)
        name = mutate.choose(rng, list(RECIPES))
        place = shutil.copytree(f"kept-{name}", "mutant.unfinished")
        files = sorted(Path(place).iterdir())
        path = mutate.choose(rng, [one for one in files if one.suffix != ".json"] * 4 + files)
        content = path.read_bytes()
        if path.suffix == ".json":
            path.write_bytes(mutate.text_of(rng, content))
        else:
            kind = mutate.choose(rng, (mutate.flip, mutate.flip, mutate.cut, mutate.number, None))
            path.write_bytes(kind(rng, content) if kind else mutate.damage(rng, content, [content]))

        def act() -> Answer:
            command("train", "--resume", "mutant")
            found = Path("mutant/weights.safetensors").read_bytes()
            if found != self.weights[name]:
                raise WrongAnswerError(f"{path.name} was damaged, and other weights came of it")
            return Answer()

        return act
