"""Single values: every word seen, and what senders get wrong."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.otlp import outcomes, values
from collector.otlp.values import INVALID
from watchkeeper.core.records import Outcome

KINDS: dict[Any, type] = {
    values.text: str, values.tokens: int, values.positive_tokens: int, values.number: float, values.seconds: float,
    values.milliseconds: float, values.rust_duration: float, values.flag: bool, values.port: str, values.moment: int,
    values.json_object: dict, values.finish_reasons: tuple, values.error_type: str, values.provider: str,
}  # fmt: skip
WORDS = (
    "2026-11-22T10:00:00Z", "2026-11-22", "inf", "1e999", "nan", "12", "0.5", "45ms", '["stop"]', '{"a": 1}', "true",
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.just(10**400),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (1200, 1200), ("1200", 1200), (" 12 ", 12), (12.0, 12), (0, 0), (True, INVALID), (-1, INVALID),
        (1_000_000_001, INVALID), (1.5, INVALID), (math.nan, INVALID), ("Infinity", INVALID), ("NaN", INVALID),
        ("many", INVALID), ([], INVALID), ({}, INVALID), ("None", None), ("null", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_tokens_are_counts_whatever_type_they_come_in(sent: object, canonical: object) -> None:
    assert canonical == values.tokens(sent)


@pytest.mark.parametrize(("sent", "canonical"), [(0, None), (-1, None), ("-1", None), (5, 5), (-7, INVALID)])
def test_a_limit_of_nothing_means_that_none_was_set(sent: object, canonical: object) -> None:
    assert canonical == values.positive_tokens(sent)


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        (0.25, 0.25), (1, 1.0), ("0.25", 0.25), (-0.1, INVALID), (math.inf, INVALID), ("Infinity", INVALID),
        (86_401, INVALID), (True, INVALID), ("None", None),
    ],
)  # fmt: skip
def test_seconds_are_finite_and_less_than_a_day(sent: object, canonical: object) -> None:
    assert canonical == values.seconds(sent)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [("1.234567ms", 0.001234567), ("56.7µs", 5.67e-05), ("45ns", 4.5e-08), ("2s", 2.0), ("1.5s", 1.5), ("3us", 3e-06)],
)
def test_rust_durations_become_seconds(sent: str, seconds: float) -> None:
    assert seconds == pytest.approx(values.rust_duration(sent))


@pytest.mark.parametrize("sent", ["", "1.5", "s", "-1s", "1m30s", "NaNs", "1e9s", 1.5, None])
def test_what_is_no_rust_duration_is_invalid(sent: object) -> None:
    assert values.rust_duration(sent) is INVALID


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("stop", "stop"), ("end_turn", "stop"), ("stop_sequence", "stop"), ("STOP", "stop"), ("length", "length"),
        ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"),
        ("content_filter", "content_filter"), ("tool_call", "tool_call"), ("tool_calls", "tool_call"),
        ("function_call", "tool_call"), ("tool_use", "tool_call"), ("tool-calls", "tool_call"), ("abort", "abort"),
        ("error", "error"), ("repetition", "repetition"), ("compaction", "compaction"),
        ("FinishReason.STOP", "stop"), ('"stop"', "stop"), ("whatever", "other"),
    ],
)  # fmt: skip
def test_finish_reasons_seen_become_canonical(sent: str, canonical: str) -> None:
    assert values.finish_reasons([sent]) == (canonical,)
    assert values.finish_reasons(sent) == (canonical,)


@pytest.mark.parametrize("sent", [[], "[]", "", "None", ["None"], ["", "null"], [None]])
def test_no_finish_reason_is_none(sent: object) -> None:
    assert values.finish_reasons(sent) is None


def test_a_json_array_in_a_string_is_an_array() -> None:
    assert values.finish_reasons('["stop", "length"]') == ("stop", "length")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("429", Outcome.REJECTED), ("503", Outcome.REJECTED), ("RateLimitError", Outcome.REJECTED),
        ("rate_limit_exceeded", Outcome.REJECTED), ("overloaded_error", Outcome.REJECTED),
        ("ThrottlingException", Outcome.REJECTED),
        ("timeout", Outcome.TIMEOUT), ("APITimeoutError", Outcome.TIMEOUT), ("504", Outcome.TIMEOUT),
        ("CancelledError", Outcome.CANCELLED), ("AbortError", Outcome.CANCELLED), ("499", Outcome.CANCELLED),
        ("400", Outcome.CLIENT_ERROR), ("404", Outcome.CLIENT_ERROR), ("BadRequestError", Outcome.CLIENT_ERROR),
        ("AuthenticationError", Outcome.CLIENT_ERROR), ("NotFoundError", Outcome.CLIENT_ERROR),
        ("PermissionDeniedError", Outcome.CLIENT_ERROR),
        ("500", Outcome.ERROR), ("4291", Outcome.ERROR), ("InternalServerError", Outcome.ERROR),
        ("_OTHER", Outcome.ERROR),
    ],
)  # fmt: skip
def test_an_error_tells_how_the_call_ended(error: str, outcome: Outcome) -> None:
    assert outcome is outcomes.of_error(error)


def test_one_failure_has_one_name_with_and_without_its_module() -> None:
    assert values.error_type("openai.RateLimitError") == values.error_type("RateLimitError") == "RateLimitError"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:18080/v1/", ("127.0.0.1", "18080")),
        ("https://api.openai.com/v1", ("api.openai.com", "443")),
        ("http://[::1]:8000", ("::1", "8000")),
        ("http://host:port/", ("", "")),
        ("unix:///run/x", ("", "")),
    ],
)
def test_a_url_is_host_and_port(url: str, address: tuple[str, str]) -> None:
    assert address == values.address(url)


@pytest.mark.parametrize("parse", KINDS, ids=lambda parse: parse.__name__)
@settings(deadline=None, max_examples=100)
@given(sent=ANYTHING | st.sampled_from(WORDS))
def test_any_value_is_a_finite_one_of_its_kind_or_none_or_invalid(parse: Any, sent: object) -> None:
    parsed = parse(sent)

    assert parsed is None or parsed is INVALID or type(parsed) is KINDS[parse]
    assert not isinstance(parsed, float) or math.isfinite(parsed)


@pytest.mark.parametrize("parse", [values.number, values.seconds, values.milliseconds, values.port, values.tokens])
def test_an_integer_too_long_for_a_float_is_invalid(parse: Any) -> None:
    assert parse(10**400) is INVALID
