import pytest

from collector.accelerators.gaudi import PART
from collector.accelerators.gaudi.driver import Gaudi
from collector.accelerators.placement.names import means
from watchkeeper.core.metric import Kind
from watchkeeper.core.vocabulary import devices

EXPECTED = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, 0.77),
    (devices.MEMORY_BUSY, {}, 0.33),
    (devices.MEMORY_LIMIT, {}, 103079215104),
    (devices.MEMORY_USAGE, {}, 51539607552),
    (devices.MEMORY_UTILIZATION, {}, 0.5),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, 55),
    (devices.TEMPERATURE, {"hw_sensor_location": "board"}, 41),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, 49),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "shutdown"}, 110),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "chip", "hw_limit_type": "slowdown"}, 100),
    (devices.TEMPERATURE_LIMIT, {"hw_sensor_location": "memory", "hw_limit_type": "high"}, 98),
    (devices.POWER, {}, 430.5),
    (devices.POWER_LIMIT, {}, 550),
    (devices.CLOCK, {"clock": "core"}, 1.65e9),
    (devices.CLOCK_LIMIT, {"clock": "core"}, 1.7e9),
    (devices.THROTTLED, {"reason": "power"}, 0),
    (devices.THROTTLED, {"reason": "thermal"}, 1),
    (devices.REPAIR_PENDING, {}, 0),
    (devices.LINKS, {"link": "nic", "hw_state": "up"}, 3),
    (devices.LINKS, {"link": "nic", "hw_state": "down"}, 1),
    (devices.LINK_WIDTH, {"link": "pcie"}, 16),
    (devices.LINK_GENERATION, {"link": "pcie"}, 4),
    (devices.STATUS, {"hw_state": "ok"}, 1),
    (
        devices.INFO,
        {
            "hw_serial_number": "AN47020000", "pci_address": "0000:19:00.0", "hw_driver_version": "1.24.1-3d6a32b",
            "hw_firmware_version": "hl-gaudi2-1.24", "hw_model": "HL-225",
        },
        1,
    ),
)  # fmt: skip


@pytest.mark.parametrize(("metric", "labels", "value"), EXPECTED, ids=lambda part: getattr(part, "name", None))
def test_what_a_gaudi_says_is_told_in_base_units(node, metric, labels, value):
    node.read(ticks=2)

    assert node.value(metric, hw_name="0", **labels) == pytest.approx(value)


def test_every_metric_that_the_vendor_is_said_to_fill_is_filled_and_no_other(node, hlml):
    node.read()
    hlml.say({"event.1": "0:2"})
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
    ("energy", 7000, 7, devices.ENERGY, {"watchkeeper_obtained": "meter"}),
    ("ecc.0", 10, 10, devices.ERRORS, {"error_type": "corrected"}),
    ("ecc.1", 10, 10, devices.ERRORS, {"error_type": "uncorrected"}),
    ("rows.0", 10, 10, devices.REMAPPED, {"error_type": "corrected"}),
    ("rows.1", 10, 10, devices.REMAPPED, {"error_type": "uncorrected"}),
    ("replay", 10, 10, devices.LINK_ERRORS, {"link": "pcie", "error_type": "replay"}),
)


@pytest.mark.parametrize(("key", "more", "expected", "metric", "labels"), COUNTERS, ids=[row[0] for row in COUNTERS])
def test_of_a_running_total_only_what_is_added_counts(node, hlml, key, more, expected, metric, labels):
    hlml.say({f"dev0.{key}": 100})
    node.read()
    hlml.say({f"dev0.{key}": 100 + more})
    node.read(seconds=15)

    assert node.value(metric, hw_name="0", **labels) == expected


def test_an_old_release_lacks_calls_and_fields_and_nothing_else_is_lost(fake, watch):
    old = fake("hlml.c", "libhlml.so", "OLD_RELEASE")
    old.say({"dev.busy": 10, "dev.power": 300_000, "dev.power_default": 400_000, "dev.temperature.0": 50})
    node = watch(lambda count_error: Gaudi(count_error, (str(old.path),)), vendor="gaudi")
    node.read(ticks=2)

    assert node.value(devices.UTILIZATION) == 0.1
    assert node.value(devices.MEMORY_BUSY) is None
    assert node.value(devices.POWER_LIMIT) == 400
    assert node.value(devices.TEMPERATURE) == 50
    assert node.value(devices.INFO, pci_address="0000:19:00.0") == 1
    assert node.value(devices.CALL_ERRORS) is None


def test_energy_without_a_meter_is_power_over_time(node, hlml):
    hlml.say({"dev.energy": None, "dev0.power": 100_000})
    node.read()
    hlml.say({"dev0.power": 300_000})
    node.read(seconds=2.0)

    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="integrated") == 400


def test_a_limit_that_nobody_set_is_absent(node, hlml):
    hlml.say({"dev.power_limit": 0})
    node.read()

    assert node.value(devices.POWER_LIMIT) is None


def test_rows_that_wait_for_a_reset_degrade_it(node, hlml):
    hlml.say({"dev0.pending": 1})
    node.read()

    assert node.value(devices.STATUS, hw_name="0", hw_state="degraded") == 1


def test_ports_of_both_words_of_the_mask_are_counted(node, hlml):
    hlml.say({"dev0.ports": "0x8000000000000001", "dev0.port.63": 0})
    node.read()

    assert node.value(devices.LINKS, hw_name="0", hw_state="up") == 1
    assert node.value(devices.LINKS, hw_name="0", hw_state="down") == 1


def test_every_reading_has_its_gauges_once(node):
    reading = node.read(ticks=3)
    gauges = [(one.metric, one.labels) for one in reading.samples if one.metric.kind is Kind.GAUGE]

    assert len(gauges) == len(set(gauges))


@pytest.mark.parametrize(
    ("given", "resource", "meant"),
    [
        ("AN47020001", "habana.ai/gaudi", "1"),
        ("01P4-HL2080A0-15-TNPS34-00-07-05", "habana.ai/gaudi", "0"),
        ("accel1", "habana.ai/gaudi", "0"),
        ("accel0", "gaudi.intel.com", "1"),
        ("AN47020001", "other.com/thing", "1"),
        ("accel1", "other.com/thing", None),
    ],
)
def test_what_habanas_plugins_call_a_device_means_that_one(hlml, given, resource, meant):
    """A serial number, once a UUID; device files are numbered otherwise than the library does."""
    hlml.say({"dev0.minor": 1, "dev1.minor": 0})
    driver = Gaudi(lambda _call, _code: None, (str(hlml.path),))
    driver.open()
    listed = driver.devices().devices
    driver.close()

    assert [device.name for device in listed if means(given, resource, device)] == ([meant] if meant else [])
