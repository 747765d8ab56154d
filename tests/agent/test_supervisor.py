import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from watchkeeper.agent.supervisor import ExporterGuard, Failures, Readings, SourceRunner, log_thread_end
from watchkeeper.core.errors import Retryable, Unavailable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, Reading
from watchkeeper.core.vocabulary import health

READING = Reading(completions=(Completion(at=1.0),), items=1)


class Script:
    """A source and exporter that does what it is told at each call, then its last thing for ever."""

    def __init__(self, *steps: Callable[[], Reading]) -> None:
        self.steps = list(steps)
        self.closed = False

    def read(self, now: float) -> Reading:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step()

    def write(self, batch: Batch) -> None:
        self.read(batch.at)

    def close(self) -> None:
        self.closed = True


class Folding(Readings):
    """Where whatever is handed over is folded at once."""

    def put(self, item: tuple[str, Reading, threading.Event], block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        item[2].set()

    def next(self) -> tuple[str, Reading]:
        name, reading, _ = self.get(timeout=60)
        return name, reading


def fails(error: Exception) -> Callable[[], Reading]:
    def step() -> Reading:
        raise error

    return step


def gauge(ledger: Ledger, metric: object) -> list[float]:
    return [float(sample.value) for sample in ledger.drain(0.0) if sample.metric == metric]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Unavailable("x"), "unavailable"), (Retryable("x"), "retryable"), (ZeroDivisionError(), "ZeroDivisionError")],
)
def test_a_failure_is_counted_by_its_kind_and_waits_before_the_next_try(error: Exception, reason: str) -> None:
    counted: list[str] = []
    failures = Failures("source", "x", counted.append)

    def action() -> None:
        raise error

    wait_seconds = failures.attempt(action)

    assert counted == [reason]
    assert wait_seconds > 0


