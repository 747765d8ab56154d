import json
import logging
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from detectors.checks.secrets import SecretsConfig
from detectors.redaction import Redactor
from watchkeeper.agent.capture import Capture, CaptureConfig, configured_capture, problems
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Flag, Text
from watchkeeper.core.vocabulary import capture as vocabulary

CANARY = "the lamp is lit at noon"
CALL = Completion(
    at=1_700_000_000.0,
    namespace="shop",
    service="chat",
    request_model="m",
    tenant="ann",
    trace_id=b"\x01" * 16,
    text=Text(f"I am ann@acme.io, {CANARY}. Hello?", "Hello ann@acme.io, your key is AKIAQ3EGRZ7CTBXW2LMN."),
)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is written, however long the disk takes."""
    monkeypatch.setattr("watchkeeper.agent.capture._CLOSE_SECONDS", 60.0)


def capture(path: Path, ledger: Ledger | None = None, **more: Any) -> Capture:
    built = configured_capture(
        CaptureConfig(**({"share": 1.0, "path": str(path)} | more)),
        SecretsConfig(canaries=(CANARY,)),
        ledger or Ledger(),
    )
    assert built is not None
    return built


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def counts(ledger: Ledger) -> dict[tuple[str, str], float]:
    return {
        (sample.metric.name, sample.labels[0][1]): float(str(sample.value))
        for sample in ledger.drain(0.0)
        if sample.metric in vocabulary.METRICS
    }


def test_a_call_is_written_down_redacted_and_counted(tmp_path: Path) -> None:
    ledger = Ledger()
    part = capture(tmp_path / "text.jsonl", ledger)

    part.take(CALL, (Flag("pii", (("mail", 1),)), Flag("refusal")))
    part.close()

    [line] = lines(tmp_path / "text.jsonl")
    assert line["prompt"] == "I am [mail], [canary]. Hello?"
    assert line["answer"] == "Hello [mail], your key is [secret:aws]."
    assert (line["version"], line["flags"], line["service"], line["cut"]) == (1, ["pii"], "chat", [])
    assert line["redacted"] == {"mail": 2, "canary": 1, "secret:aws": 1}
    assert "tenant" not in line
    assert counts(ledger) == {
        ("watchkeeper.capture.redacted", "mail"): 2,
        ("watchkeeper.capture.redacted", "canary"): 1,
        ("watchkeeper.capture.redacted", "secret:aws"): 1,
        ("watchkeeper.capture.calls", "written"): 1,
    }


def test_it_is_off_unless_a_share_is_asked_for(tmp_path: Path) -> None:
    assert configured_capture(CaptureConfig(), None, Ledger()) is None
    assert configured_capture(CaptureConfig(path=str(tmp_path / "f")), None, Ledger()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_share_of_the_calls_is_drawn_at_random(tmp_path: Path) -> None:
    part = capture(tmp_path / "f", share=0.25)
    part._chance = random.Random(7)

    for _ in range(2_000):
        part.take(CALL, ())
    part.close()

    assert 440 <= len(lines(tmp_path / "f")) <= 560  # 500, three deviations of 19


def test_of_marked_calls_only_where_that_is_asked_for(tmp_path: Path) -> None:
    part = capture(tmp_path / "f", only_flagged=True)

    for scores in ((), (Flag("refusal"),), (Flag("refusal", (("english", 1),)),)):
        part.take(CALL, scores)
    part.close()

    assert [line["flags"] for line in lines(tmp_path / "f")] == [["refusal"]]


def test_a_call_without_text_is_none_of_its_business(tmp_path: Path) -> None:
    part = capture(tmp_path / "f")

    part.take(Completion(at=1.0), ())
    part.take(Completion(at=1.0, text=Text()), ())
    part.close()

    assert lines(tmp_path / "f") == []


def test_long_texts_are_cut_and_said_to_be(tmp_path: Path) -> None:
    part = capture(tmp_path / "f", max_characters=10)

    part.take(Completion(at=1.0, text=Text("short", "x" * 100_000)), ())
    part.close()

    [line] = lines(tmp_path / "f")
    assert (line["prompt"], line["answer"], line["cut"]) == ("short", "x" * 10, ["answer"])


def test_only_the_owner_may_read_the_file_and_older_ones(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o644)
    part = capture(tmp_path / "f", most_mebibytes=1, max_characters=50_000)

    for _ in range(10):
        part.take(Completion(at=1.0, text=Text("x y " * 12_000, "")), ())
    part.close()

    assert len(list(tmp_path.iterdir())) > 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 1 << 20


def test_that_it_is_on_and_where_is_said_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    capture(tmp_path / "f", share=0.05).close()

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "capture is on: of 5 % of the calls with text, prompt and answer are written, redacted, to "
        + str(tmp_path / "f")
    )


def test_a_fault_costs_the_one_text_and_shows_none_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Redactor):
        def redact(self, text: str, most_characters: int) -> Any:
            if "AKIA" in text:
                raise ValueError(text)
            return super().redact(text, most_characters)

    ledger = Ledger()
    part = capture(tmp_path / "f", ledger)
    part._redactor = Broken()

    part.take(CALL, ())
    part.take(CALL, ())
    part.take(Completion(at=1.0, text=Text("Hello?", "Hello.")), ())
    part.close()

    assert [line["answer"] for line in lines(tmp_path / "f")] == ["Hello."]
    assert counts(ledger) == {("watchkeeper.capture.calls", "failed"): 2, ("watchkeeper.capture.calls", "written"): 1}
    assert sum("capture failed (ValueError)" in record.getMessage() for record in caplog.records) == 1
    assert "AKIA" not in caplog.text


def test_a_file_that_can_be_written_no_more_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = capture(tmp_path / "f")
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()

    part.take(CALL, ())
    part.close()
    part.tick()
    part.tick()

    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"{tmp_path / 'f'}: Is a directory; captured text waits in memory, the oldest goes first"]


def test_a_path_that_cannot_be_written_is_one_line_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^capture.path: '.*' cannot be written: Is a directory; give a path on a"):
        capture(tmp_path)


def test_mistakes_are_told_without_the_pattern() -> None:
    found = problems(CaptureConfig(share=0.1, patterns=("K-[0-9]+", "K-77123(")))

    assert found == (
        "capture.path: is needed when capture.share is above 0; give a file on a volume that is protected",
        "capture.patterns[1]: no regular expression (missing ), unterminated subpattern at character 7)",
    )
