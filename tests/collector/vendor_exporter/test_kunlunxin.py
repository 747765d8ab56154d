"""Kunlunxin's xpu-exporter."""

from typing import Any

from collector.vendor_exporter.kunlunxin import TABLE
from watchkeeper.core.vocabulary import devices

XPU = 'minor_number="3",model="P800 OAM",sn="02K",node="n1"'


def test_a_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"node_xpu_utilization{{{XPU}}} 64",
        f"node_xpu_memtotal{{{XPU}}} 103079215104",
        f"node_xpu_memused{{{XPU}}} 1048576",
        f"node_xpu_temp{{{XPU}}} 47",
        f"node_xpu_powerUsage{{{XPU}}} 90",
        f"node_xpu_totalEccCorrectedErrors{{{XPU}}} 3",
        f"node_xpu_state{{{XPU}}} 207",
    )

    assert {key: value for key, value in page.of("02K").items() if value} == {
        (devices.UTILIZATION, ("general",)): 0.64,
        (devices.MEMORY_LIMIT, ()): 103079215104,
        (devices.MEMORY_USAGE, ()): 1048576,
        (devices.TEMPERATURE, ("chip",)): 47,
        (devices.POWER, ()): 90,
        (devices.ERRORS, ("gpu", "corrected")): 3,
        (devices.STATUS, ("gpu", "failed")): 1,
    }


def test_a_card_without_an_id_is_known_by_its_machine_and_index(said: Any) -> None:
    page = said(TABLE, 'node_xpu_temp{minor_number="3",node="n1"} 47', 'node_xpu_temp{minor_number="3",node="n2"} 48')

    assert set(page.devices) == {"n1/kunlunxin/3", "n2/kunlunxin/3"}
