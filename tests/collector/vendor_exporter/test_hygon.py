"""Hygon's dcu-exporter."""

from typing import Any

from collector.vendor_exporter.hygon import TABLE
from watchkeeper.core.vocabulary import devices

DCU = (
    'device_id="T8R1",minor_number="0",name="Z100",node="n1",pcieBus_number="0000:f6:00.0",'
    'dcu_pod_namespace="llm",dcu_pod_name="p-0",container="vllm"'
)


def test_a_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"dcu_utilizationrate{{{DCU}}} 33",
        f"dcu_memorycap_bytes{{{DCU}}} 3.4342961152e+10",
        f"dcu_usedmemory_bytes{{{DCU}}} 4096",
        f"dcu_temp{{{DCU}}} 46",
        f"dcu_power_usage{{{DCU}}} 100",
        f"dcu_powercap{{{DCU}}} 300",
        f"dcu_sclk{{{DCU}}} 1400",
        f'dcu_ce_count{{{DCU},block_type="UMC"}} 3',
        f'dcu_ce_count{{{DCU},block_type="GFX"}} 4',
    )

    assert page.of("T8R1") == {
        (devices.UTILIZATION, ("general",)): 0.33,
        (devices.MEMORY_LIMIT, ()): 34342961152,
        (devices.MEMORY_USAGE, ()): 4096,
        (devices.TEMPERATURE, ("chip",)): 46,
        (devices.POWER, ()): 100,
        (devices.POWER_LIMIT, ()): 300,
        (devices.CLOCK, ("core",)): 1.4e9,
        (devices.ERRORS, ("gpu", "corrected")): 7,
    }
    assert page.places("T8R1") == ["llm/p-0/vllm"]


def test_errors_told_for_each_pod_of_a_card_count_once(said: Any) -> None:
    lines = [
        f'dcu_ue_count{{device_id="T8R1",minor_number="0",dcu_pod_namespace="n",dcu_pod_name="{pod}",'
        f'block_type="{block}"}} 2'
        for pod in ("a", "b")
        for block in ("UMC", "GFX")
    ]

    assert said(TABLE, *lines).value("T8R1", devices.ERRORS, "gpu", "uncorrected") == 4


def test_a_virtual_device_is_a_partition(said: Any) -> None:
    virtual = f'vdcu_minor_number="2",vdcu_computer_unit="30",vdcu_memory_cap="100",{DCU}'
    page = said(TABLE, f"vdcu_utilizationrate{{{virtual}}} 20", f"vdcu_temp{{{virtual}}} 46")

    assert page.of("T8R1/vdcu2") == {(devices.UTILIZATION, ("general",)): 0.2}
    assert (page.devices["T8R1/vdcu2"].parent, page.devices["T8R1/vdcu2"].profile) == ("T8R1", "30")
