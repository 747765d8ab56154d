"""AMD's library without a GPU, in the layout of one release, and a driver over it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.accelerators.amd.driver import Amd
from watchkeeper.core.testkit import FakeLibrary

MI300X: dict[str, object] = {
    "activity": 87, "umc": 42, "vram_total": 196592, "vram_used": 98296, "temperature.1.0": 61, "temperature.2.0": 70,
    "temperature.1.5": 100, "temperature.1.7": 110, "temperature.2.5": 105, "temperature.2.7": 115, "power": 655,
    "power_cap": 750_000_000, "energy": "1000000+1000", "clock.0": 2100, "clock_max.0": 2150, "clock.4": 1300,
    "clock_max.4": 1300, "ecc_corrected": 3, "ecc_uncorrected": 1, "width": 16, "speed": 32000, "replay": 5,
    "recovery": 6, "rollover": 7, "nak_sent": 8, "nak_received": 9, "pages": "0,1", "ticks": 1000, "violation.0": 0,
    "violation.1": 10, "violation.2": 20, "violation.3": 0, "violation.4": 0, "active.0": 0, "active.1": 1,
    "active.2": 0, "active.3": 0, "active.4": 0, "processes": "4242:1024,4243:2048", "serial": "0x0123456789ABCDEF",
    "link.0": "2:1000:2000",
    "link.1": "2:3000:4000",
}  # fmt: skip
"""what every device of a healthy node says, in ROCm 7"""


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """The host's /sys with two GPUs."""
    for bus in ("10", "11"):
        (tmp_path / "sys/bus/pci/devices" / f"0000:{bus}:02.0").mkdir(parents=True)
    return tmp_path / "sys"


@pytest.fixture
def rocm(request: pytest.FixtureRequest) -> int:
    """The library's release, by the first number of its version."""
    return int(getattr(request, "param", 26))


@pytest.fixture
def amdsmi(fake: Callable[..., FakeLibrary], rocm: int) -> FakeLibrary:
    """A node with two healthy MI300X."""
    library = fake("amd_smi.c", "libamd_smi.so", f"ROCM={rocm}")
    said = MI300X if rocm >= 26 else {**MI300X, "link.0": "1:1000:2000", "link.1": "1:3000:4000"}
    library.say({"devices": 2, **{f"dev.{key}": value for key, value in said.items()}})
    return library


@pytest.fixture
def node(amdsmi: FakeLibrary, sysfs: Path, watch: Callable[..., Any]) -> Any:
    """A source over that library."""
    return watch(lambda count_error: Amd(count_error, (str(amdsmi.path),), sysfs), vendor="amd")
