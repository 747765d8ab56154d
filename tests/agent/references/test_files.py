import csv
import gzip
import json
import math
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.kinds import Kind
from watchkeeper.agent.references.files import Fields, Table, parse_value
from watchkeeper.core.call_fields import parse_time
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Row, Segment

SEGMENT = Segment("shop", "chat", "qwen")
RECORDS = [
    {"timestamp": "2026-03-01T08:00:00Z", "input_tokens": 12, "refusal": False, "finish_reason": "stop"},
    {"timestamp": "2026-03-01T08:00:01Z", "input_tokens": 700, "refusal": True, "finish_reason": "length"},
]
ROWS = [
    Row(1772352000.0, "shop/chat/qwen", {"input_tokens": 12.0, "refusal": 0.0, "finish_reason": "stop"}),
    Row(1772352001.0, "shop/chat/qwen", {"input_tokens": 700.0, "refusal": 1.0, "finish_reason": "length"}),
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if ending == ".parquet":
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(records), path)
        return path
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        if ending == ".csv":
            writer = csv.DictWriter(file, list(records[0]))
            writer.writeheader()
            writer.writerows(records)
        else:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.parquet"])
def test_the_same_rows_come_out_of_every_form(tmp_path: Path, name: str) -> None:
    table = Table(write(tmp_path / name, RECORDS), Fields(SEGMENT))

    assert list(table.rows()) == ROWS
    assert list(table.remarks()) == []


def test_fields_are_found_by_path_and_a_row_may_tell_its_model(tmp_path: Path) -> None:
    records = [{"when": {"at": 1772352000}, "llm.model": "org/qwen", "usage": {"prompt.tokens": 12}, "input_tokens": 5}]
    paths = {"input_tokens": "usage.prompt.tokens", "model": "llm.model"}

    table = Table(write(tmp_path / "a.jsonl", records), Fields(SEGMENT, "when.at", paths))

    assert list(table.rows()) == [Row(1772352000.0, "shop/chat/org/qwen", {"input_tokens": 12.0})]


def test_numbers_of_calls_are_found_by_the_names_that_logs_give_them(tmp_path: Path) -> None:
    records = [
        {"TIMESTAMP": 1.0, "ContextTokens": 374, "GeneratedTokens": 44, "latency_ms": 1500},
        {"ts": 2.0, "usage": {"prompt_tokens": 12, "completion_tokens": 3}, "ttft": 0.2},
        {"at": 3.0, "input_tokens": 5, "prompt_tokens": 6, "refusal": 1},
    ]
    table = Table(write(tmp_path / "calls.jsonl", records), Fields(SEGMENT))

    assert [row.values for row in table.rows()] == [
        {"input_tokens": 374.0, "output_tokens": 44.0, "duration": 1.5},
        {"input_tokens": 12.0, "output_tokens": 3.0, "time_to_first_token": 0.2},
        {"input_tokens": 5.0, "refusal": 1.0},
    ]


def test_whose_calls_they_are_is_said_to_be_unread_until_it_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"service": "chat", "model": "qwen", "input_tokens": 1}])
    unasked, given, asked = (
        Table(path, Fields(Segment("", "", ""))),
        Table(path, Fields(Segment("", "chat", "qwen"))),
        Table(path, Fields(Segment("", "", "qwen"), paths={"service": "service"})),
    )

    assert [row.segment for table in (unasked, given, asked) for row in table.rows()] == [
        "//",
        "/chat/qwen",
        "/chat/qwen",
    ]
    assert list(unasked.remarks()) == [
        "a.jsonl: whose calls these are is not read from it (service, model)"
        " but with --field service=service --field model=model"
    ]
    assert list(given.remarks()) == list(asked.remarks()) == []


def test_text_is_never_taken(tmp_path: Path) -> None:
    records = [{"prompt": "who am I", "answer": "you", "finish_reason": "I met a person " * 10, "input_tokens": 1}]
    table = Table(write(tmp_path / "a.jsonl", records), Fields(SEGMENT))

    [row] = table.rows()

    assert row.values == {"input_tokens": 1.0}
    assert list(table.remarks()) == ["a.jsonl: finish_reason could not be read in 1 of 1 rows; left out"]


