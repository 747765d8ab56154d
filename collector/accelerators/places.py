"""Whose a device is: what placement tells, and the labels made of it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from collector.accelerators.driver import Device
from watchkeeper.core.records import Labels


class Place(msgspec.Struct, frozen=True):
    """A container, or on a plain host a systemd unit or program. Empty = not known."""

    namespace: str = ""
    pod: str = ""
    container: str = ""
    unit: str = ""
    program: str = ""

    @property
    def labels(self) -> Labels:
        """The container's, as every device metric carries them."""
        named = (
            ("k8s.namespace.name", self.namespace), ("k8s.pod.name", self.pod), ("k8s.container.name", self.container),
        )  # fmt: skip
        return tuple(pair for pair in named if pair[1])


class Placement(Protocol):
    """Tells who has a device and whose a process is. Never waits for the kubelet: that is asked in a thread aside."""

    def refresh(self, now: float) -> None: ...

    def holders(self, device: Device) -> tuple[Place, ...]:
        """Containers to which a device was given, several where it is shared."""
        ...

    def owners(self, pids: Sequence[int]) -> Mapping[int, Place]: ...

    def close(self) -> None: ...


class Nobody:
    """Placement switched off."""

    def refresh(self, now: float) -> None:
        """There is nobody to ask."""

    def holders(self, device: Device) -> tuple[Place, ...]:
        return ()

    def owners(self, pids: Sequence[int]) -> Mapping[int, Place]:
        return {}

    def close(self) -> None:
        """Nothing is open."""
