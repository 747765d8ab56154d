"""What differs between 310P, 910A, 910B and their libraries is found out once."""

import shutil

import pytest

from collector.accelerators.ascend.driver import Ascend
from collector.accelerators.placement.names import means
from watchkeeper.core.vocabulary import devices

A1 = {
    "chip": "910A", "health": 0, "codes": "", "rate.2": 40, "hbm": "32768,3072,1000,50,10", "temperature": 45,
    "power": 2000, "frequency.7": 1000, "frequency.9": 1000, "ecc.2": "1,0,0,0,0,0,0", "network": 6,
}  # fmt: skip
"""what a healthy 910A says"""
DUO = {
    "chip": "310P3", "health": 0, "codes": "", "rate.2": 20, "rate.5": 15, "rate.12": 7, "ddr": "21527,10763,6000",
    "temperature": 40, "power": 9999, "card_power": 700, "frequency.7": 1080, "ecc.0": "1,4,0,4,0,0,0",
}  # fmt: skip
"""what each of the two chips of a healthy 310P card says"""


def said(lines):
    return {f"dev.{key}": value for key, value in lines.items()}


@pytest.fixture
def of_910a(fake, over):
    library = fake("dcmi.c", "libdcmi.so")
    library.say({"cards": 1, **said(A1)})
    return over(library)


@pytest.fixture
def duo(fake):
    library = fake("dcmi.c", "libdcmi.so")
    library.say({"cards": 2, "chips": 2, **said(DUO)})
    return library


def test_a_910a_tells_its_utilization_by_type(of_910a):
    of_910a.read(ticks=2)

    assert of_910a.value(devices.UTILIZATION, hw_gpu_task="general") == 0.4
    assert of_910a.value(devices.MATRIX_ACTIVE) is None
    assert of_910a.value(devices.COMPUTE_ACTIVE) is None
    assert of_910a.value(devices.MEMORY_USAGE) == 3072 * 2**20
    assert of_910a.value(devices.CALL_ERRORS) is None


def test_a_chip_with_no_type_2_tells_the_utilization_of_all_of_it(of_910a, fake, over):
    library = fake("dcmi.c", "libdcmi.so")
    library.say({"cards": 1, **said(A1), "dev.rate.2": None, "dev.rate.13": 66})
    node = over(library)
    node.read()

    assert node.value(devices.UTILIZATION) == 0.66


def test_a_way_that_fails_for_once_is_not_left_for_another(node, dcmi):
    """Or a series would change its meaning."""
    dcmi.say({"dev0.error.dcmi_get_device_multi_utilization_rate": -8006})
    node.read()
    assert node.value(devices.UTILIZATION, hw_name="0") is None

    dcmi.say({"dev0.error.dcmi_get_device_multi_utilization_rate": None})
    node.read()
    assert node.value(devices.UTILIZATION, hw_name="0") == 0.8
    assert node.value(devices.CALL_ERRORS, code="TIME_OUT") == 1


def test_a_way_that_is_not_supported_is_not_tried_again(of_910a, fake, over):
    library = fake("dcmi.c", "libdcmi.so")
    library.say({"cards": 1, **said(A1)})
    node = over(library)
    node.read()
    library.say({"dev.multi": "99,99,99,99", "dev.rate.12": 50})
    node.read()

    assert node.value(devices.UTILIZATION) == 0.4
    assert node.value(devices.COMPUTE_ACTIVE) is None


def test_two_chips_of_a_310p_share_the_power_that_their_card_measures(duo, over):
    node = over(duo)
    node.read()

    assert [node.value(devices.POWER, hw_name=name) for name in "0123"] == [35, 35, 35, 35]
    assert node.value(devices.MEMORY_LIMIT, hw_name="3") == 21527 * 2**20
    assert node.value(devices.MEMORY_USAGE, hw_name="3") == (21527 - 10763) * 2**20
    assert node.value(devices.MEMORY_BANDWIDTH, hw_name="0") == 0.15
    assert node.value(devices.COMPUTE_ACTIVE, hw_name="0") == 0.07
    assert node.value(devices.ERRORS, hw_name="0") == 0
    assert node.value(devices.CLOCK, hw_name="0", clock="memory") == 6e9


def test_a_310p_without_the_cards_power_tells_its_own(duo, over):
    duo.say({"dev.card_power": None, "dev.power": 321})
    node = over(duo)
    node.read()

    assert node.value(devices.POWER, hw_name="2") == 32.1


def test_a_card_without_a_micro_controller_is_no_lost_device(duo, over):
    duo.say({"dev.error.dcmi_mcu_get_power_info": -8008, "dev.power": 300})
    node = over(duo)
    node.read(ticks=3)

    assert node.value(devices.UP) == 4
    assert node.value(devices.POWER, hw_name="0") == 30


