"""Which runbook a finding belongs to. Imports nothing: the agent asks it, and needs no rules for that."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

FOLDER: Final = "dashboards/runbooks"
"""in the repository"""
_OF_DRIFT: Final = "WatchkeeperDriftDetected"
OF_SIGNALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "allocated_idle": "WatchkeeperDeviceIdleAllocated",
        "arrival": "WatchkeeperDataLinkStalled",
        "completeness": "WatchkeeperDataQuality",
        "duplicates": "WatchkeeperDataQuality",
        "efficiency": "WatchkeeperEnergyPerTokenRegression",
        "fault": "WatchkeeperDeviceFaultFatal",
        "lag": "WatchkeeperDataLinkStalled",
        "lateness": "WatchkeeperDataLinkStalled",
        "link": "WatchkeeperDeviceFaultLink",
        "memory_leak": "WatchkeeperDeviceMemoryLeak",
        "schema": "WatchkeeperDataQuality",
        "share_over": "WatchkeeperServiceUnusual",
        "straggler": "WatchkeeperDeviceStraggler",
        "stuck": "WatchkeeperEngineStalled",
        "tail": "WatchkeeperServiceUnusual",
        "throttling": "WatchkeeperDeviceThermalThrottle",
        "unreadable": "WatchkeeperDataQuality",
    }
)
"""alert by the name of a signal"""


def runbook_of(name: str) -> str:
    """
    Path of the page for a finding, by `Finding.name`: a signal's name, or else a stream that drifted.

    >>> runbook_of("straggler"), runbook_of("time_to_first_token")
    ('dashboards/runbooks/WatchkeeperDeviceStraggler.md', 'dashboards/runbooks/WatchkeeperDriftDetected.md')
    """
    return f"{FOLDER}/{OF_SIGNALS.get(name, _OF_DRIFT)}.md"
