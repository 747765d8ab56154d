"""HAMi's monitor of shared devices."""

from typing import Any

from collector.vendor_exporter.hami import TABLE
from watchkeeper.core.vocabulary import devices

GPU = 'node="n1",device_index="0",device_uuid="GPU-h",device_type="NVIDIA-NVIDIA A100",zone="vGPU"'


def test_ratios_that_run_to_a_hundred(said: Any) -> None:
    page = said(
        TABLE,
        f"hami_host_gpu_utilization_ratio{{{GPU}}} 75",
        f"hami_host_gpu_memory_used_bytes{{{GPU}}} 4096",
        f"hami_host_gpu_power_usage_watts{{{GPU}}} 250.5",
        f'hami_host_gpu_ecc_errors_total{{{GPU},error_type="uncorrected"}} 2',
    )

    assert page.of("GPU-h") == {
        (devices.UTILIZATION, ("general",)): 0.75,
        (devices.MEMORY_USAGE, ()): 4096,
        (devices.POWER, ()): 250.5,
        (devices.ERRORS, ("gpu", "uncorrected")): 2,
    }
    assert (page.devices["GPU-h"].vendor, page.devices["GPU-h"].model) == ("nvidia", "NVIDIA A100")


def test_what_each_container_holds_of_a_shared_card(told: Any) -> None:
    lines = [
        f'hami_vgpu_memory_used_bytes{{namespace="n",pod="{pod}",container="c",vdevice_index="{part}",'
        f'device_uuid="GPU-h"}} {used}'
        for pod, part, used in (("a", 0, 10), ("a", 1, 5), ("b", 0, 7))
    ]
    page = told(TABLE)(0.0, f"hami_host_gpu_utilization_ratio{{{GPU}}} 75", *lines)

    assert page.by(devices.PROCESS_MEMORY, "k8s.pod.name") == {("a",): 15, ("b",): 7}
    assert page.by(devices.ALLOCATION, "k8s.pod.name") == {("a",): 1, ("b",): 1}
    assert page.by(devices.UTILIZATION, "hw.id", "k8s.pod.name") == {("GPU-h", ""): 0.75}


def test_the_names_of_before(said: Any) -> None:
    old = 'nodeid="n1",deviceidx="0",deviceuuid="GPU-h",devicetype="NVIDIA-Tesla T4"'
    page = said(TABLE, f"HostCoreUtilization{{{old}}} 9", f"HostGPUMemoryUsage{{{old}}} 4096")

    assert page.of("GPU-h") == {(devices.UTILIZATION, ("general",)): 0.09, (devices.MEMORY_USAGE, ()): 4096}
    assert page.devices["GPU-h"].model == "Tesla T4"
