import re
from pathlib import Path

import pytest

from collector.accelerators.ascend.codes import CODES, error
from collector.accelerators.ascend.driver import Ascend
from collector.accelerators.driver import DriverError, Meaning
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit import FakeLibrary
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import DCMI_FAULTS, FaultClass, dcmi_fault, known_fault

DOCUMENTED = """
    -8001 INVALID_PARAMETER, -8002 OPER_NOT_PERMITTED, -8003 MEM_OPERATE_FAIL, -8004 SECURE_FUN_FAIL, -8005 INNER_ERR,
    -8006 TIME_OUT, -8007 INVALID_DEVICE_ID, -8008 DEVICE_NOT_EXIST, -8009 IOCTL_FAIL, -8010 SEND_MSG_FAIL,
    -8011 RECV_MSG_FAIL, -8012 NOT_READY, -8013 NOT_SUPPORT_IN_CONTAINER, -8014 FILE_OPERATE_FAIL, -8015 RESET_FAIL,
    -8016 ABORT_OPERATE, -8017 IS_UPGRADING, -8020 RESOURCE_OCCUPIED, -8022 PARTITION_NOT_RIGHT,
    -8023 CONFIG_INFO_NOT_EXIST, -8255 NOT_SUPPORT
"""
"""dcmi_interface_api.h; what it writes NOT_REDAY is NOT_READY here"""


def up(node):
    return {name: node.value(devices.UP, hw_name=name) for name in ("0", "1")}


def unreadable(node, name="0"):
    return [
        dict(labels)["reason"]
        for (metric, labels), value in node.shown.items()
        if metric is devices.DEVICE_FAULT and value and ("hw.name", name) in labels
    ]


def test_every_documented_return_code_has_a_meaning():
    documented = {int(code): name for code, name in re.findall(r"(-\d+) (\w+)", DOCUMENTED)}

    assert {code: name for code, (name, _) in CODES.items()} == documented


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (-8255, Meaning.UNSUPPORTED), (-8012, Meaning.FAILING), (-8006, Meaning.FAILING), (-8017, Meaning.FAILING),
        (-8020, Meaning.FAILING), (-8002, Meaning.NOT_PERMITTED), (-8013, Meaning.NOT_PERMITTED),
        (-8008, Meaning.LOST), (-8015, Meaning.LOST), (-8007, Meaning.STALE), (-9999, Meaning.FAILING),
    ],
)  # fmt: skip
def test_a_code_asks_for_what_the_vendor_says(code, meaning):
    assert error(code, "dcmi_x").meaning is meaning


@pytest.mark.parametrize("code", [*CODES, -9999])
def test_no_code_of_one_call_takes_the_other_numbers_or_devices_along(node, dcmi, code):
    dcmi.say({"dev0.error.dcmi_get_device_power_info": code})
    node.read(ticks=2)

    assert up(node) == {"0": 1, "1": 1}
    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="chip") == 52
    assert node.value(devices.POWER, hw_name="1") == 320.5


@pytest.mark.parametrize("code", [*CODES, -9999])
def test_no_code_of_all_calls_of_a_device_takes_the_others_along(node, dcmi, code):
    node.read()
    dcmi.say({"dev0.error": code})
    node.read(ticks=2)

    assert up(node) == {"0": 0, "1": 1}
    assert node.value(devices.POWER, hw_name="0") is None
    assert node.value(devices.POWER, hw_name="1") == 320.5


@pytest.mark.parametrize("code", [*CODES, -9999])
def test_no_code_at_the_start_ends_the_search(dcmi, over, code):
    dcmi.say({"error.dcmi_init": code})
    node = over(dcmi)
    node.read(ticks=2)
    assert node.value(devices.DRIVER_UP) == 0

    dcmi.say({"error.dcmi_init": None})
    node.read(seconds=121)
    assert up(node) == {"0": 1, "1": 1}


def test_an_unsupported_call_costs_its_signal_alone_and_is_not_made_again(node, dcmi):
    dcmi.say({"dev0.error.dcmi_get_device_temperature": -8255})
    node.read()
    dcmi.say({"dev0.error.dcmi_get_device_temperature": None})
    node.read(seconds=61, ticks=3)

    assert node.value(devices.TEMPERATURE, hw_name="0", hw_sensor_location="chip") is None
    assert node.value(devices.TEMPERATURE, hw_name="1", hw_sensor_location="chip") == 52
    assert node.value(devices.CALL_ERRORS) is None


def test_what_is_not_permitted_is_a_gap_with_that_reason(node, dcmi):
    dcmi.say({"dev0.error.dcmi_get_device_hbm_info": -8013})
    [gap] = [gap for gap in node.read().gaps if gap.metric is devices.MEMORY_USAGE]

    assert gap.reason is Reason.NOT_PERMITTED
    assert node.value(devices.CALL_ERRORS, call="dcmi_get_device_hbm_info", code="NOT_SUPPORT_IN_CONTAINER") == 1


