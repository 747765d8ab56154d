"""Placement by the kubelet and by /proc together."""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from collector.accelerators.driver import Device
from collector.accelerators.placement import names
from collector.accelerators.placement.kubelet import Kubelet
from collector.accelerators.placement.processes import Process, Processes
from collector.accelerators.places import Place, only_pod

_MAX_DEVICES: Final = 4096


class HostPlacement:
    """Of this host; for one thread."""

    def __init__(self, kubelet: Kubelet | None, processes: Processes) -> None:
        """:param kubelet: None where there is none to ask"""
        self._kubelet = kubelet
        self._processes = processes
        self._log = logging.getLogger("watchkeeper.accelerators.placement")
        self._now = 0.0
        self._holders: dict[Device, tuple[Place, ...]] = {}
        self._changes = 0
        self._sees_host: bool | None = None

    def refresh(self, now: float) -> None:
        self._now = now
        if self._kubelet is None:
            return
        self._kubelet.refresh(now)
        if self._kubelet.changes != self._changes or len(self._holders) > _MAX_DEVICES:
            self._changes = self._kubelet.changes
            self._holders = {}

    def holders(self, device: Device) -> tuple[Place, ...]:
        if self._kubelet is None:
            return ()
        if device not in self._holders:
            places = (
                given.place
                for given in self._kubelet.given
                if any(names.means(one, given.resource, device) for one in given.ids)
            )
            self._holders[device] = tuple(dict.fromkeys(places))
        return self._holders[device]

    def owners(self, pids: Sequence[int], holders: Sequence[Place]) -> Mapping[int, Place]:
        if not pids or not self._can_see():
            return {}
        processes = self._processes.of(pids, self._now)
        pod = only_pod(holders)
        uids = {process.origin.pod_uid for process in processes.values() if process.origin.pod_uid}
        if len(uids) > 1:  # more pods are at work on it than the one that has it
            pod = Place()
        return {pid: _place(process, pod) for pid, process in processes.items()}

    def close(self) -> None:
        if self._kubelet is not None:
            self._kubelet.close()

    def _can_see(self) -> bool:
        """Told once: a namespace does not change while a process runs."""
        if self._sees_host is None:
            self._sees_host = self._processes.sees_the_host()
            if not self._sees_host:
                self._log.warning(
                    "processes on devices are not named: accelerators.placement.proc_path is not the host's /proc; "
                    "run in the host's pid namespace (hostPID: true), or mount the host's /proc and name it there"
                )
        return self._sees_host


def _place(process: Process, pod: Place) -> Place:
    """A process in a pod tells the pod's UID and not its name: it is taken for the one pod that has the device."""
    origin = process.origin
    if origin.pod_uid:
        return msgspec.structs.replace(pod, program=process.program)
    return Place(container_id=origin.container_id, unit=origin.unit, program=process.program)
