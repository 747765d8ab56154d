"""One vendor's devices over time: found, read in threads aside, lost, found again."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import compress
from operator import is_not
from typing import Final, TypeVar

import msgspec

from collector.accelerators.crew import Crew
from collector.accelerators.driver import Device, Driver, DriverError, Fault, Listing, Meaning, Measured, Sampled
from collector.accelerators.sanity import are_sane, is_sane
from collector.accelerators.worker import Worker
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Labels, Reason
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary import health

LIST_SECONDS: Final = 60.0
"""how often a healthy vendor's devices are listed anew"""
RETRY_SECONDS: Final = 10.0
"""how often a vendor in trouble is"""
ABSENT_SECONDS: Final = 120.0
"""how often a library that is not here is looked for"""
LATE_SECONDS: Final = 5.0
"""an answer that comes later than this is too old to be told"""
LOST_SECONDS: Final = 86_400.0
"""for how long a device that is listed no more is shown as lost; a partition is not"""
FAULT_LINE_SECONDS: Final = 600.0
"""the same fault of the same device is logged once in this time, and counted each time"""
FAULT_LINES: Final = 100
"""no more lines of faults than this in that time: a driver that invents codes fills no log"""
EVENT_WAIT_SECONDS: Final = 1.0
LOST: Final = "lost"
HUNG: Final = "hung"
FAILING: Final = "failing"
_REASONS: Final = {
    Meaning.LOST: LOST, Meaning.STALE: LOST, Meaning.RESET_REQUIRED: "reset_required",
    Meaning.NOT_PERMITTED: "not_permitted",
}  # fmt: skip
UNREADABLE: Final = (LOST, "reset_required", "not_permitted", HUNG, FAILING)
"""why a device cannot be read: values of the label `reason`"""

Result = TypeVar("Result")
Answer = Sampled | BaseException


