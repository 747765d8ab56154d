import pytest

from collector.otlp import answers
from collector.otlp.intake import Signal
from collector.otlp.refusal_log import LOG_INTERVAL_SECONDS, RefusalLog
from watchkeeper.core.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_line_a_minute_for_each_reason_says_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(Ledger(), 2, clock)
    for _ in range(10):
        log.add(Signal.TRACES, answers.QUEUE_FULL)
    log.add(Signal.LOGS, answers.TOO_LARGE)
    clock.seconds += LOG_INTERVAL_SECONDS - 1
    log.add(Signal.TRACES, answers.QUEUE_FULL)
    clock.seconds += 1
    log.add(Signal.METRICS, answers.QUEUE_FULL)

    lines = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.otlp"]
    assert [line.partition(")")[0] for line in lines] == [
        "otlp refused 1 request (reason queue_full, traces",
        "otlp refused 1 request (reason too_large, logs",
        "otlp refused 11 requests (reason queue_full, metrics",
    ]
    assert "otlp.queue_capacity_bytes" in lines[0]


def test_a_fault_is_placed_but_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("canary")
    except ValueError as error:
        RefusalLog(Ledger(), 2).add_fault(Signal.TRACES, error)

    assert "ValueError at " in caplog.text
    assert "test_refusal_log.py:" in caplog.text
    assert "canary" not in caplog.text


def test_the_delay_advised_differs_from_sender_to_sender_within_half_of_its_mean() -> None:
    log = RefusalLog(Ledger(), 2)

    delays = {log.delay_seconds() for _ in range(100)}

    assert len(delays) > 50
    assert all(1 <= delay <= 3 for delay in delays)
