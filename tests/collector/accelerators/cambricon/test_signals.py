import ctypes

import pytest

from collector.accelerators.cambricon import PART, structs
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices

MIB = 2**20
SLOW = 16.0
"""seconds after which also what changes seldom is read again"""
EXPECTED = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, 0.7),
    (devices.UTILIZATION, {"hw_gpu_task": "encoder"}, 0.08),
    (devices.UTILIZATION, {"hw_gpu_task": "decoder"}, 0.03),
    (devices.MATRIX_ACTIVE, {}, 0.42),
    (devices.MEMORY_LIMIT, {}, 81920 * MIB),
    (devices.MEMORY_USAGE, {}, 61440 * MIB),
    (devices.MEMORY_UTILIZATION, {}, 0.75),
    (devices.TEMPERATURE, {"hw_sensor_location": "board"}, 41),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, 55),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, 60),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "slowdown"}, 90),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "shutdown"}, 105),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "high"}, 95),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "memory", "hw_limit_type": "high"}, 98),
    (devices.POWER, {}, 321),
    (devices.POWER_LIMIT, {}, 550),
    (devices.CLOCK, {"clock": "core"}, 1.2e9),
    (devices.CLOCK_LIMIT, {"clock": "core"}, 1.5e9),
    (devices.THROTTLED, {"reason": "tdp"}, 1),
    (devices.THROTTLED, {}, 1),
    (devices.REPAIR_PENDING, {}, 0),
    (devices.REPAIR_FAILED, {}, 0),
    (devices.LINKS, {"link": "mlulink", "hw_state": "up"}, 2),
    (devices.LINKS, {"link": "mlulink", "hw_state": "down"}, 1),
    (devices.LINK_GENERATION, {"link": "pcie"}, 5),
    (devices.LINK_WIDTH, {"link": "pcie"}, 16),
    (devices.LINK_GENERATION_LIMIT, {"link": "pcie"}, 5),
    (devices.LINK_WIDTH_LIMIT, {"link": "pcie"}, 16),
    (devices.PROCESSES, {}, 2),
    (devices.PROCESS_MEMORY, {}, 3072 * 1024),
    (devices.UP, {}, 1),
    (devices.STATUS, {"hw_state": "ok"}, 1),
    (devices.STATUS, {}, 1),
    (devices.INFO, {"hw_model": "MLU590-H8", "hw_serial_number": "deadbeef", "hw_driver_version": "6.2.10"}, 1),
    (devices.INFO, {"hw_firmware_version": "1.4.2", "pci_address": "0000:20:00.0"}, 1),
)  # fmt: skip
SIZES = {
    structs.CardInfo: 8, structs.Uuid: 56, structs.CardSn: 24, structs.Versions: 28, structs.PcieInfo: 64,
    structs.Incident: 540, structs.Health: 34612, structs.OldHealth: 16, structs.Utilization: 328, structs.Codec: 256,
    structs.Memory: 176, structs.OldMemory: 216, structs.Temperature: 148, structs.Power: 84, structs.Frequency: 68,
    structs.EccCounter: 160, structs.EccInfo: 72, structs.RemappedRows: 24, structs.Repair: 8, structs.Throttle: 28,
    structs.Process: 24, structs.PcieLink: 12, structs.Counter: 8, structs.PcieBytes: 104, structs.LinkStatus: 44,
    structs.LinkCounter: 152, structs.LinkErrors: 128, structs.LinkEvents: 128, structs.FieldValue: 48,
    structs.Event: 104,
}  # fmt: skip


@pytest.mark.parametrize("structure", SIZES, ids=lambda structure: structure.__name__)
def test_a_structure_is_as_large_as_the_vendors(structure):
    assert ctypes.sizeof(structure) == SIZES[structure]


@pytest.mark.parametrize(("metric", "labels", "value"), EXPECTED, ids=lambda part: getattr(part, "name", None))
def test_what_a_card_says_is_told_in_base_units(node, metric, labels, value):
    node.read()

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(value)


def test_every_metric_that_the_vendor_is_said_to_fill_is_filled_and_no_other(node, cndev):
    node.read()
    cndev.say({"event.1": "0:1:14"})
    node.until(lambda: node.value(devices.FAULT_CODES))
    own = {
        devices.UP,
        devices.DEVICE_FAULT,
        devices.SAMPLED_AT,
        devices.DRIVER_UP,
        devices.DEVICES,
        devices.SAMPLE_TIME,
    }

    assert node.metrics() - own == set(PART.obtained)


def test_values_follow_the_card_over_time(node, cndev):
    for percent, watts in ((10, 100), (90, 390), (0, 70)):
        cndev.say({"dev0.busy": percent, "dev0.power": f"{watts},550"})
        node.read()
        assert node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") == percent / 100
        assert node.value(devices.POWER, hw_name="0") == watts
        assert node.value(devices.POWER, hw_name="1") == 321


