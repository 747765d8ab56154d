"""An exporter's devices over time."""

from typing import Any

from collector.vendor_exporter import PLUGIN
from collector.vendor_exporter.dcgm import TABLE
from collector.vendor_exporter.npu_exporter import TABLE as NPU
from watchkeeper.core.records import Reason, Sample
from watchkeeper.core.vocabulary import devices

GPU = 'gpu="0",UUID="GPU-a",modelName="H100"'
MIG = f'{GPU},GPU_I_ID="7",GPU_I_PROFILE="1g.10gb"'


def energy(joules: float, labels: str = GPU) -> str:
    return f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} {joules * 1000:.0f}"


def held(metric: Any, *labels: tuple[str, str]) -> list[Sample]:
    own = (("hw.id", "GPU-a"), ("hw.name", "0"), *labels)
    return [Sample(devices.UP, 1.0, 0.0, own), Sample(metric, 1.0, 0.0, own)]


def test_energy_counts_from_the_first_page_on(told: Any) -> None:
    gpu = told(TABLE)
    for now, joules in enumerate((5000, 5040, 5100)):
        gpu(float(now), energy(joules))

    assert gpu.total(devices.ENERGY, watchkeeper_obtained="meter") == 100


def test_a_total_that_fell_began_anew(told: Any) -> None:
    gpu = told(TABLE)
    for now, joules in enumerate((5000, 5040, 30)):
        gpu(float(now), energy(joules))

    assert gpu.total(devices.ENERGY) == 70


def test_a_pod_that_leaves_does_not_start_the_totals_anew(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, energy(5000, f'{GPU},pod="a",namespace="n",container="c"'))
    gpu(1.0, energy(5100, f'{GPU},pod="a",namespace="n",container="c"'))
    gpu(2.0, energy(5300, f'{GPU},pod="b",namespace="n",container="c"'))

    assert gpu.total(devices.ENERGY, k8s_pod_name="a") == 100
    assert gpu.total(devices.ENERGY, k8s_pod_name="b") == 200


def test_power_over_time_is_energy_where_there_is_no_meter(told: Any) -> None:
    npu = told(NPU)
    for now, watts in ((0.0, 100), (15.0, 200), (400.0, 300)):
        npu(now, f'npu_chip_info_power{{id="0",vdie_id="D"}} {watts}')

    assert npu.total(devices.ENERGY, watchkeeper_obtained="integrated") == 2250


def test_time_for_which_containers_had_a_device(told: Any) -> None:
    gpu = told(TABLE)
    for now in (0.0, 15.0, 30.0):
        gpu(now, *(f'DCGM_FI_DEV_GPU_TEMP{{{GPU},pod="{pod}",namespace="n",container="c"}} 4' for pod in ("a", "b")))

    assert gpu.total(devices.ALLOCATED_TIME, k8s_pod_name="a") == 15
    assert gpu.total(devices.ALLOCATED_TIME) == 30


def test_share_of_memory_status_and_inventory_follow(told: Any) -> None:
    page = told(TABLE)(
        0.0,
        f"DCGM_FI_DEV_FB_USED{{{GPU}}} 30",
        f"DCGM_FI_DEV_FB_FREE{{{GPU}}} 90",
        f"DCGM_FI_DEV_ROW_REMAP_PENDING{{{GPU}}} 1",
    )

    assert page.by(devices.MEMORY_UTILIZATION) == {(): 0.25}
    assert page.by(devices.STATUS, "hw.state")[("degraded",)] == 1
    assert page.by(devices.INFO, "hw.model") == {("H100",): 1}
    assert page.by(devices.UP, "hw.id", "hw.vendor") == {("GPU-a", "nvidia"): 1}


