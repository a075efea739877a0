"""Checkpoints: what a training needs to go on after a stop or a kill.

::

    runs/fashion-mnist-standard-1.unfinished/
        request.json                what was asked for: data, recipe, seed
        training.safetensors        weights, optimiser, order of the images, what was counted
        training.before.safetensors the same, kept before: taken where the newest is damaged
        calibration-twin.safetensors, calibration-twin.before.safetensors
        weights.safetensors         only of a network whose model file did not say the same

The folder stands beside the run until that is finished. Each file holds its own SHA-256: a training
that went on from other numbers would end with other weights, and nobody would know.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import safetensors
import safetensors.torch

from lookbook.core.files import cannot_write, read_plain, write_bytes, write_document
from lookbook.errors import DamagedFileError, LookbookWarning, OutputError
from lookbook.runs import schema
from lookbook.runs.places import REQUEST, unfinished
from lookbook.runs.store import WEIGHTS, sealed
from lookbook.training.callbacks import Callback

if TYPE_CHECKING:
    from torch import Tensor

    from lookbook.runs.config import TrainConfig
    from lookbook.runs.schema import Counted
    from lookbook.training.callbacks import Progress
    from lookbook.training.state import TrainingState

#: seconds between two points at least, and how many times as long as the writing of one took:
#: points cost less than a hundredth of the time
APART, TIMES = 5.0, 100.0
#: what the first one is taken to cost, before one was written: seconds, and bytes a second
COST, SPEED = 0.005, 1e8
#: bytes of a point beyond its tensors: what was counted in a million epochs
MOST_COUNTED = 500_000_000
#: where a file holds its hash, which is of all other bytes and of zeros in its place
_SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')


class ResumePoint(Callback):
    """Keeps the last state of each stage of one training in a folder, and restores it.

    It comes last among callbacks: when it hears of an epoch, it knows whether another one stopped.

    Parameters
    ----------
    run
        The folder of the run to be.
    config
        What `train` was asked for.
    numbered
        The run's name ends with a number and may be counted on where another training took it.
    begun
        The folder is there already: this training goes on from it.
    """

    def __init__(
        self, run: Path, config: TrainConfig, *, numbered: bool, begun: bool = False
    ) -> None:
        self.run = run
        self.numbered, self.begun, self.resumes = numbered, begun, begun
        self._config = config
        self._last = time.monotonic()
        self._due = APART
        self._told = False

    @property
    def folder(self) -> Path:
        """Where the points are kept."""
        return unfinished(self.run)

    def on_train_begin(self, state: TrainingState) -> None:
        """Go on where this stage was kept last, if it was."""
        found = self.find(state.stage, state.tensors())
        if found is not None:
            state.restore(*found)

    def on_progress(self, state: TrainingState, progress: Progress) -> None:
        """Keep an epoch that is under way."""
        if not state.epoch_is_over:
            self._keep_if_due(state)

    def on_epoch_end(self, state: TrainingState, progress: Progress) -> None:
        """Keep an epoch that is over; of one that was stopped, the part was kept before."""
        if state.epoch_is_over:
            self._keep_if_due(state)

    def _keep_if_due(self, state: TrainingState) -> None:
        if state.stopping or self.is_due():
            self.keep(state.stage, state.tensors(), state.counted())

    def find(self, stage: str, like: dict[str, Tensor]) -> tuple[dict[str, Tensor], Counted] | None:
        """Return what was kept last of that stage and is whole, or None where nothing was.

        Parameters
        ----------
        stage
            Which fit it is of.
        like
            Tensors of the types and shapes that it must have; those that are empty have any length.

        Raises
        ------
        DamagedFileError
            Nothing that was kept is what was written.
        """
        size = sum(tensor.nbytes for tensor in like.values())
        self._due = min(APART, TIMES * (COST + size / SPEED))
        damage = []
        for path in self._files(stage) if self.begun else ():
            if not os.path.lexists(path):
                continue
            try:
                tensors, counted = _read(path, like)
            except DamagedFileError as error:
                damage.append(str(error))
                continue
            if damage:
                message = f"{damage[0]}; it goes on from the point before, {path}"
                warnings.warn(LookbookWarning(message), stacklevel=2)
            return tensors, counted
        if damage:
            too = ", and so is the point before it" if len(damage) > 1 else ""
            raise DamagedFileError(f"{damage[0]}{too}; delete {self.folder} and train again")
        return None

    def is_due(self) -> bool:
        """Say whether enough time went by since the last point."""
        return time.monotonic() - self._last > self._due

    def keep(self, stage: str, tensors: dict[str, Tensor], counted: Counted) -> None:
        """Keep this, and what was kept before, instead of what was kept before that.

        Where there is no room for it, the training goes on without.
        """
        start = time.monotonic()
        content = _seal(
            safetensors.torch.save(
                {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
                {"counted": msgspec.json.encode(counted).decode(), "sha256": "0" * 64},
            )
        )
        try:
            self._begin()
            self._write(stage, content)
        except OutputError as error:
            if not self._told:
                message = f"the training goes on, but not again after a stop or a kill: {error}"
                warnings.warn(LookbookWarning(message), stacklevel=2)
            self._told = True
        self._last = time.monotonic()
        self._due = max(APART, TIMES * (self._last - start))

    def _write(self, stage: str, content: bytes) -> None:
        """Write a point; at any moment one that is whole is there, or the one before."""
        newest, before = self._files(stage)
        fresh = newest.with_suffix(".new")
        write_bytes(fresh, content)
        try:
            if newest.exists():
                newest.replace(before)
            fresh.replace(newest)
        except OSError as error:
            raise cannot_write(newest, error) from error

    def keep_weights(self, content: bytes) -> Path:
        """Keep the weights of a training that gave no model; return where.

        Raises
        ------
        OutputError
            The disk is full, or the place cannot be written.
        """
        self._begin()
        write_bytes(self.folder / WEIGHTS, content)
        return self.folder / WEIGHTS

    def remove(self) -> None:
        """Forget everything: the run is finished."""
        if self.begun:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _begin(self) -> None:
        """Make the folder; where another training has the place, count the run's number on."""
        while not self.begun:
            if self.numbered and (self.run.exists() or self.folder.exists()):
                stem, _, number = self.run.name.rpartition("-")
                self.run = self.run.with_name(f"{stem}-{int(number) + 1}")
                continue
            try:
                self.folder.mkdir(parents=True)
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            self.begun = True
            write_document(self.folder / REQUEST, sealed(self._config.to_json()))

    def _files(self, stage: str) -> tuple[Path, Path]:
        """Return where the last point of a stage is kept, and the one before."""
        name = stage.replace(" ", "-")
        return self.folder / f"{name}.safetensors", self.folder / f"{name}.before.safetensors"


