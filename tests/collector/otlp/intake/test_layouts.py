"""Whatever a layout reads, the general decoder would have read the same."""

import random
import tracemalloc
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.otlp import fields, layouts, protobuf_items, refusals, shallow
from collector.otlp.attributes import TENANT, Attributes
from collector.otlp.layouts import Layouts
from collector.otlp.observed import Observed

CHANCE = random.Random(7)
CALL: dict[str, object] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m-large",
    "gen_ai.request.max_tokens": 512,
    "gen_ai.response.id": "chatcmpl-0001",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 77,
    "gen_ai.usage.cache_read.input_tokens": 70_000,
    "gen_ai.response.time_to_first_chunk": 0.25,
    "deployment.cell": "a7",
}


def value(given: object) -> AnyValue:
    if isinstance(given, bool):
        return AnyValue(bool_value=given)
    if isinstance(given, int):
        return AnyValue(int_value=given)
    if isinstance(given, float):
        return AnyValue(double_value=given)
    if isinstance(given, list):
        return AnyValue(array_value=ArrayValue(values=map(value, given)))
    return AnyValue(string_value=str(given))


def span(given: Mapping[str, object], **changed: object) -> bytes:
    built = Span(
        trace_id=CHANCE.randbytes(16),
        span_id=CHANCE.randbytes(8),
        parent_span_id=CHANCE.randbytes(8),
        name="chat m-large",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=CHANCE.randrange(1, 2**63),
        end_time_unix_nano=CHANCE.randrange(1, 2**63),
        attributes=[KeyValue(key=name, value=value(one)) for name, one in given.items()],
        flags=1,
    )
    for name, to in changed.items():
        setattr(built, name, to)
    return built.SerializeToString()


def generally(raw: bytes, attributes: Attributes) -> Observed:
    return protobuf_items.span(shallow.span(raw), attributes)


def learned(*raws: bytes, tenant: str = "") -> Layouts:
    attributes = Attributes(tenant)
    found = Layouts(attributes)
    for raw in raws:
        found.learn(raw, generally(raw, attributes))
    return found


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"gen_ai.response.id": "chatcmpl-abcd"},
        {"gen_ai.usage.input_tokens": 16_383, "gen_ai.usage.output_tokens": 0},
        {"gen_ai.usage.cache_read.input_tokens": 2_000_000},
        {"gen_ai.response.time_to_first_chunk": 1e-9},
        {"deployment.cell": "b8"},
    ],
    ids=["ids and times", "answer's id", "tokens", "many tokens", "first token", "an attribute nobody reads"],
)
def test_a_span_built_like_one_that_was_read_is_read_by_its_layout(other: dict[str, object]) -> None:
    found, raw = learned(span(CALL)), span(CALL | other)

    seen = found.read(raw)

    assert seen is not None
    assert seen == generally(raw, Attributes())


@pytest.mark.parametrize(
    "other",
    [
        {"gen_ai.request.model": "m-small"},
        {"gen_ai.request.max_tokens": 513},
        {"gen_ai.response.finish_reasons": ["toll"]},
        {"gen_ai.usage.input_tokens": 12},
        {"gen_ai.response.id": "chatcmpl-00001"},
        {"gen_ai.response.time_to_first_chunk": float("nan")},
        {"gen_ai.response.time_to_first_chunk": -1.0},
    ],
    ids=["model", "limit", "reason", "fewer bytes", "more bytes", "no number", "no duration"],
)
def test_a_span_built_otherwise_or_with_a_value_that_is_wrong_is_left_alone(other: dict[str, object]) -> None:
    assert learned(span(CALL)).read(span(CALL | other)) is None


@pytest.mark.parametrize("changed", [{"trace_id": bytes(16)}, {"span_id": bytes(8)}, {"name": "chat m-LARGE"}],
                         ids=["trace", "span", "name"])  # fmt: skip
def test_ids_of_zeros_and_another_name_are_left_alone(changed: dict[str, object]) -> None:
    assert learned(span(CALL)).read(span(CALL, **changed)) is None


def test_text_that_is_no_utf8_and_integers_that_do_not_end_are_left_alone() -> None:
    raw = span(CALL)
    broken = (
        raw.replace(b"chatcmpl-0001", b"chatcmpl-\xff001"),
        raw.replace(b"\x18\xb0\x09", b"\x18\xb0\x89"),
        raw.replace(b"\x18\x4d", b"\x18\x8d"),
        raw.replace(b"\x18\xf0\xa2\x04", b"\x18\xf0\x22\x04"),
    )
    found = learned(raw)

    assert found.read(raw) is not None
    assert [found.read(one) for one in broken if one != raw] == [None] * 4


