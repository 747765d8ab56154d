"""Cambricon's library without an MLU, and drivers over it."""

from collections.abc import Callable
from typing import Any

import pytest

from collector.accelerators.cambricon.driver import Cambricon
from watchkeeper.core.testkit import FakeLibrary

MLU590: dict[str, object] = {
    "health": "1,1,4,0", "busy": 70, "codec": "8,6", "memory": "81920,61440", "temperature": "41,55,60",
    "power": "321,550", "frequency": "1200,1500", "throttle": "1,0,0,0,0,0", "ecc": "1,2,3,4,5", "rows": "1,2",
    "repair": "0,0,0", "processes": "4242:1024,4243:2048", "ports": 4, "link.0": "3,1", "link.1": "1,1",
    "link.2": "0,1", "link.3": "0,0", "pcie": "5,16", "pcie_max": "5,16", "pcie_replay": 2,
    "pcie_bytes": "1e9,2e9", "field.65": 42, "field.71": "5e6", "field.72": "1e9", "field.73": 0, "field.74": 0,
    "field.52": 90, "field.53": 105, "field.68": 95, "field.69": 98, "sn": 3735928559,
    **{f"link_errors.{port}": "0,0,0,0,0" for port in range(4)},
    **{f"link_events.{port}": "0,0,0" for port in range(4)},
    **{f"field.{field}.{port}": 1000 for field in (63, 64) for port in range(4)},
}  # fmt: skip
"""what every card of a healthy node says"""


def said(lines: dict[str, object]) -> dict[str, object]:
    return {f"dev.{key}": value for key, value in lines.items()}


@pytest.fixture
def cndev(fake: Callable[..., FakeLibrary]) -> FakeLibrary:
    """A node with two healthy MLU590."""
    library = fake("cndev.c", "libcndev.so")
    library.say({"devices": 2, **said(MLU590)})
    return library


@pytest.fixture
def over(watch: Callable[..., Any]) -> Callable[..., Any]:
    """`over(library)`: a source over it; `over(library, 0.3)`: one with so little patience."""
    return lambda library, *patience: watch(
        lambda count_error: Cambricon(count_error, (str(library.path),)), "cambricon", *patience
    )


@pytest.fixture
def node(cndev: FakeLibrary, over: Callable[..., Any]) -> Any:
    """A source over that library."""
    return over(cndev)
