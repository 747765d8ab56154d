import ctypes

import pytest

from collector.accelerators.ascend import PART, structs
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices

MIB = 2**20
SLOW = 16.0
"""seconds after which also what changes seldom is read again"""
EXPECTED = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, 0.8),
    (devices.MATRIX_ACTIVE, {}, 0.6),
    (devices.COMPUTE_ACTIVE, {}, 0.3),
    (devices.MEMORY_BANDWIDTH, {}, 0.45),
    (devices.MEMORY_LIMIT, {}, 65536 * MIB),
    (devices.MEMORY_USAGE, {}, 49152 * MIB),
    (devices.MEMORY_UTILIZATION, {}, 0.75),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, 52),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, 58),
    (devices.POWER, {}, 320.5),
    (devices.CLOCK, {"clock": "core"}, 1.5e9),
    (devices.CLOCK, {"clock": "memory"}, 1.6e9),
    (devices.CLOCK_LIMIT, {"clock": "core"}, 1.8e9),
    (devices.REPAIR_PENDING, {}, 0),
    (devices.LINKS, {"link": "nic", "hw_state": "up"}, 1),
    (devices.LINKS, {"link": "nic", "hw_state": "down"}, 0),
    (devices.PROCESSES, {}, 2),
    (devices.PROCESS_MEMORY, {}, 3072),
    (devices.UP, {}, 1),
    (devices.STATUS, {"hw_state": "ok"}, 1),
    (devices.INFO, {"hw_serial_number": "2102312ABC", "hw_driver_version": "24.1.rc3"}, 1),
    (devices.INFO, {"pci_address": "0000:c0:00.0"}, 1),
)  # fmt: skip
SIZES = {
    structs.Utilization: 48, structs.HbmInfo: 32, structs.EccInfo: 36, structs.ProcessMemory: 16,
    structs.ChipInfo: 132, structs.PcieInfo: 64, structs.MemoryInfo: 112, structs.DieId: 20, structs.Elabel: 1280,
    structs.HccsCounts: 512, structs.HccsCountsU64: 1024,
}  # fmt: skip


@pytest.mark.parametrize("structure", SIZES, ids=lambda structure: structure.__name__)
def test_a_structure_is_as_large_as_the_vendors(structure):
    assert ctypes.sizeof(structure) == SIZES[structure]


@pytest.mark.parametrize(("metric", "labels", "value"), EXPECTED, ids=lambda part: getattr(part, "name", None))
def test_what_a_chip_says_is_told_in_base_units(node, metric, labels, value):
    node.read()

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(value)


def test_every_metric_that_the_vendor_is_said_to_fill_is_filled_and_no_other(node, dcmi):
    node.read()
    dcmi.say({"dev0.codes": "80E18402"})
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


def test_values_follow_the_device_over_time(node, dcmi):
    for percent, tenths in ((10, 1000), (90, 3900), (0, 700)):
        dcmi.say({"dev0.multi": f"{percent},0,0,0", "dev0.power": tenths})
        node.read()
        assert node.value(devices.UTILIZATION, hw_name="0") == percent / 100
        assert node.value(devices.POWER, hw_name="0") == tenths / 10
        assert node.value(devices.POWER, hw_name="1") == 320.5


def test_energy_is_power_over_time(node, dcmi):
    dcmi.say({"dev0.power": 1000})
    node.read()
    dcmi.say({"dev0.power": 3000})
    node.read(seconds=2.0)

    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="integrated") == 400


@pytest.mark.parametrize(
    ("key", "before", "after", "expected", "metric", "labels"),
    [
        ("ecc.2", "1,1,0,5,0,0,0", "1,2,0,7,0,0,0", 2, devices.ERRORS, {"error_type": "corrected"}),
        ("ecc.2", "1,0,0,5,1,0,0", "1,0,3,5,4,0,0", 3, devices.ERRORS, {"error_type": "uncorrected"}),
        ("ecc.2", "1,4,0,0,0,0,0", "1,9,0,0,0,0,0", 5, devices.ERRORS, {"error_type": "corrected"}),
        ("ecc.2", "1,0,0,0,0,1,0", "1,0,0,0,0,3,0", 2, devices.REMAPPED, {"error_type": "corrected"}),
        ("ecc.2", "1,0,0,0,0,0,1", "1,0,0,0,0,0,2", 1, devices.REMAPPED, {"error_type": "uncorrected"}),
        ("hccs64", "1,0,0,0,0,0,0,0", "1,0,6,0,0,0,0,0", 6, devices.LINK_ERRORS, {"error_type": "crc"}),
        ("hccs64", "0,0,0,0,0,0,0,0", "0,0,0,0,0,2,0,2", 4, devices.LINK_ERRORS, {"error_type": "replay"}),
    ],
)
def test_of_a_running_total_only_what_is_added_counts(node, dcmi, key, before, after, expected, metric, labels):
    dcmi.say({f"dev0.{key}": before})
    node.read()
    dcmi.say({f"dev0.{key}": after})
    node.read(seconds=SLOW, ticks=2)

    assert node.value(metric, hw_name="0", **labels) == expected


