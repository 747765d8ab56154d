"""Cambricon's mlu-exporter."""

from typing import Any

from collector.vendor_exporter.mlu_exporter import TABLE
from watchkeeper.core.vocabulary import devices

MLU = 'driver="v6.2",mcu="v1.1",mlu="0",model="MLU590",node="n1",node_ip="10.0.0.1",sn="s1",type="mlu590",uuid="MLU-1"'


def test_a_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f'mlu_utilization{{{MLU},vf=""}} 70',
        f"mlu_tensor_util{{{MLU}}} 40",
        f'mlu_memory_total{{{MLU},vf=""}} 85899345920',
        f'mlu_memory_used{{{MLU},vf=""}} 1024',
        f"mlu_chip_temperature{{{MLU}}} 60",
        f"mlu_temperature{{{MLU}}} 50",
        f"mlu_power_usage{{{MLU}}} 310",
        f"mlu_frequency{{{MLU}}} 1300",
        f"mlu_health{{{MLU}}} 1",
        f"mlu_repair_pending{{{MLU}}} 0",
    )

    assert {key: value for key, value in page.of("MLU-1").items() if value} == {
        (devices.UTILIZATION, ("general",)): 0.7,
        (devices.MATRIX_ACTIVE, ()): 0.4,
        (devices.MEMORY_LIMIT, ()): 85899345920,
        (devices.MEMORY_USAGE, ()): 1024,
        (devices.TEMPERATURE, ("chip",)): 60,
        (devices.TEMPERATURE, ("board",)): 50,
        (devices.POWER, ()): 310,
        (devices.CLOCK, ("core",)): 1.3e9,
        (devices.STATUS, ("gpu", "ok")): 1,
    }
    device = page.devices["MLU-1"]
    assert (device.serial, device.driver_version, device.firmware_version) == ("s1", "v6.2", "v1.1")


def test_links_are_added_up_and_counted(said: Any) -> None:
    page = said(
        TABLE,
        *(f'mlu_mlulink_cntr_read_byte_total{{{MLU},link="{link}"}} {100 * link}' for link in (1, 2, 3)),
        *(f'mlu_mlulink_status{{{MLU},link="{link}"}} {int(link != 2)}' for link in (1, 2, 3)),
        f'mlu_mlulink_err_crc32_total{{{MLU},link="1"}} 2',
        f'mlu_mlulink_err_crc24_total{{{MLU},link="1"}} 3',
    )

    assert page.value("MLU-1", devices.IO, "mlulink", "receive") == 600
    assert page.value("MLU-1", devices.LINKS, "mlulink", "up") == 2
    assert page.value("MLU-1", devices.LINKS, "mlulink", "down") == 1
    assert page.value("MLU-1", devices.LINK_ERRORS, "mlulink", "crc") == 5


def test_a_family_of_its_own_tells_whose_a_card_is(said: Any) -> None:
    holder = f'{MLU},namespace="llm",pod="p-0",container="server",vf=""'

    assert said(TABLE, f"mlu_power_usage{{{MLU}}} 310", f"mlu_container{{{holder}}} 1").places("MLU-1") == [
        "llm/p-0/server"
    ]


def test_functions_of_a_card_are_its_partitions(said: Any) -> None:
    page = said(TABLE, f'mlu_utilization{{{MLU},vf=""}} 70', f'mlu_utilization{{{MLU},vf="1"}} 20')

    assert page.value("MLU-1", devices.UTILIZATION, "general") == 0.7
    assert page.value("MLU-1/vf1", devices.UTILIZATION, "general") == 0.2
    assert page.devices["MLU-1/vf1"].parent == "MLU-1"


def test_xids_are_counted_by_code(told: Any) -> None:
    mlu = told(TABLE)
    mlu(0.0, f"mlu_power_usage{{{MLU}}} 300", f'mlu_xid_error_count{{{MLU},xid="0x1",xid_base_10="1"}} 4')
    mlu(15.0, f"mlu_power_usage{{{MLU}}} 300", f'mlu_xid_error_count{{{MLU},xid="0x1",xid_base_10="1"}} 6')

    assert mlu.total(devices.FAULT_CODES, fault_code="1") == 2
