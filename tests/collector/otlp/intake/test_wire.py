"""What is read by hand is what the full schema says, and no bytes do harm."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp import anyvalue, refusals, shallow, wire
from collector.otlp.attributes import Attributes
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Refused, Signal
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import health

PROPERTY = settings(deadline=None, max_examples=80)
WORDS = st.text(max_size=200)
PLAIN = (
    st.builds(AnyValue)
    | st.builds(AnyValue, string_value=WORDS)
    | st.builds(AnyValue, bool_value=st.booleans())
    | st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1))
    | st.builds(AnyValue, double_value=st.floats(allow_nan=False))
    | st.builds(AnyValue, bytes_value=st.binary(max_size=20))
)


def _array(values: list[AnyValue]) -> AnyValue:
    built = AnyValue()
    built.array_value.values.extend(values)
    built.array_value.SetInParent()
    return built


def _kvlist(values: dict[str, AnyValue]) -> AnyValue:
    built = AnyValue()
    built.kvlist_value.values.extend(KeyValue(key=name, value=value) for name, value in values.items())
    built.kvlist_value.SetInParent()
    return built


VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4).map(_array) | st.dictionaries(WORDS, inner, max_size=4).map(_kvlist),
    max_leaves=8,
)
NANOS = st.integers(0, 2**64 - 1)
SPANS = st.builds(
    Span,
    trace_id=st.binary(max_size=20),
    span_id=st.binary(max_size=10),
    parent_span_id=st.binary(max_size=10),
    name=WORDS,
    start_time_unix_nano=NANOS,
    end_time_unix_nano=NANOS,
    attributes=st.lists(st.builds(KeyValue, key=WORDS, value=VALUES), max_size=6),
    events=st.lists(st.builds(Span.Event, name=WORDS, time_unix_nano=NANOS), max_size=3),
    status=st.builds(Status, message=WORDS, code=st.integers(0, 2)),
    trace_state=WORDS,
    flags=st.integers(0, 2**32 - 1),
)


def meaning(value: AnyValue) -> object:
    """By the full schema."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [meaning(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: meaning(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


@PROPERTY
@given(value=VALUES)
def test_a_value_read_by_hand_is_what_the_schema_says(value: AnyValue) -> None:
    raw = value.SerializeToString()

    assert meaning(value) == anyvalue.read(raw, 0, len(raw))


@PROPERTY
@given(span=SPANS)
def test_a_span_parsed_shallowly_has_what_a_full_parse_has(span: Span) -> None:
    parsed = shallow.span(span.SerializeToString())

    for name in ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano"):
        assert getattr(span, name) == getattr(parsed, name)
    assert span.name == parsed.name.decode()
    assert [pair.SerializeToString() for pair in span.attributes] == list(parsed.attributes)
    assert [event.SerializeToString() for event in span.events] == list(parsed.events)
    assert span.status == Status.FromString(parsed.status)


@PROPERTY
@given(value=VALUES, name=st.sampled_from(["gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.input.messages",
                                           "gen_ai.response.finish_reasons", "not.wanted"]))  # fmt: skip
def test_an_attribute_means_the_same_serialised_and_decoded_and_when_met_again(value: AnyValue, name: str) -> None:
    attributes = Attributes()
    raw = KeyValue(key=name, value=value).SerializeToString()
    decoded = attributes.pairs([(name, meaning(value))])

    assert decoded == attributes.serialised([raw])
    assert decoded == attributes.serialised([raw])


@PROPERTY
@given(groups=st.lists(st.lists(st.lists(SPANS, max_size=3), max_size=3), max_size=3))
def test_the_containers_walked_by_hand_hold_what_a_full_parse_finds(groups: list[list[list[Span]]]) -> None:
    request = ExportTraceServiceRequest()
    for scopes in groups:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "app"
        for spans in scopes:
            scoped = resource.scope_spans.add(schema_url="https://x")
            scoped.scope.name = "scope"
            scoped.spans.extend(spans)
    found = wire.split(request.SerializeToString(), 1000)

    assert [[[Span.FromString(raw) for raw in scope.items] for scope in group.scopes] for group in found] == groups
    for group, sent in zip(found, request.resource_spans, strict=True):
        assert group.resource == sent.resource.SerializeToString()
        for scope, sent_scope in zip(group.scopes, sent.scope_spans, strict=True):
            assert scope.scope == sent_scope.scope.SerializeToString()


