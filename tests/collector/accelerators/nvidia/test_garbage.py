"""A driver that answers with success and says what cannot be."""

import pytest

from collector.accelerators import vendor
from collector.accelerators.driver import MOST_DEVICES
from watchkeeper.core.vocabulary import devices, health

ALL_BITS = 2**32 - 1


def up(node):
    return {name: node.value(devices.UP, hw_name=name) for name in ("0", "1")}


def test_a_name_that_is_no_utf_8_costs_no_device_its_numbers(node, nvml):
    script = nvml.path.with_name(f"{nvml.path.name}.script")
    script.write_bytes(script.read_bytes() + b"dev0.name=NVIDIA \xff H100\n")
    node.read(ticks=2)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.POWER, hw_model="NVIDIA \ufffd H100") == 650.5


@pytest.mark.parametrize(
    ("says", "metric", "labels"),
    [
        ({"busy": ALL_BITS}, devices.UTILIZATION, {"hw_gpu_task": "general"}),
        ({"field.82": ALL_BITS}, devices.TEMPERATURE, {"hw_sensor_location": "memory"}),
        ({"field.186": ALL_BITS}, devices.POWER, {}),
        ({"memory_used": 99_999_999_999_999}, devices.MEMORY_USAGE, {}),
        ({"gpm.2": "1e30"}, devices.COMPUTE_ACTIVE, {}),
        ({"gpm.2": "nan"}, devices.COMPUTE_ACTIVE, {}),
        ({"clock.1": ALL_BITS}, devices.CLOCK, {"clock": "core"}),
        ({"pcie_width": ALL_BITS}, devices.LINK_WIDTH, {}),
    ],
)
def test_a_number_that_cannot_be_is_absent_and_the_others_stay(node, nvml, says, metric, labels):
    node.read(ticks=2)
    assert node.value(metric, hw_name="0", **labels) is not None
    nvml.say({f"dev0.{key}": value for key, value in says.items()})
    node.read(ticks=20)

    assert node.value(metric, hw_name="0", **labels) is None
    assert node.value(metric, hw_name="1", **labels) is not None
    assert node.value(devices.UP, hw_name="0") == 1
    if "nan" not in says.values():
        assert node.value(health.INVALID_VALUES, source="accelerators", field=metric.name)


def test_a_memory_that_cannot_be_says_no_share_of_it(node, nvml):
    node.read(ticks=2)
    nvml.say({"dev0.memory_used": 99_999_999_999_999})
    node.read()

    assert node.value(devices.MEMORY_UTILIZATION, hw_name="0") is None


@pytest.mark.parametrize("wrong", ["1e18", "0"])
def test_an_energy_meter_that_is_read_wrongly_once_adds_nothing_that_no_gpu_can_use(node, nvml, wrong):
    nvml.say({"dev.field.83": 5_000_000_000})
    node.read()
    nvml.say({"dev.field.83": wrong})
    node.read()
    nvml.say({"dev.field.83": 5_000_700_000})
    node.read()
    nvml.say({"dev.field.83": 5_001_400_000})
    node.read()

    assert node.value(devices.ENERGY, hw_name="0") == 700


def test_a_count_of_devices_that_is_garbage_is_not_followed(node, nvml):
    nvml.say({"devices": 2**31 - 1})
    node.read(ticks=2)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.DEVICES) == MOST_DEVICES


def test_a_count_of_links_that_is_garbage_is_no_links(node, nvml):
    nvml.say({"dev0.field.91": ALL_BITS})
    node.read(ticks=2)

    assert node.value(devices.LINKS, hw_name="0") is None
    assert node.value(devices.LINKS, hw_name="1") == 4


@pytest.mark.parametrize("uuid", ["", "GPU-00000000-0000-0000-0000-000000000000"])
def test_a_device_without_an_id_of_its_own_is_shown_as_one_that_cannot_be_addressed(node, nvml, uuid):
    nvml.say({"dev1.uuid": uuid})
    node.read(ticks=2)

    assert node.value(devices.UP) == 1
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, code="EMPTY_OR_TWICE") == 1


def test_codes_that_a_driver_invents_fill_neither_log_nor_memory(node, nvml, caplog):
    node.read()
    nvml.say({f"event.{number}": f"0:8:{10_000 + number}" for number in range(1, 401)})
    node.until(lambda: node.value(devices.FAULTS, fault_class="other") == 400)

    assert sum("unknown XID" in record.message for record in caplog.records) == vendor.FAULT_LINES
    assert node.value(devices.FAULT_CODES) == 400
    assert len([key for key in node.shown if key[0] is devices.FAULT_CODES]) <= 129