def _seal(content: bytes) -> bytes:
    """Write a file's hash into the place that its header has for it."""
    place = _SEAL.search(content)
    assert place is not None  # noqa: S101  # the header was made with it
    start, end = place.span(1)
    return content[:start] + _digest(content, start, end).encode() + content[end:]


def _digest(content: bytes, start: int, end: int) -> str:
    digest = hashlib.sha256(content[:start] + b"0" * 64)
    digest.update(memoryview(content)[end:])
    return digest.hexdigest()


def _read(path: Path, like: dict[str, Tensor]) -> tuple[dict[str, Tensor], Counted]:
    """Return the tensors of a point and what it counted, if they are what was written."""
    most = 4 * sum(tensor.nbytes for tensor in like.values()) + MOST_COUNTED
    try:
        content = read_plain(path, most)
        header = _verified(content)
        tensors = safetensors.torch.load(content)
        _check(tensors, like)
        counted = schema.decode("counted", json.loads(header)["__metadata__"]["counted"].encode())
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise DamagedFileError(f"{path} is damaged ({error})") from error
    return tensors, counted


def _verified(content: bytes) -> bytes:
    """Return the header of a file whose hash is right."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    place = _SEAL.search(header)
    if place is None:
        raise ValueError("it has no hash")
    start, end = (8 + at for at in place.span(1))
    if _digest(content, start, end).encode() != place[1]:
        raise ValueError("its hash is that of another content")
    return header


def _check(tensors: dict[str, Tensor], like: dict[str, Tensor]) -> None:
    """Make sure that tensors are those of this network, optimiser and data."""
    if tensors.keys() != like.keys():
        raise ValueError("its tensors are those of another network")
    for name, right in like.items():
        found = tensors[name]
        shape = (len(found), *right.shape[1:]) if right.numel() == 0 else right.shape
        if found.dtype != right.dtype or found.shape != shape:
            raise ValueError(
                f"{name} is {found.dtype} of shape {tuple(found.shape)}, expected {right.dtype} of "
                f"shape {tuple(right.shape)}"
            )
