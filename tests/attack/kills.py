"""Trainings that are killed at a random moment on busy cores, and go on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from lookbook.core.environment import usable_cores

from .cage import Act, Answer, Attack, WrongAnswerError, command

#: recipe → passes, for half a minute of training by one thread: several would wait for each
#: other where cores are busy
RECIPES = {"quick": "1500", "standard": "100"}


class Kills(Attack):
    """SIGKILL wherever it hits; then the training goes on to the weights that it would have had."""

    still = 900.0

    def prepare(self, folder: Path) -> None:
        """Train each recipe whole, on busy cores as all others."""
        os.chdir(folder)
        rng = np.random.default_rng(0)
        labels = np.arange(800) % 5
        images = rng.integers(0, 120, (800, 28, 28)) + 30 * labels[:, None, None]
        np.savez("data.npz", images=images.astype(np.uint8), labels=labels)
        _keep_busy()
        for recipe in RECIPES:
            _, code, used = os.wait4(_train(recipe, f"whole-{recipe}"), 0)
            if code:
                raise RuntimeError(f"a training ended with {code}")
            Path(f"{recipe}.seconds").write_text(str(used.ru_utime + used.ru_stime))

    def start(self, folder: Path) -> None:
        """Keep the cores busy while there are cases."""
        os.chdir(folder)
        _keep_busy()

    def mutate(self, rng: np.random.Generator, number: int) -> Act:
        """Start a training, kill it, and let it go on."""
        recipe = list(RECIPES)[number % 2]
        for old in Path().glob("killed*"):
            shutil.rmtree(old)
        longest = float(Path(f"{recipe}.seconds").read_text())
        share = rng.uniform(0.02, 1)

        def act() -> Answer:
            code = _killed(_train(recipe, "killed"), share * longest)
            how = f"{recipe}, killed after {share:.0%}" if code else f"{recipe}, was done before"
            if not Path("killed").exists():
                point = Path("killed.unfinished").exists()
                try:
                    _go_on()
                except ChildProcessError:
                    if point:
                        raise
                    return Answer(refused=True, what=f"{how}: nothing was kept yet")
                how += ", went on"
            found, whole = (
                Path(f"{name}/weights.safetensors") for name in ("killed", f"whole-{recipe}")
            )
            if found.read_bytes() != whole.read_bytes():
                raise WrongAnswerError(f"{how}: other weights")
            return Answer(what=f"{how}: the same weights")

        return act


def _keep_busy() -> None:
    """Burn as many cores as there are, until this process ends."""
    parent = os.getpid()
    for _ in range(usable_cores()):
        if os.fork() == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)
            while os.getppid() == parent:
                sum(range(100_000))
            os._exit(0)


def _train(recipe: str, out: str) -> int:
    words = ("data.npz", "--recipe", recipe, "--epochs", RECIPES[recipe], "--out", out, "--quiet")
    return _begin("train", *words)


def _begin(*words: str) -> int:
    """Run a command in a process of its own; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)
        command(*words)
        code = 0
    finally:
        os._exit(code)


def _killed(child: int, seconds: float) -> int:
    """Kill a process after so much of the processor's time; return how it ended."""
    used = 0.0
    while used < seconds:
        time.sleep(0.01)
        state, *fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        if state == "Z":
            break
        used = (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _go_on() -> None:
    if code := os.waitpid(_begin("train", "--resume", "killed", "--quiet"), 0)[1]:
        raise ChildProcessError(f"--resume ended with {os.waitstatus_to_exitcode(code)}")
