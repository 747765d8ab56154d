import ctypes
import logging
import os
import shutil
import threading
import time

import pytest

from collector.accelerators.nvidia.driver import Nvidia
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit import FakeLibrary
from watchkeeper.core.vocabulary import devices


@pytest.fixture
def hasty(nvml, watch):
    """A source that waits no longer than 0.3 s for its devices."""
    return watch(lambda count_error: Nvidia(count_error, str(nvml.path)), patience=0.3)


def up(node):
    return {name: node.value(devices.UP, hw_name=name) for name in ("0", "1")}


def unreadable(node, name="0"):
    return [
        dict(labels)["reason"]
        for (metric, labels), value in node.shown.items()
        if metric is devices.DEVICE_FAULT and value and ("hw.name", name) in labels
    ]


def test_without_the_library_nothing_is_said_and_it_is_looked_for_again(watch, nvml, tmp_path, caplog):
    late = tmp_path / "late" / "libnvidia-ml.so.1"
    node = watch(lambda count_error: Nvidia(count_error, str(late)))
    reading = node.read()
    assert (reading.samples, reading.gaps, caplog.records) == ((), (), [])

    late.parent.mkdir()
    shutil.copyfile(nvml.path, late)
    FakeLibrary(late).say({"devices": 1, "dev.temperature": 33})
    node.read(seconds=60)
    assert node.value(devices.UP) is None
    node.read(seconds=61)
    assert node.value(devices.UP) == 1


def test_a_driver_that_is_not_loaded_is_visible_and_found_when_it_is(node, nvml, caplog):
    nvml.say({"error.nvmlInitWithFlags": 9})
    node.read(ticks=5)
    assert node.value(devices.DRIVER_UP) == 0
    assert node.value(devices.CALL_ERRORS, code="DRIVER_NOT_LOADED") == 1
    assert len(caplog.records) == 1

    nvml.say({"error.nvmlInitWithFlags": None})
    node.read(seconds=121)
    assert node.value(devices.DRIVER_UP) == 1
    assert up(node) == {"0": 1, "1": 1}


def test_no_gpu_at_all_is_a_driver_that_answers(node, nvml):
    nvml.say({"devices": 0})
    node.read(ticks=2)

    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.DEVICES, hw_state="addressable") == 0
    assert node.value(devices.UP) is None


def test_one_gpu_that_cannot_be_addressed_does_not_hide_the_others(node, nvml, caplog):
    nvml.say({"dev0.error.nvmlDeviceGetHandleByIndex_v2": 15})
    node.read(ticks=2)

    assert up(node) == {"0": None, "1": 1}
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, call="nvmlDeviceGetHandleByIndex", code="GPU_IS_LOST") == 1
    assert "1 that cannot be addressed" in caplog.text


def test_a_gpu_that_is_lost_goes_stale_is_shown_as_lost_and_comes_back(node, nvml, caplog):
    node.read(ticks=2)
    nvml.say({"dev0.error": 15})
    reading = node.read()

    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == ["lost"]
    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.POWER, hw_name="1") == 650.5
    assert {gap.reason for gap in reading.gaps} == {Reason.LOST}

    node.until(lambda: node.value(devices.DEVICES, hw_state="unaddressable") == 1)
    node.read(seconds=5, ticks=20)
    assert up(node) == {"0": 0, "1": 1}
    assert node.value(devices.DEVICES, hw_state="addressable") == 1
    lines = [record.message for record in caplog.records]
    assert lines[0] == "nvidia: not readable: 0 lost"
    assert len(lines) == 2

    nvml.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.POWER, hw_name="0") == 650.5
    assert unreadable(node) == []
    assert caplog.records[-1].message == "nvidia: all devices are readable again"


def test_what_a_gpu_used_while_it_was_out_of_sight_is_counted_when_it_is_back(node, nvml):
    nvml.say({"dev0.field.83": 1000})
    node.read()
    nvml.say({"dev0.error": 16})
    node.read(ticks=3)
    nvml.say({"dev0.error": None, "dev0.field.83": 9000})
    node.read()

    assert node.value(devices.ENERGY, hw_name="0") == 8


def test_a_gpu_that_needs_a_reset_says_so(node, nvml):
    node.read()
    nvml.say({"dev1.error": 16})
    node.read()

    assert up(node) == {"0": 1, "1": 0}
    assert unreadable(node, "1") == ["reset_required"]


