"""Counts, rows and what was seen, written in the caller's transaction as the whole of an hour: twice counts once."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table, case, select

from exporters.store.packed import decode_counts, encode_rows
from exporters.store.tables import INVENTORY, PROFILES, SAMPLES, SEGMENTS, STREAMS, WRITERS
from exporters.store.texts import plain
from exporters.store.upsert import insert
from watchkeeper.core.observed import Drawn


class Writer(msgspec.Struct, frozen=True):
    """Who writes: one process from its start to its end."""

    deployment: str
    instance: str
    key: str
    version: str
    started_at: float


def heartbeat(connection: Connection, writer: Writer, now: float) -> int:
    """That the writer lives. :return: its number here"""
    values = {**msgspec.to_builtins(writer), "seen_at": now}
    statement = insert(connection, WRITERS).values(**values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[WRITERS.c.key], set_={"seen_at": statement.excluded.seen_at})
    )
    return int(connection.execute(select(WRITERS.c.id).where(WRITERS.c.key == writer.key)).scalar_one())


class Numbers:
    """Numbers that the database gives to segments and streams: remembered, bounded, asked for many at once."""

    _MOST: Final = 200_000

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._segments: dict[str, int] = {}
        self._streams: dict[tuple[str, str, str], int] = {}

    def forget(self) -> None:
        """What was learnt in a transaction that failed may not be."""
        self._segments.clear()
        self._streams.clear()

    def segment(self, connection: Connection, segment: str) -> int:
        found = self._segments.get(segment)
        if found is None:
            if len(self._segments) > self._MOST:
                self._segments.clear()
            key = {"deployment": self._deployment, "segment": plain(segment)[:600]}
            found = self._segments[segment] = _number(connection, SEGMENTS, key)
        return found

    def stream(self, connection: Connection, stream: tuple[str, str, str]) -> int:
        """:param stream: segment, signal and id of the reference"""
        found = self._streams.get(stream)
        if found is None:
            if len(self._streams) > self._MOST:
                self._streams.clear()
            segment = self.segment(connection, stream[0])
            key = {"segment": segment, "signal": plain(stream[1])[:200], "reference": stream[2][:64]}
            found = self._streams[stream] = _number(connection, STREAMS, key)
        return found


def _number(connection: Connection, table: Table, key: dict[str, Any]) -> int:
    query = select(table.c.id).where(*(table.c[name] == value for name, value in key.items()))
    found = connection.execute(query).scalar()
    if found is None:
        connection.execute(insert(connection, table).values(**key).on_conflict_do_nothing())
        found = connection.execute(query).scalar_one()
    return int(found)


def profiles(connection: Connection, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
    """Hour, stream, writer and counts of each: what the hour has so far."""
    if not rows:
        return
    statement = insert(connection, PROFILES)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(PROFILES.primary_key), set_={"counts": statement.excluded.counts}
        ),
        [dict(zip(("hour", "stream", "writer", "counts"), row, strict=True)) for row in rows],
    )


def counts_of(connection: Connection, hour: int, stream: int, writer: int) -> list[int]:
    """What this writer wrote of an hour before; empty where it wrote nothing."""
    columns = PROFILES.c
    query = select(columns.counts).where(columns.hour == hour, columns.stream == stream, columns.writer == writer)
    data = connection.execute(query).scalar()
    return [] if data is None else decode_counts(data)


def samples(connection: Connection, writer: int, numbers: Numbers, drawn: Iterable[Drawn]) -> None:
    statement = insert(connection, SAMPLES)
    rows = [
        {
            "hour": int(one.hour),
            "segment": numbers.segment(connection, one.segment),
            "writer": writer,
            "seen": one.seen,
            "rows": encode_rows(one.rows),
        }
        for one in drawn
    ]
    if rows:
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=list(SAMPLES.primary_key),
                set_={"seen": statement.excluded.seen, "rows": statement.excluded.rows},
            ),
            rows,
        )


class Thing(msgspec.Struct, frozen=True):
    """What runs: `kind` is model, service or device."""

    kind: str
    namespace: str = ""
    service: str = ""
    provider: str = ""
    name: str = ""
    version: str = ""


def inventory(connection: Connection, deployment: str, seen: Mapping[Thing, tuple[float, float]]) -> None:
    """Things with the unix seconds at which they were first and last seen."""
    if not seen:
        return
    statement = insert(connection, INVENTORY)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[INVENTORY.c.id],
            set_={
                "first_seen": case(
                    (new.first_seen < INVENTORY.c.first_seen, new.first_seen), else_=INVENTORY.c.first_seen
                ),
                "last_seen": case((new.last_seen > INVENTORY.c.last_seen, new.last_seen), else_=INVENTORY.c.last_seen),
            },
        ),
        [
            {
                "id": hashlib.sha256(msgspec.json.encode((deployment, thing))).hexdigest(),
                "deployment": deployment,
                **{name: plain(value) for name, value in msgspec.to_builtins(thing).items()},
                "first_seen": first,
                "last_seen": last,
            }
            for thing, (first, last) in sorted(seen.items(), key=lambda pair: msgspec.json.encode(pair[0]))
        ],
    )
