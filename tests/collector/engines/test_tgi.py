from typing import Any

import pytest

from collector._pages.page import MAX_BOUNDS
from collector.engines.tgi import TABLE
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests


def test_tokens_are_the_sums_of_its_histograms(read: Any, histogram: Any) -> None:
    given, made = "tgi_request_input_length", "tgi_request_generated_tokens"
    said = read(
        TABLE,
        *(f"# TYPE {name} histogram" for name in (given, made)),
        histogram(given, count=109, total=662),
        "",
        histogram(made, count=109, total=3423),
    )

    assert said.by(engines.TOKENS, "gen_ai.token.type") == {("input",): 662.0, ("output",): 3423.0}
    assert said.by(requests.CLIENT_TOKEN_USAGE, "gen_ai.token.type") == {
        ("input",): Distribution((1.0,), (0.0, 109.0), 662.0),
        ("output",): Distribution((1.0,), (0.0, 109.0), 3423.0),
    }
    assert not said.observation.invalid


def test_accepted_tokens_are_the_sum_of_a_summary(read: Any) -> None:
    name = "tgi_request_skipped_tokens"
    said = read(
        TABLE, f"# TYPE {name} summary", f'{name}{{quantile="0.5"}} 1', f"{name}_sum 42", f"{name}_count 7", "a 1"
    )

    assert said.by(engines.ACCEPTED_TOKENS) == {(): 42.0}


@pytest.mark.parametrize("total", ["", "_total"])
def test_requests_are_received_finished_and_failed_by_reason(read: Any, total: str) -> None:
    errors = ("overloaded", "validation", "generation", "incomplete", "dropped", "template", "brand_new")
    said = read(
        TABLE,
        f"# TYPE tgi_request_count{total} counter",
        f"tgi_request_count{total} 120",
        f"# TYPE tgi_request_success{total} counter",
        f"tgi_request_success{total} 109",
        f"# TYPE tgi_request_failure{total} counter",
        *(f'tgi_request_failure{total}{{err="{error}"}} 1' for error in errors),
    )

    assert said.by(engines.RECEIVED) == {(): 120.0}
    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {("unknown",): 109.0}
    assert said.by(engines.FAILED, "error.type") == {
        **{(error,): 1.0 for error in errors[:-1]},
        ("_OTHER",): 1.0,
    }


def test_its_estimates_are_not_published(read: Any, histogram: Any) -> None:
    """The time of a batch is none of a request, reserved tokens are not used ones."""
    batch, mean = "tgi_batch_inference_duration", "tgi_request_mean_time_per_token_duration"
    said = read(
        TABLE,
        *(f"# TYPE {name} histogram" for name in (batch, mean)),
        histogram(batch, 'method="prefill"', count=16, total=1.5),
        histogram(batch, 'method="decode"', count=1509, total=90),
        histogram(mean, count=109, total=8.5),
        "# TYPE tgi_batch_current_max_tokens gauge\ntgi_batch_current_max_tokens 400",
        "# TYPE tgi_batch_max_total_tokens gauge\ntgi_batch_max_total_tokens 800",
    )

    assert said.samples == ()
    assert said.observation.unmapped == 5
    assert any("first token" in lack and "inter-token" in lack for lack in TABLE.lacks)
    assert any("KV cache" in lack for lack in TABLE.lacks)


def test_a_histogram_of_1024_buckets_costs_no_more_than_any_other(read: Any) -> None:
    name = "tgi_request_input_length"
    buckets = [f'{name}_bucket{{le="{bound}"}} {bound}' for bound in range(1, 900)]
    buckets += [f'{name}_bucket{{le="+Inf"}} 900', f"{name}_sum 5", f"{name}_count 900"]
    said = read(TABLE, f"# TYPE {name} histogram", *buckets)

    [held] = said.by(requests.CLIENT_TOKEN_USAGE).values()
    assert isinstance(held, Distribution)
    assert (len(held.bounds) <= MAX_BOUNDS, sum(held.counts)) == (True, 900.0)


def test_the_model_and_the_version_are_asked_of_the_engine() -> None:
    info = {"model_id": "org/model", "model_sha": "0", "version": "3.3.7"}

    assert [(question.path, question.answer(info)) for question in TABLE.model] == [("/info", "org/model")]
    assert [(question.path, question.answer(info)) for question in TABLE.version] == [("/info", "3.3.7")]
    assert TABLE.model[0].answer([]) == TABLE.version[0].answer("no") == ""
