"""Intel's Gaudi exporter."""

from typing import Any

from collector.vendor_exporter.gaudi import TABLE
from watchkeeper.core.vocabulary import devices

CARD = 'Serial="AN01",UUID="01P0-HL",device="AN01",id="0",fit="f",spi="s",driver="1.21",pod_namespace="n",pod_name="p"'


def test_a_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"habanalabs_utilization{{{CARD}}} 12",
        f"habanalabs_memory_total_bytes{{{CARD}}} 137438953472",
        f"habanalabs_memory_used_bytes{{{CARD}}} 4096",
        f"habanalabs_power_mW{{{CARD}}} 221000",
        f"habanalabs_power_default_limit_mW{{{CARD}}} 850000",
        f"habanalabs_energy{{{CARD}}} 3000",
        f"habanalabs_temperature_onchip{{{CARD}}} 40",
        f"habanalabs_temperature_onboard{{{CARD}}} 35",
        f"habanalabs_clock_soc_mhz{{{CARD}}} 1600",
        *(f'habanalabs_nic_port_status{{{CARD},port="{port}"}} {port % 2}' for port in range(6)),
    )

    assert page.of("01P0-HL") == {
        (devices.UTILIZATION, ("general",)): 0.12,
        (devices.MEMORY_LIMIT, ()): 137438953472,
        (devices.MEMORY_USAGE, ()): 4096,
        (devices.POWER, ()): 221,
        (devices.POWER_LIMIT, ()): 850,
        (devices.ENERGY, ("meter",)): 3,
        (devices.TEMPERATURE, ("chip",)): 40,
        (devices.TEMPERATURE, ("board",)): 35,
        (devices.CLOCK, ("core",)): 1.6e9,
        (devices.LINKS, ("nic", "up")): 3,
        (devices.LINKS, ("nic", "down")): 3,
    }
    assert page.places("01P0-HL") == ["n/p/"]
