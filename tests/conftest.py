"""Data and runs that several tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import msgspec
import numpy as np
import pytest
from filelock import FileLock

import program
from lookbook.data.dataset import Dataset
from lookbook.data.sources import load
from lookbook.recipes import TUTORIAL, Recipe
from lookbook.runs.store import Run

if TYPE_CHECKING:
    from lookbook.inference.model import Model
    from lookbook.networks.classifier import Classifier

# what is loaded here keeps nothing of its own in the home of who runs the tests
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# how long an example takes says more about the machine than about the code
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

#: fixture → marker of every test that asks for it
MARKED = {"browser": "browser", "demo": "slow"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser or the demo's run, and begin with the longest files, those pages.

    They begin, so that in the end no core waits for another.
    """
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in MARKED:
                item.add_marker(MARKED[fixture])
    long = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: item.path not in long)


def made_images(n: int, *, seed: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Bright bars on dark ground: the bar's place is the class, the rest is noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 60, (n, 12, 10), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[1 + 3 * label : 3 + 3 * label, 1:9] += rng.integers(100, 190, dtype=np.uint8)
    return images, labels


def made_probs(n: int = 4000, k: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities that are true, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, 0.15), n)
    labels = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return probs, labels


def with_data(run: Run, **changes: object) -> Run:
    """Return a run whose `conditions.data` says something else, in memory alone."""
    data = msgspec.structs.replace(run.conditions.data, **changes)
    return replace(run, conditions=msgspec.structs.replace(run.conditions, data=data))


def described(classes: Iterable[str]) -> dict[str, Any]:
    """Return what a made model says of itself, but for its input and views."""
    return {
        "classes": list(classes), "polarity": "mixed", "temperature": 1.0, "calibration": None,
        "recipe": {"name": "made"}, "validation": None, "data": {"name": "made"}, "licence": "",
        "lookbook": "0",
    }  # fmt: skip


