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
        figures/             what `lookbook figures` drew
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lookbook.errors import DamagedFileError, InputError, OutputError

#: where runs are kept if the user names no place
ROOT = Path("runs")
_PARTS = ("recipe", "history", "metrics", "conditions")
WEIGHTS = "weights.safetensors"
MODEL = "model.onnx"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Run:
    """One finished training, as its folder tells it."""

    folder: Path
    recipe: dict[str, Any]
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    conditions: dict[str, Any]

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

    def check_files(self) -> None:
        """Compare weights and model with the hashes that were taken when they were written.

        Raises
        ------
        DamagedFileError
            One of them is missing or was changed.
        """
        for name, expected in self.conditions["sha256"].items():
            path = self.folder / name
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
            if found != expected:
                raise DamagedFileError(
                    f"{path} is damaged: its SHA-256 is {found}, the run recorded {expected}; "
                    f"restore the file, or train again: {self.train_command()}"
                )

    def train_command(self) -> str:
        """Return the command that trains the same again."""
        data = self.conditions["data"]
        size = f" --size {data['size'][0]}" if data["from_files"] else ""
        return (
            f"lookbook train {data['name']} --recipe {self.recipe['name']} "
            f"--epochs {self.recipe['epochs']} --seed {self.conditions['seed']}{size}"
        )


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


def list_runs(root: Path = ROOT) -> list[Run]:
    """Return the readable runs in a folder, newest first."""
    found = []
    for path in root.glob("*/conditions.json"):
        try:
            found.append(read_run(path.parent))
        except DamagedFileError:
            continue  # `read_run` tells of it when that run is asked for
    return sorted(found, key=lambda run: str(run.conditions["started"]), reverse=True)


def free_folder(data_name: str, recipe_name: str, root: Path = ROOT) -> Path:
    """Return the next `runs/<data>-<recipe>-<number>` that is free."""
    stem = f"{Path(data_name).name.removesuffix('.npz')}-{recipe_name}"
    number = 1
    while (root / f"{stem}-{number}").exists():
        number += 1
    return root / f"{stem}-{number}"


def check_target(folder: Path) -> None:
    """Make sure, before any work, that a new run can be written there.

    Raises
    ------
    InputError
        The folder exists.
    OutputError
        Its parent cannot be written.
    """
    if folder.exists():
        raise InputError(f"{folder} exists and is not overwritten; choose another --out")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".lookbook-").cleanup()
    except OSError as error:
        raise cannot_write(folder, error) from error


def write_run(folder: Path, documents: dict[str, Any], blobs: dict[str, bytes]) -> Run:
    """Write a run beside its place, then move it there in one step: it is whole, or not there.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written.
    """
    try:
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".lookbook-"))
        try:
            for name, blob in blobs.items():
                _write(scratch / name, blob)
            for name, document in documents.items():
                _write(scratch / f"{name}.json", to_json(document).encode())
            scratch.chmod(0o755)  # mkdtemp is for secrets; a run is for showing
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    return read_run(folder)


def write_document(path: Path, document: Any) -> None:
    """Write one JSON file, so that a reader sees the old one or the new one, never a part.

    Raises
    ------
    OutputError
        The disk is full, or the place cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            _write(fresh, to_json(document).encode())
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error for a result that could not be written."""
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; nothing was changed; "
        "make room or choose another place with --out"
    )


def to_json(document: Any) -> str:
    """Return a document as readable JSON that ends with a line break."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DamagedFileError(f"the run {path.parent} is damaged: it lacks {path.name}") from error
    except (OSError, ValueError) as error:
        raise DamagedFileError(
            f"{path} is damaged ({error}); restore it, or train again"
        ) from error
