"""Parts of the data as they were when the run was trained and measured."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lookbook.core.names import plain
from lookbook.data.catalog import Part
from lookbook.data.corrections import apply, read
from lookbook.data.dataset import Dataset, join
from lookbook.data.formats import image_folder
from lookbook.data.formats.source import DataSource
from lookbook.data.groups import Grouping, Groups
from lookbook.data.sources import resolve
from lookbook.data.splits import SPLIT, split_validation
from lookbook.errors import InputError, LookbookWarning
from lookbook.runs.config import TrainConfig, TrainRequest
from lookbook.runs.places import check_text, unfinished
from lookbook.runs.schema import DataInfo, KeptTogether
from lookbook.runs.store import Run

if TYPE_CHECKING:
    from lookbook.images.specification import Polarity


@dataclass(frozen=True)
class TrainingParts:
    """The training part of DATA, and what it was split into."""

    source: DataSource
    #: which data it is, and how to load it again from any folder
    data: DataInfo
    #: all that may be learnt from: with a validation part of its own, `final` alone needs both
    whole: Dataset
    training: Dataset
    validation: Dataset
    #: the validation part is learnt from, too
    final: bool

    @property
    def learnt(self) -> Dataset:
        """What is learnt from."""
        return self.whole if self.final else self.training

    @classmethod
    def load(cls, request: TrainRequest) -> Self:
        """Load what is asked for.

        Raises
        ------
        InputError
            There is no such data, or nothing would be left to measure a `final` run on; or its
            corrections are not of this data.
        """
        source = request.source
        grouping = Grouping(request.groups)
        given = source.load("train", size=request.image_size, grouping=grouping)
        for name in given.classes:
            check_text(f"the class {name!a}", name)
        corrections = []
        if request.corrections is not None:
            # as the report showed them that was corrected by
            corrections = read(Path(request.corrections), given.match(given.polarity))
        validation = _load_validation(source, given, final=request.final)
        data = describe_data(source, given, _hashes(given, validation), SPLIT, corrections)
        return cls._split(source, data, given, validation, request)

    @classmethod
    def reload(cls, config: TrainConfig, folder: Path) -> Self:
        """Load what a training began with that is kept beside the `folder` of its run.

        Raises
        ------
        InputError
            The data is no longer there, or it was changed.
        """
        source = resolve(config.data)
        grouping = _grouping(config.kept_together)
        given = source.load("train", size=config.size, grouping=grouping)
        validation = None
        if config.validation_sha256 is not None:
            validation = _load_validation(source, given, final=config.final)
        hashes = _hashes(given, validation)
        _check_begun(source, hashes, config, folder)
        data = describe_data(source, given, hashes, config.split, config.corrections)
        return cls._split(source, data, given, validation, config)

    @classmethod
    def _split(
        cls,
        source: DataSource,
        data: DataInfo,
        given: Dataset,
        validation: Dataset | None,
        asked: TrainRequest | TrainConfig,
    ) -> Self:
        """Match polarities, and split where DATA has no validation part of its own."""
        final = asked.final
        given = given.match(data.polarity)
        if data.corrections:
            given = apply(given, data.corrections)
        if validation is None:
            return cls(source, data, given, *split_validation(given, seed=asked.seed), final)
        validation = validation.match(data.polarity)
        whole = join(given, validation) if final else given
        return cls(source, data, whole, given, validation, final)


def load_part(run: Run, part: Part) -> Dataset:
    """Return one part of the data that a run was trained on, as its model takes it.

    Of its size, and with odd images inverted where training images had one polarity.

    Raises
    ------
    InputError
        The data is no longer there; or it was changed, so that the answers would be to other
        classes, or images that the run was trained on would count as test images.
    """
    return load_as_given(run, part).match(polarity_of(run))


def polarity_of(run: Run) -> Polarity:
    """Return the polarity of the images that a run was trained on, as it was found then."""
    return run.conditions.data.polarity


def load_as_given(run: Run, part: Part) -> Dataset:
    """Return what `load_part` does, with no image inverted."""
    data = run.conditions.data
    dataset = _load_as(run, part)
    if run.source.is_verified:  # by `download`
        return dataset
    if list(map(plain, dataset.classes)) != list(map(plain, data.classes)):
        raise _changed(
            run, f"its classes are {', '.join(dataset.classes)}, were {', '.join(data.classes)}"
        )
    if part == "train":
        _check_training(run, dataset)
        return dataset
    measured = run.source.measured_part()
    if measured == "validation" and run.conditions.final:
        raise _changed(run, "it has no test part, and the run learnt from its validation part")
    if {measured, data.measured_on or measured} != {"test"}:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LookbookWarning)  # training has told
            _check_training(run, _load_as(run, "train"))
    return dataset


def load_training(run: Run) -> Dataset:
    """Return the training part as a run was trained on it, with the labels that were corrected.

    Raises
    ------
    InputError
        The data is no longer there, or it was changed.
    """
    return apply(load_part(run, "train"), run.conditions.data.corrections)


def load_beside_test(run: Run) -> Dataset | None:
    """Return the training part of data that came with a test part, as `load_part` does.

    None where the test part is split off here or a published one, or the training part is no
    longer what the run was trained on.
    """
    if run.source.is_verified or run.source.measured_part() != "test":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LookbookWarning)  # training has told
        training = _load_as(run, "train")
    if training.sha256() != run.conditions.data.train_sha256:
        return None
    return training.match(polarity_of(run))


def load_split(run: Run) -> tuple[Dataset, Dataset]:
    """Return what a run was trained on and its validation part.

    Raises
    ------
    InputError
        The data is no longer there, or it was changed.
    """
    training, expected = load_training(run), run.conditions.data.validation_sha256
    if expected is None:
        return split_validation(training, seed=run.conditions.seed)
    validation = _load_as(run, "validation")
    if validation.sha256() != expected:
        raise _changed(run, "its validation part is not the same")
    return training, validation.match(polarity_of(run))


def _load_validation(source: DataSource, given: Dataset, *, final: bool) -> Dataset | None:
    """Return the validation part that DATA has of its own, in the shape of its training part."""
    if not source.has_validation_part:
        return None
    if final and source.measured_part() == "validation":
        raise InputError(
            f"{source} has no test part, and `final` learns from the validation part, too: nothing "
            "would be left to measure it on; add a test part, or leave `final` out"
        )
    return source.load("validation", size=given.size, channels=given.channels)


def _hashes(given: Dataset, validation: Dataset | None) -> tuple[str, str | None]:
    return given.sha256(), None if validation is None else validation.sha256()


def _check_begun(
    source: DataSource, hashes: tuple[str, str | None], config: TrainConfig, folder: Path
) -> None:
    """Refuse to go on with other images than those that a training began with."""
    if hashes == (config.train_sha256, config.validation_sha256):
        return
    again = f"delete {unfinished(folder)} and train again"
    if config.split != SPLIT and source.split_by_name:
        raise InputError(f"{folder} was begun by a version that split {source} otherwise; {again}")
    raise InputError(
        f"the training images of {source} are not those that {folder} began with; "
        f"bring them back, or {again}"
    )


def describe_data(
    source: DataSource,
    given: Dataset,
    hashes: tuple[str, str | None],
    split: int | str | None,
    corrections: list[tuple[int, int]],
) -> DataInfo:
    """Say which data it is that was given for training, and how to load it again."""
    return DataInfo(
        name=source.identity,
        size=given.size,
        channels=given.channels,
        from_files=source.resizable,
        classes=given.classes,
        train_images=len(given),
        train_sha256=hashes[0],
        validation_sha256=hashes[1],
        measured_on=source.measured_part(),
        polarity=given.polarity,
        split=split,
        corrections=corrections,
        kept_together=_kept_together(given.groups),
    )


def _kept_together(groups: Groups | None) -> KeptTogether | None:
    """Say which images were kept together, and by what."""
    if groups is None:
        return None
    grouping, (n, images) = groups.grouping, groups.kept
    copies = [list(group) for group in grouping.copies or ()]
    return KeptTogether(by=grouping.by, groups=n, images=images, copies=copies)


def _grouping(kept: KeptTogether | None) -> Grouping:
    """Return what images were grouped by; earlier versions parted copies."""
    if kept is None:
        return Grouping(copies=())
    return Grouping(kept.by, tuple(map(tuple, kept.copies)))


def _check_training(run: Run, training: Dataset) -> None:
    data = run.conditions.data
    if training.sha256() != data.train_sha256:
        if data.split != SPLIT and run.source.split_by_name:
            raise InputError(
                f"{run.folder} was trained by a version that split {run.source} otherwise: "
                "images that it learnt from would count as test images; train again: "
                f"{run.train_again()}"
            )
        raise _changed(
            run,
            f"its training part is not the same ({len(training):,} images, were "
            f"{data.train_images:,})",
        )


def _load_as(run: Run, part: image_folder.Part) -> Dataset:
    data = run.conditions.data
    grouping = _grouping(data.kept_together)
    if part == "test" and data.calibrated_apart:
        part = "validation"  # the same images, and no note that thresholds were set by them
    return run.source.load(part, size=data.size, channels=data.channels, grouping=grouping)


def _changed(run: Run, what: str) -> InputError:
    return InputError(
        f"the data of {run.folder} changed since it was trained on: {what}; restore it, or train "
        f"again: {run.train_again()}"
    )
