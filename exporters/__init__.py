"""Every destination. A new one costs its file and a line in this list."""

from typing import Final

from exporters import otlp, page, prometheus
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    prometheus.PLUGIN,
    otlp.PLUGIN,
    page.PLUGIN,
)  # fmt: skip
