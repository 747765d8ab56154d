from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.sdk.resources import Resource

from exporters.otlp.records import metrics_data
from watchkeeper.core.metric import Kind
from watchkeeper.core.records import Exemplar, HistogramValue, Point
from watchkeeper.core.vocabulary import METRICS
from watchkeeper.core.vocabulary.engines import KV_CACHE
from watchkeeper.core.vocabulary.requests import SERVER_FIRST_TOKEN, TOKENS

WHO = (("service.name", "shop"), ("tenant", ""), ("gen_ai.request.model", "smol"))
START, NOW = 1_700_000_000.0, 1_700_000_060.5


def encoded(*points, since=START, at=NOW):
    request = encode_metrics(metrics_data([(point, since) for point in points], at, Resource({"service.name": "w"})))
    [resource_metrics] = request.resource_metrics
    [scope_metrics] = resource_metrics.scope_metrics
    assert scope_metrics.scope.name == "watchkeeper"
    return {metric.name: metric for metric in scope_metrics.metrics}


def attributes(point):
    return {pair.key: pair.value.string_value for pair in point.attributes}


def test_a_counter_is_a_cumulative_monotonic_sum_under_its_opentelemetry_name():
    metric = encoded(Point(TOKENS, WHO, 12.0))["watchkeeper.tokens"]
    [point] = metric.sum.data_points

    assert (metric.unit, metric.sum.is_monotonic) == ("{token}", True)
    assert metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert (point.as_double, point.start_time_unix_nano, point.time_unix_nano) == (
        12.0,
        int(START * 1e9),
        int(NOW * 1e9),
    )


def test_an_empty_label_is_an_absent_attribute():
    [point] = encoded(Point(TOKENS, WHO, 1.0))["watchkeeper.tokens"].sum.data_points

    assert attributes(point) == {"service.name": "shop", "gen_ai.request.model": "smol"}


def test_a_gauge_is_a_gauge():
    [point] = encoded(Point(KV_CACHE, (), 0.25))[KV_CACHE.name].gauge.data_points

    assert point.as_double == 0.25


def test_a_histogram_keeps_its_buckets_sum_and_exemplars():
    seen = Exemplar(value=0.7, at=1_700_000_059.0, trace_id=bytes(range(16)), span_id=bytes(range(8)))
    lost = Exemplar(value=0.1, at=1.0, trace_id=b"", span_id=b"")
    value = HistogramValue((0.5, 1.0), (1.0, 2.0, 3.0), 7.5, (lost, seen, None))
    metric = encoded(Point(SERVER_FIRST_TOKEN, WHO, value))["gen_ai.server.time_to_first_token"]
    [point] = metric.histogram.data_points
    [exemplar] = point.exemplars

    assert metric.unit == "s"
    assert metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
    assert (list(point.explicit_bounds), list(point.bucket_counts)) == ([0.5, 1.0], [1, 2, 3])
    assert (point.count, point.sum, point.start_time_unix_nano) == (6, 7.5, int(START * 1e9))
    assert not point.HasField("min")
    assert (exemplar.trace_id, exemplar.span_id, exemplar.as_double) == (bytes(range(16)), bytes(range(8)), 0.7)


@given(st.lists(st.integers(0, 2**53).map(float), min_size=1, max_size=8), st.floats(allow_nan=False))
@settings(deadline=None, max_examples=50)
def test_any_whole_counts_arrive_as_they_were(counts, total):
    bounds = tuple(float(at) for at in range(len(counts) - 1))
    metric = encoded(Point(SERVER_FIRST_TOKEN, (), HistogramValue(bounds, tuple(counts), total)))[
        SERVER_FIRST_TOKEN.name
    ]
    [point] = metric.histogram.data_points

    assert (list(point.bucket_counts), point.count, point.sum) == (counts, sum(map(int, counts)), total)


def test_a_histogram_with_counts_that_are_none_is_left_out_alone():
    def broken(count):
        return Point(SERVER_FIRST_TOKEN, (("tenant", str(count)),), HistogramValue((1.0,), (count, 1.0), 1.0))

    whole = Point(SERVER_FIRST_TOKEN, (), HistogramValue((1.0,), (1.0, 1.0), 1.0))
    metric = encoded(broken(float("nan")), broken(-1.0), broken(float("inf")), whole)[SERVER_FIRST_TOKEN.name]

    assert [attributes(point) for point in metric.histogram.data_points] == [{}]


def test_series_of_one_metric_stand_together():
    metrics = encoded(Point(TOKENS, (("tenant", "a"),), 1.0), Point(KV_CACHE, (), 1.0), Point(TOKENS, (), 2.0))

    assert len(metrics["watchkeeper.tokens"].sum.data_points) == 2


def test_a_clock_set_back_does_not_make_a_total_end_before_it_began():
    [point] = encoded(Point(TOKENS, (), 1.0), since=NOW, at=START)["watchkeeper.tokens"].sum.data_points

    assert point.start_time_unix_nano == point.time_unix_nano == int(START * 1e9)


def test_every_metric_of_the_vocabulary_can_be_encoded():
    def some(metric):
        if metric.kind is Kind.HISTOGRAM:
            return HistogramValue(metric.buckets, (1.0,) * (len(metric.buckets) + 1), 1.0)
        return 1.0

    assert encoded(*(Point(metric, (), some(metric)) for metric in METRICS)).keys() == {m.name for m in METRICS}
