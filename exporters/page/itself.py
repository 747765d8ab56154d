"""watchkeeper about itself: its sources, queues, exporters and process, read from its own health metrics. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from exporters.page.history import Points, gauge_sum
from exporters.page.tally import PAGES, Value, value_of
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import health


class Source(msgspec.Struct, frozen=True):
    """Counts are since the start; `..._by` holds them by reason. A page that could not be used is a failed read."""

    name: str
    up: bool | None
    last_record_at: float | None
    accepted: float | None
    failures_by: Mapping[str, float]
    rejected_by: Mapping[str, float]
    """items"""
    refused_by: Mapping[str, float]
    """requests, before their items could be counted"""
    dropped_by: Mapping[str, float]
    queue_fill: float | None
    """bytes held over bytes allowed"""


class Destination(msgspec.Struct, frozen=True):
    """An exporter."""

    name: str
    up: bool | None
    failures_by: Mapping[str, float]


class Itself(msgspec.Struct, frozen=True):
    version: str
    role: str
    started_at: float | None
    memory_bytes: float | None
    series: float | None


def sources_of(points: Points) -> tuple[Source, ...]:
    up = _by_label(points, health.SOURCE_UP, "source")
    last = _by_label(points, health.LAST_RECORD, "source")
    accepted = _by_label(points, health.ACCEPTED, "source")
    not_taken = tuple(points.get(health.REJECTED, {}).items())
    unread = tuple(series for series in not_taken if PAGES in series[0])
    failures = _by_reason((*points.get(health.SOURCE_FAILURES, {}).items(), *unread))
    rejected = _by_reason(series for series in not_taken if PAGES not in series[0])
    refused = _by_reason(points.get(health.REFUSED_REQUESTS, {}).items())
    dropped = _by_reason(points.get(health.DROPPED, {}).items())
    fill = _queue_fill(points)
    names = set().union(up, last, accepted, failures, rejected, refused, dropped)
    return tuple(
        Source(
            name=name,
            up=up[name] >= 1 if name in up else None,
            last_record_at=last.get(name) or None,
            accepted=accepted.get(name),
            failures_by=failures.get(name, {}),
            rejected_by=rejected.get(name, {}),
            refused_by=refused.get(name, {}),
            dropped_by=dropped.get(name, {}),
            queue_fill=fill.get(name),
        )
        for name in sorted(names, key=lambda name: (up.get(name, 1) >= 1, name))
    )


def queues_of(points: Points) -> Mapping[str, float]:
    """Queues that do not bear a source's name."""
    sources = _by_label(points, health.SOURCE_UP, "source").keys()
    return {name: fill for name, fill in sorted(_queue_fill(points).items()) if name not in sources}


def destinations_of(points: Points) -> tuple[Destination, ...]:
    up = _by_label(points, health.EXPORTER_UP, "exporter")
    failures = _by_reason(points.get(health.EXPORTER_FAILURES, {}).items(), "exporter")
    return tuple(
        Destination(name, up[name] >= 1 if name in up else None, failures.get(name, {}))
        for name in sorted(up.keys() | failures.keys())
    )


def itself_of(points: Points) -> Itself:
    build = next((dict(labels) for labels in points.get(health.BUILD_INFO, {})), {})
    return Itself(
        version=build.get("version", ""),
        role=build.get("role", ""),
        started_at=gauge_sum(points, health.START_TIME),
        memory_bytes=gauge_sum(points, health.MEMORY),
        series=gauge_sum(points, health.SERIES),
    )


def _by_label(points: Points, metric: Metric, label: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for labels, value in points.get(metric, {}).items():
        name = dict(labels).get(label, "")
        sums[name] = sums.get(name, 0.0) + value_of(value)
    return sums


def _by_reason(series: Iterable[tuple[Labels, Value]], label: str = "source") -> dict[str, dict[str, float]]:
    """Counts above 0, most first."""
    sums: dict[str, dict[str, float]] = {}
    for labels, value in series:
        named = dict(labels)
        reasons = sums.setdefault(named.get(label, ""), {})
        if value_of(value) > 0:
            reason = named.get("reason", "")
            reasons[reason] = reasons.get(reason, 0.0) + value_of(value)
    return {name: dict(sorted(held.items(), key=lambda item: -item[1])) for name, held in sums.items()}


def _queue_fill(points: Points) -> dict[str, float]:
    held = _by_label(points, health.QUEUE_SIZE, "queue")
    capacity = _by_label(points, health.QUEUE_CAPACITY, "queue")
    return {name: held.get(name, 0.0) / size for name, size in capacity.items() if size > 0}
