"""A fault on purpose, on the real engine, found by the real watchkeeper; and what counts as found."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from exporters.findings_log import encode
from watchkeeper.agent.demo.children import Child
from watchkeeper.agent.demo.faults import named
from watchkeeper.agent.demo.performance import ENGINE_LIBRARY
from watchkeeper.agent.demo.rehearsal import answers, read, slowed
from watchkeeper.core.records import Cause, Finding, Severity
from watchkeeper.core.testkit import free_port, require_library

ROOT = Path(__file__).parents[3]
FINDING = Finding(
    at=100.0, since=90.0, severity=Severity.WARNING, subject="drift of truncation", summary="cut", name="truncation",
    causes=(Cause("the model answers differently to the same kind of prompts", 0.6, (), "", ""),),
)  # fmt: skip
QUICK = """
import msgspec
from watchkeeper.agent.demo import faults, performance
from watchkeeper.agent.demo.rehearsal import WarmUp

scenario = faults.named("longer-prompts")
brief = {"max_tokens": 1, "questions": ("Say yes.", "Say it: no.", "Say that you do not know."), "system": ""}
scenario = msgspec.structs.replace(
    scenario,
    usual=msgspec.structs.replace(scenario.usual, background_sentences=(0,), **brief),
    wrong=msgspec.structs.replace(scenario.wrong, background_sentences=(1,), **brief),
    most_calls_a_second=20.0,
    load=1.0,
)
performance.named = lambda _: scenario
quick = WarmUp(seconds=1.0, calls=112, find_seconds=600.0, tick_seconds=1.0, wants_causes=False)
raise SystemExit(performance.perform(0.1, 9464, "longer-prompts", quick))
"""


@pytest.mark.timeout(900)
def test_longer_prompts_are_found_on_a_real_engine_and_nothing_is_left_behind(tmp_path):
    require_library(ENGINE_LIBRARY, "libgomp1")
    done = subprocess.run(
        [sys.executable, "-c", QUICK],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=840,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "watchkeeper reference approve --all" in done.stdout
    assert "drift of input_tokens of /demo-chat/" in done.stdout
    assert "It stands on the page" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_slowed_engine_stands_still_now_and_then_and_runs_on_afterwards(tmp_path):
    child = Child("engine", ["http.server", str(free_port())], tmp_path, os.environ)
    stat = Path(f"/proc/{child._process.pid}/stat")

    def is_stopped() -> bool:
        return stat.read_text().rpartition(")")[2].split()[0] == "T"

    with slowed(child, 0.4):
        deadline = time.monotonic() + 30
        seen = {is_stopped()}
        while seen != {True, False} and time.monotonic() < deadline:
            seen.add(is_stopped())

    assert seen == {True, False}
    assert not is_stopped()
    child.end(10)


@pytest.mark.parametrize(
    ("finding", "wants_causes", "expected"),
    [
        (FINDING, True, True),
        (msgspec.structs.replace(FINDING, causes=()), True, False),
        (msgspec.structs.replace(FINDING, causes=()), False, True),
        (msgspec.structs.replace(FINDING, causes=(Cause("load", 0.6, (), "", ""),)), True, False),
        (msgspec.structs.replace(FINDING, resolved=True), True, False),
        (msgspec.structs.replace(FINDING, name="duration"), True, False),
    ],
)
def test_a_fault_is_found_by_a_signal_of_its_own_with_a_cause_of_its_own(tmp_path, finding, wants_causes, expected):
    file = tmp_path / "findings.jsonl"
    file.write_bytes(encode("opened", finding))

    [found] = read(file, 0.0)

    assert answers(named("truncate"), found, wants_causes) is expected


def test_what_was_told_before_and_what_is_half_written_and_news_of_references_are_left_out(tmp_path):
    file = tmp_path / "findings.jsonl"
    assert read(file, 0.0) == []
    late = msgspec.structs.replace(FINDING, at=200.0)
    news = msgspec.structs.replace(late, name="reference")
    torn = encode("opened", late)[:-10]
    file.write_bytes(b"".join([encode("opened", FINDING), encode("opened", news), encode("changed", late), torn]))

    assert [found.at for found in read(file, 150.0)] == [200.0]
    assert len(read(file, 0.0)) == 2
