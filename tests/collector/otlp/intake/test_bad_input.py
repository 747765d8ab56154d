"""What is broken, too much or meant to harm: refused in the protocol's words, and nothing else is lost."""

import json
import subprocess
import sys
from typing import Any

import pytest

from collector.otlp import anyvalue, shallow
from collector.otlp.intake import Encoding, Overloaded, Signal, TooMany, Undecodable
from watchkeeper.core.vocabulary import health

CHAT = {"gen_ai.operation.name": "chat"}
BOMBS = """
def varint(n):
    out = b""
    while True:
        b, n = n & 0x7F, n >> 7
        if not n:
            return out + bytes([b])
        out += bytes([b | 0x80])

def field(num, payload):
    return varint(num << 3 | 2) + varint(len(payload)) + payload

def nested(depth, key=b"k"):
    v = b"\\x0a\\x01x"
    for _ in range(depth):
        v = field(5, field(1, v))
    ids = field(1, bytes(range(16))) + field(2, bytes(range(8)))
    return field(1, field(2, field(2, ids + field(9, field(1, key) + field(2, v)))))

MIB = 1 << 20
ids = field(1, bytes(range(16))) + field(2, bytes(range(8)))
bombs = {
    "empty spans": ("traces", "protobuf", field(1, field(2, b"\\x12\\x00" * (2 * MIB)))),
    "empty log records": ("logs", "protobuf", field(1, field(2, b"\\x12\\x00" * (2 * MIB)))),
    "empty metrics": ("metrics", "protobuf", field(1, field(2, b"\\x12\\x00" * (2 * MIB)))),
    "empty points": ("metrics", "protobuf", field(1, field(2, field(2, field(9, b"\\x0a\\x00" * (2 * MIB)))))),
    "empty scopes": ("traces", "protobuf", field(1, b"\\x12\\x00" * (2 * MIB))),
    "empty resources": ("traces", "protobuf", b"\\x0a\\x00" * (2 * MIB)),
    "long tags": ("traces", "protobuf", field(1, field(2, b"\\x92\\x00\\x00" * MIB))),
    "empty attributes": ("traces", "protobuf", field(1, field(2, field(2, ids + b"\\x4a\\x00" * (2 * MIB))))),
    "empty events": ("traces", "protobuf", field(1, field(2, field(2, ids + b"\\x5a\\x00" * (2 * MIB))))),
    "empty values": ("logs", "protobuf", field(1, field(2, field(2,
        field(12, b"gen_ai.client.inference.operation.details") +
        field(6, field(1, b"gen_ai.input.messages") + field(2, field(5, b"\\x0a\\x00" * (2 * MIB)))))))),
    "resource attributes": ("traces", "protobuf", field(1, field(1, b"\\x0a\\x00" * (2 * MIB)))),
    "json spans": ("traces", "json", b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"{}," * (MIB + MIB // 3)
        + b"{}]}]}]}"),
    "json numbers": ("traces", "json", b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + b"0," * (2 * MIB)
        + b"0]}]}]}"),
    "json arrays": ("traces", "json", b"[" * (4 * MIB)),
    "json deep": ("traces", "json", b'{"x":' + b"[" * (2 * MIB) + b"]" * (2 * MIB) + b"}"),
    "json keys": ("traces", "json", b'{"resourceSpans":' * (MIB // 4)),
}
"""
RUN = (
    BOMBS
    + """
import resource, sys
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Refused, Signal
from watchkeeper.core.ledger import Ledger

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

signal, encoding, body = bombs[sys.argv[1]]
intake = Intake(OtlpConfig(), Ledger(), 0.0)
warm = field(1, field(2, field(2, ids))) if encoding == "protobuf" else b"{}"
intake.take(Signal(signal), Encoding(encoding), warm, {}, 1.0)
del bombs
before = peak()
try:
    answer = f"rejected {intake.take(Signal(signal), Encoding(encoding), body, {}, 1.0).rejected}"
except Refused as refused:
    answer = refused.reason
print(answer, round(peak() - before), sep="|")
"""
)


