import re

import pytest

from collector.accelerators.cambricon.codes import CODES, error
from collector.accelerators.cambricon.driver import Cambricon
from collector.accelerators.driver import MOST_DEVICES, DriverError, Meaning
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit import FakeLibrary
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import MLU_INCIDENTS, MLU_XIDS, FaultClass, known_fault, mlu_incident, mlu_xid

DOCUMENTED = """
    1 NO_DRIVER, 2 LOW_DRIVER_VERSION, 3 UNSUPPORTED_API_VERSION, 4 UNINITIALIZED, 5 INVALID_ARGUMENT,
    6 INVALID_DEVICE_ID, 7 UNKNOWN, 8 MALLOC, 9 INSUFFICIENT_SPACE, 10 NOT_SUPPORTED, 11 INVALID_LINK, 12 NO_DEVICES,
    13 NO_PERMISSION, 14 NOT_FOUND, 15 IN_USE, 16 DUPLICATE, 17 TIMEOUT, 18 IN_PROBLEM
"""
"""cndevRet_t, without CNDEV_ERROR_"""


def up(node):
    return {name: node.value(devices.UP, hw_name=name) for name in ("0", "1")}


def unreadable(node, name="0"):
    return [
        dict(labels)["reason"]
        for (metric, labels), value in node.shown.items()
        if metric is devices.DEVICE_FAULT and value and ("hw.name", name) in labels
    ]


def test_every_documented_return_code_has_a_meaning():
    documented = {int(code): name for code, name in re.findall(r"(\d+) (\w+)", DOCUMENTED)}

    assert {code: name for code, (name, _) in CODES.items()} == documented


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (10, Meaning.UNSUPPORTED), (3, Meaning.UNSUPPORTED), (13, Meaning.NOT_PERMITTED), (4, Meaning.RESTARTED),
        (6, Meaning.STALE), (18, Meaning.RESET_REQUIRED), (7, Meaning.FAILING), (14, Meaning.NO_SAMPLE),
        (1, Meaning.NOT_LOADED), (99, Meaning.FAILING),
    ],
)  # fmt: skip
def test_a_code_asks_for_what_the_vendor_says(code, meaning):
    assert error(code, "cndevX").meaning is meaning


@pytest.mark.parametrize("code", [*CODES, 99])
def test_no_code_of_one_call_takes_the_other_cards_along(node, cndev, code):
    cndev.say({"dev0.error.cndevGetTemperatureInfo": code})
    node.read(ticks=2)

    assert up(node)["1"] == 1
    assert node.value(devices.TEMPERATURE, hw_name="0") is None
    assert node.value(devices.TEMPERATURE, hw_name="1", hw_sensor_location="chip") == 55


@pytest.mark.parametrize("code", [3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 99])
def test_no_code_of_one_call_takes_the_other_numbers_along(node, cndev, code):
    cndev.say({"dev0.error.cndevGetTemperatureInfo": code})
    node.read(ticks=2)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.POWER, hw_name="0") == 321


@pytest.mark.parametrize("code", [*CODES, 99])
def test_no_code_of_all_calls_of_a_card_takes_the_others_along(node, cndev, code):
    node.read()
    cndev.say({"dev0.error": code})
    node.read(ticks=2)

    assert up(node)["0"] == 0
    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.DEVICES, hw_state="addressable")


@pytest.mark.parametrize("code", [*CODES, 99])
def test_no_code_at_the_start_ends_the_search(cndev, over, code):
    cndev.say({"error.cndevInit": code})
    node = over(cndev)
    node.read(ticks=2)
    assert node.value(devices.DRIVER_UP) == 0

    cndev.say({"error.cndevInit": None})
    node.read(seconds=121)
    assert up(node) == {"0": 1, "1": 1}


def test_an_unsupported_call_costs_its_signal_alone_and_is_not_made_again(node, cndev):
    cndev.say({"dev0.error.cndevGetFrequencyInfo": 10})
    node.read()
    cndev.say({"dev0.error.cndevGetFrequencyInfo": None})
    node.read(seconds=61, ticks=3)

    assert node.value(devices.CLOCK, hw_name="0") is None
    assert node.value(devices.CLOCK, hw_name="1") == 1.2e9
    assert node.value(devices.CALL_ERRORS) is None


