"""Everything that a report of a period rests on, read once."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from detectors.drift.bands import Floats
from detectors.drift.packs import Pack
from exporters.store import missing_package
from watchkeeper.agent.references import store as shelves
from watchkeeper.agent.references.journal import NAME as JOURNAL
from watchkeeper.agent.references.observations import SUFFIX, Wanted, read_file
from watchkeeper.agent.references.store import Shelf
from watchkeeper.agent.report import counts
from watchkeeper.agent.report.counts import Observed
from watchkeeper.agent.report.drift import assess
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.places import Places
from watchkeeper.agent.report.record import DriftOfPeriod, RestsOn
from watchkeeper.agent.report.standing import Standings
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Tally

if TYPE_CHECKING:
    from watchkeeper.agent.report.stored import Rows, Stored


class Sources(msgspec.Struct, frozen=True):
    period: Period
    wanted: Wanted
    shelf: Shelf
    standings: Standings
    observed: Observed
    """what this state folder holds"""
    profiles: Observed
    """what the store holds of all processes"""
    stored: "Stored | None"
    streams: dict[counts.Stream, tuple[dict[int, Floats], str]]
    packs: dict[str, Pack]
    """by id, of the streams"""
    drift: tuple[DriftOfPeriod, ...]
    files: tuple[RestsOn, ...]
    lost_hours: int
    """hours of streams in the store whose reference is not in the folder"""


def read(places: Places, period: Period, wanted: Wanted, limits: list[tuple[str, float]]) -> Sources:
    """
    :param limits: of signals: see `counts.of_tallies`
    :raises ConfigError: something cannot be read
    """
    try:
        shelf = shelves.load(places.references)
        standings = Standings(shelf, period.until)
        paths = sorted(places.observed.glob(f"*{SUFFIX}")) if places.observed else []
        tallies = chain.from_iterable(read_file(path, note) for path in paths)
        observed = counts.of_tallies(tallies, period, standings.at, limits, wanted.segment)
        files = tuple(chain(_references(places.references, shelf), _used(paths, period)))
    except OSError as error:
        raise ConfigError(f"{error.filename or places.references}: {error.strerror}; give what can be read") from None
    for problem in shelf.problems:
        note(problem)
    stored, (profiles, lost) = _stored(
        places,
        period,
        wanted.segment,
        lambda rows: counts.of_profiles(rows, period, standings.pack, wanted.segment),
    )
    streams = counts.together(observed, profiles)
    packs = {stream.reference: shelf.packs[stream.reference] for stream in streams}
    late = frozenset(standings.retrospective.values())
    return Sources(
        period,
        wanted,
        shelf,
        standings,
        observed,
        profiles,
        stored,
        streams,
        packs,
        assess(streams, packs, period, late),
        files,
        lost,
    )


def note(line: str) -> None:
    print(f"watchkeeper: {line}", file=sys.stderr)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stored(
    places: Places, period: Period, is_wanted: Callable[[str], bool], take: "Callable[[Rows], tuple[Observed, int]]"
) -> "tuple[Stored | None, tuple[Observed, int]]":
    if places.store is None:
        return None, take(iter(()))
    try:
        from watchkeeper.agent.report import stored
    except ModuleNotFoundError as error:
        raise ConfigError(missing_package(error)) from None
    return stored.read(places.store, period, is_wanted, take)


def _references(folder: Path, shelf: Shelf) -> Iterator[RestsOn]:
    """The journal's hash, and the id, which is the hash, of each reference."""
    journal = folder / JOURNAL
    if journal.exists():
        yield RestsOn("journal of references", JOURNAL, sha256(journal.read_bytes()))
    for pack in sorted(shelf.packs.values(), key=lambda one: (one.segment, one.signal, one.made_at)):
        if pack.approval is not None:
            yield RestsOn("reference", f"{pack.signal} of {pack.segment}", pack.id)


def _used(paths: list[Path], period: Period) -> Iterator[RestsOn]:
    """Files of tallies that hold some of the period."""
    for path in paths:
        if any(period.holds(tally.at) for tally in _tallies(path)):
            yield RestsOn("observed", path.name, sha256(path.read_bytes()))


def _tallies(path: Path) -> Iterator[Tally]:
    silent: Callable[[str], None] = lambda _: None  # noqa: E731 - what is damaged was told when it was read
    return read_file(path, silent)
