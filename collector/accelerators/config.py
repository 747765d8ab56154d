"""Which accelerators are read, and how often."""

from typing import Annotated

import msgspec


class PlacementConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How devices are told to belong to pods, units and programs."""

    enabled: bool = True
    """False: no device is placed"""
    pod_resources_socket: str = "/var/lib/kubelet/pod-resources/kubelet.sock"
    """the kubelet's pod-resources socket; where there is none, devices are not placed on pods; '': it is not asked"""
    proc_path: str = "/proc"
    """the host's /proc, for the units and programs of processes; in a container it needs the host's pid namespace"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """how often the kubelet is asked"""


class AcceleratorsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accelerators of this host, found by their vendors' libraries."""

    enabled: bool = True
    """False: no library is loaded"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=0.2, le=60)] = 1.0
    """time between two samples of every device"""
    patience_seconds: Annotated[float, msgspec.Meta(gt=0, le=30)] = 0.5
    """a device that has not answered by then counts as hung for this sample"""
    vendors: tuple[str, ...] = ()
    """only these: nvidia, ascend, cambricon, amd, gaudi; empty: all that are found"""
    placement: PlacementConfig = PlacementConfig()
    """whose devices they are"""
