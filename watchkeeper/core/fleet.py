"""What a log of tick records brings a detector, and what that keeps so as to go on after a stop or elsewhere."""

from typing import NamedTuple

import msgspec

from watchkeeper.core.wire import MarkRecord, StateRecord, TickRecord


class Place(NamedTuple):
    topic: str
    partition: int


class Resumed(msgspec.Struct, frozen=True):
    """A partition is ours from `offset` on; `states` are the newest that were kept of its segments."""

    place: Place
    offset: int
    states: tuple[StateRecord, ...] = ()
    life: int = 0
    """how often the log began anew"""


class Restarted(msgspec.Struct, frozen=True):
    """The log of a partition was emptied and begins anew: its offsets are others, what is known of it stays right."""

    place: Place
    offset: int


class Left(msgspec.Struct, frozen=True):
    """A partition is somebody else's now."""

    place: Place


class Told(msgspec.Struct, frozen=True, gc=False):
    """A record of a partition, `sent_at` unix seconds on its sender's clock."""

    place: Place
    offset: int
    sent_at: float
    record: TickRecord


class Reached(msgspec.Struct, frozen=True):
    """All records of a partition before `offset` were handed over."""

    place: Place
    offset: int


Event = Resumed | Restarted | Left | Told | Reached


class Checkpoint(msgspec.Struct, frozen=True):
    """What a partition's records before `mark.offset` have led to: the states that changed since the last one."""

    place: Place
    states: tuple[StateRecord, ...]
    mark: MarkRecord
