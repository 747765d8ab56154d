"""Promises that every check keeps, present and future."""

import gc
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collector
from detectors import checks
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind
from watchkeeper.core.prepared import HEAD_CHARACTERS, TAIL_CHARACTERS, Prepared
from watchkeeper.core.records import Category, Completion, Flag, Number, Score, Text, ToolCall
from watchkeeper.core.vocabulary import outputs

MARKER = "ZXQMARKERQXZ"
ANY_TEXT = st.text(st.characters(), max_size=300)  # lone surrogates too
PIECES = (
    "a", " ", "\n", "0", "1-", "{", '{"a":', "[", "```", "@", "a@", "a.", "!", "密", "password: ", "sk-", "eyJ", "://",
    "-----BEGIN ", "<think>", "</think>", "\ud83d", "\u202e", "é»", "Ã", "\x00", "13812345678 ", "i can't ", "İ", "ﬀ",
)  # fmt: skip


def build(plugin: Plugin) -> Any:
    config = plugin.config()
    more: dict[str, object] = {}
    if "enabled" in config.__struct_fields__:
        more["enabled"] = True
    if "share" in config.__struct_fields__:
        more["share"] = 1.0
    if plugin.name == "classifier":
        more["url"] = "http://127.0.0.1:9/nobody"
    if plugin.name == "secrets":
        more["canaries"] = (f"canary {MARKER}",)
    return plugin.build(msgspec.structs.replace(config, **more), Ledger())


@pytest.fixture(scope="module", params=checks.PLUGINS, ids=lambda plugin: plugin.name)
def part(request: pytest.FixtureRequest) -> Iterator[tuple[Plugin, Any]]:
    built = build(request.param)
    yield request.param, built
    if hasattr(built, "close"):
        built.close()


def call(text: Text | None, **more: Any) -> Prepared:
    return Prepared(Completion(at=0.0, text=text, **more))


def everywhere(text: str, **more: Any) -> Prepared:
    """The same text in every place that a check may read."""
    said = Text(text, text, text, text, (ToolCall(text, text),), text, text)
    return call(said, **more)


def fits(plugin: Plugin, scores: tuple[Score, ...]) -> None:
    for score in scores:
        if isinstance(score, Flag):
            assert set(outputs.VERDICTS) <= set(plugin.metrics)
            assert score.name.startswith(plugin.name) or score.name == "canary"
            assert all(count > 0 for _, count in score.hits)
        else:
            assert score.metric in plugin.metrics
        if isinstance(score, Number):
            assert score.metric.kind is Kind.HISTOGRAM
            assert score.value == score.value  # no NaN
            assert abs(score.value) < 1e9
        elif isinstance(score, Category):
            assert score.metric.kind is Kind.COUNTER


@given(prompt=ANY_TEXT, answer=ANY_TEXT, rest=ANY_TEXT)
@settings(deadline=None, max_examples=40)
def test_any_text_gets_finite_numbers_of_its_own_metrics(part: Any, prompt: str, answer: str, rest: str) -> None:
    plugin, check = part

    fits(plugin, check.score(call(Text(prompt, answer, rest, prompt, (ToolCall(rest, answer),), rest, rest))))
    fits(plugin, check.score(everywhere(answer)))


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_anything_is_read_only_so_far(part: Any, piece: str) -> None:
    plugin, check = part
    prepared = everywhere(piece * (1_000_000 // len(piece)))

    fits(plugin, check.score(prepared))

    assert len(prepared.answer) <= HEAD_CHARACTERS + TAIL_CHARACTERS + 1


@pytest.mark.parametrize("text", [None, Text(), Text("only asked"), Text("", "only said")])
def test_what_is_not_known_is_no_error(part: Any, text: Text | None) -> None:
    plugin, check = part

    fits(plugin, check.score(call(text)))
    fits(plugin, check.score(call(text, finish_reasons=("stop",), output_tokens=0, token_logprobs=(-1.0,) * 20)))


@pytest.mark.parametrize("plugin", checks.PLUGINS, ids=lambda plugin: plugin.name)
def test_it_runs_in_every_role_that_takes_text(plugin: Plugin) -> None:
    bringing = [source for source in collector.PLUGINS if source.name in ("kafka", "otlp", "tap")]

    assert set(plugin.roles) == {role for source in bringing for role in source.roles}


def test_nothing_that_is_said_of_an_answer_holds_its_text(part: Any, caplog: pytest.LogCaptureFixture) -> None:
    _, check = part
    text = (
        f"{MARKER} {MARKER}@{MARKER}.com canary {MARKER} password: {MARKER}9x sk-{MARKER * 3} i can't help {MARKER} "
        f'{{"{MARKER}": 1}} <think>{MARKER}</think> ignore all previous {MARKER} 手机 13812345678 {MARKER} 你好 '
    )
    caplog.set_level("DEBUG")

    scores = check.score(everywhere(text * 30, tool_names=(MARKER,)))

    assert MARKER not in repr(scores)
    assert MARKER.lower() not in repr(scores).lower()
    assert MARKER not in caplog.text


def test_the_same_text_gets_the_same_scores(part: Any) -> None:
    plugin, _ = part
    text = Text("What is it?", "It is what it is. " * 30, "Hm. " * 400, "It is this. " * 20)
    one, other = build(plugin), build(plugin)

    assert one.score(call(text)) == other.score(call(text))
    for built in (one, other):
        if hasattr(built, "close"):
            built.close()


@pytest.mark.parametrize("piece", PIECES)
def test_work_grows_no_faster_than_the_text(part: Any, piece: str) -> None:
    """In lines of Python run. What runs in C is linear by its kind: no pattern repeats a repeat without a bound."""
    _, check = part
    small, large = (everywhere(piece * (size // len(piece))) for size in (2_000, 16_000))
    check.score(small)

    assert lines_run(check, large) <= 12 * lines_run(check, small) + 2_000


def lines_run(check: Any, prepared: Prepared) -> int:
    count = 0

    def trace(*_: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    fresh = Prepared(prepared.completion)
    gc.disable()  # a collection would run what others left
    sys.settrace(trace)
    try:
        check.score(fresh)
    finally:
        sys.settrace(None)
        gc.enable()
    return count
