"""Say what a run folder holds, write it in one step, read it, list all of them.

::

    runs/fashion-mnist-tutorial-1/
        recipe.json          what the run is made of
        history.json         loss and accuracy, epoch by epoch
        weights.safetensors  the network's weights
        model.onnx           the model: raw pixels in, logits and probabilities out
        metrics.json         validation accuracy, fit seconds, temperature
        conditions.json      versions, seed, data and its hash, machine, duration of each part
        evaluation.json      what `lookbook evaluate` found on the test part, once it has run
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
import shlex
import shutil
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookbook.builtin import mirrors_well
from lookbook.errors import DamagedFileError, InputError, LookbookWarning, OutputError
from lookbook.files import cannot_write, to_json, write_synced
from lookbook.recipes import RECIPES

#: where runs are kept if the user names no place
ROOT = Path("runs")
_PARTS = ("recipe", "history", "metrics", "conditions")
WEIGHTS = "weights.safetensors"
MODEL = "model.onnx"
EVALUATION = "evaluation.json"
REQUEST = "request.json"
#: what the documents of a run must hold to be read: key → type
_KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "recipe": {"name": str, "epochs": (int, float)},
    "metrics": {"fit_seconds": (int, float), "validation": (dict, type(None)), "stopped": bool},
    "conditions": {"started": str, "data": dict, "seed": int, "final": bool, "sha256": dict},
    "data": {
        "name": str,
        "size": list,
        "channels": int,
        "from_files": bool,
        "classes": list,
        "train_pictures": int,
        "train_sha256": str,
    },
    "request": {
        "data": str,
        "recipe": dict,
        "seed": int,
        "size": (int, type(None)),
        "final": bool,
        "fit_seconds": (int, float, type(None)),
        "train_sha256": str,
        "versions": dict,
    },
    "evaluation": {
        "accuracy": (int, float),
        "interval": list,
        "loss": (int, float),
        "uncalibrated_loss": (int, float),
        "ece": (int, float),
        "ece_by_chance": (int, float),
        "thresholds": (dict, type(None)),
        "n": int,
        "confusion_matrix": list,
        "per_class": list,
        "most_confused": list,
        "classes": list,
    },
}


@dataclass(frozen=True)
class Run:
    """One finished training, as its folder tells it."""

    folder: Path
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    conditions: dict[str, Any]

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}, {self.recipe['name']})"

    @property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.folder / WEIGHTS

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / MODEL

    def evaluation(self) -> dict[str, Any] | None:
        """Return what the evaluation found, or None where there was none yet."""
        path = self.folder / EVALUATION
        return _read_json(path) if path.exists() else None

    def tested(self) -> dict[str, Any] | None:
        """Return the evaluation where it is one on a test part: not all data has one."""
        found = self.evaluation()
        return None if found is None or is_on_validation(found) else found

    def check_files(self) -> None:
        """Compare weights and model with the hashes that were taken when they were written.

        Raises
        ------
        DamagedFileError
            One of them is missing or was changed, or its hash is gone.
        """
        # not only what the table lists: it may have been emptied
        for name in (WEIGHTS, MODEL):
            path, expected = self.folder / name, self.conditions["sha256"].get(name)
            remedy = f"restore the file, or train again: {self.train_command()}"
            try:
                found = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError as error:
                raise DamagedFileError(f"{path} is missing; {remedy}") from error
            except OSError as error:
                raise DamagedFileError(
                    f"{path} cannot be read ({error.strerror}); {remedy}"
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

    def train_command(self) -> str:
        """Return the command that trains the same again.

        Corrected labels are not in it: they come from a table of the user's, `--corrections FILE`.
        """
        data, seed = self.conditions["data"], self.conditions["seed"]
        words = ["lookbook", "train", data["name"], "--recipe", self.recipe["name"]]
        words += ["--epochs", str(self.recipe["epochs"]), "--seed", str(seed)]
        height, width = data["size"]
        if data["from_files"] and height == width:
            words += ["--size", str(height)]
        usual = RECIPES.get(self.recipe["name"])
        mirrored = self.recipe.get("mirror", False)
        well = mirrors_well(data["name"])
        if usual is not None and mirrored != usual.with_mirror(asked=None, well=well).mirror:
            words.append("--mirror" if mirrored else "--no-mirror")
        if self.conditions["final"]:
            words.append("--final")
        return shlex.join(words)


def is_on_validation(evaluation: dict[str, Any]) -> bool:
    """Say whether the data had no test part, so that its validation part was measured on."""
    return bool(evaluation.get("conditions", {}).get("part") == "validation")


def read_run(name: str | Path, root: Path = ROOT) -> Run:
    """Read the run of that path, or of that name in the folder of runs.

    Raises
    ------
    InputError
        There is no such folder, or it is no run.
    DamagedFileError
        A file of the run cannot be read.
    """
    folder = Path(name)
    if not folder.exists() and (root / folder).exists():
        folder = root / folder
    if not folder.exists() and unfinished(folder).exists():
        raise InputError(f"{folder} is not finished; go on: {_resume_command(folder)}")
    if not folder.exists():
        known = [run.folder.name for run in list_runs(root)][:3]
        hint = f"runs here: {', '.join(known)}" if known else "there are none yet: lookbook train"
        raise InputError(f"no run {name}; {hint}")
    if not folder.is_dir() or not (folder / "conditions.json").exists():
        raise InputError(
            f"{folder} is not a run: it has no conditions.json; lookbook runs lists the runs"
        )
    recipe, history, metrics, conditions = (_read_json(folder / f"{p}.json") for p in _PARTS)
    return Run(folder, recipe, history, metrics, conditions)


def as_run(run: Run | str | Path) -> Run:
    """Return the run itself, or the one of that folder or name: see `read_run`.

    Raises
    ------
    InputError
        It is none of these, or there is no such run.
    """
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | Path):
        raise InputError(
            f"a {type(run).__name__} is no run; expected a run, its folder or its name"
        )
    return read_run(run)


def list_runs(root: Path = ROOT) -> list[Run]:
    """Return the runs in a folder, newest first; damaged ones are left out and listed."""
    found = []
    for path in sorted(root.glob("[!.]*/conditions.json")):
        try:
            run = read_run(path.parent)
            run.evaluation()
            found.append(run)
        except DamagedFileError as error:
            message = f"left out the run {path.parent.name}: {error}"
            warnings.warn(LookbookWarning(message), stacklevel=2)
    return sorted(found, key=lambda run: str(run.conditions["started"]), reverse=True)


def unfinished(folder: Path) -> Path:
    """Return where a training keeps what it needs to go on, until its run is finished."""
    return folder.with_name(f"{folder.name}.unfinished")


def list_unfinished(root: Path = ROOT) -> list[Path]:
    """Return the runs in a folder whose training was stopped or killed, by name."""
    return sorted(path.parent.with_suffix("") for path in root.glob(f"*.unfinished/{REQUEST}"))


def read_request(name: str | Path, root: Path = ROOT) -> tuple[Path, dict[str, Any]]:
    """Return the folder of an unfinished run of that path or name, and what was asked for.

    Raises
    ------
    InputError
        There is no such run, or it is finished.
    DamagedFileError
        The request cannot be read.
    """
    folder = Path(name)
    if not unfinished(folder).exists() and unfinished(root / folder).exists():
        folder = root / folder
    if not unfinished(folder).exists():
        if (folder / "conditions.json").exists():
            raise InputError(
                f"{folder} is finished: there is nothing to go on with; evaluate it: "
                f"{shlex.join(['lookbook', 'evaluate', str(folder)])}"
            )
        known = [path.name for path in list_unfinished(root)][:3]
        hint = (
            f"unfinished here: {', '.join(known)}"
            if known
            else "no run here is unfinished; start one: lookbook train"
        )
        raise InputError(f"no unfinished run {name}; {hint}")
    return folder, _read_json(unfinished(folder) / REQUEST)


def _resume_command(folder: Path) -> str:
    return shlex.join(["lookbook", "train", "--resume", str(folder)])


def free_folder(data_name: str, recipe_name: str, root: Path = ROOT) -> Path:
    """Return the next `runs/<data>-<recipe>-<number>` that is free."""
    stem = f"{Path(data_name).name.removesuffix('.npz')}-{recipe_name}"
    number = 1
    while any(map(os.path.lexists, _places(root / f"{stem}-{number}"))):
        number += 1
    return root / f"{stem}-{number}"


def _places(folder: Path) -> tuple[Path, Path]:
    return folder, unfinished(folder)


def check_target(folder: Path) -> None:
    """Make sure, before any work, that a new run can be written there.

    Raises
    ------
    InputError
        The folder exists.
    OutputError
        It cannot be made there.
    """
    try:
        if _stands(folder):
            raise InputError(f"{folder} exists and is not overwritten; choose another --out")
        if _stands(unfinished(folder)):
            raise InputError(
                f"{folder} was begun and is not finished; go on: {_resume_command(folder)}, or "
                f"delete {unfinished(folder)}"
            )
        # what lacks above it is made when the run is written
        nearest = next(parent for parent in folder.parents if _stands(parent))
        tempfile.TemporaryDirectory(dir=nearest, prefix=".lookbook-").cleanup()
    except OSError as error:
        raise cannot_write(folder, error, unchanged=True) from error


def _stands(path: Path) -> bool:
    """Say whether anything has this name, be it a link to nothing."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def write_run(
    folder: Path,
    documents: dict[str, Any],
    blobs: dict[str, bytes],
    *,
    numbered: bool = False,
    replaces: bool = False,
) -> Run:
    """Write a run beside its place, then move it there in one step: it is whole, or not there.

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
    lacking = [parent for parent in folder.parents if not os.path.lexists(parent)]
    try:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if replaces:
                _set_aside(folder)
            place = _write_whole(folder, documents, blobs, numbered=numbered)
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
    if not _stands(folder):
        return
    own = {WEIGHTS, MODEL, EVALUATION, *(f"{name}.json" for name in _PARTS)}
    if {path.name for path in folder.iterdir()} - own:
        kept = next(
            place
            for number in itertools.count(1)
            if not _stands(place := folder.with_name(f"{folder.name}-stopped-{number}"))
        )
        folder.rename(kept)
        message = f"the run as it was stopped, with what was made from it, is kept in {kept}"
        warnings.warn(LookbookWarning(message), stacklevel=2)
        return
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lookbook-"))
    folder.rename(aside / folder.name)
    shutil.rmtree(aside)


def _write_whole(
    folder: Path, documents: dict[str, Any], blobs: dict[str, bytes], *, numbered: bool
) -> Path:
    """Write a run, or leave nothing; return where it is."""
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lookbook-"))
    try:
        for name, blob in blobs.items():
            write_synced(scratch / name, blob)
        for name, document in documents.items():
            write_synced(scratch / f"{name}.json", to_json(document).encode())
        scratch.chmod(0o755)  # mkdtemp is for secrets; a run is for showing
        return _move(scratch, folder, numbered=numbered)
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


def _read_json(path: Path) -> Any:
    """Read one document of a run; refuse one that is not of its form."""
    name = path.stem
    remedy = (
        "delete it, and evaluate again" if path.name == EVALUATION else "restore it, or train again"
    )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DamagedFileError(
            f"the run {path.parent} is damaged: it lacks {path.name}; {remedy}"
        ) from error
    except (OSError, ValueError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}); {remedy}") from error
    if not _has_form(name, document):
        raise DamagedFileError(f"{path} does not hold what a run's {path.name} holds; {remedy}")
    return document


def _has_form(name: str, document: Any) -> bool:
    if name == "history":
        return isinstance(document, list) and all(isinstance(entry, dict) for entry in document)
    if not isinstance(document, dict):
        return False
    right = all(isinstance(document.get(key, ...), kind) for key, kind in _KEYS[name].items())
    return right and (name != "conditions" or _has_form("data", document["data"]))
