import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.agent.aggregate import GAUGE_IDLE_SECONDS, Aggregate, HistogramSeries, Series, Twins
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Completion, Distribution, Gap, HistogramValue, Reason, Sample
from watchkeeper.core.vocabulary import devices, health

COUNTER = Metric("test.count", Kind.COUNTER, "", "A count.", ("model",))
GAUGE = Metric("test.level", Kind.GAUGE, "", "A level.", ("model",))
HISTOGRAM = Metric("test.time", Kind.HISTOGRAM, "s", "A time.", ("model",), (1.0, 2.0))


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def aggregate(ledger: Ledger) -> Aggregate:
    return Aggregate(ledger, max_series=50, max_values_per_label=20)


def counted(ledger: Ledger, metric: Metric) -> float:
    return sum(float(sample.value) for sample in ledger.drain(0.0) if sample.metric == metric)  # type: ignore[arg-type]


def test_increments_add_up_and_a_gauge_keeps_the_newest(aggregate: Aggregate) -> None:
    for value in (1.0, 2.0):
        aggregate.apply(Sample(COUNTER, value, 10.0))
        aggregate.apply(Sample(GAUGE, value, 10.0))

    points, _ = aggregate.changed()

    assert {point.metric: point.value for point in points} == {COUNTER: 3.0, GAUGE: 2.0}


def test_an_observation_on_a_bound_belongs_to_that_bucket(aggregate: Aggregate) -> None:
    for value in (1.0, 1.5, 99.0):
        aggregate.apply(Sample(HISTOGRAM, value, 10.0))

    [point] = aggregate.changed()[0]

    assert point.value == HistogramValue((1.0, 2.0), (1, 1, 1), 101.5)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 4.0]), min_size=1, unique=True), min_size=1, max_size=3),
    st.lists(
        st.tuples(st.one_of(st.none(), st.sampled_from([0.5, 1.0, 4.0]), st.floats(0, 5)), st.booleans()), min_size=1
    ),
)
def test_twins_say_what_each_of_them_would_have_said_alone(
    bounds: list[list[float]], given_values: list[tuple[float | None, bool]]
) -> None:
    changed: list[Series] = []
    metrics = [Metric("test.time", Kind.HISTOGRAM, "s", "A time.", (), tuple(sorted(own))) for own in bounds]
    alone, together = ([HistogramSeries(metric, (), changed) for metric in metrics] for _ in range(2))
    given_values = sorted(given_values, key=lambda pair: pair[1])
    values = [value for value, _ in given_values]
    calls = [
        Completion(at=float(number), trace_id=b"t" * 16 if is_traced else b"", span_id=number.to_bytes(8, "big"))
        for number, (_, is_traced) in enumerate(given_values)
    ]

    Twins(*together).observe_all(values, calls, 9.0)
    for series in alone:
        for value, call in zip(values, calls, strict=True):
            if value is not None:
                series.observe(value, call.at, call.trace_id, call.span_id)

    for one, twin in zip(alone, together, strict=True):
        assert (twin.counts, twin.exemplars, twin.touched_at) == (one.counts, one.exemplars, 9.0)
        assert twin.sum == pytest.approx(one.sum)
        assert twin in changed


def test_whole_numbers_are_in_the_buckets_they_would_be_in_alone() -> None:
    metric = Metric("test.size", Kind.HISTOGRAM, "", "A size.", (), (1.0, 2.5, 4.0, 4095.0, 4096.0, 1e6))
    sizes = [-1, 0, 1, 2, 3, 4, 5, 4094, 4095, 4096, 4097, 10**6, 10**9]
    alone, together = HistogramSeries(metric, (), []), HistogramSeries(metric, (), [])

    together.count_all(sizes, sum(sizes), 7.0)
    for size in sizes:
        alone.observe(size, 7.0)

    assert together.point() == alone.point()
    assert together.touched_at == 7.0


