import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.checks.empty import Empty, EmptyConfig
from watchkeeper.agent.replay.calls import Calls, changed
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Outcome


def read(path: Path, **paths: str) -> list[Completion]:
    return list(Calls(path, paths, "replayed", 2.0).read())


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_csv_of_token_counts_is_read_by_its_usual_names(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,374,44\n"))
    [call] = read(path)

    assert (call.at, call.input_tokens, call.output_tokens) == (1700158546.5, 374, 44)
    assert (call.service, call.outcome, call.text) == ("replayed", Outcome.OK, None)


def test_requests_and_answers_of_a_log_are_read_with_their_text(tmp_path: Path) -> None:
    record = {
        "timestamp": 1700158546500, "model": "qwen", "service": "chat", "latency_ms": 1500, "finish_reason": "length",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": [{"text": "why?"}]}],
        "response": "because", "usage": {"prompt_tokens": 7, "completion_tokens": 2}, "error": None,
    }  # fmt: skip
    [call] = read(lines(tmp_path / "log.jsonl", record))

    assert (call.at, call.duration_seconds, call.finish_reasons) == (1700158546.5, 1.5, ("length",))
    assert (call.service, call.request_model, call.input_tokens, call.output_tokens) == ("chat", "qwen", 7, 2)
    assert call.text is not None
    assert (call.text.prompt, call.text.answer) == ("be brief\nwhy?", "because")


def test_a_field_is_read_where_it_is_said_to_be(tmp_path: Path) -> None:
    path = lines(tmp_path / "log.jsonl", {"when": "2023-11-16T18:15:46Z", "meta": {"in": 5}, "failed": "overloaded"})
    [call] = read(path, time="when", input_tokens="meta.in", error_type="failed")

    assert (call.at, call.input_tokens) == (1700158546.0, 5)
    assert (call.outcome, call.error_type) == (Outcome.ERROR, "overloaded")


def test_without_times_calls_come_at_an_even_rate(tmp_path: Path) -> None:
    calls = read(lines(tmp_path / "log.jsonl", *({"input_tokens": 1} for _ in range(3))))

    assert [call.at - calls[0].at for call in calls] == [0.0, 0.5, 1.0]


def test_what_cannot_be_read_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"at":1,"input_tokens":5}\nnonsense\n{"at":2,"input_tokens":-3}\n{"at":"soon","input_tokens":4}\n[]\n'
    )
    calls = Calls(path, {}, "replayed", 1.0)

    assert [call.input_tokens for call in calls.read()] == [5, None]
    assert calls.unread == {"whole lines": 2, "input_tokens": 1, "time": 1}


def test_a_file_without_any_field_of_a_call_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"colour, size.*--field"):
        read(lines(tmp_path / "other.jsonl", {"colour": "red", "size": 3}))


def test_what_if_multiplies_numbers_and_leaves_the_rest() -> None:
    call = Completion(1.0, input_tokens=5, output_tokens=3, duration_seconds=2.0)
    more = changed({"input_tokens": 1.5, "duration_seconds": 2.0})(call)

    assert (more.input_tokens, more.output_tokens, more.duration_seconds) == (8, 3, 4.0)
    with pytest.raises(ConfigError, match="prompt_size"):
        changed({"prompt_size": 2.0})


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["at", "input_tokens", "messages", "answer", "model", "finish_reason", "error", "usage"])


@settings(deadline=None, max_examples=150)
@given(records=st.lists(st.dictionaries(NAMES, JSON, max_size=6), min_size=1, max_size=4))
def test_any_json_gives_calls_or_says_why_not(records: list[dict[str, Any]], tmp_path_factory: Any) -> None:
    path = lines(tmp_path_factory.mktemp("any") / "log.jsonl", *records)
    calls = Calls(path, {}, "replayed", 1.0)
    with suppress(ConfigError):
        read = list(calls.read())
        assert len(read) + calls.unread["whole lines"] + calls.unread["time"] == len(records)
        assert all(call.input_tokens is None or call.input_tokens >= 0 for call in read)


