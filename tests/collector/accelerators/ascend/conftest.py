"""Huawei's library without an NPU, and drivers over it."""

from collections.abc import Callable
from typing import Any

import pytest

from collector.accelerators.ascend.driver import Ascend
from watchkeeper.core.testkit import FakeLibrary

A2: dict[str, object] = {
    "chip": "910B3", "health": 0, "codes": "", "multi": "80,60,30,70", "rate.2": 71, "rate.12": 31, "rate.13": 81,
    "hbm": "65536,49152,1600,58,45", "temperature": 52, "power": 3205, "frequency.7": 1500, "frequency.9": 1800,
    "ecc.2": "1,3,0,40,1,2,1,0,0", "hccs64": "1,2,3,0,5,0,0,1", "network": 0, "processes": "4242:1024,4243:2048",
    "serial": "2102312ABC",
}  # fmt: skip
"""what every chip of a healthy Atlas 800 A2 says"""


def said(lines: dict[str, object]) -> dict[str, object]:
    return {f"dev.{key}": value for key, value in lines.items()}


@pytest.fixture
def dcmi(fake: Callable[..., FakeLibrary]) -> FakeLibrary:
    """A node with two healthy 910B."""
    library = fake("dcmi.c", "libdcmi.so")
    library.say({"cards": 2, **said(A2)})
    return library


@pytest.fixture
def over(watch: Callable[..., Any]) -> Callable[..., Any]:
    """`over(library)`: a source over it; `over(library, 0.3)`: one with so little patience."""
    return lambda library, *patience: watch(
        lambda count_error: Ascend(count_error, (str(library.path),)), "ascend", *patience
    )


@pytest.fixture
def node(dcmi: FakeLibrary, over: Callable[..., Any]) -> Any:
    """A source over that library."""
    return over(dcmi)
