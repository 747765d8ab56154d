"""The governance record of a period, put together from its sources."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from dashboards.values import Values
from watchkeeper import __version__
from watchkeeper.agent.references.journal import Event
from watchkeeper.agent.report import attained, record
from watchkeeper.agent.report.drift import FALSE_ENTRIES
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.prometheus import Prometheus
from watchkeeper.agent.report.record import (
    Blind,
    Change,
    Completeness,
    FalseAlarms,
    FindingLife,
    ModelSeen,
    Record,
    RestsOn,
    Said,
    SloAttained,
)
from watchkeeper.agent.report.requirements import requirements
from watchkeeper.agent.report.sources import Sources

HEARTBEAT_SECONDS: Final = 600.0
"""a process that gave no sign of life for so long is taken to have ended; the store writes one every five minutes"""
AUDIT: Final = "audit log"
CONFIGURATION: Final = "configuration"

_NO_STORE: Final = Said(
    "no store was kept (exporters.store): this cannot be told", "未启用存储（exporters.store）：无法说明"
)


def gather(
    sources: Sources, values: Values, prometheus: Prometheus | None, days_per_alarm: float, made_at: float
) -> Record:
    """
    :param made_at: unix seconds
    :raises ConfigError: Prometheus cannot be asked
    """
    wanted = sources.wanted
    in_scope = _scope(sources)
    stored, period = sources.stored, sources.period
    incidents = tuple(one for one in stored.incidents if in_scope(one)) if stored else ()
    models = tuple(one for one in stored.models if in_scope(one)) if stored else ()
    completeness = _completeness(sources, prometheus, made_at)
    in_force = {key: pack for key in _keys(sources) if (pack := sources.standings.at(key, period.until))}
    changes = tuple(sorted(_changes(sources, models), key=lambda one: one.at))
    held: dict[str, tuple[object, ...]] = {
        "models": models,
        "slos": _objectives(sources, values, prometheus),
        "drift": sources.drift,
        "safety": attained.safety(sources.observed, sources.profiles, in_force, sources.drift),
        "incidents": incidents,
        "changes": changes,
        "rests_on": tuple(_rests_on(sources)),
    }
    present = [part for part, rows in held.items() if rows]
    present += ["completeness"] if completeness.links or completeness.watched_seconds is not None else []
    return Record(
        version=record.VERSION,
        made_with=__version__,
        made_at=made_at,
        deployment=_deployment(sources),
        period=period,
        scope={name: word for name in ("namespace", "service", "model") if (word := getattr(wanted, name))},
        false_entries=FALSE_ENTRIES,
        completeness=completeness,
        false_alarms=_false_alarms(incidents, sources, completeness, days_per_alarm),
        absent=dict(_absent(sources, held)),
        requirements=requirements(present),
        **held,  # type: ignore[arg-type]
    )


def _scope(sources: Sources) -> Callable[[FindingLife | ModelSeen], bool]:
    """Of a scope that was asked for: what is about it, or about no service at all."""
    asked = {name: word for name in ("namespace", "service", "model") if (word := getattr(sources.wanted, name))}

    def holds(one: FindingLife | ModelSeen) -> bool:
        return all(getattr(one, name) in ("", word) for name, word in asked.items())

    return holds


def _deployment(sources: Sources) -> str:
    return sources.stored.deployment if sources.stored else ""


def _keys(sources: Sources) -> set[tuple[str, str]]:
    return sources.observed.flags.keys() | sources.profiles.flags.keys()


def _objectives(sources: Sources, values: Values, prometheus: Prometheus | None) -> tuple[SloAttained, ...]:
    """From Prometheus where it knows any; otherwise from what was observed, or the store's counts of errors."""
    if prometheus is not None:
        wanted = sources.wanted
        found = [
            one
            for one in prometheus.objectives(sources.period)
            if wanted.segment(f"{one.namespace}/{one.service}/{one.model}")
        ]
        if found:
            return tuple(found)
    seen = list(attained.objectives(values.slos, sources.observed, sources.period))
    known = {(one.slo, one.namespace, one.service, one.model) for one in seen}
    seen += [
        one
        for one in attained.objectives(values.slos, sources.profiles, sources.period)
        if (one.slo, one.namespace, one.service, one.model) not in known
    ]
    return tuple(sorted(seen, key=lambda one: (-one.budget_spent, one.slo, one.service, one.model)))


