"""Our exporter against a receiver that decodes what arrives."""

import logging
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from exporters.otlp import PLUGIN, OtlpConfig
from watchkeeper.core.errors import ConfigError, Retryable, Unavailable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Cause, Finding, HistogramValue, Point, Severity
from watchkeeper.core.testkit import free_port
from watchkeeper.core.vocabulary.requests import SERVER_FIRST_TOKEN, TOKENS

NEVER = 3600.0
FINDING = Finding(
    at=1_700_000_000.0,
    since=1_699_999_990.0,
    severity=Severity.WARNING,
    subject="engine pod-1",
    summary="Time to first token rose.",
    evidence=("p95 0.2 s to 1.4 s",),
    causes=(
        Cause("KV cache full", 0.8, ("KV cache in use 40% -> 99% (z +20)", "waiting 1 -> 9 (z +9)"), "add a replica"),
    ),
    action="look at the queue",
    runbook="runbooks/SlowFirstToken.md",
    name="slow_first_token",
    labels=(("k8s.pod.name", "pod-1"),),
)


def tokens(total, **labels):
    return Point(TOKENS, tuple(labels.items()), float(total))


def totals(request):
    """Attributes to value of every counter of one request."""
    found = {}
    for metric in request.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.sum.data_points:
            found[tuple(pair.value.string_value for pair in point.attributes)] = point.as_double
    return found


def raised_by_write(exporter, *kinds, timeout_seconds=60.0):
    """The error that `write` reports once a send has failed."""
    end = time.monotonic() + timeout_seconds
    while time.monotonic() < end:
        try:
            exporter.write(Batch(at=time.time()))
        except kinds as error:
            return error
        time.sleep(0.02)
    raise AssertionError("no write failed")


def until_write_goes_well(exporter, timeout_seconds=60.0):
    end = time.monotonic() + timeout_seconds
    while True:
        try:
            exporter.write(Batch(at=time.time()))
        except Retryable:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            return


def test_sums_and_histograms_arrive_as_they_stand(collector, exporter_to):
    value = HistogramValue((0.5, 1.0), (1.0, 2.0, 3.0), 7.5)
    with collector() as receiver, exporter_to(receiver.url, interval_seconds=0.1) as exporter:
        exporter.write(Batch(at=time.time(), points=(tokens(3, tenant="a"), Point(SERVER_FIRST_TOKEN, (), value))))
        [request, *_] = receiver.wait_for("/v1/metrics")

    metrics = {metric.name: metric for metric in request.resource_metrics[0].scope_metrics[0].metrics}
    [histogram] = metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    assert totals(request) == {("a",): 3.0}
    assert (list(histogram.bucket_counts), histogram.sum) == ([1, 2, 3], 7.5)
    assert receiver.headers[0]["content-encoding"] == "gzip"
    assert receiver.headers[0]["content-type"] == "application/x-protobuf"


def test_the_resource_names_the_sender_and_can_be_added_to(collector, exporter_to):
    more = {"deployment.environment.name": "test", "service.instance.id": "one"}
    with collector() as receiver:
        with exporter_to(
            receiver.url, interval_seconds=NEVER, resource_attributes=more, compression="none"
        ) as exporter:
            exporter.write(Batch(at=time.time(), points=(tokens(1),)))
        [request] = receiver.wait_for("/v1/metrics")

    attributes = {pair.key: pair.value.string_value for pair in request.resource_metrics[0].resource.attributes}
    assert attributes.items() >= {**more, "service.name": "watchkeeper"}.items()
    assert "content-encoding" not in receiver.headers[0]


def test_unchanged_series_are_sent_again_and_those_gone_are_not(collector, exporter_to):
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER) as exporter:
            exporter.write(Batch(at=time.time(), points=(tokens(1, tenant="a"), tokens(1, tenant="b"))))
            exporter.write(Batch(at=time.time(), points=(tokens(2, tenant="b"), tokens(9, tenant="c"))))
            exporter.write(Batch(at=time.time(), gone=((TOKENS, (("tenant", "c"),)),)))
        [request] = receiver.wait_for("/v1/metrics")

    assert totals(request) == {("a",): 1.0, ("b",): 2.0}


