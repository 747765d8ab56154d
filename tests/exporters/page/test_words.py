import re
import string
from collections.abc import Mapping
from enum import Enum

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector._pages.fault import Fault
from collector.otlp.answers import OF_A_SIGNAL, OF_NO_SIGNAL
from collector.otlp.refusals import REJECTED_REASONS
from exporters.page.served import LANGUAGES
from exporters.page.status import State, Why
from exporters.page.tally import Origin
from exporters.page.words import Words, preferred
from exporters.prometheus.page import SERIES_LIMIT
from watchkeeper.core.records import Outcome, Severity

FIELDS = [field.name for field in msgspec.structs.fields(Words)]
TABLES: Mapping[str, type[Enum]] = {
    "states": State, "remarks": Why, "origins": Origin, "origins_short": Origin,
    "outcomes": Outcome, "severities": Severity,
}  # fmt: skip


def sentences(words: Words) -> dict[str, str]:
    """Every sentence by a name that says where it stands."""
    found: dict[str, str] = {}
    for field in FIELDS:
        value = getattr(words, field)
        if isinstance(value, Mapping):
            found |= {f"{field}.{key}": text for key, text in value.items()}
        elif isinstance(value, tuple):
            found |= {f"{field}.{index}": text for index, text in enumerate(value)}
        else:
            found[field] = value
    return found


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_every_language_has_every_sentence(words: Words) -> None:
    assert sentences(words).keys() == sentences(LANGUAGES["en"]).keys()
    assert all(sentences(words).values())
    for field, members in TABLES.items():
        assert getattr(words, field).keys() == set(members), field
    assert words.units.keys() == {"second", "minute", "hour", "day"}


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_every_language_has_the_same_places_for_values(words: Words) -> None:
    english = sentences(LANGUAGES["en"])

    assert {name: places(text) for name, text in sentences(words).items()} == {
        name: places(text) for name, text in english.items()
    }


def test_the_chinese_page_is_chinese() -> None:
    chinese = sentences(LANGUAGES["zh"])
    same_everywhere = {"tag", "other_tag", "other_name", "median", "p95", "remarks.finding", "reasons_of", "because"}

    assert [n for n, text in chinese.items() if n not in same_everywhere and not re.search("[一-鿿、]", text)] == []


def test_the_chinese_page_leaves_no_english_word_but_names() -> None:
    names = {"token", "Token", "watchkeeper", "OpenTelemetry", "OTLP", "HTTP", "HTML", "JSON", "UTF", "temporality"}
    left_as_they_are = {"tag", "other_tag", "other_name"}
    bare = {
        name: re.sub(r"`.*?`|\{\w+\}", "", text)
        for name, text in sentences(LANGUAGES["zh"]).items()
        if name not in left_as_they_are
    }

    assert {n: text for n, text in bare.items() if set(re.findall("[A-Za-z]{3,}", text)) - names} == {}
    assert LANGUAGES["zh"].output_tokens == "输出 token"


@pytest.mark.parametrize("words", LANGUAGES.values(), ids=LANGUAGES.keys())
def test_every_reason_of_our_own_parts_is_said_in_words(words: Words) -> None:
    refusals = {refusal.reason for refusal in (*OF_A_SIGNAL, *OF_NO_SIGNAL)}
    reasons = {*Fault, *refusals, *REJECTED_REASONS, SERIES_LIMIT, "findings_refused", "retryable", "unavailable"}

    assert reasons - words.reasons.keys() == set()
    assert words.reason("OSError") == "OSError"


@pytest.mark.parametrize(
    ("wanted", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "zh", "zh"),
        (None, "fr, de;q=0.9", "en"),
        (None, "en;q=0.5, zh-Hans;q=0.7", "zh"),
        (None, "zh;q=0, en;q=0.1", "en"),
        ("zh", "en", "zh"),
        ("zh-TW", "en", "zh"),
        ("en", "zh", "en"),
        ("xx", "zh", "zh"),
        ("", "zh", "zh"),
    ],
)
def test_the_address_beats_the_header_beats_english(wanted: str | None, accepted: str, language: str) -> None:
    assert preferred(wanted, accepted, ("en", "zh")) == language


@given(st.text(), st.text())
def test_any_header_gets_a_language(wanted: str, accepted: str) -> None:
    assert preferred(wanted, accepted, ("en", "zh")) in ("en", "zh")


def test_ages_are_said_in_words() -> None:
    assert [words.ago_of(7_500) for words in LANGUAGES.values()] == ["2 h 5 min ago", "2 小时 5 分钟前"]


def test_a_long_list_of_names_is_cut_and_says_so() -> None:
    assert LANGUAGES["en"].listed(("a", "b", "c", "d", "e")) == "a, b, c and 2 more"
    assert LANGUAGES["zh"].listed(("a", "b")) == "a、b"
