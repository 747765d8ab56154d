"""What is older than its retention goes, a bite at a time, so that nobody who writes waits for it."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, and_, delete, func, or_, select, tuple_

from exporters.store import RetentionConfig, audit
from exporters.store.tables import AUDIT, CHANGES, FINDING_EVENTS, FINDINGS, INVENTORY, PROFILES, SAMPLES

BITE: Final = 500
DAY_SECONDS: Final = 86_400.0
KINDS: Final = ("findings", "changes", "audit", "profiles", "samples", "inventory")


def bite(connection: Connection, config: RetentionConfig, deployment: str, kind: str, now: float) -> int:
    """
    The oldest of a kind that are too old, 500 at most.

    :param now: unix seconds
    :return: how many went; as many as a bite holds: there may be more
    """
    return _BITES[kind](connection, config, deployment, now)


def _findings(connection: Connection, config: RetentionConfig, deployment: str, now: float) -> int:
    before = now - config.events_days * DAY_SECONDS
    columns = FINDINGS.c
    over = or_(columns.resolved_at < before, columns.closed_at < before)
    found = select(columns.id).where(columns.deployment == deployment, over).limit(BITE)
    ids = list(connection.execute(found).scalars())
    if ids:
        connection.execute(delete(FINDING_EVENTS).where(FINDING_EVENTS.c.finding.in_(ids)))
        connection.execute(delete(FINDINGS).where(columns.id.in_(ids)))
    return len(ids)


def _changes(connection: Connection, config: RetentionConfig, deployment: str, now: float) -> int:
    before = now - config.events_days * DAY_SECONDS
    return _remove(connection, CHANGES, and_(CHANGES.c.deployment == deployment, CHANGES.c.at < before))


def _audit(connection: Connection, config: RetentionConfig, deployment: str, now: float) -> int:
    return audit.remove(connection, deployment, now - config.events_days * DAY_SECONDS, BITE)


def _inventory(connection: Connection, config: RetentionConfig, deployment: str, now: float) -> int:
    before = now - config.inventory_days * DAY_SECONDS
    wanted = and_(INVENTORY.c.deployment == deployment, INVENTORY.c.last_seen < before)
    return _remove(connection, INVENTORY, wanted)


def _profiles(connection: Connection, config: RetentionConfig, _: str, now: float) -> int:
    return _remove(connection, PROFILES, PROFILES.c.hour < now - config.profiles_days * DAY_SECONDS)


def _samples(connection: Connection, config: RetentionConfig, _: str, now: float) -> int:
    return _remove(connection, SAMPLES, SAMPLES.c.hour < now - config.samples_days * DAY_SECONDS)


def _remove(connection: Connection, table: Table, wanted: Any) -> int:
    key = tuple_(*table.primary_key)
    return connection.execute(
        delete(table).where(key.in_(select(*table.primary_key).where(wanted).limit(BITE)))
    ).rowcount


_BITES: Final[dict[str, Callable[[Connection, RetentionConfig, str, float], int]]] = {
    "findings": _findings,
    "changes": _changes,
    "audit": _audit,
    "profiles": _profiles,
    "samples": _samples,
    "inventory": _inventory,
}
_TIMES: Final[dict[str, tuple[Column[Any], Column[Any] | None]]] = {
    "findings": (FINDINGS.c.opened_at, FINDINGS.c.deployment),
    "changes": (CHANGES.c.at, CHANGES.c.deployment),
    "audit": (AUDIT.c.at, AUDIT.c.deployment),
    "profiles": (PROFILES.c.hour, None),
    "samples": (SAMPLES.c.hour, None),
    "inventory": (INVENTORY.c.first_seen, INVENTORY.c.deployment),
}


def oldest(connection: Connection, deployment: str) -> dict[str, float]:
    """Unix seconds of the oldest record by kind; a kind that has none is left out."""
    found: dict[str, float] = {}
    for kind, (time, owner) in _TIMES.items():
        query = select(func.min(time)) if owner is None else select(func.min(time)).where(owner == deployment)
        at = connection.execute(query).scalar()
        if at is not None:
            found[kind] = float(at)
    return found
