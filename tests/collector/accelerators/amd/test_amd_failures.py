import logging
import shutil
import threading
import time

import pytest

from collector.accelerators.amd.driver import Amd
from collector.accelerators.driver import DriverError
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


def test_without_the_library_nothing_is_said_and_nothing_is_printed(watch, amdsmi, tmp_path, sysfs, caplog, capfd):
    late = tmp_path / "late" / "libamd_smi.so"
    node = watch(lambda count_error: Amd(count_error, (str(late),), sysfs), vendor="amd")
    reading = node.read()
    assert (reading.samples, reading.gaps, caplog.records) == ((), (), [])
    assert capfd.readouterr() == ("", "")

    late.parent.mkdir()
    shutil.copyfile(amdsmi.path, late)
    FakeLibrary(late).say({"devices": 1, "dev.activity": 33})
    node.read(seconds=121)
    assert node.value(devices.UP) == 1


def test_the_library_is_found_in_the_second_place_too(watch, amdsmi, sysfs):
    node = watch(lambda count_error: Amd(count_error, ("libabsent.so", str(amdsmi.path)), sysfs), vendor="amd")
    node.read()

    assert up(node) == {"0": 1, "1": 1}


def test_a_driver_that_is_not_loaded_is_visible_and_found_when_it_is(node, amdsmi, caplog):
    amdsmi.say({"error.amdsmi_init": 34})
    node.read(ticks=5)
    assert node.value(devices.DRIVER_UP) == 0
    assert node.value(devices.CALL_ERRORS, code="DRIVER_NOT_LOADED") == 1
    assert len(caplog.records) == 1

    amdsmi.say({"error.amdsmi_init": None})
    node.read(seconds=121)
    assert up(node) == {"0": 1, "1": 1}


def test_no_gpu_at_all_is_a_driver_that_answers(node, amdsmi):
    amdsmi.say({"devices": 0})
    node.read(ticks=2)

    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.UP) is None


def test_one_gpu_that_cannot_be_addressed_does_not_hide_the_others(node, amdsmi):
    amdsmi.say({"dev0.error.amdsmi_get_gpu_device_bdf": 6})
    node.read()

    assert up(node) == {"0": None, "1": 1}
    assert node.value(devices.DEVICES, hw_state="addressable") == 1
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1


def test_a_gpu_gone_from_the_bus_is_lost_and_listed_again_when_it_is_back(node, amdsmi, sysfs, caplog):
    """The library never notices either: it calls missing files unsupported, and lists GPUs when it is initialised."""
    node.read(ticks=2)
    place = sysfs / "bus/pci/devices/0000:10:02.0"
    place.rmdir()
    amdsmi.say({"dev0.error": 2})
    reading = node.read()
    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == ["lost"]
    assert {gap.reason for gap in reading.gaps} == {Reason.LOST}
    assert node.value(devices.POWER, hw_name="1") == 655

    node.read(seconds=5, ticks=10)
    assert up(node) == {"0": 0, "1": 1}
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * len(caplog.records)

    place.mkdir()
    amdsmi.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.POWER, hw_name="0") == 655
    assert caplog.records[-1].message == "amd: all devices are readable again"


def test_a_driver_reloaded_underneath_is_found_without_a_restart(node, amdsmi, monkeypatch):
    monkeypatch.setattr("collector.accelerators.amd.driver.REOPEN_SECONDS", 0.0)
    node.read(ticks=2)
    amdsmi.say({"dev.error": 2, "error.amdsmi_init": 34})
    node.read(ticks=2)
    assert node.value(devices.DRIVER_UP) == 0

    amdsmi.say({"dev.error": None, "error.amdsmi_init": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1}, seconds=61)
    assert node.value(devices.POWER, hw_name="0") == 655


def test_a_library_that_says_it_is_not_initialised_is_opened_anew(node, amdsmi):
    node.read()
    amdsmi.say({"dev1.error.amdsmi_get_gpu_activity": 32})
    node.read()
    amdsmi.say({"dev1.error.amdsmi_get_gpu_activity": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})

    assert node.value(devices.CALL_ERRORS, code="NOT_INIT") >= 1