@pytest.mark.parametrize(
    ("key", "before", "after", "expected", "metric", "labels"),
    [
        ("field.71", "5e6", "5002500", 2.5, devices.ENERGY, {"watchkeeper_obtained": "meter"}),
        ("field.72", "1e9", "3e9", 2, devices.THROTTLE_TIME, {"reason": "power"}),
        ("field.73", "0", "5e8", 0.5, devices.THROTTLE_TIME, {"reason": "thermal_slowdown"}),
        ("field.74", "0", "1e9", 1, devices.THROTTLE_TIME, {"reason": "board_power_limit"}),
        ("field.63.2", "1000", "1700", 700, devices.IO, {"link": "mlulink", "network_io_direction": "transmit"}),
        ("field.64.0", "1000", "1600", 600, devices.IO, {"link": "mlulink", "network_io_direction": "receive"}),
        ("pcie_bytes", "1e9,2e9", "3e9,2e9", 2e9, devices.IO, {"link": "pcie", "network_io_direction": "receive"}),
        ("pcie_bytes", "1e9,2e9", "1e9,5e9", 3e9, devices.IO, {"link": "pcie", "network_io_direction": "transmit"}),
        ("ecc", "1,2,3,4,5", "2,2,3,8,5", 5, devices.ERRORS, {"error_type": "corrected"}),
        ("ecc", "1,2,3,4,5", "1,3,5,4,8", 6, devices.ERRORS, {"error_type": "uncorrected"}),
        ("rows", "1,2", "4,2", 3, devices.REMAPPED, {"error_type": "corrected"}),
        ("rows", "1,2", "1,6", 4, devices.REMAPPED, {"error_type": "uncorrected"}),
        ("pcie_replay", "2", "9", 7, devices.LINK_ERRORS, {"link": "pcie", "error_type": "replay"}),
        ("link_errors.1", "0,0,0,0,0", "9,0,0,0,0", 9, devices.LINK_ERRORS, {"error_type": "fec_corrected"}),
        ("link_errors.1", "0,0,0,0,0", "0,8,0,0,0", 8, devices.LINK_ERRORS, {"error_type": "fec_uncorrected"}),
        ("link_errors.0", "0,0,0,0,0", "0,0,1,2,0", 3, devices.LINK_ERRORS, {"link": "mlulink", "error_type": "crc"}),
        ("link_errors.0", "0,0,0,0,0", "0,0,0,0,4", 4, devices.LINK_ERRORS, {"error_type": "illegal_access"}),
        ("link_events.3", "0,0,0", "2,0,0", 2, devices.LINK_ERRORS, {"error_type": "link_down"}),
        ("link_events.3", "0,0,0", "0,3,0", 3, devices.LINK_ERRORS, {"link": "mlulink", "error_type": "replay"}),
        ("link_events.3", "0,0,0", "0,0,4", 4, devices.LINK_ERRORS, {"error_type": "replay_failed"}),
    ],
)
def test_of_a_running_total_only_what_is_added_counts(node, cndev, key, before, after, expected, metric, labels):
    cndev.say({f"dev0.{key}": before})
    node.read()
    cndev.say({f"dev0.{key}": after})
    node.read(seconds=SLOW, ticks=2)

    assert node.value(metric, hw_name="0", **labels) == expected


def test_a_card_without_a_meter_has_its_power_over_time_as_energy(node, cndev):
    cndev.say({"dev.field.71": None, "dev0.power": "100,550"})
    node.read()
    cndev.say({"dev0.power": "300,550"})
    node.read(seconds=2.0)

    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="integrated") == 400
    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="meter") is None


@pytest.mark.parametrize("reason", ["tdp", "power_setting", "clock_setting", "frequency_locked", "power_brake",
                                    "thermal_slowdown"])  # fmt: skip
def test_what_slows_a_card_down_is_told_by_its_reason(node, cndev, reason):
    place = ["tdp", "power_setting", "clock_setting", "frequency_locked", "power_brake", "thermal_slowdown"]
    cndev.say({"dev0.throttle": ",".join(str(int(one == reason)) for one in place)})
    node.read()

    assert node.value(devices.THROTTLED, hw_name="0", reason=reason) == 1
    assert node.value(devices.THROTTLED, hw_name="0") == 1


