"""What is written at once and must not be lost: findings and changes, each with an id that makes it count once."""

import hashlib
from typing import Final

import msgspec

from watchkeeper.core.records import Change, Finding


class FindingTold(msgspec.Struct, frozen=True, tag="finding"):
    """`id` is of this event; that of the finding is the id of the event that opened it."""

    id: str
    finding: Finding

    @property
    def subject_key(self) -> str:
        """The same whenever the same thing is found of the same subject."""
        found = self.finding
        named = (found.name, found.labels) if found.name else (found.subject, ())
        return hashlib.sha256(msgspec.json.encode(named)).hexdigest()


class ChangeTold(msgspec.Struct, frozen=True, tag="change"):
    id: str
    change: Change


Event = FindingTold | ChangeTold
ENCODER: Final = msgspec.json.Encoder()
DECODER: Final = msgspec.json.Decoder(Event)
