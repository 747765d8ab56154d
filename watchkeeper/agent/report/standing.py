"""Which reference was in force when, out of approvals and the journal."""

import bisect
from collections.abc import Mapping
from typing import Final

from detectors.drift.packs import Pack
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.store import Key, Shelf

_NOTHING: Final = ""


class Standings:
    """
    References of one folder over time. One that was approved only after `until` stands for the whole time before it
    where nothing else does, and is told as retrospective.
    """

    def __init__(self, shelf: Shelf, until: float) -> None:
        self._packs = shelf.packs
        self._turns = _turns(shelf)
        self.retrospective: Mapping[Key, str] = {
            key: shelf.in_force[key]
            for key, turns in self._turns.items()
            if key in shelf.in_force and all(at >= until for at, reference in turns if reference != _NOTHING)
        }

    def at(self, key: Key, at: float) -> Pack | None:
        """What was in force. :param at: unix seconds"""
        if (late := self.retrospective.get(key)) is not None:
            return self._packs[late]
        turns = self._turns.get(key, [])
        place = bisect.bisect_right(turns, (at, "~"))
        return self._packs.get(turns[place - 1][1]) if place else None

    def pack(self, reference: str) -> Pack | None:
        return self._packs.get(reference)


def _turns(shelf: Shelf) -> dict[Key, list[tuple[float, str]]]:
    """By key, in order: from when on which reference was in force; an empty id: none."""
    turns: dict[Key, list[tuple[float, str]]] = {}
    told: set[tuple[Key, str]] = set()
    for one in shelf.journal.events:
        if one.deed in (Deed.APPROVED, Deed.RETIRED):
            key = (one.segment, one.signal)
            held = turns.setdefault(key, [])
            if one.deed is Deed.RETIRED and held and held[-1][1] != one.reference:
                continue  # another one is in force
            told.add((key, one.reference))
            held.append((one.at, one.reference if one.deed is Deed.APPROVED else _NOTHING))
    for pack in shelf.packs.values():
        key = (pack.segment, pack.signal)
        if pack.approval is not None and (key, pack.id) not in told:
            turns.setdefault(key, []).append((pack.approval.at, pack.id))
    return {key: sorted(held) for key, held in turns.items()}
