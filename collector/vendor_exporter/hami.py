"""
HAMi's monitor of shared devices, with its names of today and of before (`--legacy-metrics`).

https://github.com/Project-HAMi/HAMi cmd/vGPUmonitor/metrics.go (05880cb, v2.8). Its ratios run from 0 to 100. What it
adds to a vendor's own exporter is how much of a shared card each container holds.
"""

from collections.abc import Mapping
from typing import Final

from collector._pages.labels import Fold, Label, words
from collector.vendor_exporter.identity import Identify, Seen, identify, known, maker_of
from collector.vendor_exporter.table import CHIP, GENERAL, PERCENT, From, Row, Table, any_of, either
from watchkeeper.core.vocabulary import devices

_ERROR_TYPES: Final = words({kind: kind for kind in ("corrected", "uncorrected")}, None)


def _without_maker(find: Identify) -> Identify:
    """HAMi puts the vendor before the model's name: NVIDIA-NVIDIA A100."""

    def refine(labels: Mapping[str, str]) -> Seen | None:
        model = known(labels, ("device_type", "devicetype"))
        plain = model.partition("-")[2] if model.startswith("NVIDIA-") else model
        return find({**labels, "device_type": plain or "", "devicetype": ""})

    return refine


TABLE: Final = Table(
    name="hami",
    title="HAMi",
    vendors=("nvidia", "ascend"),
    matches=any_of(
        "hami_host_gpu_memory_used_bytes", "hami_host_gpu_utilization_ratio", "hami_vgpu_memory_used_bytes",
        "HostGPUMemoryUsage", "HostCoreUtilization", "vGPU_device_memory_usage_in_bytes",
    ),
    reference="https://github.com/Project-HAMi/HAMi 05880cb",
    port=9394,
    device=_without_maker(
        identify(
            lambda model: maker_of(model) or "nvidia",
            id=("device_uuid", "deviceuuid"), name=("device_index", "deviceidx"), model=("device_type",),
        )
    ),
    placed_by=("hami_vgpu_memory_limit_bytes", "vGPU_device_memory_limit_in_bytes"),
    rows=(
        Row(
            devices.UTILIZATION,
            either("hami_host_gpu_utilization_ratio", "HostCoreUtilization", scale=PERCENT),
            GENERAL,
        ),
        Row(devices.MEMORY_BUSY, either("hami_host_gpu_memory_controller_utilization_ratio", scale=PERCENT)),
        Row(devices.MEMORY_USAGE, either("hami_host_gpu_memory_used_bytes", "HostGPUMemoryUsage")),
        Row(devices.TEMPERATURE, either("hami_host_gpu_temperature_celsius"), CHIP),
        Row(devices.POWER, either("hami_host_gpu_power_usage_watts")),
        Row(
            devices.ERRORS,
            (
                From(
                    "hami_host_gpu_ecc_errors_total",
                    labels=(Label("error_type", "error.type", _ERROR_TYPES),),
                ),
            ),
            (("hw.type", "gpu"),),
        ),
        Row(
            devices.PROCESS_MEMORY,
            (
                From("hami_vgpu_memory_used_bytes", fold=Fold.SUM),
                From("vGPU_device_memory_usage_in_bytes", fold=Fold.SUM),
            ),
            by_holder=True,
        ),
    ),
)  # fmt: skip