@pytest.mark.parametrize(
    "more",
    [
        {"gen_ai.input.messages": "[]"},
        {"gen_ai.prompt.0.content": "hello"},
        {"gen_ai.usage.prompt_tokens": 1201},
        {"gen_ai.evaluation.name": "relevance"},
        {"llm.invocation_parameters": "{}"},
    ],
    ids=["text", "numbered text", "the same field twice", "a judgement", "fields in a field"],
)
def test_spans_that_hold_more_than_leaves_are_not_learned_from(more: dict[str, object]) -> None:
    raw = span(CALL | more)

    assert learned(raw).read(raw) is None


def test_spans_with_events_or_of_great_length_are_not_learned_from() -> None:
    eventful = (
        span(
            CALL,
        )
        + Span(events=[Span.Event(name="exception", time_unix_nano=1)]).SerializeToString()
    )
    long = span(CALL | {"deployment.cell": "x" * layouts.MAX_SPAN_BYTES})

    found = learned(eventful, long)

    assert found.read(eventful) is None
    assert found.read(long) is None


def _attribute(*parts: bytes) -> bytes:
    """Of a span, from the parts of a KeyValue."""
    raw = b"".join(parts)
    return b"\x4a" + bytes([len(raw)]) + raw


ID = b"\x0a\x12gen_ai.response.id"


