"""What differs between releases of the library is found out once."""

import pytest

from collector.accelerators.cambricon.driver import Cambricon
from collector.accelerators.placement.names import means
from watchkeeper.core.vocabulary import devices

SLOW = 16.0
MLU370: dict[str, object] = {
    "old_health": 1, "busy": 30, "old_memory": "24576,6144", "temperature": "35,40,42", "power": "80,150",
    "frequency": "1000,1300", "old_ecc": "4,0", "old_rows": "1,0,1,0", "processes": "7:1024", "ports": 2,
    "link_counter.0": "100,200,0,0,0,0,0,0", "link_counter.1": "100,200,0,0,0,0,0,0",
}  # fmt: skip
"""what a healthy MLU370 says through an old library"""


@pytest.fixture
def old(fake):
    library = fake("cndev.c", "libcndev.so", "OLD_LIBRARY")
    library.say({"devices": 1, **{f"dev.{key}": value for key, value in MLU370.items()}})
    return library


def test_an_old_library_lacks_symbols_and_what_is_left_is_told(old, over):
    node = over(old)
    node.read(ticks=2)

    assert node.value(devices.UTILIZATION) == 0.3
    assert node.value(devices.MEMORY_USAGE) == 6144 * 2**20
    assert node.value(devices.POWER) == 80
    assert node.value(devices.POWER_LIMIT) == 150
    assert node.value(devices.REPAIR_PENDING) == 1
    assert node.value(devices.REPAIR_FAILED) == 0
    assert node.value(devices.STATUS, hw_state="ok") == 1
    assert node.value(devices.MATRIX_ACTIVE) is None
    assert node.value(devices.FAULT_CODES) is None
    assert node.value(devices.CALL_ERRORS) is None


@pytest.mark.parametrize(
    ("key", "after", "metric", "labels", "expected"),
    [
        ("old_ecc", "9,0", devices.ERRORS, {"error_type": "corrected"}, 5),
        ("old_ecc", "4,2", devices.ERRORS, {"error_type": "uncorrected"}, 2),
        ("old_rows", "3,0,0,0", devices.REMAPPED, {"error_type": "corrected"}, 2),
        ("old_rows", "1,4,0,0", devices.REMAPPED, {"error_type": "uncorrected"}, 4),
        ("link_counter.1", "150,200,0,0,0,0,0,0", devices.IO, {"network_io_direction": "receive"}, 50),
        ("link_counter.0", "100,260,0,0,0,0,0,0", devices.IO, {"network_io_direction": "transmit"}, 60),
        ("link_counter.0", "100,200,1,0,0,0,0,0", devices.LINK_ERRORS, {"error_type": "replay"}, 1),
        ("link_counter.0", "100,200,0,2,0,0,0,0", devices.LINK_ERRORS, {"error_type": "fatal"}, 2),
        ("link_counter.0", "100,200,0,0,3,4,0,0", devices.LINK_ERRORS, {"error_type": "crc"}, 7),
        ("link_counter.0", "100,200,0,0,0,0,5,0", devices.LINK_ERRORS, {"error_type": "correctable"}, 5),
        ("link_counter.0", "100,200,0,0,0,0,0,6", devices.LINK_ERRORS, {"error_type": "uncorrectable"}, 6),
    ],
)
def test_an_old_library_tells_its_running_totals_in_its_own_calls(old, over, key, after, metric, labels, expected):
    node = over(old)
    node.read()
    old.say({f"dev0.{key}": after})
    node.read(seconds=SLOW)

    assert node.value(metric, **labels) == expected


def test_a_card_that_an_old_library_calls_unhealthy_has_failed(old, over):
    old.say({"dev0.old_health": 0})
    node = over(old)
    node.read()

    assert node.value(devices.STATUS, hw_state="failed") == 1


def test_a_health_that_an_old_library_does_not_know_is_no_status(old, over):
    old.say({"dev0.old_health": -1})
    node = over(old)
    node.read()

    assert node.value(devices.STATUS) is None


def test_one_field_that_a_library_does_not_know_costs_itself_alone(node, cndev):
    """Though it refuses every batch that has it."""
    cndev.say({"strict_fields": 1, "dev.field.65": None, "dev.field.68": None, "dev.field.64.1": None})
    node.read()

    assert node.value(devices.MATRIX_ACTIVE) is None
    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="meter") == 0
    assert node.value(devices.TEMPERATURE_LIMIT, hw_name="0", hw_limit_type="slowdown") == 90
    assert node.value(devices.IO, hw_name="0", link="mlulink", network_io_direction="transmit") == 0
    assert node.value(devices.CALL_ERRORS) is None