def lookbook(*args: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a user does, in a process of its own."""
    arguments = [*map(str, args)]
    shared = os.environ | program.WIDTH
    if not environment and sys.platform == "linux":
        return program.call(arguments, cwd, shared)
    return subprocess.run(
        [sys.executable, "-m", "lookbook", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=shared | environment,
    )


def as_model(classifier: Classifier, images: np.ndarray, classes: Iterable[str]) -> Model:
    """Return a network as a model file, which takes such images."""
    from lookbook.inference.model_card import Data
    from lookbook.networks.onnx_export import describe, to_onnx

    card = describe(
        classifier, images, Recipe(name="made"), list(classes), "mixed", validation=None,
        weaknesses=[], calibration=None, data=Data("made"),
    )  # fmt: skip
    return to_onnx(classifier, images, card)


def imported(*args: str | Path, cwd: Path) -> tuple[int, set[str], str]:
    """Run a command in a fresh process; return its code, what it imports, and what it prints."""
    code = (
        "import sys\nfrom lookbook.cli.main import main\n"
        f"sys.argv = ['lookbook', *{[*map(str, args)]!r}]\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    code = ended.code or 0\n"
        "print(code, *(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    ending, *names = ended.stderr.splitlines()[-1].split()
    return int(ending), set(names), ended.stdout


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Make a folder once for all processes of these tests: its name, and what fills it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                fresh = shared / f".{name}"
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir()
                fill(fresh)
                fresh.rename(shared / name)
        return shared / name

    return make


def _demonstrate(folder: Path) -> None:
    ended = lookbook("demo", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    (folder / "printed.txt").write_text(ended.stdout, encoding="utf-8")


@pytest.fixture(scope="session")
def demo(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder in which `lookbook demo` ran, with what it printed; not to be changed."""
    return once("demo", _demonstrate)


@pytest.fixture(scope="session")
def fashion() -> Dataset:
    """Fashion-MNIST's training part."""
    return load("fashion-mnist")


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made dataset as .npz: 300 training and 90 test images, 12×10, three classes."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    train_images, train_labels = made_images(300, seed=0)
    test_images, test_labels = made_images(90, seed=1)
    np.savez(
        path,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=np.array(["top", "middle", "bottom"]),
    )
    return path


@pytest.fixture
def more_bars(tmp_path: Path) -> Path:
    """Enough images for a validation part that gives a temperature."""
    images, labels = made_images(600, seed=3)
    np.savez(tmp_path / "more.npz", images=images, labels=labels)
    return tmp_path / "more.npz"


@pytest.fixture(scope="session")
def place(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trained and evaluated run, `runs/bars-tutorial-1`; not to be changed."""
    from lookbook.evaluation.evaluate import evaluate
    from lookbook.training.pipeline import train

    folder = tmp_path_factory.mktemp("place")
    run = train(str(bars), TUTORIAL.with_epochs(4), out=folder / "runs" / "bars-tutorial-1")
    evaluate(run)
    return folder


@pytest.fixture
def call(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program in this process, in the shared folder; return its code, and what it says."""
    from lookbook.cli import main as cli
    from lookbook.core import translation

    def called(*args: object) -> tuple[int, str, str]:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["lookbook", *map(str, args)])
        monkeypatch.setattr(cli.process, "end_at_once", lambda _code: None)
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # it sets its own
        monkeypatch.setattr(translation, "_lang", translation.language())  # and `--lang`
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return called


@pytest.fixture
def run(place: Path) -> Run:
    """The shared run; not to be changed."""
    from lookbook.runs.store import read_run

    return read_run(place / "runs" / "bars-tutorial-1")


@pytest.fixture
def own_run(run: Run, tmp_path: Path) -> Run:
    """A copy of the shared run that a test may damage."""
    from lookbook.runs.store import read_run

    return read_run(shutil.copytree(run.folder, tmp_path / "runs" / run.folder.name))


@pytest.fixture(scope="session")
def cutting_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on bars of 28×28 whose model cuts out photographs; not to be changed."""
    from lookbook.data.catalog import Garments
    from lookbook.data.formats.npz import NpzSource
    from lookbook.training.pipeline import train

    folder = tmp_path_factory.mktemp("cutting")
    images, labels = made_images(700, seed=3)
    images = images[:, 1:11].repeat(3, axis=1).repeat(3, axis=2)[:, 1:29, 1:29]
    np.savez(folder / "bars.npz", images=images, labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NpzSource, "cuts_out_photographs", True)
        patch.setattr(NpzSource, "garments", Garments((), (), (), (), ()))
        return train(str(folder / "bars.npz"), TUTORIAL.with_epochs(3), out=folder / "run")


@pytest.fixture(scope="session")
def parts() -> list[Dataset]:
    """Bars with wrong labels in each part: of every fortieth image. Not to be changed."""
    made = []
    for n, seed in ((600, 0), (200, 1)):
        images, labels = made_images(n, seed=seed)
        labels[::40] = (labels[::40] + 1) % 3
        made.append(Dataset(images, labels, ("top", "middle", "bottom")))
    return made


@pytest.fixture(scope="session")
def findings(parts: list[Dataset]) -> Any:
    """What the audit finds in them, with networks that judge labels."""
    from lookbook.evaluation.audit import audit
    from lookbook.training.cross_validation import out_of_fold

    return audit(*parts, out_of_fold(*parts))


def _save_hard_data(folder: Path) -> None:
    arrays = {}
    for part, n, seed in (("train", 700, 0), ("test", 150, 1)):
        images, labels = made_images(n, seed=seed)
        noise = np.random.default_rng(seed).integers(0, 130, images.shape)
        arrays[f"{part}_images"] = np.minimum(images.astype(int) + noise, 255).astype(np.uint8)
        labels[::25] = (labels[::25] + 1) % 3
        arrays[f"{part}_labels"] = labels
    arrays["train_images"][7] = arrays["train_images"][4]
    arrays["test_images"][3] = arrays["train_images"][3]
    np.savez(folder / "bars.npz", **arrays, classes=np.array(["top", "middle", "bottom"]))


@pytest.fixture(scope="session")
def hard_place(once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A run that makes mistakes, `runs/bars-1` in a folder, and the report on it in two languages.

    Images in much noise, and a few wrong labels; of 700 images more than 50 are for validation,
    enough to set thresholds. Not to be changed.
    """

    def fill(folder: Path) -> None:
        from lookbook.core.templates import LANGS
        from lookbook.reports import page, report_data
        from lookbook.training.pipeline import train

        data = once("hard-data", _save_hard_data) / "bars.npz"
        run = train(str(data), TUTORIAL.with_epochs(3), out=folder / "runs" / "bars-1")
        collected = report_data.collect(run)
        for lang in LANGS:
            page.write_run_report(collected, run.folder / f"{lang}.html", lang)

    return once("hard", fill)


@pytest.fixture(scope="session")
def hard_run(hard_place: Path) -> Run:
    """The run that makes mistakes; not to be changed."""
    from lookbook.runs.store import read_run

    return read_run(hard_place / "runs" / "bars-1")


@pytest.fixture(scope="session")
def pages(hard_run: Run) -> dict[str, Path]:
    """The report on that run, in both languages."""
    from lookbook.core.templates import LANGS

    return {lang: hard_run.folder / f"{lang}.html" for lang in LANGS}


@pytest.fixture(scope="session")
def answers(hard_run: Run) -> tuple[Dataset, np.ndarray]:
    """Its test part and the model's probabilities, by the only way to predict."""
    from lookbook.inference.model import Model
    from lookbook.runs.data_parts import load_part

    test = load_part(hard_run, "test")
    return test, Model.open(hard_run.model).predict(test.images).probs


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser, headless and offline."""
    from browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture
def busy() -> Iterator[None]:
    """Three programs that take all that two cores give."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    yield
    for hog in hogs:
        hog.kill()
        hog.wait()


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two workers at once, that read all but the first files; the processes that were started."""
    from lookbook.images import pool

    started, alone = [], pool.Pool._next

    class Noted(pool.Worker):
        def __init__(self) -> None:
            super().__init__()
            started.append(self)

    def next_of_workers(self: pool.Pool) -> Any:
        return self._done.get() if self._n_workers else alone(self)

    monkeypatch.setattr(pool.Pool, "_next", next_of_workers)
    monkeypatch.setattr(pool, "Worker", Noted)
    monkeypatch.setattr(pool, "usable_cores", lambda: 3)
    monkeypatch.setattr(pool, "WORTH_A_WORKER", 1e-12)
    monkeypatch.setattr(pool, "SEEN", 0)
    return started
