"""Built-in datasets as a data source: fetched where they are not here yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookbook.data.dataset import Dataset, warn
from lookbook.data.download import fetch, find_builtin, is_fetched, load_kept
from lookbook.data.formats.source import DataSource, Measured, Size
from lookbook.data.splits import no_validation, without_size
from lookbook.errors import InputError

if TYPE_CHECKING:
    from lookbook.data.catalog import BuiltinDataset
    from lookbook.data.formats.image_folder import Part
    from lookbook.data.groups import Grouping


class PublishedSource(DataSource):
    """A published dataset, by its name."""

    @property
    def published(self) -> BuiltinDataset:
        return find_builtin(str(self.written))

    @property
    def identity(self) -> str:
        return str(self.written)

    @property
    def title(self) -> str:
        return self.published.title

    @property
    def mirrors_well(self) -> bool:
        return self.published.mirrors_well

    def is_here(self) -> bool:
        return is_fetched(self.published)

    def warn_of_namesake(self) -> None:
        """Warn where a folder or file of the user's has the same name."""
        if Path(str(self.written)).exists():
            warn(
                f"./{self} is there, too; the built-in dataset is taken; write ./{self} for the "
                "folder"
            )


class BuiltinSource(PublishedSource):
    """A published dataset that is downloaded."""

    @property
    def examples(self) -> tuple[int, ...]:
        return self.published.examples

    def measured_part(self) -> Measured:
        return "test"

    def _load_part(
        self, part: Part, size: Size | None, channels: int | None, grouping: Grouping | None
    ) -> Dataset:
        if grouping is not None and grouping.by is not None:
            raise InputError(
                f"`groups` is for data of your own; {self} is split as it was published"
            )
        if part == "validation":
            raise no_validation(self)
        if part == "train":
            self.warn_of_namesake()
        images, labels = load_kept(fetch(self.published), part)
        return without_size(Dataset(images, labels, self.published.classes), size, self)
