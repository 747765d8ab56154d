"""What the store answers, as typed records. Times are unix seconds."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from exporters.store.packed import decode_counts, decode_rows
from exporters.store.tables import (
    CHANGES,
    FINDING_EVENTS,
    FINDINGS,
    INVENTORY,
    PROFILES,
    SAMPLES,
    SEGMENTS,
    STREAMS,
    WRITERS,
)
from watchkeeper.core.memory import Did
from watchkeeper.core.observed import Row
from watchkeeper.core.records import Cause

MOST: Final = 1_000
DEEDS: Final = tuple(Did)
"""of people; all else in a life is watchkeeper's own"""
Standing = Literal["open", "acknowledged", "resolved", "closed"]
Some = Annotated[int, msgspec.Meta(ge=1, le=MOST)]


class Life(msgspec.Struct, frozen=True):
    """One thing that happened to a finding."""

    at: float
    who: str
    deed: str
    """opened, changed, resolved, told (over when it was told), acknowledged, cause confirmed, closed, commented"""
    text: str


class Found(msgspec.Struct, frozen=True):
    """A finding and where it stands."""

    id: str
    standing: Standing
    """open; acknowledged by a person; resolved (its signal is over); closed by a person, whatever its signal says"""
    instance: str
    name: str
    subject: str
    labels: dict[str, str]
    namespace: str
    service: str
    model: str
    severity: str
    summary: str
    evidence: list[str]
    causes: list[Cause]
    action: str
    runbook: str
    since: float
    opened_at: float
    changed_at: float
    resolved_at: float | None
    acknowledged_at: float | None
    acknowledged_by: str
    cause: str
    """as a person confirmed it"""
    cause_by: str
    cause_at: float | None
    closed_at: float | None
    closed_by: str
    life: list[Life] = []
    """filled where one finding is asked for"""


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings; what is left out is not asked for."""

    standing: Standing | None = None
    severity: Literal["info", "warning", "critical"] | None = None
    name: str | None = None
    namespace: str | None = None
    service: str | None = None
    model: str | None = None
    since: float | None = None
    """opened at this time or later"""
    until: float | None = None
    """opened before this time"""
    before: str | None = None
    """id of the last finding that is known: those before it come next"""
    limit: Some = 100


class Thing(msgspec.Struct, frozen=True):
    """What runs or ran: a model, a service's version, a device."""

    kind: str
    namespace: str
    service: str
    """of a device its id"""
    provider: str
    """of a device its vendor"""
    name: str
    version: str
    """the model that answered, the service's version, the device's driver and firmware"""
    first_seen: float
    last_seen: float


class Changed(msgspec.Struct, frozen=True):
    """A configuration or a reference that was changed."""

    at: float
    kind: str
    instance: str
    who: str
    subject: str
    summary: str
    hash: str


class Profile(msgspec.Struct, frozen=True):
    """Counts per bin of the reference in an hour, all writers together."""

    hour: float
    segment: str
    signal: str
    reference: str
    counts: list[int]


class Sampled(msgspec.Struct, frozen=True):
    """Rows drawn at random out of the `seen` of one writer in an hour."""

    hour: float
    segment: str
    instance: str
    seen: int
    rows: list[Row]


class Process(msgspec.Struct, frozen=True):
    """One process from its start to its end, as far as the store saw it."""

    instance: str
    version: str
    started_at: float
    seen_at: float


def findings(connection: Connection, deployment: str, wanted: Wanted) -> list[Found]:
    """The newest first."""
    columns = FINDINGS.c
    given: list[ColumnElement[bool]] = [columns.deployment == deployment]
    for field in ("severity", "name", "namespace", "service", "model"):
        if (value := getattr(wanted, field)) is not None:
            given.append(columns[field] == value)
    if wanted.standing is not None:
        given.append(_STANDINGS[wanted.standing])
    if wanted.since is not None:
        given.append(columns.opened_at >= wanted.since)
    if wanted.until is not None:
        given.append(columns.opened_at < wanted.until)
    if wanted.before is not None:
        last = connection.execute(select(columns.opened_at).where(columns.id == wanted.before)).scalar()
        if last is None:
            return []
        given.append(or_(columns.opened_at < last, and_(columns.opened_at == last, columns.id < wanted.before)))
    query = select(FINDINGS).where(*given).order_by(columns.opened_at.desc(), columns.id.desc()).limit(wanted.limit)
    return [_found(row) for row in connection.execute(query).mappings()]


def finding(connection: Connection, deployment: str, identity: str) -> Found | None:
    """With all that happened to it."""
    query = select(FINDINGS).where(FINDINGS.c.id == identity, FINDINGS.c.deployment == deployment)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    told = select(FINDING_EVENTS).where(FINDING_EVENTS.c.finding == identity).order_by(FINDING_EVENTS.c.at)
    life = [_as(Life, one) for one in connection.execute(told).mappings()]
    return msgspec.structs.replace(_found(row), life=life)


def remembered(connection: Connection, deployment: str, instance: str, most: int) -> list[Found]:
    """
    Of one process and its earlier runs, the newest first: those whose signal is not over, and the last of all.
    `life` has what people did, in order, of all of them the newest MOST deeds.

    :param most: of each of the two
    """
    columns = FINDINGS.c
    own = (columns.deployment == deployment, columns.instance == instance)
    rows: dict[str, Any] = {}
    for given in ((*own, columns.resolved_at.is_(None)), own):
        newest = select(FINDINGS).where(*given).order_by(columns.opened_at.desc(), columns.id.desc()).limit(most)
        rows |= {row["id"]: row for row in connection.execute(newest).mappings()}
    told = FINDING_EVENTS.c
    deeds = select(FINDING_EVENTS).where(told.finding.in_(list(rows)), told.deed.in_(DEEDS)).order_by(told.at.desc())
    lives: dict[str, list[Life]] = {}
    for one in connection.execute(deeds.limit(MOST)).mappings():
        lives.setdefault(one["finding"], []).insert(0, _as(Life, one))
    ordered = sorted(rows.values(), key=lambda row: (row["opened_at"], row["id"]), reverse=True)
    return [msgspec.structs.replace(_found(row), life=lives.get(row["id"], [])) for row in ordered]


