"""Moore Threads' mtgpu-exporter."""

from typing import Any

from collector.vendor_exporter.moore_threads import TABLE
from watchkeeper.core.vocabulary import devices


def test_a_card_in_base_units(said: Any) -> None:
    gpu = 'index="0",uuid="mt-1",name="MTT S5000"'
    page = said(
        TABLE,
        f"mtgpu_gpu_utilization{{{gpu}}} 5",
        f"mtgpu_memory_total_bytes{{{gpu}}} 85899345920",
        f"mtgpu_memory_used_bytes{{{gpu}}} 1024",
        f"mtgpu_gpu_temp{{{gpu}}} 39",
        f"mtgpu_power_usage_milliwatts{{{gpu}}} 98500",
    )

    assert page.of("mt-1") == {
        (devices.UTILIZATION, ("general",)): 0.05,
        (devices.MEMORY_LIMIT, ()): 85899345920,
        (devices.MEMORY_USAGE, ()): 1024,
        (devices.TEMPERATURE, ("chip",)): 39,
        (devices.POWER, ()): 98.5,
    }
