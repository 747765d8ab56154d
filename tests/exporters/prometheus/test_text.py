import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.utils import floatToGoString

from exporters.prometheus.text import header, histogram_lines, label_pairs, number, number_prefix
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Exemplar, HistogramValue


@given(st.floats() | st.integers(-(10**9), 10**9).map(float) | st.floats(1e5, 1e18))
@settings(deadline=None)
def test_numbers_are_written_as_the_reference_client_writes_them(value):
    assert number(value) == floatToGoString(value)


@given(st.floats(allow_nan=False))
@settings(deadline=None)
def test_a_number_reads_back_exactly(value):
    assert float(number(value)) == value


def test_integers_are_written_as_floats():
    assert (number(0), number(12), number(123456789)) == ("0.0", "12.0", "1.23456789e+08")


def test_quotes_backslashes_and_newlines_are_escaped():
    assert label_pairs((("a.b", 'x"y\\z\n'),)) == 'a_b="x\\"y\\\\z\\n",'


def test_an_empty_label_value_is_an_absent_label():
    assert label_pairs((("tenant", ""), ("model", "m"))) == 'model="m",'
    assert number_prefix("up", label_pairs((("tenant", ""),))) == "up "


def test_buckets_are_cumulative_and_end_at_infinity():
    value = HistogramValue(bounds=(0.5, 1.0), counts=(1.0, 2.0, 3.0), sum=7.5)

    assert histogram_lines("t_seconds", 'a="b",', value, exemplars=False).splitlines() == [
        't_seconds_bucket{a="b",le="0.5"} 1.0',
        't_seconds_bucket{a="b",le="1.0"} 3.0',
        't_seconds_bucket{a="b",le="+Inf"} 6.0',
        't_seconds_sum{a="b"} 7.5',
        't_seconds_count{a="b"} 6.0',
    ]


def test_a_histogram_without_labels_and_bounds_has_one_bucket():
    value = HistogramValue(bounds=(), counts=(2.0,), sum=3.0)

    assert histogram_lines("t", "", value, exemplars=False) == 't_bucket{le="+Inf"} 2.0\nt_sum 3.0\nt_count 2.0\n'


def test_large_counts_are_written_as_the_reference_client_writes_them():
    value = HistogramValue(bounds=(1.0,), counts=(999_999.0, 1.0), sum=2e6)

    assert histogram_lines("t", "", value, exemplars=False).splitlines() == [
        't_bucket{le="1.0"} 999999.0',
        't_bucket{le="+Inf"} 1e+06',
        "t_sum 2e+06",
        "t_count 1e+06",
    ]


def test_an_exemplar_stands_on_the_bucket_it_fell_into():
    seen = Exemplar(value=0.7, at=1_700_000_000.25, trace_id=bytes(range(16)), span_id=bytes(range(8)))
    value = HistogramValue(bounds=(0.5, 1.0), counts=(1.0, 1.0, 0.0), sum=1.0, exemplars=(None, seen, None))

    lines = histogram_lines("t", "", value, exemplars=True).splitlines()

    assert lines[1] == (
        't_bucket{le="1.0"} 2.0 # {trace_id="000102030405060708090a0b0c0d0e0f",span_id="0001020304050607"}'
        " 0.7 1700000000.250"
    )
    assert [line for line in lines if "#" in line] == [lines[1]]


def test_an_exemplar_without_a_trace_is_none_and_without_a_span_names_the_trace_alone():
    nothing = Exemplar(value=0.1, at=1.0, trace_id=b"", span_id=b"")
    no_span = Exemplar(value=2.0, at=1.0, trace_id=b"\x01" * 16, span_id=b"")
    value = HistogramValue(bounds=(1.0,), counts=(1.0, 1.0), sum=2.1, exemplars=(nothing, no_span))

    first, second, *_ = histogram_lines("t", "", value, exemplars=True).splitlines()

    assert "#" not in first
    assert f'# {{trace_id="{"01" * 16}"}} 2.0 1.000' in second


@pytest.mark.parametrize(
    ("metric", "plain", "openmetrics"),
    [
        (
            Metric("a.work", Kind.COUNTER, "s", 'Say "it"\nand \\.'),
            '# HELP a_work_seconds_total Say "it"\\nand \\\\.\n# TYPE a_work_seconds_total counter\n',
            '# HELP a_work_seconds Say \\"it\\"\\nand \\\\.\n# TYPE a_work_seconds counter\n'
            "# UNIT a_work_seconds seconds\n",
        ),
        (
            Metric("a.share", Kind.GAUGE, "1", "Share."),
            "# HELP a_share_ratio Share.\n# TYPE a_share_ratio gauge\n",
            "# HELP a_share_ratio Share.\n# TYPE a_share_ratio gauge\n# UNIT a_share_ratio ratio\n",
        ),
        (
            Metric("a.tokens", Kind.HISTOGRAM, "{token}", "Tokens."),
            "# HELP a_tokens Tokens.\n# TYPE a_tokens histogram\n",
            "# HELP a_tokens Tokens.\n# TYPE a_tokens histogram\n",
        ),
    ],
    ids=["counter", "gauge", "histogram"],
)
def test_a_family_has_one_help_one_type_and_in_openmetrics_one_unit(metric, plain, openmetrics):
    assert header(metric, openmetrics=False) == plain
    assert header(metric, openmetrics=True) == openmetrics


def test_a_nan_among_counts_is_written_not_raised():
    value = HistogramValue(bounds=(1.0,), counts=(math.nan, 1.0), sum=math.inf)

    assert histogram_lines("t", "", value, exemplars=False).splitlines()[-2:] == ["t_sum +Inf", "t_count NaN"]
