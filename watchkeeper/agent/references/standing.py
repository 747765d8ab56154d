"""Where each reference of a folder stands, and which ones an operator means."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

from detectors.drift.packs import Pack
from watchkeeper.agent.references.observations import Wanted
from watchkeeper.agent.references.store import Shelf
from watchkeeper.core.errors import ConfigError

_LEAST_PREFIX: Final = 4
SHOWN_ID: Final = 8
"""characters of an id that people are shown"""


class Standing(StrEnum):
    APPROVED = "approved"
    """in force"""
    PROPOSED = "proposed"
    SUPERSEDED = "superseded"
    """approved, or proposed, before the one that is in force was approved"""
    RETIRED = "retired"


def standing(pack: Pack, shelf: Shelf) -> Standing:
    if pack.id in shelf.journal.retired:
        return Standing.RETIRED
    current = shelf.in_force.get((pack.segment, pack.signal))
    if current == pack.id:
        return Standing.APPROVED
    if pack.approval is not None:
        return Standing.SUPERSEDED
    approval = shelf.packs[current].approval if current is not None else None
    return Standing.SUPERSEDED if approval is not None and pack.made_at < approval.at else Standing.PROPOSED


def chosen(shelf: Shelf, prefixes: Sequence[str], wanted: Wanted, standings: Collection[Standing]) -> list[Pack]:
    """
    By the beginnings of ids, whatever their standing; without any, all that are wanted and of one of the standings.
    In order of segment, signal and time.

    :raises ConfigError: an id that no reference has, or more than one
    """
    if prefixes:
        found = {pack.id: pack for pack in (_one(shelf, prefix) for prefix in prefixes)}.values()
    else:
        found = {pack.id: pack for pack in shelf.packs.values() if standing(pack, shelf) in standings}.values()
    return sorted(
        (
            pack
            for pack in found
            if wanted.segment(pack.segment) and (not wanted.signals or pack.signal in wanted.signals)
        ),
        key=lambda pack: (pack.segment, pack.signal, pack.made_at),
    )


def newest(packs: Sequence[Pack]) -> list[Pack]:
    """The last made for each segment and signal."""
    return list({(pack.segment, pack.signal): pack for pack in sorted(packs, key=lambda one: one.made_at)}.values())


def _one(shelf: Shelf, prefix: str) -> Pack:
    found = [pack for reference, pack in shelf.packs.items() if reference.startswith(prefix.lower())]
    if len(prefix) < _LEAST_PREFIX or not found:
        raise ConfigError(f"no reference here begins with '{prefix}': watchkeeper reference list --all names them")
    if len(found) > 1:
        raise ConfigError(f"{len(found)} references begin with '{prefix}': give more of the id")
    return found[0]