def test_only_what_changed_is_handed_over(aggregate: Aggregate) -> None:
    aggregate.apply(Sample(COUNTER, 1, 10.0, (("model", "a"),)))
    aggregate.changed()
    aggregate.apply(Sample(COUNTER, 1, 11.0, (("model", "b"),)))

    points, _ = aggregate.changed()

    assert [point.labels for point in points] == [(("model", "b"),)]
    assert aggregate.changed() == ((), ())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_counter_never_takes_a_number_that_cannot_be_right(
    aggregate: Aggregate, ledger: Ledger, value: float
) -> None:
    aggregate.apply(Sample(COUNTER, value, 10.0))

    assert aggregate.changed()[0] == ()
    assert counted(ledger, health.INVALID_VALUES) == 1


@pytest.mark.parametrize(
    "many",
    [
        Distribution((1.0, 2.0), (1.0, 1.0), 2.0),
        Distribution((1.0, 2.0), (1.0, -1.0, 1.0), 2.0),
        Distribution((1.0, 2.0), (1.0, 1.0, 1.0), math.nan),
        Distribution((2.0, 1.0), (1.0, 1.0, 1.0), 2.0),
    ],
    ids=["too few counts", "negative count", "sum not a number", "bounds fall"],
)
def test_a_broken_distribution_is_left_out_and_counted(
    aggregate: Aggregate, ledger: Ledger, many: Distribution
) -> None:
    aggregate.apply(Sample(HISTOGRAM, many, 10.0))

    assert aggregate.changed()[0] == ()
    assert counted(ledger, health.INVALID_VALUES) == 1


def test_a_fresh_series_takes_the_bounds_of_what_it_is_given(aggregate: Aggregate) -> None:
    aggregate.apply(Sample(HISTOGRAM, Distribution((0.3, 5.0), (1.0, 2.0, 0.0), 4.0), 10.0))

    [point] = aggregate.changed()[0]

    assert point.value == HistogramValue((0.3, 5.0), (1.0, 2.0, 0.0), 4.0)


@settings(deadline=None)
@given(
    st.lists(st.floats(0.001, 100), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(0, 50), min_size=7, max_size=7),
)
def test_other_bounds_never_lose_an_observation_nor_move_it_down(bounds: list[float], counts: list[int]) -> None:
    aggregate = Aggregate(Ledger(), max_series=5, max_values_per_label=5)
    aggregate.apply(Sample(HISTOGRAM, 0.5, 1.0))
    ascending = tuple(sorted(bounds))
    given_counts = tuple(float(count) for count in counts[: len(ascending) + 1])

    aggregate.apply(Sample(HISTOGRAM, Distribution(ascending, given_counts, 7.0), 2.0))

    value = aggregate.changed()[0][0].value
    assert isinstance(value, HistogramValue)
    assert sum(value.counts) == 1 + sum(given_counts)
    below_one = sum(count for bound, count in zip(ascending, given_counts, strict=False) if bound <= 1.0)
    assert value.counts[0] == 1 + below_one


def test_ten_thousand_model_names_cost_a_bounded_number_of_series(aggregate: Aggregate, ledger: Ledger) -> None:
    for number in range(10_000):
        aggregate.apply(Sample(COUNTER, 1, 10.0, (("model", f"model-{number}"),)))

    points, _ = aggregate.changed()

    assert len(points) == 21
    assert sum(float(point.value) for point in points) == 10_000  # type: ignore[arg-type]
    assert {point.value for point in points if point.labels == (("model", "other"),)} == {9980.0}
    assert counted(ledger, health.LABEL_OVERFLOW) > 0


def test_past_the_bound_of_a_label_a_gauge_is_left_out(aggregate: Aggregate, ledger: Ledger) -> None:
    for number in range(30):
        aggregate.apply(Sample(GAUGE, float(number), 10.0, (("model", f"model-{number}"),)))

    points, _ = aggregate.changed()

    assert [point.value for point in points] == [float(number) for number in range(20)]
    assert counted(ledger, health.LABEL_OVERFLOW) == 10


