"""What travels is read back, or refused with a reason and without a word of it."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.core import wire
from watchkeeper.core.records import Finding, Severity
from watchkeeper.core.wire import FindingRecord, MarkRecord, StateRecord, StreamCounts, TickRecord, Unreadable

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
REASONS = {"not_encoded", "newer_version", "older_version", "other_kind", "out_of_range", "too_large"}
NAMES = st.text(max_size=20)
COUNTS = st.dictionaries(st.integers(0, 4095), st.integers(0, 2**40), max_size=8)
STREAMS = st.builds(StreamCounts, NAMES, st.text("0123456789abcdef", max_size=16), COUNTS)
TICKS = st.builds(
    TickRecord, NAMES, NAMES, NAMES, st.floats(0, 2**40), st.lists(STREAMS, max_size=4).map(tuple)
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(TICKS, st.sampled_from(["msgpack", "json"]))
def test_a_record_is_read_back_from_either_encoding(record: TickRecord, form: wire.Format) -> None:
    assert wire.decode(wire.encode(record, form)) == record


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), TICKS, st.integers(0, 10_000))
def test_whatever_comes_is_a_record_or_refused_for_a_known_reason(noise: bytes, record: TickRecord, place: int) -> None:
    whole = wire.encode(record)
    at = place % (len(whole) + 1)
    for message in (noise, whole[:at] + noise, whole[:at] + noise + whole[at:], b"{" + noise):
        try:
            wire.decode(message)
        except Unreadable as error:
            assert str(error) in REASONS  # noqa: PT017 - the reason is all that it says


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "not_encoded"),
        (b"[" * 100_000, "not_encoded"),
        (msgspec.msgpack.encode({"kind": "ticks", "version": 2, "anything": 1}), "newer_version"),
        (wire.encode(TickRecord("s", "r", "1", 0.0, version=2)), "newer_version"),
        (wire.encode(TickRecord("s", "r", "1", 0.0, version=0)), "older_version"),
        (b'{"kind":"gossip","version":1}', "other_kind"),
        (wire.encode(TickRecord("s", "r", "1", 0.0, (StreamCounts("x", "a", {9999: 1}),))), "out_of_range"),
        (wire.encode(TickRecord("s", "r", "1", 0.0, (StreamCounts("x", "a", {0: -1}),))), "out_of_range"),
        (b" " * (wire.MOST_BYTES + 1), "too_large"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(message: bytes | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        wire.decode(message)


def test_a_field_that_is_not_known_yet_is_left_out() -> None:
    record = TickRecord("s", "r", "1", 10.0)
    more = json.loads(wire.encode(record, "json")) | {"weather": "fine"}

    assert wire.decode(json.dumps(more).encode()) == record


def test_the_examples_of_the_page_are_read() -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ticks, finding = (wire.decode(" ".join(block.split()).encode()) for block in blocks)

    assert isinstance(ticks, TickRecord)
    assert ticks.streams[0] == StreamCounts("input_tokens", "fbacdb17f53b899e", {3: 2, 17: 1})
    assert isinstance(finding, FindingRecord)
    assert finding.finding.severity is Severity.WARNING


def test_states_and_findings_are_read_back() -> None:
    finding = Finding(at=1.0, since=0.5, severity=Severity.INFO, subject="x", summary="y", labels=(("a", "b"),))
    for record in (StateRecord("s", 5, b"\x00\xff", 1), MarkRecord(7, {"s": 5}, 1), FindingRecord("r", finding)):
        assert wire.decode(wire.encode(record)) == record


def test_the_page_names_every_reason_and_kind() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert {reason for reason in REASONS if f"`{reason}`" not in text} == set()
    assert all(f"`{kind}`" in text for kind in ("ticks", "finding", "state", "mark"))
