"""Keep what a training needs to go on after a stop or a kill.

::

    runs/fashion-mnist-standard-1.unfinished/
        request.json                what was asked for: data, recipe, seed
        training.safetensors        weights, optimiser, order of the pictures, what was counted
        calibration-twin.safetensors
        weights.safetensors         only of a network whose model file did not say the same

The folder stands beside the run until that is finished.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch

from lookbook.errors import DamagedFileError
from lookbook.files import cannot_write, to_json, write_bytes
from lookbook.runs import REQUEST, WEIGHTS, unfinished

if TYPE_CHECKING:
    from torch import Tensor

#: seconds between two points at least, and how many times as long as the writing of one took:
#: points cost less than a hundredth of the time
APART, TIMES = 5.0, 100.0


class ResumePoint:
    """Keeps the last state of each stage of one training in a folder.

    Parameters
    ----------
    run
        The folder of the run to be.
    request
        What `train` was asked for, JSON values alone.
    numbered
        The run's name ends with a number and may be counted on where another training took it.
    begun
        The folder is there already: this training goes on from it.
    """

    def __init__(
        self, run: Path, request: dict[str, Any], *, numbered: bool, begun: bool = False
    ) -> None:
        self.run = run
        self.numbered, self.begun, self.resumes = numbered, begun, begun
        self._request = request
        self._last = time.monotonic()
        self._took = 0.0

    @property
    def folder(self) -> Path:
        """Where the points are kept."""
        return unfinished(self.run)

    def find(self, stage: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what was kept of that stage, or None.

        Raises
        ------
        DamagedFileError
            The file is not what was written.
        """
        path = self._file(stage)
        if not (self.begun and path.exists()):
            return None
        try:
            with safetensors.safe_open(path, "pt") as file:
                counted = json.loads(file.metadata()["counted"])
                return {name: file.get_tensor(name) for name in file.keys()}, counted  # noqa: SIM118
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise DamagedFileError(
                f"{path} is damaged ({error}); delete {self.folder} and train again"
            ) from error

    def is_due(self) -> bool:
        """Say whether enough time went by since the last point."""
        return time.monotonic() - self._last > max(APART, TIMES * self._took)

    def keep(self, stage: str, tensors: dict[str, Tensor], counted: dict[str, Any]) -> None:
        """Keep this instead of what was kept before.

        Raises
        ------
        OutputError
            The disk is full, or the place cannot be written.
        """
        start = time.monotonic()
        content = safetensors.torch.save(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            {"counted": json.dumps(counted)},
        )
        self._begin()
        write_bytes(self._file(stage), content)
        self._last = time.monotonic()
        self._took = self._last - start

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
            write_bytes(self.folder / REQUEST, to_json(self._request).encode())

    def _file(self, stage: str) -> Path:
        return self.folder / f"{stage.replace(' ', '-')}.safetensors"
