"""What the memory of recent calls promises: how much it holds, what it lets go, and that a call alone costs little."""

import tracemalloc
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.otlp import calls as memory
from collector.otlp import facets
from collector.otlp.calls import LOG, SPAN, Calls
from collector.otlp.one_call import call_of
from collector.otlp.one_trace import Trace
from watchkeeper.core.records import Completion, Vantage

NOW: Final = 1_000.0
TRACES: Final = 8
"""distinct ones in the sequences below"""
ROOM: Final = 6
"""traces in a small memory: the newest 3 are kept for certain"""

FIRST_TOKEN_ONLY: Final = {"duration_seconds": None, "time_to_first_token_seconds": 1.0}

OURS: Final = [tracemalloc.Filter(True, part) for part in ("*/collector/otlp/*", "*/watchkeeper/core/*", __file__)]
"""where memory is asked for: other threads of the tests' process ask elsewhere"""
PROPERTY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def told(trace: int, span: int, **how: Any) -> Completion:
    return Completion(**{"at": NOW, "duration_seconds": 1.0, "trace_id": b"%d" % trace, "span_id": b"%d" % span, **how})


def judge(calls: Calls, trace: int, span: int = 1, now: float = NOW) -> tuple[bool, bool]:
    """Whether it is a new call, and whether it was here before."""
    return calls.judge(told(trace, span), b"", NOW - 1, SPAN, now)[1:]


def knows(calls: Calls, trace: int, span: int = 1) -> bool:
    return calls.find(b"%d" % trace, b"%d" % span) is not None


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_TRACES", ROOM)


some_trace = st.integers(1, TRACES)
some_span = st.integers(1, 4)


class Step(msgspec.Struct, frozen=True):
    """One observation of any kind."""

    kind: str
    trace: int
    span: int
    parent: int
    vantage: Vantage
    start: float
    signal: int

    def __call__(self, calls: Calls) -> tuple[object, ...]:
        trace, span, parent = b"%d" % self.trace, b"%d" % self.span, b"%d" % self.parent if self.parent else b""
        if self.kind == "call":
            start = self.start if self.signal == SPAN else 0.0
            return calls.judge(told(self.trace, self.span, vantage=self.vantage), parent, start, self.signal, NOW)
        if self.kind == "find":
            return (calls.find(trace, span),)
        add = calls.link if self.kind == "link" else calls.operation
        return (add(trace, span, parent, NOW),)


some_step = st.builds(
    Step,
    kind=st.sampled_from(["call", "call", "call", "operation", "link", "find"]),
    trace=st.integers(1, 4),
    span=some_span,
    parent=st.integers(0, 4),
    vantage=st.sampled_from([Vantage.CLIENT, Vantage.ENGINE]),
    start=st.sampled_from([0.0, NOW - 9, NOW - 2, NOW - 1]),
    signal=st.sampled_from([SPAN, SPAN, LOG]),
)


def judged(steps: list[Step]) -> list[list[object]]:
    """What was answered, each call by the number of its first appearance."""
    calls, numbers = Calls(), dict[int, int]()
    answers = [step(calls) for step in steps]
    return [
        [part if part is None or isinstance(part, bool) else numbers.setdefault(id(part), len(numbers)) for part in one]
        for one in answers
    ]


