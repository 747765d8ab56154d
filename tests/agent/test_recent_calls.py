from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.agent.recent_calls import RecentCalls
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Text, Vantage

A, B = Segment("ns", "a", "m"), Segment("ns", "b", "m")


def call(trace: int = 0, span: int = 0, service: str = "a", **fields: Any) -> Completion:
    ids: dict[str, Any] = {"trace_id": trace.to_bytes(16, "big"), "span_id": span.to_bytes(8, "big")} if trace else {}
    return Completion(at=1.0, namespace="ns", service=service, request_model="m", **ids, **fields)


def test_a_call_is_found_by_its_span_its_answer_and_its_trace() -> None:
    calls = RecentCalls()
    calls.add_all([call(1, 2, response_id="r")])

    assert calls.of_span(call(1, 2).trace_id, call(1, 2).span_id) == A
    assert (calls.of_answer("r"), calls.of_trace(call(1).trace_id)) == (A, A)
    assert (calls.of_span(call(2, 2).trace_id, call(2, 2).span_id), calls.of_answer("s")) == (None, None)


def test_calls_that_come_after_a_question_are_found_too() -> None:
    calls = RecentCalls()
    calls.add_all([call(1, 1)])
    assert calls.of_answer("r") is None
    calls.add_all([call(1, 2, "b", response_id="r")])

    assert (calls.of_answer("r"), calls.of_trace(call(1).trace_id)) == (B, B)


def test_the_caller_stands_before_its_engine_in_any_order() -> None:
    for order in (1, -1):
        calls = RecentCalls()
        told = [call(1, 1, "a", response_id="r"), call(1, 2, "b", response_id="r", vantage=Vantage.ENGINE)]
        for one in told[::order]:
            calls.add_all([one])

        assert (calls.of_answer("r"), calls.of_trace(told[0].trace_id)) == (A, A)
        assert calls.of_span(told[1].trace_id, told[1].span_id) == B


def test_a_call_without_an_id_is_not_kept() -> None:
    calls = RecentCalls()
    calls.add_all([call()])

    assert calls.added == 0


def test_a_call_without_an_id_among_others_leaves_theirs_alone() -> None:
    calls = RecentCalls()
    calls.add_all([call(1, 1), call(), call(service="b", response_id="r")])

    assert calls.added == 2
    assert (calls.of_trace(call(1).trace_id), calls.of_answer("r")) == (A, B)


@settings(deadline=None, max_examples=30)
@given(number=st.integers(1, 60), most=st.integers(2, 20), at_once=st.integers(1, 60))
def test_the_newest_half_is_always_there_and_no_more_than_the_most(number: int, most: int, at_once: int) -> None:
    calls = RecentCalls(most)
    told = [call(span, span) for span in range(1, number + 1)]
    for begin in range(0, number, at_once):
        calls.add_all(told[begin : begin + at_once])
    found = [n for n in range(1, number + 1) if calls.of_span(call(n, n).trace_id, call(n, n).span_id)]

    assert len(found) <= most
    assert found == list(range(number - len(found) + 1, number + 1))
    assert len(found) >= min(number, most // 2)


def test_no_text_is_kept() -> None:
    calls = RecentCalls()
    calls.add_all([call(1, 1, text=Text("MARKER", "MARKER"))])
    calls.of_answer("r")

    kept = [getattr(part, name) for part in (calls._newer, calls._older) for name in part.__slots__]
    assert call(1, 1).trace_id in kept[kept.index([call(1, 1).trace_id])]
    assert "MARKER" not in repr(kept)
