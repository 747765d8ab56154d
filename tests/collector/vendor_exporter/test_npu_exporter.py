"""Huawei's npu-exporter."""

from typing import Any

from collector.vendor_exporter.npu_exporter import TABLE
from watchkeeper.core.vocabulary import devices

MIB = 1024 * 1024
NPU = 'id="0",model_name="Ascend910B3",vdie_id="A1-B2",pcie_bus_info="0000:C1:00.0"'
FREE = f'{NPU},namespace="",pod_name="",container_name=""'


def test_an_a2_card_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"npu_chip_info_utilization{{{FREE}}} 40 1763772000000",
        f"npu_chip_info_overall_utilization{{{FREE}}} 55 1763772000000",
        f"npu_chip_info_vector_utilization{{{FREE}}} 12",
        f"npu_chip_info_cube_utilization{{{FREE}}} 33",
        f"npu_chip_info_hbm_total_memory{{{FREE}}} 65536",
        f"npu_chip_info_hbm_used_memory{{{FREE}}} 3400",
        f"npu_chip_info_total_memory{{{FREE}}} 0",
        f"npu_chip_info_temperature{{{FREE}}} 45",
        f"npu_chip_info_hbm_temperature{{{FREE}}} 51",
        f"npu_chip_info_power{{{FREE}}} 93.5",
        f"npu_chip_info_aicore_current_freq{{{FREE}}} 1650",
        f"npu_chip_info_hbm_bandwidth_utilization{{{FREE}}} 8",
        f"npu_chip_info_hbm_ecc_total_single_bit_error_cnt{{{FREE}}} 5",
        f"npu_chip_info_process_info_num{{{FREE}}} 2",
    )

    assert page.of("A1-B2") == {
        (devices.UTILIZATION, ("general",)): 0.55,
        (devices.COMPUTE_ACTIVE, ()): 0.12,
        (devices.MATRIX_ACTIVE, ()): 0.33,
        (devices.MEMORY_LIMIT, ()): 65536 * MIB,
        (devices.MEMORY_USAGE, ()): 3400 * MIB,
        (devices.TEMPERATURE, ("chip",)): 45,
        (devices.TEMPERATURE, ("memory",)): 51,
        (devices.POWER, ()): 93.5,
        (devices.CLOCK, ("core",)): 1.65e9,
        (devices.MEMORY_BANDWIDTH, ()): 0.08,
        (devices.ERRORS, ("gpu", "corrected")): 5,
        (devices.PROCESSES, ()): 2,
    }
    device = page.devices["A1-B2"]
    assert (device.name, device.vendor, device.model, device.pci_address) == (
        "0", "ascend", "Ascend910B3", "0000:C1:00.0",
    )  # fmt: skip


def test_a_card_with_ddr_alone_has_its_memory(said: Any) -> None:
    page = said(
        TABLE, f"npu_chip_info_total_memory{{{FREE}}} 21527", f"npu_chip_info_used_memory{{{FREE}}} 1000",
        "# TYPE npu_chip_info_hbm_total_memory gauge",
    )  # fmt: skip

    assert page.value("A1-B2", devices.MEMORY_LIMIT) == 21527 * MIB
    assert page.value("A1-B2", devices.MEMORY_USAGE) == 1000 * MIB


def test_a_memory_of_nothing_is_no_memory(said: Any) -> None:
    page = said(TABLE, f"npu_chip_info_total_memory{{{FREE}}} 0", f"npu_chip_info_used_memory{{{FREE}}} 0")

    assert page.of("A1-B2") == {(devices.MEMORY_USAGE, ()): 0}


def test_health_that_could_not_be_read_is_neither_ok_nor_failed(said: Any) -> None:
    def health(value: int) -> Any:
        return said(TABLE, f"npu_chip_info_health_status{{{FREE}}} {value}")

    assert health(1).value("A1-B2", devices.STATUS, "gpu", "ok") == 1
    assert health(0).value("A1-B2", devices.STATUS, "gpu", "failed") == 1
    assert health(0).value("A1-B2", devices.STATUS, "gpu", "ok") == 0
    assert health(-1).of("A1-B2") == {}


def test_counts_typed_as_gauges_are_counters(told: Any) -> None:
    name = "npu_chip_info_hbm_ecc_total_double_bit_error_cnt"
    npu = told(TABLE)
    for now, total in ((0.0, 40), (15.0, 43), (30.0, 2)):
        npu(now, f"# TYPE {name} gauge", f"{name}{{{FREE}}} {total}")

    assert npu.total(devices.ERRORS, error_type="uncorrected") == 5


def test_links_of_hccs_are_added_up(said: Any) -> None:
    lines = [f"npu_chip_info_hccs_statistic_info_crc_err_cnt_{link}{{{FREE}}} {link}" for link in range(1, 8)]

    assert said(TABLE, *lines).value("A1-B2", devices.LINK_ERRORS, "hccs", "crc") == 28


def test_the_network_port(said: Any) -> None:
    page = said(TABLE, f"npu_chip_info_link_status{{{FREE}}} 0")

    assert page.value("A1-B2", devices.LINKS, "nic", "down") == 1
    assert page.value("A1-B2", devices.LINKS, "nic", "up") == 0


def test_an_error_code_counts_when_it_comes(told: Any) -> None:
    power, first, second = (f"{name}{{{FREE}}}" for name in (
        "npu_chip_info_power", "npu_chip_info_error_code", "npu_chip_info_error_code_1",
    ))  # fmt: skip
    npu = told(TABLE)
    npu(0.0, f"{power} 90", f"{first} 0")
    npu(15.0, f"{power} 90", f"{first} {0x40F84E00}")
    npu(30.0, f"{power} 90", f"{first} {0x80E01801}", f"{second} {0x40F84E00}")

    assert npu.total(devices.FAULT_CODES, fault_code="40F84E00") == 1
    assert npu.total(devices.FAULT_CODES, fault_code="80E01801") == 1


def test_the_text_for_several_pods_is_no_pod(said: Any) -> None:
    several = "Not Displayed For Multi Pod"
    shared = f'{NPU},namespace="{several}",pod_name="{several}",container_name="{several}"'
    alone = f'{NPU},namespace="llm",pod_name="mindie-0",container_name="server"'

    assert said(TABLE, f"npu_chip_info_power{{{shared}}} 90").places("A1-B2") == []
    assert said(TABLE, f"npu_chip_info_power{{{alone}}} 90").places("A1-B2") == ["llm/mindie-0/server"]


def test_memory_of_virtual_devices_by_who_has_them(told: Any) -> None:
    lines = [
        f'vnpu_pod_used_memory{{{NPU},namespace="n",pod_name="{pod}",container_name="c"}} {used}'
        for pod, used in (("a", 1024), ("b", 2048))
    ]
    page = told(TABLE)(0.0, *lines)

    assert page.by(devices.PROCESS_MEMORY, "k8s.pod.name") == {("a",): MIB, ("b",): 2 * MIB}
