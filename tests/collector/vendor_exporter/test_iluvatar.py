"""Iluvatar CoreX' ix-exporter."""

from typing import Any

from collector.vendor_exporter.iluvatar import TABLE
from watchkeeper.core.vocabulary import devices

MIB = 1024 * 1024
GPU = 'name="Iluvatar BI-V150S",gpu="1",uuid="GPU-i",driver="4.3.0",ixml="4.3",serial="s",node_name="n1"'


def test_a_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"ix_gpu_utilization{{{GPU}}} 50",
        f"ix_sm_utilization{{{GPU}}} 25",
        f"ix_mem_total{{{GPU}}} 32768",
        f"ix_mem_used{{{GPU}}} 114",
        f"ix_gpu_temperature{{{GPU}}} 41",
        f"ix_temperature{{{GPU}}} 40",
        f"ix_power_usage{{{GPU}}} 97",
        f"ix_sm_clock{{{GPU}}} 1500",
        f"ix_ecc_sbe_vol_status{{{GPU}}} 1",
    )

    assert page.of("GPU-i") == {
        (devices.UTILIZATION, ("general",)): 0.5,
        (devices.COMPUTE_ACTIVE, ()): 0.25,
        (devices.MEMORY_LIMIT, ()): 32768 * MIB,
        (devices.MEMORY_USAGE, ()): 114 * MIB,
        (devices.TEMPERATURE, ("chip",)): 41,
        (devices.POWER, ()): 97,
        (devices.CLOCK, ("core",)): 1.5e9,
    }


def test_the_last_xid_counts_when_it_changes(told: Any) -> None:
    ix = told(TABLE)
    for now, code in ((0.0, 0), (15.0, 62), (30.0, 62)):
        ix(now, f"ix_xid_errors{{{GPU}}} {code}")

    assert ix.total(devices.FAULT_CODES, fault_code="62") == 1
