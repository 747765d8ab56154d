"""All engines, each read at its own pace; one that hangs holds up no other."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Final, Protocol

import aiohttp

from collector._pages.fault import Fault
from collector._pages.fetch import open_session
from watchkeeper.core.records import Reading

PATIENCE_SECONDS: Final = 0.5
"""how long one `read` waits for pages; a slower one is brought by a later read"""


class Target(Protocol):
    """One page: an engine's, or that of another server which is read in the same way."""

    def take_turn(self, now: float) -> bool: ...

    async def scrape(self, session: aiohttp.ClientSession, now: float) -> Reading: ...

    def failed(self, fault: Fault, detail: str, now: float, seconds: float) -> Reading: ...


class PagesSource:
    """The event loop is private and runs only inside `read`, in the thread that calls it."""

    def __init__(self, targets: Sequence[Target], patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._targets = targets
        self._patience_seconds = patience_seconds
        self._runner = asyncio.Runner()
        self._session: aiohttp.ClientSession | None = None
        self._pending: dict[asyncio.Task[Reading], Target] = {}
        self._lock = threading.Lock()
        self._closed = False

    def read(self, now: float) -> Reading:
        with self._lock:
            if self._closed:
                return Reading()
            busy = list(self._pending.values())
            due = [target for target in self._targets if target not in busy and target.take_turn(now)]
            if not due and not busy:
                return Reading()
            return self._runner.run(self._collect(due, now))

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._session is not None:
                self._runner.run(self._session.close())
            self._runner.close()

    async def _collect(self, due: Sequence[Target], now: float) -> Reading:
        if self._session is None:
            self._session = open_session()
        for target in due:
            self._pending[asyncio.create_task(target.scrape(self._session, now))] = target
        done, _ = await asyncio.wait(self._pending, timeout=self._patience_seconds)
        return _join([_outcome(task, self._pending.pop(task), now) for task in list(self._pending) if task in done])


def _outcome(task: asyncio.Task[Reading], target: Target, now: float) -> Reading:
    """A fault of ours in one engine's page is that engine's fault alone."""
    error = task.exception()
    if error is None:
        return task.result()
    detail = f"reading it failed: {type(error).__name__}; please report this"
    return target.failed(Fault.INTERNAL, detail, now, 0.0)


def _join(readings: Sequence[Reading]) -> Reading:
    return Reading(
        tuple(sample for reading in readings for sample in reading.samples),
        tuple(gap for reading in readings for gap in reading.gaps),
        items=sum(reading.items for reading in readings),
    )