def test_past_the_series_limit_totals_stay_whole_under_other(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=2, max_values_per_label=20)
    metric = Metric("test.calls", Kind.COUNTER, "", "Calls.", ("model", "outcome"))

    for model in "abcdc":
        for outcome in ("ok", "error"):
            aggregate.apply(Sample(metric, 1, 10.0, (("model", model), ("outcome", outcome))))

    points = {point.labels: point.value for point in aggregate.changed()[0]}
    assert sum(points.values()) == 10  # type: ignore[arg-type]
    assert points[("model", "other"), ("outcome", "error")] == 4
    assert len(points) == 4
    assert counted(ledger, health.SERIES_FOLDED) == 6


def test_past_the_series_limit_a_devices_faults_keep_class_severity_and_vendor(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=1, max_values_per_label=20)
    kind = (("hw.vendor", "nvidia"), ("fault.class", "bus"), ("severity", "critical"))

    for device in "abc":
        aggregate.apply(Sample(devices.FAULTS, 1, 10.0, (("hw.id", device), *kind)))

    points = {point.labels: point.value for point in aggregate.changed()[0]}
    assert points[(("hw.id", "other"), *kind)] == 2


def test_past_the_series_limit_a_gauge_is_left_out_and_counted(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=1, max_values_per_label=20)

    for model in "ab":
        aggregate.apply(Sample(GAUGE, 1, 10.0, (("model", model),)))

    assert [point.labels for point in aggregate.changed()[0]] == [(("model", "a"),)]
    assert counted(ledger, health.SERIES_FOLDED) == 1


def test_a_series_that_is_left_out_again_and_again_is_one_that_is_folded(ledger: Ledger) -> None:
    """Gauges are told anew at each reading; counters are looked up anew whenever something went."""
    aggregate = Aggregate(ledger, max_series=2, max_values_per_label=20)
    for number in range(5):
        for model in "abc":
            aggregate.apply(Sample(GAUGE, 1, 10.0 * number, (("model", model),)))
            aggregate.apply(Sample(COUNTER, 1, 10.0 * number, (("model", model),)))
        aggregate.forget(Gap(GAUGE, Reason.LOST, (("model", "a"),)))

    assert counted(ledger, health.SERIES_FOLDED) == 5  # all, but for the first counter


def test_a_series_whose_label_overflows_is_counted_once_however_often_it_comes(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=100, max_values_per_label=2)
    for number in range(5):
        for model in "abcd":
            aggregate.apply(Sample(GAUGE, 1, 10.0 * number, (("model", model),)))

    assert counted(ledger, health.LABEL_OVERFLOW) == 2


def test_what_is_remembered_of_folded_series_is_bounded(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=10, max_values_per_label=20_000)
    for number in range(1_000):
        aggregate.apply(Sample(GAUGE, 1, 10.0, (("model", str(number)),)))
        assert len(aggregate._folded) <= 40

    assert counted(ledger, health.SERIES_FOLDED) == 990


def test_past_the_series_limit_the_own_health_is_still_told(ledger: Ledger) -> None:
    aggregate = Aggregate(ledger, max_series=1, max_values_per_label=20)
    aggregate.apply(Sample(COUNTER, 1, 10.0, (("model", "a"),)))

    aggregate.apply(Sample(health.EXPORTED, 5, 10.0, (("source", "otlp"),)))

    assert {point.metric for point in aggregate.changed()[0]} == {COUNTER, health.EXPORTED}


