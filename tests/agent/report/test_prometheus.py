"""Objectives and losses as a Prometheus has them."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from watchkeeper.agent.report.period import parse
from watchkeeper.agent.report.prometheus import Prometheus
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.testkit.prometheus_server import PrometheusServer

MARCH = parse("2025-03", 0.0)
LABELS = {"slo": "availability", "sli": "availability", "service_name": "chat", "gen_ai_request_model": "qwen"}
ANSWERS = {
    "sum_over_time(wk:sli_total:increase5m[2678400s])": "200000",
    "sum_over_time(wk:sli_bad:increase5m[2678400s])": "2000",
    "count_over_time(wk:sli_total:increase5m[2678400s])": "4464",
    "last_over_time(wk:slo_objective:ratio[2678400s])": "0.995",
    "sum(increase(watchkeeper_pipeline_accepted_total[2678400s]))": "500",
}


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        assert float(asked["time"][0]) == MARCH.until
        value = ANSWERS.get(asked["query"][0])
        rows = [] if value is None else [{"metric": LABELS, "value": [MARCH.until, value]}]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": rows}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_an_objective_is_what_the_rules_recorded(url: str) -> None:
    [one] = Prometheus(url).objectives(MARCH)

    assert (one.service, one.model, one.source) == ("chat", "qwen", "prometheus")
    assert (one.events, one.bad) == (200_000.0, 2_000.0)
    assert one.attained == pytest.approx(0.99)
    assert one.budget_spent == pytest.approx(2.0)
    assert one.covered == pytest.approx(0.5)
    assert Prometheus(url).items(MARCH) == (500.0, 0.0)


def test_a_real_one_understands_what_it_is_asked(tmp_path: Path) -> None:
    with PrometheusServer(tmp_path, {}) as server:
        asked = Prometheus(server.url)
        assert asked.objectives(MARCH) == ()
        assert asked.items(MARCH) == (None, None)


def test_one_that_is_away_or_is_none_is_told_in_a_line(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be asked"):
        Prometheus(f"http://127.0.0.1:{free_port()}").items(MARCH)
    with pytest.raises(ConfigError, match="is no address"):
        Prometheus("prometheus:9090")
