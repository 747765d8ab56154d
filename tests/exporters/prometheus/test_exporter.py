import gzip
import logging

import msgspec
import pytest

from exporters.prometheus import PLUGIN, PrometheusConfig
from watchkeeper.core.interfaces import Exporter, Request, Served
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Point
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES, QUEUE_LENGTH

ONE = Batch(at=1.0, points=(Point(QUEUE_LENGTH, (("queue", "otlp"),), 3.0),))


def get(exporter, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return exporter.routes()["/metrics"](Request("/metrics", {}, names))


def build(ledger=None, **config):
    return PLUGIN.build(PrometheusConfig(**config), ledger or Ledger())


def test_it_is_an_exporter_that_is_served():
    exporter: Exporter = build()

    assert isinstance(exporter, Served)


def test_a_scraper_gets_the_format_it_asks_for():
    exporter = build()
    exporter.write(ONE)

    plain, openmetrics = get(exporter), get(exporter, accept="application/openmetrics-text;version=1.0.0")

    assert plain.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert openmetrics.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert b'watchkeeper_queue_length{queue="otlp"} 3.0\n' in plain.body
    assert openmetrics.body.endswith(b'watchkeeper_queue_length{queue="otlp"} 3.0\n# EOF\n')


def test_the_page_is_packed_only_for_those_who_can_unpack_it():
    exporter = build()
    exporter.write(ONE)

    packed, plain = get(exporter, accept_encoding="gzip, br"), get(exporter, accept_encoding="br")

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept, Accept-Encoding"


def test_series_past_the_limit_are_counted_and_said_once(caplog):
    ledger = Ledger()
    exporter = build(ledger, max_series=1)
    full = Batch(at=1.0, points=tuple(Point(QUEUE_LENGTH, (("queue", name),), 1.0) for name in "abc"))

    with caplog.at_level(logging.WARNING):
        exporter.write(full)
        exporter.write(full)

    [sample] = ledger.drain(2.0)
    assert (sample.metric, sample.value) == (EXPORTER_FAILURES, 4)
    assert sample.labels == (("exporter", "prometheus"), ("reason", "series_limit"))
    assert [record.message.partition(":")[0] for record in caplog.records] == ["exporters.prometheus.max_series"]


def test_the_last_totals_can_be_scraped_after_close():
    exporter = build()
    exporter.write(ONE)
    exporter.close()

    assert b"watchkeeper_queue_length" in get(exporter).body


def test_a_limit_of_no_series_is_refused():
    with pytest.raises(msgspec.ValidationError, match="max_series"):
        msgspec.convert({"max_series": 0}, PrometheusConfig)
