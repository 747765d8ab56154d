"""One segment of a fleet: its sidecars' records merged tick by tick and judged. Depends on the records alone."""

from collections.abc import Mapping

import msgspec

from detectors.drift.packs import Pack
from detectors.drift.ticks import Merger, MergerState, Taken
from watchkeeper.agent.drift.judge import VERSION, Judge, JudgeState, Key
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Finding, Gap, Sample, State
from watchkeeper.core.wire import REFERENCE_CHARACTERS, StateRecord, TickRecord


class SegmentState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    judge: JudgeState
    merger: MergerState
    judged_to: float
    """unix seconds at which the newest tick ended that was judged"""


class FleetSegment:
    """`offset`: all records of its partition before that one are in it."""

    def __init__(self, text: str, days: float, tick_seconds: float, grace_seconds: float) -> None:
        self.text = text
        self.offset = 0
        self.gaps: list[Gap] = []
        self.findings: list[Finding] = []
        self.counted: list[Counted] = []
        self.samples: list[Sample] = []
        """since they were taken last"""
        self._tick_seconds = tick_seconds
        self._judge = Judge(days, tick_seconds, tells=False)
        self._merger = Merger(grace_seconds)
        self._active: Mapping[Key, Pack] = {}
        self._judged_to = 0.0

    def use(self, active: Mapping[Key, Pack], among: int, saved: JudgeState | None = None) -> list[str]:
        """
        :param active: the references of this segment
        :param among: how many detectors share the budget of the whole fleet
        :return: a line for each saved evidence that is of no use
        """
        for key, pack in self._active.items():
            if key not in active or active[key].id != pack.id:
                self._merger.drop(key[1])
        self._active = active
        return self._judge.use(active, saved, among)

    def restore(self, kept: StateRecord, active: Mapping[Key, Pack], among: int) -> list[str]:
        """:raises ValueError: not what `state` gives"""
        try:
            state = msgspec.msgpack.decode(kept.body, type=SegmentState)
        except msgspec.MsgspecError:
            raise ValueError("not a state of a segment") from None
        if state.judge.version != VERSION:
            raise ValueError("a state of another version")
        self.offset = kept.offset
        self._merger.restore(state.merger)
        self._judged_to = state.judged_to
        problems = self.use(active, among, state.judge)
        in_force = {(segment, signal): held for segment, signal, held in state.judge.in_force}
        for key, held in in_force.items():
            if key not in active or active[key].id != held:
                self._merger.drop(key[1])
        return problems

    def state(self, life: int) -> StateRecord:
        """:param life: of the log"""
        held = SegmentState(self._judge.state(0), self._merger.state(), self._judged_to)
        return StateRecord(self.text, self.offset, msgspec.msgpack.encode(held), life)

    def take(self, record: TickRecord, sent_at: float) -> tuple[Taken, int]:
        """:return: what became of the record, and how many of its streams were counted by another reference"""
        counts = {one.signal: one.counts for one in record.streams if self._fits(one.signal, one.reference, one.counts)}
        source = f"{record.replica}/{record.started}"
        taken = self._merger.add(source, int(record.at // self._tick_seconds), counts, sent_at)
        for number, merged in self._merger.due():
            self._tick(number * self._tick_seconds, merged)
        return taken, len(record.streams) - len(counts)

    def said(self) -> list[Sample]:
        """What its series are now."""
        return list(self._judge.said(self._judged_to))

    def states(self) -> dict[State, int]:
        """How many of its streams are in each state."""
        return self._judge.states()

    def leave(self) -> list[Gap]:
        """The series that are somebody else's now."""
        self._judge.use({})
        return self._judge.tick(self._judged_to, self._judged_to)[1]

    def _fits(self, signal: str, reference: str, counts: Mapping[int, int]) -> bool:
        pack = self._active.get((self.text, signal))
        return pack is not None and pack.id[:REFERENCE_CHARACTERS] == reference and max(counts, default=0) < pack.bins

    def _tick(self, at: float, merged: Mapping[str, Mapping[int, int]]) -> None:
        for signal, counts in merged.items():
            stream = self._judge.stream((self.text, signal))
            if stream is not None:
                for place, count in counts.items():
                    stream.counts[place] += count
        self._judged_to = max(self._judged_to, at + self._tick_seconds)
        samples, gaps, findings = self._judge.tick(at, self._judged_to)
        self.samples += samples
        self.gaps += gaps
        self.findings += findings
        self.counted += self._judge.counted
