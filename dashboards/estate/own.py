"""Series of watchkeeper about itself."""

from typing import Final

import numpy as np

from dashboards.estate.conditions import Conditions
from dashboards.estate.series import Numbers, Observer
from watchkeeper.core.vocabulary import capture, health, store

VERSION: Final = "0.1.0"
MEBIBYTE: Final = 1_048_576.0


def process(observer: Observer, role: str, series: float, cpu_share: float, mebibytes: float) -> None:
    clock = observer.clock
    observer.gauge(health.BUILD_INFO, 1.0, version=VERSION, role=role)
    observer.gauge(health.START_TIME, clock.start - 86_400)
    observer.counter(health.CPU_TIME, cpu_share)
    observer.gauge(health.MEMORY, mebibytes * MEBIBYTE * (1 + 0.02 * np.sin(clock.times / 1700)))
    observer.gauge(health.SERIES, series)
    observer.counter(health.SERIES_FOLDED, 0.0)
    observer.counter(health.LABEL_OVERFLOW, 0.0, label="tenant")
    for label, count in (("tenant", 3.0), ("gen_ai_request_model", 2.0), ("service_name", 2.0)):
        observer.gauge(health.LABEL_VALUES, count, label=label)
    for reason in ("ValueError",):
        observer.counter(health.PIPELINE_FAILURES, 0.0, reason=reason)
    observer.counter(health.STEPS_DROPPED, 0.0)


def source(observer: Observer, name: str, kind: str, rate: Numbers, seconds: float) -> None:
    """What came by one source and what became of it; what stops coming leaves its last time behind."""
    clock = observer.clock
    observer.gauge(health.SOURCE_UP, 1.0, source=name)
    observer.counter(health.SOURCE_READ_TIME, seconds, source=name)
    observer.counter(health.SOURCE_FAILURES, 0.0, source=name, reason="timed_out")
    for metric in (health.RECEIVED, health.ACCEPTED):
        observer.counter(metric, rate, source=name, signal=kind)
    observer.counter(health.EXPORTED, rate * 0.999, source=name)
    observer.counter(health.IGNORED, rate * 0.001, source=name, signal=kind, reason="duplicate")
    observer.counter(health.DROPPED, 0.0, source=name, reason="fault")
    observer.counter(health.REJECTED, 0.0, source=name, signal=kind, reason="too_large")
    observer.counter(health.INVALID_VALUES, rate * 1e-5, source=name, field="duration")
    observer.counter(health.GAPS, rate * 2e-4, source=name, reason="not_supported")
    came = np.maximum.accumulate(np.where(rate > 0, clock.times, 0))
    observer.gauge(health.LAST_RECORD, np.where(came > 0, came - 2 - came % 7, np.nan), source=name)


def queue(observer: Observer, rate: Numbers) -> None:
    held = 2 + rate * 1.5
    observer.gauge(health.QUEUE_LENGTH, np.floor(held), queue="otlp")
    observer.gauge(health.QUEUE_SIZE, held * 9_000, queue="otlp")
    observer.gauge(health.QUEUE_CAPACITY, 32 * MEBIBYTE, queue="otlp")
    observer.gauge(health.QUEUE_AGE, 0.3 + 0.02 * rate, queue="otlp")


def exporters(observer: Observer, *names: str) -> None:
    for name in names:
        observer.gauge(health.EXPORTER_UP, 1.0, exporter=name)
        observer.counter(health.EXPORTER_FAILURES, 0.0, exporter=name, reason="timed_out")


def kept(observer: Observer, conditions: Conditions) -> None:
    """The store of records for audits."""
    clock = conditions.clock
    for kind, rate in (("finding", 1 / 5400), ("change", 1 / 21_600), ("summary", 1 / 300)):
        observer.counter(store.RECORDS, rate, kind=kind, outcome="written")
        observer.gauge(store.OLDEST, clock.end - 41 * 86_400, kind=kind)
    observer.counter(store.RECORDS, 0.0, kind="finding", outcome="dropped")
    observer.counter(capture.CALLS, 1 / 120, outcome="written")
    observer.counter(capture.REDACTED, 1 / 900, kind="mail")
    observer.gauge(store.WAITING, 0.0)
    observer.gauge(store.SIZE, 18.4 * MEBIBYTE + (clock.times - clock.start) * 30)
