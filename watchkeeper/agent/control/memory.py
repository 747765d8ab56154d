"""What the store knows of this process's findings, for the page: a copy, read anew while somebody looks at it."""

import logging
import time
from collections.abc import Callable
from threading import Lock, Thread
from typing import Final

import msgspec

from exporters.store import StoreConfig, database, queries
from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.memory import Deed, Did, Kept, Recollection
from watchkeeper.core.records import Finding, Severity
from watchkeeper.core.sparing_log import SparingLog

_LOG: Final = logging.getLogger("watchkeeper.control")
FRESH_SECONDS: Final = 2.0
"""a copy of this age is good enough"""
MOST: Final = 100
"""findings whose signal is not over, and as many others; a page holds no more"""


class Memory:
    """
    Asked, it answers with the copy it has, and where that is old has a thread read the next one. One thread at a time,
    and none while nobody asks: a store that hangs holds up that thread alone.

    :param clock: unix seconds
    """

    def __init__(self, config: StoreConfig, clock: Callable[[], float] = time.time) -> None:
        self._engine = database.connect(config)
        self._deployment = config.deployment
        self._instance = config.name
        self._clock = clock
        self._log = SparingLog(_LOG)
        self._lock = Lock()
        self._is_reading = False
        self._tried_at = float("-inf")
        self._copy = Recollection()

    def recall(self, now: float) -> Recollection:
        """The copy at hand. :param now: unix seconds"""
        with self._lock:
            copy = self._copy
            is_due = not self._is_reading and not 0 <= now - self._tried_at < FRESH_SECONDS
            self._is_reading = self._is_reading or is_due
        if is_due:
            self._tried_at = now
            try:
                Thread(target=self._read, name="page-memory", daemon=True).start()
            except RuntimeError:  # the machine has no thread left
                self._is_reading = False
        return copy

    def _read(self) -> None:
        copy = msgspec.structs.replace(self._copy, is_away=True)
        try:
            database.must_be_there(self._engine)
            with database.reading(self._engine) as connection:
                found = queries.remembered(connection, self._deployment, self._instance, MOST)
            copy = Recollection(self._clock(), kept=tuple(_kept(one) for one in found))
        except (Unavailable, ConfigError):
            pass  # the store says so in the log and in its metrics, the page to its reader
        except Exception as error:  # noqa: BLE001 - our own thread, and the page goes on without
            self._log.error("the page's look into the store failed", f"{type(error).__name__}; please report it")
        finally:
            with self._lock:
                self._copy, self._is_reading = copy, False


def _kept(found: queries.Found) -> Kept:
    finding = Finding(
        at=found.changed_at if found.resolved_at is None else found.resolved_at,
        since=found.since,
        severity=Severity(found.severity),
        subject=found.subject,
        summary=found.summary,
        evidence=tuple(found.evidence),
        causes=tuple(found.causes),
        action=found.action,
        runbook=found.runbook,
        resolved=found.resolved_at is not None,
        name=found.name,
        labels=tuple(found.labels.items()),
    )
    deeds = tuple(Deed(one.at, one.who, Did(one.deed), one.text) for one in found.life)
    return Kept(found.id, finding, found.opened_at, found.closed_at is not None, deeds)
