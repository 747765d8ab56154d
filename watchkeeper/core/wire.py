"""
What sidecars and detectors tell each other, and what a detector keeps of itself. docs/wire.md shows one of each.

A message is msgpack or JSON, told by its first byte, and carries its version. Within a version fields are only added,
and a reader leaves out what it does not know; what changes the meaning of one raises the version. Counts, ids and
names of segments travel, never text of calls.
"""

from typing import Annotated, Final, Literal

import msgspec

from watchkeeper.core.errors import WatchkeeperError
from watchkeeper.core.records import Finding

VERSION: Final = 1
STATE_VERSION: Final = 1
"""of the body of a state: raised with whatever changes in it, so that one of another version is never taken for ours"""
MOST_BYTES: Final = 8 << 20
"""of one message"""
REFERENCE_CHARACTERS: Final = 16
"""of a reference's id are sent: 64 bits tell references apart"""

Format = Literal["msgpack", "json"]
Name = Annotated[str, msgspec.Meta(max_length=512)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Bin = Annotated[int, msgspec.Meta(ge=0, le=4095)]


class Unreadable(WatchkeeperError):  # noqa: N818 - what the message is
    """
    A message that cannot be used. `reason` becomes a label value: `not_encoded`, `newer_version`, `older_version`,
    `other_kind`, `out_of_range`, `too_large`. It never quotes the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class StreamCounts(msgspec.Struct, frozen=True, gc=False):
    """What was seen of one signal: how often each bin of the reference, bins without any left out."""

    signal: Name
    reference: Annotated[str, msgspec.Meta(max_length=REFERENCE_CHARACTERS)]
    """the first characters of the id of the pack whose bins were counted"""
    counts: dict[Bin, Count]


class TickRecord(msgspec.Struct, frozen=True, tag_field="kind", tag="ticks"):
    """What one replica saw of one segment in one tick. Merging is adding `counts`; without streams: a sign of life."""

    segment: Name
    replica: Name
    started: Name
    """id of this start of the replica: after a restart the same tick may come once more, with other observations"""
    at: Annotated[float, msgspec.Meta(ge=0, le=2**40)]
    """unix seconds at which the tick began"""
    streams: Annotated[tuple[StreamCounts, ...], msgspec.Meta(max_length=1024)] = ()
    version: int = VERSION


class FindingRecord(msgspec.Struct, frozen=True, tag_field="kind", tag="finding"):
    """A finding, and who found it."""

    replica: Name
    finding: Finding
    version: int = VERSION


class StateRecord(msgspec.Struct, frozen=True, tag_field="kind", tag="state"):
    """What a detector knows of one segment after all records of its partition before `offset`. Always msgpack."""

    segment: Name
    offset: int
    body: bytes
    life: int = 0
    """raised when the log was emptied and its offsets began anew; the larger life, then offset, is the newer"""
    body_version: int = STATE_VERSION
    version: int = VERSION


class MarkRecord(msgspec.Struct, frozen=True, tag_field="kind", tag="mark"):
    """
    All states of a partition were written, and together they stand for all of its records before `offset`.
    `segments`: the offset in the newest state of each, so that one which is lost is noticed. Always msgpack.
    """

    offset: int
    segments: dict[str, int]
    life: int = 0
    version: int = VERSION


Record = TickRecord | FindingRecord | StateRecord | MarkRecord

_MSGPACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()
_FROM_MSGPACK: Final = msgspec.msgpack.Decoder(Record)
_FROM_JSON: Final = msgspec.json.Decoder(Record)


class _Head(msgspec.Struct):
    version: int
    kind: str


def encode(record: Record, form: Format = "msgpack") -> bytes:
    return _MSGPACK.encode(record) if form == "msgpack" else _JSON.encode(record)


def decode(message: bytes | None) -> Record:
    """:raises Unreadable: it is no message of a version that is known here"""
    if not message:
        raise Unreadable("not_encoded")
    if len(message) > MOST_BYTES:
        raise Unreadable("too_large")
    is_json = message[:1] == b"{"
    try:
        record: Record = _FROM_JSON.decode(message) if is_json else _FROM_MSGPACK.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable(_reason(message, is_json=is_json)) from None
    if record.version != VERSION:
        raise Unreadable("newer_version" if record.version > VERSION else "older_version")
    return record


def _reason(message: bytes, *, is_json: bool) -> str:
    try:
        head = msgspec.json.decode(message, type=_Head) if is_json else msgspec.msgpack.decode(message, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "not_encoded"
    if head.version > VERSION:
        return "newer_version"
    return "out_of_range" if head.kind in ("ticks", "finding", "state", "mark") else "other_kind"
