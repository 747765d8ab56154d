"""Logs of calls as others write them."""

import json
from typing import Any

import pytest

from collector import kafka
from collector.kafka import CallsTopic, KafkaConfig
from collector.kafka.calls import Calls
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Outcome
from watchkeeper.core.wire import Unreadable

CALL = {"timestamp": "2023-11-16T18:15:46Z", "model": "qwen", "usage": {"prompt_tokens": 12, "completion_tokens": 30}}


def read(value: Any, **topic: Any) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Calls(CallsTopic(**topic), Ledger()).read(body, 5.0)


def test_usual_names_are_found_and_others_where_it_is_said() -> None:
    call = read(CALL, service="chat")
    assert (call.at, call.request_model, call.service) == (1700158546.0, "qwen", "chat")
    assert (call.input_tokens, call.output_tokens) == (12, 30)

    odd = read({"n": {"in": 7}, "took": 1.5}, fields={"input_tokens": "n.in", "duration_seconds": "took"})
    assert (odd.at, odd.input_tokens, odd.duration_seconds, odd.outcome) == (5.0, 7, 1.5, Outcome.OK)


def test_messages_of_one_topic_may_differ() -> None:
    calls = Calls(CallsTopic(), Ledger())

    both = [calls.read(json.dumps(one).encode(), 5.0) for one in (CALL, {"prompt_tokens": 3, "latency_ms": 250}, CALL)]

    assert [one.input_tokens for one in both] == [12, 3, 12]
    assert both[1].duration_seconds == 0.25


def test_a_field_that_the_first_message_leaves_empty_is_read_of_the_next() -> None:
    calls = Calls(CallsTopic(), Ledger())
    told = [calls.read(json.dumps(CALL | {"error": error}).encode(), 5.0) for error in (None, "overloaded")]

    assert [one.outcome for one in told] == [Outcome.OK, Outcome.ERROR]


@pytest.mark.parametrize(
    "error", ["my secret was refused", "x" * 65, {"message": "my secret"}, {"type": "my secret", "code": 3}]
)
def test_of_an_error_told_as_a_message_only_that_it_was_one_is_kept(error: Any) -> None:
    assert (read(CALL | {"error": error}).error_type, read(CALL | {"error": "rate_limit"}).error_type) == (
        "error",
        "rate_limit",
    )


def test_a_finish_reason_is_a_word_of_ours() -> None:
    ended = [read(CALL | {"finish_reason": said}).finish_reasons for said in ("eos_token", "my secret", "null")]

    assert ended == [("stop",), ("other",), ()]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"my secret", "not_encoded"), (b"[1]", "other_kind"), (b"{}", "other_kind"), ({"x": "my secret"}, "other_kind")],
)
def test_what_is_no_call_is_refused_without_a_word_of_it(value: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        read(value)


def test_mistakes_are_said_with_the_path_to_the_key() -> None:
    connection = Connection(("kafka:9092",))
    odd = KafkaConfig(True, connection, calls=(CallsTopic("watchkeeper.state", {"inputs": "x"}),))

    assert [line.partition(":")[0] for line in kafka.problems(odd)] == ["kafka.calls[0].fields.inputs", "kafka"]
    assert "nothing is read" in kafka.problems(KafkaConfig(True, connection, ticks=False))[0]
    assert kafka.problems(KafkaConfig(True, connection)) == ()
