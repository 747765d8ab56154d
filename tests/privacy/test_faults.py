"""Parts that fail with what they read in their error's words, in a whole agent: the words stay inside."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from watchkeeper.agent import config, registry
from watchkeeper.agent.agent import Agent
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.records import Completion, Finding, Gap, Reading, Reason, Severity, Text
from watchkeeper.core.testkit import mark, marks
from watchkeeper.core.vocabulary import engines, health, outputs

SAID = Text(mark("prompt"), mark("answer"), mark("reasoning"))
CALL = Completion(at=0.0, service="shop", request_model="m", text=SAID, input_tokens=9)


class PartConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """None of its settings matter."""

    enabled: bool = True
    """for the test"""


class Faulty:
    """Every role at once: fails in whatever it is asked, quoting what was said."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def _fail(self, what: str) -> Any:
        self._seen.append(what)
        try:
            int(mark(f"{what}.cause"))
        except ValueError as error:
            raise KeyError(mark(f"{what}.error"), CALL, CALL.text) from error

    def read(self, now: float) -> Reading:
        return self._fail("source")  # type: ignore[no-any-return]

    def score(self, call: Any) -> Any:
        return self._fail("check")

    def update(self, batch: Any) -> None:
        self._fail("signal")

    def assess(self, now: float) -> Any:
        return ()

    def write(self, batch: Any) -> None:
        self._fail("exporter")

    def close(self) -> None:
        self._fail("close")


class Speaking:
    """Brings a call with text at each read, and now and then one that the pipeline itself fails on."""

    def __init__(self) -> None:
        self._reads = 0

    def read(self, now: float) -> Reading:
        self._reads += 1
        call = msgspec.structs.replace(CALL, at=now)
        if self._reads % 2:
            return Reading(completions=(call,), gaps=(Gap(engines.RUNNING, Reason.LOST),), items=1)
        return Reading(completions=(msgspec.structs.replace(call, duration_seconds=mark("no.number")),), items=1)

    def close(self) -> None:
        """It holds nothing."""


def plugin(name: str, build: Callable[[], Any], **more: Any) -> Plugin:
    return Plugin(
        name=name,
        summary="Fails.",
        config=PartConfig,
        build=lambda *_: build(),
        interval_seconds=lambda _: 0.05,
        **more,
    )


def test_no_fault_of_any_part_shows_what_was_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    faulty = lambda: Faulty(seen)  # noqa: E731
    sources = (plugin("faulty", faulty), plugin("speaking", Speaking))
    exporters = (*registry.exporters(), plugin("broken", faulty))
    signals = (plugin("hurt", faulty, reads=(health.SERIES,)),)
    checks = (*registry.checks(), plugin("ill", faulty, metrics=outputs.VERDICTS))
    path = tmp_path / "findings.jsonl"
    (tmp_path / "c.yaml").write_text(
        f"{{web: {{port: 0}}, state_folder: '{tmp_path}/state', exporters: {{findings_log: {{path: '{path}'}}}}}}"
    )
    settings = config.load(tmp_path / "c.yaml", {}, config.root_type(sources, exporters, signals, checks))
    agent = Agent(settings, sources, exporters, signals, checks)
    agent.start()
    end = time.monotonic() + 120
    while not {"source", "check", "signal", "exporter"} <= set(seen) or "pipeline failed" not in caplog.text:
        assert time.monotonic() < end, (seen, caplog.text[-2_000:])
        time.sleep(0.05)
    agent.stop()

    said = caplog.text + "".join(capfd.readouterr()) + repr(CALL.text) + repr(caplog.records)
    assert "close" in seen
    assert {f"{part} failed (KeyError" in said for part in ("faulty", "hurt", "broken", "check ill")} == {True}
    assert marks(said.encode()) == set()
    assert marks(b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())) == set()


@pytest.mark.parametrize(
    "record",
    [
        CALL.text,
        CALL,
        Reading(completions=(CALL,)),
        Finding(at=0.0, since=0.0, severity=Severity.INFO, subject="s", summary="s"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_a_record_shows_of_itself_holds_no_text(record: object) -> None:
    assert marks(f"{record!r} {record} {[record]}".encode()) == set()