def test_hccs_without_numbers_of_64_bits_is_asked_for_those_of_32(node, dcmi):
    dcmi.say({"dev.hccs64": None, "dev0.hccs32": "0,1,0,0,0,0,0,0"})
    node.read()
    dcmi.say({"dev0.hccs32": "4294967295,4,0,0,0,0,0,0"})
    node.read(seconds=SLOW)

    assert node.value(devices.LINK_ERRORS, hw_name="0", link="hccs", error_type="crc") == 3


def test_a_port_whose_count_means_nothing_adds_nothing(node, dcmi):
    dcmi.say({"dev0.hccs64": "0,1,0,0,0,0,0,0"})
    node.read()
    dcmi.say({"dev0.hccs64": "-1,4,0,0,0,0,0,0"})
    node.read(seconds=SLOW)

    assert node.value(devices.LINK_ERRORS, hw_name="0", link="hccs", error_type="crc") == 3


def test_pages_that_wait_for_a_start_are_a_pending_repair(node, dcmi):
    dcmi.say({"dev0.ecc.2": "1,0,0,0,0,0,0,0,2"})
    node.read()

    assert node.value(devices.REPAIR_PENDING, hw_name="0") == 1


def test_a_library_that_does_not_tell_of_waiting_pages_leaves_them_absent(node, dcmi):
    dcmi.say({"dev0.ecc.2": "1,0,0,0,0,0,0"})
    node.read()

    assert node.value(devices.REPAIR_PENDING, hw_name="0") is None
    assert node.value(devices.ERRORS, hw_name="0") == 0


def test_errors_of_memory_without_ecc_are_absent(node, dcmi):
    dcmi.say({"dev0.ecc.2": "0,0,0,0,0,0,0,0,0"})
    node.read()

    assert node.value(devices.ERRORS, hw_name="0") is None
    assert node.value(devices.CALL_ERRORS) is None


@pytest.mark.parametrize(
    ("lines", "metric", "labels"),
    [
        ({"multi": "4294967295,1,2,4294967295"}, devices.UTILIZATION, {}),
        ({"multi": "255,1,2,200"}, devices.UTILIZATION, {}),
        ({"multi": "1,4294967295,2,3"}, devices.MATRIX_ACTIVE, {}),
        ({"temperature": -1}, devices.TEMPERATURE, {"hw_sensor_location": "chip"}),
        ({"temperature": 65535}, devices.TEMPERATURE, {"hw_sensor_location": "chip"}),
        ({"temperature": 32767}, devices.TEMPERATURE, {"hw_sensor_location": "chip"}),
        ({"hbm": "65536,100,1600,-1,4"}, devices.TEMPERATURE, {"hw_sensor_location": "memory"}),
        ({"hbm": "65536,100,1600,50,4294967295"}, devices.MEMORY_BANDWIDTH, {}),
        ({"hbm": "65536,4294967295,1600,50,4"}, devices.MEMORY_USAGE, {}),
        ({"power": -1}, devices.POWER, {}),
        ({"power": 65535}, devices.POWER, {}),
        ({"frequency.7": 4294967295}, devices.CLOCK, {"clock": "core"}),
        ({"network": 8}, devices.LINKS, {}),
        ({"network": 6}, devices.LINKS, {}),
    ],
)
def test_a_number_that_means_nothing_is_absent(node, dcmi, lines, metric, labels):
    dcmi.say({f"dev0.{key}": value for key, value in lines.items()})
    node.read()

    assert node.value(metric, hw_name="0", **labels) is None
    assert node.value(devices.UP, hw_name="0") == 1
    assert node.value(devices.CALL_ERRORS) is None


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 7])
def test_a_network_that_does_not_reach_its_peer_is_a_link_down(node, dcmi, code):
    dcmi.say({"dev0.network": code})
    node.read()

    assert node.value(devices.LINKS, hw_name="0", link="nic", hw_state="down") == 1
    assert node.value(devices.LINKS, hw_name="0", link="nic", hw_state="up") == 0


@pytest.mark.parametrize(("health", "state"), [(0, "ok"), (1, "degraded"), (2, "degraded"), (3, "failed")])
def test_status_is_the_health_that_the_driver_tells(node, dcmi, health, state):
    dcmi.say({"dev0.health": health, "dev0.ecc.2": "1,0,0,0,0,0,0,0,5"})
    node.read()

    assert node.value(devices.STATUS, hw_name="0", hw_state=state) == 1
    assert node.value(devices.STATUS, hw_name="0") == 1


@pytest.mark.parametrize("lines", [{"health": 4294967295}, {"error.dcmi_get_device_health": -8006}])
def test_a_health_that_is_not_known_is_no_status(node, dcmi, lines):
    node.read()
    dcmi.say({f"dev0.{key}": value for key, value in lines.items()})
    node.read(ticks=2)

    assert node.value(devices.STATUS, hw_name="0") is None
    assert node.value(devices.STATUS, hw_name="1", hw_state="ok") == 1
    assert node.value(devices.UP, hw_name="0") == 1


def test_processes_as_many_as_the_library_lists_are_counted(node, dcmi):
    dcmi.say({"dev0.processes": ",".join(f"{pid}:1000" for pid in range(1, 101))})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 100
    assert node.value(devices.PROCESS_MEMORY, hw_name="0") == 100_000


def test_every_reading_has_its_gauges_once(node):
    reading = node.read(ticks=3)
    gauges = [(one.metric, one.labels) for one in reading.samples if one.metric.kind is Kind.GAUGE]

    assert len(gauges) == len(set(gauges))
