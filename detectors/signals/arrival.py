"""
A data link that stopped bringing records.

Silence alone is no fault: nights are silent. After `silent_seconds` without a record, one of three must say that at
least `missed_records` are missing.

1. Work goes on: the engines' pages count finished calls, as many as this source used to bring records of (it told of
   at least 90 % of them in the hour before). Only for all of a source.
2. The same time of the day on the last day with traffic, and a week ago where that is known, whichever had fewer; and
   of it the emptiest stretch within an hour. Nights, weekends and jobs that run at the same hour are silent then too.
3. While no such day is known: the hour before was steady (4 records and more in each ten minutes, none below half of
   the median) and ended at once. An evening that fades is not.

A source that brings nothing any more alarms on 1, on 2 once it is known for a week, and else where several of its
services were steady in the hour before; with one service it warns, as the end of a load test or a first weekend looks
the same. A service of a source that goes on warns. What is raised holds until a record comes. Hours in which
watchkeeper stood still are never held against a link.

Catches: at a record a second the silence after 5 minutes, at 10 an hour after 2 hours. Misses: links that fade away,
silence at an hour that was silent on the last day or a week ago, links that bring metrics alone, anything after a
restart before an hour has passed. Mistakes for a stop: a holiday, the first weekend, a job that ends on its first day.
Keeps 5 kB for each service.
"""

from typing import Annotated, Final

import msgspec

from detectors.signals._links import Link, Newest, Ways, gone_links, link_of
from detectors.signals._memory import Memory
from detectors.signals._spans import Increments, Spans
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import engines, links

_PAUSE_SECONDS: Final = 60.0
"""between two ticks: watchkeeper itself stood still"""
_WARMING_SECONDS: Final = 3600.0
_MOST_SILENCE: Final = 7200.0
"""over which finished calls are looked at"""
_TOLD_RATIO: Final = 0.9
_MINUTE: Final = 60.0
_SPANS: Final = int((_MOST_SILENCE + 3600.0) / _MINUTE) + 4
_STEADY_SECONDS: Final = 600.0
_WORK, _DAY, _HOUR = "work", "day", "hour"
_SAID: Final = {
    _WORK: "the engines finished about {:.0f} calls meanwhile that it would have told of",
    _DAY: "about {:.0f} came in the same time on days before",
    _HOUR: "about {:.0f} would have come at the slowest pace of the hour before",
}


class ArrivalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data links that stopped bringing records."""

    enabled: bool = True
    """False: a silent link is not told"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    silent_seconds: Annotated[float, msgspec.Meta(ge=60)] = 300.0
    """no silence shorter than this is told"""
    missed_records: Annotated[float, msgspec.Meta(ge=5)] = 20.0
    """so many records must be missing"""


class _Kept:
    __slots__ = ("first_at", "last_at", "memory", "raised", "score")

    def __init__(self, now: float) -> None:
        self.first_at = self.last_at = now
        self.memory = Memory(now)
        self.raised: tuple[State, str, float] | None = None
        """state, ground, records missed: held until a record comes"""
        self.score = 0.0


