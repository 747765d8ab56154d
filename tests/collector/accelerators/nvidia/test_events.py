import ctypes

import pytest

from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import XIDS, FaultClass, xid


def test_the_series_of_every_class_are_there_from_zero(node):
    node.read()

    for kind in FaultClass:
        assert node.value(devices.FAULTS, hw_name="0", fault_class=kind.value, severity="critical") == 0


def test_an_xid_is_counted_by_class_and_by_code_and_told_with_what_to_do(node, nvml, caplog):
    node.read()
    nvml.say({"event.1": "1:8:79"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="79"))

    assert node.value(devices.FAULTS, hw_name="1", fault_class="bus", severity="critical") == 1
    assert node.value(devices.FAULTS, hw_name="0") == 0
    [line] = [record.message for record in caplog.records]
    assert line.startswith(
        "nvidia: device 1 (GPU-00000000-0000-0000-0000-000000000001): XID 79: GPU has fallen off the bus"
    )
    assert "drain and reboot the node" in line


def test_a_storm_of_one_xid_is_counted_whole_and_logged_once(node, nvml, caplog):
    node.read()
    nvml.say({f"event.{number}": "0:8:13" for number in range(1, 301)})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="13") == 300)

    assert node.value(devices.FAULTS, hw_name="0", fault_class="application", severity="info") == 300
    assert len(caplog.records) == 1


def test_an_xid_that_nobody_knows_is_a_warning_of_class_other(node, nvml):
    node.read()
    nvml.say({"event.1": "0:8:4711"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="4711"))

    assert node.value(devices.FAULTS, hw_name="0", fault_class="other", severity="warning") == 1


@pytest.mark.parametrize(
    ("kind", "code", "fault_class"),
    [
        ("0x200", "sbe_storm", "memory"), ("0x1000", "nonfatal_poison", "memory"), ("0x2000", "fatal_poison", "memory"),
        ("0x4000", "gpu_unavailable", "bus"),
    ],
)  # fmt: skip
def test_other_events_are_faults_too(node, nvml, kind, code, fault_class):
    node.read()
    nvml.say({"event.1": f"0:{kind}:0"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code=code))

    assert node.value(devices.FAULTS, hw_name="0", fault_class=fault_class) == 1


def test_a_gpu_without_events_is_read_all_the_same(node, nvml):
    nvml.say({"dev.event_types": 0})
    node.read(ticks=5)

    assert node.value(devices.UP) == 2
    assert node.value(devices.CALL_ERRORS) is None


def test_a_gpu_with_fewer_kinds_of_events_is_heard_in_those(node, nvml):
    nvml.say({"dev.event_types": "0x9"})
    node.read()
    nvml.say({"event.1": "0:8:31"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="31"))

    assert node.value(devices.FAULT_CODES) == 1


def test_one_event_set_serves_as_long_as_the_devices_are_the_same(node, nvml):
    """What happens while a set is made anew is heard by nobody."""
    node.read()
    nvml.say({"event.1": "0:8:31"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="31") == 1)
    nvml.say({"event.2": "0:8:13"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="13") == 1)

    assert ctypes.CDLL(str(nvml.path)).fake_event_sets() == 1


def test_events_are_heard_again_after_the_driver_was_replaced(node, nvml):
    node.read(ticks=2)
    nvml.say({"dev.error": 18, "error.nvmlInitWithFlags": 18, "error.nvmlEventSetWait_v2": 1})
    node.read(ticks=3)
    nvml.say({"dev.error": None, "error.nvmlInitWithFlags": None, "error.nvmlEventSetWait_v2": None})
    nvml.say({"event.1": "0:8:31"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="31"))

    assert node.value(devices.FAULT_CODES) == 1


def test_every_row_of_the_table_says_what_it_is_and_what_to_do():
    for code, known in XIDS.items():
        assert code == known.code == str(int(code))
        assert known.text
        assert known.action


def test_the_application_class_is_what_leaves_a_device_in_use():
    assert {code for code, known in XIDS.items() if known.fault_class is FaultClass.APPLICATION} == {
        "13", "31", "32", "43", "45", "68", "69",
    }  # fmt: skip
    assert xid("79").severity == "critical"