def test_an_old_library_lacks_symbols_and_what_is_left_is_told(fake, over):
    library = fake("dcmi.c", "libdcmi.so", "OLD_LIBRARY")
    library.say({"cards": 1, **said(A1), "dev.codes": "40F84E00"})
    node = over(library)
    node.until(lambda: node.value(devices.FAULT_CODES))

    assert node.value(devices.UTILIZATION) == 0.4
    assert node.value(devices.POWER) == 200
    assert node.value(devices.INFO, hw_id="ascend-0000:c0:00.0", hw_model="Ascend 910A") == 1
    assert node.value(devices.CALL_ERRORS) is None


def test_a_device_is_known_by_its_die_its_physical_number_and_its_address(dcmi):
    dcmi.say({"physical": 8, "dev1.npu": "Ascend910B3"})
    driver = Ascend(lambda _call, _code: None, (str(dcmi.path),))
    driver.open()
    first, second = driver.devices().devices

    assert first.id == "00002F4B-AABBCCDD-00000001-00000002-00000100"
    assert (first.name, second.name) == ("8", "9")
    assert (first.model, second.model) == ("Ascend 910B3", "Ascend910B3")
    assert (first.pci_address, first.aliases) == ("0000:c0:00.0", ("davinci8",))


@pytest.mark.parametrize(
    ("given", "resource"),
    [
        ("Ascend910-9", "huawei.com/Ascend910"), ("Ascend310P-9", "huawei.com/Ascend310P"), ("npu-9", "huawei.com/npu"),
        ("Ascend910-2c-100-9", "huawei.com/Ascend910-2c"),
        ("00002F4B-AABBCCDD-00000001-00000002-00000101", "huawei.com/Ascend910B3"),
        ("00002F4B-AABBCCDD-00000001-00000002-00000101-3", "huawei.com/Ascend910B3"),
    ],
)  # fmt: skip
def test_what_device_plugins_hand_to_the_kubelet_means_this_device_and_no_other(dcmi, given, resource):
    dcmi.say({"physical": 8})
    driver = Ascend(lambda _call, _code: None, (str(dcmi.path),))
    driver.open()

    assert [means(given, resource, device) for device in driver.devices().devices] == [False, True]


def test_chips_without_a_die_of_their_own_are_told_apart_by_their_address(dcmi, over):
    dcmi.say({"dev.die": "0,0,0,0,0"})
    node = over(dcmi)
    node.read()
    assert node.value(devices.UP, hw_id="ascend-0000:c0:00.0") == 1

    dcmi.say({"dev.die": "1,2,3,4,5"})
    shared = "00000001-00000002-00000003-00000004-00000005"
    node.until(lambda: node.value(devices.UP, hw_id=shared) == 1, seconds=61)
    assert node.value(devices.UP, hw_id="ascend-0000:c1:00.0") == 1


def test_what_is_no_npu_is_no_device(dcmi, over):
    dcmi.say({"dev1.unit": 1})
    node = over(dcmi)
    node.read()

    assert node.value(devices.UP) == 1
    assert node.value(devices.DEVICES, hw_state="unaddressable") == 0


def test_a_library_that_does_not_count_the_chips_of_a_card_tells_where_their_numbers_end(dcmi, over):
    dcmi.say({"chips": 2, "dev.error.dcmi_get_device_num_in_card": -8255})
    node = over(dcmi)
    node.read()

    assert node.value(devices.UP) == 4
    assert node.value(devices.CALL_ERRORS) is None


def test_a_model_has_the_family_s_name_once(dcmi):
    dcmi.say({"dev0.chip": "Ascend310P3"})
    driver = Ascend(lambda _call, _code: None, (str(dcmi.path),))
    driver.open()

    assert [device.model for device in driver.devices().devices] == ["Ascend310P3", "Ascend 910B3"]


def test_a_library_that_was_replaced_is_taken_up_when_it_is_opened_again(compiled, dcmi):
    driver = Ascend(lambda _call, _code: None, (str(dcmi.path),))
    by_die, by_address = "00002F4B-AABBCCDD-00000001-00000002-00000100", "ascend-0000:c0:00.0"
    found = []
    for defines in ((), ("OLD_LIBRARY",), ()):
        fresh = dcmi.path.with_name("fresh.so")
        shutil.copyfile(compiled("dcmi.c", "libdcmi.so", *defines).path, fresh)
        fresh.replace(dcmi.path)
        driver.open()
        found.append(driver.devices().devices[0].id)

    assert found == [by_die, by_address, by_die]