@pytest.mark.parametrize(
    "attribute",
    [
        _attribute(b"\x12\x06\x0a\x04abcd", ID),
        _attribute(ID, b"\x12\x06\x0a\x04abcd", b"\x18\x01"),
        _attribute(ID, b"\x12\x06\x0a\x04abcd", b"\x1a\x04abcd"),
        _attribute(ID, b"\x1a\x06\x0a\x04abcd"),
        _attribute(b"\x1a" + ID[1:], b"\x12\x06\x0a\x04abcd"),
        _attribute(ID, b"\x12\x08\x0a\x04abcd\x18\x07"),
        _attribute(ID, b"\x12\x0b\x21\x00\x00\x00\x00\x00\x00\xf0\x3f\x18\x07"),
        _attribute(ID, b"\x12\x09\x3a\x07abcdefg"),
        _attribute(ID, b"\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    ],
    ids=[
        "value first",
        "and a number",
        "and a text",
        "no value",
        "no key",
        "two values",
        "two numbers",
        "bytes",
        "negative",
    ],
)
def test_an_attribute_written_in_an_unusual_way_is_left_to_the_general_decoder(attribute: bytes) -> None:
    raw = span({"gen_ai.request.model": "m"}) + attribute

    assert learned(raw).read(raw) is None


@pytest.mark.parametrize(
    "changed",
    [{"parent_span_id": b"1234567"}, {"start_time_unix_nano": 0}, {"end_time_unix_nano": 0}],
    ids=["a short parent", "no start", "no end"],
)
def test_a_span_with_unusual_ids_or_times_is_left_to_the_general_decoder(changed: dict[str, object]) -> None:
    raw = span(CALL, **changed)

    assert learned(raw).read(raw) is None


def test_a_time_written_as_another_type_is_none() -> None:
    raw = span(CALL, start_time_unix_nano=0) + b"\x38\xff\xff\xff\xff\xff\xff\xff\x01"

    assert generally(raw, Attributes()).start_ns == 0
    assert learned(raw).read(raw) is None


def test_a_span_without_a_parent_is_read_by_its_layout() -> None:
    raw = span(CALL, parent_span_id=b"")

    assert learned(span(CALL, parent_span_id=b"")).read(raw) == generally(raw, Attributes())


def test_a_group_which_nobody_writes_any_more_is_left_to_the_general_decoder() -> None:
    raw = span(CALL) + b"\xa3\x01\x08\x01\xa4\x01"

    assert generally(raw, Attributes()).name
    assert learned(raw).read(raw) is None


def test_a_name_that_says_that_there_is_none_is_left_to_the_general_decoder() -> None:
    found = learned(span(CALL | {"gen_ai.response.id": "abcd"}))

    assert found.read(span(CALL | {"gen_ai.response.id": "dcba"})) is not None
    assert found.read(span(CALL | {"gen_ai.response.id": "null"})) is None


def test_an_engines_whole_milliseconds_become_seconds() -> None:
    raw = span(CALL | {"ttft_ms": 250})
    seen = learned(span(CALL | {"ttft_ms": 300})).read(raw)

    assert seen == generally(raw, Attributes())
    assert seen.found["dynamo_first_token"] == 0.25


@pytest.mark.parametrize("name", ["gen_ai.latency.e2e", "gen_ai.response.time_to_first_chunk"])
def test_a_span_that_says_that_a_value_is_not_given_is_not_learned_from(name: str) -> None:
    """It lacks what the name alone tells of spans that give one: that they are an engine's."""
    raw = span(CALL | {name: "null"})

    assert learned(raw).read(span(CALL | {name: "0.25"})) is None


@pytest.mark.parametrize(
    "raw",
    [
        span(CALL | {"gen_ai.tool.definitions": "a secret"}),
        span(CALL | {"deployment.cell": "a secret"}),
        span(CALL, trace_state="a=a secret"),
        span(CALL) + Span(status=Status(code=Status.STATUS_CODE_ERROR, message="a secret")).SerializeToString(),
        span(CALL) + b"\x52\x08a secret",
    ],
    ids=["tools offered", "an attribute nobody reads", "trace state", "why it failed", "a number written as text"],
)
def test_nothing_is_kept_of_what_was_said(raw: bytes) -> None:
    found = learned(raw)

    kept = [layout.known for alike in found._by_size.values() for layout in alike.layouts]

    assert "secret" not in str(kept)


def test_a_field_written_twice_is_not_learned_from() -> None:
    raw = span(CALL) + Span(start_time_unix_nano=5).SerializeToString()

    assert learned(raw).read(raw) is None


def test_links_and_trace_state_differ_and_are_not_read() -> None:
    def linked(state: str) -> bytes:
        link = Span.Link(trace_id=CHANCE.randbytes(16), span_id=CHANCE.randbytes(8))
        return span(CALL, trace_state=state) + Span(links=[link]).SerializeToString()

    raw = linked("vendor=1")

    assert learned(linked("vendor=0")).read(raw) == generally(raw, Attributes())


def test_a_status_is_read_with_the_rest() -> None:
    def failed() -> bytes:
        return span(CALL) + Span(status=Status(code=Status.STATUS_CODE_ERROR)).SerializeToString()

    raw = failed()
    seen = learned(failed()).read(raw)

    assert seen == generally(raw, Attributes())
    assert seen.status == 2


@pytest.mark.parametrize("attribute", ["deployment.cell", "gen_ai.response.id"])
def test_a_tenant_is_its_own_spans(attribute: str) -> None:
    raw, other = span(CALL), span(CALL | {"deployment.cell": "b8", "gen_ai.response.id": "chatcmpl-0002"})
    found = learned(raw, other, tenant=attribute)
    third = span(CALL | {"deployment.cell": "c9", "gen_ai.response.id": "chatcmpl-0003"})

    for one in (raw, other, third):
        seen = found.read(one)
        assert seen is None or seen.found[TENANT] == generally(one, Attributes(attribute)).found[TENANT]


def test_what_one_span_said_never_reaches_another() -> None:
    raw, other = span(CALL), span(CALL | {"gen_ai.response.id": "chatcmpl-abcd"})
    found = learned(raw)
    first = found.read(raw)
    assert first is not None
    first.found["gen_ai.extra"] = first.found["response_id"] = "changed"

    assert found.read(other) == generally(other, Attributes())


def test_of_one_length_the_layouts_that_read_the_least_are_forgotten_the_oldest_first() -> None:
    first, *others, last = _places(layouts.MAX_ALIKE + 1)
    found = learned(first, *others)
    found.read(first)
    found.learn(last, generally(last, Attributes()))

    kept = [found.read(raw) is not None for raw in (first, *others, last)]

    assert kept == [True, False] + [True] * (layouts.MAX_ALIKE - 1)


def _models(many: int) -> list[bytes]:
    """Spans of one layout, no two alike."""
    return [span(CALL | {"gen_ai.request.model": f"m-{number:06}"}) for number in range(many)]


def test_when_the_room_is_full_all_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    raws = _models(4)
    monkeypatch.setattr(layouts, "MAX_BYTES", learned(*raws[:3])._held_bytes)
    found = learned(*raws)

    assert [found.read(raw) is not None for raw in raws] == [False, False, False, True]


@pytest.mark.parametrize("attributes", [1, 160])
def test_no_more_memory_is_held_than_is_counted(attributes: int) -> None:
    known = Attributes()
    seen = []
    for number in range(64):
        raw = span({f"{at}": "" for at in range(attributes)}, name="\U0001f600" + "x" * number)
        seen.append((raw, generally(raw, known)))
    found = Layouts(known)
    tracemalloc.start()
    for raw, one in seen:
        found.learn(raw, one)
    taken = tracemalloc.take_snapshot()
    tracemalloc.stop()
    # other threads of the tests' process take theirs elsewhere
    ours = taken.filter_traces([tracemalloc.Filter(True, part) for part in ("*/collector/otlp/*", "<string>")])
    held = sum(trace.size for trace in ours.traces)

    assert all(found.read(raw) is not None for raw, _ in seen)
    assert held < found._held_bytes


def _places(many: int) -> list[bytes]:
    """
    Spans with an attribute that nobody reads, whose name grows as its value shrinks: alike in length, never in places.
    """
    return [span(CALL | {"x" * size: "y" * (20 - size)}) for size in range(1, many + 1)]


def test_layouts_of_one_length_that_read_nothing_are_forgotten_but_for_one() -> None:
    """Else each span of their length would be tried with all of them."""
    raws = _places(layouts.MAX_ALIKE)
    found = learned(*raws)
    stranger = span(CALL | {"gen_ai.request.model": "m-giant", "x" * 20: ""})
    assert len(stranger) == len(raws[0])

    for _ in range(layouts.MAX_ALIKE * layouts.MAX_IN_VAIN):
        found.read(stranger)

    assert [found.read(raw) is not None for raw in raws] == [False] * (layouts.MAX_ALIKE - 1) + [True]


def test_layouts_of_one_length_that_read_most_of_its_spans_stay() -> None:
    raws = _places(layouts.MAX_ALIKE)
    found = learned(*raws)
    stranger = span(CALL | {"gen_ai.request.model": "m-giant", "x" * 20: ""})

    for _ in range(layouts.MAX_IN_VAIN):
        assert [found.read(raw) is not None for raw in (*raws, stranger)] == [True] * len(raws) + [False]


def test_a_layout_whose_spans_are_left_to_the_general_decoder_is_forgotten() -> None:
    found = learned(span(CALL | {"gen_ai.response.id": "abcd"}))
    for _ in range(layouts.MAX_IN_VAIN):
        found.read(span(CALL | {"gen_ai.response.id": "null"}))

    assert found.read(span(CALL | {"gen_ai.response.id": "abcd"})) is None
    assert found._held_bytes == 0


def test_where_nothing_repeats_one_span_in_so_many_is_learned_from() -> None:
    many = layouts.LEARNING_EVERY * 100
    raws = [span(CALL | {"gen_ai.request.model": f"m-{number:06}"}) for number in range(many)]
    found = learned(*raws)

    known = sum(found.read(raw) is not None for raw in raws)

    assert many / layouts.LEARNING_EVERY <= known <= many / layouts.LEARNING_EVERY + layouts._LEARNED_AT_ONCE


NAMES = st.sampled_from(sorted(fields.slots())) | st.sampled_from(["x", "gen_ai.prompt.0.content", "llm.prompts"])
PLAIN = (
    st.booleans()
    | st.integers(-1, 200)
    | st.integers(0, 3_000_000)
    | st.floats()
    | st.floats(0, 100)
    | st.text(max_size=12)
    | st.sampled_from(["chat", "n/a", "12", '"quoted"', "stop", "2026-11-21T10:00:00Z"])
)
CALLS = st.dictionaries(NAMES, PLAIN | st.lists(PLAIN, max_size=2), max_size=6)


@settings(deadline=None, max_examples=400)
@given(
    calls=st.lists(CALLS, min_size=1, max_size=3),
    changes=st.lists(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3), max_size=30),
)
def test_whatever_bytes_come_a_layout_reads_what_the_general_decoder_reads(
    calls: list[dict[str, object]], changes: list[list[tuple[int, int]]]
) -> None:
    attributes = Attributes()
    found = Layouts(attributes)
    raws = [span(call) for call in calls]
    for raw in raws:
        seen = generally(raw, attributes)
        if not attributes.invalid:
            found.learn(raw, seen)
        attributes.invalid.clear()
    for number, change in enumerate([[], *changes]):
        altered = bytearray(raws[number % len(raws)])
        for at, byte in change:
            altered[at % len(altered)] = byte
        seen_alike = found.read(bytes(altered))
        if seen_alike is not None:
            assert seen_alike == _same(bytes(altered))


def _same(raw: bytes) -> Observed | str:
    """As a decoder sees it that knows nothing yet; a word where it refuses or counts something."""
    attributes = Attributes()
    try:
        seen = generally(raw, attributes)
    except refusals.Rejected as why:
        return why.reason
    return "invalid" if attributes.invalid else seen
