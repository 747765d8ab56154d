import json
from pathlib import Path
from typing import Any

import pytest

from watchkeeper.agent.replay.otlp_files import OtlpCalls, is_otlp
from watchkeeper.core.testkit import recorded

DAY_NS = 86_400 * 10**9
BODIES = sorted(recorded().glob("otlp/captured/*/traces.*"))


def request(*ends_ns: int) -> dict[str, Any]:
    spans = [
        {
            "traceId": f"{place + 1:032x}",
            "spanId": f"{place + 1:016x}",
            "name": "chat",
            "kind": 3,
            "startTimeUnixNano": str(end - 10**9),
            "endTimeUnixNano": str(end),
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "gen_ai.request.model", "value": {"stringValue": f"model-{place}"}},
            ],
        }
        for place, end in enumerate(ends_ns)
    ]
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]}


def test_calls_of_one_document_that_spans_days_keep_their_times(tmp_path: Path) -> None:
    path = tmp_path / "spans.json"
    start = 1_700_000_000 * 10**9
    path.write_text(json.dumps(request(start + DAY_NS, start, start + 3 * DAY_NS), indent=1))
    calls = list(OtlpCalls(path).read())

    assert [(call.at, call.request_model) for call in calls] == [
        (1_700_000_000.0, "model-1"), (1_700_086_400.0, "model-0"), (1_700_259_200.0, "model-2"),
    ]  # fmt: skip


def test_a_request_a_line_is_read_and_lines_that_are_none_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    start = 1_700_000_000 * 10**9
    path.write_text(json.dumps(request(start)) + "\nnonsense\n" + json.dumps(request(start + 5 * 10**9, start)) + "\n")
    calls = OtlpCalls(path)

    assert is_otlp(path)
    assert [call.request_model for call in calls.read()] == ["model-0", "model-1"]  # one was told twice
    assert calls.unread == {"whole requests": 1}


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_recorded_bodies_give_their_calls_at_their_own_times(path: Path) -> None:
    calls = list(OtlpCalls(path).read())

    assert len(calls) >= 4
    assert all(call.at > 1.6e9 for call in calls)
    assert len({call.at for call in calls}) == len(calls)


def test_json_too_deep_to_be_a_request_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "deep.jsonl"
    path.write_text('{"resourceSpans":' + "[" * 100_000 + "\n")
    calls = OtlpCalls(path)

    assert list(calls.read()) == []
    assert calls.unread == {"whole requests": 1}
