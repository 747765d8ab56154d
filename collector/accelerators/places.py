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
    container_id: str = ""
    """of a container that no kubelet started, whose name only its runtime knows"""
    unit: str = ""
    program: str = ""

    @property
    def labels(self) -> Labels:
        """The container's, as every device metric carries them."""
        named = (
            ("k8s.namespace.name", self.namespace), ("k8s.pod.name", self.pod), ("k8s.container.name", self.container),
        )  # fmt: skip
        return tuple(pair for pair in named if pair[1])

    @property
    def process_labels(self) -> Labels:
        """A process's. What is empty is there and empty: it is not in the pod that has its device."""
        return (
            ("k8s.namespace.name", self.namespace), ("k8s.pod.name", self.pod), ("k8s.container.name", self.container),
            ("container.id", self.container_id), ("systemd.unit", self.unit),
            ("process.executable.name", self.program),
        )  # fmt: skip


def only_pod(holders: Sequence[Place]) -> Place:
    """The pod that alone has a device, with its container where that is one; empty when there are several or none."""
    if not holders or any((one.namespace, one.pod) != (holders[0].namespace, holders[0].pod) for one in holders):
        return Place()
    return holders[0] if len(holders) == 1 else msgspec.structs.replace(holders[0], container="")


class Placement(Protocol):
    """Tells who has a device and whose a process is."""

    def refresh(self, now: float) -> None:
        """At every sample. The kubelet is asked in a thread aside; only its first answer is waited for, and shortly."""
        ...

    def holders(self, device: Device) -> tuple[Place, ...]:
        """Containers to which a device was given, several where it is shared."""
        ...

    def owners(self, pids: Sequence[int], holders: Sequence[Place]) -> Mapping[int, Place]:
        """
        Those of the processes on one device that can be told.

        :param holders: the containers that were given the device: a process tells of its pod no more than the UID
        """
        ...

    def close(self) -> None: ...


class Nobody:
    """Placement switched off."""

    def refresh(self, now: float) -> None:
        """There is nobody to ask."""

    def holders(self, device: Device) -> tuple[Place, ...]:
        return ()

    def owners(self, pids: Sequence[int], holders: Sequence[Place]) -> Mapping[int, Place]:
        return {}

    def close(self) -> None:
        """Nothing is open."""
