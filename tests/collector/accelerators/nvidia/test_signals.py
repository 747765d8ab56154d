import pytest

from collector.accelerators.nvidia import PART
from collector.accelerators.nvidia.driver import Nvidia
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices

EXPECTED = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, 0.9),
    (devices.UTILIZATION, {"hw_gpu_task": "encoder"}, 0.05),
    (devices.UTILIZATION, {"hw_gpu_task": "decoder"}, 0.06),
    (devices.MEMORY_BUSY, {}, 0.4),
    (devices.COMPUTE_ACTIVE, {}, 0.8),
    (devices.COMPUTE_OCCUPANCY, {}, 0.4),
    (devices.MATRIX_ACTIVE, {}, 0.55),
    (devices.MEMORY_BANDWIDTH, {}, 0.7),
    (devices.PIPE_ACTIVE, {"pipe": "fp32"}, 0.2),
    (devices.PIPE_ACTIVE, {"pipe": "fp16"}, 0.03),
    (devices.PIPE_ACTIVE, {"pipe": "integer"}, 0.1),
    (devices.PIPE_ACTIVE, {"pipe": "fp64"}, 0.0),
    (devices.MEMORY_LIMIT, {}, 85899345920),
    (devices.MEMORY_USAGE, {}, 64424509440),
    (devices.MEMORY_UTILIZATION, {}, 0.75),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, 61),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, 70),
    (devices.TEMPERATURE_LIMIT, {"hw_limit_type": "slowdown"}, 92),
    (devices.TEMPERATURE_LIMIT, {"hw_limit_type": "shutdown"}, 95),
    (devices.POWER, {}, 650.5),
    (devices.POWER_LIMIT, {}, 700),
    (devices.CLOCK, {"clock": "core"}, 1.755e9),
    (devices.CLOCK_LIMIT, {"clock": "core"}, 1.98e9),
    (devices.CLOCK, {"clock": "memory"}, 2.619e9),
    (devices.THROTTLED, {"reason": "sw_power_cap"}, 1),
    (devices.THROTTLED, {"reason": "hw_thermal_slowdown"}, 0),
    (devices.REPAIR_PENDING, {}, 0),
    (devices.REPAIR_FAILED, {}, 0),
    (devices.LINKS, {"link": "nvlink", "hw_state": "up"}, 3),
    (devices.LINKS, {"link": "nvlink", "hw_state": "down"}, 1),
    (devices.LINK_WIDTH, {"link": "pcie"}, 16),
    (devices.LINK_WIDTH_LIMIT, {"link": "pcie"}, 16),
    (devices.LINK_GENERATION, {"link": "pcie"}, 5),
    (devices.LINK_GENERATION_LIMIT, {"link": "pcie"}, 5),
    (devices.PROCESSES, {}, 2),
    (devices.PROCESS_MEMORY, {}, 3072),
    (devices.UP, {}, 1),
    (devices.STATUS, {"hw_state": "ok"}, 1),
    (devices.INFO, {"hw_serial_number": "1650123", "pci_address": "00000000:10:00.0", "hw_driver_version": "580.1"}, 1),
)


@pytest.mark.parametrize(("metric", "labels", "value"), EXPECTED, ids=lambda part: getattr(part, "name", None))
def test_what_a_gpu_says_is_told_in_base_units(node, metric, labels, value):
    node.read(ticks=3)

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(value)


def test_every_metric_that_the_vendor_is_said_to_fill_is_filled_and_no_other(node, nvml):
    node.read()
    nvml.say({"event.1": "0:8:79"})
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
    ("field.83", 1000, 0.5, devices.ENERGY, {"watchkeeper_obtained": "meter"}),
    ("field.74", 4e9, 2, devices.THROTTLE_TIME, {"reason": "sw_power_cap"}),
    ("field.270", 4e9, 2, devices.THROTTLE_TIME, {"reason": "hw_thermal_slowdown"}),
    ("field.3", 10, 5, devices.ERRORS, {"error_type": "corrected"}),
    ("field.4", 10, 5, devices.ERRORS, {"error_type": "uncorrected"}),
    ("field.143", 10, 5, devices.REMAPPED, {"error_type": "uncorrected"}),
    ("field.197", 10, 5, devices.IO, {"link": "pcie", "network_io_direction": "transmit"}),
    ("field.204", 10, 5, devices.IO, {"link": "nvlink", "network_io_direction": "receive"}),
    ("field.94", 10, 5, devices.LINK_ERRORS, {"link": "pcie", "error_type": "replay"}),
    ("field.180", 10, 5, devices.LINK_ERRORS, {"link": "pcie", "error_type": "fatal"}),
    ("field.163", 10, 5, devices.LINK_ERRORS, {"link": "nvlink", "error_type": "crc"}),
)


@pytest.mark.parametrize(("key", "total", "expected", "metric", "labels"), COUNTERS, ids=[row[0] for row in COUNTERS])
def test_of_a_running_total_only_what_is_added_counts(node, nvml, key, total, expected, metric, labels):
    nvml.say({f"dev0.{key}": total})
    node.read()
    nvml.say({f"dev0.{key}": total * 1.5})
    node.read(ticks=2)

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(expected)


def test_a_total_that_falls_began_anew(node, nvml):
    """A reset, a reloaded driver, or a counter that wrapped."""
    for total in (4_000_000_000, 4_000_000_100, 40, 50):
        nvml.say({"dev0.field.197": total})
        node.read()

    assert node.value(devices.IO, hw_name="0", link="pcie", network_io_direction="transmit") == 150


def test_nvlink_bytes_of_older_links_are_kibibytes(node, nvml):
    nvml.say({"dev.field.202": None, "dev.field.204": None, "dev0.field.138": 10})
    node.read()
    nvml.say({"dev0.field.138": 12})
    node.read()

    assert node.value(devices.IO, hw_name="0", link="nvlink", network_io_direction="transmit") == 2048


def test_nvlink_bytes_do_not_change_their_source_while_it_has_no_data(node, nvml):
    nvml.say({"dev0.field.138": 1, "dev0.field.202": 10**12})
    node.read()
    nvml.say({"dev0.field.202.error": 21})
    node.read()
    nvml.say({"dev0.field.202.error": None, "dev0.field.202": 10**12 + 5})
    node.read()

    assert node.value(devices.IO, hw_name="0", link="nvlink", network_io_direction="transmit") == 5


def test_a_device_without_field_values_still_tells_power_and_energy(node, nvml):
    nvml.say({"dev0.error.nvmlDeviceGetFieldValues": 3, "dev0.power": 300000, "dev0.energy": 1000})
    node.read()
    nvml.say({"dev0.energy": 61000})
    node.read()

    assert node.value(devices.POWER, hw_name="0") == 300
    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="meter") == 60


def test_energy_without_a_meter_is_power_over_time(node, nvml):
    nvml.say({"dev.field.83": None, "dev0.field.186": 100_000})
    node.read()
    nvml.say({"dev0.field.186": 300_000})
    node.read(seconds=2.0)

    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="integrated") == 400


def test_memory_in_use_is_all_that_is_not_free(node, nvml):
    nvml.say({"dev0.memory_total": 1000, "dev0.memory_used": 300, "dev0.memory_reserved": 100})
    node.read()

    assert node.value(devices.MEMORY_USAGE, hw_name="0") == 400


def test_an_old_driver_is_asked_by_the_old_names(fake, watch, nvml):
    old = fake("nvml.c", "libnvidia-ml.so.1", "OLD_DRIVER")
    old.say({"dev.temperature": 50, "dev.reasons": "0x40", "dev.busy": 10})
    node = watch(lambda count_error: Nvidia(count_error, str(old.path)))
    node.read(ticks=2)

    assert node.value(devices.TEMPERATURE, hw_sensor_location="chip") == 50
    assert node.value(devices.THROTTLED, reason="hw_thermal_slowdown") == 1
    assert node.value(devices.COMPUTE_ACTIVE) is None
    assert node.errors == {}


def test_gpm_tells_nothing_before_its_second_sample(node):
    node.read()
    assert node.value(devices.MATRIX_ACTIVE) is None

    node.read()
    assert node.value(devices.MATRIX_ACTIVE, hw_name="0") == 0.55


def test_a_gpu_before_hopper_has_no_gpm_and_that_is_no_error(node, nvml):
    nvml.say({"dev0.gpm": 0})
    node.read(ticks=3)

    assert node.value(devices.MATRIX_ACTIVE, hw_name="0") is None
    assert node.value(devices.UP, hw_name="0") == 1
    assert node.value(devices.CALL_ERRORS) is None


def test_many_processes_are_all_counted(node, nvml):
    nvml.say({"dev0.processes": ",".join(f"{pid}:1000" for pid in range(1, 201))})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 200
    assert node.value(devices.PROCESS_MEMORY, hw_name="0") == 200_000


def test_memory_of_a_process_that_the_driver_does_not_tell_is_absent(node, nvml):
    nvml.say({"dev0.processes": "7:-"})
    node.read()

    assert node.value(devices.PROCESSES, hw_name="0") == 1
    assert node.value(devices.PROCESS_MEMORY, hw_name="0") is None


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ({"dev0.field.230": 1}, "failed"),
        ({"dev0.field.230": 2}, "failed"),
        ({"dev0.field.230": 3}, "degraded"),
        ({"dev0.field.230": 4}, "degraded"),
        ({"dev0.field.145": 1}, "predicted_failure"),
        ({"dev0.field.144": 1}, "degraded"),
        ({"dev0.field.145": 1, "dev0.field.230": 7}, "failed"),
        ({"dev0.error": 15}, "failed"),
        ({"dev0.error": 16}, "failed"),
        ({"dev0.error": 999}, "degraded"),
    ],
)
def test_status_follows_from_recovery_action_repair_and_whether_it_can_be_read(node, nvml, lines, state):
    node.read()
    nvml.say(lines)
    node.read()

    states = {one: node.value(devices.STATUS, hw_name="0", hw_state=one) for one in ("ok", "degraded", "failed")}
    assert node.value(devices.STATUS, hw_name="0", hw_state=state) == 1
    assert node.value(devices.STATUS, hw_name="0") == 1, states


def test_the_recovery_action_is_named(node, nvml):
    nvml.say({"dev0.field.230": 4})
    node.read()

    assert node.value(devices.RECOVERY_ACTION, hw_name="0", action="drain_and_reset") == 1
    assert node.value(devices.RECOVERY_ACTION, hw_name="0") == 1


def test_what_does_not_change_is_told_once_a_minute(node):
    told = [sample for _ in range(120) for sample in node.read().samples if sample.metric is devices.INFO]

    assert len(told) == 2 * 2


def test_every_reading_has_its_gauges_once(node):
    reading = node.read(ticks=3)
    gauges = [(one.metric, one.labels) for one in reading.samples if one.metric.kind is Kind.GAUGE]

    assert len(gauges) == len(set(gauges))