def test_a_field_that_fails_for_once_comes_back(node, cndev):
    node.read()
    cndev.say({"dev0.field.65.error": 7, "dev0.field.71": 5_001_000})
    node.read()
    assert node.value(devices.MATRIX_ACTIVE, hw_name="0") is None
    assert node.value(devices.ENERGY, hw_name="0", watchkeeper_obtained="meter") == 1

    cndev.say({"dev0.field.65.error": None})
    node.read()
    assert node.value(devices.MATRIX_ACTIVE, hw_name="0") == 0.42


def test_a_way_that_fails_for_once_is_not_left_for_another(node, cndev):
    """Or a series would change its meaning."""
    cndev.say({"dev0.error.cndevGetMemoryUsageV2": 7, "dev0.old_memory": "1,1"})
    node.read()
    assert node.value(devices.MEMORY_LIMIT, hw_name="0") is None

    cndev.say({"dev0.error.cndevGetMemoryUsageV2": None})
    node.read()
    assert node.value(devices.MEMORY_LIMIT, hw_name="0") == 81920 * 2**20


def test_a_field_that_says_that_the_card_needs_a_reset_is_no_gap(node, cndev):
    node.read()
    cndev.say({"dev0.field.65.error": 18})
    node.read()

    assert node.value(devices.UP, hw_name="0") == 0
    assert node.value(devices.DEVICE_FAULT, hw_name="0", reason="reset_required") == 1


def test_replays_that_two_calls_tell_are_taken_from_one(node, cndev):
    lines: dict[str, object] = {f"dev.link_errors.{port}": None for port in range(4)}
    cndev.say({**lines, **{f"dev.link_counter.{port}": "0,0,0,0,0,0,0,0" for port in range(4)}})
    node.read()
    cndev.say({"dev0.link_counter.1": "0,0,3,0,0,0,0,0", "dev0.link_events.1": "0,1,0"})
    node.read(seconds=SLOW)

    assert node.value(devices.LINK_ERRORS, hw_name="0", link="mlulink", error_type="replay") == 3


def test_a_way_that_is_not_supported_is_left_for_the_older_one(node, cndev):
    cndev.say({"dev.memory": None, "dev.old_memory": "1000,250"})
    node.read()

    assert node.value(devices.MEMORY_UTILIZATION, hw_name="0") == 0.25


def test_a_card_is_known_by_its_uuid_its_index_and_its_address(cndev):
    driver = Cambricon(lambda _call, _code: None, (str(cndev.path),))
    driver.open()
    first, second = driver.devices().devices

    assert first.id == "MLU-dead0000-beef-0000-0000-000000000000"
    assert (first.name, second.name) == ("0", "1")
    assert (first.pci_address, second.pci_address) == ("0000:20:00.0", "0000:21:00.0")
    assert (first.aliases, first.serial) == (("cambricon_dev0",), "deadbeef")


def test_a_uuid_that_has_its_prefix_gets_no_second_one(cndev):
    cndev.say({"dev0.uuid": "MLU-1"})
    driver = Cambricon(lambda _call, _code: None, (str(cndev.path),))
    driver.open()

    assert driver.devices().devices[0].id == "MLU-1"


@pytest.mark.parametrize("text", [None, "0"])
def test_a_card_without_a_serial_number_has_none(cndev, text):
    cndev.say({"dev.sn": text})
    driver = Cambricon(lambda _call, _code: None, (str(cndev.path),))
    driver.open()

    assert driver.devices().devices[0].serial == ""


@pytest.mark.parametrize(
    ("given", "resource"),
    [
        ("MLU-dead0000-beef-0000-0000-000000000001", "cambricon.com/mlu"),
        ("MLU-dead0000-beef-0000-0000-000000000001-_-1", "cambricon.com/mlu590.share"),
        ("MLU-dead0000-beef-0000-0000-000000000001--fake--1", "cambricon.com/mlu"),
        ("MLU-dead0000-beef-0000-0000-000000000001-vcore-3", "cambricon.com/mlu.smlu.vcore"),
        ("MLU-dead0000-beef-0000-0000-000000000001-_-/dev/cambricon_dev1mi2", "cambricon.com/mim-2m.32gb"),
        ("cambricon_dev1", "cambricon.com/mlu"),
        ("1", "cambricon.com/mlu"),
    ],
)
def test_what_device_plugins_hand_to_the_kubelet_means_this_card_and_no_other(cndev, given, resource):
    driver = Cambricon(lambda _call, _code: None, (str(cndev.path),))
    driver.open()

    assert [means(given, resource, device) for device in driver.devices().devices] == [False, True]
