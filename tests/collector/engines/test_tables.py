"""Promises that every table keeps, present and future."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector._pages.page import parse, plain_name
from collector.engines import TABLES
from collector.engines.deltas import Deltas
from collector.engines.mapping import observe, samples
from collector.engines.table import From, Row, Table, at, detect, sum_of
from watchkeeper.core.metric import Kind, Metric

EVERY = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
RENAMED = [
    pytest.param(table, row, id=f"{table.name}-{row.sources[0].name}")
    for table in TABLES
    for row in table.rows
    if len(row.sources) > 1 and row.metric.kind is Kind.COUNTER
]


def family(metric: Metric, source: From, number: int = 1) -> str:
    """A family as this source expects it."""
    name = source.name
    if metric.kind is Kind.HISTOGRAM or source.value is sum_of:
        return (
            f'# TYPE {name} histogram\n{name}_bucket{{le="+Inf"}} {number}\n{name}_sum {number}\n{name}_count {number}'
        )
    return f"# TYPE {name} {metric.kind.value}\n{name} {number}"


def names(table: Table) -> list[str]:
    """What its families are called on a page that was read."""
    return sorted({plain_name(source.name).removesuffix("_total") for row in table.rows for source in row.sources})


@pytest.mark.parametrize("table", [table for table in TABLES if table.rows], ids=lambda table: table.title)
def test_a_page_of_all_its_families_is_known_to_it_alone_and_without_an_invalid_number(table: Table) -> None:
    families = {source.name: family(row.metric, source) for row in table.rows for source in row.sources}
    more = "num_request_max 64\n" if table.name == "nim" else ""  # tells the engine, but nothing of the vocabulary
    page = parse(("\n".join(families.values()) + f"\n{more}").encode(), 10_000)

    assert [known.name for known in TABLES if known.matches(page.families.keys())] == [table.name]
    assert not observe(page, table, {}).invalid


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_some_families_of_one_engine_never_look_like_another(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from([table for table in TABLES if table.rows]))
    some = data.draw(st.sets(st.sampled_from(names(table)), min_size=1))
    also = {"triton"} if any(name.startswith("nv_inference_") for name in some) else set()  # it runs other engines

    assert {known.name for known in TABLES if known.matches(some)} <= {table.name} | also


@pytest.mark.parametrize(
    "names",
    [
        {"num_requests_running"},
        {"num_requests_running", "num_requests_waiting", "prompt_tokens", "generation_tokens"},
        {"gpu_cache_usage_perc", "num_requests_running"},
        {"num_request_max", "num_requests_running"},
        {"request_received", "request_success", "http_requests"},
        {"time_to_first_token_seconds", "e2e_request_latency_seconds"},
        {"my_vllm_prompt_tokens"},
        {"http_requests", "process_cpu_seconds"},
        {"python_gc_objects_collected"},
        {"tgi"},
        set(),
    ],
    ids=lambda names: ",".join(sorted(names)) or "nothing",
)
def test_a_page_that_only_shares_names_with_an_engine_is_nobodys(names: set[str]) -> None:
    assert detect(names, TABLES) is None


@EVERY
def test_every_label_that_a_row_sets_is_one_of_its_metrics(table: Table) -> None:
    for row in table.rows:
        for source in row.sources:
            names = [name for name, _ in (*row.constants, *source.constants)] + [label.ours for label in source.labels]
            assert set(names) <= set(row.metric.labels), row.metric.name


@EVERY
def test_a_number_as_a_total_is_no_histogram_and_the_other_way_round(table: Table) -> None:
    """A row whose metric is a histogram never takes a histogram's sum."""
    assert not [
        source.name
        for row in table.rows
        for source in row.sources
        if row.metric.kind is Kind.HISTOGRAM and source.value is sum_of
    ]


@pytest.mark.parametrize(("table", "row"), RENAMED)
def test_a_total_only_grows_while_processes_with_its_old_and_its_new_name_answer_in_turn(
    table: Table, row: Row
) -> None:
    """A rolling upgrade behind one address: no name's total is ever taken for the other's."""
    new, old = row.sources[0], row.sources[-1]
    answers = [(old, 1000), (old, 1010), (new, 3), (old, 1015), (new, 5), (old, 1015), (new, 9), (new, 12)]
    deltas = Deltas(0.0, 1000)
    grown = []
    for turn, (source, number) in enumerate(answers):
        page = parse(f"{family(row.metric, source, number)}\n".encode(), 1000)
        observation = observe(page, table, {})
        advance = deltas.advance(observation.totals, 5.0 * turn, frozenset(page.families))
        brought = samples(observation, advance.increments, 5.0 * turn)
        [value] = [sample.value for sample in brought if sample.metric == row.metric]
        grown.append(value)
        assert not advance.reset

    assert grown == [0.0, 10.0, 0.0, 5.0, 2.0, 0.0, 4.0, 3.0]


def test_an_answer_without_what_was_asked_for_says_nothing() -> None:
    version = at("data", 0, "version")

    assert version({"data": [{"version": 1.5}]}) == "1.5"
    assert version({"data": [{"version": None}]}) == version({"data": None}) == version([]) == version("data") == ""
    for lacking in ({"data": []}, {"other": 1}):
        with pytest.raises(LookupError):
            version(lacking)
