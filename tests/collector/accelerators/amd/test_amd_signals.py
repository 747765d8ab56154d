import pytest

from collector.accelerators.amd import PART
from collector.accelerators.amd.layouts import layout
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices

XGMI = {"link": "xgmi"}
EVERY_RELEASE = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, 0.87),
    (devices.MEMORY_BUSY, {}, 0.42),
    (devices.MEMORY_LIMIT, {}, 196592 * 2**20),
    (devices.MEMORY_USAGE, {}, 98296 * 2**20),
    (devices.MEMORY_UTILIZATION, {}, 0.5),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, 61),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, 70),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "slowdown"}, 100),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "memory", "hw_limit_type": "shutdown"}, 115),
    (devices.POWER, {}, 655),
    (devices.POWER_LIMIT, {}, 750),
    (devices.CLOCK, {"clock": "core"}, 2.1e9),
    (devices.CLOCK, {"clock": "memory"}, 1.3e9),
    (devices.CLOCK_LIMIT, {"clock": "core"}, 2.15e9),
    (devices.REPAIR_PENDING, {}, 1),
    (devices.REPAIR_FAILED, {}, 0),
    (devices.STATUS, {"hw_state": "degraded"}, 1),
    (devices.UP, {}, 1),
    (
        devices.INFO,
        {
            "hw_serial_number": "0x0123456789ABCDEF", "hw_driver_version": "6.12.12", "pci_address": "0000:10:02.0",
            "hw_firmware_version": "022.040.003", "hw_model": "AMD Instinct MI300X",
        },
        1,
    ),
)  # fmt: skip
LATER = (
    (devices.THROTTLED, {"reason": "ppt_power"}, 1),
    (devices.THROTTLED, {"reason": "socket_thermal"}, 0),
    (devices.LINK_WIDTH, {"link": "pcie"}, 16),
    (devices.LINK_WIDTH_LIMIT, {"link": "pcie"}, 16),
    (devices.LINK_GENERATION, {"link": "pcie"}, 5),
    (devices.LINK_GENERATION_LIMIT, {"link": "pcie"}, 5),
    (devices.PROCESSES, {}, 2),
    (devices.PROCESS_MEMORY, {}, 3072),
)
"""from ROCm 6.3 on"""


@pytest.mark.parametrize("rocm", [23, 24, 25, 26], indirect=True)
def test_every_release_of_the_library_says_the_same_numbers(node, rocm):
    node.read(ticks=2)

    for metric, labels, expected in (*EVERY_RELEASE, *(LATER if rocm >= 24 else ())):
        assert node.value(metric, hw_name="0", **labels) == pytest.approx(expected), (metric.name, labels)


def test_of_a_library_that_is_newer_than_all_known_only_what_never_moved_is_read(node, amdsmi, fake, watch, sysfs):
    from collector.accelerators.amd.driver import Amd

    newer = fake("amd_smi.c", "libamd_smi.so", "ROCM=27")
    newer.say({"dev.activity": 50, "dev.power": 600, "dev.vram_used": 10, "dev.processes": "1:2", "dev.ticks": 3})
    node = watch(lambda count_error: Amd(count_error, (str(newer.path),), sysfs), vendor="amd")
    node.read(ticks=2)

    assert node.value(devices.UTILIZATION, hw_name="0") == 0.5
    assert node.value(devices.MEMORY_USAGE, hw_name="0") == 10 * 2**20
    assert [node.value(metric) for metric in (devices.POWER, devices.PROCESSES, devices.THROTTLED)] == [None] * 3
    assert node.value(devices.CALL_ERRORS, call="amdsmi_get_lib_version", code="LAYOUT_NOT_KNOWN") == 1


def test_releases_are_told_apart_by_the_version():
    assert layout((24, 5)) != layout((24, 6)) == layout((24, 7)) != layout((25, 0))
    assert layout((26, 0)) == layout((26, 9))
    assert layout((27, 0)) is layout((22, 9)) is None


