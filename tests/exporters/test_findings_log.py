import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporters import findings_log
from exporters.findings_log import PLUGIN, FindingsLog, FindingsLogConfig
from watchkeeper.agent.supervisor import ExporterGuard
from watchkeeper.core.errors import ConfigError, Retryable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Cause, Finding, Severity
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

CAUSE = Cause(
    summary="device 3 is throttled", score=0.8, moved=("clock 1.9 -> 1.2 GHz",), action="Cool it.", runbook="hot.md"
)


@pytest.fixture(autouse=True)
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is busy with others' files makes no line late."""
    monkeypatch.setattr(findings_log, "_CLOSE_SECONDS", 60.0)


def finding(number: int = 0, **more: Any) -> Finding:
    given: dict[str, Any] = {
        "at": 1_700_000_000.5 + number,
        "since": 1_700_000_000.0,
        "severity": Severity.CRITICAL,
        "subject": f"slow hw.id={number}",
        "summary": f"device {number} is slow",
        "evidence": ("odds 300",),
        "causes": (CAUSE,),
        "action": "Look at it.",
        "runbook": "runbooks/slow.md",
        "name": "slow",
        "labels": (("hw.id", f"{number}"),),
    }
    return Finding(**(given | more))


def log(path: Path, ledger: Ledger | None = None, **more: Any) -> FindingsLog:
    built: FindingsLog = PLUGIN.build(FindingsLogConfig(path=str(path), **more), ledger or Ledger())
    return built


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_field_of_a_finding_and_its_causes_is_in_its_line(tmp_path: Path) -> None:
    part = log(tmp_path / "findings.jsonl")

    part.write(Batch(1.0, findings=(finding(),)))
    part.close()

    [line] = lines(tmp_path / "findings.jsonl")
    assert line.keys() == {"version", "event", "time", *Finding.__struct_fields__}
    assert line["causes"][0].keys() == set(Cause.__struct_fields__)
    assert (line["version"], line["event"], line["time"]) == (1, "opened", "2023-11-14T22:13:20.500+00:00")
    assert line["labels"] == {"hw.id": "0"}
    assert {**line, "labels": [["hw.id", "0"]]}.items() >= msgspec.json.decode(msgspec.json.encode(finding())).items()


def test_a_finding_is_opened_changed_and_resolved_apart_from_others(tmp_path: Path) -> None:
    part = log(tmp_path / "f")

    for one in (finding(), finding(1), finding(summary="slower"), finding(resolved=True), finding()):
        part.write(Batch(1.0, findings=(one,)))
    part.close()

    said = [(line["event"], line["labels"]["hw.id"]) for line in lines(tmp_path / "f")]
    assert said == [("opened", "0"), ("opened", "1"), ("changed", "0"), ("resolved", "0"), ("opened", "0")]


def test_after_a_restart_the_same_finding_goes_on_and_nothing_is_written_over(tmp_path: Path) -> None:
    first = log(tmp_path / "f")
    first.write(Batch(1.0, findings=(finding(), finding(1), finding(1, resolved=True))))
    first.close()
    with (tmp_path / "f").open("ab") as file:
        file.write(b'\xff{"torn')

    second = log(tmp_path / "f")
    second.write(Batch(2.0, findings=(finding(), finding(1))))
    second.close()

    whole = [line for line in (tmp_path / "f").read_bytes().splitlines() if b"torn" not in line]
    assert [json.loads(line)["event"] for line in whole] == ["opened", "opened", "resolved", "changed", "opened"]


def test_without_a_path_it_is_off() -> None:
    assert not FindingsLogConfig().enabled
    assert FindingsLogConfig(path="f").enabled


def test_a_finding_that_cannot_be_encoded_is_counted_and_costs_itself_alone(tmp_path: Path) -> None:
    ledger = Ledger()
    part = log(tmp_path / "f", ledger)

    part.write(Batch(1.0, findings=(finding(summary="\ud800"), finding(1))))
    part.close()

    assert [line["labels"]["hw.id"] for line in lines(tmp_path / "f")] == ["1"]
    assert counted(ledger) == {"findings_malformed": 1}


def counted(ledger: Ledger) -> dict[str, float]:
    return {
        str(dict(sample.labels)["reason"]): float(str(sample.value))
        for sample in ledger.drain(0.0)
        if sample.metric is EXPORTER_FAILURES
    }


def test_a_full_disk_is_said_once_counted_and_shown_while_it_lasts(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ledger = Ledger()
    part = log(Path("/dev/full"), ledger)
    guard = ExporterGuard("findings_log", part, ledger)

    guard.write(Batch(1.0, findings=(finding(),)))
    end = time.monotonic() + 60
    while not part._lines.problem and time.monotonic() < end:
        time.sleep(0.01)
    ledger.drain(0.0)  # the first may have met the problem already
    for _ in range(3):
        guard.write(Batch(2.0))

    [record] = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "/dev/full: No space left on device" in record.getMessage()
    assert counted(ledger) == {"retryable": 3}
    with pytest.raises(Retryable, match="No space left"):
        part.close()


def test_a_destination_that_never_takes_a_line_does_not_hold_up_the_pipeline(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    part = log(tmp_path / "pipe")
    done = threading.Event()

    def write() -> None:
        for number in range(3_000):
            part.write(Batch(1.0, findings=(finding(number),)))  # some 2 MB, where a pipe holds 64 kB
        done.set()

    threading.Thread(target=write, daemon=True).start()

    assert done.wait(60)


def test_lines_go_to_a_pipe_on_standard_output() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import test_findings_log as t; from pathlib import Path;"
        "p = t.log(Path('/dev/stdout')); p.write(t.Batch(1.0, findings=(t.finding(),))); p.close()"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert json.loads(done.stdout)["event"] == "opened"


@pytest.mark.parametrize("place", ["a folder", "below a file", "a folder that may not be written"])
def test_a_path_that_cannot_be_written_is_one_line_before_the_start(tmp_path: Path, place: str) -> None:
    path = tmp_path / "there"
    if place == "a folder":
        path.mkdir()
    elif place == "below a file":
        path.touch()
        path /= "f"
    else:
        path = Path("/proc/nobody/f")

    with pytest.raises(ConfigError) as refused:
        log(path)

    [problem] = refused.value.problems
    assert problem.startswith(f"exporters.findings_log.path: '{path}' cannot be written: ")
    assert "\n" not in problem
    assert PLUGIN.probe(FindingsLogConfig(path=str(path))) == (f"! {problem}",)


def test_others_may_read_the_file_and_only_we_write_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        log(tmp_path / "f").close()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644
