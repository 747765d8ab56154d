"""
Against a real NVIDIA GPU: every reading beside what `nvidia-smi -q -x` says, and energy beside power over time.

.venv/bin/pytest tests/collector/accelerators/test_nvidia_hardware.py
"""

import ctypes
import shutil
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree
from statistics import median

import pytest

from collector.accelerators.nvidia.driver import Nvidia
from collector.accelerators.nvidia.library import NAME
from watchkeeper.core.vocabulary import devices

LOAD_SECONDS = 20.0


def _gpus() -> str:
    """Why there is nothing to test against; empty when there is."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not here"
    try:
        ctypes.CDLL(NAME)
    except OSError:
        return f"{NAME} is not here"
    told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return "" if "GPU" in told.stdout else "nvidia-smi lists no GPU"


MISSING = _gpus()
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs hardware: an NVIDIA GPU with its driver ({MISSING})")


@pytest.fixture
def node(watch):
    found = watch(Nvidia)
    found.read()
    time.sleep(0.3)
    found.read()
    return found


@pytest.fixture
def load():
    """GPU 0 writes its own memory, without pause, until the test ends."""
    cuda = ctypes.CDLL("libcuda.so.1")
    stop, begun = threading.Event(), threading.Event()

    def work() -> None:
        device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
        assert cuda.cuInit(0) == 0
        assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
        assert cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device) == 0
        assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(2**30)) == 0
        begun.set()
        while not stop.is_set():
            for number in range(50):
                cuda.cuMemsetD32_v2(memory, ctypes.c_uint(number), ctypes.c_size_t(2**28))
            cuda.cuCtxSynchronize()
        cuda.cuCtxDestroy_v2(context)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(30)
    yield
    stop.set()
    thread.join(30)


def ask() -> dict[str, ElementTree.Element]:
    """What nvidia-smi says of each GPU, by UUID."""
    text = subprocess.run(["nvidia-smi", "-q", "-x"], capture_output=True, text=True, check=True).stdout
    return {gpu.findtext("uuid", ""): gpu for gpu in ElementTree.fromstring(text).iter("gpu")}  # noqa: S314 - its own


def number(gpu: ElementTree.Element, *paths: str) -> float | None:
    """The first of these that has a number: `123.45 W` is 123.45; None where the device has none of them."""
    for path in paths:
        text = gpu.findtext(path, "").split(" ")[0]
        try:
            return float(text)
        except ValueError:
            continue
    return None


EXACT = (
    (devices.MEMORY_LIMIT, {}, ("fb_memory_usage/total",), 2**20),
    (devices.POWER_LIMIT, {}, ("gpu_power_readings/current_power_limit", "power_readings/enforced_power_limit"), 1),
    (devices.CLOCK_LIMIT, {"clock": "core"}, ("max_clocks/sm_clock",), 1e6),
    (devices.CLOCK_LIMIT, {"clock": "memory"}, ("max_clocks/mem_clock",), 1e6),
    (devices.LINK_WIDTH_LIMIT, {}, ("pci/pci_gpu_link_info/link_widths/max_link_width",), 1),
    (devices.LINK_GENERATION_LIMIT, {}, ("pci/pci_gpu_link_info/pcie_gen/max_link_gen",), 1),
    (devices.REPAIR_PENDING, {}, ("remapped_rows/remapped_row_pending",), 1),
)
NEAR = (
    (devices.UTILIZATION, {"hw_gpu_task": "general"}, ("utilization/gpu_util",), 0.01, 0.15),
    (devices.TEMPERATURE, {"hw_sensor_location": "chip"}, ("temperature/gpu_temp",), 1, 3),
    (devices.TEMPERATURE, {"hw_sensor_location": "memory"}, ("temperature/memory_temp",), 1, 3),
    (devices.MEMORY_USAGE, {}, ("fb_memory_usage/used",), 2**20, 2**30),
    (devices.CLOCK, {"clock": "memory"}, ("clocks/mem_clock",), 1e6, 50e6),
)


def test_the_devices_are_those_that_nvidia_smi_lists(node):
    assert {device.id for device in node.vendor.devices.values() if not device.parent} == set(ask())
    assert node.value(devices.UP) == len(node.vendor.devices)
    assert node.value(devices.CALL_ERRORS) is None


@pytest.mark.parametrize(("metric", "labels", "paths", "factor"), EXACT, ids=[row[0].name for row in EXACT])
def test_what_lasts_is_what_nvidia_smi_says(node, metric, labels, paths, factor):
    for uuid, gpu in ask().items():
        told = number(gpu, *paths)
        assert node.value(metric, hw_id=uuid, **labels) == (
            None if told is None else pytest.approx(told * factor, rel=0.01)
        )


@pytest.mark.parametrize(("metric", "labels", "paths", "factor", "room"), NEAR, ids=[row[0].name for row in NEAR])
def test_what_changes_is_near_what_nvidia_smi_says(node, metric, labels, paths, factor, room):
    for uuid, gpu in ask().items():
        told = number(gpu, *paths)
        node.read()
        assert node.value(metric, hw_id=uuid, **labels) == (
            None if told is None else pytest.approx(told * factor, abs=room)
        )


def test_processes_are_those_of_nvidia_smi(node):
    for uuid, gpu in ask().items():
        computing = [one for one in gpu.iter("process_info") if "C" in one.findtext("type", "")]
        assert node.value(devices.PROCESSES, hw_id=uuid) == len(computing)


def test_ecc_counters_and_throttle_reasons_have_their_series(node):
    for uuid, gpu in ask().items():
        if gpu.findtext("ecc_mode/current_ecc") == "Enabled":
            assert node.value(devices.ERRORS, hw_id=uuid, error_type="uncorrected") == 0
        assert node.value(devices.THROTTLED, hw_id=uuid, reason="sw_power_cap") in (0, 1)


def test_energy_under_load_is_power_over_time(node, load):
    joules = dict.fromkeys(ask(), 0.0)
    ratios = []
    before = {uuid: node.value(devices.ENERGY, hw_id=uuid) for uuid in joules}
    if None in before.values():
        pytest.skip("this GPU has no energy meter")
    last = time.monotonic()
    for _ in range(int(LOAD_SECONDS / 0.1)):
        time.sleep(0.1)
        node.read(0.1)
        now = time.monotonic()
        for uuid in joules:
            joules[uuid] += (node.value(devices.POWER, hw_id=uuid) or 0.0) * (now - last)
        last = now
    for uuid, start in before.items():
        metered = (node.value(devices.ENERGY, hw_id=uuid) or 0.0) - (start or 0.0)
        ratios.append(metered / joules[uuid])

    assert median(ratios) == pytest.approx(1, abs=0.1)


def test_a_gpu_under_load_is_busy_and_draws_more_than_it_did(node, load):
    time.sleep(3)
    node.read()
    time.sleep(1)
    node.read()

    assert (node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") or 0) > 0.5
    assert (node.value(devices.PROCESSES, hw_name="0") or 0) >= 1


def test_activity_by_gpm_is_told_where_the_gpu_has_it(node):
    for uuid, gpu in ask().items():
        if gpu.findtext("product_architecture") in ("Hopper", "Blackwell"):
            told = node.value(devices.COMPUTE_ACTIVE, hw_id=uuid)
            assert told is not None
            assert 0 <= told <= 1