@pytest.mark.parametrize("around", [0, 1 << 7, 1 << 14, 1 << 21])
def test_an_item_of_any_length_ends_where_the_next_begins(around: int) -> None:
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for characters in range(max(0, around - 8), around + 2):
        spans.add(name="x" * characters)
    [group] = wire.split(request.SerializeToString(), 1000)

    assert [Span.FromString(raw) for raw in group.scopes[0].items] == list(spans)


@pytest.mark.parametrize("scope", [b"\x12\x80", b"\x12\x80\x01", b"\x12\xff\xff"])
def test_an_item_cut_off_in_or_after_its_length_is_malformed(scope: bytes) -> None:
    group = b"\x12" + bytes([len(scope)]) + scope

    with pytest.raises(wire.Malformed):
        wire.split(b"\x0a" + bytes([len(group)]) + group, 1000)


@PROPERTY
@given(value=st.integers(0, 2**64 - 1))
def test_a_varint_is_the_number_that_was_written(value: int) -> None:
    raw = AnyValue(int_value=wire.signed(value)).SerializeToString()

    assert wire.varint(raw, 1, len(raw)) == (value, len(raw))


@pytest.mark.parametrize("raw", [b"\x80", b"\x80" * 11, b""])
def test_a_varint_without_an_end_is_malformed(raw: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.varint(raw, 0, len(raw))


def assert_accounted_for(signal: Signal, encoding: Encoding, body: bytes) -> None:
    """Refused with nothing taken, or every item is in the books."""
    ledger, counts = Ledger(), Counter[Metric]()
    intake = Intake(OtlpConfig(), ledger, 0.0)
    try:
        intake.take(signal, encoding, body, {}, 1.0)
        refused = False
    except Refused:
        refused = True
    exported = intake.read(1.0).items
    for sample in ledger.drain(1.0):
        assert isinstance(sample.value, float)
        counts[sample.metric] += int(sample.value)

    assert counts[health.RECEIVED] == counts[health.ACCEPTED] + counts[health.REJECTED]
    assert counts[health.ACCEPTED] == exported + counts[health.IGNORED] + intake.queue_length
    assert not (refused and counts[health.RECEIVED])


class TestAnyBytes:
    @PROPERTY
    @given(body=st.binary(max_size=300), signal=st.sampled_from(list(Signal)), encoding=st.sampled_from(list(Encoding)))
    def test_random_bytes_are_taken_or_refused(self, body: bytes, signal: Signal, encoding: Encoding) -> None:
        assert_accounted_for(signal, encoding, body)

    @PROPERTY
    @given(span=SPANS, cuts=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
    def test_damaged_requests_are_taken_or_refused(self, span: Span, cuts: list[tuple[int, int]]) -> None:
        request = ExportTraceServiceRequest()
        span.trace_id, span.span_id = bytes(range(16)), bytes(range(8))
        request.resource_spans.add().scope_spans.add().spans.append(span)
        body = bytearray(request.SerializeToString())
        for place, byte in cuts:
            body[place % len(body)] = byte
        assert_accounted_for(Signal.TRACES, Encoding.PROTOBUF, bytes(body))

    @PROPERTY
    @given(
        given=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "intValue",
                     "kvlistValue", "values", "traceId", "resourceLogs", "scopeLogs", "logRecords", "body", "status",
                     "resourceMetrics", "scopeMetrics", "metrics", "histogram", "dataPoints", "resource", "scope"]
                ),
                inner, max_size=4,
            ),
            max_leaves=12,
        ),
        signal=st.sampled_from(list(Signal)),
    )  # fmt: skip
    def test_json_of_any_shape_is_taken_or_refused(self, given: object, signal: Signal) -> None:
        assert_accounted_for(signal, Encoding.JSON, json.dumps(given).encode())


def test_nesting_past_the_limit_is_an_answer_and_not_a_crash() -> None:
    raw = b"\x0a\x01x"
    for _ in range(5000):
        raw = _field(5, _field(1, raw))
    with pytest.raises(refusals.Rejected, match="too_deep"):
        anyvalue.read(raw, 0, len(raw))


def _field(number: int, payload: bytes) -> bytes:
    size = len(payload)
    length = b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload
