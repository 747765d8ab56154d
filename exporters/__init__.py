"""Every destination. A new one costs its file and a line in this list."""

from typing import Final

from exporters import otlp, prometheus
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    prometheus.PLUGIN,
    otlp.PLUGIN,
)  # fmt: skip
