"""What a vendor's library is to us: it opens, lists devices, and is asked for one device's numbers at a time."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec

from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Reason, Severity
from watchkeeper.core.vocabulary.faults import FaultClass


class Meaning(StrEnum):
    """What a vendor's return code asks of us."""

    UNSUPPORTED = "unsupported"
    """this device or driver does not have it: not asked again until the library is opened anew"""
    NOT_PERMITTED = "not_permitted"
    """as UNSUPPORTED, but a gap that an operator can close"""
    NO_SAMPLE = "no_sample"
    """nothing to say this time: no error"""
    FAILING = "failing"
    """may succeed next time"""
    DAMAGED = "damaged"
    """the device says that its own records are broken"""
    LOST = "lost"
    """the device is gone"""
    RESET_REQUIRED = "reset_required"
    STALE = "stale"
    """the handle is no longer good: list the devices again"""
    RESTARTED = "restarted"
    """the driver changed underneath: open the library anew"""
    ABSENT = "absent"
    """no library of this vendor: looked for again slowly, and nothing is said of it"""
    NOT_LOADED = "not_loaded"
    """the library is here and its driver is not: asked again slowly, and shown"""


ENDS_THE_SAMPLE: Final = frozenset(
    (Meaning.LOST, Meaning.RESET_REQUIRED, Meaning.STALE, Meaning.RESTARTED, Meaning.ABSENT, Meaning.NOT_LOADED)
)


MOST_DEVICES: Final = 1024
"""of one vendor, more than any host has: a count that is garbage is not followed further"""


class DriverError(Exception):
    """A call that failed. `code` is the vendor's own, `call` the vendor's name of what was called."""

    def __init__(self, meaning: Meaning, code: str, call: str) -> None:
        super().__init__(f"{call}: {code} ({meaning.value})")
        self.meaning = meaning
        self.code = code
        self.call = call


class Device(msgspec.Struct, frozen=True, cache_hash=True):
    """
    One accelerator, or one partition of it (then `parent` is the accelerator's id).

    `id` is the UUID or the nearest the vendor has, `name` its index on this host.
    """

    id: str
    name: str
    vendor: str
    model: str = ""
    parent: str = ""
    serial: str = ""
    driver_version: str = ""
    firmware_version: str = ""
    pci_address: str = ""
    profile: str = ""
    """of a partition: its size, in the vendor's words"""
    aliases: tuple[str, ...] = ()
    """other names by which a device plugin may know it: its device file `nvidia0`, a partition `nvidia0/gi1`"""


class Listing(msgspec.Struct, frozen=True):
    """
    The devices that can be addressed, in the order of their index, a partition after its parent; and the number of
    those that the library counts and does not let us address.
    """

    devices: tuple[Device, ...] = ()
    unaddressable: int = 0


class Measured(msgspec.Struct, frozen=True, gc=False):
    """One number of one device, in the metric's unit. For a counter it is the device's running total."""

    metric: Metric
    value: float
    labels: Labels = ()
    """those beside the device's own"""


class ProcessUse(msgspec.Struct, frozen=True, gc=False):
    """A process that computes on a device; memory in bytes, None where the driver does not tell."""

    pid: int
    memory_bytes: float | None


class Sampled(msgspec.Struct, frozen=True):
    """
    What one device said at one time; with nothing measured, it could not be read. `processes` is None where the vendor
    cannot list them.
    """

    measured: tuple[Measured, ...] = ()
    missing: tuple[tuple[Metric, Reason], ...] = ()
    processes: tuple[ProcessUse, ...] | None = None


class Fault(msgspec.Struct, frozen=True):
    """Something a device reported of itself, as an event; `at` in unix seconds."""

    device_id: str
    at: float
    code: str
    fault_class: FaultClass
    severity: Severity
    text: str = ""
    """what it is and what to do, for the log"""


class Driver(Protocol):
    """
    One vendor's library. `open`, `devices` and `close` are called in one thread, `faults` in another, `sample` in
    others, for one device never in two at a time. Every method raises DriverError and nothing else; any may hang.
    """

    def open(self) -> None:
        """Load the library and initialise it; again after RESTARTED. ABSENT: there is none of this vendor here."""
        ...

    def devices(self) -> Listing:
        """Asked for once a minute, after STALE and LOST, and after `open`."""
        ...

    def sample(self, device: Device, now: float) -> Sampled: ...

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        """Wait for events, at most so long. Raises UNSUPPORTED where the vendor has none: not called again."""
        ...

    def close(self) -> None: ...


CountError = Callable[[str, str], None]
"""told a call and the vendor's code"""


class VendorPart(msgspec.Struct, frozen=True):
    """
    One vendor, as the package lists it.

    `make` builds the driver without loading anything. `obtained` says for every metric that the vendor can fill from
    which of its calls it comes: the support matrix. `needs` is what the host must give to a container.
    """

    name: str
    title: str
    make: Callable[[CountError], Driver]
    library: str
    obtained: Mapping[Metric, str]
    needs: str
    device_file: str = ""
    """which exists where the vendor's driver is loaded"""
    elsewhere: tuple[str, ...] = ()
    """paths at which the library is looked for when the dynamic linker does not know `library`"""
    paths: tuple[str, ...] = ()
    """where else than by its name the library is looked for"""


Ask = Callable[[], Sequence[Measured]]


class Calls:
    """The calls about one device: each fails for itself, and what is not supported is not asked again."""

    def __init__(self, count_error: CountError, *, is_stale: Meaning = Meaning.STALE) -> None:
        """
        :param count_error: told the call and the code of every failure that is neither unsupported nor no sample
        :param is_stale: what a stale handle means: UNSUPPORTED where handles never are
        """
        self._count_error = count_error
        self._is_stale = is_stale
        self._given_up: dict[str, Reason | None] = {}
        self.measured: list[Measured] = []
        self.missing: list[tuple[Metric, Reason]] = []

    def begin(self) -> None:
        """A new sample."""
        self.measured = []
        self.missing = []

    def ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        """
        Make one call, known by `name`; `metrics` are what it should bring. Whether it brought them.

        :raises DriverError: the device or the library cannot be asked anything more now
        """
        if name in self._given_up:
            reason = self._given_up[name]
            if reason is not None:
                self.missing.extend((metric, reason) for metric in metrics)
            return False
        try:
            self.measured.extend(ask())
        except DriverError as error:
            self._failed(name, error, metrics)
            return False
        return True

    def _failed(self, name: str, error: DriverError, metrics: Sequence[Metric]) -> None:
        meaning = self._is_stale if error.meaning is Meaning.STALE else error.meaning
        if meaning in ENDS_THE_SAMPLE:
            self._count_error(error.call, error.code)
            raise error
        if meaning is Meaning.NO_SAMPLE:
            return
        if meaning is Meaning.UNSUPPORTED:
            self._given_up[name] = None
            return
        self._count_error(error.call, error.code)
        reason = Reason.UNREACHABLE
        if meaning is Meaning.NOT_PERMITTED:
            reason = self._given_up[name] = Reason.NOT_PERMITTED
        elif meaning is Meaning.DAMAGED:
            reason = Reason.MALFORMED
        self.missing.extend((metric, reason) for metric in metrics)
