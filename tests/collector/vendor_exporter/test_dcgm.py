"""NVIDIA's dcgm-exporter in the names of its versions."""

from typing import Any

import pytest

from collector.vendor_exporter.dcgm import TABLE
from watchkeeper.core.vocabulary import devices

MIB = 1024 * 1024
OLD = 'gpu="0",UUID="GPU-a",pci_bus_id="00000000:1B:00.0",device="nvidia0",modelName="NVIDIA H100",Hostname="n1"'
POD = f'{OLD},container="vllm",namespace="llm",pod="vllm-0"'


def test_the_default_list_in_base_units(said: Any) -> None:
    page = said(
        TABLE,
        f"DCGM_FI_DEV_SM_CLOCK{{{OLD}}} 1980",
        f"DCGM_FI_DEV_MEM_CLOCK{{{OLD}}} 2619",
        f"DCGM_FI_DEV_MEMORY_TEMP{{{OLD}}} 52",
        f"DCGM_FI_DEV_GPU_TEMP{{{OLD}}} 44",
        f"DCGM_FI_DEV_POWER_USAGE{{{OLD}}} 512.4",
        f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{OLD}}} 2500000",
        f"DCGM_FI_DEV_GPU_UTIL{{{OLD}}} 98",
        f"DCGM_FI_DEV_MEM_COPY_UTIL{{{OLD}}} 41",
        f"DCGM_FI_DEV_ENC_UTIL{{{OLD}}} 3",
        f"DCGM_FI_DEV_PCIE_REPLAY_COUNTER{{{OLD}}} 7",
        f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{OLD}}} 1",
        f"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS{{{OLD}}} 2",
        f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{OLD}}} 0.61",
        f"DCGM_FI_PROF_DRAM_ACTIVE{{{OLD}}} 0.32",
    )
    numbers = page.of("GPU-a")

    assert numbers == {
        (devices.CLOCK, ("core",)): 1.98e9,
        (devices.CLOCK, ("memory",)): 2.619e9,
        (devices.TEMPERATURE, ("memory",)): 52,
        (devices.TEMPERATURE, ("chip",)): 44,
        (devices.POWER, ()): 512.4,
        (devices.ENERGY, ("meter",)): 2500,
        (devices.UTILIZATION, ("general",)): 0.98,
        (devices.UTILIZATION, ("encoder",)): 0.03,
        (devices.MEMORY_BUSY, ()): 0.41,
        (devices.LINK_ERRORS, ("pcie", "replay")): 7,
        (devices.REPAIR_FAILED, ()): 1,
        (devices.REMAPPED, ("uncorrected",)): 2,
        (devices.MATRIX_ACTIVE, ()): 0.61,
        (devices.MEMORY_BANDWIDTH, ()): 0.32,
    }


def test_a_device_has_the_identity_that_nvml_gives(said: Any) -> None:
    device = said(TABLE, f'DCGM_FI_DEV_GPU_TEMP{{{OLD},DCGM_FI_DRIVER_VERSION="550.54"}} 44').devices["GPU-a"]

    assert (device.id, device.name, device.vendor, device.model) == ("GPU-a", "0", "nvidia", "NVIDIA H100")
    assert (device.driver_version, device.pci_address, device.parent) == ("550.54", "00000000:1B:00.0", "")


@pytest.mark.parametrize(
    ("field", "metric", "labels", "value"),
    [
        ("GPU_TEMP_CELSIUS", devices.TEMPERATURE, ("chip",), 44),
        ("BOARD_POWER_WATTS", devices.POWER, (), 400),
        ("SM_CLOCK_HERTZ", devices.CLOCK, ("core",), 1.5e9),
        ("MEMORY_CLOCK_HERTZ", devices.CLOCK, ("memory",), 2e9),
        ("GPU_ENERGY_JOULES_TOTAL", devices.ENERGY, ("meter",), 900),
        ("MEMORY_UTIL_RATIO", devices.MEMORY_BUSY, (), 0.4),
        ("FB_USED_BYTES", devices.MEMORY_USAGE, (), 5e9),
        ("FB_CAPACITY_BYTES", devices.MEMORY_LIMIT, (), 8e10),
        ("PCIE_REPLAY_TOTAL", devices.LINK_ERRORS, ("pcie", "replay"), 3),
        ("ROW_REMAP_CORRECTABLE_TOTAL", devices.REMAPPED, ("corrected",), 4),
        ("GPU_POWER_THROTTLE_SECONDS_TOTAL", devices.THROTTLE_TIME, ("sw_power_cap",), 1.5),
    ],
)
def test_names_since_4_6_in_the_units_of_their_names(
    said: Any, field: str, metric: Any, labels: tuple[str, ...], value: float
) -> None:
    page = said(TABLE, f'DCGM_FI_DEV_{field}{{gpu="0",UUID="GPU-a",hostname="n1"}} {value}')

    assert page.value("GPU-a", metric, *labels) == pytest.approx(value)


