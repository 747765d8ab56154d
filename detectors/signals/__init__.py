"""Every signal: what is judged tick by tick. A new one costs its file and a line in this list."""

from typing import Final

from detectors.signals import allocated_idle, efficiency, fault, link, memory_leak, straggler, throttling
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    allocated_idle.PLUGIN,
    efficiency.PLUGIN,
    fault.PLUGIN,
    link.PLUGIN,
    memory_leak.PLUGIN,
    straggler.PLUGIN,
    throttling.PLUGIN,
)