@pytest.mark.parametrize(
    ("lines", "metric", "labels"),
    [
        ({"busy": -1}, devices.UTILIZATION, {"hw_gpu_task": "general"}),
        ({"busy": 255}, devices.UTILIZATION, {"hw_gpu_task": "general"}),
        ({"codec": "-1,6"}, devices.UTILIZATION, {"hw_gpu_task": "encoder"}),
        ({"memory": "81920,-1"}, devices.MEMORY_USAGE, {}),
        ({"memory": "81920,9999999"}, devices.MEMORY_USAGE, {}),
        ({"memory": "-1,-1"}, devices.MEMORY_LIMIT, {}),
        ({"temperature": "41,-1,60"}, devices.TEMPERATURE, {"hw_sensor_location": "chip"}),
        ({"temperature": "41,55,65535"}, devices.TEMPERATURE, {"hw_sensor_location": "memory"}),
        ({"temperature": "0,55,60"}, devices.TEMPERATURE, {"hw_sensor_location": "board"}),
        ({"power": "-1,550"}, devices.POWER, {}),
        ({"power": "65535,550"}, devices.POWER, {}),
        ({"power": "320,0"}, devices.POWER_LIMIT, {}),
        ({"frequency": "-1,1500"}, devices.CLOCK, {}),
        ({"frequency": "1200,0"}, devices.CLOCK_LIMIT, {}),
        ({"field.65": 101}, devices.MATRIX_ACTIVE, {}),
        ({"field.52": 0}, devices.TEMPERATURE_LIMIT, {"hw_limit_type": "slowdown"}),
        ({"pcie": "-1,16"}, devices.LINK_GENERATION, {}),
        ({"pcie_bytes": "-1,-1"}, devices.IO, {"link": "pcie"}),
        ({"pcie_bytes": "-1,5"}, devices.IO, {"link": "pcie"}),
        ({"ports": 0}, devices.LINKS, {}),
        ({"ports": -1}, devices.IO, {"link": "mlulink"}),
    ],
)
def test_a_number_that_means_nothing_is_absent(node, cndev, lines, metric, labels):
    cndev.say({f"dev0.{key}": value for key, value in lines.items()})
    node.read()

    assert node.value(metric, hw_name="0", **labels) is None
    assert node.value(devices.UP, hw_name="0") == 1
    assert node.value(devices.CALL_ERRORS) is None


def test_a_port_whose_count_means_nothing_adds_nothing(node, cndev):
    cndev.say({"dev0.link_events.0": "0,1,0", "dev0.link_events.1": "0,-1,0"})
    node.read()
    cndev.say({"dev0.link_events.0": "0,5,0"})
    node.read(seconds=SLOW)

    assert node.value(devices.LINK_ERRORS, hw_name="0", link="mlulink", error_type="replay") == 4


def test_a_port_that_is_no_link_leaves_the_others(node, cndev):
    cndev.say({"dev.link.1": None})
    node.read()

    assert node.value(devices.LINKS, hw_name="0", hw_state="up") == 1
    assert node.value(devices.LINKS, hw_name="0", hw_state="down") == 1


def test_a_port_without_a_cable_is_neither_up_nor_down(node, cndev):
    cndev.say({f"dev0.link.{port}": "0,0" for port in range(4)})
    node.read()

    assert node.value(devices.LINKS, hw_name="0") == 0


@pytest.mark.parametrize(("lines", "pending", "failed"), [
    ("1,0,0", 1, 0), ("0,1,0", 1, 0), ("0,0,1", 0, 1), ("0,0,0", 0, 0),
])  # fmt: skip
def test_memory_that_waits_for_its_repair_or_has_none_left_is_told(node, cndev, lines, pending, failed):
    cndev.say({"dev0.repair": lines})
    node.read()

    assert node.value(devices.REPAIR_PENDING, hw_name="0") == pending
    assert node.value(devices.REPAIR_FAILED, hw_name="0") == failed


@pytest.mark.parametrize(
    ("health", "state"),
    [
        ("1,1,4,0", "ok"), ("1,1,4,10", "degraded"), ("1,1,3,0", "degraded"), ("1,1,4,20", "failed"),
        ("0,1,4,0", "failed"), ("1,0,4,0", "failed"),
    ],
)  # fmt: skip
def test_status_is_the_health_that_the_driver_tells(node, cndev, health, state):
    cndev.say({"dev0.health": health})
    node.read()

    assert node.value(devices.STATUS, hw_name="0", hw_state=state) == 1
    assert node.value(devices.STATUS, hw_name="0") == 1


def test_a_health_that_cannot_be_read_is_no_status(node, cndev):
    node.read()
    cndev.say({"dev0.error.cndevGetCardHealthStateV2": 7})
    node.read(ticks=2)

    assert node.value(devices.STATUS, hw_name="0") is None
    assert node.value(devices.STATUS, hw_name="1", hw_state="ok") == 1
    assert node.value(devices.UP, hw_name="0") == 1


def test_processes_as_many_as_the_library_lists_are_counted(node, cndev):
    cndev.say({"dev0.processes": ",".join(f"{pid}:2" for pid in range(1, 101))})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 100
    assert node.value(devices.PROCESS_MEMORY, hw_name="0") == 100 * 2048


def test_a_card_on_which_nothing_runs_has_no_process(node, cndev):
    cndev.say({"dev0.processes": ""})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 0


def test_every_reading_has_its_gauges_once(node):
    reading = node.read(ticks=3)
    gauges = [(one.metric, one.labels) for one in reading.samples if one.metric.kind is Kind.GAUGE]

    assert len(gauges) == len(set(gauges))