@pytest.mark.parametrize("code", [3, 13, 25, 26])
def test_an_unsupported_call_costs_its_signal_alone_and_is_not_made_again(node, nvml, code):
    nvml.say({"dev0.error.nvmlDeviceGetUtilizationRates": code})
    node.read(ticks=3)
    assert node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") is None
    assert node.value(devices.UTILIZATION, hw_name="1", hw_gpu_task="general") == 0.9
    assert node.value(devices.POWER, hw_name="0") == 650.5
    assert node.value(devices.CALL_ERRORS) is None

    nvml.say({"dev0.error.nvmlDeviceGetUtilizationRates": None})
    node.read(ticks=3)
    assert node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") is None


def test_an_argument_that_a_whole_gpu_does_not_know_does_not_end_its_sample(node, nvml):
    nvml.say({"dev0.error.nvmlDeviceGetTemperatureThreshold": 2})
    node.read(ticks=2)

    assert up(node) == {"0": 1, "1": 1}


def test_what_is_not_permitted_is_a_gap_with_that_reason_and_not_asked_again(node, nvml):
    nvml.say({"dev0.error.nvmlDeviceGetMemoryInfo": 4})
    [gap] = [gap for gap in node.read().gaps if gap.metric is devices.MEMORY_USAGE]
    assert gap.reason is Reason.NOT_PERMITTED
    assert ("hw.name", "0") in gap.labels

    assert not node.read(ticks=3).gaps
    assert node.value(devices.CALL_ERRORS, code="NO_PERMISSION") == 1


def test_a_call_that_fails_for_a_while_is_a_gap_and_comes_back(node, nvml):
    node.read()
    nvml.say({"dev0.error.nvmlDeviceGetClockInfo": 999})
    node.read()
    assert node.value(devices.CLOCK, hw_name="0") is None
    assert node.value(devices.CALL_ERRORS, call="nvmlDeviceGetClockInfo", code="UNKNOWN") == 3

    nvml.say({"dev0.error.nvmlDeviceGetClockInfo": None})
    node.read()
    assert node.value(devices.CLOCK, hw_name="0", clock="core") == 1.755e9


def test_a_call_that_fails_leaves_what_other_calls_tell_of_the_same_metric(node, nvml):
    node.read()
    nvml.say({"dev0.error.nvmlDeviceGetUtilizationRates": 999, "dev0.error.nvmlDeviceGetTemperatureV": 999})
    node.read()

    tasks = {task: node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task=task) for task in ("encoder", "general")}
    assert tasks == {"encoder": 0.05, "general": None}
    for place, celsius in (("chip", 61), ("memory", 70)):
        assert node.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location=place) == celsius


def test_a_gpu_keeps_its_labels_when_its_name_is_not_told_this_time(node, nvml):
    node.read(ticks=2)
    before = {labels for metric, labels in node.shown if metric in (devices.POWER, devices.INFO)}
    names = ("Name", "Serial", "VbiosVersion", "PciInfo_v3", "MinorNumber")
    nvml.say({f"dev0.error.nvmlDeviceGet{name}": 999 for name in names})
    for _ in range(3):
        node.read(seconds=61)
        time.sleep(0.05)

    assert {labels for metric, labels in node.shown if metric in (devices.POWER, devices.INFO)} == before


def test_power_that_another_call_tells_is_no_gap(node, nvml):
    nvml.say({"dev.power": 640000})
    node.read()
    nvml.say({"dev0.error.nvmlDeviceGetFieldValues": 999})
    reading = node.read()

    assert node.value(devices.POWER, hw_name="0") == 640
    assert devices.POWER not in {gap.metric for gap in reading.gaps}


def test_a_field_that_has_nothing_now_is_asked_again_and_one_that_is_unsupported_is_not(node, nvml):
    nvml.say({"dev0.field.82.error": 21, "dev1.field.82.error": 3})
    node.read()
    assert node.value(devices.TEMPERATURE, hw_sensor_location="memory") is None

    nvml.say({"dev0.field.82.error": None, "dev1.field.82.error": None})
    node.read()
    assert node.value(devices.TEMPERATURE, hw_sensor_location="memory", hw_name="0") == 70
    assert node.value(devices.TEMPERATURE, hw_sensor_location="memory", hw_name="1") is None


