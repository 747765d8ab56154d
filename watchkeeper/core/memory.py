"""What a record that outlives the process knows of its findings, for parts that show them."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, runtime_checkable

import msgspec

from watchkeeper.core.records import Finding


class Did(StrEnum):
    """What people do to a finding, as the record calls it."""

    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "cause confirmed"
    COMMENTED = "commented"
    CLOSED = "closed"


class Deed(msgspec.Struct, frozen=True):
    at: float
    who: str
    did: Did
    text: str
    """words of a person: to be escaped, and shown to who may read them alone"""


class Kept(msgspec.Struct, frozen=True):
    """A finding as the record has it."""

    id: str
    finding: Finding
    """as it was last told"""
    opened_at: float
    is_closed: bool
    """by a person"""
    deeds: tuple[Deed, ...]
    """in order of time"""


class Recollection(msgspec.Struct, frozen=True):
    """A copy of what the record holds of this process's findings, those of its earlier runs included."""

    at: float | None = None
    """unix seconds at which it was read; None: not yet"""
    is_away: bool = False
    """the record could not be asked the last time"""
    kept: tuple[Kept, ...] = ()
    """the newest first, bounded"""


Recall = Callable[[float], Recollection]
"""Takes unix seconds. Answers at once with the copy at hand, never waits for the record, and never raises."""


@runtime_checkable
class Recalling(Protocol):
    """A part that shows what the record knows, to who may see it."""

    def recall(self, recall: Recall) -> None:
        """From now on it may ask; called once, before anything is served."""
        ...
