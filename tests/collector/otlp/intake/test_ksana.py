"""KsanaLLM's pushes: every interval once, units and ranks as they are meant, and silence that shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from collector.otlp import ksana
from collector.otlp.intake import EMITS
from collector.otlp.ksana_table import ROWS, SCOPE, Take
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric as Ours
from watchkeeper.core.records import Distribution, Reading, Reason
from watchkeeper.core.vocabulary import engines, health, requests

BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
WHO = {"instance": "10.0.0.7", "container_name": "ksana-0"}
DELTA, CUMULATIVE = 1, 2
INTERVAL = 30.0


def histogram(
    otlp: Any,
    name: str,
    count: int,
    total: float,
    *,
    bounds: Sequence[float] = BOUNDS,
    end: float = 0.0,
    start: float | None = None,
    attributes: Mapping[str, object] = WHO,
) -> Metric:
    """All observations in the last bucket."""
    built = Metric(name=name)
    built.histogram.aggregation_temporality = DELTA  # type: ignore[assignment]
    built.histogram.data_points.add(
        start_time_unix_nano=otlp.nanos(end - INTERVAL if start is None else start),
        time_unix_nano=otlp.nanos(end),
        count=count,
        sum=total,
        explicit_bounds=bounds,
        bucket_counts=(*[0] * len(bounds), count),
        attributes=otlp.span(attributes).attributes,
    )
    return built


def counter(
    otlp: Any,
    name: str,
    amount: int,
    *,
    end: float = 0.0,
    start: float | None = None,
    temporality: int = DELTA,
    attributes: Mapping[str, object] = WHO,
) -> Metric:
    built = Metric(name=name)
    built.sum.is_monotonic = True
    built.sum.aggregation_temporality = temporality  # type: ignore[assignment]
    built.sum.data_points.add(
        start_time_unix_nano=otlp.nanos(end - INTERVAL if start is None else start),
        time_unix_nano=otlp.nanos(end),
        as_int=amount,
        attributes=otlp.span(attributes).attributes,
    )
    return built


def push(otlp: Any, *items: Metric, after: float = 0.0, resource: Mapping[str, object] = {}) -> Any:
    return otlp.send(*items, scope=SCOPE, resource=resource, now=otlp.now + after)


class Told:
    """What has been read, by metric."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def all(self, metric: Ours) -> list[Any]:
        return [sample.value for sample in self.reading.samples if sample.metric == metric]

    def one(self, metric: Ours) -> Any:
        [value] = self.all(metric)
        return value


def told(otlp: Any, after: float = 0.0) -> Told:
    return Told(otlp.read(otlp.now + after))


