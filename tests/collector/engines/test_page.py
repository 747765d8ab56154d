import json
import math
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from collector._pages.fault import Fault, Refused
from collector._pages.page import MAX_BOUNDS, Page, Type, Value, parse
from watchkeeper.core.records import Distribution


def read(*lines: str) -> Page:
    return parse(("\n".join(lines) + "\n").encode(), 10_000)


def values(page: Page, name: str) -> dict[tuple[tuple[str, str], ...], Value]:
    found = page.find(name)
    assert found is not None
    return {series.labels: series.value for series in found[1].series}


def refusal(body: bytes, max_series: int = 10_000) -> Fault:
    with pytest.raises(Refused) as refused:
        parse(body, max_series)
    return refused.value.fault


def test_a_colon_and_an_underscore_are_the_same_name() -> None:
    colon = read("# TYPE vllm:num_requests_running gauge", "vllm:num_requests_running 3")
    underscore = read("# TYPE vllm_num_requests_running gauge", "vllm_num_requests_running 3")

    assert colon == underscore
    assert values(colon, "vllm:num_requests_running") == {(): 3.0}


def test_a_server_that_escapes_sample_names_but_not_type_lines_is_understood() -> None:
    page = read("# TYPE vllm:prompt_tokens counter", "vllm_prompt_tokens_total 7", "vllm_prompt_tokens_created 1.7e9")

    [series] = page.families["vllm_prompt_tokens"].series
    assert (series.value, series.created) == (7.0, 1.7e9)


@pytest.mark.parametrize("after", [" 1700000000.123", " 1.7e+09", ' 1.7e9 # {trace_id="a}b"} 0.5 1.7e+09', " -1"])
def test_a_time_or_an_example_behind_a_number_costs_nothing(after: str) -> None:
    assert values(
        read("# TYPE vllm:num_requests_running gauge", f"vllm:num_requests_running 3{after}"),
        "vllm:num_requests_running",
    ) == {(): 3.0}


@pytest.mark.parametrize("asked", ["tgi_request_success", "tgi_request_success_total"])
@pytest.mark.parametrize("exposed", ["tgi_request_success", "tgi_request_success_total"])
def test_a_counter_is_found_with_and_without_total(asked: str, exposed: str) -> None:
    assert values(read(f"# TYPE {exposed} counter", f"{exposed} 109"), asked) == {(): 109.0}


@pytest.mark.parametrize("turn", [1, -1])
def test_a_gauge_named_as_a_counter_without_total_is_another_family(turn: int) -> None:
    gauge = "# TYPE vllm_prompt_tokens gauge", 'vllm_prompt_tokens{model_name="m"} 6'
    counter = "# TYPE vllm_prompt_tokens_total counter", 'vllm_prompt_tokens_total{model_name="m"} 7'

    page = read(*(line for lines in (gauge, counter)[::turn] for line in lines))

    assert not page.invalid
    assert values(page, "vllm:prompt_tokens_total") == {(("model_name", "m"),): 7.0}
    assert values(page, "vllm:prompt_tokens") == {(("model_name", "m"),): 6.0}


def test_type_decides_that_a_name_ending_in_total_is_a_histogram() -> None:
    page = read(
        "# TYPE vllm:iteration_tokens_total histogram",
        'vllm:iteration_tokens_total_bucket{le="8"} 1',
        'vllm:iteration_tokens_total_bucket{le="+Inf"} 3',
        "vllm:iteration_tokens_total_sum 60",
        "vllm:iteration_tokens_total_count 3",
        "# TYPE vllm:iteration_tokens_total_created gauge",
        "vllm:iteration_tokens_total_created 1.7672256e+09",
    )

    [series] = page.families["vllm_iteration_tokens_total"].series
    assert series.value == Distribution((8.0,), (1.0, 2.0), 60.0)
    assert series.created == 1767225600.0
    assert list(page.families) == ["vllm_iteration_tokens_total"]


def test_without_type_lines_the_suffix_decides() -> None:
    page = read("a_total 1", 'b_bucket{le="+Inf"} 2', "b_sum 3", "b_count 2", "c_sum 4", "d 5")

    assert {name: family.type for name, family in page.families.items()} == {
        "a": Type.COUNTER, "b": Type.HISTOGRAM, "c_sum": Type.UNTYPED, "d": Type.UNTYPED,
    }  # fmt: skip


def test_a_page_that_is_one_json_string_is_read_like_the_page_itself() -> None:
    text = "# TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred 2\n"

    assert parse(json.dumps(text).encode(), 100) == parse(text.encode(), 100)