def test_a_ratio_that_is_a_percentage_in_4_6_is_a_ratio_since_4_7(said: Any) -> None:
    busy = 'DCGM_FI_DEV_GPU_UTIL_RATIO{gpu="0",UUID="GPU-a"}'
    in_4_6 = said(TABLE, f"{busy} 87", 'DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 9')
    in_4_7 = said(TABLE, f"{busy} 0.87", 'DCGM_FI_DEV_FB_USED_BYTES{gpu="0",UUID="GPU-a"} 9')
    idle_in_4_6 = said(TABLE, f"{busy} 1", 'DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a"} 9')

    assert in_4_6.value("GPU-a", devices.UTILIZATION, "general") == pytest.approx(0.87)
    assert in_4_7.value("GPU-a", devices.UTILIZATION, "general") == pytest.approx(0.87)
    assert idle_in_4_6.value("GPU-a", devices.UTILIZATION, "general") == pytest.approx(0.01)


def test_memory_there_is_is_used_free_and_reserved_together(said: Any) -> None:
    used, free = f"DCGM_FI_DEV_FB_USED{{{OLD}}} 1000", f"DCGM_FI_DEV_FB_FREE{{{OLD}}} 80000"
    with_reserved = said(TABLE, used, free, f"DCGM_FI_DEV_FB_RESERVED{{{OLD}}} 559")

    assert with_reserved.value("GPU-a", devices.MEMORY_LIMIT) == 81559 * MIB
    assert with_reserved.value("GPU-a", devices.MEMORY_USAGE) == 1000 * MIB
    assert said(TABLE, used, free).value("GPU-a", devices.MEMORY_LIMIT) == 81000 * MIB
    assert said(TABLE, used).value("GPU-a", devices.MEMORY_LIMIT) is None


@pytest.mark.parametrize(
    "blank", ["9223372036854775794", "9.223372036854776e+18", "140737488355328", "2147483632", "NaN"]
)
def test_what_dcgm_writes_for_no_value_is_absent(said: Any, blank: str) -> None:
    page = said(TABLE, f"DCGM_FI_DEV_GPU_TEMP{{{OLD}}} 44", f"DCGM_FI_DEV_MEMORY_TEMP{{{OLD}}} {blank}")

    assert page.of("GPU-a") == {(devices.TEMPERATURE, ("chip",)): 44}
    assert not page.observation.invalid


def test_a_number_that_cannot_be_right_is_left_out_and_counted(said: Any) -> None:
    page = said(TABLE, f"DCGM_FI_DEV_GPU_UTIL{{{OLD}}} 240", f"DCGM_FI_DEV_GPU_TEMP{{{OLD}}} 44")

    assert page.of("GPU-a") == {(devices.TEMPERATURE, ("chip",)): 44}
    assert page.observation.invalid == {"hw.gpu.utilization": 1}