def _changes(sources: Sources, models: tuple[ModelSeen, ...]) -> Iterator[Change]:
    events = sources.shelf.journal.events
    yield from _of_journal(events, sources.period)
    for one in sources.stored.changes if sources.stored else ():
        if one.kind != "reference" or not events:
            yield one
    for seen in models:
        if seen.is_new:
            named = " ".join(filter(None, (seen.model, seen.version if seen.version != seen.model else "")))
            yield Change(seen.first_seen, "version", "first seen", "", f"{named} in {seen.service}", "", "")


def _of_journal(events: Sequence[Event], period: Period) -> Iterator[Change]:
    for one in events:
        if period.holds(one.at):
            subject = f"{one.signal} of {one.segment}"
            yield Change(one.at, "reference", one.deed.value, one.by, subject, one.why, one.reference)


def _completeness(sources: Sources, prometheus: Prometheus | None, made_at: float) -> Completeness:
    period = sources.period
    until = min(period.until, made_at)
    blind: tuple[Blind, ...] = ()
    watched: float | None = None
    if sources.stored is not None:
        from watchkeeper.agent.report.stored import blind as blind_times

        blind = blind_times(sources.stored.lives, period.since, until, HEARTBEAT_SECONDS)
        watched = until - period.since - sum(one.until - one.since for one in blind)
    accepted, dropped = prometheus.items(period) if prometheus is not None else (None, None)
    return Completeness(
        period_seconds=until - period.since,
        watched_seconds=watched,
        precision_seconds=HEARTBEAT_SECONDS,
        blind=blind,
        links=attained.links(sources.observed, sources.profiles),
        items_accepted=accepted,
        items_dropped=dropped,
    )


def _false_alarms(
    incidents: tuple[FindingLife, ...], sources: Sources, completeness: Completeness, days_per_alarm: float
) -> FalseAlarms:
    watched = completeness.watched_seconds
    days = (completeness.period_seconds if watched is None else watched) / 86_400
    told = [one for one in incidents if one.is_drift and sources.period.holds(one.opened_at)]
    confirmed = sum(1 for one in told if one.cause)
    without = sum(1 for one in told if not one.cause and one.closed_at is not None)
    return FalseAlarms(
        days_per_alarm, days / days_per_alarm, len(told), confirmed, without, len(told) - confirmed - without
    )


def _rests_on(sources: Sources) -> Iterator[RestsOn]:
    yield from sources.files
    stored = sources.stored
    if stored is None:
        return
    if stored.configuration[0]:
        yield RestsOn(CONFIGURATION, "in force at the end of the period", stored.configuration[0])
    if stored.audit:
        oldest = datetime.fromtimestamp(stored.audit[0].at, UTC).strftime("%Y-%m-%d")
        told = f"entries {stored.audit[0].number} to {stored.audit[-1].number}, the oldest of {oldest}"
        yield RestsOn(AUDIT, told, stored.audit_head.head_hash)
    if stored.profiles:
        yield RestsOn("profiles", "counts by hour in the store", stored.profiles)


def _absent(sources: Sources, held: dict[str, tuple[object, ...]]) -> Iterator[tuple[str, Said]]:
    if sources.stored is None:
        for part in ("incidents", "models", "completeness", "false_alarms"):
            yield part, _NO_STORE
    elif problem := sources.stored.audit_head.problem:
        yield (
            "rests_on",
            Said(f"the audit log is not as it was written: {problem}", f"审计日志与写入时不一致：{problem}"),
        )
    if not held["drift"]:
        yield (
            "drift",
            Said(
                "no signal of this period has an approved reference and observations",
                "本期没有信号同时具有已批准的参考与观测",
            ),
        )
    elif sources.lost_hours:
        told = f"{sources.lost_hours:,}"
        yield (
            "drift",
            Said(
                f"{told} hourly counts are left out: their reference is not in the folder of references",
                f"{told} 条小时计数未计入：其参考不在参考文件夹中",
            ),
        )
    if not held["slos"]:
        yield (
            "slos",
            Said(
                "neither a Prometheus nor what was observed tells of an objective", "Prometheus 与观测均未提供目标数据"
            ),
        )
    if not held["safety"]:
        yield "safety", Said("no check marked or passed an answer", "没有检查结果")