def test_blank_lines_carriage_returns_timestamps_and_exemplars_do_not_matter() -> None:
    page = read("", "# TYPE a counter\r", "   ", "a 1 1700000000000\r", 'a{x="1"} 2 # {trace_id="00"} 1.0 1.5', "", "")

    assert values(page, "a") == {(): 1.0, (("x", "1"),): 2.0}
    assert not page.invalid


@pytest.mark.parametrize(
    ("written", "meant"), [("1.5e+011", 1.5e11), ("+Inf", math.inf), ("-1", -1.0), ("1E3", 1000.0)]
)
def test_numbers_as_engines_write_them(written: str, meant: float) -> None:
    assert values(read(f"a {written}"), "a") == {(): meant}


@pytest.mark.parametrize("written", ["Nan", "NaN", "nan"])
def test_nan_in_any_spelling_is_a_number_that_is_none(written: str) -> None:
    [value] = values(read(f"a {written}"), "a").values()

    assert isinstance(value, float)
    assert math.isnan(value)


def test_the_order_of_labels_and_the_place_of_le_do_not_matter() -> None:
    page = read(
        "# TYPE h histogram",
        'h_bucket{le="1",model_name="m",engine="0"} 1',
        'h_bucket{engine="0",le="+Inf",model_name="m"} 2',
        'h_sum{model_name="m",engine="0"} 5',
        'h_count{engine="0",model_name="m"} 2',
    )

    assert values(page, "h") == {(("engine", "0"), ("model_name", "m")): Distribution((1.0,), (1.0, 1.0), 5.0)}


def test_a_gauge_with_le_and_gt_keeps_them_as_labels() -> None:
    page = read("# TYPE g gauge", 'g{gt="1",le="2"} 3', 'g{gt="2",le="3"} 4')

    assert values(page, "g") == {(("gt", "1"), ("le", "2")): 3.0, (("gt", "2"), ("le", "3")): 4.0}


def test_escapes_in_label_values_are_undone() -> None:
    assert values(read(r'a{x="q\"u\\o\nte}#, "} 1'), "a") == {(("x", 'q"u\\o\nte}#, '),): 1.0}


def test_a_histogram_of_1024_buckets_is_made_coarser_and_loses_nothing() -> None:
    lines = [f'h_bucket{{le="{bound}"}} {bound}' for bound in range(1, 1025)]
    page = read("# TYPE h histogram", *lines, 'h_bucket{le="+Inf"} 1030', "h_sum 9000", "h_count 1030")

    [value] = values(page, "h").values()
    assert isinstance(value, Distribution)
    assert len(value.bounds) <= MAX_BOUNDS
    assert value.bounds[:2] == (4.0, 8.0)
    assert (sum(value.counts), value.counts[0], value.counts[-1]) == (1030.0, 4.0, 6.0)


def test_the_start_of_the_process_is_read() -> None:
    assert read("# TYPE process_start_time_seconds gauge", "process_start_time_seconds 1.75e+09").started == 1.75e9
    assert read("a 1").started is None


def test_a_family_without_series_is_there() -> None:
    page = read("# HELP e .", "# TYPE e counter", "# TYPE a gauge", "a 1")

    assert values(page, "e_total") == {}


def test_one_odd_line_costs_one_line() -> None:
    odd = ["b{x=1} 2", "c", "f{} 1_000", 'h{x="1",x="2"} 8', "j 1#2", "k2", 'l{x="1"}', 'm{x="1} 2', "n 1 x"]
    page = read("a 1", *odd, "d 4", "e 5", "g 7", "i 9", *(f"o{number} 1" for number in range(9)))

    assert page.invalid == {"line": len(odd)}
    assert set(page.families) == {"a", "d", "e", "g", "i", *(f"o{number}" for number in range(9))}


def test_of_a_series_given_twice_the_first_counts() -> None:
    page = read("a 1", "a 2", "b 3")

    assert values(page, "a") == {(): 1.0}
    assert page.invalid == {"line": 1}


@pytest.mark.parametrize(
    "buckets", [['h_bucket{le="1"} 5', 'h_bucket{le="+Inf"} 3'], ['h_bucket{le="+Inf"} NaN'], ['h_bucket{le="1"} 1']]
)
def test_a_histogram_that_contradicts_itself_is_left_out(buckets: list[str]) -> None:
    page = read("# TYPE h histogram", *buckets, "h_sum 1", "# TYPE a gauge", "a 1")

    assert values(page, "h") == {}
    assert page.invalid == {"series": 1}


WHOLE = """# HELP a .
# TYPE a counter
a_total{engine="0"} 851
# HELP h .
# TYPE h histogram
h_bucket{le="0.5"} 3
h_bucket{le="+Inf"} 4
h_count 4
h_sum 2.5
"""