def test_mig_instances_are_devices_of_their_card_which_keeps_what_is_its_own(said: Any) -> None:
    lines = []
    for instance, pod, busy in (("7", "a", 0.5), ("8", "b", 0.25)):
        own = f'{OLD},GPU_I_PROFILE="1g.10gb",GPU_I_ID="{instance}",pod="{pod}",namespace="n",container="c"'
        lines += [
            f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{own}}} {busy}",
            f"DCGM_FI_DEV_FB_USED{{{own}}} 100",
            f"DCGM_FI_DEV_POWER_USAGE{{{own}}} 300",
            f"DCGM_FI_DEV_XID_ERRORS{{{own}}} 13",
        ]
    page = said(TABLE, *lines)

    assert set(page.devices) == {"GPU-a", "GPU-a/gi7", "GPU-a/gi8"}
    part = page.devices["GPU-a/gi7"]
    assert (part.parent, part.profile, part.name) == ("GPU-a", "1g.10gb", "0:gi7")
    assert page.of("GPU-a/gi7") == {(devices.MATRIX_ACTIVE, ()): 0.5, (devices.MEMORY_USAGE, ()): 100 * MIB}
    assert page.of("GPU-a") == {(devices.POWER, ()): 300}
    assert (page.places("GPU-a/gi8"), page.places("GPU-a")) == (["n/b/c"], [])
    assert page.observation.sightings["GPU-a"].codes == {"13"}
    assert page.observation.sightings["GPU-a/gi7"].codes is None


def test_the_container_that_has_a_device(said: Any) -> None:
    assert said(TABLE, f"DCGM_FI_DEV_GPU_TEMP{{{POD}}} 44").places("GPU-a") == ["llm/vllm-0/vllm"]


def test_a_container_named_in_part_elsewhere_is_the_same_one(said: Any) -> None:
    page = said(
        TABLE,
        f"DCGM_FI_DEV_GPU_TEMP{{{POD}}} 44",
        f'DCGM_FI_DEV_GPU_UTIL{{{OLD},namespace="llm",pod="vllm-0",container=""}} 5',
    )

    assert page.places("GPU-a") == ["llm/vllm-0/vllm"]


def test_behind_a_prometheus_server_the_exported_labels_count(said: Any) -> None:
    labels = (
        f'{OLD},pod="dcgm-x",namespace="gpu-operator",container="dcgm",'
        'exported_pod="vllm-0",exported_namespace="llm",exported_container="vllm"'
    )

    assert said(TABLE, f"DCGM_FI_DEV_GPU_TEMP{{{labels}}} 44").places("GPU-a") == ["llm/vllm-0/vllm"]


def test_a_card_that_several_pods_share_is_counted_once_and_is_in_none_of_them(told: Any) -> None:
    lines = [
        f'DCGM_FI_DEV_{field}{{{OLD},container="c",namespace="n",pod="{pod}"}} {value}'
        for pod in ("a", "b")
        for field, value in (("POWER_USAGE", 300), ("TOTAL_ENERGY_CONSUMPTION", 5000), ("GPU_UTIL", 80))
    ]
    page = told(TABLE)(0.0, *lines)

    assert page.by(devices.POWER, "hw.id", "k8s.pod.name") == {("GPU-a", ""): 300}
    assert page.by(devices.ALLOCATION, "k8s.pod.name") == {("a",): 1, ("b",): 1}


def test_why_clocks_are_held_back(said: Any) -> None:
    for name in ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"):
        numbers = said(TABLE, f"{name}{{{OLD}}} {0x1 | 0x4 | 0x40}").of("GPU-a")
        on = {labels[0] for (metric, labels), value in numbers.items() if metric is devices.THROTTLED and value}

        assert on == {"sw_power_cap", "hw_thermal_slowdown"}
        assert len(numbers) == 6


def test_throttle_time_of_the_older_names_is_nanoseconds(said: Any) -> None:
    page = said(TABLE, f"DCGM_FI_DEV_POWER_VIOLATION{{{OLD}}} 2500000000")

    assert page.value("GPU-a", devices.THROTTLE_TIME, "sw_power_cap") == pytest.approx(2.5)


def test_rates_are_not_taken_for_totals(said: Any) -> None:
    page = said(
        TABLE,
        "# TYPE DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL counter",
        f"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{{{OLD}}} 5",
        f"DCGM_FI_PROF_PCIE_TX_BYTES{{{OLD}}} 5",
        f"DCGM_FI_DEV_PCIE_TX_THROUGHPUT{{{OLD}}} 5",
        f"DCGM_FI_DEV_GPU_TEMP{{{OLD}}} 44",
    )

    assert set(page.of("GPU-a")) == {(devices.TEMPERATURE, ("chip",))}
    assert (page.observation.mapped, page.observation.unmapped) == (1, 3)
