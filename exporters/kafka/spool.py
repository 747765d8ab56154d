"""Messages that wait to be sent: in a SQLite file, or in memory where there is none. Bounded; the oldest make way."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
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


class Message(NamedTuple):
    at: float
    """unix seconds at which it was made"""
    topic: str
    key: bytes
    value: bytes


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
        self.size_bytes += sum(len(one.key) + len(one.value) + _OVERHEAD_BYTES for one in messages)
        self._make_room()

    def first(self, count: int) -> list[Waiting]:
        """The oldest, in order."""
        try:
            return self._read(count)
        except sqlite3.Error as error:
            self._to_memory(error)
            return self._read(count)

    def take_off(self, last: Waiting) -> None:
        """Up to and with this one, they were sent."""
        try:
            self._delete(last.id)
        except sqlite3.Error as error:
            self._to_memory(error)
            self._delete(last.id)

    def oldest(self) -> float | None:
        """Unix seconds at which the first was made."""
        found = self.first(1)
        return found[0].message.at if found else None

    def close(self) -> None:
        self._database.close()

    def _insert(self, database: sqlite3.Connection, messages: Sequence[Message]) -> None:
        with database:
            database.executemany("INSERT INTO waiting (at, topic, name, value) VALUES (?, ?, ?, ?)", messages)

    def _read(self, count: int) -> list[Waiting]:
        rows = self._database.execute("SELECT id, at, topic, name, value FROM waiting ORDER BY id LIMIT ?", (count,))
        return [Waiting(row[0], Message(*row[1:])) for row in rows]

    def _delete(self, last: int) -> None:
        size, count = self._database.execute(
            f"SELECT {_SIZE}, count(*) FROM waiting WHERE id <= ?",  # noqa: S608 - our own words
            (last,),
        ).fetchone()
        with self._database:
            self._database.execute("DELETE FROM waiting WHERE id <= ?", (last,))
        self.messages -= count
        self.size_bytes -= size

    def _make_room(self) -> None:
        while self.size_bytes > self._most_bytes and self.messages > 1:
            oldest = self.first(max(1, min(64, self.messages // 8)))
            self.take_off(oldest[-1])
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
        self._move(self._database, database)
        self._in_memory = self._has_copy = False

    def _to_memory(self, error: sqlite3.Error) -> None:
        _LOG.warning("%s: %s; messages wait in memory until it can be used", self._file, error)
        self._tried_at = time.monotonic()
        self._has_copy = self._move(self._database, _memory())
        self._in_memory = True

    def _move(self, source: sqlite3.Connection, target: sqlite3.Connection) -> bool:
        """Whether all that was in the one is in the other."""
        is_whole = True
        try:
            rows = source.execute("SELECT at, topic, name, value FROM waiting ORDER BY id").fetchall()
            self._insert(target, [Message(*row) for row in rows])
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