def test_every_metric_that_the_vendor_is_said_to_fill_is_filled_and_no_other(node, amdsmi):
    node.read()
    amdsmi.say({"event.1": "0:3"})
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


COUNTERS = (
    ("energy", 2_000_000, 2_000_000 * 15.3 / 1e6, devices.ENERGY, {"watchkeeper_obtained": "meter"}),
    ("ecc_corrected", 10, 10, devices.ERRORS, {"error_type": "corrected"}),
    ("ecc_uncorrected", 10, 10, devices.ERRORS, {"error_type": "uncorrected"}),
    ("replay", 10, 10, devices.LINK_ERRORS, {"link": "pcie", "error_type": "replay"}),
    ("recovery", 10, 10, devices.LINK_ERRORS, {"link": "pcie", "error_type": "recovery"}),
    ("rollover", 10, 10, devices.LINK_ERRORS, {"link": "pcie", "error_type": "replay_rollover"}),
    ("nak_sent", 65535, 65535, devices.LINK_ERRORS, {"link": "pcie", "error_type": "nak_sent"}),
    ("nak_received", 10, 10, devices.LINK_ERRORS, {"link": "pcie", "error_type": "nak_received"}),
)


@pytest.mark.parametrize(("key", "more", "expected", "metric", "labels"), COUNTERS, ids=[row[0] for row in COUNTERS])
def test_of_a_running_total_only_what_is_added_counts(node, amdsmi, key, more, expected, metric, labels):
    amdsmi.say({f"dev0.{key}": 100})
    node.read()
    amdsmi.say({f"dev0.{key}": 100 + more})
    node.read(seconds=15)

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(expected)


@pytest.mark.parametrize(("rocm", "xgmi", "pcie"), [(24, 1, 2), (25, 1, 2), (26, 2, 1)], indirect=["rocm"])
def test_bytes_over_xgmi_are_added_up_over_links_whatever_number_the_release_gives_to_that_kind(
    node, amdsmi, rocm, xgmi, pcie
):
    amdsmi.say({"dev0.link.0": f"{xgmi}:100:200", "dev0.link.1": f"{xgmi}:10:20", "dev0.link.2": f"{pcie}:5:5"})
    node.read()
    amdsmi.say({"dev0.link.0": f"{xgmi}:101:202", "dev0.link.1": f"{xgmi}:12:24", "dev0.link.2": f"{pcie}:99:99"})
    node.read(seconds=15)

    assert node.value(devices.IO, hw_name="0", network_io_direction="receive", **XGMI) == 3 * 1024
    assert node.value(devices.IO, hw_name="0", network_io_direction="transmit", **XGMI) == 6 * 1024


def test_throttled_time_is_the_share_of_the_firmwares_ticks_over_the_time_between(node, amdsmi):
    node.read()
    amdsmi.say({"dev0.ticks": 1200, "dev0.violation.1": 60, "dev0.violation.2": 20})
    node.read(seconds=16)

    assert node.value(devices.THROTTLE_TIME, hw_name="0", reason="ppt_power") == pytest.approx(16 * 50 / 200)
    assert node.value(devices.THROTTLE_TIME, hw_name="0", reason="socket_thermal") == 0


def test_ticks_that_began_anew_are_no_time(node, amdsmi):
    node.read()
    amdsmi.say({"dev0.ticks": 10, "dev0.violation.1": 5})
    node.read(seconds=16)
    amdsmi.say({"dev0.ticks": 20, "dev0.violation.1": 10})
    node.read(seconds=20)

    assert node.value(devices.THROTTLE_TIME, hw_name="0", reason="ppt_power") == pytest.approx(10)


def test_the_call_that_waits_is_not_made_at_every_sample(node, amdsmi):
    node.read()
    amdsmi.say({"dev0.active.1": 0})
    node.read(ticks=10)
    assert node.value(devices.THROTTLED, hw_name="0", reason="ppt_power") == 1

    node.read(ticks=5)
    assert node.value(devices.THROTTLED, hw_name="0", reason="ppt_power") == 0


