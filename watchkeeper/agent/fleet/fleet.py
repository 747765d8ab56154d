"""
The detector's judge: partitions of the log of tick records that are its own, each segment judged by its records alone.

What a record leads to depends on the records before it in its partition and on nothing else: not on the time of day,
nor on how they were read. So whoever goes on from a state gets the same evidence, and two that believe a partition
theirs write the same states. Writing them and reading them back is the source's; see docs/fleet.md.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from detectors.drift.packs import Pack
from watchkeeper.agent.drift.drift import InForce, announce, changed
from watchkeeper.agent.drift.judge import Key, detectors_of
from watchkeeper.agent.fleet.segment import FleetSegment
from watchkeeper.agent.signals import Judged
from watchkeeper.core.fleet import Checkpoint, Event, Left, Place, Reached, Restarted, Resumed, Told
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Finding, Gap, Sample, State
from watchkeeper.core.vocabulary import drift, fleet
from watchkeeper.core.wire import MarkRecord, StateRecord

_LOG: Final = logging.getLogger("watchkeeper.fleet")
_FINDINGS_HELD: Final = 10_000


class _Partition(msgspec.Struct):
    place: Place
    offset: int
    """of the record that comes next"""
    kept: int
    """the offset of the newest checkpoint"""
    kept_at: float
    life: int = 0
    segments: dict[str, FleetSegment] = {}
    parked: dict[str, StateRecord] = {}
    """states of segments that have no reference now"""
    marked: dict[str, int] = {}
    """offset in the newest state of each segment"""
    moved: set[str] = set()
    """segments whose state is not the one that was kept"""


class Fleet:
    """
    Belongs to the pipeline's thread.

    :param keep: takes checkpoints; what was not kept is read again after a stop
    :param days: in which the whole fleet raises at most one false alarm on average
    """

    def __init__(
        self,
        references: InForce,
        keep: Callable[[Checkpoint], None],
        ledger: Ledger,
        *,
        days: float,
        tick_seconds: float,
        grace_seconds: float,
        kept_every_seconds: float,
    ) -> None:
        self._references = references
        self._keep = keep
        self._ledger = ledger
        self._days = days
        self._tick_seconds = tick_seconds
        self._grace_seconds = grace_seconds
        self._kept_every_seconds = kept_every_seconds
        self._partitions: dict[Place, _Partition] = {}
        self._active: defaultdict[str, dict[Key, Pack]] = defaultdict(dict)
        self._among = 0
        self._problems: tuple[str, ...] = ()
        self._looked_at = float("-inf")
        self._said_at = float("-inf")
        self._silent: set[tuple[Place, str]] = set()
        """segments that moved since their series were told"""
        self._gaps: list[Gap] = []
        self._findings: list[Finding] = []
        self._counted: list[Counted] = []
        self._samples: list[Sample] = []
        self._look(0.0)

    def take(self, events: Sequence[Event], now: float) -> None:
        """:param now: unix seconds, for when to keep and tell; no evidence depends on it"""
        for event in events:
            if isinstance(event, Told):
                self._told(event)
            elif isinstance(event, Reached):
                if (partition := self._partitions.get(event.place)) is not None:
                    partition.offset = max(partition.offset, event.offset)
            elif isinstance(event, Resumed):
                self._resume(event, now)
            elif isinstance(event, Restarted):
                self._restart(event, now)
            else:
                self._leave(event)

    def tick(self, now: float) -> Judged:
        """:param now: unix seconds"""
        if now - self._looked_at >= self._tick_seconds or now < self._looked_at:
            self._look(now)
        for partition in self._partitions.values():
            if self._collect(partition) or now - partition.kept_at >= self._kept_every_seconds:
                self._checkpoint(partition, now)
        samples, self._samples = self._samples, []
        if now - self._said_at >= self._tick_seconds / 2 or now < self._said_at:
            self._said_at = now
            samples += self._say(now)
        gaps, self._gaps = self._gaps, []
        findings, self._findings = self._findings, []
        announce(findings, self._ledger)
        counted, self._counted = self._counted, []
        return Judged(tuple(samples), tuple(gaps), tuple(findings), tuple(counted))

    def close(self, now: float) -> None:
        """Keep all that is held. :param now: unix seconds"""
        for partition in self._partitions.values():
            self._checkpoint(partition, now)

    def _told(self, told: Told) -> None:
        partition = self._partitions.get(told.place)
        if partition is None:
            return
        partition.offset = told.offset + 1
        record = told.record
        segment = partition.segments.get(record.segment) or self._begin(partition, record.segment)
        if segment is None:
            self._count("unwatched")
        elif told.offset < segment.offset:
            self._count("known")
        elif record.at % self._tick_seconds:
            self._count("foreign")
        else:
            taken, foreign = segment.take(record, told.sent_at)
            segment.offset = told.offset + 1
            partition.moved.add(record.segment)
            self._silent.add((told.place, record.segment))
            self._count(taken.value)
            if foreign:
                self._count("foreign")

    def _begin(self, partition: _Partition, text: str) -> FleetSegment | None:
        """None without a reference of the segment."""
        active = self._active.get(text)
        if not active:
            return None
        segment = self._new(text)
        segment.use(active, self._among)
        partition.segments[text] = segment
        return segment

    def _new(self, text: str) -> FleetSegment:
        return FleetSegment(text, self._days, self._tick_seconds, self._grace_seconds)

    def _resume(self, resumed: Resumed, now: float) -> None:
        self._leave(Left(resumed.place))
        partition = _Partition(resumed.place, resumed.offset, resumed.offset, now, resumed.life, {}, {}, {}, set())
        self._partitions[resumed.place] = partition
        for kept in resumed.states:
            partition.marked[kept.segment] = kept.offset
            partition.parked[kept.segment] = kept
        self._unpark(partition)
        where = f"{resumed.place.topic}/{resumed.place.partition}"
        _LOG.info("%s: judging from offset %d, %d segments known", where, resumed.offset, len(partition.marked))

    def _unpark(self, partition: _Partition) -> None:
        for text in [text for text in partition.parked if self._active.get(text)]:
            kept = partition.parked.pop(text)
            segment = self._new(text)
            try:
                problems = segment.restore(kept, self._active[text], self._among)
            except ValueError as error:
                _LOG.warning("%s: %s; it begins without evidence", text, error)
                self._ledger.add(fleet.STATES, 1, (("outcome", "refused"),))
                segment = self._new(text)
                segment.use(self._active[text], self._among)
            else:
                self._ledger.add(fleet.STATES, 1, (("outcome", "restored"),))
                for problem in problems:
                    _LOG.warning("evidence refused: %s", problem)
                    self._ledger.add(drift.REFUSED, 1, (("reason", "evidence"),))
            partition.segments[text] = segment
            self._silent.add((partition.place, text))

    def _restart(self, restarted: Restarted, now: float) -> None:
        """Offsets begin anew; what is known stays, and is to be written anew: the log of states may be gone, too."""
        partition = self._partitions.get(restarted.place)
        if partition is None:
            return
        partition.offset, partition.kept = restarted.offset, -1
        partition.life += 1
        partition.marked.clear()
        for text, segment in partition.segments.items():
            segment.offset = restarted.offset
            partition.moved.add(text)
        self._checkpoint(partition, now)

    def _leave(self, left: Left) -> None:
        partition = self._partitions.pop(left.place, None)
        if partition is None:
            return
        self._collect(partition)
        for text, segment in partition.segments.items():
            self._gaps += segment.leave()
            self._silent.discard((left.place, text))

    def _look(self, now: float) -> None:
        """References that came, went or changed."""
        self._looked_at = now
        if not self._references.refresh() and self._among:
            return
        for problem in set(self._references.problems) - set(self._problems):
            _LOG.warning("reference refused: %s", problem)
            self._ledger.add(drift.REFUSED, 1, (("reason", "reference"),))
        self._problems = self._references.problems
        active = self._references.active()
        before = self._active
        self._active = defaultdict(dict)
        for key, pack in active.items():
            self._active[key[0]][key] = pack
        self._among = max(1, detectors_of(active.values()))
        for partition in self._partitions.values():
            self._unpark(partition)
            for text, segment in partition.segments.items():
                self._findings += _changes(before.get(text, {}), self._active.get(text, {}), now)
                segment.use(self._active.get(text, {}), self._among)
                self._silent.add((partition.place, text))
                partition.moved.add(text)

    def _collect(self, partition: _Partition) -> bool:
        """Whether something was found since the last time."""
        found = False
        for text in partition.moved:
            segment = partition.segments[text]
            found |= bool(segment.findings)
            self._findings += segment.findings
            self._samples += segment.samples
            self._gaps += segment.gaps
            self._counted += segment.counted
            segment.findings, segment.samples, segment.gaps, segment.counted = [], [], [], []
        del self._findings[:-_FINDINGS_HELD]
        return found

    def _checkpoint(self, partition: _Partition, now: float) -> None:
        partition.kept_at = now
        if partition.offset == partition.kept and not partition.moved:
            return
        states = tuple(partition.segments[text].state(partition.life) for text in sorted(partition.moved))
        partition.marked |= {state.segment: state.offset for state in states}
        partition.moved.clear()
        partition.kept = partition.offset
        self._keep(
            Checkpoint(partition.place, states, MarkRecord(partition.offset, dict(partition.marked), partition.life))
        )
        self._ledger.add(fleet.STATES, len(states), (("outcome", "written"),))

    def _say(self, now: float) -> list[Sample]:
        silent, self._silent = self._silent, set()
        samples = []
        for place, text in silent:
            samples += self._partitions[place].segments[text].said()
        counts: Counter[State] = Counter(dict.fromkeys(State, 0))
        for partition in self._partitions.values():
            for segment in partition.segments.values():
                counts.update(segment.states())
        samples += [Sample(drift.STREAMS, count, now, (("state", state.value),)) for state, count in counts.items()]
        partitions = self._partitions.values()
        self._ledger.set(fleet.SEGMENTS, sum(len(partition.segments) for partition in partitions))
        self._ledger.set(fleet.BEHIND, sum(partition.offset - partition.kept for partition in partitions))
        return samples

    def _count(self, outcome: str) -> None:
        self._ledger.add(fleet.RECORDS, 1, (("outcome", outcome),))


def _changes(before: Mapping[Key, Pack], active: Mapping[Key, Pack], now: float) -> list[Finding]:
    held = {key: pack.id for key, pack in before.items()}
    moved = [key for key in held.keys() | active.keys() if held.get(key) != (active[key].id if key in active else None)]
    return [changed(key, held, active, now) for key in sorted(moved)]
