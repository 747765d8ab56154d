from typing import Any

import pytest

from collector.engines import TABLES
from collector.engines.nim import TABLE
from collector.engines.table import detect
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests


def line(kind: str, name: str, value: object, more: str = "") -> str:
    return f'# TYPE {name} {kind}\n{name}{{model_name="llama"{more}}} {value}'


def test_the_page_in_our_words(read: Any, histogram: Any) -> None:
    first, token = "time_to_first_token_seconds", "time_per_output_token_seconds"
    said = read(
        TABLE,
        line("gauge", "num_requests_running", "1.0"),
        line("gauge", "num_requests_waiting", "2.0"),
        line("gauge", "num_request_max", "64.0"),
        line("gauge", "gpu_cache_usage_perc", "0.25"),
        line("counter", "prompt_tokens_total", "1.5e+011"),
        line("counter", "generation_tokens_total", "174.0"),
        line("counter", "request_finish_total", 5, ',finished_reason="length"'),
        'request_finish_total{model_name="llama",finished_reason="odd"} 1',
        line("counter", "request_success_total", 6),
        line("counter", "request_failure_total", 3),
        *(f"# TYPE {name} histogram" for name in (first, token)),
        histogram(first, 'model_name="llama"', count=5, total=0.5),
        histogram(token, 'model_name="llama"', count=169, total=1.5),
    )

    assert said.by(engines.RUNNING, "gen_ai.request.model") == {("llama",): 1.0}
    assert said.by(engines.WAITING) == {(): 2.0}
    assert said.by(engines.KV_CACHE) == said.by(engines.KV_CACHE_MAX) == {(): 0.25}
    assert said.by(engines.TOKENS, "gen_ai.token.type") == {("input",): 1.5e11, ("output",): 174.0}
    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {("length",): 5.0, ("other",): 1.0}
    assert said.by(engines.FAILED, "error.type") == {("_OTHER",): 3.0}
    assert said.by(requests.SERVER_FIRST_TOKEN) == {(): Distribution((1.0,), (0.0, 5.0), 0.5)}
    assert said.by(engines.INTER_TOKEN_LATENCY) == {(): Distribution((1.0,), (0.0, 169.0), 1.5)}
    assert said.by(requests.SERVER_PER_TOKEN) == {}
    assert said.observation.unmapped == 1


def test_successes_stand_for_finished_requests_where_reasons_are_not_told(read: Any) -> None:
    said = read(TABLE, line("counter", "request_success_total", 6))

    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {("unknown",): 6.0}


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ({"num_request_max", "gpu_cache_usage_perc"}, True),
        ({"num_request_max", "num_requests_running"}, False),
        ({"gpu_cache_usage_perc", "num_requests_running"}, False),
        ({"num_request_max", "gpu_cache_usage_perc", "npu_cache_usage_perc"}, False),
        ({"num_request_max", "gpu_cache_usage_perc", "sglang_num_running_reqs"}, False),
    ],
)
def test_it_is_known_by_its_own_names_and_never_on_another_engines_page(names: set[str], known: bool) -> None:
    assert TABLE.matches(names) is known
    assert (detect(names, TABLES) is TABLE) is known


def test_its_version_is_the_release() -> None:
    assert TABLE.version[0].answer({"release": "1.0.0", "api": "1.0.0"}) == "1.0.0"
    assert TABLE.version[0].answer([]) == ""
