"""Every destination. A new one costs its file and a line in this list."""

from typing import Final

from exporters import findings_log, kafka, otlp, page, prometheus, store
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    prometheus.PLUGIN,
    otlp.PLUGIN,
    page.PLUGIN,
    findings_log.PLUGIN,
    kafka.PLUGIN,
    store.PLUGIN,
)  # fmt: skip
