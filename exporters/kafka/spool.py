"""Messages that wait to be sent: in a SQLite file, or in memory where there is none. Bounded; the oldest make way."""

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_LOG: Final = logging.getLogger("watchkeeper.exporter.kafka")
_OVERHEAD_BYTES: Final = 64
"""of a row beside its key and value"""
_RETRY_SECONDS: Final = 30.0
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS waiting "
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, topic TEXT, name BLOB, value BLOB) STRICT"
)
_SIZE: Final = f"coalesce(sum(length(name) + length(value) + {_OVERHEAD_BYTES}), 0)"


Lane = tuple[str, bytes]
"""topic and key: messages of one lane lie in one partition and leave in their order"""


class Message(NamedTuple):
    at: float
    """unix seconds at which it was made"""
    topic: str
    key: bytes
    value: bytes

    @property
    def lane(self) -> Lane:
        return self.topic, self.key

    @property
    def size_bytes(self) -> int:
        """Room that it takes."""
        return len(self.key) + len(self.value) + _OVERHEAD_BYTES


class Waiting(NamedTuple):
    id: int
    message: Message


class Spool:
    """
    Belongs to one thread. What was put and not taken off is there again after a kill. A file that cannot be used costs
    no message while the process lives: they wait in memory until it can.

    :param file: None: in memory
    :param count: called with a reason and how many messages were dropped
    """

    def __init__(self, file: Path | None, most_bytes: int, count: Callable[[str, int], None]) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._count = count
        self._tried_at = float("-inf")
        self._in_memory = True
        self._has_copy = False
        """what is in the file waits in memory, too"""
        self._database = _memory()
        self.messages = self.size_bytes = 0
        self._to_disk()

    @property
    def is_kept(self) -> bool:
        """Whether what waits is there after a restart."""
        return not self._in_memory

    def put(self, messages: Sequence[Message]) -> None:
        if self._in_memory and self._file is not None and time.monotonic() - self._tried_at >= _RETRY_SECONDS:
            self._to_disk()
        try:
            self._insert(self._database, messages)
        except sqlite3.Error as error:
            self._to_memory(error)
            self._insert(self._database, messages)
        self.messages += len(messages)
        self.size_bytes += sum(one.size_bytes for one in messages)
        self._make_room()

    def first(self, count: int, without: Collection[Lane] = ()) -> list[Waiting]:
        """The oldest, in order, of all other lanes."""
        try:
            return self._read(count, without)
        except sqlite3.Error as error:
            self._to_memory(error)
            return self._read(count, without)

    def take_off(self, done: Sequence[Waiting]) -> None:
        """They were sent, or never will be."""
        try:
            self._delete(done)
        except sqlite3.Error as error:
            self._to_memory(error)
            self._delete(done)

    def oldest(self) -> float | None:
        """Unix seconds at which the first was made."""
        found = self.first(1)
        return found[0].message.at if found else None

    def close(self) -> None:
        self._database.close()

    def _insert(self, database: sqlite3.Connection, messages: Sequence[Message]) -> None:
        with database:
            database.executemany("INSERT INTO waiting (at, topic, name, value) VALUES (?, ?, ?, ?)", messages)

    def _read(self, count: int, without: Collection[Lane]) -> list[Waiting]:
        places = f"WHERE (topic, name) NOT IN (VALUES {', '.join(['(?, ?)'] * len(without))})" if without else ""
        rows = self._database.execute(
            f"SELECT id, at, topic, name, value FROM waiting {places} ORDER BY id LIMIT ?",  # noqa: S608 - our own words
            (*(one for lane in without for one in lane), count),
        )
        return [Waiting(row[0], Message(*row[1:])) for row in rows]

    def _delete(self, done: Sequence[Waiting]) -> None:
        with self._database:
            found = [
                one.message
                for one in done
                if self._database.execute("DELETE FROM waiting WHERE id = ?", (one.id,)).rowcount
            ]
        self.messages -= len(found)
        self.size_bytes -= sum(one.size_bytes for one in found)

    def _make_room(self) -> None:
        while self.size_bytes > self._most_bytes and self.messages > 1:
            oldest = self.first(max(1, min(64, self.messages // 8)))
            self.take_off(oldest)
            self._count("full", len(oldest))

    def _to_disk(self) -> None:
        """Opens the file and puts behind what is in it all that waited in memory."""
        if self._file is None:
            return
        self._tried_at = time.monotonic()
        try:
            database = _opened(self._file)
        except (sqlite3.Error, OSError) as error:
            if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.OperationalError):
                _LOG.warning("%s: %s; messages wait in memory until it can be used", self._file, error)
                return
            _LOG.warning("%s: %s; it is put aside, and what waited in it is lost", self._file, error)
            self._count("damaged", 1)
            self._file.replace(self._file.with_suffix(".damaged"))
            for more in ("-wal", "-shm"):
                self._file.with_name(self._file.name + more).unlink(missing_ok=True)
            return self._to_disk()
        if self._has_copy:
            database.execute("DELETE FROM waiting")
        self._move(self._database, database, as_new=True)
        self._in_memory = self._has_copy = False

    def _to_memory(self, error: sqlite3.Error) -> None:
        _LOG.warning("%s: %s; messages wait in memory until it can be used", self._file, error)
        self._tried_at = time.monotonic()
        self._has_copy = self._move(self._database, _memory(), as_new=False)
        self._in_memory = True

    def _move(self, source: sqlite3.Connection, target: sqlite3.Connection, *, as_new: bool) -> bool:
        """
        Whether all that was in the one is in the other.

        :param as_new: behind what is in the other; else by the same ids, which a `Waiting` may still be known by
        """
        is_whole = True
        number = "NULL" if as_new else "id"
        try:
            rows = source.execute(f"SELECT {number}, at, topic, name, value FROM waiting ORDER BY id").fetchall()  # noqa: S608
            with target:
                target.executemany("INSERT INTO waiting VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error:
            is_whole = False
            self._count("damaged", self.messages)
        source.close()
        self._database = target
        self.size_bytes, self.messages = target.execute(f"SELECT {_SIZE}, count(*) FROM waiting").fetchone()  # noqa: S608
        return is_whole


def _memory() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute(_TABLE)
    return database


def _opened(file: Path) -> sqlite3.Connection:
    """:raises sqlite3.Error: it cannot be used, or another process uses it"""
    file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file, timeout=0.5, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 1048576")
        database.execute(_TABLE)
        database.execute("SELECT count(*) FROM waiting").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database
