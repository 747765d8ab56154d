"""Exporters of device metrics that are read in place of a vendor's library."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

WHERE: Final = ("server.address", "server.port")

EXPORTER_UP: Final = Metric(
    "watchkeeper.device.exporter.up", Kind.GAUGE, "",
    "1 when the exporter's page was read and understood at the last try, else 0.", WHERE,
)  # fmt: skip
EXPORTER_FAULT: Final = Metric(
    "watchkeeper.device.exporter.fault", Kind.GAUGE, "",
    "1 while the exporter's page cannot be used for this reason, 0 when that is over.", (*WHERE, "reason"),
)  # fmt: skip
SCRAPE_DURATION: Final = Metric(
    "watchkeeper.device.exporter.scrape.duration", Kind.GAUGE, "s", "How long the last read of the page took.", WHERE,
)  # fmt: skip
UNMAPPED: Final = Metric(
    "watchkeeper.device.exporter.series.unmapped", Kind.GAUGE, "{series}",
    "Series of the exporter's page that no table row maps.", WHERE,
)  # fmt: skip
SILENT: Final = Metric(
    "watchkeeper.device.exporter.silent", Kind.GAUGE, "{device}",
    "Devices of which the page has only numbers that are too old.", WHERE,
)  # fmt: skip

METRICS: Final = (EXPORTER_UP, EXPORTER_FAULT, SCRAPE_DURATION, UNMAPPED, SILENT)
