"""Repository of models: runs, files and bundles by name, with versions that may come and go."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Self

from lookbook.core.templates import Lang
from lookbook.errors import DamagedFileError, InputError, LookbookError
from lookbook.exports.web_demo import served_page
from lookbook.inference.model import Model, open_model
from lookbook.inference.predictor import Predictor
from lookbook.inference.thresholds import Thresholds
from lookbook.runs.store import Run, is_run, read_run
from lookbook.serving.batch_sizes import answers_alike
from lookbook.serving.refusals import Refusal
from lookbook.serving.tensors import Signature

#: what a model may be called: it stands in addresses
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: predictors that a model keeps: clients choose what they are asked
PREDICTORS = 16
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_log = logging.getLogger("lookbook.serving")


@dataclass(frozen=True)
class Source:
    """A model as it was named: where it lies, and what it is called.

    >>> Source.parse("clothes=runs/a")
    Source(name='clothes', path=PosixPath('runs/a'))
    >>> Source.parse("runs/a/model.onnx").name
    'a'
    """

    name: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what PATH or NAME=PATH stands for.

        Raises
        ------
        InputError
            The name is none that can stand in an address.
        """
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = _name_of(Path(text)), text
        if not NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot stand in an address as the name of a model; expected letters, "
                "digits, '.', '_' and '-': NAME=PATH"
            )
        if not path:
            raise InputError(f"{text!r} names no file or folder; expected NAME=PATH")
        return cls(name, Path(path))