class TestUnits:
    def test_microseconds_whose_buckets_end_at_10_ms_are_a_count_and_a_sum_for_means_alone(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "time_to_first_token_us", 40, 2_848_282))
        [sample] = [s for s in otlp.read().samples if s.metric == requests.SERVER_FIRST_TOKEN]

        assert sample.value == Distribution((), (40.0,), pytest.approx(2.848282))
        assert ("watchkeeper.vantage", "totals") in sample.labels

    def test_buckets_that_reach_far_enough_are_kept_in_seconds(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "time_to_first_token_us", 4, 9e6, bounds=(500_000, 2_000_000)))
        push(otlp, histogram(otlp, "total_latency_ms", 4, 9000))
        latencies = requests.SERVER_FIRST_TOKEN, requests.SERVER_DURATION
        first, whole = (sample for sample in otlp.read().samples if sample.metric in latencies)

        assert first.value == Distribution((0.5, 2.0), (0.0, 0.0, 4.0), 9.0)
        assert (whole.value.bounds[1], whole.value.bounds[-1]) == (0.005, 10.0)
        assert {dict(s.labels)["watchkeeper.vantage"] for s in (first, whole)} == {"engine"}

    def test_time_in_the_queue_is_seconds_in_all_where_buckets_would_lie(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "batch_manager_schedule_us", 2, 3_000_000))
        push(otlp, histogram(otlp, "batch_manager_schedule_ms", 2, 50_000))
        said = told(otlp)

        assert said.one(engines.WORK_TIME) == 3.0
        assert said.one(engines.QUEUE_TIME).sum == 50.0
        assert len(said.one(engines.QUEUE_TIME).bounds) == 15

    def test_lengths_are_sizes_of_requests_and_tokens_in_all(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "input_token_len", 3, 40_000.0), histogram(otlp, "output_token_len", 3, 36_000.0))
        said = told(otlp)

        usage = said.all(requests.CLIENT_TOKEN_USAGE)
        assert [len(many.bounds) for many in usage] == [15, 15]
        assert [many.sum for many in usage] == said.all(engines.TOKENS) == [40_000.0, 36_000.0]

    def test_status_codes_are_counted_and_never_added_up(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "forward_req_error_num", 3, 39.0), counter(otlp, "forward_req_timeout_num", 2))

        assert told(otlp).all(engines.FAILED) == [3.0, 2.0]

    def test_errors_as_a_counter_of_older_builds_are_counted_too(self, otlp: Any) -> None:
        push(otlp, counter(otlp, "forward_req_error_num", 5))

        assert told(otlp).one(engines.FAILED) == 5.0

    def test_successes_and_aborts_are_what_has_finished(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "total_latency_us", 40, 1e8), counter(otlp, "forward_req_aborted_num", 1))

        assert told(otlp).all(engines.FINISHED) == [40.0, 1.0]

    def test_tokens_told_a_second_way_are_not_added(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "input_token_len", 3, 40.0), counter(otlp, "computed_input_token_num", 30))

        assert told(otlp).all(engines.TOKENS) == [40.0]
        assert otlp.ignored == {"not_genai": 1}

    @pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.metric.name}")
    def test_every_row_gives_a_sample_of_its_metric(self, otlp: Any, row: Any) -> None:
        push(
            otlp,
            counter(otlp, row.name, 8) if row.take is Take.SUM else histogram(otlp, row.name, 2, 8.0, bounds=(1e9,)),
        )
        found = [s for s in otlp.read().samples if s.metric == row.metric and set(row.constants) <= set(s.labels)]

        assert len(found) == 1
        assert row.metric in EMITS
        assert [name for name, _ in found[0].labels] == [n for n in row.metric.labels if n in dict(found[0].labels)]


class TestGauges:
    def test_a_gauge_is_the_mean_of_its_interval(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "batch_scheduler_batch_size", 200, 720))

        assert told(otlp).one(engines.RUNNING) == 3.6

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
    def test_ranks_are_added_up_and_the_name_without_rank_which_mixes_them_is_not(
        self, otlp: Any, order: Sequence[int]
    ) -> None:
        sent = [
            histogram(otlp, "batch_scheduler_waiting_size", 20, 50),
            histogram(otlp, "batch_scheduler_waiting_size_0", 10, 20),
            histogram(otlp, "batch_scheduler_waiting_size_1", 10, 30),
        ]
        push(otlp, *(sent[place] for place in order))

        assert told(otlp).all(engines.WAITING)[-1] == 5.0

    def test_a_rank_that_says_no_more_is_not_counted_on(self, otlp: Any) -> None:
        push(otlp, *(histogram(otlp, f"batch_scheduler_batch_size_{rank}", 1, 4) for rank in range(2)))
        push(otlp, histogram(otlp, "batch_scheduler_batch_size_0", 1, 1, end=INTERVAL))

        assert told(otlp).all(engines.RUNNING) == [4.0, 8.0, 1.0]

    def test_a_push_that_comes_late_adds_its_counts_and_moves_no_gauge_back(self, otlp: Any) -> None:
        for end, size in ((INTERVAL, 5), (0.0, 2)):
            push(
                otlp,
                histogram(otlp, "batch_scheduler_batch_size", 1, size, end=end),
                counter(otlp, "forward_req_total_num", size, end=end),
            )

        said = told(otlp)
        assert said.all(engines.RUNNING) == [5.0]
        assert said.all(engines.RECEIVED) == [5.0, 2.0]

    def test_a_rank_is_part_of_the_name_of_gauges_only(self, otlp: Any) -> None:
        push(otlp, counter(otlp, "forward_req_total_num_0", 5), counter(otlp, "time_to_first_token_us_1", 5))

        assert told(otlp).reading.samples == ()
        assert otlp.ignored == {"not_genai": 2}

    def test_an_interval_without_an_observation_says_nothing(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "batch_scheduler_batch_size", 0, 0))

        assert told(otlp).reading.samples == ()