@pytest.mark.parametrize("length", range(1, len(WHOLE)))
def test_half_a_page_gives_no_wrong_number(length: int) -> None:
    whole = parse(WHOLE.encode(), 100)
    try:
        half = parse(WHOLE[:length].encode(), 100)
    except Refused:
        return

    for name, family in half.families.items():
        assert set(family.series) <= set(whole.families[name].series)


def test_a_last_line_without_its_newline_is_left_out_and_the_rest_is_used() -> None:
    page = parse(b"# TYPE a gauge\na 1\n# TYPE b gauge\nb 12", 100)

    assert [series.value for series in page.families["a"].series] == [1.0]
    assert page.families["b"].series == ()


@pytest.mark.parametrize("end", ["# HELP h .\n", 'h_bucket{le="0.5"} 3\n', "h_count 4\n", "h_su", "h_sum 2"])
def test_a_page_that_breaks_off_is_refused(end: str) -> None:
    assert refusal(WHOLE[: WHOLE.index(end) + len(end)].encode()) is Fault.TRUNCATED


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", Fault.MALFORMED),
        (b"\n\n", Fault.MALFORMED),
        (b"<html><body>502</body></html>\n", Fault.HTML),
        (b"\n<!DOCTYPE html>\n", Fault.HTML),
        (b'{"error": 1}\n', Fault.JSON),
        (b"[]\n", Fault.JSON),
        (b'"# TYPE a gauge\\na 1', Fault.TRUNCATED),
        (b'"<html>"', Fault.HTML),
        (b"Not Found, sorry\nnothing here\n", Fault.MALFORMED),
        (b"\x00\xff\xfe binary\n\x01\n", Fault.MALFORMED),
    ],
)
def test_what_is_no_page_is_refused_by_what_it_is(body: bytes, fault: Fault) -> None:
    assert refusal(body) is fault


def test_a_page_with_too_many_samples_or_families_is_refused() -> None:
    samples = "".join(f'a{{x="{number}"}} 1\n' for number in range(11))
    families = "".join(f"# TYPE a{number} gauge\n" for number in range(11))

    assert refusal(samples.encode(), max_series=10) is Fault.TOO_LARGE
    assert refusal(families.encode(), max_series=10) is Fault.TOO_LARGE


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace") + b"\n"))
@example(b'"\\ud800\\n"')
@example(b"#" * 50 + b"\n")
def test_random_bytes_are_a_page_or_a_refusal(body: bytes) -> None:
    with suppress(Refused):
        assert isinstance(parse(body, 50), Page)


FRAGMENTS = st.sampled_from(
    ["# TYPE ", "a", "a_total", "a_bucket", "a_sum", "a_count", "a_created", "{", "}", 'le="', "1", '"', "\\", ",", " ",
     "\n", "counter", "histogram", "summary", "+Inf", "NaN", "-1", "=", "#", "\t"]
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.lists(FRAGMENTS, max_size=60))
def test_pieces_of_pages_in_any_order_are_a_page_or_a_refusal(pieces: list[str]) -> None:
    try:
        page = parse(("".join(pieces) + "\n").encode(), 50)
    except Refused:
        return
    for family in page.families.values():
        for series in family.series:
            if isinstance(series.value, Distribution):
                assert all(count >= 0 for count in series.value.counts)
                assert len(series.value.counts) == len(series.value.bounds) + 1


@settings(deadline=None, max_examples=60)
@given(
    label=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    count=st.floats(0, 1e12),
    gauge=st.floats(allow_nan=False),
    observed=st.lists(st.floats(0, 100), max_size=20),
)
def test_what_prometheus_client_writes_is_read_back(
    label: str, count: float, gauge: float, observed: list[float]
) -> None:
    registry = CollectorRegistry()
    Counter("vllm:c", "count", ["x"], registry=registry).labels(label).inc(count)
    Gauge("vllm:g", "gauge", ["x"], registry=registry).labels(label).set(gauge)
    histogram = Histogram("vllm:h", "histogram", ["x"], registry=registry, buckets=(1, 10)).labels(label)
    for value in observed:
        histogram.observe(value)

    page = parse(generate_latest(registry), 100)

    key = (("x", label),)
    assert values(page, "vllm:c_total") == {key: count}
    assert values(page, "vllm:g") == {key: gauge}
    [many] = values(page, "vllm:h").values()
    assert isinstance(many, Distribution)
    assert many.counts == (
        sum(value <= 1 for value in observed),
        sum(1 < value <= 10 for value in observed),
        sum(value > 10 for value in observed),
    )
    assert many.sum == pytest.approx(sum(observed))
    assert all(series.created for series in (*page.families["vllm_c"].series, *page.families["vllm_h"].series))
    assert not page.invalid
