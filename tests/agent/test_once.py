from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.agent.once import Once
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Text, Vantage
from watchkeeper.core.vocabulary import health

TRACE = bytes(range(16))
NOW = 1e9


def call(vantage: Vantage = Vantage.TAP, trace_id: bytes = TRACE, **fields: Any) -> Completion:
    return Completion(at=NOW, vantage=vantage, trace_id=trace_id, duration_seconds=1.0, **fields)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([Vantage.TAP, Vantage.CLIENT]), max_size=20))
def test_the_calls_of_a_trace_are_as_many_as_the_side_that_told_of_more(vantages: list[Vantage]) -> None:
    once = Once(Ledger())

    counted = sum(once.of(call(vantage), NOW).counts for vantage in vantages)

    assert counted == max(vantages.count(Vantage.TAP), vantages.count(Vantage.CLIENT))


def test_the_second_record_of_a_call_keeps_its_own_times_alone() -> None:
    once = Once(Ledger())
    whole: dict[str, Any] = {"finish_reasons": ("stop",), "text": Text("a", "b")}

    first = once.of(call(Vantage.TAP, **whole), NOW)
    second = once.of(call(Vantage.CLIENT, **whole), NOW)

    assert (first.counts, first.finish_reasons, first.text) == (True, ("stop",), Text("a", "b"))
    assert (second.counts, second.finish_reasons, second.text) == (False, (), None)
    assert (second.vantage, second.duration_seconds) == (Vantage.CLIENT, 1.0)


def test_what_the_first_record_lacked_the_second_brings() -> None:
    once = Once(Ledger())

    once.of(call(Vantage.CLIENT), NOW)
    second = once.of(call(Vantage.TAP, finish_reasons=("stop",)), NOW)

    assert (second.counts, second.finish_reasons) == (False, ("stop",))


def test_a_record_that_counted_elsewhere_already_never_counts() -> None:
    once = Once(Ledger())

    assert not once.of(call(Vantage.CLIENT, counts=False), NOW).counts
    assert once.of(call(Vantage.TAP), NOW).counts


def test_calls_without_a_trace_or_of_other_traces_are_calls_of_their_own() -> None:
    once = Once(Ledger())
    calls = [call(Vantage.TAP, b""), call(Vantage.CLIENT, b""), call(Vantage.TAP), call(Vantage.CLIENT, bytes(16))]

    assert all(once.of(each, NOW).counts for each in calls)


@pytest.mark.parametrize(("later", "counts"), [(119.0, False), (121.0, True)])
def test_a_trace_is_remembered_for_two_minutes(later: float, counts: bool) -> None:
    once = Once(Ledger())
    once.of(call(), NOW)
    once.of(call(trace_id=bytes(16)), NOW + later)  # forgetting happens when another trace comes

    assert once.of(call(Vantage.CLIENT), NOW + later).counts is counts


def test_traces_forgotten_for_lack_of_room_are_counted() -> None:
    ledger = Ledger()
    once = Once(ledger, max_traces=2)
    for number in range(5):
        once.of(call(trace_id=number.to_bytes(16, "big")), NOW)

    forgotten = [sample.value for sample in ledger.drain(NOW) if sample.metric == health.CALLS_FORGOTTEN]

    assert forgotten == [3.0]
