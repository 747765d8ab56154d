"""What the store holds of a period, as parts of a record. Reads alone; the store's own queries."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection, select

from exporters.store import StoreConfig, audit, database, queries
from exporters.store.audit import Entry, Verified
from exporters.store.tables import CONFIGURATIONS, SEGMENTS
from watchkeeper.agent.report.counts import Stream
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.record import Blind, Change, Deed, FindingLife, ModelSeen
from watchkeeper.core.errors import ConfigError, Unavailable

_LONGEST_SECONDS: Final = 92 * 86_400.0
"""a finding that was told so long before the period and lasts is still looked for"""
_MOST: Final = 5_000
Rows = Iterator[tuple[float, Stream, list[int]]]
Taken = TypeVar("Taken")
_PERSONAL: Final = ("acknowledged", "cause confirmed", "closed", "commented")


class Stored(msgspec.Struct, frozen=True):
    models: tuple[ModelSeen, ...]
    incidents: tuple[FindingLife, ...]
    changes: tuple[Change, ...]
    configuration: tuple[str, str]
    """hash and document of the one in force at the end of the period; empty where none is known"""
    lives: tuple[tuple[float, float], ...]
    """of each process: its start and last sign of life"""
    profiles: str
    """SHA-256 of the counts that were read; empty where there are none"""
    audit: tuple[Entry, ...]
    audit_head: Verified
    deployment: str


def read(
    config: StoreConfig, period: Period, is_wanted: Callable[[str], bool], take: Callable[[Rows], Taken]
) -> tuple[Stored, Taken]:
    """
    :param take: is handed counts by the hour, a segment in memory at a time
    :raises ConfigError: the database is away, or is no store of watchkeeper's
    """
    engine = database.connect(config)
    try:
        with database.reading(engine) as connection:
            if not database.revision(connection):
                place = database.shown(engine)
                raise ConfigError(f"{place}: is no store of watchkeeper's; look at exporters.store.url")
            digest = hashlib.sha256()
            taken = take(_profiles(connection, config.deployment, period, is_wanted, digest))
            return _read(connection, config.deployment, period, digest), taken
    except Unavailable as error:
        raise ConfigError(f"{error}; a report needs the store: bring it back, or leave exporters.store out") from None
    finally:
        engine.dispose()


def _profiles(
    connection: Connection, deployment: str, period: Period, is_wanted: Callable[[str], bool], digest: "hashlib._Hash"
) -> Rows:
    names = select(SEGMENTS.c.segment).where(SEGMENTS.c.deployment == deployment).order_by(SEGMENTS.c.segment)
    for segment in connection.execute(names).scalars().all():
        if not is_wanted(segment):
            continue
        for one in queries.profiles(connection, deployment, period.since, period.until, segment):
            digest.update(f"{one.hour:.0f} {one.segment} {one.signal} {one.reference} {one.counts}\n".encode())
            yield one.hour, Stream(one.segment, one.signal, one.reference), one.counts


def _read(connection: Connection, deployment: str, period: Period, digest: "hashlib._Hash") -> Stored:
    return Stored(
        models=tuple(_models(queries.inventory(connection, deployment, "model"), period)),
        incidents=tuple(_incidents(connection, deployment, period)),
        changes=tuple(
            Change(one.at, one.kind, "changed", one.who, one.subject, one.summary, one.hash)
            for one in queries.changes(connection, deployment, period.since, period.until, _MOST)
        ),
        configuration=_configuration(connection, deployment, period),
        lives=tuple(
            (one.started_at, one.seen_at)
            for one in queries.processes(connection, deployment, period.since, period.until)
        ),
        profiles="" if digest.digest() == hashlib.sha256().digest() else digest.hexdigest(),
        audit=tuple(_audit(connection, deployment)),
        audit_head=audit.verify(connection, deployment),
        deployment=deployment,
    )


def _models(things: Sequence[queries.Thing], period: Period) -> Iterator[ModelSeen]:
    for one in things:
        if one.first_seen < period.until and one.last_seen >= period.since:
            is_new = one.first_seen >= period.since
            names = (one.namespace, one.service, one.provider, one.name, one.version)
            yield ModelSeen(*names, one.first_seen, one.last_seen, is_new)


def _incidents(connection: Connection, deployment: str, period: Period) -> Iterator[FindingLife]:
    """In order of their beginning: told in the period, or told before and not over when it began."""
    found: list[queries.Found] = []
    before: str | None = None
    while len(found) < _MOST:
        wanted = queries.Wanted(
            since=period.since - _LONGEST_SECONDS, until=period.until, before=before, limit=queries.MOST
        )
        page = queries.findings(connection, deployment, wanted)
        found += page
        if len(page) < queries.MOST:
            break
        before = page[-1].id
    for one in sorted(found, key=lambda each: (each.since, each.opened_at)):
        ends = [at for at in (one.resolved_at, one.closed_at) if at is not None]
        if one.opened_at >= period.since or not ends or min(ends) >= period.since:
            whole = queries.finding(connection, deployment, one.id)
            if whole is not None:
                yield life(whole)


def life(found: queries.Found) -> FindingLife:
    """:param found: with all that happened to it"""
    deeds = tuple(Deed(one.at, one.who, one.deed, one.text) for one in found.life if one.deed in _PERSONAL)
    ends = [at for at in (found.resolved_at, found.closed_at) if at is not None]
    return FindingLife(
        id=found.id,
        name=found.name,
        namespace=found.labels.get("k8s.namespace.name", ""),
        service=found.labels.get("service.name", ""),
        model=found.labels.get("gen_ai.request.model", ""),
        subject=found.subject,
        severity=found.severity,
        standing=found.standing,
        summary=found.summary,
        evidence=tuple(found.evidence),
        since=found.since,
        opened_at=found.opened_at,
        acknowledged_at=found.acknowledged_at,
        acknowledged_by=found.acknowledged_by,
        probable_cause=found.causes[0].summary if found.causes else "",
        cause=found.cause,
        cause_by=found.cause_by,
        resolved_at=found.resolved_at,
        closed_at=found.closed_at,
        closed_by=found.closed_by,
        deeds=deeds,
        detection_seconds=max(0.0, found.opened_at - found.since),
        response_seconds=max(0.0, min(one.at for one in deeds) - found.opened_at) if deeds else None,
        duration_seconds=max(0.0, min(ends) - found.since) if ends else None,
        is_drift=found.subject.startswith("drift of "),
    )


def _configuration(connection: Connection, deployment: str, period: Period) -> tuple[str, str]:
    known = [
        one
        for one in queries.changes(connection, deployment, 0.0, period.until, _MOST)
        if one.kind == "configuration" and one.hash
    ]
    if not known:
        return "", ""
    last = known[-1].hash
    row = connection.execute(select(CONFIGURATIONS.c.document).where(CONFIGURATIONS.c.hash == last)).first()
    return last, str(row[0]) if row else ""


def _audit(connection: Connection, deployment: str) -> Iterator[Entry]:
    after = 0
    while page := audit.entries(connection, deployment, after, 1_000):
        yield from page
        after = page[-1].number


def blind(lives: Sequence[tuple[float, float]], since: float, until: float, slack: float) -> tuple[Blind, ...]:
    """
    Times in which none lived.

    :param slack: seconds after its last sign for which a process is taken to have lived
    """
    reached, found = since, []
    for start, end in sorted(lives):
        if start > reached:
            found.append(Blind(reached, min(start, until)))
        reached = max(reached, end + slack)
        if reached >= until:
            break
    if reached < until:
        found.append(Blind(reached, until))
    return tuple(one for one in found if one.until - one.since > slack)
