import threading

from collector.accelerators.nvidia.gpm import Gpm
from collector.accelerators.nvidia.library import Library
from watchkeeper.core.vocabulary import devices

PARENT = "GPU-00000000-0000-0000-0000-000000000000"


def partition(place: int, generation: int = 1) -> str:
    return f"MIG-{place}-{generation}-{PARENT[4:]}"


def test_an_instance_is_a_device_with_its_parent_and_profile(node, nvml):
    nvml.say({"dev0.mig": 2})
    node.read(ticks=2)

    assert node.value(devices.DEVICES, hw_state="addressable") == 4
    assert node.value(devices.UP, hw_id=partition(1), hw_name="0:1", hw_parent=PARENT) == 1
    assert node.value(devices.INFO, hw_id=partition(0), partition_profile="1g.10gb") == 1
    assert {device.aliases for device in node.vendor.devices.values()} >= {("nvidia0",), ("nvidia0/gi7",)}


def test_an_instance_tells_its_memory_and_activity_and_leaves_the_rest_to_its_parent(node, nvml):
    nvml.say({"dev0.mig": 1, "dev0.error.nvmlDeviceGetUtilizationRates": 3})
    node.read(ticks=3)

    own = partition(0)
    assert node.value(devices.MEMORY_LIMIT, hw_id=own) == 85899345920 // 7
    assert node.value(devices.UTILIZATION, hw_id=own, hw_gpu_task="general") == 0.9
    assert node.value(devices.COMPUTE_ACTIVE, hw_id=own) == 0.8
    assert node.value(devices.PROCESSES, hw_id=own) == 2
    for metric in (devices.TEMPERATURE, devices.POWER, devices.CLOCK, devices.ENERGY, devices.ERRORS):
        assert node.value(metric, hw_id=own) is None
        assert node.value(metric, hw_id=PARENT) is not None


def test_what_an_instance_refused_once_is_asked_again_after_a_while(node, nvml):
    nvml.say({"dev0.mig": 1, "dev0.error.nvmlDeviceGetComputeRunningProcesses_v3": 3})
    node.read(ticks=2)
    nvml.say({"dev0.error.nvmlDeviceGetComputeRunningProcesses_v3": None})
    node.read(ticks=2)
    assert node.value(devices.PROCESSES, hw_id=partition(0)) is None

    node.read(seconds=601)
    assert node.value(devices.PROCESSES, hw_id=partition(0)) == 2


def test_an_instance_that_went_while_it_was_read_is_not_read_with_freed_room(nvml):
    library = Library(str(nvml.path))
    library.open()
    handle = library.call("nvmlDeviceGetHandleByIndex", 0)
    gpm = Gpm(library, threading.Lock(), handle)
    gpm.read(1.0)
    gpm.free()

    assert gpm.read(2.0) == []
    library.close()


def test_instances_made_anew_replace_the_old_ones(node, nvml):
    nvml.say({"dev0.mig": 2})
    node.read(ticks=2)
    nvml.say({"dev0.mig": 1, "dev0.mig_generation": 2})
    node.until(lambda: node.value(devices.UP, hw_id=partition(0, 2)) == 1)

    assert node.value(devices.UP, hw_id=partition(0)) is None
    assert node.value(devices.UP, hw_id=partition(1)) is None
    assert node.value(devices.MEMORY_LIMIT, hw_id=partition(1)) is None
    assert node.value(devices.UP, hw_id=PARENT) == 1


def test_an_instance_whose_memory_is_not_found_is_looked_for_anew_at_once(node, nvml):
    nvml.say({"dev0.mig": 1})
    node.read(ticks=2)
    nvml.say({"dev0.mig": 0, "dev0.error.nvmlDeviceGetMemoryInfo": 6})
    before = node.now
    node.until(lambda: node.value(devices.UP, hw_id=partition(0)) is None, seconds=0.1)

    assert node.now - before < 50


def test_an_instance_of_a_gpu_that_hangs_hangs_alone_with_it(nvml, watch):
    from collector.accelerators.nvidia.driver import Nvidia

    nvml.say({"dev0.mig": 1})
    node = watch(lambda count_error: Nvidia(count_error, str(nvml.path)), patience=0.3)

    def up() -> list[float | None]:
        return [node.value(devices.UP, hw_id=partition(0)), node.value(devices.UP, hw_name="1")]

    node.until(lambda: up() == [1, 1])
    nvml.say({"dev0.hang": 1})

    node.until(lambda: up() == [0, 1])


def test_what_a_gpu_in_instances_does_not_tell_comes_back_when_it_is_whole_again(node, nvml):
    nvml.say({"dev0.error.nvmlDeviceGetUtilizationRates": 3, "dev0.field.142": None})
    node.read(ticks=2)
    assert node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") is None

    nvml.say({"dev0.error.nvmlDeviceGetUtilizationRates": None, "dev0.field.142": 5})
    node.read(seconds=30, ticks=21)

    assert node.value(devices.UTILIZATION, hw_name="0", hw_gpu_task="general") == 0.9
    assert node.value(devices.REMAPPED, hw_name="0", error_type="corrected") is not None
