import msgspec
import pytest

from collector import accelerators
from collector.accelerators.config import AcceleratorsConfig, PlacementConfig
from collector.accelerators.doctor import probe
from collector.accelerators.nvidia import PART
from collector.accelerators.nvidia.driver import Nvidia


@pytest.fixture
def library(fake):
    made = fake("nvml.c", "libnvidia-ml.so.1")
    made.say({"devices": 2, "dev.temperature": 40})
    return made


def look(library, **changes):
    path = str(library.path)
    part = msgspec.structs.replace(PART, library=path, make=lambda count_error: Nvidia(count_error, path), **changes)
    return probe([part], 1.0)


def test_without_accelerators_there_is_no_reason_to_act_and_nothing_to_place(monkeypatch, tmp_path):
    part = msgspec.structs.replace(PART, library="libabsent.so.1", device_file="/dev/absent")
    monkeypatch.setattr(accelerators, "VENDORS", (part,))
    config = AcceleratorsConfig(placement=PlacementConfig(proc_path=str(tmp_path)))

    assert accelerators.PLUGIN.probe(config) == (
        "no accelerator found; looked for NVIDIA (NVML); device metrics stay absent",
    )


def test_where_there_are_accelerators_what_keeps_them_from_their_pods_is_said(monkeypatch, tmp_path, library):
    path = str(library.path)
    part = msgspec.structs.replace(PART, library=path, make=lambda count_error: Nvidia(count_error, path))
    monkeypatch.setattr(accelerators, "VENDORS", (part,))
    config = AcceleratorsConfig(placement=PlacementConfig(proc_path=str(tmp_path)))

    found, *placed = accelerators.PLUGIN.probe(config)

    assert found.startswith("NVIDIA (NVML): 2 x ")
    assert any(line.startswith("! placement: ") and str(tmp_path) in line for line in placed)


def test_a_device_without_its_library_names_what_the_host_must_give():
    part = msgspec.structs.replace(PART, library="libabsent.so.1", device_file="/dev/null")
    [line] = probe([part], 1.0)

    assert line.startswith("! NVIDIA (NVML): /dev/null is here and libabsent.so.1 is not. Needed: the `nvidia` runtime")


def test_a_library_in_another_place_than_the_linkers_is_found(library):
    path = str(library.path)
    part = msgspec.structs.replace(
        PART, library="libabsent.so.1", paths=(path,), make=lambda count_error: Nvidia(count_error, path)
    )

    assert probe([part], 1.0)[0].startswith("NVIDIA (NVML): 2 x ")


def test_devices_are_counted_by_model_with_their_driver(library):
    library.say({"dev1.name": "NVIDIA L4", "dev0.mig": 2})

    assert look(library) == ("NVIDIA (NVML): 1 x NVIDIA H100 80GB HBM3, 1 x NVIDIA L4, driver 580.1, 2 partitions",)


def test_a_driver_that_is_not_loaded_is_named(library):
    library.say({"error.nvmlInitWithFlags": 9})
    [line] = look(library, device_file="/dev/absent")

    assert "failed with DRIVER_NOT_LOADED" in line
    assert line.endswith("/dev/absent is missing: is the driver loaded?")


def test_each_device_that_cannot_be_read_is_named_with_what_to_do(library):
    library.say({"dev0.error.nvmlDeviceGetFieldValues": 16, "dev1.error": 15})
    lines = look(library)

    assert lines[1:] == (
        "! NVIDIA (NVML): devices that cannot be addressed: 1. Drain the node; reset the device or reboot",
        "! NVIDIA (NVML): device 0 cannot be read (reset_required). Drain the node and reset the device",
    )


def test_what_is_not_permitted_is_named_with_what_is_needed(library):
    library.say({"dev0.error.nvmlDeviceGetMemoryInfo": 4})

    assert look(library)[1].startswith("! NVIDIA (NVML): not permitted to read hw.gpu.memory.usage. Needed: ")