@pytest.mark.parametrize("untold", [0xFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(
    ("key", "metric", "labels"),
    [
        ("activity", devices.UTILIZATION, {}), ("umc", devices.MEMORY_BUSY, {}), ("power", devices.POWER, {}),
        ("clock.0", devices.CLOCK, {"clock": "core"}),
    ],
)  # fmt: skip
def test_a_number_that_stands_for_not_known_is_absent(node, amdsmi, key, metric, labels, untold):
    amdsmi.say({f"dev0.{key}": untold})
    node.read(ticks=2)

    assert node.value(metric, hw_name="0", **labels) is None
    assert node.value(metric, hw_name="1", **labels) is not None


def test_a_count_that_is_not_told_is_absent_and_its_neighbours_are_not(node, amdsmi):
    amdsmi.say({"dev0.nak_received": "-"})
    node.read()

    assert node.value(devices.LINK_ERRORS, hw_name="0", error_type="nak_received") is None
    assert node.value(devices.LINK_ERRORS, hw_name="0", error_type="nak_sent") == 0


def test_before_mi300_power_is_an_average_memory_is_in_stacks_and_there_is_no_hotspot(node, amdsmi):
    amdsmi.say(
        {
            "dev0.power": 0xFFFF, "dev0.power_average": 310, "dev.temperature.1.0": None, "dev0.temperature.0.0": 50,
            "dev.temperature.2.0": None, "dev0.temperature.3.0": 60, "dev0.temperature.4.0": 63,
            "dev0.temperature.5.0": 61, "dev0.temperature.6.0": 62,
        }
    )  # fmt: skip
    node.read(ticks=2)

    assert node.value(devices.POWER, hw_name="0") == 310
    assert node.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="chip") == 50
    assert node.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="memory") == 63


def test_energy_without_a_meter_is_power_over_time(node, amdsmi):
    amdsmi.say({"dev.energy": None, "dev0.power": 100})
    node.read()
    amdsmi.say({"dev0.power": 300})
    node.read(seconds=2.0)

    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="integrated") == 400


@pytest.mark.parametrize(
    ("pages", "pending", "failed", "state"),
    [("", 0, 0, "ok"), ("0,0", 0, 0, "ok"), ("0,1", 1, 0, "degraded"), ("0,1,2", 1, 1, "predicted_failure")],
)
def test_pages_taken_out_of_use_wait_for_a_reset_or_cannot_be(node, amdsmi, pages, pending, failed, state):
    amdsmi.say({"dev0.pages": pages})
    node.read()

    assert node.value(devices.REPAIR_PENDING, hw_name="0") == pending
    assert node.value(devices.REPAIR_FAILED, hw_name="0") == failed
    assert node.value(devices.STATUS, hw_name="0", hw_state=state) == 1


def test_many_processes_are_all_counted(node, amdsmi):
    amdsmi.say({"dev0.processes": ",".join(f"{pid}:1000" for pid in range(1, 201))})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 200
    assert node.value(devices.PROCESS_MEMORY, hw_name="0") == 200_000


def test_processes_are_told_between_two_listings_as_well(node):
    node.read(ticks=3)

    assert node.value(devices.PROCESSES, hw_name="0") == 2


def test_a_serial_number_that_is_not_known_is_absent(node, amdsmi):
    amdsmi.say({"dev.serial": "0xFFFFFFFFFFFFFFFF"})
    node.read()

    assert node.value(devices.INFO, hw_name="0", hw_serial_number="0xFFFFFFFFFFFFFFFF") is None
    assert node.value(devices.INFO, hw_name="0") == 1


def test_every_reading_has_its_gauges_once(node):
    reading = node.read(ticks=3)
    gauges = [(one.metric, one.labels) for one in reading.samples if one.metric.kind is Kind.GAUGE]

    assert len(gauges) == len(set(gauges))