@pytest.mark.parametrize(
    ("bomb", "answer"),
    [
        ("empty spans", "too_many_items"),
        ("empty log records", "too_many_items"),
        ("empty metrics", "too_many_items"),
        ("empty points", "too_many_items"),
        ("empty scopes", "too_many_items"),
        ("empty resources", "too_many_items"),
        ("long tags", "too_many_items"),
        ("empty attributes", "rejected 1"),
        ("empty events", "rejected 1"),
        ("empty values", "rejected 1"),
        ("resource attributes", "rejected 0"),
        ("json spans", "too_many_items"),
        ("json numbers", "undecodable"),
        ("json arrays", "undecodable"),
        ("json deep", "too_deep"),
        ("json keys", "undecodable"),
    ],
)
def test_four_mebibytes_of_nothing_cost_little_memory(bomb: str, answer: str) -> None:
    result = subprocess.run([sys.executable, "-c", RUN, bomb], capture_output=True, text=True, timeout=60, check=False)
    said, _, grown = result.stdout.strip().partition("|")

    assert answer == said, result.stderr[-500:]
    assert int(grown) <= 32, "MiB more at the peak"


class TestOneBrokenItem:
    """It is rejected alone, by partial success."""

    def broken(self, otlp: Any, **change: Any) -> Any:
        span = otlp.span(CHAT)
        for name, value in change.items():
            setattr(span, name, value)
        return span

    @pytest.mark.parametrize(
        "ids",
        [
            {"trace_id": b"\1" * 15}, {"trace_id": b"\1" * 17}, {"trace_id": b""}, {"trace_id": bytes(16)},
            {"span_id": b"\1" * 7}, {"span_id": b"\1" * 9}, {"span_id": b""}, {"span_id": bytes(8)},
        ],
        ids=str,
    )  # fmt: skip
    def test_invalid_ids(self, otlp: Any, ids: dict[str, bytes]) -> None:
        taken = otlp.send(self.broken(otlp, **ids), otlp.span(CHAT))

        assert (taken.rejected, taken.message) == (1, "rejected: invalid_id 1")
        assert len(otlp.read().completions) == 1
        assert otlp.rejected == {"invalid_id": 1}

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"status": {"code": "STATUS_CODE_BAD"}}, "status.code: expected integer, got string"),
            ({"attributes": [{"key": "said", "value": {"boolValue": "geheim"}}]},
             "attributes[0].value.boolValue: expected boolean, got string"),
            ({"events": {"geheim": 1}}, "events: expected array, got object"),
            ({"startTimeUnixNano": 1.5}, "startTimeUnixNano: expected integer or string, got number"),
        ],
        ids=["enumeration", "nested", "list", "integer"],
    )  # fmt: skip
    def test_a_field_of_another_type_is_named_to_the_sender_without_what_it_holds(
        self, both: Any, change: dict[str, Any], told: str
    ) -> None:
        _, otlp = both
        signal, body = otlp.body(otlp.span(CHAT), otlp.span(CHAT), otlp.span(CHAT))
        request = json.loads(body)
        spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
        spans[0].update(change)
        spans[1].update({"name": 5})
        taken = otlp.intake.take(signal, Encoding.JSON, json.dumps(request).encode(), {}, otlp.now)

        assert (taken.rejected, taken.message) == (2, f"rejected: undecodable 2; the first at {told}")
        assert len(otlp.read().completions) == 1

    def test_a_temporality_by_its_name_is_named_to_the_sender(self, both: Any) -> None:
        _, otlp = both
        point = {"timeUnixNano": "1", "asInt": "1"}
        metric = {
            "name": "a",
            "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA", "dataPoints": [point]},
        }
        body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
        taken = otlp.intake.take(Signal.METRICS, Encoding.JSON, body, {}, otlp.now)

        assert taken.message == (
            "rejected: undecodable 1; the first at sum.aggregationTemporality: expected integer, got string"
        )

    def test_too_many_attributes(self, otlp: Any) -> None:
        many = {f"a{n}": "x" * 20 for n in range(shallow.MAX_ATTRIBUTES + 1)}
        taken = otlp.send(otlp.span({**CHAT, **many}), otlp.span(CHAT))

        assert taken.message == "rejected: too_many_items 1"
        assert len(otlp.read().completions) == 1

    @pytest.mark.parametrize("tag", [b"\x4a", b"\x5a", b"\x6a"], ids=["attributes", "events", "links"])
    def test_too_many_fields_are_not_walked_to_their_end(self, protobuf: Any, tag: bytes) -> None:
        """The broken end would say undecodable, were it reached."""
        many = protobuf.span(CHAT).SerializeToString() + (tag + b"\x00") * (1 << 16) + b"\xff"
        taken = send(protobuf, many, protobuf.span(CHAT).SerializeToString())

        assert taken.message == "rejected: too_many_items 1"
        assert len(protobuf.read().completions) == 1

    def test_nested_too_deep(self, otlp: Any) -> None:
        deep: object = "x"
        for _ in range(anyvalue.MAX_DEPTH + 2):
            deep = [deep]
        taken = otlp.send(otlp.span({**CHAT, "gen_ai.input.messages": deep}), otlp.span({**CHAT, "unread": deep}))

        assert taken.message == "rejected: too_deep 1"
        assert len(otlp.read().completions) == 1

    def test_invalid_utf8_in_a_name_or_a_wanted_value(self, protobuf: Any) -> None:
        good = protobuf.span(CHAT).SerializeToString()
        bad_name = good + _field(5, b"\xff\xfe")
        bad_value = good + _field(9, _field(1, b"gen_ai.request.model") + _field(2, _field(1, b"\xff")))
        taken = send(protobuf, bad_name, bad_value, good)

        assert taken.message == "rejected: invalid_utf8 2"
        assert len(protobuf.read().completions) == 1

    def test_a_broken_span_or_value(self, protobuf: Any) -> None:
        good = protobuf.span(CHAT).SerializeToString()
        bad_value = good + _field(9, _field(1, b"gen_ai.request.model") + _field(2, b"\x0a\x7f"))
        taken = send(protobuf, b"\x0a\x7f", bad_value, good)

        assert taken.message == "rejected: undecodable 2"
        assert len(protobuf.read().completions) == 1

    def test_an_attribute_without_a_value_costs_nothing(self, protobuf: Any) -> None:
        good = protobuf.span(CHAT).SerializeToString()
        valueless = protobuf.span(CHAT).SerializeToString() + _field(9, _field(1, b"gen_ai.request.model"))

        assert send(protobuf, valueless, good).rejected == 0
        assert [call.request_model for call in protobuf.read().completions] == ["", ""]

    @pytest.mark.parametrize("cut", [b"\x0a\x0aerror.type\x12", b"\x0a\x0berror.type", b"\x0a\xffserver.port"],
                             ids=["after the value's tag", "in the key", "long before the key's end"])  # fmt: skip
    def test_an_attribute_cut_off_costs_its_span(self, protobuf: Any, cut: bytes) -> None:
        good = protobuf.span(CHAT).SerializeToString()

        assert send(protobuf, good + _field(9, cut), good).message == "rejected: undecodable 1"

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [
            ("null", "undecodable"),
            ("[]", "undecodable"),
            ('{"name": 5}', "undecodable"),
            ('{"traceId": "zz"}', "invalid_id"),
            ('{"traceId": "' + "ab " * 16 + '", "spanId": "abababababababab"}', "invalid_id"),
            ('{"traceId": "' + "ab" * 16 + '", "spanId": " abababababababab"}', "invalid_id"),
            ("{}", "invalid_id"),
            ('{"attributes": [{"key": "a", "value": {"doubleValue": 1e999}}]}', "undecodable"),
            ('{"attributes": [{"key": "a", "value": {"stringValue": 5}}]}', "undecodable"),
        ],
    )
    def test_a_broken_span_in_json(self, broken: str, reason: str, both: tuple[Any, Any]) -> None:
        sent = both[1]
        _, body = sent.body(sent.span(CHAT))
        body = body.replace(b'"spans": [', b'"spans": [' + broken.encode() + b", ")
        taken = sent.intake.take(Signal.TRACES, Encoding.JSON, body, {}, sent.now)

        assert taken.message.partition(";")[0] == f"rejected: {reason} 1"
        assert len(sent.read().completions) == 1

    @pytest.mark.parametrize(
        ("wrong", "read"),
        [
            (rb"\ud83d", "\ufffd"), (rb"\uDE00 \uD83D", "\ufffd \ufffd"), (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
            (rb"\\ud83d \ud83d", r"\ud83d" + " \ufffd"), (rb"\u00e9\n\"\ud83d", '\xe9\n"\ufffd'),
            (b"\xff", "\ufffd"), (b"\xed\xa0\x80\xe2", "\ufffd\ufffd\ufffd\ufffd"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("name", ["unread", "gen_ai.request.model"])
    def test_a_string_that_json_forbids_costs_no_span(
        self, wrong: bytes, read: str, name: str, both: tuple[Any, Any]
    ) -> None:
        sent = both[1]
        _, body = sent.body(sent.span({**CHAT, name: "@"}), sent.span(CHAT))
        taken = sent.intake.take(Signal.TRACES, Encoding.JSON, body.replace(b'"@"', b'"' + wrong + b'"'), {}, sent.now)
        models = [call.request_model for call in sent.read().completions]

        assert taken.rejected == 0
        assert sorted(models) == (["", ""] if name == "unread" else ["", read])

    def test_beside_a_string_that_json_forbids_a_broken_span_is_still_rejected_alone(
        self, both: tuple[Any, Any]
    ) -> None:
        sent = both[1]
        _, body = sent.body(sent.span({**CHAT, "unread": "@"}))
        body = body.replace(b'"@"', b'"\xff\\ud83d"').replace(b'"spans": [', b'"spans": [5, ')

        assert sent.intake.take(Signal.TRACES, Encoding.JSON, body, {}, sent.now).rejected == 1
        assert len(sent.read().completions) == 1

    @pytest.mark.parametrize("start", ["-1", "NaN", "1e9", "99999999999999999999999", "x"])
    def test_a_json_time_that_is_none(self, start: str, both: tuple[Any, Any]) -> None:
        sent = both[1]
        span = json.loads(sent.body(sent.span(CHAT))[1])
        span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"] = start
        taken = sent.intake.take(Signal.TRACES, Encoding.JSON, json.dumps(span).encode(), {}, sent.now)

        assert taken.message == "rejected: undecodable 1"

    def test_an_integer_of_400_digits_costs_its_value(self, both: tuple[Any, Any]) -> None:
        _, otlp = both
        span = otlp.span({**CHAT, "llm.invocation_parameters": f'{{"temperature": 1{"0" * 400}, "max_tokens": 7}}'})

        [call] = otlp.calls(span)
        assert (call.temperature, call.max_output_tokens) == (None, 7)

    @pytest.mark.parametrize("field", ["asInt", "bucketCounts"])
    def test_an_integer_past_64_bits_costs_its_point(self, both: tuple[Any, Any], field: str) -> None:
        _, otlp = both
        times = {"startTimeUnixNano": "1", "timeUnixNano": "2"}
        bad = {**times, "count": 1, "sum": 1.0, "explicitBounds": [1.0], "bucketCounts": [0, 10**400]}
        points: list[Any] = [{**bad, "bucketCounts": [0, 1]}, bad]
        metric: dict[str, Any] = {"name": "gen_ai.client.operation.duration", "unit": "s"}
        if field == "asInt":
            metric["name"] = "gen_ai.client.inference.usage.input_tokens"
            points = [{**times, "asInt": 3}, {**times, "asInt": 10**400}]
        data = {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": points}
        metric["sum" if field == "asInt" else "histogram"] = data
        body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()

        assert otlp.intake.take(Signal.METRICS, Encoding.JSON, body, {}, otlp.now).rejected == 1
        assert len(otlp.settled().samples) == 1

    def test_a_broken_resource_attribute_costs_itself(self, protobuf: Any) -> None:
        resource = (
            _field(1, _field(1, b"service.name") + _field(2, _field(1, b"\xff")))
            + _field(1, _field(1, b"k8s.pod.name") + _field(2, _field(1, b"pod")))
        )  # fmt: skip
        body = _field(1, _field(1, resource) + _field(2, _field(2, protobuf.span(CHAT).SerializeToString())))
        protobuf.intake.take(Signal.TRACES, Encoding.PROTOBUF, body, {}, protobuf.now)
        [call] = protobuf.read().completions

        assert (call.service, call.pod) == ("", "pod")


class TestWholeRequests:
    @pytest.mark.parametrize(
        "body",
        [b"\x0a", b"\x0a\x05ab", b"\x0f", b"not protobuf at all", b"\x0a\x02\x12\x7f", b"\x0a\x04\x12\x02\x12\x7f"],
    )
    @pytest.mark.parametrize("signal", list(Signal))
    def test_broken_containers_are_undecodable(self, protobuf: Any, signal: Signal, body: bytes) -> None:
        with pytest.raises(Undecodable) as refused:
            protobuf.intake.take(signal, Encoding.PROTOBUF, body, {}, 1.0)
        assert refused.value.reason == "undecodable"

    @pytest.mark.parametrize(
        "body",
        [b"{", b"[]", b"5", b'"x"', b"null x", b"\xff", b'{"resourceSpans": 5}', b"NaN", b'{"resourceSpans": [5]}'],
    )
    def test_broken_json_is_undecodable(self, both: tuple[Any, Any], body: bytes) -> None:
        with pytest.raises(Undecodable):
            both[1].intake.take(Signal.TRACES, Encoding.JSON, body, {}, 1.0)

    @pytest.mark.parametrize(
        ("encoding", "body"),
        [
            (Encoding.PROTOBUF, b""), (Encoding.PROTOBUF, b"\x0a\x00"), (Encoding.PROTOBUF, b"\x0a\x02\x12\x00"),
            (Encoding.JSON, b""), (Encoding.JSON, b"{}"), (Encoding.JSON, b'{"unknown": {"x": [1]}}'),
            (Encoding.JSON, b'{"resourceSpans": []}'), (Encoding.JSON, b'{"resourceSpans": null}'),
            (Encoding.JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": []}]}]}'),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("signal", list(Signal))
    def test_nothing_is_success(self, protobuf: Any, signal: Signal, encoding: Encoding, body: bytes) -> None:
        taken = protobuf.intake.take(signal, encoding, body, {}, 1.0)

        assert (taken.rejected, taken.message) == (0, "")
        assert protobuf.read().items == 0

    def test_more_items_than_allowed_are_refused_and_as_many_are_not(self, otlp: Any) -> None:
        sent = otlp.fresh(max_items_per_request=10)
        sent.send(*(sent.span(CHAT) for _ in range(10)))
        with pytest.raises(TooMany, match="10 items"):
            sent.send(*(sent.span(CHAT) for _ in range(11)))

        assert len(sent.read().completions) == 10
        assert sent.counts(health.RECEIVED) == {"traces": 10}

    def test_braces_in_text_are_not_objects(self, both: tuple[Any, Any]) -> None:
        sent = both[1].fresh(max_items_per_request=10)

        assert sent.call({**CHAT, "gen_ai.input.messages": '{"\\"{' * 1000}).text is not None


class TestOverload:
    def test_a_full_queue_takes_nothing_and_remembers_nothing(self, otlp: Any) -> None:
        sent = otlp.fresh(queue_capacity_bytes=20_000)
        first, second = ([sent.span(CHAT) for _ in range(10)] for _ in range(2))
        sent.send(*first)
        with pytest.raises(Overloaded) as refused:
            sent.send(*second)

        assert refused.value.reason == "queue_full"
        assert len(sent.read().completions) == 10
        assert len(sent.calls(*second)) == 10, "the retry is not taken for a repetition"
        assert sent.counts(health.RECEIVED) == {"traces": 20}

    def test_one_request_larger_than_the_queue_is_taken_when_it_is_empty(self, otlp: Any) -> None:
        sent = otlp.fresh(queue_capacity_bytes=1024)

        assert len(sent.calls(*(sent.span(CHAT) for _ in range(10)))) == 10

    def test_after_close_everything_is_refused_and_what_is_held_is_read(self, otlp: Any) -> None:
        otlp.send(otlp.span(CHAT))
        otlp.intake.close()
        with pytest.raises(Overloaded) as refused:
            otlp.send(otlp.span(CHAT))

        assert refused.value.reason == "shutting_down"
        assert len(otlp.read().completions) == 1


def send(otlp: Any, *spans: bytes) -> Any:
    body = _field(1, _field(2, b"".join(_field(2, span) for span in spans)))
    return otlp.intake.take(Signal.TRACES, Encoding.PROTOBUF, body, {}, otlp.now)


def _field(number: int, payload: bytes) -> bytes:
    size, length = len(payload), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload
