"""Store of runs: a folder written in one step, read, listed.

::

    runs/fashion-mnist-tutorial-1/
        recipe.json          what the run is made of
        history.json         loss and accuracy, epoch by epoch
        weights.safetensors  the network's weights
        model.onnx           the model: raw pixels in, logits and probabilities out
        metrics.json         validation accuracy, fit seconds, temperature
        conditions.json      versions, seed, data and its hash, machine, duration of each part
        evaluation.json      what `lookbook evaluate` found on the test part, once it has run
        photographs.json     what `lookbook evaluate --photos` found, the last time it ran
        analysis.npz         what `lookbook report` found out, for the next report
        report.html, …       what `report`, `figures` and `export` wrote
    runs/fashion-mnist-tutorial-1.unfinished/
                             what a training needs to go on: see `lookbook.checkpoints`
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookbook.core.files import cannot_write, encode, open_plain, read_plain, to_json, write_synced
from lookbook.errors import (
    DamagedFileError,
    InputError,
    LookbookError,
    LookbookWarning,
    OutputError,
    check_types,
    describe,
    write_call,
)
from lookbook.recipes import RECIPES, Recipe
from lookbook.runs import schema
from lookbook.runs.config import TrainConfig
from lookbook.runs.places import REQUEST, ROOT, list_unfinished, stands, unfinished
from lookbook.runs.schema import Conditions, EpochRecord, Metrics

if TYPE_CHECKING:
    from lookbook.data.formats.source import DataSource
    from lookbook.runs.photograph_schema import PhotographEvaluation
    from lookbook.runs.schema import Evaluation

_PARTS = ("recipe", "history", "metrics", "conditions")
WEIGHTS = "weights.safetensors"
MODEL = "model.onnx"
EVALUATION = "evaluation.json"
PHOTOGRAPHS = "photographs.json"
DEMO = "demo.json"
#: the run that comes with the package, without its weights: models/clothing/README.md
BUNDLED = Path(__file__).parent / "clothing"


@dataclass(frozen=True)
class Run:
    """One finished training, as its folder tells it.

    What its documents hold are attributes: `run.metrics.validation.accuracy`, or by key, the way of
    earlier versions: `run.metrics["validation"]["accuracy"]`.
    """

    folder: Path
    #: `recipe.json`
    recipe: Recipe
    #: `history.json`
    history: list[EpochRecord]
    #: `metrics.json`
    metrics: Metrics
    #: `conditions.json`
    conditions: Conditions

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.recipe.name})"

    @property
    def source(self) -> DataSource:
        """The data that it was trained on; what was there then may be gone."""
        from lookbook.data.sources import resolve  # noqa: PLC0415  # numpy: not for --help

        return resolve(self.conditions.data.name)

    @property
    def is_bundled(self) -> bool:
        """Whether it came with the package."""
        return self.folder.resolve() == BUNDLED.resolve()

    @property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.folder / WEIGHTS

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL

    def evaluation(self) -> Evaluation | None:
        """Return what the evaluation found, or None where there was none yet."""
        found: Evaluation | None = self._read(EVALUATION)
        return found

    def photographs(self) -> PhotographEvaluation | None:
        """Return what photographs showed, or None where there were none yet."""
        found: PhotographEvaluation | None = self._read(PHOTOGRAPHS)
        return found

    def _read(self, name: str) -> Any:
        """Return a document that not every run has, or None."""
        path = self.folder / name
        return read_document(path) if os.path.lexists(path) else None

    def tested(self) -> Evaluation | None:
        """Return the evaluation where it is one on a test part: not all data has one."""
        found = self.evaluation()
        return None if found is None or found.on_validation else found

    def place(self, name: str) -> Path:
        """Return a folder in the run to write into.

        Raises
        ------
        InputError
            A link stands there: what is written would be elsewhere.
        """
        path = self.folder / name
        if path.is_symlink():
            raise InputError(
                f"{path} is a link, and nothing is written through it; remove it, or choose "
                "another place with `out`"
            )
        return path

    def check_files(self) -> None:
        """Compare weights and model with the hashes that were taken when they were written.

        Raises
        ------
        DamagedFileError
            One of them is missing or was changed, or its hash is gone.
        """
        # not only what the table lists: it may have been emptied
        for name in (MODEL,) if self.is_bundled else (WEIGHTS, MODEL):
            path, expected = self.folder / name, self.conditions.sha256.get(name)
            remedy = f"restore the file, or train again: {self.train_again()}"
            try:
                with open_plain(path) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError as error:
                raise DamagedFileError(f"{path} is missing; {remedy}") from error
            except OSError as error:
                raise DamagedFileError(
                    f"{path} cannot be read: {error.strerror}; {remedy}"
                ) from error
            if expected is None:
                raise DamagedFileError(
                    f"{self.folder / 'conditions.json'} lacks the SHA-256 of {name}; {remedy}"
                )
            if found != expected:
                raise DamagedFileError(
                    f"{path} is damaged: its SHA-256 is {found}, the run recorded {expected}; "
                    f"{remedy}"
                )

    def train_arguments(self) -> tuple[str, dict[str, str | float | None]]:
        """Return DATA and the options with which `lookbook.train` trains the same again.

        Corrected labels are not among them: they come from a table of the user's, `corrections`.
        """
        data, recipe = self.conditions.data, self.recipe
        height, width = data.size
        usual, well = RECIPES.get(recipe.name), self.source.mirrors_well
        usually = usual.with_mirror(asked=None, well=well).mirror if usual else recipe.mirror
        balance = self.conditions.class_weights
        return data.name, {
            "recipe": recipe.name,
            "epochs": recipe.epochs,
            "seed": self.conditions.seed,
            "size": height if data.from_files and height == width else None,
            "mirror": None if recipe.mirror == usually else recipe.mirror,
            "final": self.conditions.final or None,
            "class_weights": "none" if balance and balance.why == "asked" else None,
        }

    def train_again(self) -> str:
        """Write the call that trains the same again, as errors advise it."""
        data, options = self.train_arguments()
        return write_call("train", data, **options)


def read_run(name: str | Path, root: Path = ROOT) -> Run:
    """Read the run of that path, or of that name in the folder of runs.

    Raises
    ------
    InputError
        There is no such folder, or it is no run.
    DamagedFileError
        A file of the run cannot be read.
    """
    folder = _path(name)
    if not folder.exists() and (root / folder).exists():
        folder = root / folder
    if not folder.exists() and unfinished(folder).exists():
        raise InputError(f"{folder} is not finished; go on: {write_call('resume', str(folder))}")
    if not folder.exists():
        known = [run.folder.name for run in list_runs(root)][:3]
        hint = (
            f"runs here: {', '.join(known)}"
            if known
            else "there are none yet: `lookbook.train(...)`"
        )
        raise InputError(f"no run {name}; {hint}")
    if not folder.is_dir() or not os.path.lexists(folder / "conditions.json"):
        raise InputError(
            f"{folder} is not a run: it has no conditions.json; "
            "`lookbook.list_runs()` lists the runs"
        )
    recipe, history, metrics, conditions = (read_document(folder / f"{p}.json") for p in _PARTS)
    return Run(folder, recipe, history, metrics, conditions)


def is_run(name: str | Path, root: Path = ROOT) -> bool:
    """Say whether a path, or a name in the folder of runs, is that of a run, finished or not."""
    return any(
        os.path.lexists(place / "conditions.json") or unfinished(place).exists()
        for place in (Path(name), root / name)
    )


def as_run(run: Run | str | Path) -> Run:
    """Return the run itself, or the one of that folder or name: see `read_run`.

    Raises
    ------
    InputError
        It is none of these, or there is no such run.
    """
    if isinstance(run, Run):
        return run
    return read_run(run)


def _path(run: str | Path) -> Path:
    if not isinstance(run, str | Path):
        raise InputError(f"expected a run, its folder or its name, got {type(run).__name__}")
    return Path(run)


def list_runs(root: str | Path = ROOT) -> list[Run]:
    """Return the runs in a folder, newest first; those that cannot be read are left out and listed.

    Raises
    ------
    OSError
        The folder itself cannot be read.
    """
    check_types(root=(root, str | os.PathLike))
    found, root = [], Path(root)
    for folder in sorted(root.iterdir()) if root.exists() else []:
        try:
            if folder.name[0] == "." or not os.path.lexists(folder / "conditions.json"):
                continue
            run = read_run(folder)
            run.evaluation()
            found.append(run)
        except (LookbookError, OSError) as error:
            why = error if isinstance(error, LookbookError) else describe(error)
            message = f"left out the run {folder.name}: {why}"
            warnings.warn(LookbookWarning(message), stacklevel=2)
    return sorted(found, key=lambda run: run.conditions.started, reverse=True)


def read_request(name: str | Path, root: Path = ROOT) -> tuple[Path, TrainConfig]:
    """Return the folder of an unfinished run of that path or name, and what was asked for.

    Raises
    ------
    InputError
        There is no such run, or it is finished.
    DamagedFileError
        The request cannot be read.
    """
    path = _path(name)
    places = path, root / path
    folder = next((place for place in places if unfinished(place).exists()), None)
    if folder is None:
        finished = next((place for place in places if (place / "conditions.json").exists()), None)
        if finished is not None:
            raise InputError(
                f"{finished} is finished: there is nothing to go on with; evaluate it: "
                f"{write_call('evaluate', str(finished))}"
            )
        known = [path.name for path in list_unfinished(root)][:3]
        hint = (
            f"unfinished here: {', '.join(known)}"
            if known
            else "no run here is unfinished; start one: `lookbook.train(...)`"
        )
        raise InputError(f"no unfinished run {name}; {hint}")
    path = unfinished(folder) / REQUEST
    request = read_document(path)
    digest = request.pop("sha256")
    if digest != sealed(request)["sha256"]:
        raise DamagedFileError(
            f"{path} is damaged: its SHA-256 is another one; delete {path.parent} and train again"
        )
    return folder, TrainConfig.from_json(request)


def sealed(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with its hash: a changed one would train something else, without a word."""
    content = json.dumps(request, sort_keys=True)
    return request | {"sha256": hashlib.sha256(content.encode()).hexdigest()}


def write_run(
    run: Run, blobs: dict[str, bytes], *, numbered: bool = False, replaces: bool = False
) -> Run:
    """Write a run beside its place, then move it there in one step: it is whole, or not there.

    Its files besides the documents are `blobs`; what is returned is what can be read again.

    Where it `replaces` the run of a training that was stopped, that one goes, or is kept under
    another name if more than the training wrote is in it.

    Where another process took the place meanwhile, the run is moved to the next free one:
    `runs/mnist-quick-2` after `runs/mnist-quick-1` if the name is a `numbered` one.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written; or it was taken meanwhile, and its name
        is the user's, not `numbered`: the message says where the run is.
    """
    folder = run.folder
    lacking = [parent for parent in folder.parents if not os.path.lexists(parent)]
    try:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if replaces:
                _set_aside(folder)
            place = _write_whole(run, blobs, numbered=numbered)
        except BaseException:
            with suppress(OSError):  # another process may use them by now
                for parent in lacking:
                    parent.rmdir()
            raise
    except OSError as error:
        raise cannot_write(folder, error, unchanged=True) from error
    if place != folder and not numbered:
        raise OutputError(
            f"{folder} was made by another program meanwhile and is not overwritten; "
            f"the run is in {place}"
        )
    return read_run(place)


def _set_aside(folder: Path) -> None:
    """Remove what stands there, in one step as others see it; keep what was made from it."""
    if not stands(folder):
        return
    own = {WEIGHTS, MODEL, EVALUATION, *(f"{name}.json" for name in _PARTS)}
    if {path.name for path in folder.iterdir()} - own:
        kept = next(
            place
            for number in itertools.count(1)
            if not stands(place := folder.with_name(f"{folder.name}-stopped-{number}"))
        )
        folder.rename(kept)
        message = f"the run as it was stopped, with what was made from it, is kept in {kept}"
        warnings.warn(LookbookWarning(message), stacklevel=2)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lookbook-"))
    folder.rename(aside / folder.name)
    shutil.rmtree(aside)