def test_a_gpu_that_hangs_holds_up_nobody_and_comes_back(amdsmi, sysfs, watch):
    node = watch(lambda count_error: Amd(count_error, (str(amdsmi.path),), sysfs), vendor="amd", patience=0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    amdsmi.say({"dev0.hang": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1})
    assert unreadable(node) == ["hung"]

    amdsmi.say({"dev0.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_gpu_that_hangs_already_when_we_start_does_not_hide_the_others(amdsmi, sysfs, watch):
    amdsmi.say({"dev0.hang": 1})
    node = watch(lambda count_error: Amd(count_error, (str(amdsmi.path),), sysfs), vendor="amd", patience=0.3)
    node.until(lambda: up(node) == {"0": None, "1": 1})
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, code="HUNG") >= 1

    amdsmi.say({"dev0.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_gpu_that_hangs_while_devices_are_listed_stays_hung_and_not_lost(amdsmi, sysfs, watch):
    node = watch(lambda count_error: Amd(count_error, (str(amdsmi.path),), sysfs), vendor="amd", patience=0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    amdsmi.say({"dev0.hang": 1})
    node.read(seconds=61)
    node.until(lambda: node.vendor._keeper.busy_since is None, seconds=0.1)
    node.until(lambda: up(node) == {"0": 0, "1": 1}, seconds=0.1)

    assert unreadable(node) == ["hung"]


def test_while_one_hangs_the_library_is_not_shut_down_under_it(amdsmi, sysfs, monkeypatch):
    """Its handles would die, and the process with them."""
    monkeypatch.setattr("collector.accelerators.guarded.ALONE_SECONDS", 0.1)
    driver = Amd(lambda _call, _code: None, (str(amdsmi.path),), sysfs)
    driver.open()
    device = driver.devices().devices[0]
    amdsmi.say({"dev0.hang": 1})
    asked = threading.Thread(target=lambda: driver.sample(device, 1.0), daemon=True)
    asked.start()
    until = time.monotonic() + 10
    while not driver._library.hangs and time.monotonic() < until:  # until it is in the call, and has been a while
        time.sleep(0.01)
    with pytest.raises(DriverError) as refused:
        driver.open()

    assert (asked.is_alive(), refused.value.code) == (True, "IN_USE")
    amdsmi.say({"dev0.hang": None})
    asked.join(60)
    driver.open()

    assert len(driver.devices().devices) == 2


@pytest.mark.parametrize("code", [1, 2, 3, 17, 55])
def test_an_unsupported_call_costs_its_signal_alone(node, amdsmi, code):
    amdsmi.say({"dev0.error.amdsmi_get_power_info": code})
    node.read(ticks=3)

    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.POWER, hw_name="1") == 655
    assert node.value(devices.UTILIZATION, hw_name="0") == 0.87
    assert node.value(devices.CALL_ERRORS) is None


def test_what_was_unsupported_is_tried_again_after_a_while(node, amdsmi):
    amdsmi.say({"dev0.error.amdsmi_get_power_info": 2})
    node.read(ticks=2)
    amdsmi.say({"dev0.error.amdsmi_get_power_info": None})
    node.read(ticks=2)
    assert node.value(devices.POWER, hw_name="0") is None

    node.read(seconds=300, ticks=3)
    assert node.value(devices.POWER, hw_name="0") == 655


def test_a_gpu_that_told_nothing_at_all_for_a_while_is_asked_everything_again(node, amdsmi):
    """While its driver is away all calls are unsupported, which is not for good."""
    node.read()
    amdsmi.say({"dev0.error": 2})
    node.read(ticks=2)
    assert up(node) == {"0": 0, "1": 1}

    amdsmi.say({"dev0.error": None})
    node.read()
    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.POWER, hw_name="0") == 655
    assert node.value(devices.POWER_LIMIT, hw_name="0") == 750


def test_what_is_not_permitted_is_a_gap_with_that_reason(node, amdsmi):
    amdsmi.say({"dev0.error.amdsmi_get_gpu_bad_page_info": 10})
    gaps = [gap for gap in node.read().gaps if gap.metric is devices.REMAPPED]

    assert [gap.reason for gap in gaps] == [Reason.NOT_PERMITTED]
    assert node.value(devices.REMAPPED, hw_name="1") == 0
    assert up(node) == {"0": 1, "1": 1}


@pytest.mark.parametrize("code", [6, 8, 9, 30, 99, -1])
def test_a_call_that_fails_is_counted_and_made_again(node, amdsmi, code):
    amdsmi.say({"dev0.error.amdsmi_get_gpu_vram_usage": code})
    node.read(ticks=2)
    assert node.value(devices.MEMORY_USAGE, hw_name="0") is None
    assert node.value(devices.CALL_ERRORS, call="amdsmi_get_gpu_vram_usage") == 2

    amdsmi.say({"dev0.error.amdsmi_get_gpu_vram_usage": None})
    node.read()
    assert node.value(devices.MEMORY_USAGE, hw_name="0") == 98296 * 2**20


def test_an_event_is_a_fault_of_its_device(node, amdsmi, caplog):
    node.read()
    amdsmi.say({"event.1": "1:1", "event.2": "0:2", "event.3": "1:3", "event.4": "1:4", "event.5": "1:5"})
    node.until(lambda: node.value(devices.FAULT_CODES, fault_code="gpu_post_reset"))

    assert node.value(devices.FAULT_CODES, hw_name="0") == 1
    assert node.value(devices.FAULT_CODES, hw_name="1") == 3
    assert node.value(devices.FAULTS, hw_name="0", fault_class="power", severity="warning") == 1
    assert node.value(devices.FAULTS, hw_name="1", fault_class="engine", severity="critical") == 1
    assert "gpu_pre_reset: the driver resets the GPU (critical). To do: look into the kernel log why" in caplog.text


@pytest.mark.parametrize(("code", "counted"), [(2, None), (10, 1)])
def test_without_events_everything_else_goes_on(node, amdsmi, code, counted):
    amdsmi.say({"dev.error.amdsmi_init_gpu_event_notification": code})
    node.read()
    node.until(lambda: not node.vendor._hears)
    node.read(ticks=3)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.CALL_ERRORS, call="amdsmi_init_gpu_event_notification") == counted