def test_a_total_begins_when_its_series_was_first_missing(collector, exporter_to):
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER) as exporter:
            now = time.time()
            exporter.write(Batch(at=now + 1, points=(tokens(1, tenant="a"),)))
            exporter.write(Batch(at=now + 2, points=(tokens(1, tenant="b"), tokens(2, tenant="a"))))
        [request] = receiver.wait_for("/v1/metrics")

    [metric] = request.resource_metrics[0].scope_metrics[0].metrics
    begins = {p.attributes[0].value.string_value: p.start_time_unix_nano for p in metric.sum.data_points}
    assert begins["a"] <= int(now * 1e9)
    assert begins["b"] == int((now + 1) * 1e9)
    assert {p.time_unix_nano for p in metric.sum.data_points} == {int((now + 2) * 1e9)}


def test_a_collector_that_was_away_gets_the_newest_totals(collector, exporter_to):
    port = free_port()
    with exporter_to(f"http://127.0.0.1:{port}", interval_seconds=0.1, timeout_seconds=1.0) as exporter:
        with suppress(Retryable):
            exporter.write(Batch(at=time.time(), points=(tokens(1),)))
        error = raised_by_write(exporter, Retryable)
        with suppress(Retryable):
            exporter.write(Batch(at=time.time(), points=(tokens(7),)))
        with collector(port) as receiver:
            requests = receiver.wait_for("/v1/metrics", lambda received: totals(received[-1]) == {(): 7.0})
            until_write_goes_well(exporter)

    assert f"http://127.0.0.1:{port}/v1/metrics is away (ConnectionError)" in str(error)
    assert [totals(one) for one in requests[:-1]] in ([], [{(): 1.0}])  # one may have been on its way already


def test_a_busy_collector_is_tried_again_and_one_that_refuses_is_reported_as_such(collector, exporter_to):
    with collector() as receiver:
        for status, kind in (
            (503, Retryable),
            (429, Retryable),
            (401, Unavailable),
            (302, Unavailable),
            (500, Unavailable),
        ):
            receiver.statuses["/v1/metrics"] = status
            with exporter_to(receiver.url, interval_seconds=0.05) as exporter:
                with suppress(Retryable, Unavailable):
                    exporter.write(Batch(at=time.time(), points=(tokens(1),)))
                assert f"HTTP status {status}" in str(raised_by_write(exporter, kind))
        assert receiver.received["/v1/metrics"] == []


def test_close_sends_the_last_totals_once(collector, exporter_to):
    with collector() as receiver, exporter_to(receiver.url, interval_seconds=NEVER) as exporter:
        exporter.write(Batch(at=time.time(), points=(tokens(5),)))
        exporter.close()
        requests = receiver.wait_for("/v1/metrics")

    assert [totals(request) for request in requests] == [{(): 5.0}]


@pytest.mark.parametrize("manner", ["plain", "trickle"], ids=["says nothing", "says a byte now and then"])
def test_close_does_not_wait_for_a_collector_that_never_answers(collector, exporter_to, manner):
    with collector() as receiver, exporter_to(receiver.url, interval_seconds=NEVER, timeout_seconds=0.3) as exporter:
        receiver.manner = manner
        receiver.gate.clear()
        exporter.write(Batch(at=time.time(), points=(tokens(5),)))
        with pytest.raises(Retryable, match="/v1/metrics"):
            exporter.close()
        assert not receiver.gate.is_set()


def test_an_endless_answer_is_not_read(collector, exporter_to):
    with collector() as receiver, exporter_to(receiver.url, interval_seconds=0.05) as exporter:
        receiver.manner = "endless"
        exporter.write(Batch(at=time.time(), points=(tokens(5),)))
        assert len(receiver.wait_for("/v1/metrics", lambda received: len(received) >= 2)) >= 2
        exporter.write(Batch(at=time.time()))