def test_what_is_not_permitted_is_a_gap_with_that_reason(node, cndev):
    cndev.say({"dev0.error.cndevGetTemperatureInfo": 13})
    [gap] = [gap for gap in node.read().gaps if gap.metric is devices.TEMPERATURE]

    assert gap.reason is Reason.NOT_PERMITTED
    assert node.value(devices.CALL_ERRORS, call="cndevGetTemperatureInfo", code="NO_PERMISSION") == 1


@pytest.mark.parametrize(("code", "reason"), [(6, "lost"), (18, "reset_required")])
def test_a_lost_card_is_shown_as_such_and_comes_back(node, cndev, caplog, code, reason):
    node.read(ticks=2)
    cndev.say({"dev0.error": code})
    node.read()
    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == [reason]

    node.until(lambda: node.value(devices.DEVICES, hw_state="unaddressable") == 1)
    node.read(seconds=5, ticks=5)
    assert up(node) == {"0": 0, "1": 1}

    cndev.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.POWER, hw_name="0") == 321
    assert caplog.records[-1].message == "cambricon: all devices are readable again"


def test_a_card_that_is_there_is_not_lost_by_one_call_that_does_not_know_it(node, cndev):
    """As an MLU without that unit answers."""
    cndev.say({"dev0.error.cndevGetVideoCodecUtilization": 6})
    node.read(ticks=3)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.UTILIZATION, hw_name="0") == 0.7


def test_a_library_that_forgot_that_it_was_opened_is_opened_again(node, cndev):
    node.read()
    cndev.say({"dev.error": 4, "error.cndevInit": 1})
    node.until(lambda: node.value(devices.DRIVER_UP) == 0)

    cndev.say({"dev.error": None, "error.cndevInit": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1}, seconds=5)

    assert node.value(devices.DRIVER_UP) == 1


def test_a_card_that_hangs_holds_up_nobody_and_comes_back(cndev, over):
    node = over(cndev, 0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    cndev.say({"dev0.hang.cndevGetDevicePowerInfo": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1})
    assert unreadable(node) == ["hung"]

    cndev.say({"dev0.hang.cndevGetDevicePowerInfo": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_card_that_hangs_already_when_we_start_does_not_hide_the_others(cndev, over):
    cndev.say({"dev0.hang": 1})
    node = over(cndev, 0.3)
    node.until(lambda: up(node) == {"0": None, "1": 1})
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, code="HUNG") >= 1

    cndev.say({"dev0.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_card_that_hangs_while_devices_are_listed_stays_hung_and_not_lost(cndev, over):
    node = over(cndev, 0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    cndev.say({"dev0.hang": 1})
    node.read(seconds=61)
    node.until(lambda: node.vendor._keeper.busy_since is None, seconds=0.1)
    node.until(lambda: up(node) == {"0": 0, "1": 1}, seconds=0.1)

    assert unreadable(node) == ["hung"]


def test_an_xid_is_counted_by_class_and_by_code_and_told_with_what_to_do(node, cndev, caplog):
    node.read()
    cndev.say({"event.1": "1:1:14"})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, hw_name="1", fault_code="14") == 1
    assert node.value(devices.FAULTS, hw_name="1", fault_class="bus", severity="critical") == 1
    assert node.value(devices.FAULTS, hw_name="0") == 0
    assert "XID 14: MLU has fallen off the bus (critical). To do: drain and reboot the node" in caplog.text


def test_an_xid_that_nobody_knows_is_a_warning_spelled_in_hexadecimal(node, cndev):
    node.read()
    cndev.say({"event.1": "0:1:0x1000000020003"})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="0x0001000000020003") == 1
    assert node.value(devices.FAULTS, hw_name="0", fault_class="other", severity="warning") == 1


def test_every_event_of_a_burst_counts_and_what_is_no_xid_or_no_card_of_ours_does_not(node, cndev):
    node.read()
    burst = [f"event.{n}" for n in range(1, 31)]
    cndev.say({**dict.fromkeys(burst, "0:1:13"), "event.31": "0:2:13", "event.32": "7:1:13", "event.33": "1:1:1"})
    node.until(lambda: node.value(devices.FAULT_CODES, hw_name="1"))

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="13") == 30
    assert node.value(devices.FAULT_CODES) == 31


def test_a_wait_that_fails_does_not_end_the_waiting(node, cndev):
    node.read()
    cndev.say({"error.cndevEventWait": 7})
    node.until(lambda: node.value(devices.CALL_ERRORS, call="cndevEventWait"))
    cndev.say({"error.cndevEventWait": None, "event.1": "0:1:15"})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, fault_code="15") == 1


@pytest.mark.parametrize("lines", [
    {"error.cndevEventHandleCreate": 10}, {"error.cndevEventHandleCreate": 13}, {"dev.error.cndevRegisterEvents": 10},
])  # fmt: skip
def test_without_events_the_health_report_still_tells_its_faults(node, cndev, lines):
    cndev.say({**lines, "dev1.incidents": "14:20"})
    node.until(lambda: node.value(devices.FAULT_CODES, hw_name="1"))

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.CALL_ERRORS, call="cndevEventWait") is None
    expected = 1 if 13 in lines.values() else None
    assert node.value(devices.CALL_ERRORS, call="cndevEventHandleCreate") == expected