def _name_of(path: Path) -> str:
    """Return what a model is called where nothing is said: as its run's folder."""
    place = path.resolve()
    if place.suffix != ".onnx":
        return place.name
    return place.parent.name if place.name == "model.onnx" else place.stem


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A version of a model, ready to answer."""

    name: str
    version: str
    model: Model
    #: images that may go through the network together: answers do not depend on who is beside
    max_batch: int
    #: the run that it is of, where that is known
    run: Run | None
    #: in which its page opens; None: that of the browser
    lang: Lang | None = None

    @classmethod
    def load(
        cls, source: Source, version: str, path: Path, *, max_batch: int, lang: Lang | None = None
    ) -> Self:
        """Open a model, and let it answer once.

        Raises
        ------
        LookbookError
            There is none, or it is not whole.
        """
        run = _run_of(path)
        model = (_open(path) if run is None else open_model(run)).on_one_core()
        alike = answers_alike(model, min(max_batch, model.batch_size))
        if alike < max_batch:
            _log.warning(
                "%s: at most %d images at once: of more, answers depend on their neighbours here",
                source.name,
                alike,
            )
        return cls(source.name, version, model, alike, run, lang)

    @cached_property
    def signature(self) -> Signature:
        """What it takes and answers."""
        return Signature.of(self.model)

    @cached_property
    def predictor(self) -> Callable[..., Predictor]:
        """Its predictor for a `coverage` and `sets`; those that were asked for last are kept."""
        return lru_cache(maxsize=PREDICTORS)(partial(Predictor, self.model))

    @property
    def has_page(self) -> bool:
        """Whether there is a page to try it on: its run is known, and it takes images."""
        return self.run is not None and self.model.preprocessing is not None

    @cached_property
    def page(self) -> bytes | None:
        """The page to try it on; None where there is none."""
        if self.run is None or not self.has_page:
            return None
        address = f"v2/models/{self.name}/versions/{self.version}/infer"
        return served_page(self.run, address, self.lang)

    @cached_property
    def thresholds(self) -> Thresholds:
        """From where on its answers are doubted."""
        return Thresholds.of(self.model.calibration)


def _run_of(path: Path) -> Run | None:
    """Return the run of that folder or name, or None where it is a file or a bundle."""
    if path.suffix == ".onnx" or (path / "model.onnx").exists():
        folder = path.parent if path.name == "model.onnx" else path
        return read_run(folder) if (folder / "conditions.json").exists() else None
    if path.is_dir() and not (path / "conditions.json").exists():
        raise InputError(
            f"{path} holds no model: expected a run, a model.onnx, or folders 1, 2, … that each "
            "hold one"
        )
    if path.is_file() and not is_run(path):
        raise InputError(
            f"{path} is no model; expected a run, a model.onnx, a bundle, or a folder with "
            "folders 1, 2, … that each hold one"
        )
    if len(path.parts) > 1 and not path.exists() and not is_run(path):
        raise InputError(
            f"no file or folder {path}; expected a run, a model.onnx, a bundle, or a folder with "
            "folders 1, 2, … that each hold one"
        )
    return read_run(path)


def _without_call(error: Exception) -> str:
    """Return what an error says, without a call as its remedy: who reads a log types none."""
    said, _, remedy = str(error).rpartition("; ")
    return said if "`lookbook." in remedy else str(error)


def _none_opens(path: Path, error: Exception) -> LookbookError:
    """Return what is said of versions of which none opens: of the same kind as of the first."""
    why = str(error) or type(error).__name__
    damaged = DamagedFileError(
        f"{path} holds versions, and none that can be opened: {why}; copy a whole one there"
    )
    return InputError(*damaged.args) if isinstance(error, InputError) else damaged


def _open(path: Path) -> Model:
    """Open a model file, or that of a bundle."""
    return Model.open(path if path.suffix == ".onnx" else path / "model.onnx")


def versions_in(path: Path) -> dict[str, Path]:
    """Return the versions that a folder holds, each in a subfolder that is a number."""
    if not path.is_dir():
        return {}
    return {
        each.name: each
        for each in path.iterdir()
        if _VERSION.fullmatch(each.name) and each.is_dir()
    }


def _is_strange(path: Path) -> bool:
    """Say whether a name is a number, and none of a version."""
    return path.name.isdigit() and not (_VERSION.fullmatch(path.name) and path.is_dir())


@dataclass
class Repository:
    """Models by their names and versions.

    Attributes
    ----------
    sources
        What was named when the server was started.
    max_batch
        Images that go through a network at once.
    lang
        Language in which pages open; None: that of the browser.
    """

    sources: list[Source]
    max_batch: int
    lang: Lang | None = None
    _models: dict[str, dict[str, ServedModel]] = field(default_factory=dict)
    #: names of models that have versions, and of those of which none is left
    _versioned: set[str] = field(default_factory=set)
    _left: set[str] = field(default_factory=set)
    #: what is called as a version might be, and is none
    _strange: set[Path] = field(default_factory=set)
    #: versions that could not be opened, and what their folders were like then
    _broken: dict[Path, tuple[float, ...]] = field(default_factory=dict)

    def load(self) -> None:
        """Open all models.

        Raises
        ------
        LookbookError
            One of them cannot be opened, or two have one name.
        """
        for source in self.sources:
            if source.name in self._models:
                raise InputError(
                    f"two models are called {source.name!r}; give one of them another name: "
                    f"NAME={source.path}"
                )
            versions = versions_in(source.path)
            self._models[source.name] = {}
            if versions:
                self._versioned.add(source.name)
                errors = self._refresh_versions(source)
                if not self._models[source.name]:
                    raise _none_opens(source.path, errors[0])
            else:
                self._models[source.name] = {"1": self._load(source, "1", source.path)}

    def _load(self, source: Source, version: str, path: Path) -> ServedModel:
        return ServedModel.load(source, version, path, max_batch=self.max_batch, lang=self.lang)

    def refresh(self) -> None:
        """Take versions that have come, and leave those that are gone; to be called now and then.

        What answers at the moment is not touched: a dictionary is put in the place of another.
        """
        for source in self.sources:
            try:
                if source.name in self._versioned:
                    self._refresh_versions(source)
            except OSError as error:  # a folder that goes while it is looked at
                _log.warning("%s: looking for versions: %s", source.name, error)

    def _refresh_versions(self, source: Source) -> list[Exception]:
        """Look for versions of a model; return why some cannot be opened."""
        errors: list[Exception] = []
        found, known = versions_in(source.path), self._models[source.name]
        if found:
            self._note_strange(source)
        fresh = {version: model for version, model in known.items() if version in found}
        for version in sorted(found.keys() - known.keys(), key=int):
            path = found[version]
            looks = _looks(path)
            if self._broken.get(path) == looks:
                continue
            try:
                fresh[version] = self._load(source, version, path)
            except (LookbookError, OSError) as error:
                self._broken[path] = looks
                errors.append(error)
                _log.warning(
                    "%s: version %s is not taken: %s", source.name, version, _without_call(error)
                )
            except Exception as error:  # noqa: BLE001  # ONNX Runtime's have no class in common
                self._broken[path] = looks
                errors.append(error)
                _log.exception("%s: version %s is not taken", source.name, version)
            else:
                _log.info("%s: version %s answers", source.name, version)
        if fresh:
            self._left.discard(source.name)
            if fresh.keys() != known.keys():
                self._models[source.name] = fresh
        elif known and source.name not in self._left:
            self._left.add(source.name)
            _log.warning("%s: no version is left; those that answered last go on", source.name)
        return errors

    def _note_strange(self, source: Source) -> None:
        """Say, once, what looks like a version and is passed over."""
        strange = {each for each in source.path.iterdir() if _is_strange(each)}
        for each in sorted(strange - self._strange):
            _log.warning(
                "%s: %s is no version: expected a folder called 1, 2, … without a 0 in front",
                source.name,
                each,
            )
        self._strange |= strange

    @property
    def names(self) -> list[str]:
        """Names of all models, in the order in which they were given."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the oldest first.

        Raises
        ------
        Refusal
            There is no such model.
        """
        return sorted(self._of(name), key=int)

    def get(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """Return a version of a model, the newest of the first where none is named.

        Raises
        ------
        Refusal
            There is no such model, or no such version of it.
        """
        name = self.names[0] if name is None else name
        versions = self._of(name)
        if version is None:
            return versions[max(versions, key=int)]
        if version not in versions:
            raise Refusal(
                404, f"no version {version!r} of {name!r}; there are {self.versions(name)}"
            )
        return versions[version]

    def _of(self, name: str) -> dict[str, ServedModel]:
        if name not in self._models:
            raise Refusal(404, f"no model {name!r}; there are {self.names}")
        return self._models[name]


def _looks(path: Path) -> tuple[float, ...]:
    """Return what changes while a folder is filled, of what can be looked at."""
    stats = []
    with suppress(OSError):  # it cannot be listed, or is gone
        for each in sorted(path.iterdir()):
            with suppress(OSError):  # a link to nothing
                stats.append(each.stat())
    return tuple(value for each in stats for value in (each.st_mtime, each.st_size))
