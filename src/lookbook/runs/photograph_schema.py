"""Schema of what photographs showed: the document `photographs.json` of a run."""

from __future__ import annotations

from msgspec import Struct

from lookbook.core.document import Document
from lookbook.runs.ranges import Classes, Count, Digest, Seconds, Share, Some


class KindScore(Document, Struct, frozen=True, kw_only=True):
    """How photographs of one kind were answered."""

    kind: str
    #: any of these is right; none where the photographs show none of the model's classes
    classes: list[str]
    n: Some
    #: whose most probable class is right, refused or not; None where none can be
    right: Count | None
    #: told as "not sure" or "not one of these", and as the latter
    refused: Count
    strange: Count
    #: how often each class is the most probable one, in their order
    answers: list[Count]
    #: the most frequent wrong one
    most_wrong: str | None


class PhotographScores(Document, Struct, frozen=True, kw_only=True):
    """What answers to photographs are worth: see `evaluation.photographs.judge`."""

    accuracy: Share
    #: None where the data has no kinds of photographs of its own, or the folder lacks them
    accuracy_garments: Share | None
    accuracy_with_shoes: Share | None
    accuracy_top_half: Share
    accuracy_groups: Share | None
    #: None where there are no photographs of something else
    unknown_refused: Share | None
    garments_refused: Share | None
    refused: Share
    ece: Share
    n: Some
    #: of the shares of that name
    standard_errors: dict[str, Share]
    per_kind: list[KindScore]
    classes: Classes

    def __post_init__(self) -> None:
        names, k = {*self.classes}, len(self.classes)
        for one in self.per_kind:
            if not names.issuperset([*one.classes, one.most_wrong or self.classes[0]]):
                raise ValueError("it names classes that are none of them")
        counts = [sum(one.answers) for one in self.per_kind if len(one.answers) == k]
        if counts != [one.n for one in self.per_kind] or sum(counts) != self.n:
            raise ValueError("the answers must count the photographs of each kind")


class PhotographConditions(Document, Struct, frozen=True, kw_only=True):
    """Which photographs a model answered, and when."""

    run: str
    recipe: str
    #: the folder
    data: str
    #: of names and content of their files
    sha256: Digest
    #: those that could not be read count here alone
    files: Some
    unreadable: Count
    #: kinds of which there are none
    lacking: list[str]
    seed: int
    #: in UTC
    started: str
    seconds: Seconds


class PhotographExample(Document, Struct, frozen=True, kw_only=True):
    """A photograph that a report shows, and the answer to it."""

    #: from the folder on
    file: str
    kind: str
    answer: str
    probability: Share
    #: None where no class is right
    right: bool | None


class PhotographEvaluation(PhotographScores, frozen=True, kw_only=True):
    """`photographs.json`: what a run's model does on photographs."""

    #: of each kind some right answers and some wrong ones; earlier versions kept none
    examples: list[PhotographExample] = []
    conditions: PhotographConditions
