"""
What was done to references: one JSON object a line, each with the SHA-256 of the line before it.

So a line that was changed, removed or put in between shows, as `sha256sum` shows it too. Lines cut off at the end do
not: keep the hash of the last line elsewhere if that matters.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from detectors.drift.packs import Pack

NAME: Final = "journal.jsonl"


class Deed(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    RETIRED = "retired"
    IMPORTED = "imported"


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: float
    """unix seconds"""
    deed: Deed
    by: str
    why: str
    reference: str
    """id"""
    segment: str
    signal: str
    before: str = ""
    """SHA-256 of the line before, without its newline; empty in the first"""


def event(deed: Deed, pack: Pack, *, at: float, by: str, why: str) -> Event:
    return Event(at, deed, by, why, pack.id, pack.segment, pack.signal)


@dataclass(frozen=True, slots=True)
class Journal:
    events: tuple[Event, ...] = ()
    problems: tuple[str, ...] = ()
    """one line for each place where it is not as it was written; what can be read of it counts all the same"""

    @property
    def retired(self) -> frozenset[str]:
        """Ids of references that were retired and not approved again."""
        last = {one.reference: one.deed for one in self.events if one.deed in (Deed.APPROVED, Deed.RETIRED)}
        return frozenset(reference for reference, deed in last.items() if deed is Deed.RETIRED)


def read(folder: Path) -> Journal:
    """
    The journal of a folder; empty where there is none. A last line without its newline was never finished, nor counts.

    :raises OSError: it is there and cannot be read
    """
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        return Journal()
    return parse(data)


def parse(data: bytes) -> Journal:
    events: list[Event] = []
    problems: list[str] = []
    before = ""
    for number, line in enumerate(data[: data.rfind(b"\n") + 1].splitlines(), start=1):
        try:
            one = msgspec.json.decode(line, type=Event)
        except msgspec.MsgspecError:
            problems.append(f"{NAME}, line {number}: not a line of a journal; it was changed after it was written")
        else:
            events.append(one)
            if one.before != before:
                problems.append(f"{NAME}, line {number}: does not follow from the line before it; one was changed")
        before = _hash(line)
    return Journal(tuple(events), tuple(problems))


def append(folder: Path, events: Sequence[Event]) -> None:
    """
    On disk when it returns. The caller holds the folder's lock.

    :raises OSError: not written, or not wholly; the next call removes what is left of an unfinished line
    """
    with (folder / NAME).open("a+b") as file:
        file.seek(0)
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
        lines = data[:whole].splitlines()
        before = _hash(lines[-1]) if lines else ""
        for one in events:
            line = msgspec.json.encode(msgspec.structs.replace(one, before=before))
            file.write(line + b"\n")
            before = _hash(line)
        file.flush()
        os.fsync(file.fileno())


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
