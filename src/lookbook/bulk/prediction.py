"""Bulk prediction: images of folders and arrays into one table, by several processes."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.bulk.parts import Source
from lookbook.bulk.processes import Engine, Processes, Workers
from lookbook.bulk.unfinished import Manifest, Summary, Unfinished, open_unfinished
from lookbook.core.environment import source_sha256
from lookbook.errors import DamagedFileError, InputError, LookbookWarning
from lookbook.inference import prediction
from lookbook.inference.predictor import Predictor

if TYPE_CHECKING:
    from lookbook.bulk.arrays import ImageArray
    from lookbook.core.listeners import HearImages
    from lookbook.inference.model import Model
    from lookbook.runs.store import Run

#: most processes: each takes 150 MB and more
MOST_PROCESSES = 1024
#: what rows depend on, besides the model and the images
_PACKAGES = ("lookbook", "onnxruntime")


def row_versions() -> dict[str, str]:
    """Return the versions of what rows depend on."""
    return {name: version(name) for name in _PACKAGES} | {"source_sha256": source_sha256()}


class BulkPrediction:
    """A table of answers to many images, made part by part; what is done stays if it stops.

    Parameters
    ----------
    source : Run, Model, str or Path
        A run, its folder or its name in `runs/`; or a model or its file.
    inputs : sequence of str or Path
        Image files, folders of them, and files of one array of images: .npz, .npy, IDX.
    out : str or Path
        The table, as `prediction.write_table` takes it.
    coverage : float, default=None
        As for `Predictor`.

    Raises
    ------
    InputError
        The model takes none of it, or something cannot be predicted.
    DamagedFileError
        The model or a file of arrays is damaged.
    """

    def __init__(
        self,
        source: Run | Model | str | Path | None,
        inputs: Sequence[str | Path],
        out: str | Path,
        *,
        coverage: float | None = None,
    ) -> None:
        self.out = Path(out)
        prediction.check_table(self.out, sets=None)
        self._predictor = Predictor(source, coverage=coverage)
        self._source = Source.of(inputs, self._predictor)
        self._parts = self._source.parts(self._predictor.batch_size)
        self._coverage = coverage
        self._done: dict[int, Summary] = {}

    def __len__(self) -> int:
        return len(self._source)

    @property
    def done(self) -> int:
        """How many images are in parts that are written."""
        return sum(each.images for each in self._done.values())

    @property
    def folder(self) -> Path:
        """Where parts are kept until all are done."""
        return Unfinished(self.out, "").folder

    def run(
        self,
        processes: int,
        hear: HearImages = lambda _done, _n: None,
        engine: Engine = Processes,
    ) -> Summary:
        """Write the table by so many processes; those parts that are done already stay.

        Parameters
        ----------
        processes
            How many, 1 or more; each has one thread.
        hear
            It hears how many images are done, of how many.
        engine
            What starts them and gives them parts: `Processes`, or a `Cluster`.

        Returns
        -------
        Summary
            How many answers of each kind there are, and what has none.

        Raises
        ------
        InputError
            `processes` is no such number, or another process writes this table.
        DamagedFileError
            A file of arrays is damaged.
        OutputError
            The disk is full, or the place cannot be written.
        LookbookError
            A part ended one process after the other.
        """
        if not 1 <= processes <= MOST_PROCESSES:
            raise InputError(
                f"`processes` is a number from 1 to {MOST_PROCESSES:,}, got {processes}"
            )
        with open_unfinished(self.out, self._manifest()) as unfinished:
            self._go_on(unfinished)
            try:
                self._answer(unfinished, hear, partial(engine, processes))
            except BaseException as error:
                if isinstance(error, DamagedFileError):
                    self._done = {}
                if not self._done:  # there is nothing to go on with
                    with suppress(OSError):
                        unfinished.delete()
                raise
            unfinished.join(len(self._parts))
        return Summary.joined([self._done[number] for number in range(len(self._parts))])

    def _manifest(self) -> Manifest:
        return Manifest(
            versions=row_versions(),
            model_sha256=hashlib.sha256(self._predictor.model.content).hexdigest(),
            input_sha256=self._source.identity(),
            images=len(self._source),
            parts=len(self._parts),
            coverage=self._coverage,
            kind=self.out.suffix.lower(),
        )

    def _go_on(self, unfinished: Unfinished) -> None:
        """Look which parts are done."""
        found = {number: unfinished.read(number) for number in range(len(self._parts))}
        self._done = {number: each for number, each in found.items() if each}
        if self._done:
            note = f"going on: {self.done:,} of {len(self):,} images are done"
            warnings.warn(LookbookWarning(note), stacklevel=3)

    def _answer(
        self, unfinished: Unfinished, hear: HearImages, engine: Callable[..., Workers]
    ) -> None:
        """Have all parts answered that are not."""
        left = {n: part for n, part in enumerate(self._parts) if n not in self._done}
        before, n = self.done, len(self)
        if left and before:
            hear(before, n)
        workers = engine(self._predictor, unfinished, left)
        with closing(workers), _verified(self._source.arrays, workers.fail):
            workers.run(lambda done: hear(before + done, n), self._done.__setitem__)


@contextmanager
def _verified(
    arrays: Sequence[ImageArray], fail: Callable[[BaseException], None]
) -> Iterator[None]:
    """Compare arrays with their checksums beside a block, which a wrong one ends at once."""
    errors: list[BaseException] = []

    def verify() -> None:
        try:
            for array in arrays:
                array.verify()
        except BaseException as error:  # noqa: BLE001  # for the thread that waits
            errors.append(error)
            fail(error)

    thread = threading.Thread(target=verify, name="verify", daemon=True)
    thread.start()
    yield
    thread.join()
    if errors:
        raise errors[0]