def test_findings_leave_as_log_records(collector, exporter_to):
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER) as exporter:
            exporter.write(Batch(at=time.time(), findings=(FINDING,)))
        [request] = receiver.wait_for("/v1/logs")

    [record] = request.resource_logs[0].scope_logs[0].log_records
    attributes = {pair.key.removeprefix("watchkeeper.finding."): pair.value for pair in record.attributes}
    assert (record.event_name, record.severity_text, record.severity_number) == ("watchkeeper.finding", "WARNING", 13)
    assert (record.body.string_value, record.time_unix_nano) == (FINDING.summary, int(FINDING.at * 1e9))
    assert attributes["subject"].string_value == "engine pod-1"
    assert (attributes["name"].string_value, attributes["action"].string_value) == (FINDING.name, FINDING.action)
    assert attributes["runbook"].string_value == FINDING.runbook
    assert attributes["k8s.pod.name"].string_value == "pod-1"
    assert (attributes["since"].double_value, attributes["resolved"].bool_value) == (FINDING.since, False)
    assert [value.string_value for value in attributes["evidence"].array_value.values] == ["p95 0.2 s to 1.4 s"]
    assert [value.string_value for value in attributes["causes"].array_value.values] == ["KV cache full"]
    assert [value.double_value for value in attributes["cause_scores"].array_value.values] == [0.8]
    assert [value.string_value for value in attributes["cause_evidence"].array_value.values] == [
        "KV cache in use 40% -> 99% (z +20); waiting 1 -> 9 (z +9)"
    ]
    assert [value.string_value for value in attributes["cause_actions"].array_value.values] == ["add a replica"]


def test_findings_wait_for_a_busy_collector_in_order_and_leave_once(collector, exporter_to):
    def summaries(received):
        return [
            log.body.string_value for request in received for log in request.resource_logs[0].scope_logs[0].log_records
        ]

    later = Finding(at=2.0, since=1.0, severity=Severity.CRITICAL, subject="later", summary="Later.")
    with collector() as receiver:
        receiver.statuses["/v1/logs"] = 503
        receiver.gate.clear()
        with exporter_to(receiver.url, interval_seconds=0.05) as exporter:
            exporter.write(Batch(at=1.0, findings=(FINDING,)))
            with receiver.changed:
                assert receiver.changed.wait_for(lambda: receiver.headers, timeout=60)
            exporter.write(Batch(at=2.0, findings=(later,)))  # while the first is on its way
            receiver.gate.set()
            raised_by_write(exporter, Retryable)
            receiver.statuses.clear()
            receiver.wait_for("/v1/logs", lambda received: len(summaries(received)) >= 2)
        assert summaries(receiver.received["/v1/logs"]) == [FINDING.summary, "Later."]


def test_a_collector_that_takes_no_logs_still_gets_the_metrics(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        receiver.statuses["/v1/logs"] = 404
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER) as exporter:
            exporter.write(Batch(at=time.time(), points=(tokens(5),), findings=(FINDING,)))
            with pytest.raises(Unavailable, match="/v1/logs refuses with HTTP status 404"):
                exporter.close()

    assert len(receiver.received["/v1/metrics"]) == 1
    assert [(dict(sample.labels)["reason"], sample.value) for sample in ledger.drain(0.0)] == [("findings_refused", 1)]


def test_findings_can_be_kept_back(collector, exporter_to):
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER, findings=False) as exporter:
            exporter.write(Batch(at=time.time(), points=(tokens(5),), findings=(FINDING,)))
        receiver.wait_for("/v1/metrics")

    assert receiver.received["/v1/logs"] == []