def test_a_field_that_the_first_record_has_not_is_found_in_a_later_one(tmp_path: Path) -> None:
    calls = read(
        lines(
            tmp_path / "log.jsonl",
            {"time": 1.0, "input_tokens": 5, "error": None, "usage": {"completion_tokens": None}},
            {"time": 2.0, "input_tokens": 6, "error": "timeout", "usage": {"completion_tokens": 7}},
            {"time": 3.0, "input_tokens": 6, "finish_reason": "length"},
        )
    )

    assert [call.outcome for call in calls] == [Outcome.OK, Outcome.ERROR, Outcome.OK]
    assert [call.output_tokens for call in calls] == [None, 7, None]
    assert calls[2].finish_reasons == ("length",)


@pytest.mark.parametrize("said", [False, 0, "0", "false", "None", "null", "ok", "", {}, []])
def test_an_error_that_says_there_was_none_is_none(said: Any, tmp_path: Path) -> None:
    [call] = read(lines(tmp_path / "log.jsonl", {"input_tokens": 5, "error": said}))

    assert (call.outcome, call.error_type) == (Outcome.OK, "")


@pytest.mark.parametrize(
    ("said", "kind"),
    [(True, "error"), (1, "error"), ({"message": "too many", "type": "rate_limit"}, "rate_limit"), ({"m": 1}, "error")],
)
def test_an_error_is_one_in_whatever_form_it_is_told(said: Any, kind: str, tmp_path: Path) -> None:
    [call] = read(lines(tmp_path / "log.jsonl", {"input_tokens": 5, "error": said}))

    assert (call.outcome, call.error_type) == (Outcome.ERROR, kind)


def test_answers_of_a_list_of_choices_are_read(tmp_path: Path) -> None:
    record = {"choices": [{"message": {"content": "because"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    [call] = read(lines(tmp_path / "log.jsonl", record))

    assert call.text is not None
    assert (call.text.answer, call.finish_reasons, call.input_tokens) == ("because", ("stop",), 3)


def test_a_document_that_is_a_list_of_calls_is_read(tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(json.dumps([{"instruction": "why?", "output": "because", "generator": "qwen"}, 5], indent=2))
    [call] = read(path)

    assert call.text is not None
    assert (call.text.answer, call.request_model) == ("because", "qwen")


def test_long_texts_and_other_separators_of_csv_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"time;input_tokens;prompt\n1;5;{'x' * 300_000}\n2;6;a, b\n")
    calls = read(path)

    assert [call.input_tokens for call in calls] == [5, 6]
    assert [len(call.text.prompt) for call in calls if call.text] == [300_000, 4]


def test_json_too_deep_to_be_a_call_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("[" * 100_000 + '\n{"input_tokens": 5}\n')
    calls = Calls(path, {}, "replayed", 1.0)

    assert [call.input_tokens for call in calls.read()] == [5]
    assert calls.unread == {"whole lines": 1}


@pytest.mark.parametrize(
    ("record", "flags"),
    [
        ({"prompt": "why?", "response": ""}, 1),
        ({"prompt": "why?", "response": "because"}, 0),
        ({"prompt": "why?", "response": None}, None),
        ({"prompt": "why?", "response": "", "tool_calls": [{"name": "look"}]}, None),
    ],
)
def test_an_answer_that_is_told_and_blank_counts_as_empty(
    record: dict[str, Any], flags: int | None, tmp_path: Path
) -> None:
    """`flags`: None where nothing can be said."""
    [call] = read(lines(tmp_path / "log.jsonl", {"prompt": "x", "response": "y"}, record))[1:]
    said = Empty(EmptyConfig(), Ledger()).score(Prepared(call))

    assert [score.value for score in said] == ([] if flags is None else [float(flags)])