def test_one_field_may_say_that_the_gpu_is_lost(node, nvml):
    node.read()
    nvml.say({"dev0.field.3.error": 15})
    node.read()

    assert unreadable(node) == ["lost"]


def test_a_gpu_that_hangs_stops_no_other_and_comes_back(hasty, nvml, caplog):
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    caplog.clear()
    nvml.say({"dev0.hang": 1})
    hasty.until(lambda: up(hasty) == {"0": 0, "1": 1})
    assert unreadable(hasty) == ["hung"]
    assert hasty.value(devices.POWER, hw_name="0") is None
    assert hasty.value(devices.POWER, hw_name="1") == 650.5

    nvml.say({"dev0.hang": None})
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    said = [record.message for record in caplog.records if "1 hung" not in record.message]  # late by our own machine
    assert list(dict.fromkeys(said)) == ["nvidia: not readable: 0 hung", "nvidia: all devices are readable again"]


def test_a_gpu_that_hangs_in_gpm_costs_the_others_only_gpm(watch, nvml):
    node = watch(lambda count_error: Nvidia(count_error, str(nvml.path)), patience=1.5)
    node.read(ticks=2)
    nvml.say({"dev0.hang.nvmlGpmSampleGet": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1} and node.value(devices.MATRIX_ACTIVE, hw_name="1") is None)

    assert node.value(devices.POWER, hw_name="1") == 650.5
    nvml.say({"dev0.hang.nvmlGpmSampleGet": None})
    node.until(lambda: node.value(devices.MATRIX_ACTIVE, hw_name="1") == 0.55)


def test_a_library_opened_anew_does_not_wait_for_gpm_of_before(watch, nvml):
    node = watch(lambda count_error: Nvidia(count_error, str(nvml.path)), patience=1.5)
    node.read(ticks=2)
    nvml.say({"dev0.hang.nvmlGpmSampleGet": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1})
    nvml.say({"dev1.error": 18})
    node.until(lambda: up(node) == {"0": 0, "1": 0})
    nvml.say({"dev1.error": None})

    node.until(lambda: node.value(devices.MATRIX_ACTIVE, hw_name="1") == 0.55)

    assert up(node) == {"0": 0, "1": 1}


def test_opening_that_hangs_is_visible_and_recovers(hasty, nvml, caplog):
    nvml.say({"hang.nvmlInitWithFlags": 1})
    hasty.read(ticks=2)
    assert hasty.value(devices.DRIVER_UP) == 0
    assert "does not come back from opening" in caplog.text

    nvml.say({"hang.nvmlInitWithFlags": None})
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    assert hasty.value(devices.DRIVER_UP) == 1


def test_while_listing_hangs_the_known_devices_are_read(hasty, nvml):
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    nvml.say({"hang.nvmlDeviceGetCount_v2": 1, "dev.temperature": 77})
    hasty.read(seconds=61)
    hasty.read(ticks=3)
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})

    assert hasty.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="chip") == 77
    assert hasty.vendor._keeper.busy_since is not None


def test_while_the_wait_for_events_hangs_the_devices_are_read(hasty, nvml, caplog):
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    nvml.say({"hang.nvmlEventSetWait_v2": 1})
    hasty.read(ticks=4)
    nvml.say({"dev.temperature": 63})

    hasty.until(lambda: hasty.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="chip") == 63)
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})


def test_closing_does_not_wait_for_a_device_that_hangs(hasty, nvml):
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    nvml.say({"dev0.hang": 1})
    hasty.read()
    closing = threading.Thread(target=hasty.close, daemon=True)
    closing.start()
    closing.join(60)

    assert not closing.is_alive()


def test_a_driver_that_was_replaced_underneath_is_opened_anew(node, nvml, caplog):
    nvml.say({"dev0.field.83": 5000})
    node.read(ticks=2)
    nvml.say({"dev.error": 18, "error.nvmlDeviceGetCount_v2": 18, "error.nvmlInitWithFlags": 18})
    node.read(ticks=3)
    assert node.value(devices.DRIVER_UP) == 0
    assert up(node) == {"0": 0, "1": 0}
    assert node.value(devices.POWER) is None

    nvml.say({"dev.error": None, "error.nvmlDeviceGetCount_v2": None, "error.nvmlInitWithFlags": None})
    nvml.say({"driver_version": "590.2", "dev0.field.83": 1000})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.INFO, hw_driver_version="590.2") == 2
    assert node.value(devices.INFO, hw_driver_version="580.1") is None
    assert node.value(devices.ENERGY, hw_name="0") == 1


