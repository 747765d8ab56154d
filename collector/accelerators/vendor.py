"""One vendor's devices over time: found, read each in its own thread, lost, found again."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final

from collector.accelerators.driver import Device, Driver, DriverError, Fault, Meaning, Sampled
from collector.accelerators.worker import Worker, stop_all
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

LIST_SECONDS: Final = 60.0
"""how often a healthy vendor's devices are listed anew"""
RETRY_SECONDS: Final = 10.0
"""how often a vendor in trouble is"""
ABSENT_SECONDS: Final = 120.0
"""how often a library that is not here is looked for"""
EVENT_WAIT_SECONDS: Final = 1.0
_HUNG: Final = "hung"
_FAILING: Final = "failing"
_REASONS: Final = {
    Meaning.LOST: "lost", Meaning.RESET_REQUIRED: "reset_required", Meaning.NOT_PERMITTED: "not_permitted",
}  # fmt: skip
UNREADABLE: Final = (*_REASONS.values(), _HUNG, _FAILING)


class Vendor:
    """
    Only the source's thread calls this; everything that may hang happens in a worker.

    After `tick`: `devices` are those listed, `samples` what they said, `unreadable` why the others said nothing.
    """

    def __init__(self, name: str, driver: Driver, ledger: Ledger) -> None:
        self.name = name
        self.devices: Mapping[str, Device] = {}
        self.samples: Mapping[str, Sampled] = {}
        self.unreadable: Mapping[str, str] = {}
        self.is_open = False
        self.is_absent = True
        self._driver = driver
        self._ledger = ledger
        self._label: Labels = (("hw.vendor", name),)
        self._log = logging.getLogger(f"watchkeeper.accelerators.{name}")
        self._keeper: Worker[Sequence[Device]] = Worker(f"{name}-devices")
        self._listener: Worker[Sequence[Fault]] = Worker(f"{name}-events")
        self._workers: dict[str, Worker[Sampled]] = {}
        self._listed_at = float("-inf")
        self._wait_seconds = 0.0
        self._hears = True
        self._trouble = ""

    def tick(self, now: float, patience_seconds: float) -> None:
        """Read every device; wait for all of them together at most so long."""
        until = time.monotonic() + patience_seconds
        self._keep(now, until)
        if not self.is_open:
            self.samples, self.unreadable = {}, {}
            return
        began = time.monotonic()
        asked = {key: device for key, device in self.devices.items() if self._ask(device, now)}
        samples: dict[str, Sampled] = {}
        unreadable = {key: _HUNG for key in self.devices if key not in asked}
        for key in asked:
            try:
                sampled = self._workers[key].answer(until - time.monotonic())
            except DriverError as error:
                unreadable[key] = self._failed(error)
                continue
            if sampled is None:
                unreadable[key] = _HUNG
            else:
                samples[key] = sampled
        self._tell(unreadable)
        self.samples, self.unreadable = samples, unreadable
        self._ledger.add(vocabulary.SAMPLE_TIME, time.monotonic() - began, self._label)

    def faults(self) -> Sequence[Fault]:
        """Events since the last call; never waits."""
        if not (self.is_open and self._hears):
            return ()
        heard: Sequence[Fault] = ()
        try:
            heard = self._listener.answer(0.0) or ()
        except DriverError as error:
            self._hears = error.meaning not in (Meaning.UNSUPPORTED, Meaning.NOT_PERMITTED)
            if error.meaning is not Meaning.UNSUPPORTED:
                self._count(error.call, error.code)
        if self._hears:
            self._listener.ask(lambda: self._driver.faults(EVENT_WAIT_SECONDS))
        return heard

    def close(self) -> None:
        """Threads that hang are left behind; they are daemons."""
        stop_all(self._workers.values())
        stop_all((self._listener,))
        self._keeper.ask(self._close_driver)
        self._keeper.stop()

    def _close_driver(self) -> Sequence[Device]:
        self._driver.close()
        return ()

    def _ask(self, device: Device, now: float) -> bool:
        worker = self._workers.get(device.id)
        if worker is None:
            worker = self._workers[device.id] = Worker(f"{self.name}-{device.name}")
        if worker.busy_since is not None:
            try:
                worker.answer(0.0)  # too old to be told now
            except DriverError as error:
                self._failed(error)
        return worker.ask(lambda: self._driver.sample(device, now))

    def _keep(self, now: float, until: float) -> None:
        """Open the library and list the devices, when it is time."""
        due = not 0 <= now - self._listed_at < self._wait_seconds
        if due and self._keeper.busy_since is None:
            self._listed_at, self._wait_seconds = now, LIST_SECONDS
            self._keeper.ask(self._list if self.is_open else self._open_and_list)
        if self._keeper.busy_since is None:
            return
        try:
            listed = self._keeper.answer(until - time.monotonic())
        except DriverError as error:
            self._not_opened(error)
            return
        if listed is not None:
            self._found(listed)

    def _open_and_list(self) -> Sequence[Device]:
        self._driver.open()
        return self._driver.devices()

    def _list(self) -> Sequence[Device]:
        return self._driver.devices()

    def _found(self, listed: Sequence[Device]) -> None:
        if not self.is_open:
            self._hears = True
        self.is_open, self.is_absent = True, False
        self.devices = {device.id: device for device in listed}
        for gone in [key for key in self._workers if key not in self.devices]:
            self._workers.pop(gone).stop()

    def _not_opened(self, error: DriverError) -> None:
        absent = error.meaning is Meaning.ABSENT
        self._wait_seconds = ABSENT_SECONDS if absent else RETRY_SECONDS
        if absent and self.is_absent:
            return
        if not absent:
            self._count(error.call, error.code)
            self.is_absent = False
        self._say(f"{self.name}: {error.call} failed with {error.code}; its devices are not read")
        self.is_open = False

    def _failed(self, error: DriverError) -> str:
        """Why a device is not readable; what the error asks of the vendor as a whole is noted."""
        if error.meaning in (Meaning.RESTARTED, Meaning.ABSENT):
            self.is_open = False
            self._wait_seconds = 0.0
        elif error.meaning in (Meaning.LOST, Meaning.STALE):
            self._wait_seconds = RETRY_SECONDS
        return _REASONS.get(error.meaning, _FAILING)

    def _tell(self, unreadable: Mapping[str, str]) -> None:
        lost = sorted(f"{self.devices[key].name} {reason}" for key, reason in unreadable.items())
        self._say(f"{self.name}: not readable: {', '.join(lost)}" if lost else "")

    def _say(self, trouble: str) -> None:
        """One line when it changes."""
        if trouble != self._trouble:
            self._log.warning("%s", trouble or f"{self.name}: all devices are readable again")
        self._trouble = trouble

    def _count(self, call: str, code: str) -> None:
        self._ledger.add(vocabulary.CALL_ERRORS, 1, (*self._label, ("call", call), ("code", code)))
