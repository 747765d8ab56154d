"""Every item is accounted for: received = accepted + rejected, accepted = exported + ignored."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.otlp import fields, refusals
from collector.otlp.intake import EMITS, Encoding, Signal
from watchkeeper.core.vocabulary import health

CHAT = {"gen_ai.operation.name": "chat"}
KINDS = ["call", "outer", "http", "tool", "bad id", "bad tokens", "details", "message", "other log", "same"]


def item(otlp: Any, kind: str, number: int) -> Any:
    trace = 1 + number % 3
    if kind in ("details", "message", "other log"):
        event = {"details": "gen_ai.client.inference.operation.details", "message": "gen_ai.choice", "other log": "x"}
        return otlp.log(event[kind], CHAT, trace=trace, span=number + 1, body={"content": "x"})
    attributes = {
        "http": {},
        "tool": {"gen_ai.operation.name": "execute_tool"},
        "bad tokens": {**CHAT, "gen_ai.usage.input_tokens": "many"},
    }.get(kind, CHAT)
    span = otlp.span(
        attributes, trace=trace, span=1 if kind in ("outer", "same") else number + 1, parent=1, start=-float(number + 1)
    )
    if kind == "bad id":
        span.span_id = b"short"
    return span


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(KINDS), max_size=12), encoding=st.sampled_from(list(Encoding)))
def test_the_books_balance_whatever_is_sent(protobuf: Any, kinds: list[str], encoding: Encoding) -> None:
    otlp = protobuf.fresh()
    otlp.encoding = encoding
    held = rejected = 0
    for number, kind in enumerate(kinds):
        rejected += otlp.send(item(otlp, kind, number), item(otlp, kind, number)).rejected
    queued = otlp.intake.queue_length
    held = otlp.read().items

    received = sum(otlp.counts(health.RECEIVED).values())
    accepted = sum(otlp.counts(health.ACCEPTED).values())
    assert received == 2 * len(kinds)
    assert received == accepted + sum(otlp.rejected.values())
    assert rejected == sum(otlp.rejected.values())
    assert accepted == held + sum(otlp.ignored.values())
    assert (queued, 0) == (held, otlp.intake.queue_length)


def test_a_number_that_cannot_be_right_is_counted_as_often_as_it_is_received(otlp: Any) -> None:
    """As its record is: one that comes twice is received twice and ignored once."""
    wrong = otlp.span({**CHAT, "gen_ai.usage.input_tokens": -5})
    for _ in range(2):
        otlp.send(wrong)

    assert (otlp.counts(health.RECEIVED), otlp.ignored) == ({"traces": 2}, {"duplicate": 1})
    assert otlp.invalid == {"input_tokens": 2}
    assert "as often as they are received" in health.INVALID_VALUES.help


def test_a_batch_of_everything_balances(otlp: Any) -> None:
    taken = otlp.send(*(item(otlp, kind, n) for n, kind in enumerate(KINDS) if "log" not in kind and kind != "details"
                        and kind != "message"))  # fmt: skip

    assert taken.rejected == 1
    assert otlp.counts(health.RECEIVED) == {"traces": 7}
    assert otlp.counts(health.ACCEPTED) == {"traces": 6}
    assert otlp.read().items + sum(otlp.ignored.values()) == 6


def test_every_series_exists_before_its_first_increase(protobuf: Any) -> None:
    samples = protobuf.ledger.drain(0.0)
    there = {(sample.metric, sample.labels) for sample in samples}

    assert all(sample.value == 0 for sample in samples)
    for signal in Signal:
        labels = (("source", "otlp"), ("signal", signal.value))
        assert {(health.RECEIVED, labels), (health.ACCEPTED, labels)} <= there
        assert {(health.REJECTED, (*labels, ("reason", reason))) for reason in refusals.REJECTED_REASONS} <= there
        assert {(health.IGNORED, (*labels, ("reason", reason))) for reason in refusals.IGNORED_REASONS} <= there
    for field in fields.INVALID_FIELDS:
        assert (health.INVALID_VALUES, (("source", "otlp"), ("field", field))) in there


@pytest.mark.parametrize("field", sorted({row.field for row in fields.TABLE}))
def test_a_wrong_value_is_counted_under_a_field_of_a_bounded_set(field: str) -> None:
    assert fields.invalid_field(field) in fields.INVALID_FIELDS


def test_the_plugin_says_all_that_is_emitted() -> None:
    from collector.otlp import PLUGIN

    assert set(EMITS) <= set(PLUGIN.metrics)