def test_findings_are_bounded_and_the_oldest_go_first(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER) as exporter:
            exporter.write(Batch(at=0.0, findings=(FINDING,) * 3))
            other = Finding(at=2.0, since=1.0, severity=Severity.INFO, subject="other", summary="Other.")
            exporter.write(Batch(at=0.0, findings=(other,) * 1000))
        [request] = receiver.wait_for("/v1/logs")

    assert {log.body.string_value for log in request.resource_logs[0].scope_logs[0].log_records} == {"Other."}
    assert [(dict(sample.labels)["reason"], sample.value) for sample in ledger.drain(0.0)] == [("findings_dropped", 3)]


def test_a_malformed_point_is_counted_and_costs_itself_alone(collector, exporter_to):
    ledger = Ledger()
    broken = Point(SERVER_FIRST_TOKEN, (), HistogramValue((1.0,), (1.0,), 1.0))
    with collector() as receiver:
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER) as exporter:
            exporter.write(Batch(at=time.time(), points=(broken, tokens(5))))
        [request] = receiver.wait_for("/v1/metrics")

    assert totals(request) == {(): 5.0}
    assert [(dict(sample.labels)["reason"], sample.value) for sample in ledger.drain(0.0)] == [("malformed", 1)]


def test_headers_come_from_a_file(collector, exporter_to, tmp_path):
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer a:b\n\nX-Scope-OrgID: fleet\n")
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER, headers_file=str(file)) as exporter:
            exporter.write(Batch(at=time.time(), points=(tokens(5),)))
        receiver.wait_for("/v1/metrics")

    assert receiver.headers[0]["authorization"] == "Bearer a:b"
    assert receiver.headers[0]["x-scope-orgid"] == "fleet"


def test_the_sdk_says_nothing_of_its_own(exporter_to, caplog):
    with (
        caplog.at_level(logging.DEBUG),
        exporter_to(f"http://127.0.0.1:{free_port()}", interval_seconds=0.05, timeout_seconds=0.2) as exporter,
    ):
        with suppress(Retryable):
            exporter.write(Batch(at=time.time(), points=(tokens(5),), findings=(FINDING,)))
        raised_by_write(exporter, Retryable)

    assert [record.name for record in caplog.records if record.name.startswith("opentelemetry")] == []


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "", "grpc://collector:4317", "http://", "http://h:99999", "http://h:4318/v1/metrics"]
)
def test_an_endpoint_that_cannot_be_used_is_refused_at_start(endpoint):
    with pytest.raises(ConfigError, match=r"^exporters\.otlp\.endpoint: .* like http://collector:4318$"):
        PLUGIN.build(OtlpConfig(enabled=True, endpoint=endpoint), Ledger())


@pytest.mark.parametrize("text", ["Authorization Bearer secret", "Authorization:", ": secret", "naïve: secret"])
def test_a_file_with_headers_that_cannot_be_used_is_refused_without_showing_it(tmp_path, text):
    file = tmp_path / "headers"
    file.write_text(f"X-Fine: yes\n{text}\n")

    with pytest.raises(ConfigError, match=r"exporters\.otlp\.headers_file") as refused:
        PLUGIN.build(OtlpConfig(enabled=True, endpoint="http://collector:4318", headers_file=str(file)), Ledger())
    assert "secret" not in str(refused.value)


def test_a_missing_file_with_headers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        PLUGIN.build(
            OtlpConfig(enabled=True, endpoint="http://collector:4318", headers_file=str(tmp_path / "none")), Ledger()
        )


def test_the_probe_says_whether_something_listens(collector):
    with collector() as receiver:
        assert PLUGIN.probe(OtlpConfig(endpoint=receiver.url)) == (f"something listens at {receiver.url}",)

    [away] = PLUGIN.probe(OtlpConfig(endpoint=f"http://127.0.0.1:{free_port()}"))
    assert away.startswith("! nothing answers")
    assert PLUGIN.probe(OtlpConfig(endpoint="nonsense"))[0].startswith("! exporters.otlp.endpoint")


def test_listing_the_part_does_not_import_the_sdk():
    code = "import sys, exporters.otlp; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
