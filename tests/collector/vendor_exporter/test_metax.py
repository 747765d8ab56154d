"""MetaX' mx-exporter, with its names of today and of before."""

from typing import Any

from collector.vendor_exporter.metax import TABLE
from watchkeeper.core.vocabulary import devices

GPU = 'Hostname="n1",bios_version="1.16",deviceId="0",driver_version="2.6.0",modelName="MXC500",uuid="GPU-m"'


def test_a_card_in_base_units_by_its_vram(said: Any) -> None:
    page = said(
        TABLE,
        f"mx_gpu_usage{{{GPU}}} 50",
        f'mx_memory_total{{{GPU},type="vram"}} 67108864',
        f'mx_memory_total{{{GPU},type="xtt"}} 1',
        f'mx_memory_used{{{GPU},type="vram"}} 1024',
        f"mx_chip_hotspot_temp{{{GPU}}} 35.75",
        f"mx_board_power{{{GPU}}} 120500",
    )

    assert page.of("GPU-m") == {
        (devices.UTILIZATION, ("general",)): 0.5,
        (devices.MEMORY_LIMIT, ()): 64 * 1024**3,
        (devices.MEMORY_USAGE, ()): 1024**2,
        (devices.TEMPERATURE, ("chip",)): 35.75,
        (devices.POWER, ()): 120.5,
    }


def test_the_names_of_before(said: Any) -> None:
    page = said(
        TABLE,
        f"core_temp{{{GPU}}} 41",
        f"gpu_usage{{{GPU}}} 7",
        f'memory_total{{{GPU},memType="vram"}} 2048',
        f'memory_total{{{GPU},memType="vis_vram"}} 4096',
    )

    assert page.of("GPU-m") == {
        (devices.TEMPERATURE, ("chip",)): 41,
        (devices.UTILIZATION, ("general",)): 0.07,
        (devices.MEMORY_LIMIT, ()): 2 * 1024**2,
    }
