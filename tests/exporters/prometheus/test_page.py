import math
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from exporters.prometheus.page import MALFORMED, SERIES_LIMIT, Page
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Batch, Exemplar, HistogramValue, Point
from watchkeeper.core.vocabulary import METRICS

LABELS = ("gen_ai.request.model", "tenant", "k8s.pod.name")
COUNTER = Metric("test.tokens", Kind.COUNTER, "{token}", 'Tokens "so far"\\.', LABELS)
GAUGE = Metric("test.load", Kind.GAUGE, "1", "Load.", LABELS)
HISTOGRAM = Metric("test.duration", Kind.HISTOGRAM, "s", "Duration.", LABELS)


def drawn(page, *, openmetrics):
    return b"".join(chain.from_iterable(page.draw(openmetrics=openmetrics)))


def draw(points, *, openmetrics=True):
    page = Page(max_series=10_000, exemplars=True)
    assert not page.update(Batch(at=1.0, points=tuple(points)))
    return drawn(page, openmetrics=openmetrics).decode()


def gauge(value, **labels):
    return Point(GAUGE, tuple(labels.items()), value)


values = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\n\x00\r{},= #\u2028'), max_size=128)
label_sets = st.dictionaries(st.sampled_from(LABELS), values.filter(bool)).map(lambda pairs: tuple(pairs.items()))
totals = st.integers(0, 10**12).map(float)