def test_a_failure_is_logged_when_it_begins_and_when_it_ends_not_every_time(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures("source", "x", lambda _: None)
    caplog.set_level(logging.INFO)

    for error in (Retryable("peer away"), Retryable("peer away"), None, None):
        failures.attempt(fails(error) if error else lambda: None)  # type: ignore[arg-type]

    assert [record.getMessage() for record in caplog.records] == [
        "x failed (retryable): peer away",
        "x is back after 2 failed tries",
    ]


def test_one_failed_try_is_told_in_the_singular(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures("source", "x", lambda _: None)

    failures.attempt(fails(Retryable("peer away")))  # type: ignore[arg-type]
    failures.attempt(lambda: None)

    assert caplog.messages[-1] == "x is back after 1 failed try"


def test_an_error_nobody_foresaw_is_told_by_kind_and_place_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    prompt, answer = "what the user said", "what the model said"

    def quoting() -> None:
        try:
            int(prompt)
        except ValueError as error:
            raise KeyError(answer) from error

    Failures("source", "x", lambda _: None).attempt(quoting)

    assert "x failed (KeyError):" in caplog.text
    assert "test_supervisor.py" in caplog.text
    assert "said" not in caplog.text


def test_a_thread_that_an_error_ends_is_told_by_kind_and_place_without_its_words(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", log_thread_end)
    prompt = "what the user said"
    thread = threading.Thread(target=lambda: int(prompt), name="reader")

    thread.start()
    thread.join()

    assert "thread reader ended (ValueError):" in caplog.text
    assert "test_supervisor.py" in caplog.text
    assert "said" not in caplog.text + "".join(capfd.readouterr())


def test_a_source_that_recovers_is_up_again_and_brings_its_reading() -> None:
    readings = Folding()
    ledger = Ledger()
    source = Script(lambda: READING)
    runner = SourceRunner("x", source, 0.01, readings, ledger)
    runner.start()

    assert readings.next() == ("x", READING)
    runner.report(time.monotonic())
    runner.stop()
    runner.join(60)
    assert not runner.is_alive()

    assert gauge(ledger, health.SOURCE_UP) == [1.0]
    assert source.closed


def test_a_source_that_hangs_is_shown_down_and_does_not_hold_up_the_stop() -> None:
    release, entered = threading.Event(), threading.Event()

    def hang() -> Reading:
        entered.set()
        release.wait(60)
        return Reading()

    ledger = Ledger()
    runner = SourceRunner("x", Script(hang), 0.01, queue.Queue(), ledger)
    runner.start()
    entered.wait(60)

    runner.report(time.monotonic() + 3600)
    runner.stop()
    runner.join(0.05)
    assert runner.is_alive()

    assert gauge(ledger, health.SOURCE_UP) == [0.0]
    release.set()


def test_closing_a_source_that_failed_is_not_taken_for_a_recovery(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def fail() -> Reading:
        failed.set()
        raise Retryable("peer away")

    runner = SourceRunner("x", Script(fail), 0.01, queue.Queue(), Ledger())
    runner.start()
    failed.wait(60)

    runner.stop()
    runner.join(60)
    assert not runner.is_alive()

    assert [record.getMessage() for record in caplog.records] == ["x failed (retryable): peer away"]


def test_the_last_read_of_a_source_that_failed_is_not_taken_for_a_recovery(caplog: pytest.LogCaptureFixture) -> None:
    """Being closed, it hands out what it holds and asks nobody."""
    failed = threading.Event()

    class Away(Script):
        def read(self, now: float) -> Reading:
            if self.closed:
                return READING
            failed.set()
            raise Retryable("peer away")

    ledger = Ledger()
    readings = Folding()
    runner = SourceRunner("x", Away(Reading), 0.0, readings, ledger)
    runner.start()
    failed.wait(60)

    runner.stop()
    runner.join(60)
    assert not runner.is_alive()
    runner.report(time.monotonic())

    assert readings.next() == ("x", READING)
    assert caplog.messages == ["x failed (retryable): peer away"]
    assert gauge(ledger, health.SOURCE_UP) == [0.0]


class Held(Script):
    """Counts what was read and is not folded."""

    def __init__(self) -> None:
        super().__init__(lambda: READING)
        self.held = 0

    def read(self, now: float) -> Reading:
        self.held += 1
        return super().read(now)

    def folded(self) -> None:
        self.held = 0


def test_a_source_is_read_again_when_what_it_gave_is_folded() -> None:
    readings: Readings = queue.Queue()
    source = Held()
    runner = SourceRunner("x", source, 0.0, readings, Ledger())
    runner.start()
    _, _, first = readings.get(timeout=60)

    with pytest.raises(queue.Empty):
        readings.get(timeout=0.1)
    assert source.held == 1

    first.set()
    _, _, second = readings.get(timeout=60)
    assert source.held == 1
    runner.stop()
    second.set()
    while runner.is_alive():  # it is closed in a thread of its own: until then it is read again and again
        with suppress(queue.Empty):
            readings.get(timeout=0.05)[2].set()
    assert source.held == 0


def test_what_was_acknowledged_before_the_stop_is_still_read() -> None:
    readings, is_read = Folding(), threading.Event()

    def nothing_yet() -> Reading:
        is_read.set()
        return Reading()

    runner = SourceRunner("x", Script(nothing_yet, lambda: READING), 3600, readings, Ledger())
    runner.start()
    assert is_read.wait(60)

    runner.stop()

    runner.join(60)
    assert not runner.is_alive()
    assert readings.next() == ("x", READING)


def test_an_exporter_that_breaks_is_shown_down_and_raises_nothing() -> None:
    ledger = Ledger()
    guard = ExporterGuard("x", Script(fails(OSError("disk full"))), ledger)

    guard.write(Batch(1.0))

    samples = {sample.metric: sample.value for sample in ledger.drain(0.0)}
    assert samples == {health.EXPORTER_UP: 0.0, health.EXPORTER_FAILURES: 1.0}


def test_an_exporter_that_does_not_end_is_left_behind_in_time() -> None:
    release = threading.Event()

    class Endless(Script):
        def close(self) -> None:
            release.wait(60)

    guard = ExporterGuard("x", Endless(Reading), Ledger())

    assert not guard.close(0.05)
    release.set()
