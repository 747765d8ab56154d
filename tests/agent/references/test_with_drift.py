import random
from pathlib import Path

import pytest

from watchkeeper.agent.command_line import main
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.recorder import Recorder
from watchkeeper.agent.references.store import References
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Outcome

START = 1772352000.0
"""2026-03-01 08:00 UTC"""


def test_what_the_agent_observed_becomes_its_reference_and_a_change_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drift = Drift(
        References(tmp_path / "references"),
        Recorder(tmp_path / "observed", 1 << 20, Ledger()),
        tmp_path / "evidence",
        Ledger(),
        now=START,
        days=1.0,
        tick_seconds=10.0,
        max_segments=4,
    )
    chance = random.Random(1)
    at = START

    def calls(number: int, failing: float) -> list[str]:
        nonlocal at
        found = []
        for _ in range(number):
            at += 1.0
            outcome = Outcome.ERROR if chance.random() < failing else Outcome.OK
            drift.observe(Completion(at=at, service="chat", request_model="qwen", outcome=outcome), (), at)
            found += [finding.subject for finding in drift.tick(at).findings]
        return found

    def run(verb: str, *arguments: str) -> int:
        return main(["reference", verb, "--state-folder", str(tmp_path), "--by", "ana", *arguments])

    assert calls(3_000, failing=0.02) == []
    assert run("propose", "--signals", "error") == 0
    assert calls(20, failing=0.02) == []
    assert run("approve", "--all", "--why", "a usual hour") == 0
    changed = calls(20, failing=0.02)
    assert len(changed) == 1
    assert calls(600, failing=0.02) == []
    assert calls(300, failing=0.5) == ["drift of error of /chat/qwen"]
    assert run("retire", "--all", "--why", "enough") == 0
    assert calls(20, failing=0.5) == ["reference of error of /chat/qwen", "drift of error of /chat/qwen"]  # over