def test_a_lost_chip_goes_stale_is_shown_as_lost_and_comes_back(node, dcmi, caplog):
    node.read(ticks=2)
    dcmi.say({"dev0.error": -8008})
    node.read()
    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == ["lost"]
    assert node.value(devices.STATUS, hw_name="0", hw_state="failed") == 1

    node.until(lambda: node.value(devices.DEVICES, hw_state="unaddressable") == 1)
    node.read(seconds=5, ticks=5)
    assert up(node) == {"0": 0, "1": 1}

    dcmi.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    assert node.value(devices.POWER, hw_name="0") == 320.5
    assert caplog.records[-1].message == "ascend: all devices are readable again"


def test_all_chips_lost_open_the_library_anew(node, dcmi):
    """As after a driver that was replaced underneath."""
    node.read()
    dcmi.say({"dev.error": -8008, "error.dcmi_init": -8005})
    node.until(lambda: node.value(devices.DRIVER_UP) == 0, seconds=5)

    dcmi.say({"dev.error": None, "error.dcmi_init": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1}, seconds=5)

    assert node.value(devices.DRIVER_UP) == 1


def test_a_chip_that_dropped_off_is_a_fault_though_the_driver_lists_none(node, dcmi, caplog):
    node.read()
    dcmi.say({"dev0.error": -8012})
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="40F84E00") == 1
    assert node.value(devices.FAULTS, hw_name="0", fault_class="bus", severity="critical") == 1
    assert up(node) == {"0": 0, "1": 1}
    assert unreadable(node) == ["failing"]
    assert "the NPU has dropped off the bus or does not get ready (critical). To do: drain the node" in caplog.text

    dcmi.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    dcmi.say({"dev0.error": -8012})
    node.until(lambda: node.value(devices.FAULT_CODES) == 2)


def test_a_fault_counts_when_it_appears_and_again_when_it_comes_back(node, dcmi):
    for codes, count in (
        ("", None),
        ("80E18402", 1),
        ("80E18402", 1),
        ("80E18402,80cb8009", 2),
        ("", 2),
        ("80CB8009", 3),
    ):
        dcmi.say({"dev0.codes": codes})
        node.read(ticks=2)
        node.until(lambda expected=count: node.value(devices.FAULT_CODES) == expected)

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="80CB8009") == 2
    assert node.value(devices.FAULTS, hw_name="0", fault_class="memory", severity="critical") == 1
    assert node.value(devices.FAULTS, hw_name="0", fault_class="engine", severity="warning") == 2
    assert node.value(devices.FAULTS, hw_name="1") == 0


def test_a_fault_that_stays_does_not_count_again_when_the_library_is_opened_anew(node, dcmi):
    dcmi.say({"dev0.codes": "80E18402"})
    node.until(lambda: node.value(devices.FAULT_CODES) == 1)
    dcmi.say({"error.dcmi_get_card_list": -8005})
    node.until(lambda: node.value(devices.DRIVER_UP) == 0, seconds=61)
    dcmi.say({"error.dcmi_get_card_list": None, "dev1.codes": "81078603"})
    node.until(lambda: node.value(devices.FAULT_CODES, hw_name="1") == 1, seconds=11)

    assert node.value(devices.FAULT_CODES, hw_name="0") == 1


def test_a_list_of_faults_that_cannot_be_read_is_not_an_empty_one(node, dcmi):
    dcmi.say({"dev0.codes": "80E18402"})
    node.until(lambda: node.value(devices.FAULT_CODES) == 1)
    dcmi.say({"dev0.error.dcmi_get_device_errorcode_v2": -8006})
    node.read(ticks=3)
    dcmi.say({"dev0.error.dcmi_get_device_errorcode_v2": None, "dev1.codes": "1"})
    node.until(lambda: node.value(devices.FAULT_CODES, hw_name="1") == 1)

    assert node.value(devices.FAULT_CODES, hw_name="0") == 1