class Arrival:
    def __init__(self, config: ArrivalConfig, ledger: Ledger) -> None:
        self._config = config
        self._newest = Newest()
        self._increments = Increments()
        self._ways: Ways[Link, _Kept] = Ways(_Kept)
        self._told: dict[str, Spans] = {}
        """of each source, calls that ended well"""
        self._finished = Spans(_MINUTE, _SPANS)
        self._seen_at: float | None = None

    def update(self, batch: Batch) -> None:
        self._wake(batch.at)
        self._newest.see(batch)
        self._increments.forget(batch)
        for link in gone_links(batch):
            if link != Link(link.source):
                self._ways.hide(link)

    def _wake(self, now: float) -> None:
        """Time in which nobody watched is nobody's silence."""
        if self._seen_at is not None and not 0 <= now - self._seen_at <= _PAUSE_SECONDS:
            for _, kept in self._ways.present(now):
                kept.last_at = now
        self._seen_at = now

    def _came(self, link: Link, records: float, now: float) -> None:
        kept = self._ways.see(link, now)
        kept.memory.add(records, now)
        kept.last_at = now
        kept.raised = None

    def _take(self, now: float) -> None:
        for point in self._newest.take():
            added = self._increments.of(point)
            if not added:
                continue
            if point.metric is engines.FINISHED:
                self._finished.add(added, now)
            elif (link := link_of(dict(point.labels))) is None:
                continue
            elif point.metric is links.CALLS:
                self._told.setdefault(link.source, Spans(_MINUTE, _SPANS)).add(added, now)
            else:
                for one in {link, Link(link.source)}:
                    self._came(one, added, now)

    def assess(self, now: float) -> list[Assessment]:
        self._take(now)
        for link, kept in self._ways.present(now):
            self._judge(link, kept, now)
        return [self._told_of(link, kept, now) for link, kept in self._ways.present(now)]

    def _judge(self, link: Link, kept: _Kept, now: float) -> None:
        silent = now - kept.last_at
        is_source = link == Link(link.source)
        kept.score = 0.0
        if silent < self._config.silent_seconds:
            return
        if not is_source and self._is_silent(link.source, now):
            return  # the source speaks for all of its services
        ground, missed = self._missed(link, kept, is_source, now)
        kept.score = missed / self._config.missed_records
        if kept.score >= 1:
            state = State.ALARM if is_source and self._is_sure(link.source, ground, kept, now) else State.WARN
            if kept.raised is None or state is State.ALARM:
                kept.raised = (state, ground, missed)

    def _is_silent(self, source: str, now: float) -> bool:
        whole = self._ways.find(Link(source))
        return whole is not None and now - whole.last_at >= self._config.silent_seconds

    def _missed(self, link: Link, kept: _Kept, is_source: bool, now: float) -> tuple[str, float]:
        """By which ground most are missing, and how many."""
        began = kept.last_at
        found = {_WORK: self._unreported(link.source, began, now) if is_source else 0.0}
        usual = kept.memory.usual(began, now)
        if usual is not None:
            found[_DAY] = usual
        elif now - began >= _STEADY_SECONDS:
            found[_HOUR] = kept.memory.steady(began, now) or 0.0
        ground = max(found, key=lambda one: found[one])
        return ground, found[ground]

    def _is_sure(self, source: str, ground: str, kept: _Kept, now: float) -> bool:
        """Whether the silence of a whole source is more than one job that ended, or the first weekend."""
        if ground == _WORK or (ground == _DAY and kept.memory.knows_a_week):
            return True
        services = (one for link, one in self._ways.present(now) if link.source == source and link != Link(source))
        return sum(one.memory.steady(one.last_at, now) is not None for one in services) > 1

    def _unreported(self, source: str, began: float, now: float) -> float:
        """Calls that engines finished in the silence and that this source would have told of."""
        told = self._told.get(source)
        silent = now - began
        if told is None or silent > _MOST_SILENCE:
            return 0.0
        worked = self._finished.total(now, silent)
        before = self._finished.total(now, silent + 3600.0) - worked
        share = (told.total(now, silent + 3600.0) - told.total(now, silent)) / before if before else 0.0
        return worked * min(1.0, share) if share >= _TOLD_RATIO else 0.0

    def _told_of(self, link: Link, kept: _Kept, now: float) -> Assessment:
        if kept.raised is None:
            is_new = now - kept.first_at < _WARMING_SECONDS
            state = State.WARMING if is_new else State.OK
            return Assessment(subject=link.subject, verdict=Verdict(state, kept.score, 1.0))
        state, ground, missed = kept.raised
        minutes = (now - kept.last_at) / 60
        whole = link == Link(link.source)
        who = f"no record of any service has come over {link.source}" if whole else f"no record has come from {link}"
        others = "" if whole else ", while other services of this source go on"
        return Assessment(
            subject=link.subject,
            verdict=Verdict(state, max(1.0, kept.score), 1.0),
            summary=f"{who} for {minutes:.0f} minutes{others}; {_SAID[ground].format(missed)}",
            action=(
                "walk the way in order: is the port reached (watchkeeper doctor), does the collector before it send "
                "and not queue, do the services export; then restart the first that does not"
                if whole
                else "look whether the service runs and has calls; then at its exporter's endpoint and its log"
            ),
            evidence=(
                f"at least {self._config.missed_records:g} must be missing, and {self._config.silent_seconds:g} s "
                f"silent",
            ),
            since=kept.last_at,
        )


PLUGIN: Final = Plugin(
    name="arrival",
    summary="A data link that stopped bringing records.",
    config=ArrivalConfig,
    build=Arrival,
    reads=(links.DELAY, links.CALLS, engines.FINISHED),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