class TestIntervals:
    def test_every_interval_counts_once_however_often_it_is_sent(self, otlp: Any) -> None:
        first = counter(otlp, "forward_req_total_num", 42), histogram(otlp, "total_latency_us", 40, 1e8)
        second = counter(otlp, "forward_req_total_num", 8, end=INTERVAL)
        for items in (first, first, (second,), first, (second,)):
            push(otlp, *items)
        said = told(otlp)

        assert said.all(engines.RECEIVED) == [42.0, 8.0]
        assert said.one(requests.SERVER_DURATION).sum == pytest.approx(100.0)
        assert otlp.ignored == {"duplicate": 5}

    def test_a_restart_goes_on_from_zero(self, otlp: Any) -> None:
        push(otlp, counter(otlp, "forward_req_total_num", 42))
        push(otlp, counter(otlp, "forward_req_total_num", 3, start=20.0, end=50.0), after=50.0)

        assert told(otlp).all(engines.RECEIVED) == [42.0, 3.0]

    def test_running_totals_are_followed_over_a_restart_as_well(self, otlp: Any) -> None:
        for start, end, total in ((-60.0, 0.0, 42), (-60.0, 30.0, 50), (40.0, 60.0, 3)):
            push(otlp, counter(otlp, "forward_req_total_num", total, start=start, end=end, temporality=CUMULATIVE))

        assert told(otlp).all(engines.RECEIVED) == [42.0, 8.0, 3.0]

    def test_a_counter_at_zero_exists(self, otlp: Any) -> None:
        push(otlp, counter(otlp, "recompute_request_num", 0))
        reading = otlp.read()

        assert Told(reading).one(engines.PREEMPTIONS) == 0.0
        assert (reading.items, otlp.ignored) == (1, {})

    def test_an_interval_that_never_came_is_a_gap_and_is_not_filled(self, otlp: Any) -> None:
        push(otlp, counter(otlp, "forward_req_total_num", 42))
        push(
            otlp,
            counter(otlp, "forward_req_total_num", 8, end=3 * INTERVAL),
            histogram(otlp, "total_latency_us", 8, 1e6, end=3 * INTERVAL),
        )
        said = told(otlp)

        assert said.all(engines.RECEIVED) == [42.0, 8.0]
        assert [(gap.metric, gap.reason) for gap in said.reading.gaps] == [(engines.RECEIVED, Reason.LOST)]
        assert ("server.address", "10.0.0.7") in said.reading.gaps[0].labels

    def test_intervals_that_follow_one_another_are_no_gap(self, otlp: Any) -> None:
        for end in (0.0, INTERVAL, 2 * INTERVAL):
            push(otlp, counter(otlp, "forward_req_total_num", 1, end=end))

        assert told(otlp).reading.gaps == ()

    @settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        amounts=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
        order=st.lists(st.integers(0, 7), max_size=20),
    )
    def test_in_any_order_and_number_the_sum_is_that_of_the_intervals(
        self, protobuf: Any, amounts: list[int], order: list[int]
    ) -> None:
        otlp = protobuf.fresh()
        for place in (*order, *range(len(amounts))):
            place %= len(amounts)
            push(otlp, counter(otlp, "forward_req_total_num", amounts[place], end=place * INTERVAL))

        assert sum(told(otlp).all(engines.RECEIVED)) == sum(amounts)


