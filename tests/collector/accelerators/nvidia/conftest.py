"""NVIDIA's library without a GPU, and a driver over it."""

from collections.abc import Callable
from typing import Any

import pytest

from collector.accelerators.nvidia.driver import Nvidia
from watchkeeper.core.testkit import FakeLibrary

H100: dict[str, object] = {
    "busy": 90, "memory_busy": 40, "encoder": 5, "decoder": 6, "memory_total": 85899345920, "memory_used": 64424509440,
    "temperature": 61, "threshold.0": 95, "threshold.1": 92, "threshold.3": 87, "power_limit": 700000,
    "clock.1": 1755, "clock.2": 2619, "clock.3": 1500, "clock_max.1": 1980, "clock_max.2": 2619, "reasons": "0x4",
    "pcie_width": 16, "pcie_width_max": 16, "pcie_generation": 5, "pcie_generation_max": 5, "serial": "1650123",
    "processes": "4242:1024,4243:2048", "field.82": 70, "field.83": "5000000+650000", "field.186": 650500,
    "field.3": 7, "field.4": 0, "field.74": "1e9+5e8", "field.76": 0, "field.269": 0, "field.270": 0, "field.271": 0,
    "field.94": 3, "field.142": 0, "field.143": 0, "field.144": 0, "field.145": 0, "field.161": 0, "field.162": 0,
    "field.163": 0, "field.173": 0, "field.174": 0, "field.179": 0, "field.180": 0, "field.197": "1e9+1e6",
    "field.198": "2e9+2e6", "field.138": 1000, "field.139": 2000, "field.202": "1e12+1e9", "field.204": "2e12+2e9",
    "field.230": 0, "field.91": 4, "link.0": 1, "link.1": 1, "link.2": 1, "link.3": 0,
    "gpm.1": 90, "gpm.2": 80, "gpm.3": 40, "gpm.4": 10, "gpm.5": 55, "gpm.10": 70, "gpm.11": 0, "gpm.12": 20,
    "gpm.13": 3,
}  # fmt: skip
"""what every device of a healthy node says"""


@pytest.fixture
def nvml(fake: Callable[..., FakeLibrary]) -> FakeLibrary:
    """A node with two healthy H100."""
    library = fake("nvml.c", "libnvidia-ml.so.1")
    library.say({"devices": 2, **{f"dev.{key}": value for key, value in H100.items()}})
    return library


@pytest.fixture
def node(nvml: FakeLibrary, watch: Callable[..., Any]) -> Any:
    """A source over that library."""
    return watch(lambda count_error: Nvidia(count_error, str(nvml.path)))
