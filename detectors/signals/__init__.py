"""Every signal: what is judged tick by tick. A new one costs its file and a line in this list."""

from typing import Final

from detectors.signals import (
    allocated_idle,
    arrival,
    completeness,
    duplicates,
    efficiency,
    fault,
    lag,
    lateness,
    link,
    memory_leak,
    schema,
    share_over,
    straggler,
    stuck,
    tail,
    throttling,
    unreadable,
)
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    allocated_idle.PLUGIN,
    arrival.PLUGIN,
    completeness.PLUGIN,
    duplicates.PLUGIN,
    efficiency.PLUGIN,
    fault.PLUGIN,
    lag.PLUGIN,
    lateness.PLUGIN,
    link.PLUGIN,
    memory_leak.PLUGIN,
    schema.PLUGIN,
    share_over.PLUGIN,
    straggler.PLUGIN,
    stuck.PLUGIN,
    tail.PLUGIN,
    throttling.PLUGIN,
    unreadable.PLUGIN,
)
