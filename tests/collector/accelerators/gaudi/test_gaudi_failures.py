import shutil

import pytest

from collector.accelerators.gaudi.driver import Gaudi
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit import FakeLibrary
from watchkeeper.core.vocabulary import devices


def up(node):
    return {name: node.value(devices.UP, hw_name=name) for name in ("0", "1")}


def unreadable(node, name="0"):
    return [
        dict(labels)["reason"]
        for (metric, labels), value in node.shown.items()
        if metric is devices.DEVICE_FAULT and value and ("hw.name", name) in labels
    ]


def test_without_the_library_nothing_is_said_and_nothing_is_printed(watch, hlml, tmp_path, caplog, capfd):
    late = tmp_path / "late" / "libhlml.so"
    node = watch(lambda count_error: Gaudi(count_error, (str(late),)), vendor="gaudi")
    reading = node.read()
    assert (reading.samples, reading.gaps, caplog.records) == ((), (), [])
    assert capfd.readouterr() == ("", "")

    late.parent.mkdir()
    shutil.copyfile(hlml.path, late)
    FakeLibrary(late).say({"devices": 1, "dev.busy": 33})
    node.read(seconds=121)
    assert node.value(devices.UP) == 1


def test_a_driver_that_is_not_loaded_is_visible_and_found_when_it_is(node, hlml, caplog):
    hlml.say({"error.hlml_init": 9})
    node.read(ticks=5)
    assert node.value(devices.DRIVER_UP) == 0
    assert node.value(devices.CALL_ERRORS, code="DRIVER_NOT_LOADED") == 1
    assert len(caplog.records) == 1

    hlml.say({"error.hlml_init": None})
    node.read(seconds=121)
    assert up(node) == {"0": 1, "1": 1}


def test_no_device_at_all_is_a_driver_that_answers(node, hlml):
    hlml.say({"devices": 0})
    node.read(ticks=2)

    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.UP) is None


def test_a_library_that_somebody_else_in_the_process_initialised_is_used(node, hlml):
    hlml.say({"error.hlml_init": 5})
    node.read()

    assert up(node) == {"0": 1, "1": 1}


def test_one_device_that_cannot_be_addressed_does_not_hide_the_others(node, hlml):
    hlml.say({"dev0.error.hlml_device_get_handle_by_index": 6})
    node.read(ticks=2)

    assert up(node) == {"0": None, "1": 1}
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1


def test_a_device_that_is_lost_is_shown_as_lost_and_comes_back(node, hlml, caplog):
    node.read(ticks=2)
    hlml.say({"dev0.error": 15})
    reading = node.read()
    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == ["lost"]
    assert {gap.reason for gap in reading.gaps} == {Reason.LOST}
    assert node.value(devices.POWER, hw_name="1") == 430.5

    node.read(seconds=5, ticks=10)
    assert up(node) == {"0": 0, "1": 1}

    hlml.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.POWER, hw_name="0") == 430.5
    assert caplog.records[-1].message == "gaudi: all devices are readable again"


def test_a_driver_reloaded_underneath_is_found_without_a_restart(node, hlml, monkeypatch):
    monkeypatch.setattr("collector.accelerators.gaudi.driver.REOPEN_SECONDS", 0.0)
    node.read(ticks=2)
    hlml.say({"dev.error": 3, "error.hlml_init": 9})
    node.read(ticks=2)
    assert node.value(devices.DRIVER_UP) == 0

    hlml.say({"dev.error": None, "error.hlml_init": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1}, seconds=61)
    assert node.value(devices.POWER, hw_name="0") == 430.5


def test_a_device_that_hangs_holds_up_nobody_and_comes_back(hlml, watch):
    node = watch(lambda count_error: Gaudi(count_error, (str(hlml.path),)), vendor="gaudi", patience=0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    hlml.say({"dev0.hang": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1})
    assert unreadable(node) == ["hung"]

    hlml.say({"dev0.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_device_that_hangs_already_when_we_start_does_not_hide_the_others(hlml, watch):
    hlml.say({"dev0.hang": 1})
    node = watch(lambda count_error: Gaudi(count_error, (str(hlml.path),)), vendor="gaudi", patience=0.3)
    node.until(lambda: up(node) == {"0": None, "1": 1})
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, code="HUNG") >= 1

    hlml.say({"dev0.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_device_that_hangs_while_devices_are_listed_stays_hung_and_not_lost(hlml, watch):
    node = watch(lambda count_error: Gaudi(count_error, (str(hlml.path),)), vendor="gaudi", patience=0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    hlml.say({"dev0.hang": 1})
    node.read(seconds=61)
    node.until(lambda: node.vendor._keeper.busy_since is None, seconds=0.1)
    node.until(lambda: up(node) == {"0": 0, "1": 1}, seconds=0.1)

    assert unreadable(node) == ["hung"]


@pytest.mark.parametrize("code", [2, 3])
def test_an_unsupported_call_costs_its_signal_alone_and_is_tried_again_after_a_while(node, hlml, code):
    hlml.say({"dev0.error.hlml_device_get_power_usage": code})
    node.read(ticks=3)
    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.POWER, hw_name="1") == 430.5
    assert node.value(devices.CALL_ERRORS) is None

    hlml.say({"dev0.error.hlml_device_get_power_usage": None})
    node.read(ticks=2)
    assert node.value(devices.POWER, hw_name="0") is None
    node.read(seconds=300, ticks=3)
    assert node.value(devices.POWER, hw_name="0") == 430.5


@pytest.mark.parametrize("code", [7, 10, 20, 49, 99])
def test_a_call_that_fails_is_counted_and_made_again(node, hlml, code):
    hlml.say({"dev0.error.hlml_device_get_memory_info": code})
    node.read(ticks=2)
    assert node.value(devices.MEMORY_USAGE, hw_name="0") is None
    assert node.value(devices.CALL_ERRORS, call="hlml_device_get_memory_info") == 2

    hlml.say({"dev0.error.hlml_device_get_memory_info": None})
    node.read()
    assert node.value(devices.MEMORY_USAGE, hw_name="0") == 51539607552


def test_an_event_is_one_fault_of_its_device_for_each_of_its_bits(node, hlml, caplog):
    node.read()
    hlml.say({"event.1": "1:0x03", "event.2": "0:0x10", "event.3": "0:0x04", "event.4": "-1:0x02", "event.5": "0:0x28"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="dram_corrected"))

    assert node.value(devices.FAULT_CODES, hw_name="0") == 3
    assert node.value(devices.FAULT_CODES, hw_name="1", fault_code="critical") == 1
    assert node.value(devices.FAULTS, hw_name="1", fault_class="memory", severity="critical") == 1
    assert node.value(devices.FAULTS, hw_name="1", fault_class="engine", severity="critical") == 1
    assert "critical: critical error: the device stops or resets (critical). To do: drain the node" in caplog.text


def test_without_events_everything_else_goes_on(node, hlml):
    hlml.say({"dev.error.hlml_device_register_events": 3})
    node.read()
    node.until(lambda: not node.vendor._hears)
    node.read(ticks=3)

    assert up(node) == {"0": 1, "1": 1}
