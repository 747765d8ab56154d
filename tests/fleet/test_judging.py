"""A fleet's judge without a broker: its evidence depends on the records of a segment and on nothing else."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.kafka.states import newest
from detectors.drift.shares import Budget
from detectors.drift.state import BlockState, SignalState
from detectors.drift.ticks import MergerState
from watchkeeper.agent.drift.judge import JudgeState
from watchkeeper.agent.fleet.segment import SegmentState
from watchkeeper.core import wire
from watchkeeper.core.fleet import Checkpoint, Left, Place, Reached, Restarted, Resumed, Told


def told(place: Place, sent: Any, first: int = 0) -> list[Told]:
    return [Told(place, first + at, time, record) for at, (record, time) in enumerate(sent)]


def test_a_change_in_one_segment_becomes_one_finding_of_it(kit: Any, made: Any, tmp_path: Path) -> None:
    alone = kit.Alone(tmp_path / "references")

    state = alone.judge(kit.traffic(made, 120))

    assert state.keys() == set(kit.SEGMENTS)
    [finding] = [one for one in alone.findings if not one.resolved]
    assert (finding.name, dict(finding.labels)["service.name"]) == ("input_tokens", "service-0")
    assert abs(finding.since - kit.START - 600) < 60


def test_the_budget_is_shared_among_all_references_whoever_judges_them(kit: Any, made: Any, tmp_path: Path) -> None:
    state = kit.Alone(tmp_path / "references").judge(kit.traffic(made, 5))

    shares = [share for one in state.values() for share in one.budget.shares.values()]
    assert len(shares) >= 12
    assert set(shares) == {0.9 / len(shares)}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 700), max_size=6), st.integers(0, 40))
def test_going_on_from_any_checkpoint_with_records_that_were_judged_already_gives_the_same(
    kit: Any, made: Any, tmp_path: Path, stops: list[int], back: int
) -> None:
    sent = kit.traffic(made, 35)
    uninterrupted = kit.Alone(tmp_path / "references")
    alone = uninterrupted.judge(sent)
    place = Place(kit.TICKS, 2)
    resumed, begin = Resumed(place, 0), 0
    held: dict[str, Any] = {}
    for stop in [*sorted(stops), len(sent)]:
        one = kit.Alone(tmp_path / "references")
        one.fleet.take([resumed], 0.0)
        one.fleet.take(told(place, sent[begin:stop], begin), 0.0)
        one.fleet.close(0.0)
        held |= {state.segment: state for checkpoint in one.checkpoints for state in checkpoint.states}
        begin = max(0, min(stop, len(sent)) - back)  # an older place than the states': as after a kill
        resumed = Resumed(place, begin, tuple(held.values()))

    kit.same(kit.evidence(list(held.values())), alone)
    bodies = {state.segment: state.body for state in uninterrupted.checkpoints[-1].states}
    assert {
        segment: msgspec.msgpack.decode(state.body, type=SegmentState).merger for segment, state in held.items()
    } == {segment: msgspec.msgpack.decode(body, type=SegmentState).merger for segment, body in bodies.items()}


def test_two_that_believe_a_partition_theirs_write_the_same_states(kit: Any, made: Any, tmp_path: Path) -> None:
    sent = kit.traffic(made, 30)
    place = Place(kit.TICKS, 0)
    written = []
    for pieces in (1, 7):
        one = kit.Alone(tmp_path / "references")
        one.fleet.take([Resumed(place, 0)], 0.0)
        for piece in np.array_split(np.arange(len(sent)), pieces):
            one.fleet.take(told(place, [sent[at] for at in piece], int(piece[0])), 0.0)
            one.fleet.tick(0.0)
        one.fleet.close(0.0)
        [last] = one.checkpoints[-1:]
        written.append({state.segment: state.body for state in last.states})

    assert written[0] == written[1]


@pytest.mark.parametrize("is_compacted", [False, True])
@pytest.mark.parametrize("is_marked", [False, True])
@pytest.mark.parametrize(("taken", "right_to", "wrong_to"), [(100, 400, 200), (0, 500, 100), (200, 230, 580)])
def test_what_the_wrong_one_writes_last_costs_no_evidence(
    kit: Any, made: Any, tmp_path: Path, taken: int, right_to: int, wrong_to: int, is_marked: bool, is_compacted: bool
) -> None:
    """Also where the last of each key is all that is left, and where it was stopped before its mark."""
    sent = kit.traffic(made, 30)
    log = Log(kit, tmp_path / "references", sent)
    wrong = log.owner()
    log.judge(wrong, taken)
    right = log.owner()
    log.judge(right, right_to)
    log.judge(wrong, wrong_to, is_marked=is_marked)

    last = log.owner(is_compacted=is_compacted)
    log.judge(last, len(sent))

    kit.same(kit.evidence(log.states()), kit.Alone(tmp_path / "references").judge(sent))


class Log:
    """Of one partition, and of what its owners, right or wrong, wrote of it."""

    def __init__(self, kit: Any, references: Path, sent: Any) -> None:
        self._kit, self._references, self._sent = kit, references, sent
        self._place = Place(kit.TICKS, 0)
        self._written: list[Any] = []
        self._next: dict[int, int] = {}

    def owner(self, *, is_compacted: bool = False) -> Any:
        """Begins with what was written."""
        written = self._written
        if is_compacted:
            written = list({getattr(one, "segment", ""): one for one in written}.values())
        kept = newest([wire.encode(one) for one in written])
        one = self._kit.Alone(self._references)
        one.fleet.take([Resumed(self._place, kept.offset, kept.states, kept.life)], 0.0)
        self._next[id(one)] = kept.offset
        return one

    def judge(self, one: Any, end: int, *, is_marked: bool = True) -> None:
        """On to `end`, and writes what it knows."""
        begin = self._next[id(one)]
        one.fleet.take(told(self._place, self._sent[begin:end], begin), 0.0)
        self._next[id(one)] = max(begin, end)
        one.fleet.close(0.0)
        for checkpoint in one.checkpoints:
            self._written += [*checkpoint.states, *([checkpoint.mark] if is_marked else [])]
        one.checkpoints.clear()

    def states(self) -> list[Any]:
        return [one for one in self._written if isinstance(one, wire.StateRecord)]


def test_records_that_cannot_be_judged_are_counted_and_change_nothing(kit: Any, made: Any, tmp_path: Path) -> None:
    sent = kit.traffic(made, 5, replicas=1)
    alone = kit.Alone(tmp_path / "references").judge(sent)
    record, at = sent[0]
    odd = [
        (wire.TickRecord("nobody/knows/it", "pod-0", "1", kit.START, record.streams), at),
        (wire.TickRecord(record.segment, "pod-9", "1", kit.START + 3.0, record.streams), at),
        (wire.TickRecord(record.segment, "pod-0", "1", record.at, record.streams), at),
    ]

    kit.same(kit.Alone(tmp_path / "references").judge([sent[0], *odd, *sent[1:]]), alone)


def test_counts_by_another_reference_are_left_out_stream_by_stream(kit: Any, made: Any, tmp_path: Path) -> None:
    sent = kit.traffic(made, 5, replicas=1)
    record, at = sent[0]
    other = tuple(wire.StreamCounts(one.signal, "f" * 16, one.counts) for one in record.streams[:1])
    far = tuple(wire.StreamCounts(one.signal, one.reference, {4000: 1}) for one in record.streams[1:])
    odd = wire.TickRecord(record.segment, "pod-9", "1", record.at, other + far)

    kit.same(
        kit.Alone(tmp_path / "references").judge([(odd, at), *sent]),
        kit.Alone(tmp_path / "references").judge(
            [(wire.TickRecord(record.segment, "pod-9", "1", record.at), at), *sent]
        ),
    )


def test_a_log_that_begins_anew_takes_nothing_from_the_evidence(kit: Any, made: Any, tmp_path: Path) -> None:
    sent = kit.traffic(made, 20)
    alone = kit.Alone(tmp_path / "references").judge(sent)
    one, place = kit.Alone(tmp_path / "references"), Place(kit.TICKS, 0)
    one.fleet.take([Resumed(place, 0), *told(place, sent[:200])], 0.0)
    one.fleet.tick(0.0)
    one.fleet.take([Restarted(place, 0), *told(place, sent[200:])], 0.0)
    one.fleet.close(0.0)

    at_once, last = one.checkpoints
    assert [(one.mark.life, one.mark.offset) for one in (at_once, last)] == [(1, 0), (1, len(sent) - 200)]
    assert {state.segment for state in at_once.states} == alone.keys()
    kit.same(kit.evidence([*at_once.states, *last.states]), alone)


def test_a_partition_that_leaves_takes_its_series_with_it(kit: Any, made: Any, tmp_path: Path) -> None:
    one, place = kit.Alone(tmp_path / "references"), Place(kit.TICKS, 0)
    one.fleet.take([Resumed(place, 0), *told(place, kit.traffic(made, 10))], 0.0)
    said = {
        dict(sample.labels)["service.name"]
        for sample in one.fleet.tick(100.0).samples
        if sample.metric.name == "watchkeeper.drift.state"
    }
    one.fleet.take([Left(place)], 0.0)

    gaps = {dict(gap.labels)["service.name"] for gap in one.fleet.tick(200.0).gaps}

    assert said == gaps == {f"service-{number}" for number in range(6)}


def test_only_what_changed_is_written_and_the_mark_names_all(kit: Any, made: Any, tmp_path: Path) -> None:
    one, place = kit.Alone(tmp_path / "references", kept_every_seconds=1.0), Place(kit.TICKS, 0)
    sent = kit.traffic(made, 5)
    one.fleet.take([Resumed(place, 0), *told(place, sent)], 0.0)
    one.fleet.tick(10.0)
    only = [
        (record, time)
        for record, time in kit.traffic(made, 6)[len(sent) - 3 * 18 :]
        if record.segment == kit.SEGMENTS[1]
    ]
    one.fleet.take([*told(place, only, len(sent)), Reached(place, len(sent) + 40)], 10.0)
    one.fleet.tick(20.0)

    first, second = one.checkpoints
    assert len(first.states) == 6
    assert [state.segment for state in second.states] == [kit.SEGMENTS[1]]
    assert second.mark.offset == len(sent) + 40
    assert second.mark.segments.keys() == set(kit.SEGMENTS)


def test_a_state_that_is_none_costs_its_segment_the_evidence_and_nothing_else(
    kit: Any, made: Any, tmp_path: Path
) -> None:
    one, place = kit.Alone(tmp_path / "references"), Place(kit.TICKS, 0)
    bad = wire.StateRecord(kit.SEGMENTS[0], 5, b"\xc0")
    one.fleet.take([Resumed(place, 0, (bad,)), *told(place, kit.traffic(made, 10))], 0.0)
    one.fleet.close(0.0)

    assert len(one.checkpoints[0].states) == 6


@pytest.mark.parametrize("times", [1, 3])
def test_memory_of_a_segment_does_not_grow_with_its_traffic(kit: Any, made: Any, tmp_path: Path, times: int) -> None:
    one = kit.Alone(tmp_path / "references")
    one.judge(kit.traffic(made, 30 * times))

    assert max(len(state.body) for state in one.checkpoints[0].states) < 64_000


def test_what_is_in_a_state_does_not_change_without_its_version() -> None:
    """Raise `wire.STATE_VERSION` with what a state holds, and put what it holds now here."""
    parts = (SegmentState, JudgeState, MergerState, Budget, SignalState, BlockState)

    shape = " ".join(f"{part.__name__}:{','.join(part.__struct_fields__)}" for part in parts)

    assert (wire.STATE_VERSION, hashlib.sha256(shape.encode()).hexdigest()[:12]) == (1, "6902e4bcdb39")


def test_a_checkpoint_names_its_place(kit: Any, made: Any, tmp_path: Path) -> None:
    one, place = kit.Alone(tmp_path / "references"), Place(kit.TICKS, 3)
    one.fleet.take([Resumed(place, 7, life=2), Reached(place, 9)], 0.0)
    one.fleet.close(0.0)

    assert one.checkpoints == [Checkpoint(place, (), wire.MarkRecord(9, {}, 2))]
