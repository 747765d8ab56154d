"""AMD's device-metrics-exporter."""

from typing import Any

import pytest

from collector.vendor_exporter.amd import TABLE
from watchkeeper.core.vocabulary import devices

MIB = 1024 * 1024
GPU = 'gpu_id="0",card_model="Instinct MI300X",serial_number="S0",hostname="n1",gpu_partition_id="0"'
WHOLE = f'{GPU},gpu_compute_partition_type="spx",pod="p-0",namespace="llm",container="vllm"'


@pytest.mark.parametrize("prefix", ["", "amd_"])
def test_a_card_in_base_units(said: Any, prefix: str) -> None:
    page = said(
        TABLE,
        f"{prefix}gpu_gfx_activity{{{WHOLE}}} 91",
        f"{prefix}gpu_umc_activity{{{WHOLE}}} 30",
        f"{prefix}gpu_total_vram{{{WHOLE}}} 196592",
        f"{prefix}gpu_used_vram{{{WHOLE}}} 283",
        f"{prefix}gpu_junction_temperature{{{WHOLE}}} 58",
        f"{prefix}gpu_package_power{{{WHOLE}}} 748",
        f"{prefix}gpu_energy_consumed{{{WHOLE}}} 1.4e9",
        f'{prefix}gpu_clock{{{WHOLE},clock_index="0",clock_type="system"}} 1533',
        f'{prefix}gpu_clock{{{WHOLE},clock_index="1",clock_type="system"}} 132',
        f'{prefix}gpu_clock{{{WHOLE},clock_index="8",clock_type="GPU_CLOCK_TYPE_MEMORY"}} 900',
        f'{prefix}gpu_clock{{{WHOLE},clock_index="9",clock_type="soc"}} 29',
        f"{prefix}gpu_ecc_uncorrect_total{{{WHOLE}}} 2",
        *(f'{prefix}gpu_xgmi_link_rx{{{WHOLE},link_index="{link}"}} 10' for link in range(8)),
    )

    assert page.of("S0") == {
        (devices.UTILIZATION, ("general",)): 0.91,
        (devices.MEMORY_BUSY, ()): 0.3,
        (devices.MEMORY_LIMIT, ()): 196592 * MIB,
        (devices.MEMORY_USAGE, ()): 283 * MIB,
        (devices.TEMPERATURE, ("chip",)): 58,
        (devices.POWER, ()): 748,
        (devices.ENERGY, ("meter",)): 1400,
        (devices.CLOCK, ("core",)): 1.533e9,
        (devices.CLOCK, ("memory",)): 9e8,
        (devices.ERRORS, ("gpu", "uncorrected")): 2,
        (devices.IO, ("xgmi", "receive")): 80 * 1024,
    }
    assert page.places("S0") == ["llm/p-0/vllm"]


def test_the_zeros_of_partitions_are_dropped_and_the_card_has_what_is_its_own(said: Any) -> None:
    lines = []
    for partition, power, used in ((0, 500, 100), (1, 0, 200)):
        own = (
            f'gpu_id="{partition}",card_model="M",serial_number="S0",gpu_partition_id="{partition}",'
            'gpu_compute_partition_type="cpx"'
        )
        lines += [f"gpu_package_power{{{own}}} {power}", f"gpu_used_vram{{{own}}} {used}"]
    page = said(TABLE, *lines)

    assert page.of("S0") == {(devices.POWER, ()): 500}
    assert page.of("S0/part1") == {(devices.MEMORY_USAGE, ()): 200 * MIB}
    assert page.devices["S0/part1"].parent == "S0"


def test_what_every_partition_tells_of_its_card_is_added_up_once(said: Any) -> None:
    lines = [
        f'gpu_xgmi_link_tx{{gpu_id="{partition}",serial_number="S0",gpu_partition_id="{partition}",'
        f'gpu_compute_partition_type="cpx",link_index="{link}"}} 3'
        for partition in range(4)
        for link in range(2)
    ]

    assert said(TABLE, *lines).value("S0", devices.IO, "xgmi", "transmit") == 6 * 1024


def test_sixteen_bits_set_are_no_temperature(said: Any) -> None:
    assert said(TABLE, f"gpu_junction_temperature{{{WHOLE}}} 65535").of("S0") == {}
