"""The page that Prometheus scrapes: /metrics on the agent's port, as text 0.0.4 or OpenMetrics 1.0."""

import logging
import zlib
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Annotated, Final

import msgspec

from exporters.prometheus.negotiation import OPENMETRICS, PLAIN, accepts_gzip, wants_openmetrics
from exporters.prometheus.page import SERIES_LIMIT, Page
from watchkeeper.core.interfaces import Answer, Plugin, Request
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

_log = logging.getLogger(__name__)
_GZIP_LEVEL: Final = 1
"""a page is repetitive: level 9 costs ten times the time for a third of the size"""
_GZIP_FORMAT: Final = 31


class PrometheusConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page shows; its port is `web.port`."""

    enabled: bool = True
    """serve /metrics"""
    max_series: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    """series on the page (a histogram is one, and about 19 lines); further ones are left out and counted"""
    exemplars: bool = True
    """show trace ids on histogram buckets to scrapers that ask for OpenMetrics"""


class PrometheusExporter:
    def __init__(self, config: PrometheusConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._page = Page(config.max_series, exemplars=config.exemplars)
        self._full = False

    def write(self, batch: Batch) -> None:
        refused = self._page.update(batch)
        for reason, count in refused.items():
            self._ledger.add(EXPORTER_FAILURES, count, (("exporter", "prometheus"), ("reason", reason)))
        self._say_when_full(SERIES_LIMIT in refused)

    def close(self) -> None:
        """Nothing to release; the last totals can still be scraped while the agent drains."""

    def routes(self) -> Mapping[str, Callable[[Request], Answer]]:
        return {"/metrics": self.answer}

    def answer(self, request: Request) -> Answer:
        openmetrics = wants_openmetrics(request.headers.get("accept", ""))
        content_type = OPENMETRICS if openmetrics else PLAIN
        headers = {"Vary": "Accept, Accept-Encoding"}
        families = self._page.draw(openmetrics=openmetrics)
        if not accepts_gzip(request.headers.get("accept-encoding", "")):
            return Answer(b"".join(chain.from_iterable(families)), content_type, headers=headers)
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
        packed = [packer.compress(b"".join(pieces)) for pieces in families]
        body = b"".join([*packed, packer.flush()])
        return Answer(body, content_type, headers={**headers, "Content-Encoding": "gzip"})

    def _say_when_full(self, full: bool) -> None:
        if full and not self._full:
            _log.warning(
                "exporters.prometheus.max_series: %d series are on the page and more are left out; raise it, or "
                "lower the number of label values",
                self._config.max_series,
            )
        self._full = full


PLUGIN: Final = Plugin(
    name="prometheus",
    summary="The /metrics page for Prometheus: text 0.0.4 and OpenMetrics 1.0 with exemplars.",
    config=PrometheusConfig,
    build=PrometheusExporter,
    metrics=(EXPORTER_FAILURES,),
    roles=("run", "node", "sidecar", "gateway", "detector"),
)
