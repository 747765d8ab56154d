"""Findings and changes, each written in the caller's transaction with its entry in the audit log. Twice counts once."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select, update

from exporters.store import audit
from exporters.store.configuration import differences
from exporters.store.events import ChangeTold, Event, FindingTold
from exporters.store.tables import CHANGES, CONFIGURATIONS, FINDING_EVENTS, FINDINGS
from exporters.store.texts import plain
from exporters.store.totals import Writer
from exporters.store.upsert import insert
from watchkeeper.core.records import ChangeKind, Finding

WATCHKEEPER: Final = "watchkeeper"
"""who, of what nobody did"""
_NAMES: Final = {
    "k8s.namespace.name": "namespace",
    "service.name": "service",
    "gen_ai.request.model": "model",
}


def event(connection: Connection, writer: Writer, told: Event) -> bool:
    """False where it was there already."""
    table = FINDING_EVENTS if isinstance(told, FindingTold) else CHANGES
    if connection.execute(select(table.c.id).where(table.c.id == told.id)).first() is not None:
        return False
    if isinstance(told, FindingTold):
        _finding(connection, writer, told)
        return True
    return _change(connection, writer, told)


def _finding(connection: Connection, writer: Writer, told: FindingTold) -> None:
    found = told.finding
    still = connection.execute(
        select(FINDINGS.c.id, FINDINGS.c.closed_at)
        .where(
            FINDINGS.c.deployment == writer.deployment,
            FINDINGS.c.instance == writer.instance,
            FINDINGS.c.subject_key == told.subject_key,
            FINDINGS.c.resolved_at.is_(None),
        )
        .order_by(FINDINGS.c.opened_at.desc())
        .limit(1)
    ).first()
    over = {"resolved_at": found.at} if found.resolved else {}
    if still is not None and still.closed_at is not None and not found.resolved:
        _update(connection, still.id, {"resolved_at": found.at})  # a person was done with it: this is another one
        still = None
    if still is None:
        identity, deed = told.id, "told" if found.resolved else "opened"
        row = {"id": told.id, "deployment": writer.deployment, "instance": writer.instance, "opened_at": found.at}
        connection.execute(FINDINGS.insert().values(**row, subject_key=told.subject_key, **_columns(found), **over))
    else:
        identity, deed = still.id, "resolved" if found.resolved else "changed"
        _update(connection, identity, over if found.resolved else _columns(found))
    _life(connection, told.id, identity, found.at, WATCHKEEPER, deed, found.summary)
    detail = {"event": told.id, "severity": found.severity.value, "summary": found.summary, "since": found.since}
    _audit(connection, writer, found.at, f"finding {deed}", identity, detail | {"subject": found.subject})


def _columns(found: Finding) -> dict[str, Any]:
    labels = dict(found.labels)
    return {
        "name": plain(found.name),
        "subject": plain(found.subject),
        "labels": _json(labels),
        **{column: plain(labels.get(label, "")) for label, column in _NAMES.items()},
        "severity": found.severity.value,
        "summary": plain(found.summary),
        "evidence": _json(found.evidence),
        "causes": _json(found.causes),
        "action": plain(found.action),
        "runbook": plain(found.runbook),
        "since": found.since,
        "changed_at": found.at,
    }


def _update(connection: Connection, identity: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(FINDINGS).where(FINDINGS.c.id == identity).values(**values))


def _life(connection: Connection, id_: str, finding: str, at: float, who: str, deed: str, text: str) -> None:
    connection.execute(
        FINDING_EVENTS.insert().values(id=id_, finding=finding, at=at, who=who, deed=deed, text=plain(text))
    )


def _change(connection: Connection, writer: Writer, told: ChangeTold) -> bool:
    change = told.change
    summary, digest = change.summary, ""
    if change.kind is ChangeKind.CONFIGURATION:
        digest = hashlib.sha256(change.document.encode()).hexdigest()
        before = _last_configuration(connection, writer.deployment, change.subject)
        if before is not None and before[0] == digest:
            return False
        summary = "; ".join(differences(before[1] if before else None, change.document))
        connection.execute(
            insert(connection, CONFIGURATIONS)
            .values(hash=digest, at=change.at, document=change.document)
            .on_conflict_do_nothing()
        )
    connection.execute(
        CHANGES.insert().values(
            id=told.id,
            deployment=writer.deployment,
            instance=writer.instance,
            at=change.at,
            kind=change.kind.value,
            who=plain(change.who),
            subject=plain(change.subject),
            summary=plain(summary),
            hash=digest,
        )
    )
    detail = {"subject": change.subject, "summary": summary, "hash": digest, "instance": writer.instance}
    action = f"{change.kind.value} changed"
    _audit(connection, writer, change.at, action, change.key, detail, who=change.who or WATCHKEEPER)
    return True


def _last_configuration(connection: Connection, deployment: str, subject: str) -> tuple[str, str] | None:
    """Hash and document."""
    query = (
        select(CHANGES.c.hash, CONFIGURATIONS.c.document)
        .join(CONFIGURATIONS, CONFIGURATIONS.c.hash == CHANGES.c.hash)
        .where(
            CHANGES.c.deployment == deployment,
            CHANGES.c.kind == ChangeKind.CONFIGURATION.value,
            CHANGES.c.subject == subject,
        )
        .order_by(CHANGES.c.at.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return (row[0], row[1]) if row else None


def _audit(
    connection: Connection,
    writer: Writer,
    at: float,
    action: str,
    subject: str,
    detail: dict[str, Any],
    who: str = WATCHKEEPER,
) -> None:
    cleaned = {name: plain(value) if isinstance(value, str) else value for name, value in detail.items()}
    audit.append(
        connection,
        writer.deployment,
        at=at,
        who=plain(who),
        action=action,
        subject=plain(subject),
        detail=cleaned,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