def test_a_fault_from_before_a_chip_dropped_off_does_not_count_again_when_it_is_back(node, dcmi):
    dcmi.say({"dev0.codes": "80E18402"})
    node.until(lambda: node.value(devices.FAULT_CODES) == 1)
    dcmi.say({"dev0.error": -8012})
    node.until(lambda: node.value(devices.FAULT_CODES) == 2)
    dcmi.say({"dev0.error": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    dcmi.say({"dev1.codes": "81078603"})
    node.until(lambda: node.value(devices.FAULT_CODES, hw_name="1") == 1)

    assert node.value(devices.FAULT_CODES, hw_name="0", fault_code="80E18402") == 1


def test_the_driver_s_own_words_are_in_the_line(node, dcmi, caplog):
    dcmi.say({"dev0.codes": "80C78008", "dev0.words.80C78008": "AI CPU \t bus error"})
    node.until(lambda: node.value(devices.FAULT_CODES) == 1)

    assert "DCMI 80C78008: AI CPU bus error (critical). To do: drain the node and reset the NPU" in caplog.text


def test_the_graver_of_two_grades_holds_and_an_ungraded_code_is_a_warning():
    assert dcmi_fault("A2301001").severity == "critical"
    assert (dcmi_fault("DEADBEEF").severity, dcmi_fault("DEADBEEF").fault_class) == ("warning", FaultClass.OTHER)
    assert dcmi_fault("80E1ABCD").fault_class is FaultClass.MEMORY


def test_every_graded_code_is_eight_hexadecimal_digits_and_known_to_the_signals():
    assert len(DCMI_FAULTS) > 300
    assert all(re.fullmatch("[0-9A-F]{8}", code) for code in DCMI_FAULTS)
    assert known_fault("ascend", "80E3A201") == dcmi_fault("80E3A201")


def test_a_chip_that_hangs_holds_up_nobody_and_comes_back(dcmi, over):
    node = over(dcmi, 0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    dcmi.say({"dev0.hang.dcmi_get_device_network_health": 1})
    node.until(lambda: up(node) == {"0": 0, "1": 1}, seconds=16)
    assert unreadable(node) == ["hung"]

    dcmi.say({"dev0.hang.dcmi_get_device_network_health": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


@pytest.mark.parametrize("shape", [{"cards": 2, "chips": 1}, {"cards": 1, "chips": 2}], ids=["cards", "one card"])
def test_a_chip_that_hangs_already_when_we_start_does_not_hide_the_others(dcmi, over, shape):
    """Of two on one card the second: a card is asked through its first."""
    hung = str(shape["chips"] - 1)
    dcmi.say({**shape, f"dev{hung}.hang": 1})
    node = over(dcmi, 0.3)
    node.until(lambda: up(node) == {hung: None, str(1 - int(hung)): 1})
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 1
    assert node.value(devices.CALL_ERRORS, code="HUNG") >= 1

    dcmi.say({f"dev{hung}.hang": None})
    node.until(lambda: up(node) == {"0": 1, "1": 1})


def test_a_chip_that_hangs_while_devices_are_listed_stays_hung_and_not_lost(dcmi, over):
    node = over(dcmi, 0.3)
    node.until(lambda: up(node) == {"0": 1, "1": 1})
    dcmi.say({"dev0.hang": 1})
    node.read(seconds=61)
    node.until(lambda: node.vendor._keeper.busy_since is None, seconds=0.1)
    node.until(lambda: up(node) == {"0": 0, "1": 1}, seconds=0.1)

    assert unreadable(node) == ["hung"]


def test_the_call_that_blocks_for_a_dropped_chip_is_not_made_then(node, dcmi):
    node.read()
    dcmi.say({"dev0.error.dcmi_get_device_health": -8012, "dev0.hang.dcmi_get_device_network_health": 1})
    node.read(seconds=16, ticks=2)

    assert node.value(devices.POWER, hw_name="0") == 320.5


def test_no_card_at_all_is_a_driver_that_answers(dcmi, over):
    dcmi.say({"cards": 0})
    node = over(dcmi)
    node.read()

    assert node.value(devices.DRIVER_UP) == 1
    assert node.value(devices.DEVICES, hw_state="addressable") == 0


def test_without_the_library_nothing_is_said(over, tmp_path, caplog):
    node = over(FakeLibrary(tmp_path / "libdcmi.so"))
    reading = node.read()

    assert (reading.samples, reading.gaps, caplog.records) == ((), (), [])


def test_a_library_without_its_driver_is_one_that_cannot_be_used(dcmi):
    dcmi.say({"error.dcmi_init": -8255})

    with pytest.raises(DriverError) as raised:
        Ascend(lambda _call, _code: None, (str(dcmi.path),)).open()
    assert (raised.value.meaning, raised.value.code) == (Meaning.NOT_LOADED, "NOT_SUPPORT")


def test_the_first_of_the_places_that_has_the_library_is_taken(dcmi, tmp_path):
    driver = Ascend(lambda _call, _code: None, (str(tmp_path / "absent" / "libdcmi.so"), str(dcmi.path)))
    driver.open()

    assert len(driver.devices().devices) == 2


def test_a_library_that_lacks_one_that_it_needs_is_no_absent_one(compiled, tmp_path):
    """As in a container without LD_LIBRARY_PATH."""
    source = tmp_path / "needed.c"
    source.write_text("int needed(void) { return 0; }\n", encoding="utf-8")
    needed = FakeLibrary.compile(source, tmp_path / "libascend_hal.so")
    source.write_text("int needed(void);\nint dcmi_init(void) { return needed(); }\n", encoding="utf-8")
    path = tmp_path / "libdcmi.so"
    compile_with(source, path, needed.path)
    needed.path.unlink()

    with pytest.raises(DriverError) as raised:
        Ascend(lambda _call, _code: None, (str(path),)).open()
    assert (raised.value.meaning, raised.value.code) == (Meaning.NOT_LOADED, "MISSING_libascend_hal.so")


def compile_with(source: Path, path: Path, needed: Path) -> None:
    import subprocess

    subprocess.run(["gcc", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", path, source, needed], check=True)
