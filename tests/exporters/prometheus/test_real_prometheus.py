"""A real Prometheus reads the page over HTTP."""

import subprocess
import time

import pytest

from exporters.prometheus import PLUGIN, PrometheusConfig
from watchkeeper.agent.web import WebServer
from watchkeeper.core.interfaces import Request
from watchkeeper.core.labels import clean
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind
from watchkeeper.core.records import Batch, Exemplar, HistogramValue, Point
from watchkeeper.core.testkit import PrometheusServer, require
from watchkeeper.core.vocabulary import METRICS
from watchkeeper.core.vocabulary.requests import REQUESTS, SERVER_FIRST_TOKEN

HOSTILE = (
    'quote " and backslash \\ and {braces}, = # done',
    "two\nlines\r\nand a tab\t",
    "nul \x00 and escape \x1b[31m",
    b"bad utf-8 \xff\xfe".decode(errors="replace"),
    "lone \udc80 surrogate",
    "invisible \u200b \u2028 \ufeff",
    "模型" * 40,
    "x" * 128,
    "y" * 5000,
    "ends in a backslash \\",
)


@pytest.fixture
def exporter():
    return PLUGIN.build(PrometheusConfig(), Ledger())


@pytest.fixture
def web(exporter):
    """The agent's own server with our page on it; remembers what was asked for."""
    asked = []

    def watched(request):
        asked.append(request)
        return exporter.answer(request)

    server = WebServer("127.0.0.1", 0, {"/metrics": watched})
    server.start()
    server.asked = asked
    yield server
    server.stop()


def first_token(number_of_requests, trace_id):
    """All requests took between 0.25 and 0.5 s to the first token."""
    buckets = SERVER_FIRST_TOKEN.buckets
    counts = [0.0] * (len(buckets) + 1)
    exemplars = [None] * (len(buckets) + 1)
    place = buckets.index(0.5)
    counts[place] = float(number_of_requests)
    exemplars[place] = Exemplar(value=0.3, at=time.time(), trace_id=trace_id, span_id=b"\x22" * 8)
    value = HistogramValue(buckets, tuple(counts), 0.3 * number_of_requests, tuple(exemplars))
    labels = (("service.name", "shop"), ("gen_ai.request.model", "smol"), ("watchkeeper.vantage", "engine"))
    return Point(SERVER_FIRST_TOKEN, labels, value)


def test_a_real_prometheus_answers_quantiles_and_finds_the_trace(tmp_path, exporter, web):
    trace_id = bytes(range(16))
    exporter.write(Batch(at=time.time(), points=(first_token(100, trace_id),)))

    with PrometheusServer(tmp_path, {"watchkeeper": f"127.0.0.1:{web.port}"}) as prometheus:
        name = "gen_ai_server_time_to_first_token_seconds"
        [quantile] = prometheus.wait_for(f"histogram_quantile(0.5, sum by (le) ({name}_bucket))")
        [count] = prometheus.wait_for(f"{name}_count")
        now = time.time()
        [series] = prometheus.api("query_exemplars", query=f"{name}_bucket", start=f"{now - 60}", end=f"{now + 60}")

    assert 0.25 < float(quantile["value"][1]) <= 0.5
    assert count["value"][1] == "100"
    assert count["metric"]["service_name"] == "shop"
    assert series["seriesLabels"]["le"] == "0.5"
    assert series["exemplars"][0]["labels"] == {"trace_id": trace_id.hex(), "span_id": "22" * 8}
    assert "application/openmetrics-text" in web.asked[0].headers["accept"]
    assert "gzip" in web.asked[0].headers["accept-encoding"]


def test_hostile_label_values_leave_the_target_up_and_every_series_readable(tmp_path, exporter, web):
    values = [*map(clean, HOSTILE), *(value.encode(errors="replace").decode() for value in HOSTILE)]
    distinct = tuple(dict.fromkeys(values))
    points = tuple(Point(REQUESTS, (("gen_ai.request.model", value),), float(at)) for at, value in enumerate(distinct))
    exporter.write(Batch(at=time.time(), points=points))

    with PrometheusServer(tmp_path, {"watchkeeper": f"127.0.0.1:{web.port}"}) as prometheus:
        rows = prometheus.wait_for("watchkeeper_requests_total")
        prometheus.wait_for("up == 1")

    assert {row["metric"]["gen_ai_request_model"]: float(row["value"][1]) for row in rows} == {
        value: float(at) for at, value in enumerate(distinct)
    }


def test_promtool_has_nothing_to_say_about_the_page(exporter):
    promtool = require("promtool", "prometheus")
    exporter.write(Batch(at=1.0, points=tuple(map(_some_point, METRICS))))
    page = exporter.answer(Request("/metrics", {}, {})).body

    said = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)

    assert (said.returncode, said.stderr.decode(), said.stdout.decode()) == (0, "", "")


def _some_point(metric):
    labels = tuple((label, "x") for label in metric.labels)
    if metric.kind is Kind.HISTOGRAM:
        return Point(metric, labels, HistogramValue(metric.buckets, (1.0,) * (len(metric.buckets) + 1), 1.0))
    return Point(metric, labels, 1.0)