class Vendor:
    """
    Only the source's thread calls this; everything that may hang happens in a worker.

    After `tick`: `devices` are those known, `samples` what they said, `unreadable` why the others said nothing.
    """

    def __init__(self, name: str, driver: Driver, ledger: Ledger) -> None:
        self.name = name
        self.devices: Mapping[str, Device] = {}
        self.unaddressable = 0
        self.samples: Mapping[str, Sampled] = {}
        self.unreadable: Mapping[str, str] = {}
        self.is_open = False
        self.is_absent = True
        """nothing of this vendor was ever seen here"""
        self._driver = driver
        self._ledger = ledger
        self._label: Labels = (("hw.vendor", name),)
        self._log = logging.getLogger(f"watchkeeper.accelerators.{name}")
        self._keeper: Worker[Listing] = Worker(f"{name}-devices")
        self._listener: Worker[Sequence[Fault]] = Worker(f"{name}-events")
        self._crew: Crew[Sampled] = Crew(f"{name}-hand")
        self._found_sane: dict[str, Sequence[Measured]] = {}
        self._lost_at: dict[str, float] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._mistakes: set[tuple[str, str]] = set()
        self._listed_at = float("-inf")
        self._wait_seconds = 0.0
        self._hears = True
        self.trouble = ""
        """what is wrong now, in a line; empty when nothing is"""

    @property
    def answers(self) -> bool:
        """The library is open and does not hang in listing its devices."""
        since = self._keeper.busy_since
        return self.is_open and (since is None or time.monotonic() - since < LATE_SECONDS)

    def tick(self, now: float, patience_seconds: float) -> None:
        """Read every device; wait for all of them together at most so long."""
        until = time.monotonic() + patience_seconds
        self._keep(now, until)
        self.samples, self.unreadable = {}, {}
        if not self.is_open:
            return
        began = time.monotonic()
        answers: dict[str, Answer] = {}
        unreadable = dict.fromkeys(self._lost_at, LOST)
        asked: dict[str, Callable[[], Sampled]] = {}
        for key, device in self.devices.items():
            if key in unreadable:
                continue
            late = self._late(key)
            if late is not None:
                answers[key] = late
            elif self._crew.busy_since(key) is None:
                asked[key] = partial(self._guarded, "sample", partial(self._driver.sample, device, now))
        answers |= self._crew.run(asked, until)
        samples: dict[str, Sampled] = {}
        for key in self.devices.keys() - unreadable.keys():
            answer = answers.get(key)
            if isinstance(answer, Sampled) and answer.measured:
                samples[key] = self._sane(key, answer)
            else:
                unreadable[key] = self._why(answer)
        self.samples, self.unreadable = samples, unreadable
        self._tell()
        self._ledger.add(vocabulary.SAMPLE_TIME, time.monotonic() - began, self._label)

    def faults(self, now: float) -> Sequence[Fault]:
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
            self._listener.ask(partial(self._guarded, "faults", partial(self._driver.faults, EVENT_WAIT_SECONDS)))
        for fault in heard:
            self._log_fault(fault, now)
        return heard

    def close(self) -> None:
        """Threads that hang are left behind; they are daemons."""
        self._crew.stop()
        self._listener.stop()
        self._keeper.ask(self._close_driver)
        self._keeper.stop()

    def _close_driver(self) -> Listing:
        self._driver.close()
        return Listing()

    def _late(self, key: str) -> Answer | None:
        """What a device that was slow has said since, if that is not too old."""
        since = self._crew.busy_since(key)
        answer = self._crew.late(key)
        if since is None or answer is None:
            return None
        if time.monotonic() - since < LATE_SECONDS:
            return answer
        if isinstance(answer, DriverError):
            self._failed(answer)
        return None

    def _sane(self, key: str, sampled: Sampled) -> Sampled:
        """Without numbers that cannot be true, which count as missing. What was found true is not looked at again."""
        measured, before = sampled.measured, self._found_sane.get(key, ())
        new = compress(measured, map(is_not, measured, before)) if len(before) == len(measured) else measured
        if are_sane(new):
            self._found_sane[key] = measured
            return sampled
        self._found_sane.pop(key, None)
        wrong = [one for one in measured if not is_sane(one.value, one.metric)]
        for one in wrong:
            labels = (("source", "accelerators"), ("field", one.metric.name))
            self._ledger.add(health.INVALID_VALUES, 1, labels)
        return msgspec.structs.replace(
            sampled,
            measured=tuple(one for one in measured if is_sane(one.value, one.metric)),
            missing=(*sampled.missing, *((one.metric, Reason.MALFORMED) for one in wrong)),
        )

    def _why(self, answer: Answer | None) -> str:
        """Why a device brought no numbers."""
        if answer is None:
            return HUNG
        return self._failed(answer) if isinstance(answer, DriverError) else FAILING

    def _keep(self, now: float, until: float) -> None:
        """Open the library and list the devices, when it is time. Devices that are known do not wait for that."""
        due = not 0 <= now - self._listed_at < self._wait_seconds
        if due and self._keeper.busy_since is None:
            self._listed_at, self._wait_seconds = now, LIST_SECONDS
            task = self._driver.devices if self.is_open else self._open_and_list
            self._keeper.ask(partial(self._guarded, "devices", task))
        if self._keeper.busy_since is None:
            return
        try:
            listed = self._keeper.answer(0.0 if self.is_open else until - time.monotonic())
        except DriverError as error:
            self._not_opened(error)
            return
        if listed is not None:
            self._found(listed, now)
        elif not self.is_open:
            self.is_absent = False
            self._say(f"{self.name}: its library does not come back from opening or listing its devices")

    def _open_and_list(self) -> Listing:
        self._driver.open()
        return self._driver.devices()

    def _guarded(self, name: str, task: Callable[[], Result]) -> Result:
        """What a driver raises beside DriverError is a mistake of ours, and costs no other device its numbers."""
        try:
            return task()
        except DriverError:
            raise
        except Exception as error:
            kind = type(error).__name__
            if (name, kind) not in self._mistakes:
                self._mistakes.add((name, kind))
                self._log.exception("%s: %s", self.name, name)
            raise DriverError(Meaning.FAILING, kind, name) from error

    def _found(self, listing: Listing, now: float) -> None:
        if not self.is_open:
            self._hears = True
        self.is_open, self.is_absent = True, False
        listed = {device.id: device for device in listing.devices if device.id}
        nameless = len(listing.devices) - len(listed)
        if nameless:
            self._count("id", "EMPTY_OR_TWICE")
        self.unaddressable = listing.unaddressable + nameless
        known = set(self.devices)
        lost = {key: device for key, device in self.devices.items() if key not in listed and not device.parent}
        since = {key: self._lost_at.get(key, now) for key in lost}
        self._lost_at = {key: at for key, at in since.items() if now - at <= LOST_SECONDS}
        self.devices = listed | {key: lost[key] for key in self._lost_at}
        if self._lost_at or self.unaddressable:
            self._wait_seconds = RETRY_SECONDS
        for gone in known - listed.keys():
            self._crew.forget(gone)
            self._found_sane.pop(gone, None)

    def _not_opened(self, error: DriverError) -> None:
        absent = error.meaning is Meaning.ABSENT and self.is_absent
        slowly = absent or error.meaning is Meaning.NOT_LOADED
        at_once = self.is_open and error.meaning is Meaning.RESTARTED
        self._wait_seconds = 0.0 if at_once else ABSENT_SECONDS if slowly else RETRY_SECONDS
        if absent:
            return
        self._count(error.call, error.code)
        self.is_open = self.is_absent = False
        self._say(f"{self.name}: {error.call} failed with {error.code}; its devices are not read")

    def _failed(self, error: DriverError) -> str:
        """Why a device is not readable; what the error asks of the vendor as a whole is noted."""
        if error.meaning in (Meaning.RESTARTED, Meaning.ABSENT, Meaning.NOT_LOADED):
            self.is_open = False
            self._wait_seconds = 0.0
        elif error.meaning is Meaning.STALE:
            self._wait_seconds = min(self._wait_seconds, 1.0)
        elif error.meaning is Meaning.FAILING:
            self._count(error.call, error.code)
        elif error.meaning is Meaning.LOST:
            self._wait_seconds = min(self._wait_seconds, RETRY_SECONDS)
        return _REASONS.get(error.meaning, FAILING)

    def _tell(self) -> None:
        named = sorted(f"{self.devices[key].name} {reason}" for key, reason in self.unreadable.items())
        heard = self._listener.busy_since
        if heard is not None and time.monotonic() - heard > EVENT_WAIT_SECONDS + LATE_SECONDS:
            named.append("its events (the wait for them does not come back)")
        if self.unaddressable:
            named.append(f"{self.unaddressable} that cannot be addressed")
        self._say(f"{self.name}: not readable: {', '.join(named)}" if named else "")

    def _say(self, trouble: str) -> None:
        """One line when it changes."""
        if trouble != self.trouble:
            self._log.warning("%s", trouble or f"{self.name}: all devices are readable again")
        self.trouble = trouble

    def _log_fault(self, fault: Fault, now: float) -> None:
        key = (fault.device_id, fault.code)
        self._told = {told: at for told, at in self._told.items() if 0 <= now - at < FAULT_LINE_SECONDS}
        if key not in self._told and len(self._told) < FAULT_LINES:
            self._told[key] = now
            device = self.devices.get(fault.device_id)
            name = device.name if device else "?"
            self._log.warning("%s: device %s (%s): %s", self.name, name, fault.device_id, fault.text or fault.code)

    def _count(self, call: str, code: str) -> None:
        self._ledger.add(vocabulary.CALL_ERRORS, 1, (*self._label, ("call", call), ("code", code)))
