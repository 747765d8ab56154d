"""The exporter: hands over and returns. One thread brings events on disk, another one everything to the database."""

import logging
import random
import secrets
import time
from collections import deque
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from typing import Final

from sqlalchemy import exc

from exporters.store import StoreConfig, audit, database, keep, retention, totals
from exporters.store.events import ChangeTold, Event, FindingTold
from exporters.store.hours import READ, Hours, Things, thing_of_service
from exporters.store.packed import encode_counts
from exporters.store.spool import Spool
from exporters.store.totals import Numbers, Thing, Writer
from watchkeeper import __version__
from watchkeeper.core.errors import ConfigError, Retryable, Unavailable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Point, SeriesKey
from watchkeeper.core.vocabulary import store

_LOG: Final = logging.getLogger("watchkeeper.store")
_MOST_WAITING: Final = 2_000
_MOST_NAMES: Final = 20_000
_TURN_SECONDS: Final = 1.0
_BACKOFF_SECONDS: Final = (1.0, 30.0)
_EVENTS_AT_ONCE: Final = 100
_ROWS_AT_ONCE: Final = 2_000
_RETENTION_SECONDS: Final = 3600.0
_CLOSE_SECONDS: Final = 8.0
_SPOOL: Final = "store"


class Store:
    """
    `write` stores and returns; while the database is away it raises why, so that the agent counts it, says it once and
    shows the exporter as down. Nothing is lost of findings and changes meanwhile while there is room.

    :raises ConfigError: the database is of a newer watchkeeper, or cannot be had by this configuration
    """

    def __init__(self, config: StoreConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._engine = database.connect(config)
        self._is_prepared = False
        self._problem = ""
        now = time.time()
        self._writer = Writer(config.deployment, config.name, secrets.token_hex(6), __version__, now)
        try:
            self._prepare()
        except Unavailable as error:
            self._problem = f"{error}; findings wait and are written later, in order"
        folder = Path(config.state_folder) / _SPOOL if config.state_folder else None
        self._spool = Spool(folder, config.spool_mebibytes << 20)
        self._hours = Hours(config.max_streams)
        self._things = Things()
        self._numbers = Numbers(config.deployment)
        self._lock = Lock()
        self._events: deque[Event] = deque()
        self._batches: deque[Batch] = deque()
        self._names: dict[SeriesKey, tuple[Thing, ...]] = {}
        self._told = 0
        self._dropped = 0
        self._totals_at = now
        self._retention_at = now
        self._tired = 0
        self._again_at = float("-inf")
        self._wake = Signal()
        self._stop = Signal()
        self._work = Signal()
        self._spooler = Thread(target=self._spool_events, name="exporter-store-spool", daemon=True)
        self._thread = Thread(target=self._run, name="exporter-store", daemon=True)
        self._spooler.start()
        self._thread.start()

    def write(self, batch: Batch) -> None:
        """:raises Retryable: the database is away; what was handed over waits"""
        things = [thing for point in batch.points if point.metric in READ for thing in self._named(point)]
        with self._lock:
            for finding in batch.findings:
                self._events.append(FindingTold(self._id(), finding))
            self._events.extend(ChangeTold(change.key, change) for change in batch.changes)
            if batch.counted or batch.drawn or things or batch.seen:
                kept = Batch(batch.at, counted=batch.counted, drawn=batch.drawn, seen=batch.seen)
                self._batches.append(kept)
                self._things.add(things, batch.at)
            for queue in (self._events, self._batches):
                while len(queue) > _MOST_WAITING:
                    queue.pop()
                    self._dropped += 1
        if batch.findings or batch.changes:
            self._wake.set()
        if problem := self._problem:
            raise Retryable(problem)

    def close(self) -> None:
        """Writes what is left. :raises Retryable: not all could be written; what is on disk is written next time"""
        self._stop.set()
        self._wake.set()
        self._work.set()
        self._thread.join(_CLOSE_SECONDS)
        if self._thread.is_alive() or self._problem:
            raise Retryable(self._problem or "the last records could not be written in time")

    def _id(self) -> str:
        self._told += 1
        return f"{self._writer.key}-{self._told}"

    def _spool_events(self) -> None:
        """Events on disk at once, however long the database takes for those before."""
        stopping = False
        while not stopping:
            stopping = self._stop.is_set()
            with self._lock:
                events, self._events = self._events, deque()
            if events:
                self._spool.put(events)
                self._work.set()
            elif not stopping:
                self._wake.wait(_TURN_SECONDS)
                self._wake.clear()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.is_set()
            if stopping:
                self._spooler.join()
            self._turn(time.time(), is_last=stopping)
            if not stopping:
                self._work.wait(_TURN_SECONDS)
                self._work.clear()
        self._spool.close()
        self._engine.dispose()

    def _turn(self, now: float, *, is_last: bool) -> None:
        """The database is asked again the later the longer it is away."""
        self._take_batches()
        if is_last or time.monotonic() >= self._again_at:
            try:
                self._keep(now, is_last=is_last)
                self._tired = 0
                self._say("")
            except (Unavailable, ConfigError, OSError) as error:
                self._fail(str(error))
            except Exception as error:  # noqa: BLE001 - our own thread: it goes on, whatever one record holds
                self._fail(f"fault in the store ({type(error).__name__}); please report it")
        self._report()

    def _fail(self, why: str) -> None:
        low, high = _BACKOFF_SECONDS
        wait_seconds = random.uniform(low / 2, min(high, low * 2.0 ** min(self._tired, 10)))  # noqa: S311 - jitter
        self._again_at = time.monotonic() + wait_seconds
        self._tired += 1
        self._numbers.forget()
        self._say(why)

    def _take_batches(self) -> None:
        with self._lock:
            batches, self._batches = self._batches, deque()
        for batch in batches:
            self._hours.add(batch.counted)
            self._hours.draw(batch.drawn)
            for seen in batch.seen:
                with self._lock:
                    self._things.add((thing_of_service(seen),), seen.at)

    def _keep(self, now: float, *, is_last: bool) -> None:
        self._prepare()
        while events := self._spool.peek(_EVENTS_AT_ONCE):
            self._keep_events(events)
        if is_last or not 0 <= now - self._totals_at < self._config.profile_seconds:
            self._keep_totals(now)
            self._totals_at = now
        if not 0 <= now - self._retention_at < _RETENTION_SECONDS:
            self._remove(now)
            self._retention_at = now

    def _prepare(self) -> None:
        if not self._is_prepared:
            database.prepare(self._engine)
            self._is_prepared = True

    def _keep_events(self, events: list[Event]) -> None:
        """Together, or one by one where the database refuses one of them for ever."""
        written = 0
        try:
            with database.writing(self._engine) as connection:
                written = sum(keep.event(connection, self._writer, event) for event in events)
        except (exc.DataError, exc.IntegrityError, exc.StatementError):
            if len(events) == 1:
                self._count("events", "refused", 1)
                _LOG.error("the database refuses a record of the kind %s; it is left out", type(events[0]).__name__)
            else:
                for event in events:
                    self._keep_events([event])
                return
        self._spool.done(len(events))
        self._count("events", "written", written)

    def _keep_totals(self, now: float) -> None:
        with database.writing(self._engine) as connection:
            writer = totals.heartbeat(connection, self._writer, now)
        with self._lock:
            things = self._things.take()
        try:
            with database.writing(self._engine) as connection:
                totals.inventory(connection, self._config.deployment, things)
        except BaseException:
            with self._lock:
                self._things.give_back(things)
            raise
        self._count("inventory", "written", len(things))
        while True:
            counts, drawn = self._hours.changed(_ROWS_AT_ONCE), self._hours.drawn(_ROWS_AT_ONCE)
            if not counts and not drawn:
                break
            with database.writing(self._engine) as connection:
                rows = []
                for hour, stream, held in counts:
                    number = self._numbers.stream(connection, stream)
                    if self._hours.is_resumed(hour, stream, now):
                        before = totals.counts_of(connection, hour, number, writer)
                        self._hours.resume(hour, stream, before)
                    rows.append((hour, number, writer, encode_counts(held)))
                totals.profiles(connection, rows)
                totals.samples(connection, writer, self._numbers, drawn)
            self._hours.written(counts, drawn, now)
            self._count("profiles", "written", len(counts))
            self._count("samples", "written", len(drawn))
        self._hours.forget(now)
        with database.reading(self._engine) as connection:
            self._ledger.set(store.SIZE, database.size_bytes(connection))
            for kind, at in retention.oldest(connection, self._config.deployment).items():
                self._ledger.set(store.OLDEST, at, ((store.KIND, kind),))

    def _remove(self, now: float) -> None:
        """Bite by bite; what waits to be written goes first."""
        for kind in retention.KINDS:
            removed, is_more = 0, True
            while is_more and not self._stop.is_set():
                with database.writing(self._engine) as connection:
                    gone = retention.bite(connection, self._config.retention, self._config.deployment, kind, now)
                    removed, is_more = removed + gone, gone >= retention.BITE
                while events := self._spool.peek(_EVENTS_AT_ONCE):
                    self._keep_events(events)
            if removed:
                self._count(kind, "removed", removed)
                with database.writing(self._engine) as connection:
                    audit.append(
                        connection,
                        self._config.deployment,
                        at=now,
                        who=keep.WATCHKEEPER,
                        action="retention",
                        subject=kind,
                        detail={"removed": removed},
                    )

    def _report(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            dropped_things, self._things.dropped = self._things.dropped, 0
        self._count("events", "dropped", dropped + self._spool.drops())
        self._count("profiles", "dropped", self._hours.dropped)
        self._count("inventory", "dropped", dropped_things)
        self._hours.dropped = 0
        self._ledger.set(store.WAITING, len(self._spool))

    def _count(self, kind: str, outcome: str, amount: int) -> None:
        if amount:
            self._ledger.add(store.RECORDS, amount, ((store.KIND, kind), (store.OUTCOME, outcome)))

    def _say(self, problem: str) -> None:
        """What `write` raises: the agent says it once, when it comes and when it goes."""
        waits = f"{problem}; findings wait and are written later, in order" if problem else ""
        self._problem = "; ".join(filter(None, (waits, self._spool.problem)))

    def _named(self, point: Point) -> tuple[Thing, ...]:
        """What a series tells, remembered: labels repeat."""
        key = (point.metric, point.labels)
        things = self._names.get(key)
        if things is None:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            things = self._names[key] = tuple(READ[point.metric](point.labels))
        return things