def test_what_cannot_be_read_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*RECORDS, {"timestamp": "soon", "input_tokens": 1}])
    with path.open("ab") as file:
        file.write(b'{"timestamp": 1\n\xff\xfe\n[1]\n\n')
        file.write(b'{"timestamp": 1772352002, "input_tokens": "many", "refusal": 2, "finish_reason": ""}\n')
    table = Table(path, Fields(SEGMENT))

    assert list(table.rows()) == [*ROWS, Row(1772352002.0, "shop/chat/qwen", {})]
    assert list(table.remarks()) == [
        "a.jsonl: input_tokens could not be read in 1 of 7 rows; left out",
        "a.jsonl: refusal could not be read in 1 of 7 rows; left out",
        "a.jsonl: the time 'timestamp' could not be read in 1 of 7 rows; left out",
        "a.jsonl: whole lines could not be read in 3 of 7 rows; left out",
    ]


def test_an_amount_below_zero_is_none_as_in_what_is_seen_live(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("prompt_tokens,ttft_ms,quality.margin\n-1,-1,-0.5\n12,80,0.5\n")
    table = Table(tmp_path / "log.csv", Fields(SEGMENT))

    assert [row.values for row in table.rows()] == [
        {"quality.margin": -0.5},
        {"input_tokens": 12, "time_to_first_token": 0.08, "quality.margin": 0.5},
    ]
    assert len(list(table.remarks())) == 2


def test_a_file_without_times_has_none(tmp_path: Path) -> None:
    [row] = Table(write(tmp_path / "a.csv", [{"input_tokens": 3}]), Fields(SEGMENT)).rows()

    assert math.isnan(row.at)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", b"", "expected a file that ends in .jsonl"),
        ("a.parquet", b"PAR0", "not Parquet"),
        ("a.csv", b"a,b\n\xff\xff,1\n", "not .csv in UTF-8"),
        ("a.jsonl.gz", b"no gzip", "Not a gzipped file"),
        ("a.jsonl", None, "No such file"),
        ("a.parquet", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigError, match=said) as raised:
        list(Table(tmp_path / name, Fields(SEGMENT)).rows())
    assert len(raised.value.problems) == 1
    assert "\n" not in str(raised.value)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ConfigError, match=r"pip install 'watchkeeper\[parquet\]'"):
        list(Table(tmp_path / "a.parquet", Fields(SEGMENT)).rows())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1772352000, 1772352000.0),
        ("1772352000.5", 1772352000.5),
        (1772352000500, 1772352000.5),
        (1772352000500000, 1772352000.5),
        (1772352000500000000, 1772352000.5),
        ("2026-03-01T08:00:00.5Z", 1772352000.5),
        ("2026-03-01 08:00:00.5000000", 1772352000.5),
        ("2026-03-01T16:00:00+08:00", 1772352000.0),
        ("2026-03-01", 1772323200.0),
        (datetime(2026, 3, 1, 8, tzinfo=UTC), 1772352000.0),
        ("soon", None),
        ([], None),
        (float("nan"), None),
    ],
)
def test_times_are_read_in_the_forms_that_logs_have(value: object, seconds: float | None) -> None:
    assert parse_time(value) == seconds


def test_a_time_without_a_zone_is_utc_wherever_this_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert parse_time("2026-03-01T08:00:00") == 1772352000.0
    finally:
        monkeypatch.undo()
        time.tzset()


@settings(deadline=None, max_examples=200)
@given(
    value=st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2),
    kind=st.sampled_from(list(Kind)),
)
def test_any_value_is_an_observation_of_its_kind_or_none(value: object, kind: Kind) -> None:
    found = parse_value(value, kind)

    assert found is None or isinstance(found, str) == (kind is Kind.CATEGORY)
    assert kind is not Kind.FLAG or found in (None, 0.0, 1.0)
    assert isinstance(found, str | None) or math.isfinite(found)
    parse_time(value)
