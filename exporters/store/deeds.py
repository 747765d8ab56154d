"""What people do to findings, each with its entry in the audit log, in the caller's transaction."""

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from exporters.store import audit
from exporters.store.tables import FINDING_EVENTS, FINDINGS
from exporters.store.texts import plain


class NotFoundError(LookupError):
    """No such finding."""


class ConflictError(ValueError):
    """The finding is not in a state in which this can be done; says why."""


def acknowledge(connection: Connection, deployment: str, finding: str, *, at: float, who: str, comment: str) -> None:
    """
    Somebody looks at it.

    :param at: unix seconds
    :raises NotFoundError: no finding has the id
    :raises ConflictError: it is closed, or acknowledged already
    """
    row = _held(connection, deployment, finding)
    if row["acknowledged_at"] is not None:
        raise ConflictError(f"acknowledged by {row['acknowledged_by']} already")
    _do(connection, deployment, finding, "acknowledged", {"acknowledged_at": at, "acknowledged_by": who}, at, comment)


def confirm(
    connection: Connection, deployment: str, finding: str, *, at: float, who: str, cause: str, comment: str
) -> None:
    """
    What it came from, as a person says; a later word replaces an earlier one.

    :raises NotFoundError: no finding has the id
    :raises ConflictError: it is closed
    """
    _held(connection, deployment, finding)
    values = {"cause": plain(cause), "cause_by": who, "cause_at": at}
    _do(connection, deployment, finding, "cause confirmed", values, at, comment, who=who, cause=cause)


def close(connection: Connection, deployment: str, finding: str, *, at: float, who: str, comment: str) -> None:
    """
    Nothing is left to do about it, whether its signal is over or not.

    :raises NotFoundError: no finding has the id
    :raises ConflictError: it is closed already
    """
    _held(connection, deployment, finding)
    _do(connection, deployment, finding, "closed", {"closed_at": at, "closed_by": who}, at, comment)


def comment(connection: Connection, deployment: str, finding: str, *, at: float, who: str, comment: str) -> None:
    """
    A word about it, also when it is closed.

    :raises NotFoundError: no finding has the id
    """
    _held(connection, deployment, finding, may_be_closed=True)
    _do(connection, deployment, finding, "commented", {}, at, comment, who=who)


def note(
    connection: Connection, deployment: str, *, at: float, who: str, action: str, subject: str, detail: dict[str, Any]
) -> None:
    """Something that was done elsewhere, such as to a reference."""
    cleaned = {name: plain(value) if isinstance(value, str) else value for name, value in detail.items()}
    audit.append(connection, deployment, at=at, who=plain(who), action=action, subject=plain(subject), detail=cleaned)


def _held(connection: Connection, deployment: str, finding: str, *, may_be_closed: bool = False) -> Mapping[str, Any]:
    query = select(FINDINGS).where(FINDINGS.c.id == finding, FINDINGS.c.deployment == deployment).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(f"no finding has the id {finding}")
    if row["closed_at"] is not None and not may_be_closed:
        raise ConflictError(f"closed by {row['closed_by']} already")
    return dict(row)


def _do(
    connection: Connection,
    deployment: str,
    finding: str,
    deed: str,
    values: dict[str, Any],
    at: float,
    said: str,
    *,
    who: str = "",
    cause: str = "",
) -> None:
    doer = plain(who or next(str(value) for name, value in values.items() if name.endswith("_by")))
    if values:
        cleaned = {name: plain(value) if isinstance(value, str) else value for name, value in values.items()}
        connection.execute(update(FINDINGS).where(FINDINGS.c.id == finding).values(**cleaned))
    text = plain(": ".join(filter(None, (cause, said))))
    connection.execute(
        FINDING_EVENTS.insert().values(id=secrets.token_hex(16), finding=finding, at=at, who=doer, deed=deed, text=text)
    )
    detail = {name: word for name, word in (("comment", said), ("cause", cause)) if word}
    note(connection, deployment, at=at, who=doer, action=f"finding {deed}", subject=finding, detail=detail)