class TestSilence:
    def test_after_two_and_a_half_intervals_its_gauges_are_gone(self, otlp: Any) -> None:
        push(otlp, histogram(otlp, "batch_scheduler_batch_size", 1, 4))
        assert told(otlp, 74.9).reading.gaps == ()

        gaps = told(otlp, 75.0).reading.gaps

        assert {gap.metric for gap in gaps} == {engines.RUNNING, engines.ENGINE_UP}
        assert {gap.reason for gap in gaps} == {Reason.LOST}
        assert told(otlp, 80.0).reading.gaps == ()

    def test_it_is_up_again_with_the_next_push(self, otlp: Any) -> None:
        aggregate = Aggregate(Ledger(), max_series=100, max_values_per_label=100)
        pipeline = Pipeline(aggregate, Ledger(), [])

        def up() -> list[float]:
            return [p.value for p in aggregate.changed()[0] if p.metric in (engines.ENGINE_UP, engines.RUNNING)]  # type: ignore[misc]

        push(otlp, histogram(otlp, "batch_scheduler_batch_size", 1, 4))
        pipeline.accept("otlp", otlp.read(), otlp.now)
        assert up() == [1.0, 4.0]
        pipeline.accept("otlp", otlp.read(otlp.now + 75), otlp.now + 75)
        points, gone = aggregate.changed()
        assert (points, len(gone)) == ((), 2)
        push(otlp, histogram(otlp, "batch_scheduler_batch_size", 1, 2, end=100.0), after=100.0)
        pipeline.accept("otlp", otlp.read(otlp.now + 100), otlp.now + 100)
        assert up() == [1.0, 2.0]

    def test_gauges_are_bounded(self, protobuf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ksana, "MAX_GAUGES", 4)
        for n in range(20):
            push(protobuf, histogram(protobuf, "batch_scheduler_batch_size", 1, 4, attributes={"instance": str(n)}))

        assert len(protobuf.intake._metrics._ksana._gauges) == 4


class TestWho:
    def labels(
        self, otlp: Any, attributes: Mapping[str, object], resource: Mapping[str, object] = {}
    ) -> dict[str, str]:
        push(otlp, counter(otlp, "forward_req_total_num", 1, attributes=attributes), resource=resource)
        [sample] = [s for s in otlp.read().samples if s.metric == engines.RECEIVED]
        return dict(sample.labels)

    def test_an_instance_is_the_address_and_a_container_the_pod(self, otlp: Any) -> None:
        assert self.labels(otlp, WHO) == {
            "gen_ai.provider.name": "ksanallm", "server.address": "10.0.0.7", "k8s.pod.name": "ksana-0",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("instance", "address"),
        [
            ("host:8080", ("host", "8080")), ("[::1]:8080", ("::1", "8080")), ("::1", ("::1", None)),
            ("a:b", ("a:b", None)), ("", (None, None)),
        ],
    )  # fmt: skip
    def test_an_instance_may_have_a_port(self, otlp: Any, instance: str, address: tuple[str, str]) -> None:
        labels = self.labels(otlp, {"instance": instance})

        assert (labels.get("server.address"), labels.get("server.port")) == address

    def test_the_resource_will_do_where_points_say_nothing(self, otlp: Any) -> None:
        labels = self.labels(otlp, {}, {**WHO, "service.name": "chat"})

        assert (labels["server.address"], labels["k8s.pod.name"], labels["service.name"]) == (
            "10.0.0.7",
            "ksana-0",
            "chat",
        )

    @pytest.mark.parametrize("name", ["gen_ai.request.model", "model_name", "model"])
    def test_a_model_that_the_operator_names_is_the_model(self, otlp: Any, name: str) -> None:
        assert self.labels(otlp, {name: "hunyuan"})["gen_ai.request.model"] == "hunyuan"

    def test_the_same_names_of_another_scope_mean_nothing(self, otlp: Any) -> None:
        otlp.send(counter(otlp, "forward_req_total_num", 1), scope="ksana_inference_metrics_v2")

        assert otlp.settled().samples == ()
        assert otlp.ignored == {"not_genai": 1}


class TestBadPoints:
    @pytest.mark.parametrize("total", [float("nan"), float("inf"), -1.0, 1e300])
    def test_a_number_that_cannot_be_right_is_rejected_alone(self, otlp: Any, total: float) -> None:
        answer = push(
            otlp, histogram(otlp, "time_to_first_token_us", 1, total), counter(otlp, "forward_req_total_num", 1)
        )

        assert answer.rejected == 1
        assert told(otlp).one(engines.RECEIVED) == 1.0

    def test_what_is_accepted_is_exported_or_ignored(self, otlp: Any) -> None:
        items = (
            histogram(otlp, "time_to_first_token_us", 40, 2e6),
            histogram(otlp, "batch_scheduler_batch_size", 40, 80),
            counter(otlp, "forward_req_total_num", 42),
            counter(otlp, "anything_else", 1),
        )
        push(otlp, *items)
        push(otlp, *items)
        exported = otlp.read().items

        accepted = sum(otlp.counts(health.ACCEPTED).values())
        assert accepted == exported + sum(otlp.ignored.values()) == 8