@PROPERTY
@given(steps=st.lists(some_step, max_size=60))
def test_calls_that_move_between_the_halves_are_judged_as_in_one_memory(steps: list[Step]) -> None:
    """Of four traces a memory of six forgets none, but its halves take turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MAX_TRACES", 6)
        turning = judged(steps)

    assert turning == judged(steps)


@PROPERTY
@given(heard=st.lists(some_trace, max_size=60))
def test_the_newest_half_of_the_traces_is_known_and_never_more_than_all(small: None, heard: list[int]) -> None:
    calls = Calls()
    for number, trace in enumerate(heard):
        judge(calls, trace)
        newest = list(dict.fromkeys(reversed(heard[: number + 1])))[: ROOM // 2]

        assert all(knows(calls, one) for one in newest)
        assert sum(knows(calls, one) for one in range(1, TRACES + 1)) == len(calls) <= ROOM


@PROPERTY
@given(heard=st.lists(st.tuples(some_trace, some_span, st.sampled_from(["call", "operation"])), max_size=80))
def test_every_span_is_held_or_was_counted_as_forgotten(
    small: None, monkeypatch: pytest.MonkeyPatch, heard: list[tuple[int, int, str]]
) -> None:
    monkeypatch.setattr(memory, "MAX_SPANS", 9)
    calls, new, forgotten = Calls(), 0, 0
    for trace, span, kind in heard:
        new += (b"%d" % trace, b"%d" % span) not in held(calls)
        if kind == "call":
            judge(calls, trace, span)
        else:
            calls.operation(b"%d" % trace, b"%d" % span, b"", NOW)
        forgotten += calls.forgotten()

        assert (b"%d" % trace, b"%d" % span) in held(calls)
        assert len(calls) == len(held(calls)) == new - forgotten <= 9


def held(calls: Calls) -> set[tuple[bytes, bytes]]:
    """Trace and span, counted one by one."""
    return {
        (trace_id, span_id)
        for traces in (calls._older, calls._newer)
        for trace_id, trace in traces.items()
        for span_id in (trace.spans if isinstance(trace, Trace) else (trace.span_id,))
    }


@PROPERTY
@given(heard=st.lists(st.tuples(some_trace, st.sampled_from([0.0, 1.0, 20.0, 40.0, 130.0])), max_size=40))
def test_a_trace_is_forgotten_after_its_time_and_not_before(heard: list[tuple[int, float]]) -> None:
    """At the earliest after three quarters of it; with halves that take turns and forget nothing for lack of room."""
    calls, now, last = Calls(), NOW, dict[int, float]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "MAX_TRACES", 2 * (TRACES - 1))
        for trace, later in heard:
            now += later
            calls.forget_old(now)
            for one, at in last.items():
                if now - at > memory.MAX_AGE_SECONDS:
                    assert not knows(calls, one)
                elif now - at <= memory.MAX_AGE_SECONDS * 0.75:
                    assert knows(calls, one)
            judge(calls, trace, now=now)
            last[trace] = now

    assert calls.forgotten() == 0


class TestOlderHalf:
    """Six traces: three of the older half, three of the newer."""

    @pytest.fixture
    def calls(self, small: None) -> Calls:
        calls = Calls()
        for trace in range(1, 7):
            judge(calls, trace)
        return calls

    def test_a_call_of_the_older_half_is_known_when_it_comes_again(self, calls: Calls) -> None:
        assert judge(calls, 1) == (False, True)

    @pytest.mark.parametrize(
        "come",
        [
            lambda calls: judge(calls, 1),
            lambda calls: judge(calls, 1, span=2),
            lambda calls: calls.operation(b"1", b"2", b"", NOW),
            lambda calls: calls.link(b"1", b"2", b"", NOW),
        ],
        ids=["again", "call", "operation", "link"],
    )
    def test_a_trace_of_which_more_comes_outlives_the_others_of_its_half(
        self, calls: Calls, come: Callable[[Calls], object]
    ) -> None:
        come(calls)

        assert [knows(calls, trace) for trace in range(1, 7)] == [True, False, False, True, True, True]
        assert calls.forgotten() == 2

    def test_what_is_asked_for_does_not_live_longer(self, calls: Calls) -> None:
        assert knows(calls, 1)
        judge(calls, 7)

        assert not knows(calls, 1)

    def test_calls_of_both_halves_are_found_by_their_answer(self, small: None) -> None:
        calls = Calls()
        for trace in range(1, 7):
            calls.judge(told(trace, 1, response_id=f"r{trace}"), b"", NOW - 1, SPAN, NOW)

        assert [calls.by_response(f"r{trace}", NOW) is not None for trace in range(1, 8)] == [True] * 6 + [False]

    def test_both_halves_are_forgotten_after_their_time(self, calls: Calls) -> None:
        calls.forget_old(NOW + memory.MAX_AGE_SECONDS + 1)

        assert len(calls) == 0
        assert calls.forgotten() == 0

    def test_what_was_past_its_time_anyway_is_not_counted_as_forgotten(self, calls: Calls) -> None:
        late = NOW + memory.MAX_AGE_SECONDS + 1
        judge(calls, 7, now=late)
        assert calls.forgotten() == 0
        for trace in range(8, 11):
            judge(calls, trace, now=late)
        assert calls.forgotten() == 0
        for trace in range(11, 14):
            judge(calls, trace, now=late)

        assert calls.forgotten() == 3

    def test_of_a_half_that_is_partly_past_its_time_the_rest_is_counted(self, small: None) -> None:
        calls = Calls()
        for trace, later in enumerate((0, 0, 100, 100, 100, 100, 121), start=1):
            judge(calls, trace, now=NOW + later)

        assert calls.forgotten() == 1


class TestRoomForSpans:
    def test_the_oldest_traces_make_room_whichever_half_they_are_in(
        self, small: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 9)
        calls = Calls()
        for trace in (1, 2, 3, 4):
            judge(calls, trace)
        for span in range(2, 8):
            judge(calls, 4, span)
        assert [knows(calls, trace) for trace in (1, 2, 3, 4)] == [False, True, True, True]
        for span in range(8, 20):
            judge(calls, 4, span)

        assert [knows(calls, trace) for trace in (1, 2, 3)] == [False] * 3
        assert len(calls) == 9
        assert knows(calls, 4, 19)

    def test_a_trace_of_which_more_comes_makes_no_room_though_it_is_the_oldest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 3)
        calls = Calls()
        for trace, span in ((1, 1), (2, 1), (3, 1), (1, 2)):
            judge(calls, trace, span)

        assert held(calls) == {(b"1", b"1"), (b"1", b"2"), (b"3", b"1")}

    def test_one_part_in_sixteen_makes_room_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "MAX_SPANS", 64)
        calls = Calls()
        for trace in range(1, 66):
            judge(calls, trace)

        assert calls.forgotten() == 4
        assert [knows(calls, trace) for trace in (4, 5, 65)] == [False, True, True]


class TestLone:
    """Most traces bring one span: it must cost little, and be worth as much as any other."""

    def test_it_takes_little_memory_even_when_it_comes_again(self) -> None:
        calls = Calls()
        tracemalloc.start()
        try:
            for n in range(4_000):
                start = NOW - n / 7
                seen = told(
                    n, n, trace_id=b"%016d" % n, span_id=b"%08d" % n, response_id=f"chatcmpl-{n:016}", output_tokens=n,
                    duration_seconds=1.0 + n, time_to_first_token_seconds=0.1 + n,
                )  # fmt: skip
                for signal in (SPAN, LOG, SPAN):
                    calls.judge(seen, b"", start, signal, NOW)
            del seen, start
            held_bytes = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(OURS).traces)
        finally:
            tracemalloc.stop()

        assert len(calls) == 4_000
        assert held_bytes / 4_000 < 425

    @pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another"])
    def test_by_each_signal_it_is_repeated_from_the_second_time_on(self, others: int) -> None:
        calls = Calls()
        for other in range(others):
            judge(calls, 1, span=7 + other)

        signals = (SPAN, LOG, SPAN, LOG)
        assert [calls.judge(told(1, 1), b"", NOW - 1, signal, NOW)[1:] for signal in signals] == [
            (True, False), (False, False), (False, True), (False, True),
        ]  # fmt: skip

    def test_a_parent_that_only_its_second_record_names_is_known(self) -> None:
        calls = Calls()
        inner, _, _ = calls.judge(told(1, 2), b"", 0.0, LOG, NOW)
        calls.judge(told(1, 2), b"1", NOW - 1, SPAN, NOW)
        outer, new, _ = calls.judge(told(1, 1), b"", NOW - 2, SPAN, NOW)

        assert (outer is inner, new) == (True, False)

    def test_the_parent_that_was_named_first_stays(self) -> None:
        calls = Calls()
        inner, _, _ = calls.judge(told(1, 2), b"1", NOW - 1, SPAN, NOW)
        calls.judge(told(1, 2), b"9", NOW - 1, SPAN, NOW)

        assert calls.judge(told(1, 1), b"", NOW - 2, SPAN, NOW)[0] is inner

    def test_a_time_that_only_its_second_record_tells_is_known(self) -> None:
        calls = Calls()
        client, _, _ = calls.judge(told(1, 1, duration_seconds=None), b"", 0.0, LOG, NOW)
        calls.judge(told(1, 1), b"", NOW - 1, SPAN, NOW)
        engine, _, _ = calls.judge(told(1, 9, vantage=Vantage.ENGINE), b"8", NOW - 1, SPAN, NOW)

        assert engine is client

    def test_a_client_that_ended_before_its_engine_did_has_another_call(self) -> None:
        calls = Calls()
        calls.judge(told(1, 9, vantage=Vantage.ENGINE), b"8", NOW - 1, SPAN, NOW)

        assert calls.judge(told(1, 1), b"", NOW - 9, SPAN, NOW)[1]

    def test_a_tool_that_is_found_to_be_a_call_is_one(self) -> None:
        calls = Calls()
        calls.operation(b"1", b"1", b"", NOW)

        assert not knows(calls, 1)
        assert judge(calls, 1) == (True, False)
        assert judge(calls, 1) == (False, True)
        assert len(calls) == 1

    def test_a_call_that_a_log_record_without_ids_told_of_is_placed_by_its_span(self) -> None:
        calls = Calls()
        assert calls.by_response("r", NOW) is None
        logged = calls.count_without_ids(told(0, 0, trace_id=b"", span_id=b"", response_id="r"))
        found, new, repeated = calls.judge(told(1, 1, response_id="r"), b"3", NOW - 1, SPAN, NOW)

        assert (found is logged, new, repeated) == (True, False, False)
        assert calls.find(b"1", b"1") is logged
        assert calls.judge(told(1, 3), b"", NOW - 2, SPAN, NOW)[0] is logged
        assert calls.judge(told(2, 1, response_id="r"), b"", NOW - 1, SPAN, NOW)[1], "one log record is one call"

    def test_a_log_record_with_ids_is_not_taken_for_one_without(self) -> None:
        calls = Calls()
        calls.by_response("r", NOW)
        calls.judge(told(1, 1, response_id="r", duration_seconds=None), b"", 0.0, LOG, NOW)

        assert calls.judge(told(2, 1, response_id="r"), b"", NOW - 1, SPAN, NOW)[1]


class TestPace:
    """Seconds per token after the first, told once: when the second of a client's two times comes."""

    @pytest.mark.parametrize("tokens_from", [0, 1, 2])
    def test_the_tokens_may_come_with_any_record(self, tokens_from: int) -> None:
        engine = {"vantage": Vantage.ENGINE, "time_to_first_token_seconds": 0.3, "duration_seconds": 0.6}
        records: list[dict[str, Any]] = [engine, {"duration_seconds": 2.0}, FIRST_TOKEN_ONLY]
        records[tokens_from] = {**records[tokens_from], "output_tokens": 11}

        assert paces(*records) == [None, pytest.approx(0.1)]

    def test_a_client_that_tells_all_at_once_leaves_nothing_to_tell(self) -> None:
        whole = {"duration_seconds": 2.0, "time_to_first_token_seconds": 1.0, "output_tokens": 11}

        assert paces(whole, FIRST_TOKEN_ONLY, {"vantage": Vantage.ENGINE}) == [None, None]


def paces(first: dict[str, Any], *later: dict[str, Any]) -> list[float | None]:
    """What each later record of the same call completes."""
    call = call_of(told(1, 1, **first), b"", NOW, SPAN, NOW)
    said = []
    for record in later:
        seen = told(1, 1, **record)
        said.append(call.add(seen, facets.of(seen) & ~call.given))
    return said
