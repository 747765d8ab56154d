from typing import Any

import pytest

from collector._pages.page import parse
from collector.engines import TABLES, dynamo
from collector.engines.recognise import observe_all, recognise
from watchkeeper.core.vocabulary import engines, requests

REASON = "gen_ai.response.finish_reason"


@pytest.mark.parametrize("prefix", ["dynamo_frontend_", "nv_llm_http_service_"])
def test_requests_end_well_cancelled_or_in_error(prefix: str, read: Any) -> None:
    said = read(
        dynamo.FRONTEND,
        f"# TYPE {prefix}requests_total counter",
        f'{prefix}requests_total{{error_type="",model="q",status="success"}} 87',
        f'{prefix}requests_total{{error_type="cancelled",model="q",status="error"}} 2',
        f'{prefix}requests_total{{error_type="internal",model="q",status="error"}} 1',
        f'{prefix}requests_total{{error_type="overload",model="q",status="error"}} 4',
    )

    assert said.by(engines.FINISHED, REASON) == {("unknown",): 87.0, ("abort",): 2.0, ("error",): 5.0}
    assert said.by(engines.FAILED, "error.type") == {("cancelled",): 2.0, ("internal",): 1.0, ("overload",): 4.0}
    assert len(said.by(engines.FINISHED, "gen_ai.provider.name", "gen_ai.request.model", REASON)) == 3


def test_before_errors_had_types_they_are_errors_all_the_same(read: Any) -> None:
    said = read(
        dynamo.FRONTEND,
        "# TYPE dynamo_frontend_requests_total counter",
        'dynamo_frontend_requests_total{model="q",status="success"} 7',
        'dynamo_frontend_requests_total{model="q",status="error"} 1',
    )

    assert said.by(engines.FINISHED, REASON) == {("unknown",): 7.0, ("error",): 1.0}
    assert said.by(engines.FAILED, "error.type") == {("_OTHER",): 1.0}


def test_tokens_are_the_sums_of_the_lengths_and_waiting_the_stages_before_the_first(read: Any, histogram: Any) -> None:
    said = read(
        dynamo.FRONTEND,
        "# TYPE dynamo_frontend_input_sequence_tokens histogram",
        histogram("dynamo_frontend_input_sequence_tokens", 'model="q"', count=3, total=900),
        "# TYPE dynamo_frontend_output_sequence_tokens histogram",
        histogram("dynamo_frontend_output_sequence_tokens", 'model="q"', count=3, total=90),
        "# TYPE dynamo_frontend_cached_tokens histogram",
        histogram("dynamo_frontend_cached_tokens", 'model="q"', count=3, total=64),
        "# TYPE dynamo_frontend_stage_requests gauge",
        'dynamo_frontend_stage_requests{phase="",stage="preprocess"} 1',
        'dynamo_frontend_stage_requests{phase="prefill",stage="route"} 2',
        'dynamo_frontend_stage_requests{phase="decode",stage="dispatch"} 4',
        'dynamo_frontend_stage_requests{phase="",stage="something_new"} 8',
        "# TYPE dynamo_frontend_queued_requests gauge",
        'dynamo_frontend_queued_requests{model="q"} 99',
        "# TYPE dynamo_frontend_active_requests gauge",
        'dynamo_frontend_active_requests{model="q"} 6',
        "# TYPE dynamo_frontend_inflight_requests gauge",
        'dynamo_frontend_inflight_requests{model="q"} 99',
    )

    assert said.by(engines.TOKENS, requests.TOKEN_TYPE) == {("input",): 900.0, ("output",): 90.0}
    assert list(said.by(engines.CACHED_TOKENS).values()) == [64.0]
    assert list(said.by(engines.WAITING).values()) == [7.0]
    assert list(said.by(engines.RUNNING).values()) == [6.0]


WORKER = """# TYPE dynamo_component_gpu_cache_usage_percent gauge
dynamo_component_gpu_cache_usage_percent{dynamo_component="backend",model="q"} 0.5
# TYPE dynamo_component_requests_total counter
dynamo_component_requests_total{dynamo_component="backend",model="q"} 10
"""
PASSED_ON = '# TYPE {0}:prompt_tokens_total counter\n{0}:prompt_tokens_total{{model="q",model_name="q"}} 40\n'


@pytest.mark.parametrize(("prefix", "title"), [("vllm", "vLLM"), ("sglang", "SGLang"), ("trtllm", "TensorRT-LLM")])
def test_a_workers_page_is_read_for_the_worker_and_for_its_engine(prefix: str, title: str) -> None:
    recognised = recognise(parse((WORKER + PASSED_ON.format(prefix)).encode(), 100), TABLES)
    assert recognised is not None
    observation = observe_all(recognised, {})

    assert recognised.title == f"Dynamo worker, {title}"
    said = {(metric, dict(labels)["gen_ai.provider.name"]) for metric, labels in observation.becomes.values()}
    assert {metric for metric, _ in said} == {engines.TOKENS}
    assert {provider for _, provider in said} != {"dynamo"}
    assert {dict(labels)["gen_ai.provider.name"] for _, labels in observation.gauges} == {"dynamo"}
    assert (observation.mapped, observation.unmapped) == (2, 1)


def test_a_worker_without_an_engines_families_is_a_worker() -> None:
    recognised = recognise(parse(WORKER.encode(), 100), TABLES)

    assert recognised is not None
    assert [view.table for view in recognised.views] == [dynamo.WORKER]


def test_a_frontend_that_also_watches_workers_is_a_frontend() -> None:
    page = "# TYPE dynamo_frontend_active_requests gauge\ndynamo_frontend_active_requests 1\n" + WORKER
    recognised = recognise(parse(page.encode(), 100), TABLES)

    assert recognised is not None
    assert [view.table for view in recognised.views] == [dynamo.FRONTEND]


def test_what_a_frontend_counts_is_marked_as_seen_there(read: Any) -> None:
    said = read(dynamo.FRONTEND, "# TYPE dynamo_frontend_output_tokens_total counter",
                'dynamo_frontend_output_tokens_total{model="q"} 5')  # fmt: skip

    assert said.by(engines.TOKENS, "gen_ai.provider.name", requests.ROLE) == {("dynamo", "frontend"): 5.0}
