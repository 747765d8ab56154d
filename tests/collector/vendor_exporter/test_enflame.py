"""Enflame's gcu-exporter."""

from typing import Any

from collector.vendor_exporter.enflame import TABLE
from watchkeeper.core.vocabulary import devices

GCU = (
    'busid="0000:40:00.0",host="n1",minor_number="2",name="Enflame T10",pod_name="p-0",pod_namespace="llm",'
    'slot="PCIE3_GPU",uuid="GCU-U5"'
)


def test_a_card_in_base_units_and_its_power_in_watts(said: Any) -> None:
    page = said(
        TABLE,
        f"enflame_gcu_usage{{{GCU}}} 80",
        f"enflame_gcu_memory_total_bytes{{{GCU}}} 1.7179869184e+10",
        f"enflame_gcu_memory_used_bytes{{{GCU}}} 1073741824",
        f"enflame_gcu_temperatures{{{GCU}}}  34.5",
        f"enflame_gcu_power_usage{{{GCU}}} 22.2",
        f"enflame_gcu_power_consumption{{{GCU}}} 56.0",
        f"enflame_gcu_power_capability{{{GCU}}} 225",
        f'enflame_gcu_clock{{{GCU},power_mode="Active"}} 1150',
        f"enflame_gcu_pcie_link_width{{{GCU}}} 16",
    )

    assert page.of("GCU-U5") == {
        (devices.UTILIZATION, ("general",)): 0.8,
        (devices.MEMORY_LIMIT, ()): 17179869184,
        (devices.MEMORY_USAGE, ()): 1073741824,
        (devices.TEMPERATURE, ("chip",)): 34.5,
        (devices.POWER, ()): 56,
        (devices.POWER_LIMIT, ()): 225,
        (devices.CLOCK, ("core",)): 1.15e9,
        (devices.LINK_WIDTH, ("pcie",)): 16,
    }
    assert page.places("GCU-U5") == ["llm/p-0/"]


def test_health_is_told_where_it_is_known(said: Any) -> None:
    def health(value: int) -> Any:
        return said(TABLE, f'enflame_gcu_health{{{GCU},healthmsg="x"}} {value}').of("GCU-U5")

    assert health(2)[(devices.STATUS, ("gpu", "ok"))] == 1
    assert health(1)[(devices.STATUS, ("gpu", "failed"))] == 1
    assert health(0) == {}
