"""A GPU in partitions is listed as several processors at one address, of which the first speaks for the whole."""

import pytest

from collector.accelerators.amd.driver import Amd
from collector.accelerators.placement.names import means
from watchkeeper.core.vocabulary import devices

WHOLE_ALONE = (
    devices.UTILIZATION, devices.POWER, devices.TEMPERATURE, devices.CLOCK, devices.ENERGY, devices.ERRORS,
    devices.THROTTLED, devices.LINK_WIDTH,
)  # fmt: skip


@pytest.fixture
def cpx(amdsmi, sysfs):
    """Two GPUs, the first in four parts."""
    amdsmi.say({"devices": 5, "dev.profile": "CPX", "dev4.bus": 0x11, "dev4.profile": "SPX"})
    for part in range(4):
        amdsmi.say({f"dev{part}.bus": 0x10, f"dev{part}.partition": part, f"dev{part}.render": 128 + part})
        amdsmi.say({f"dev{part}.vram_used": 100 * part, f"dev{part}.processes": f"{part + 10}:{part + 1}"})
    for part in (1, 2, 3):
        amdsmi.say({f"dev{part}.{key}": 0 for key in ("activity", "umc", "power", "temperature.1.0", "clock.0")})
        place = sysfs / f"devices/platform/amdgpu_xcp_{part}"
        place.mkdir(parents=True)
        drm = sysfs / f"class/drm/renderD{128 + part}"
        drm.mkdir(parents=True)
        (drm / "device").symlink_to(place)
    return amdsmi


def test_what_only_the_whole_has_is_told_of_the_whole_alone(node, cpx):
    node.read(ticks=2)

    for metric in WHOLE_ALONE:
        named = {dict(labels)["hw.name"] for found, labels in node.shown if found is metric}
        assert named == {"0", "1"}, metric.name
    assert node.value(devices.POWER, hw_name="0") == 655
    assert node.value(devices.UTILIZATION, hw_name="0") == 0.87


def test_memory_and_processes_are_told_of_parts(node, cpx):
    node.read(ticks=2)

    used = [node.value(devices.MEMORY_USAGE, hw_name=f"0:{part}") for part in range(4)]
    assert used == [0, 100 * 2**20, 200 * 2**20, 300 * 2**20]
    assert [node.value(devices.PROCESS_MEMORY, hw_name=f"0:{part}") for part in range(4)] == [1, 2, 3, 4]
    assert node.value(devices.MEMORY_USAGE, hw_name="0") is None
    assert node.value(devices.PROCESSES, hw_name="0") is None
    assert node.value(devices.INFO, hw_name="0:2", partition_profile="CPX") == 1


def test_parts_are_told_apart_by_their_number_and_not_by_the_order_in_which_they_are_listed(node, cpx):
    cpx.say({"dev0.partition": 2, "dev0.power": 0, "dev2.partition": 0, "dev2.power": 600})
    node.read(ticks=2)

    assert node.value(devices.POWER, hw_name="0") == 600
    assert node.value(devices.MEMORY_USAGE, hw_name="0:0") == 200 * 2**20


@pytest.fixture
def listed(cpx, sysfs):
    driver = Amd(lambda _call, _code: None, (str(cpx.path),), sysfs)
    driver.open()
    yield {device.name: device for device in driver.devices().devices}
    driver.close()


@pytest.mark.parametrize(
    ("given", "resource", "meant"),
    [
        ("0000:11:02.0", "amd.com/gpu", "1"),
        ("0000:10:02.0", "amd.com/gpu", "0:0"),
        ("amdgpu_xcp_2", "amd.com/gpu", "0:2"),
        ("gpu-3-131", "gpu.amd.com", "0:3"),
        ("gpu-4-132", "gpu.amd.com", "1"),
        ("amdgpu_xcp_2", "other.com/thing", None),
    ],
)
def test_what_amds_plugins_call_a_device_means_that_one(listed, given, resource, meant):
    assert [name for name, device in listed.items() if means(given, resource, device)] == ([meant] if meant else [])


def test_a_gpu_that_is_divided_anew_is_listed_anew(node, cpx):
    node.read(ticks=2)
    cpx.say({"devices": 5, **{f"dev{part}.bus": 0x20 + part for part in (1, 2, 3)}})
    for part in (1, 2, 3):
        cpx.say({f"dev{part}.error.amdsmi_get_gpu_device_bdf": 2})
    node.until(lambda: node.value(devices.MEMORY_USAGE, hw_name="0") == 0, seconds=61)

    assert node.value(devices.MEMORY_USAGE, hw_name="0:2") is None


@pytest.mark.parametrize("rocm", [23], indirect=True)
def test_of_an_old_library_that_does_not_number_parts_the_first_stands_for_all(node, cpx):
    node.read(ticks=2)

    assert node.value(devices.POWER, hw_name="0") == 655
    assert node.value(devices.DEVICES, hw_state="addressable") == 2