def _write_whole(run: Run, blobs: dict[str, bytes], *, numbered: bool) -> Path:
    """Write a run, or leave nothing; return where it is."""
    scratch = Path(tempfile.mkdtemp(dir=run.folder.parent, prefix=".lookbook-"))
    try:
        for name, blob in blobs.items():
            write_synced(scratch / name, blob)
        for name in _PARTS:
            write_synced(scratch / f"{name}.json", encode(to_json(getattr(run, name))))
        scratch.chmod(0o755)  # mkdtemp is for secrets; a run is for showing
        return _move(scratch, run.folder, numbered=numbered)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _move(scratch: Path, folder: Path, *, numbered: bool) -> Path:
    """Move a run to its place, or to the next free one; return which."""
    stem, number = folder.name, 1
    if numbered:
        stem, _, last = folder.name.rpartition("-")
        number = int(last)
    place = folder
    while True:
        try:
            return scratch.rename(place)
        except OSError:
            if not os.path.lexists(place):
                raise
        number += 1
        place = folder.with_name(f"{stem}-{number}")


def read_document(path: Path) -> Any:
    """Read one document of a run; refuse one that is not of its form.

    Raises
    ------
    DamagedFileError
        It is missing, cannot be read, or does not hold what it should.
    """
    remedy = {
        EVALUATION: "delete it, and evaluate again",
        PHOTOGRAPHS: "delete it, and evaluate again",
        DEMO: "delete it, and do the demo again",
        REQUEST: f"delete {path.parent} and train again",
    }.get(path.name, "restore it, or train again")
    try:
        content = read_plain(path, schema.FORMS[path.stem].most_bytes)
        return schema.decode(path.stem, content)
    except FileNotFoundError as error:
        raise DamagedFileError(
            f"the run {path.parent} is damaged: it lacks {path.name}; {remedy}"
        ) from error
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}; {remedy}") from error
    except ValueError as error:
        raise DamagedFileError(
            f"{path} does not hold what a run's {path.name} holds: {error}; {remedy}"
        ) from error
