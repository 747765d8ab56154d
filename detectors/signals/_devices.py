"""Who a device is, and what a signal keeps of each. Forgotten some minutes after its last number."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from watchkeeper.core.labels import OTHER
from watchkeeper.core.records import Labels

FORGET_SECONDS: Final = 300.0
"""as long as a gauge that nobody sets is kept: one bad sample, or a driver that is loaded anew, costs no evidence"""
_MOST_SEEN: Final = 4096
_HARDWARE: Final = ("hw.id", "hw.name", "hw.vendor")

Kept = TypeVar("Kept")


class Device(msgspec.Struct, frozen=True):
    """A device as its labels name it; empty = not told. `namespace` and `pod` are whose alone it is."""

    id: str
    name: str = ""
    vendor: str = ""
    model: str = ""
    namespace: str = ""
    pod: str = ""

    @property
    def subject(self) -> Labels:
        """The hardware, whoever has it: what is wrong with it stays wrong when it is given to another pod."""
        said = zip(_HARDWARE, (self.id, self.name, self.vendor), strict=True)
        return tuple((label, value) for label, value in said if value)

    @property
    def placed_subject(self) -> Labels:
        """The device in the hands of its pod."""
        said = (("k8s.namespace.name", self.namespace), ("k8s.pod.name", self.pod))
        return (*self.subject, *((label, value) for label, value in said if value))

    def __str__(self) -> str:
        model = f" ({self.model})" if self.model else ""
        return f"device {self.name or self.id}{model}{f' of pod {self.place}' if self.pod else ''}"

    @property
    def place(self) -> str:
        return f"{self.namespace}/{self.pod}" if self.namespace else self.pod


def device_of(own: Mapping[str, str]) -> Device | None:
    """None for labels of no device, or of several that were folded into one."""
    key = own.get("hw.id", OTHER)
    if key == OTHER:
        return None
    return Device(
        key,
        own.get("hw.name", ""),
        own.get("hw.vendor", ""),
        own.get("hw.model", ""),
        own.get("k8s.namespace.name", ""),
        own.get("k8s.pod.name", ""),
    )


def _is_told(device: Device, own: Mapping[str, str]) -> bool:
    """Whether these labels name it as before: a reboot or another pod changes that. For every number that comes."""
    return (
        device.name == own.get("hw.name", "")
        and device.pod == own.get("k8s.pod.name", "")
        and device.namespace == own.get("k8s.namespace.name", "")
    )


class Known(Generic[Kept]):
    """A device and what is kept of it."""

    __slots__ = ("device", "kept", "seen_at")

    def __init__(self, device: Device, kept: Kept, now: float) -> None:
        self.device = device
        self.kept = kept
        self.seen_at = now


class Roster(Generic[Kept]):
    """Every device seen lately. Bounded by the devices that the host's sources tell of."""

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        self._known: dict[str, Known[Kept]] = {}
        self._seen: dict[int, tuple[Mapping[str, str], Known[Kept], Device]] = {}
        """by identity of the labels, which are held with what they named: most come again at every tick"""

    def see(self, own: Mapping[str, str], now: float) -> Known[Kept] | None:
        """
        The device whose series this is; from now on with the place that these labels tell.

        :param own: the labels of a series that carries all of a device's labels
        """
        seen = self._seen.get(id(own))
        if seen is not None and seen[1].device is seen[2]:
            seen[1].seen_at = now
            return seen[1]
        known = self._known.get(own.get("hw.id", ""))
        if known is None:
            device = device_of(own)
            if device is None:
                return None
            known = self._known[device.id] = Known(device, self._make(), now)
        elif not _is_told(known.device, own):
            known.device = device_of(own) or known.device
        known.seen_at = now
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[id(own)] = own, known, known.device
        return known

    def find(self, key: str) -> Known[Kept] | None:
        """By hw.id, only if it is known already."""
        return self._known.get(key)

    def present(self, now: float) -> Iterator[Known[Kept]]:
        """All that were seen lately; the others are forgotten."""
        for key, known in list(self._known.items()):
            if now < known.seen_at:  # the clock was set back
                known.seen_at = now
            if now - known.seen_at > FORGET_SECONDS:
                del self._known[key]
                self._seen.clear()
            else:
                yield known