def test_a_counter_that_is_at_its_end_makes_room_in_minutes_unless_it_goes_on(aggregate: Aggregate) -> None:
    for model in "ab":
        aggregate.apply(Sample(COUNTER, 1, 1000.0, (("model", model),)))
    aggregate.forget(*(Gap(COUNTER, Reason.OFF, (("model", model),), is_one_series=True) for model in "ab"))
    aggregate.sweep(1200.0)
    assert len(aggregate) == 2

    aggregate.apply(Sample(COUNTER, 1, 1250.0, (("model", "b"),)))
    aggregate.sweep(1400.0)

    assert [(point.labels, point.value) for point in aggregate.changed()[0]] == [((("model", "b"),), 2)]


def test_a_gap_makes_the_gauges_it_names_go(aggregate: Aggregate) -> None:
    for model in "ab":
        aggregate.apply(Sample(GAUGE, 1, 10.0, (("model", model),)))
    aggregate.changed()

    aggregate.forget(Gap(GAUGE, Reason.UNREACHABLE, (("model", "a"),)))

    assert aggregate.changed() == ((), ((GAUGE, (("model", "a"),)),))
    assert len(aggregate) == 1


def test_a_gap_of_one_series_leaves_those_that_have_more_labels(aggregate: Aggregate) -> None:
    device, unit = ("hw.id", "GPU-1"), ("systemd.unit", "vllm.service")
    for labels in ((device,), (device, unit)):
        aggregate.apply(Sample(devices.PROCESS_MEMORY, 1, 10.0, labels))
    aggregate.changed()

    aggregate.forget(Gap(devices.PROCESS_MEMORY, Reason.UNSUPPORTED, (device,), is_one_series=True))

    assert aggregate.changed() == ((), ((devices.PROCESS_MEMORY, (device,)),))


def test_many_gaps_at_once_make_every_gauge_go_that_one_of_them_names(aggregate: Aggregate) -> None:
    for model in "abc":
        aggregate.apply(Sample(GAUGE, 1, 10.0, (("model", model),)))
    aggregate.changed()
    gaps = (
        Gap(GAUGE, Reason.LOST, (("model", "a"),)),
        Gap(GAUGE, Reason.LOST, (("model", "c"),), is_one_series=True),
        Gap(GAUGE, Reason.LOST, (("model", "gone already"),), is_one_series=True),
        Gap(GAUGE, Reason.LOST, (("model", "a"),), is_one_series=True),
    )

    aggregate.forget(*gaps)

    assert {labels[0][1] for _, labels in aggregate.changed()[1]} == {"a", "c"}
    assert len(aggregate) == 1


def test_a_gap_leaves_counters_alone(aggregate: Aggregate) -> None:
    aggregate.apply(Sample(COUNTER, 1, 10.0))

    aggregate.forget(Gap(COUNTER, Reason.UNREACHABLE))

    assert len(aggregate) == 1


def test_a_gauge_nobody_sets_any_more_goes_and_its_label_value_makes_room(aggregate: Aggregate) -> None:
    aggregate.apply(Sample(GAUGE, 1, 10.0, (("model", "old"),)))
    aggregate.apply(Sample(COUNTER, 1, 10.0, (("model", "kept"),)))
    aggregate.changed()

    aggregate.sweep(10.0 + GAUGE_IDLE_SECONDS + 1)

    assert aggregate.changed()[1] == ((GAUGE, (("model", "old"),)),)
    assert aggregate.label_values() == {"model": 1}


def test_a_series_that_went_starts_anew_when_it_comes_back(aggregate: Aggregate) -> None:
    aggregate.apply(Sample(GAUGE, 1, 10.0))
    aggregate.forget(Gap(GAUGE, Reason.LOST))
    aggregate.changed()

    aggregate.apply(Sample(GAUGE, 5, 20.0))

    assert [point.value for point in aggregate.changed()[0]] == [5]


def test_a_series_holds_the_labels_it_was_told_and_no_copy_of_them(aggregate: Aggregate) -> None:
    labels = (("model", "".join(["ll", "ama"])),)
    aggregate.apply(Sample(COUNTER, 1.0, 10.0, labels))

    [point], _ = aggregate.changed()

    assert point.labels is labels