_STANDINGS: Final[dict[str, ColumnElement[bool]]] = {
    "closed": FINDINGS.c.closed_at.is_not(None),
    "resolved": and_(FINDINGS.c.closed_at.is_(None), FINDINGS.c.resolved_at.is_not(None)),
    "acknowledged": and_(
        FINDINGS.c.closed_at.is_(None), FINDINGS.c.resolved_at.is_(None), FINDINGS.c.acknowledged_at.is_not(None)
    ),
    "open": and_(
        FINDINGS.c.closed_at.is_(None), FINDINGS.c.resolved_at.is_(None), FINDINGS.c.acknowledged_at.is_(None)
    ),
}


def inventory(connection: Connection, deployment: str, kind: str | None = None) -> list[Thing]:
    columns = INVENTORY.c
    given = [columns.deployment == deployment] + ([columns.kind == kind] if kind else [])
    order = (columns.kind, columns.namespace, columns.service, columns.name, columns.first_seen)
    return [_as(Thing, row) for row in connection.execute(select(INVENTORY).where(*given).order_by(*order)).mappings()]


def changes(connection: Connection, deployment: str, since: float, until: float, most: int = MOST) -> list[Changed]:
    """In order of time."""
    columns = CHANGES.c
    query = select(CHANGES).where(columns.deployment == deployment, columns.at >= since, columns.at < until)
    return [_as(Changed, row) for row in connection.execute(query.order_by(columns.at).limit(most)).mappings()]


def profiles(
    connection: Connection, deployment: str, since: float, until: float, segment: str | None = None
) -> list[Profile]:
    """By hour, segment and signal. One segment's month of 20 signals is 15,000 of them."""
    query = (
        select(PROFILES.c.hour, SEGMENTS.c.segment, STREAMS.c.signal, STREAMS.c.reference, PROFILES.c.counts)
        .join(STREAMS, STREAMS.c.id == PROFILES.c.stream)
        .join(SEGMENTS, SEGMENTS.c.id == STREAMS.c.segment)
        .where(SEGMENTS.c.deployment == deployment, PROFILES.c.hour >= since, PROFILES.c.hour < until)
        .order_by(PROFILES.c.hour, SEGMENTS.c.segment, STREAMS.c.signal, STREAMS.c.reference)
    )
    if segment is not None:
        query = query.where(SEGMENTS.c.segment == segment)
    summed: dict[tuple[int, str, str, str], list[int]] = {}
    for hour, name, signal, reference, data in connection.execute(query):
        counts = decode_counts(data)
        held = summed.setdefault((hour, name, signal, reference), [0] * len(counts))
        for place, count in enumerate(counts[: len(held)]):
            held[place] += count
    return [Profile(float(key[0]), *key[1:], counts) for key, counts in summed.items()]


def samples(
    connection: Connection, deployment: str, since: float, until: float, segment: str | None = None
) -> list[Sampled]:
    """By hour and segment, each writer's on its own: weigh them by what they had `seen`."""
    query = (
        select(SAMPLES.c.hour, SEGMENTS.c.segment, WRITERS.c.instance, SAMPLES.c.seen, SAMPLES.c.rows)
        .join(SEGMENTS, SEGMENTS.c.id == SAMPLES.c.segment)
        .join(WRITERS, WRITERS.c.id == SAMPLES.c.writer)
        .where(SEGMENTS.c.deployment == deployment, SAMPLES.c.hour >= since, SAMPLES.c.hour < until)
        .order_by(SAMPLES.c.hour, SEGMENTS.c.segment, WRITERS.c.id)
    )
    if segment is not None:
        query = query.where(SEGMENTS.c.segment == segment)
    return [
        Sampled(float(hour), name, instance, seen, decode_rows(rows))
        for hour, name, instance, seen, rows in connection.execute(query)
    ]


def processes(connection: Connection, deployment: str, since: float, until: float) -> list[Process]:
    """That lived then: what lies between one's last sign of life and the next one's start was not watched."""
    columns = WRITERS.c
    query = select(WRITERS).where(
        columns.deployment == deployment, columns.seen_at >= since, columns.started_at < until
    )
    return [_as(Process, row) for row in connection.execute(query.order_by(columns.started_at)).mappings()]


def _as(kind: type[Any], row: Any) -> Any:
    return kind(**{name: row[name] for name in kind.__struct_fields__})


def _found(row: Any) -> Found:
    given = {name: row[name] for name in Found.__struct_fields__ if name in row}
    given["labels"] = msgspec.json.decode(row["labels"], type=dict[str, str])
    given["evidence"] = msgspec.json.decode(row["evidence"], type=list[str])
    given["causes"] = msgspec.json.decode(row["causes"], type=list[Cause])
    return Found(standing=standing(row), **given)


def standing(row: Any) -> Standing:
    """Of a finding's columns."""
    if row["closed_at"] is not None:
        return "closed"
    if row["resolved_at"] is not None:
        return "resolved"
    return "open" if row["acknowledged_at"] is None else "acknowledged"


def deployments(connection: Connection) -> Sequence[str]:
    """All that have a record here."""
    return list(connection.execute(select(WRITERS.c.deployment).distinct().order_by(WRITERS.c.deployment)).scalars())