def test_a_new_driver_with_a_library_of_its_own_is_loaded_without_a_restart(fake, watch, tmp_path):
    """The old file stays mapped and says until the end of the process that it does not fit the new driver."""
    old, new = fake("nvml.c", "libnvidia-ml.so.1"), fake("nvml.c", "libnvidia-ml.so.1", "NEW")
    place = tmp_path / "usr" / "lib"
    place.mkdir(parents=True)
    for library, version in ((old, "580.1"), (new, "590.2")):
        shutil.copyfile(library.path, place / f"libnvidia-ml.so.{version}")
        FakeLibrary(place / f"libnvidia-ml.so.{version}").say(
            {"devices": 1, "dev.temperature": 40, "driver_version": version}
        )
    link = place / "libnvidia-ml.so.1"
    link.symlink_to("libnvidia-ml.so.580.1")
    shutil.copyfile(place / "libnvidia-ml.so.580.1.script", f"{link}.script")
    node = watch(lambda count_error: Nvidia(count_error, str(link)))
    node.read()
    assert node.value(devices.INFO, hw_driver_version="580.1") == 1

    FakeLibrary(link).say({"dev.error": 18, "error.nvmlDeviceGetCount_v2": 18, "error.nvmlInitWithFlags": 18})
    os.remove(link)
    link.symlink_to("libnvidia-ml.so.590.2")
    node.until(lambda: node.value(devices.INFO, hw_driver_version="590.2") == 1)
    assert node.value(devices.UP) == 1


def test_a_device_is_its_uuid_not_its_place(node, nvml):
    nvml.say({"dev0.uuid": "GPU-a", "dev1.uuid": "GPU-b", "dev0.field.83": 1000, "dev1.field.83": 900_000})
    node.read()
    nvml.say({"dev.error": 18, "error.nvmlInitWithFlags": 18})
    node.read(ticks=2)
    nvml.say(
        {
            "dev.error": None,
            "error.nvmlInitWithFlags": None,
            "dev0.uuid": "GPU-b",
            "dev1.uuid": "GPU-a",
            "dev0.field.83": 901_000,
            "dev1.field.83": 3000,
        }
    )
    node.until(lambda: node.value(devices.UP, hw_id="GPU-a", hw_name="1"))

    assert node.value(devices.ENERGY, hw_id="GPU-a") == 2
    assert node.value(devices.ENERGY, hw_id="GPU-b") == 1
    assert node.value(devices.UP, hw_id="GPU-a", hw_name="1") == 1
    assert node.value(devices.UP, hw_id="GPU-a", hw_name="0") is None


def test_field_values_are_read_in_one_call_a_tick(node, nvml):
    """Beside it only the states of the links, four times a minute."""
    calls = ctypes.CDLL(str(nvml.path)).fake_calls_of_fields
    node.read(ticks=2)
    before = calls()
    node.read(ticks=12)

    assert calls() - before == 2 * 12


def test_the_binding_is_not_written_past_its_end(node, nvml, caplog):
    """The library writes one element more than was asked for, as some drivers do."""
    caplog.set_level(logging.WARNING)
    node.read(ticks=30)

    assert up(node) == {"0": 1, "1": 1}


def test_a_gpu_that_hangs_already_when_we_start_does_not_hide_the_others(hasty, nvml):
    nvml.say({"dev0.hang": 1})
    hasty.until(lambda: up(hasty) == {"0": None, "1": 1})
    assert hasty.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert hasty.value(devices.CALL_ERRORS, code="HUNG") >= 1

    nvml.say({"dev0.hang": None})
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})


def test_a_gpu_that_hangs_while_devices_are_listed_stays_hung_and_not_lost(hasty, nvml):
    hasty.until(lambda: up(hasty) == {"0": 1, "1": 1})
    nvml.say({"dev0.hang": 1})
    hasty.read(seconds=61)
    hasty.until(lambda: hasty.vendor._keeper.busy_since is None, seconds=0.1)
    hasty.until(lambda: up(hasty) == {"0": 0, "1": 1}, seconds=0.1)

    assert unreadable(hasty) == ["hung"]