@st.composite
def histogram_values(draw):
    bounds = sorted(draw(st.sets(st.floats(0, 1e9), min_size=1, max_size=6)))
    counts = draw(st.lists(totals, min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    upper = [*bounds, bounds[-1] + 1]
    exemplars = [
        draw(st.none() | st.builds(Exemplar, st.just(bound), st.floats(0, 4e9), st.binary(min_size=16, max_size=16),
                                   st.binary(min_size=8, max_size=8)))
        for bound in upper
    ]  # fmt: skip
    return HistogramValue(tuple(bounds), tuple(counts), draw(st.floats(0, 1e12)), tuple(exemplars))


def points_of(metric, value):
    unique = st.lists(st.tuples(label_sets, value), max_size=4, unique_by=lambda pair: frozenset(pair[0]))
    return unique.map(lambda pairs: [Point(metric, labels, value) for labels, value in pairs])


def expected(points):
    """What a reader must find, told without the code under test."""
    found = {}
    for point in points:
        labels = {name.replace(".", "_"): value for name, value in point.labels}
        if point.metric is COUNTER:
            found["test_tokens_total", frozenset(labels.items())] = point.value
        elif point.metric is GAUGE:
            found["test_load_ratio", frozenset(labels.items())] = point.value
        else:
            bounds = [*map(repr, point.value.bounds), "+Inf"]
            for bound, total in zip(bounds, accumulate(point.value.counts), strict=True):
                le = float(bound)
                found["test_duration_seconds_bucket", frozenset({**labels, "le": le}.items())] = total
            found["test_duration_seconds_sum", frozenset(labels.items())] = point.value.sum
            found["test_duration_seconds_count", frozenset(labels.items())] = math.fsum(point.value.counts)
    return found


def read(families):
    found = {}
    for family in families:
        for sample in family.samples:
            labels = {name: float(value) if name == "le" else value for name, value in sample.labels.items()}
            found[sample.name, frozenset(labels.items())] = sample.value
    return found


@given(
    points_of(COUNTER, totals), points_of(GAUGE, st.floats(allow_nan=False)), points_of(HISTOGRAM, histogram_values())
)
@settings(deadline=None, max_examples=100)
def test_what_is_drawn_the_reference_parsers_read_back(counters, gauges, histograms):
    points = [*counters, *gauges, *histograms]

    assert read(parse_plain(draw(points, openmetrics=False))) == expected(points)
    assert read(parse_openmetrics(draw(points))) == expected(points)


@given(histogram_values())
@settings(deadline=None, max_examples=50)
def test_exemplars_read_back_with_their_trace(value):
    [family] = parse_openmetrics(draw([Point(HISTOGRAM, (), value)]))

    read_back = [sample.exemplar for sample in family.samples if sample.name.endswith("_bucket")]

    for ours, theirs in zip(value.exemplars, read_back, strict=True):
        if ours is None:
            assert theirs is None
        else:
            assert theirs.labels == {"trace_id": ours.trace_id.hex(), "span_id": ours.span_id.hex()}
            assert theirs.value == ours.value
            assert float(theirs.timestamp) == pytest.approx(ours.at, abs=0.001)


def test_text_has_no_exemplars_and_no_end_mark():
    seen = Exemplar(0.1, 1.0, b"\x01" * 16, b"\x02" * 8)
    point = Point(HISTOGRAM, (), HistogramValue((1.0,), (1.0, 0.0), 0.1, (seen, None)))
    page = Page(max_series=10, exemplars=True)
    page.update(Batch(at=1.0, points=(point,)))

    with_trace, without, again = (drawn(page, openmetrics=flag) for flag in (True, False, True))

    assert (b"trace_id" in with_trace, b"trace_id" in without) == (True, False)
    assert (with_trace.endswith(b"# EOF\n"), b"# EOF" in without) == (True, False)
    assert with_trace == again


def test_exemplars_can_be_switched_off():
    seen = Exemplar(0.1, 1.0, b"\x01" * 16, b"\x02" * 8)
    page = Page(max_series=10, exemplars=False)
    page.update(Batch(at=1.0, points=(Point(HISTOGRAM, (), HistogramValue((), (1.0,), 0.1, (seen,))),)))

    assert b"trace_id" not in drawn(page, openmetrics=True)


def test_an_empty_page_is_a_valid_page():
    assert draw([], openmetrics=False) == ""
    assert draw([]) == "# EOF\n"


def test_families_are_sorted_and_series_within_a_family():
    lines = draw([Point(COUNTER, (), 1.0), gauge(2.0, tenant="b"), gauge(1.0, tenant="a")]).splitlines()

    assert [line for line in lines if line.startswith("# TYPE")] == [
        "# TYPE test_load_ratio gauge",
        "# TYPE test_tokens counter",
    ]
    assert [line for line in lines if line.startswith("test_load")] == [
        'test_load_ratio{tenant="a"} 1.0',
        'test_load_ratio{tenant="b"} 2.0',
    ]


def test_series_of_one_family_may_have_bounds_of_their_own():
    points = [
        Point(HISTOGRAM, (("tenant", "a"),), HistogramValue((0.1,), (1.0, 1.0), 1.0)),
        Point(HISTOGRAM, (("tenant", "b"),), HistogramValue((0.2, 0.4), (1.0, 1.0, 1.0), 1.0)),
    ]

    assert read(parse_openmetrics(draw(points))) == expected(points)


@pytest.mark.parametrize("openmetrics", [True, False], ids=["OpenMetrics", "text"])
def test_a_changed_series_shows_its_newest_total_and_the_others_stay(openmetrics):
    def points(total):
        value = HistogramValue((1.0,), (total, 0.0), total)
        return (Point(GAUGE, (), total), Point(COUNTER, (), total), Point(HISTOGRAM, (), value))

    others = tuple(Point(point.metric, (("tenant", "b"),), point.value) for point in points(1.0))
    page = Page(max_series=10, exemplars=True)
    page.update(Batch(at=1.0, points=(*points(1.0), *others)))
    drawn(page, openmetrics=openmetrics)
    page.update(Batch(at=2.0, points=points(5.0)))

    assert drawn(page, openmetrics=openmetrics).decode() == draw([*others, *points(5.0)], openmetrics=openmetrics)


def test_a_series_that_is_gone_leaves_the_page_and_the_last_one_takes_its_family_along():
    page = Page(max_series=10, exemplars=True)
    page.update(Batch(at=1.0, points=(gauge(1.0, tenant="a"), gauge(1.0, tenant="b"))))
    drawn(page, openmetrics=False)
    page.update(Batch(at=2.0, gone=((GAUGE, (("tenant", "a"),)), (COUNTER, ()))))
    one = drawn(page, openmetrics=False).decode()
    page.update(Batch(at=3.0, gone=((GAUGE, (("tenant", "b"),)),)))

    assert one.splitlines()[2:] == ['test_load_ratio{tenant="b"} 1.0']
    assert drawn(page, openmetrics=False) == b""


def test_series_past_the_limit_are_left_out_until_there_is_room():
    page = Page(max_series=1, exemplars=True)

    assert page.update(Batch(at=1.0, points=(gauge(1.0, tenant="a"), gauge(1.0, tenant="b")))) == {SERIES_LIMIT: 1}
    assert not page.update(Batch(at=2.0, points=(gauge(2.0, tenant="a"),)))
    assert not page.update(Batch(at=3.0, points=(gauge(3.0, tenant="b"),), gone=((GAUGE, (("tenant", "a"),)),)))
    assert b'{tenant="b"} 3.0' in drawn(page, openmetrics=True)


@pytest.mark.parametrize(
    "point",
    [
        Point(HISTOGRAM, (), HistogramValue((1.0,), (1.0,), 1.0)),
        Point(HISTOGRAM, (), HistogramValue((1.0,), (1.0, 1.0), 1.0, (None,))),
        Point(HISTOGRAM, (), 1.0),
        Point(GAUGE, (), HistogramValue((), (1.0,), 1.0)),
    ],
    ids=["counts short", "exemplars short", "number for histogram", "histogram for gauge"],
)
def test_a_point_that_cannot_be_drawn_costs_itself_alone(point):
    page = Page(max_series=10, exemplars=True)

    assert page.update(Batch(at=1.0, points=(point, gauge(1.0, tenant="a")))) == {MALFORMED: 1}
    assert b'{tenant="a"} 1.0' in drawn(page, openmetrics=True)


def test_a_lone_surrogate_does_not_break_the_page():
    assert 'tenant="a?b"' in draw([gauge(1.0, tenant="a\ud800b")])


def test_the_whole_vocabulary_fits_on_one_page_under_names_of_its_own():
    def some(metric):
        if metric.kind is Kind.HISTOGRAM:
            return HistogramValue(metric.buckets, (1.0,) * (len(metric.buckets) + 1), 1.0)
        return 1.0

    points = [Point(metric, tuple((label, "x") for label in metric.labels), some(metric)) for metric in METRICS]

    families = list(parse_openmetrics(draw(points)))

    assert len(families) == len(METRICS) == len({family.name for family in families})
    assert all(len(sample.labels) >= len(metric.labels) for metric, sample in zip(
        sorted(METRICS, key=lambda metric: metric.prometheus_name), (f.samples[0] for f in families), strict=True
    ))  # fmt: skip


def test_a_page_drawn_while_totals_arrive_shows_one_moment():
    page = Page(max_series=1000, exemplars=True)
    names = [str(number) for number in range(200)]

    def write(total):
        page.update(Batch(at=0.0, points=tuple(gauge(float(total), tenant=name) for name in names)))

    def totals_on_page():
        lines = drawn(page, openmetrics=False).decode().splitlines()[2:]
        return {line.split()[-1] for line in lines}

    write(0)
    with ThreadPoolExecutor(3) as pool:
        writer = pool.submit(lambda: [write(total) for total in range(300)])
        readers = [pool.submit(lambda: [totals_on_page() for _ in range(50)]) for _ in range(2)]
        seen = [moment for reader in readers for moment in reader.result()]
        writer.result()

    assert all(len(moment) == 1 for moment in seen)
    assert totals_on_page() == {"299.0"}
