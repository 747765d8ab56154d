"""What an estate goes through: every knob that a fault can turn, each at its healthy setting."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dashboards.estate.series import Clock, Numbers

REPLICAS: Final = 4
DEVICES_OF_A_REPLICA: Final = 2
DEVICES: Final = REPLICAS * DEVICES_OF_A_REPLICA
NODES: Final = 2


@dataclass(frozen=True, slots=True)
class Reported:
    """A fault that a driver reports once."""

    device: int
    seconds: float
    """after the onset"""
    fault_class: str
    code: str
    severity: str


@dataclass(slots=True)
class Conditions:
    """Arrays over the times of `clock`; lists are by replica, device or node."""

    clock: Clock
    traffic: Numbers
    """times what is usual"""
    input_length: Numbers
    output_length: Numbers
    new_version: Numbers
    """share of answers of a new model version"""
    slow: list[Numbers]
    """by replica: time for a token, times what is usual"""
    gone: list[Numbers]
    """by replica: 1 while its engine is not there"""
    hung: list[Numbers]
    """by replica: 1 while its engine takes requests and gives nothing"""
    failing: list[Numbers]
    """by replica: share of requests that fail"""
    heat: list[Numbers]
    """by device: degrees above what its load explains"""
    held: list[dict[str, Numbers]]
    """by device and reason: share of time with clocks held back"""
    lost: list[Numbers]
    """by device: 1 once it cannot be read"""
    uncorrected: list[Numbers]
    """by device: memory errors a second"""
    link_errors: list[Numbers]
    """by device: errors of its links a second"""
    leaked: list[Numbers]
    """by device: bytes that nobody gave back"""
    reported: list[Reported] = field(default_factory=list)
    flagged: dict[str, Numbers] = field(default_factory=dict)
    """by check: share of answers that it marks, where it is not what it always is"""
    drift: dict[str, Numbers] = field(default_factory=dict)
    """by signal: how far it left its reference, in widths of its band"""
    link_silent: Numbers = field(default_factory=lambda: np.zeros(0))
    """1 while the services' records do not arrive"""
    agent_away: list[Numbers] = field(default_factory=list)
    """by node: 1 while the node's watchkeeper is not there"""
    checks_fail: Numbers = field(default_factory=lambda: np.zeros(0))
    """share of answers on which the safety checks fail"""


def healthy(clock: Clock) -> Conditions:
    def none() -> Numbers:
        return clock.level(0.0)

    return Conditions(
        clock=clock,
        traffic=clock.level(),
        input_length=clock.level(),
        output_length=clock.level(),
        new_version=none(),
        slow=[clock.level() for _ in range(REPLICAS)],
        gone=[none() for _ in range(REPLICAS)],
        hung=[none() for _ in range(REPLICAS)],
        failing=[none() for _ in range(REPLICAS)],
        heat=[none() for _ in range(DEVICES)],
        held=[{} for _ in range(DEVICES)],
        lost=[none() for _ in range(DEVICES)],
        uncorrected=[none() for _ in range(DEVICES)],
        link_errors=[none() for _ in range(DEVICES)],
        leaked=[none() for _ in range(DEVICES)],
        link_silent=none(),
        agent_away=[none() for _ in range(NODES)],
        checks_fail=none(),
    )


def node_of(device: int) -> int:
    return device // (DEVICES // NODES)


def replica_of(device: int) -> int:
    return device // DEVICES_OF_A_REPLICA
