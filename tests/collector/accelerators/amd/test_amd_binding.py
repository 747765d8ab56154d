"""AMD's own binding is made from the header of one release: what it says of codes and structures, ours must say too."""

import ctypes
import importlib.util
from pathlib import Path

import pytest

from collector.accelerators.amd import layouts
from collector.accelerators.amd.codes import CODES


class NoLibrary:
    """Lets the binding's module be read without AMD's library; every function is there."""

    def __init__(self, *_: object) -> None:
        pass

    def __getattr__(self, name):
        return type(name, (), {})()


@pytest.fixture(scope="module")
def binding():
    spec = importlib.util.find_spec("amdsmi")
    source = Path(spec.submodule_search_locations[0]) / "amdsmi_wrapper.py"
    names = {"__name__": "amdsmi_wrapper", "__file__": str(source)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctypes, "CDLL", NoLibrary)
        exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), names)  # noqa: S102 - the vendor's tables
    return names


def test_every_status_of_the_binding_has_a_meaning(binding):
    defined = {
        number: name.removeprefix("AMDSMI_STATUS_")
        for number, name in binding["amdsmi_status_t__enumvalues"].items()
        if number
    }

    assert defined.items() <= {number: name for number, (name, _) in CODES.items()}.items()
    assert CODES.keys() - defined.keys() == {21, 57}, "of a later and of an earlier release"


NEWEST = layouts.LAYOUTS[-1][1]
PLACES = (
    ("amdsmi_engine_usage_t", "gfx_activity", 0),
    ("amdsmi_engine_usage_t", "umc_activity", 4),
    ("amdsmi_vram_usage_t", "vram_used", 4),
    ("amdsmi_clk_info_t", "clk", 0),
    ("amdsmi_clk_info_t", "max_clk", 8),
    ("amdsmi_error_count_t", "uncorrectable_count", 8),
    ("amdsmi_power_cap_info_t", "power_cap", 0),
    ("amdsmi_power_info_t", "current_socket_power", 8),
    ("amdsmi_power_info_t", "average_socket_power", 12),
    ("amdsmi_pcie_info_t", "pcie_metric", layouts.PCIE_OFFSET),
    ("amdsmi_link_metrics_t", "links", layouts.LINKS_OFFSET),
    ("amdsmi_retired_page_record_t", "status", 16),
    ("amdsmi_kfd_info_t", "current_partition_id", 12),
    ("amdsmi_enumeration_info_t", "hip_uuid", layouts.HIP_UUID[0]),
    ("amdsmi_evt_notification_data_t", "event", 8),
    ("amdsmi_violation_status_t", "acc_counter", 16),
    ("amdsmi_violation_status_t", "acc_hbm_thrm", 56),
    ("amdsmi_violation_status_t", "active_prochot_thrm", NEWEST.active_offset),
    ("amdsmi_asic_info_t", "market_name", layouts.MARKET_NAME[0]),
    ("amdsmi_asic_info_t", "asic_serial", NEWEST.serial[0]),
    ("amdsmi_driver_info_t", "driver_version", NEWEST.driver_version[0]),
    ("amdsmi_vbios_info_t", "version", NEWEST.firmware_version[0]),
    ("amdsmi_proc_info_t", "pid", 256),
    ("amdsmi_proc_info_t", "memory_usage", 336),
)


@pytest.mark.parametrize(("structure", "field", "offset"), PLACES, ids=[f"{row[0]}.{row[1]}" for row in PLACES])
def test_a_field_stands_where_the_binding_has_it(binding, structure, field, offset):
    assert getattr(binding[structure], field).offset == offset


def test_elements_of_lists_are_as_long_as_the_bindings(binding):
    assert ctypes.sizeof(binding["amdsmi_proc_info_t"]) == NEWEST.process.size
    assert ctypes.sizeof(binding["amdsmi_retired_page_record_t"]) == layouts.PAGE.size
    assert ctypes.sizeof(binding["struct__links"]) == layouts.LINK.size


def test_xgmi_has_the_bindings_number(binding):
    assert binding["AMDSMI_LINK_TYPE_XGMI"] == NEWEST.xgmi