def test_one_card_that_has_no_events_does_not_silence_the_others(node, cndev):
    cndev.say({"dev0.error.cndevRegisterEvents": 10, "event.1": "1:1:14"})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, hw_name="1", fault_code="14") == 1


def test_an_incident_counts_when_it_appears_and_again_when_it_comes_back(node, cndev):
    for incidents, count in (("", None), ("14:10", 1), ("14:10", 1), ("14:10,9:20", 2), ("", 2), ("9:20", 3)):
        cndev.say({"dev0.incidents": incidents})
        node.read(ticks=2)
        node.until(lambda expected=count: node.value(devices.FAULT_CODES) == expected)

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="FR_MLULINK_DOWN") == 2
    assert node.value(devices.FAULTS, hw_name="0", fault_class="link", severity="critical") == 2
    assert node.value(devices.FAULTS, hw_name="0", fault_class="memory", severity="warning") == 1
    assert node.value(devices.FAULTS, hw_name="1") == 0


def test_an_incident_that_passed_its_check_is_no_fault(node, cndev):
    cndev.say({"dev0.incidents": "14:0,200:10"})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, fault_code="FR_200") == 1
    assert node.value(devices.FAULT_CODES) == 1


def test_the_lists_of_faults_are_whole_and_known_to_the_signals():
    assert {int(code) for code in MLU_XIDS} == set(range(1, 32))
    assert set(MLU_INCIDENTS) == set(range(1, 31))
    assert known_fault("cambricon", "14") == mlu_xid(14)
    assert known_fault("cambricon", "FR_DEVSYS_ERROR") == mlu_incident(30, is_failure=False)
    assert mlu_xid(2**63).fault_class is FaultClass.OTHER


def test_no_card_at_all_is_a_driver_that_answers(cndev, over):
    cndev.say({"devices": 0})
    node = over(cndev)
    node.read()

    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.DEVICES, hw_state="addressable") == 0


def test_a_number_of_cards_that_is_garbage_is_not_followed_to_its_end(cndev):
    cndev.say({"devices": MOST_DEVICES + 1})
    driver = Cambricon(lambda _call, _code: None, (str(cndev.path),))
    driver.open()

    assert len(driver.devices().devices) == MOST_DEVICES


def test_a_card_without_a_uuid_is_not_shown_as_another(cndev, over):
    cndev.say({"dev0.uuid": ""})
    node = over(cndev)
    node.read()

    assert node.value(devices.UP) == 1
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1


def test_without_the_library_nothing_is_said(over, tmp_path, caplog):
    node = over(FakeLibrary(tmp_path / "libcndev.so"))
    reading = node.read()

    assert (reading.samples, reading.gaps, caplog.records) == ((), (), [])


def test_a_library_of_another_interface_is_one_that_cannot_be_used(cndev):
    cndev.say({"error.cndevInit": 3})

    with pytest.raises(DriverError) as raised:
        Cambricon(lambda _call, _code: None, (str(cndev.path),)).open()
    assert (raised.value.meaning, raised.value.code) == (Meaning.NOT_LOADED, "UNSUPPORTED_API_VERSION")
