"""`watchkeeper replay` as an operator meets it, on files of known faults."""

import json
import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from watchkeeper.agent.command_line import main
from watchkeeper.agent.replay.rehearsal import Raised, alarmed
from watchkeeper.core.records import Finding, Severity
from watchkeeper.core.testkit import recorded

DATA = recorded().parent / "data"
TRACES = sorted(DATA.glob("azure-*.csv.gz"))
ANSWERS = sorted(DATA.glob("alpaca-eval-*.jsonl.gz"))


def write(path: Path, calls: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(call) + "\n" for call in calls))
    return str(path)


def traffic(seed: int, n: int, **how: float) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "at": 1.7e9 + place * 2,
            "service": "chat",
            "model": "qwen",
            "input_tokens": int(how.get("input", 200) * chance.lognormvariate(0, 0.5)),
            "output_tokens": int(100 * chance.lognormvariate(0, 0.5)),
            "response": "The answer is " + " ".join(chance.choice(("red", "blue", "old", "new")) for _ in range(20)),
            "finish_reason": "length" if chance.random() < how.get("cut", 0.02) else "stop",
        }
        for place in range(n)
    ]


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["replay", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def names(found: dict[str, Any]) -> set[str]:
    return {finding["name"] for finding in found["findings"] if not finding["resolved"]}


def test_history_like_its_reference_raises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calm, more = (write(tmp_path / f"{seed}.jsonl", traffic(seed, 2000)) for seed in (1, 2))
    found = replayed(capsys, more, "--reference", calm)

    assert (found["alarmed"], found["calls"], found["findings"]) == (False, 2000, [])
    streams = {one["stream"][-1]: one for one in found["streams"]}
    assert {
        "input_tokens",
        "output_tokens",
        "finish_reason",
        "truncation",
        "watchkeeper.output.length",
    } <= streams.keys()
    assert all(one["nearest"] < 1 for one in streams.values())


def test_a_replay_leaves_the_log_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger("watchkeeper").level
    replayed(capsys, write(tmp_path / "few.jsonl", traffic(1, 5)))

    assert logging.getLogger("watchkeeper").level == before


def test_a_change_is_found_with_the_call_at_which_it_would_have_been_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = write(tmp_path / "calm.jsonl", traffic(1, 2000))
    later = write(tmp_path / "later.jsonl", traffic(2, 1000, input=320, cut=0.4))
    found = replayed(capsys, calm, "--then", later, "--reference", calm)

    assert {"input_tokens", "truncation", "finish_reason"} <= names(found)
    assert all(2000 < finding["calls"] < 2500 for finding in found["findings"])


def test_what_if_shows_how_fast_a_change_would_be_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calm = write(tmp_path / "calm.jsonl", traffic(1, 3000))
    found = replayed(capsys, calm, "--reference", "self", "--what-if", "input_tokens=1.6", "--after", "1500")

    assert names(found) == {"input_tokens", "watchkeeper.output.length_of_prompt"}
    assert 1500 < found["findings"][0]["calls"] < 2000


def test_what_the_terminal_shows_is_short_and_says_how_near_each_stream_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    calm = write(tmp_path / "calm.jsonl", traffic(1, 2000))
    later = write(tmp_path / "later.jsonl", traffic(2, 600, input=400))
    code = main(["replay", later, "--reference", calm, "--fail-on-alarm"])
    shown = capsys.readouterr().out.splitlines()

    assert code == 1
    assert shown[0] == "600 calls over 19 min 58 s, from 2023-11-14 22:13:20"
    assert any("input_tokens higher: median about" in line for line in shown)
    assert "How near each stream came to an alarm (100 % raises it):" in shown
    assert max(map(len, shown)) <= 80


def test_calls_of_another_model_are_judged_by_the_only_reference_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm = write(tmp_path / "calm.jsonl", traffic(1, 1000))
    other = write(tmp_path / "other.jsonl", [call | {"model": "llama"} for call in traffic(2, 300)])
    found = replayed(capsys, other, "--reference", calm)

    assert any("/chat/llama are taken for its" in note for note in found["notes"])
    assert {one["stream"][-2] for one in found["streams"]} == {"qwen"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.jsonl"], "No such file"),
        (["calm.jsonl", "--what-if", "input_tokens=much"], "expected NAME=NUMBER"),
        (["calm.jsonl", "--what-if", "colour=2"], "one of time, input_tokens"),
        (["calm.jsonl", "--field", "colour=x"], "NAME one of"),
        (["calm.jsonl", "--rate", "0"], "above 0"),
        (["calm.jsonl", "--rate", "nan"], "above 0"),
        (["calm.jsonl", "--days", "0"], "above 0"),
        (["calm.jsonl", "--days", "nan", "--reference", "self"], "above 0"),
        (["calm.jsonl", "--speed", "-1"], "--speed"),
        (["calm.jsonl", "--after", "-1"], "--after"),
        (["calm.jsonl", "--what-if", "input_tokens=nan"], "expected NAME=NUMBER"),
        (["calm.jsonl", "--what-if", "input_tokens=-1"], "expected NAME=NUMBER"),
        (["empty.jsonl"], "no call in it could be read"),
        (["calm.xlsx"], "expected a file that ends in"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "calm.jsonl", traffic(1, 5))
    write(tmp_path / "empty.jsonl", [])
    (tmp_path / "calm.xlsx").write_bytes(b"PK")

    assert main(["replay", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_calls_without_times_are_said_to_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "calm.jsonl", [{"input_tokens": 5}] * 10)

    assert any("no times" in note for note in replayed(capsys, path, "--rate", "2")["notes"])


def test_what_is_only_worth_knowing_is_no_alarm() -> None:
    finding = Finding(at=1.0, since=1.0, severity=Severity.INFO, subject="x", summary="x", action="", name="schema")

    assert not alarmed([Raised(finding, 1)])
    assert alarmed([Raised(msgspec.structs.replace(finding, severity=Severity.WARNING), 1)])


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_recorded_hour_is_quiet_within_its_own_reference_and_prompts_longer_by_half_are_found(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = replayed(capsys, str(path), "--reference", "self")
    louder = replayed(capsys, str(path), "--reference", "self", "--what-if", "input_tokens=1.5", "--after", "4000")

    assert quiet["findings"] == []
    assert louder["findings"][0]["name"] == "input_tokens"
    assert 4000 < louder["findings"][0]["calls"] <= 4600


@pytest.mark.parametrize("normal", ANSWERS, ids=lambda path: path.name)
def test_recorded_answers_of_one_model_are_quiet_shuffled_and_another_models_are_found_within_300(
    normal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        quiet = replayed(capsys, str(normal), "--reference", "self", "--shuffle", str(seed), "--rate", "2")
        assert quiet["findings"] == []
    for other in ANSWERS:
        if other is not normal:
            found = replayed(capsys, str(other), "--reference", str(normal), "--rate", "2")
            assert found["findings"][0]["calls"] <= 300


def test_the_state_folder_may_come_from_the_environment_and_without_references_drift_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = write(tmp_path / "calm.jsonl", traffic(1, 600))
    assert main(["replay", calm]) == 0
    assert "drift was not judged" in capsys.readouterr().out
    monkeypatch.setenv("WATCHKEEPER__STATE_FOLDER", str(tmp_path / "state"))
    fields = ["--service", "chat", "--model", "qwen", "--by", "ada"]
    assert main(["reference", "propose", calm, *fields]) == 0
    assert main(["reference", "approve", "--all", "--why", "calm", "--by", "ada"]) == 0
    capsys.readouterr()

    assert {one["stream"][-1] for one in replayed(capsys, calm)["streams"]} >= {"input_tokens", "finish_reason"}
