"""Whose a device is: pods by the kubelet's pod-resources API, units and programs by /proc."""

from collections import Counter

from collector.accelerators.config import PlacementConfig
from collector.accelerators.places import Nobody, Placement
from watchkeeper.core.ledger import Ledger


def build(config: PlacementConfig, ledger: Ledger) -> Placement:
    """Opens nothing: the kubelet is asked from the first sample on."""
    if not config.enabled:
        return Nobody()
    from collector.accelerators.placement.host import HostPlacement
    from collector.accelerators.placement.kubelet import Kubelet
    from collector.accelerators.placement.processes import Processes

    path = config.pod_resources_socket
    kubelet = Kubelet(path, config.interval_seconds, ledger) if path else None
    return HostPlacement(kubelet, Processes(config.proc_path, config.interval_seconds))


def probe(config: PlacementConfig) -> tuple[str, ...]:
    """For `watchkeeper doctor`: does the kubelet answer, what has it given, are the host's processes seen."""
    if not config.enabled:
        return ("placement: off; devices are placed on nobody",)
    return (*_kubelet_lines(config.pod_resources_socket), _process_line(config.proc_path))


def _kubelet_lines(path: str) -> tuple[str, ...]:
    from collector.accelerators.placement.allocation import KubeletError, Trouble
    from collector.accelerators.placement.kubelet import ASK_SECONDS, ask
    from collector.accelerators.placement.names import is_accelerator

    if not path:
        return ("placement: no kubelet is asked (pod_resources_socket is empty)",)
    try:
        given = ask(path, ASK_SECONDS)
    except KubeletError as error:
        mark = "" if error.trouble is Trouble.MISSING else "! "
        return (f"{mark}placement: {path}: {error}",)
    counts: Counter[str] = Counter()
    for one in given:
        if is_accelerator(one.resource):
            counts[one.resource] += len(one.ids)
    found = ", ".join(f"{count} of {resource}" for resource, count in sorted(counts.items()))
    return (f"placement: the kubelet answers; given to containers: {found or 'no accelerator'}",)


def _process_line(proc_path: str) -> str:
    from collector.accelerators.placement.processes import Processes

    if Processes(proc_path, 0.0).sees_the_host():
        return f"placement: {proc_path} shows the host's processes"
    return (
        f"! placement: {proc_path} does not show the host's processes, so those on devices are not named; set"
        " hostPID: true, or mount the host's /proc and name it in accelerators.placement.proc_path"
    )
