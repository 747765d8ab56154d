"""Pushed metrics: increments of running totals, and never the same usage twice."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from collector.otlp import metrics, series
from collector.otlp.intake import EMITS
from collector.otlp.pending import HOLD_SECONDS
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import health, requests

DURATION = "gen_ai.client.operation.duration"
LABELS = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
BOUNDS = (0.1, 1.0)
DELTA, CUMULATIVE = 1, 2


def histogram(
    otlp: Any,
    counts: Sequence[int] = (1, 2, 3),
    total: float | None = 6.0,
    *,
    name: str = DURATION,
    unit: str = "s",
    bounds: Sequence[float] = BOUNDS,
    start: float = -60.0,
    at: float = 0.0,
    temporality: int = CUMULATIVE,
    flags: int = 0,
    attributes: Mapping[str, object] = LABELS,
) -> Metric:
    built = Metric(name=name, unit=unit)
    built.histogram.aggregation_temporality = temporality  # type: ignore[assignment]
    point = built.histogram.data_points.add(
        start_time_unix_nano=otlp.nanos(start),
        time_unix_nano=otlp.nanos(at),
        count=sum(counts),
        bucket_counts=counts,
        explicit_bounds=bounds,
        flags=flags,
        attributes=otlp.span(attributes).attributes,
    )
    if total is not None:
        point.sum = total
    return built


def values(otlp: Any) -> list[Any]:
    return [sample.value for sample in otlp.settled().samples]


class TestIncrements:
    def test_the_first_total_of_a_series_that_began_under_our_watch_counts_in_full(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))

        assert values(otlp) == [Distribution(BOUNDS, (1.0, 2.0, 3.0), 6.0)]

    def test_the_first_total_from_before_is_only_a_baseline(self, otlp: Any) -> None:
        sent = otlp.fresh(started_at=otlp.now - 30)
        sent.send(histogram(sent))

        assert values(sent) == []
        assert sent.ignored == {"baseline": 1}
        sent.send(histogram(sent, (1, 3, 3), 6.5, at=1.0))
        assert values(sent) == [Distribution(BOUNDS, (0.0, 1.0, 0.0), 0.5)]

    def test_later_totals_count_what_is_new(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))
        otlp.send(histogram(otlp, (1, 2, 5), 16.0, at=1.0))

        assert values(otlp)[1] == Distribution(BOUNDS, (0.0, 0.0, 2.0), 10.0)

    def test_a_total_that_has_not_changed_brings_nothing(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))
        otlp.send(histogram(otlp, at=1.0))

        assert len(values(otlp)) == 1
        assert otlp.ignored == {"unchanged": 1}

    @pytest.mark.parametrize("start", [-60.0, -30.0], ids=["fell", "new start"])
    def test_after_a_reset_all_is_new(self, otlp: Any, start: float) -> None:
        otlp.send(histogram(otlp))
        otlp.send(histogram(otlp, (0, 1, 0), 0.5, start=start, at=1.0))

        assert values(otlp)[1] == Distribution(BOUNDS, (0.0, 1.0, 0.0), 0.5)

    def test_after_a_reset_all_of_a_counter_is_new(self, otlp: Any) -> None:
        for at, total in ((0.0, 7), (1.0, 3)):
            metric = Metric(name="gen_ai.client.inference.usage.input_tokens", unit="{token}")
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
            metric.sum.data_points.add(start_time_unix_nano=otlp.nanos(-1), time_unix_nano=otlp.nanos(at), as_int=total)
            otlp.send(metric)

        assert values(otlp) == [7.0, 3.0]

    def test_two_replicas_with_the_same_attributes_do_not_reset_each_other(self, otlp: Any) -> None:
        for at in (0.0, 1.0, 2.0):
            otlp.send(histogram(otlp, (1, 2, 3 + int(at)), 6.0 + at, start=-60.0, at=at))
            otlp.send(histogram(otlp, (9, 9, 9 + int(at)), 90.0 + at, start=-50.0, at=at))

        assert sum(value.sum for value in values(otlp)) == pytest.approx(8.0 + 92.0)

    @pytest.mark.parametrize(("at", "counts"), [(0.0, (1, 2, 3)), (-1.0, (1, 1, 3))], ids=["again", "late"])
    def test_a_point_sent_again_brings_nothing(self, otlp: Any, at: float, counts: tuple[int, ...]) -> None:
        otlp.send(histogram(otlp))
        otlp.send(histogram(otlp, counts, float(sum(counts)), at=at))
        otlp.send(histogram(otlp, (1, 2, 4), 7.0, at=1.0))

        assert otlp.ignored == {"duplicate": 1}
        assert values(otlp)[1] == Distribution(BOUNDS, (0.0, 0.0, 1.0), 1.0)

    def test_deltas_are_added_as_they_are_and_once(self, otlp: Any) -> None:
        first = histogram(otlp, temporality=DELTA)
        second = histogram(otlp, temporality=DELTA, start=0.0, at=1.0)
        for metric in (first, first, second):
            otlp.send(metric)

        assert values(otlp) == [Distribution(BOUNDS, (1.0, 2.0, 3.0), 6.0)] * 2
        assert otlp.ignored == {"duplicate": 1}

    def test_a_delta_without_a_start_sent_again_late_brings_nothing(self, otlp: Any) -> None:
        first, second = (histogram(otlp, temporality=DELTA, start=-otlp.now, at=at) for at in (0.0, 1.0))
        for metric in (first, second, first):
            otlp.send(metric)

        assert len(values(otlp)) == 2
        assert otlp.ignored == {"duplicate": 1}

    def test_deltas_do_not_push_out_running_totals(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(series, "MAX_SERIES", 5)
        monkeypatch.setattr(series, "MAX_DELTAS", 5)
        protobuf.send(histogram(protobuf))
        protobuf.send(*(histogram(protobuf, temporality=DELTA, start=n - 50.0, at=n - 49.0) for n in range(20)))
        protobuf.send(histogram(protobuf, (1, 2, 4), 7.0, at=1.0))

        assert len(protobuf.intake._metrics._reader.series) == 6
        assert values(protobuf)[-1] == Distribution(BOUNDS, (0.0, 0.0, 1.0), 1.0)

    def test_series_differ_by_any_attribute(self, otlp: Any) -> None:
        otlp.send(histogram(otlp), histogram(otlp, attributes={**LABELS, "stream": True}))

        assert len(values(otlp)) == 2

    def test_series_are_bounded(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(series, "MAX_SERIES", 5)
        protobuf.send(*(histogram(protobuf, attributes={"n": n}) for n in range(20)))

        assert len(protobuf.intake._metrics._reader.series) == 5

    def test_changed_buckets_leave_the_count_and_the_sum(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))
        otlp.send(histogram(otlp, (8,), 9.0, bounds=(), at=1.0))

        assert values(otlp)[1] == Distribution((), (2.0,), 3.0)


class TestBadPoints:
    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            ({"temporality": 0}, "invalid_temporality"),
            ({"counts": (1, 2)}, "invalid_histogram"),
            ({"bounds": (1.0, 0.1)}, "invalid_histogram"),
            ({"bounds": (0.1, float("inf"))}, "invalid_histogram"),
            ({"total": float("nan")}, "invalid_histogram"),
            ({"total": float("inf")}, "invalid_histogram"),
            ({"total": -1.0}, "invalid_histogram"),
            ({"total": 1e308}, "invalid_histogram"),
            ({"total": 1e308, "temporality": DELTA}, "invalid_histogram"),
        ],
    )
    def test_a_point_that_contradicts_itself_is_rejected_alone(
        self, otlp: Any, how: dict[str, Any], reason: str
    ) -> None:
        good = histogram(otlp, attributes={"good": True})

        assert otlp.send(histogram(otlp, **how), good).rejected == 1
        assert len(values(otlp)) == 1
        assert {reason: 1} == otlp.rejected

    @pytest.mark.parametrize(("how", "reason"), [({"flags": 1}, "stale"), ({"total": None}, "no_sum")])
    def test_a_point_without_a_value_is_ignored(self, otlp: Any, how: dict[str, Any], reason: str) -> None:
        assert otlp.send(histogram(otlp, **how)).rejected == 0
        assert {reason: 1} == otlp.ignored

    def test_a_wanted_name_of_another_kind_is_rejected(self, otlp: Any) -> None:
        gauge = Metric(name=DURATION, unit="s")
        gauge.gauge.data_points.add(as_double=1.0, time_unix_nano=otlp.nanos(0.0))

        assert otlp.send(gauge).rejected == 1

    def test_other_metrics_are_ignored_by_their_points(self, otlp: Any) -> None:
        other = Metric(name="http.client.duration", unit="ms")
        for _ in range(3):
            other.gauge.data_points.add(as_double=1.0)
        otlp.send(other, histogram(otlp, name="http.server.duration"))

        assert otlp.read().items == 0
        assert otlp.ignored == {"not_genai": 4}


class TestMeaning:
    @pytest.mark.parametrize("name", metrics.METRICS)
    def test_every_row_gives_a_sample_of_its_metric(self, otlp: Any, name: str) -> None:
        row = metrics.METRICS[name]
        if row.metric.kind.value == "counter":
            metric = Metric(name=name, unit="{token}")
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
            metric.sum.data_points.add(
                start_time_unix_nano=otlp.nanos(-1), time_unix_nano=otlp.nanos(0), as_int=7,
                attributes=otlp.span(LABELS).attributes,
            )  # fmt: skip
        else:
            metric = histogram(otlp, name=name, unit=row.metric.unit)
        otlp.send(metric)
        [sample] = otlp.settled().samples

        assert row.metric == sample.metric
        assert sample.metric in EMITS
        assert [label for label, _ in sample.labels] == [
            label for label in row.metric.labels if label in dict(sample.labels)
        ]
        assert ("service.name", "app") in sample.labels
        if row.token_type:
            assert (requests.TOKEN_TYPE, row.token_type) in sample.labels

    def test_usage_keeps_its_token_type(self, otlp: Any) -> None:
        otlp.send(histogram(otlp, name="gen_ai.client.token.usage", attributes={"gen_ai.token.type": "output"}))
        [sample] = otlp.settled().samples

        assert sample.labels[-2:] == (("watchkeeper.vantage", "client"), ("gen_ai.token.type", "output"))

    def test_milliseconds_become_seconds(self, otlp: Any) -> None:
        otlp.send(histogram(otlp, unit="ms", bounds=(100.0, 1000.0), total=6000.0))

        assert values(otlp) == [Distribution((0.1, 1.0), (1.0, 2.0, 3.0), 6.0)]

    def test_default_buckets_for_seconds_say_only_how_many_and_how_long(self, otlp: Any) -> None:
        bounds = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
        counts = (0, 4, *[0] * 14)
        otlp.send(histogram(otlp, counts, 2.0, bounds=bounds))
        otlp.send(histogram(otlp, counts, 2.0, bounds=bounds, name="gen_ai.client.token.usage", unit="token"))

        duration, usage = values(otlp)
        assert duration == Distribution((), (4.0,), 2.0)
        assert len(usage.bounds) == 15

    def test_an_exponential_histogram_says_how_many_and_how_long(self, otlp: Any) -> None:
        metric = Metric(name=DURATION, unit="s")
        metric.exponential_histogram.aggregation_temporality = CUMULATIVE  # type: ignore[assignment]
        point = metric.exponential_histogram.data_points.add(
            start_time_unix_nano=otlp.nanos(-1), time_unix_nano=otlp.nanos(0), count=4, sum=2.0, scale=3
        )
        point.positive.bucket_counts.extend([1, 3])
        otlp.send(metric)

        assert values(otlp) == [Distribution((), (4.0,), 2.0)]

    @pytest.mark.parametrize(
        ("scope", "vantage"), [("openlit.otel.metrics", "client"), ("vllm", "engine"), ("", "engine")]
    )
    def test_server_metrics_are_the_clients_view_when_a_client_library_sends_them(
        self, otlp: Any, scope: str, vantage: str
    ) -> None:
        otlp.send(histogram(otlp, name="gen_ai.server.time_to_first_token"), scope=scope)
        [sample] = otlp.settled().samples

        assert ("watchkeeper.vantage", vantage) in sample.labels

    def test_a_url_as_server_address_becomes_host_and_port(self, otlp: Any) -> None:
        otlp.send(histogram(otlp, attributes={"server.address": "http://127.0.0.1:18080/v1/"}))
        [sample] = otlp.settled().samples

        assert sample.labels[-2:] == (("server.address", "127.0.0.1"), ("server.port", "18080"))


INSTANCE = {"service.name": "app", "service.instance.id": "1"}


class TestSameUsage:
    def test_what_spans_tell_already_is_not_taken_from_metrics_too(self, otlp: Any) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource=INSTANCE)
        otlp.send(histogram(otlp), resource=INSTANCE)

        assert otlp.settled().samples == ()
        assert otlp.ignored == {"same_call": 1}

    def test_each_of_several_senders_in_one_request_is_noted(self, protobuf: Any) -> None:
        other = {**INSTANCE, "service.instance.id": "2"}
        bodies = [
            protobuf.body(protobuf.span({"gen_ai.operation.name": "chat"}), resource=resource)
            for resource in (INSTANCE, other)
        ]
        protobuf.intake.take(bodies[0][0], protobuf.encoding, bodies[0][1] + bodies[1][1], {}, protobuf.now)
        for resource in (INSTANCE, other):
            protobuf.send(histogram(protobuf), resource=resource)

        assert protobuf.ignored == {"same_call": 2}

    def test_the_time_between_chunks_is_only_in_metrics(self, otlp: Any) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource=INSTANCE)
        otlp.send(histogram(otlp, name="gen_ai.client.operation.time_per_output_chunk"), resource=INSTANCE)

        assert [sample.metric for sample in otlp.settled().samples] == [requests.CLIENT_PER_CHUNK]

    def test_another_instance_is_taken_from_its_metrics(self, otlp: Any) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource=INSTANCE)
        otlp.send(histogram(otlp), resource={**INSTANCE, "service.instance.id": "2"})

        assert len(otlp.settled().samples) == 1

    def test_when_the_spans_stop_the_metrics_go_on_from_there(self, otlp: Any) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource=INSTANCE)
        otlp.send(histogram(otlp), resource=INSTANCE)
        otlp.send(histogram(otlp, (1, 2, 4), 7.0, at=601.0), resource=INSTANCE, now=otlp.now + 601)
        [sample] = otlp.read(otlp.now + 611).samples

        assert [sample.value] == [Distribution(BOUNDS, (0.0, 0.0, 1.0), 1.0)]


class TestBeforeTheCalls:
    """Metrics of a sender not known yet wait for its calls."""

    def call(self, otlp: Any, kind: str) -> Any:
        if kind == "a span":
            return otlp.span({"gen_ai.operation.name": "chat"})
        event = "gen_ai.choice" if kind == "a message" else "gen_ai.client.inference.operation.details"
        return otlp.log(event, LABELS, trace=1, span=1, body={"message": {"content": "x"}})

    def balance(self, otlp: Any) -> float:
        accepted = sum(otlp.counts(health.ACCEPTED).values())
        return accepted - sum(otlp.ignored.values()) - otlp.intake.queue_length

    @pytest.mark.parametrize("kind", ["a span", "a call told by a log record", "a message"])
    def test_they_are_dropped_when_the_first_call_comes(self, otlp: Any, kind: str) -> None:
        otlp.send(histogram(otlp), resource=INSTANCE)
        assert otlp.read(otlp.now + HOLD_SECONDS - 0.1).samples == ()
        assert otlp.intake.queue_length == 1
        otlp.send(self.call(otlp, kind), resource=INSTANCE, now=otlp.now + HOLD_SECONDS - 0.1)

        assert otlp.settled().samples == ()
        assert otlp.ignored["same_call"] == 1
        labels = (("source", "otlp"), ("signal", "metrics"), ("reason", "same_call"))
        assert otlp._counts[(health.IGNORED, labels)] == 1

    def test_a_message_without_a_trace_tells_of_no_span(self, otlp: Any) -> None:
        otlp.send(histogram(otlp), resource=INSTANCE)
        otlp.send(otlp.log("gen_ai.choice"), resource=INSTANCE)

        assert len(otlp.settled().samples) == 1

    def test_they_go_out_when_none_comes_and_later_ones_at_once(self, otlp: Any) -> None:
        otlp.send(histogram(otlp), resource=INSTANCE)
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource={**INSTANCE, "service.instance.id": "2"})
        reading = otlp.settled()
        assert (len(reading.samples), reading.items) == (1, 2)
        later = otlp.now + HOLD_SECONDS
        otlp.send(histogram(otlp, (1, 2, 4), 7.0, at=1.0), resource=INSTANCE, now=later)

        assert len(otlp.read(later).samples) == 1

    def test_every_point_is_in_the_books_while_it_waits(self, otlp: Any) -> None:
        senders = [{**INSTANCE, "service.instance.id": str(n)} for n in range(3)]
        for sender in senders:
            otlp.send(histogram(otlp), histogram(otlp, attributes={"a": 1}), resource=sender)
        assert (self.balance(otlp), otlp.intake.queue_length) == (0, 6)
        assert otlp.intake.queue_size_bytes > 0
        otlp.send(otlp.span({"gen_ai.operation.name": "chat"}), resource=senders[0])
        assert (self.balance(otlp), otlp.intake.queue_length) == (0, 5)
        exported = otlp.read().items
        assert (self.balance(otlp), exported) == (1, 1)
        exported += otlp.settled().items

        assert (self.balance(otlp), exported, otlp.intake.queue_length) == (5, 5, 0)

    def test_at_the_end_all_go_out(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))
        otlp.intake.close()

        assert len(otlp.read().samples) == 1

    def test_a_clock_set_back_does_not_make_them_wait(self, otlp: Any) -> None:
        otlp.send(histogram(otlp))

        assert len(otlp.read(otlp.now - 3600).samples) == 1

    def test_there_is_a_bound_and_what_waited_longest_goes_out_early(self, otlp: Any) -> None:
        sent = otlp.fresh(queue_capacity_bytes=20 * 512 * 4)
        for n in range(30):
            sent.send(histogram(sent), resource={"service.name": str(n)})
        early = [dict(sample.labels)["service.name"] for sample in sent.read().samples]

        assert early == [str(n) for n in range(10)]
        assert sent.intake.queue_length == 20
        assert len(sent.settled().samples) == 20
