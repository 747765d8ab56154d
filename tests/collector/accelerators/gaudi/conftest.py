"""Habana's library without a Gaudi, and a driver over it."""

from collections.abc import Callable
from typing import Any

import pytest

from collector.accelerators.gaudi.driver import Gaudi
from watchkeeper.core.testkit import FakeLibrary

GAUDI2: dict[str, object] = {
    "busy": 77, "memory_busy": 33, "memory_total": 103079215104, "memory_used": 51539607552, "temperature.0": 55,
    "temperature.1": 41, "temperature.3": 49, "threshold.0": 110, "threshold.1": 100, "threshold.2": 98,
    "power": 430_500, "power_limit": 550_000, "power_default": 600_000, "energy": "1000+100", "clock": 1650,
    "clock_max": 1700, "reasons": 2, "ecc.0": 4, "ecc.1": 1, "rows.0": 2, "rows.1": 3, "pending": 0, "replay": 6,
    "width": 16, "generation": 4, "ports": "0xF", "port.2": 0,
}  # fmt: skip
"""what every device of a healthy node says"""


@pytest.fixture
def hlml(fake: Callable[..., FakeLibrary]) -> FakeLibrary:
    """A node with two healthy Gaudi 2."""
    library = fake("hlml.c", "libhlml.so")
    library.say({"devices": 2, **{f"dev.{key}": value for key, value in GAUDI2.items()}})
    return library


@pytest.fixture
def node(hlml: FakeLibrary, watch: Callable[..., Any]) -> Any:
    """A source over that library."""
    return watch(lambda count_error: Gaudi(count_error, (str(hlml.path),)), vendor="gaudi")