def test_a_number_that_is_gone_goes_stale_and_only_that(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40", f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}} 300")
    gpu(15.0, f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")

    assert [(gap.metric, gap.reason) for gap in gpu.gaps] == [(devices.POWER, Reason.LOST)]


def test_a_device_that_is_gone_goes_stale(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40", 'DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b"} 41')
    gpu(15.0, f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")

    gone = {(gap.metric, dict(gap.labels)["hw.id"]) for gap in gpu.gaps}
    assert (devices.UP, "GPU-b") in gone
    assert {device for _, device in gone} == {"GPU-b"}


def test_without_a_page_devices_are_down_their_gauges_stale_and_their_totals_wait(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, energy(100), f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")
    gpu.fails(Reason.UNREACHABLE, 15.0)
    assert gpu.by(devices.UP, "hw.id") == {("GPU-a",): 0}
    assert (devices.TEMPERATURE, Reason.UNREACHABLE) in {(gap.metric, gap.reason) for gap in gpu.gaps}
    assert devices.UP not in {gap.metric for gap in gpu.gaps}

    gpu(30.0, energy(170))
    assert gpu.total(devices.ENERGY) == 70


def test_what_the_library_reads_is_left_to_it(told: Any) -> None:
    gpu = told(TABLE)
    gpu.held.tell(held(devices.POWER), 0.0)
    page = gpu(1.0, f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}} 300", f"DCGM_FI_PROF_SM_ACTIVE{{{GPU}}} 0.5")

    assert page.by(devices.POWER) == {}
    assert page.by(devices.UP) == {}
    assert page.by(devices.COMPUTE_ACTIVE) == {(): 0.5}


def test_what_the_library_takes_over_under_the_same_labels_does_not_go_stale(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}} 300", f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")
    same = next(sample.labels for sample in gpu.samples if sample.metric is devices.POWER)
    gpu.held.tell([Sample(devices.UP, 1.0, 0.0, same), Sample(devices.POWER, 301.0, 0.0, same)], 1.0)
    gpu(15.0, f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")

    assert gpu.gaps == []


def test_what_the_library_takes_over_under_other_labels_goes_stale_under_ours(told: Any) -> None:
    page = (f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}} 300", f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}} 40")
    gpu = told(TABLE)
    gpu(0.0, *page)
    gpu.held.tell(held(devices.POWER, ("hw.model", "another")), 1.0)
    gpu(15.0, *page)

    assert [gap.metric for gap in gpu.gaps if gap.metric is devices.POWER] == [devices.POWER]


def test_a_device_that_the_library_lost_is_told_by_the_exporter(told: Any) -> None:
    gpu = told(TABLE)
    gpu.held.tell(held(devices.POWER), 0.0)
    page = gpu(400.0, f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}} 300")

    assert page.by(devices.POWER) == {(): 300}


def test_partitions_that_the_library_names_otherwise_are_left_to_it(told: Any) -> None:
    gpu = told(TABLE)
    own = (("hw.id", "MIG-1"), ("hw.parent", "GPU-a"))
    gpu.held.tell([Sample(devices.UP, 1.0, 0.0, own), Sample(devices.MEMORY_USAGE, 1.0, 0.0, own)], 0.0)
    page = gpu(1.0, f"DCGM_FI_DEV_FB_USED{{{MIG}}} 5", f"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{MIG}}} 0.5")

    assert page.by(devices.MEMORY_USAGE) == {}
    assert page.by(devices.MATRIX_ACTIVE, "hw.parent") == {("GPU-a",): 0.5}


def test_only_metrics_that_the_part_names_come_out(told: Any) -> None:
    page = told(TABLE)(0.0, *(f'{name}{{{GPU},pod="a",namespace="n",container="c"}} 1' for name in TABLE.families))

    assert {sample.metric for sample in page.samples} <= set(PLUGIN.metrics)
    for sample in page.samples:
        names = [name for name, _ in sample.labels]
        assert names == [name for name in sample.metric.labels if name in names]


def test_both_sources_of_one_agent_count_a_device_once(told: Any, ledger: Any) -> None:
    from collector.accelerators.held import held_in

    library = held_in(ledger)
    gpu = told(TABLE)
    for now, joules in ((1000.0, 10), (1015.0, 20), (1030.0, 30)):
        library.tell(held(devices.ENERGY), now)
        gpu(now, energy(joules))

    assert gpu.total(devices.ENERGY) == 0


def test_an_exporter_that_takes_over_counts_from_where_the_totals_stand_then(told: Any) -> None:
    gpu = told(TABLE)
    gpu(0.0, energy(100))
    gpu.held.tell(held(devices.ENERGY), 10.0)
    gpu(15.0, energy(400))
    gpu(300.0, energy(500))
    gpu(315.0, energy(510))

    assert gpu.total(devices.ENERGY) == 110
