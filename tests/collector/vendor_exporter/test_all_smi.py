"""all-smi's API server."""

from typing import Any

import pytest

from collector.vendor_exporter.all_smi import TABLE
from watchkeeper.core.vocabulary import devices

NEW = 'gpu="NVIDIA H200",instance="n1",gpu_uuid="GPU-s",gpu_index="0"'
OLD = 'gpu="NVIDIA H200",instance="n1",uuid="GPU-s",index="0"'


@pytest.mark.parametrize("labels", [NEW, OLD])
def test_a_card_in_base_units(said: Any, labels: str) -> None:
    page = said(
        TABLE,
        f"all_smi_gpu_utilization{{{labels}}} 25.5",
        f"all_smi_gpu_memory_used_bytes{{{labels}}} 8589934592",
        f"all_smi_gpu_memory_total_bytes{{{labels}}} 151397597184",
        f"all_smi_gpu_temperature_celsius{{{labels}}} 65",
        f"all_smi_gpu_power_consumption_watts{{{labels}}} 400.5",
        f"all_smi_gpu_frequency_mhz{{{labels}}} 1980",
    )

    assert page.of("GPU-s") == {
        (devices.UTILIZATION, ("general",)): 0.255,
        (devices.MEMORY_USAGE, ()): 8589934592,
        (devices.MEMORY_LIMIT, ()): 151397597184,
        (devices.TEMPERATURE, ("chip",)): 65,
        (devices.POWER, ()): 400.5,
        (devices.CLOCK, ("core",)): 1.98e9,
    }
    assert (page.devices["GPU-s"].vendor, page.devices["GPU-s"].name) == ("nvidia", "0")


def test_a_zero_without_a_sensor_is_absent_and_an_idle_device_is_not(said: Any) -> None:
    page = said(
        TABLE,
        f"all_smi_gpu_temperature_celsius{{{NEW}}} 0",
        f"all_smi_gpu_frequency_mhz{{{NEW}}} 0",
        f"all_smi_gpu_utilization{{{NEW}}} 0",
    )

    assert page.of("GPU-s") == {(devices.UTILIZATION, ("general",)): 0}


def test_mig_instances_have_their_own_id(said: Any) -> None:
    part = (
        'gpu_index="0",gpu_uuid="GPU-s",gpu="NVIDIA A100",host="n1",instance="n1",mig_instance="3",mig_uuid="MIG-x",'
        'mig_profile="1g.5gb",gpu_instance_id="7",compute_instance_id="0"'
    )
    page = said(
        TABLE,
        f"all_smi_mig_instance_utilization_gpu{{{part}}} 75",
        f"all_smi_mig_instance_memory_used_bytes{{{part}}} 9",
    )

    assert page.of("MIG-x") == {(devices.UTILIZATION, ("general",)): 0.75, (devices.MEMORY_USAGE, ()): 9}
    assert (page.devices["MIG-x"].parent, page.devices["MIG-x"].profile) == ("GPU-s", "1g.5gb")


@pytest.mark.parametrize(
    ("model", "vendor"),
    [("AMD Instinct MI300X", "amd"), ("Intel Gaudi 3", "gaudi"), ("Google TPU v6e", "google"), ("Thing", "")],
)
def test_the_vendor_shows_from_the_model(said: Any, model: str, vendor: str) -> None:
    page = said(TABLE, f'all_smi_gpu_utilization{{gpu="{model}",gpu_uuid="X",gpu_index="0"}} 1')

    assert page.devices["X"].vendor == vendor
