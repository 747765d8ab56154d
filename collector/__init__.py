"""Every source. A new one costs its file (or folder) and a line in this list."""

from typing import Final

from collector import accelerators, engines, kafka, otlp, tap, vendor_exporter
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    accelerators.PLUGIN,
    engines.PLUGIN,
    kafka.PLUGIN,
    otlp.PLUGIN,
    tap.PLUGIN,
    vendor_exporter.PLUGIN,
)
