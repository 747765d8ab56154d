"""
The audit log: entries numbered by deployment, each with the hash of the one before.

The hash of an entry is SHA-256 over its fields as JSON: keys sorted, no spaces, UTF-8, `detail` as the text it is kept
as. So a changed, removed or inserted entry shows; the head, kept apart, shows those cut off at the end. Who can write
the database can make a whole new chain: keep the head's hash, which `watchkeeper audit verify` prints, elsewhere.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select, update

from exporters.store.tables import AUDIT, AUDIT_HEADS
from exporters.store.upsert import insert

_VERIFIED_AT_ONCE: Final = 1_000


class Entry(msgspec.Struct, frozen=True):
    number: int
    """from 1, without gaps"""
    at: float
    """unix seconds, to the millisecond"""
    who: str
    action: str
    subject: str
    detail: str
    """JSON"""
    previous: str
    """hash of the entry before; empty in the first"""
    hash: str


class Verified(msgspec.Struct, frozen=True):
    """What became of a verification: `problem` is empty where every entry is as it was written."""

    entries: int
    """that were looked at, up to the first broken one"""
    first_number: int
    head_number: int
    head_hash: str
    problem: str = ""
    broken_number: int = 0
    """of the first entry that is not as it was written, 0 where there is none"""


def digest(deployment: str, entry: Entry) -> str:
    """What the entry's hash has to be."""
    fields: dict[str, Any] = {**msgspec.to_builtins(entry), "deployment": deployment}
    del fields["hash"]
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def append(
    connection: Connection, deployment: str, *, at: float, who: str, action: str, subject: str, detail: dict[str, Any]
) -> Entry:
    """
    The next entry. Others that append to the same chain wait until this transaction is over.

    :param at: unix seconds
    """
    asked = select(AUDIT_HEADS.c.number, AUDIT_HEADS.c.hash).where(AUDIT_HEADS.c.deployment == deployment)
    head = connection.execute(asked.with_for_update()).first()
    if head is None:
        empty = insert(connection, AUDIT_HEADS).values(
            deployment=deployment, number=0, hash="", base_number=0, base_hash=""
        )
        connection.execute(empty.on_conflict_do_nothing())
        head = connection.execute(asked.with_for_update()).one()
    number, previous = head
    told = msgspec.json.encode(detail, order="sorted").decode()
    entry = Entry(number + 1, round(at, 3), who, action, subject, told, previous, "")
    entry = msgspec.structs.replace(entry, hash=digest(deployment, entry))
    connection.execute(AUDIT.insert().values(deployment=deployment, **msgspec.to_builtins(entry)))
    connection.execute(
        update(AUDIT_HEADS).where(AUDIT_HEADS.c.deployment == deployment).values(number=entry.number, hash=entry.hash)
    )
    return entry


def entries(connection: Connection, deployment: str, after: int = 0, most: int = 100) -> list[Entry]:
    """In order. :param after: number of the last one that is known"""
    wanted = (AUDIT.c.deployment == deployment, AUDIT.c.number > after)
    query = select(AUDIT).where(*wanted).order_by(AUDIT.c.number).limit(most)
    return [_entry(row) for row in connection.execute(query).mappings()]


def verify(connection: Connection, deployment: str) -> Verified:
    """Reads the whole chain of a deployment, a thousand entries in memory at a time."""
    head = connection.execute(select(AUDIT_HEADS).where(AUDIT_HEADS.c.deployment == deployment)).mappings().first()
    if head is None:
        lost = entries(connection, deployment, most=1)
        return Verified(0, 0, 0, "", "the head of the log is gone" if lost else "", lost[0].number if lost else 0)
    first, looked_at, previous = head["base_number"] + 1, 0, head["base_hash"]

    def said(problem: str = "", broken: int = 0) -> Verified:
        return Verified(looked_at, first, head["number"], head["hash"], problem, broken)

    for entry in _all(connection, deployment):
        expected = first + looked_at
        if entry.number != expected:
            why = f"entry {expected} is gone" if entry.number > expected else f"entry {entry.number} was removed before"
            return said(why, min(entry.number, expected))
        if entry.hash != digest(deployment, entry):
            return said(f"entry {entry.number} was changed after it was written", entry.number)
        if entry.previous != previous:
            return said(f"entry {entry.number} does not follow from the one before it", entry.number)
        looked_at, previous = looked_at + 1, entry.hash
    if first + looked_at - 1 > head["number"]:
        return said(f"entry {head['number'] + 1} comes after the head of the log", head["number"] + 1)
    if first + looked_at - 1 < head["number"]:
        return said(f"entry {first + looked_at} and all after it are gone", first + looked_at)
    if previous != head["hash"]:
        return said("the head of the log is not the hash of its last entry", head["number"])
    return said()


def remove(connection: Connection, deployment: str, before: float, most: int) -> int:
    """
    The oldest entries, older than `before` (unix seconds), `most` at a time; the chain is verified from there on.

    :return: how many went
    """
    head = (
        connection.execute(select(AUDIT_HEADS).where(AUDIT_HEADS.c.deployment == deployment).with_for_update())
        .mappings()
        .first()
    )
    old = [entry for entry in entries(connection, deployment, most=most) if entry.at < before]
    if head is None or not old:
        return 0
    last = old[-1]
    connection.execute(AUDIT.delete().where(AUDIT.c.deployment == deployment, AUDIT.c.number <= last.number))
    connection.execute(
        update(AUDIT_HEADS)
        .where(AUDIT_HEADS.c.deployment == deployment)
        .values(base_number=last.number, base_hash=last.hash)
    )
    return len(old)


def _all(connection: Connection, deployment: str) -> Iterator[Entry]:
    after = -1
    while found := entries(connection, deployment, after, _VERIFIED_AT_ONCE):
        yield from found
        after = found[-1].number


def _entry(row: Any) -> Entry:
    return Entry(**{name: row[name] for name in Entry.__struct_fields__})
