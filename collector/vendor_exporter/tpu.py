"""
Google's TPU device plugin of GKE, whose page tells what the runtime of a workload knows.

https://cloud.google.com/kubernetes-engine/docs/how-to/tpus, tpu-device-plugin 1.35 (port 2112). `*_node` families have
every chip, those without only chips that a container has. There is no power and no temperature, and where no workload
runs, nothing.
"""

from collections.abc import Mapping
from typing import Final

from collector.accelerators.driver import Device
from collector.vendor_exporter.identity import Seen, known
from collector.vendor_exporter.table import GENERAL, PERCENT, Row, Table, any_of, either
from watchkeeper.core.vocabulary import devices


def _chip(labels: Mapping[str, str]) -> Seen | None:
    """The id is the machine's with the chip's index behind it."""
    own = known(labels, ("accelerator_id",))
    if not own:
        return None
    return Seen(Device(own, own.rpartition("-")[2], "google", known(labels, ("model",))))


TABLE: Final = Table(
    name="tpu-device-plugin",
    title="TPU device plugin (Google)",
    vendors=("google",),
    matches=any_of("duty_cycle", "duty_cycle_node", "tensorcore_utilization_node", "memory_bandwidth_utilization_node"),
    reference="https://cloud.google.com/kubernetes-engine/docs/how-to/tpus, tpu-device-plugin 1.35",
    port=2112,
    device=_chip,
    placed_by=("duty_cycle", "memory_used", "tensorcore_utilization", "memory_bandwidth_utilization"),
    rows=(
        Row(devices.UTILIZATION, either("duty_cycle_node", "duty_cycle", scale=PERCENT), GENERAL),
        Row(devices.MATRIX_ACTIVE, either("tensorcore_utilization_node", "tensorcore_utilization", scale=PERCENT)),
        Row(
            devices.MEMORY_BANDWIDTH,
            either("memory_bandwidth_utilization_node", "memory_bandwidth_utilization", scale=PERCENT),
        ),
        Row(devices.MEMORY_LIMIT, either("memory_total_node", "memory_total")),
        Row(devices.MEMORY_USAGE, either("memory_used_node", "memory_used")),
    ),
)
