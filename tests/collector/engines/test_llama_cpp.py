import json

import pytest

from collector._pages.page import parse
from collector.engines import llama_cpp
from collector.engines.mapping import observe, samples
from watchkeeper.core.vocabulary import engines

PAGE = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 30
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 12
# TYPE llamacpp:prompt_seconds_total counter
llamacpp:prompt_seconds_total 0.5
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 8
# TYPE llamacpp:tokens_predicted_seconds_total counter
llamacpp:tokens_predicted_seconds_total 1.25
# TYPE llamacpp:spec_decode_num_drafts_total counter
llamacpp:spec_decode_num_drafts_total 3
# TYPE llamacpp:spec_decode_num_draft_tokens_total counter
llamacpp:spec_decode_num_draft_tokens_total 9
# TYPE llamacpp:spec_decode_num_accepted_tokens_total counter
llamacpp:spec_decode_num_accepted_tokens_total 6
# TYPE llamacpp:prompt_tokens_seconds gauge
llamacpp:prompt_tokens_seconds 7384.05
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
# TYPE llamacpp:kv_cache_usage_ratio gauge
llamacpp:kv_cache_usage_ratio 0.75
"""


@pytest.mark.parametrize("body", [PAGE, json.dumps(PAGE), PAGE.replace("llamacpp:", "llamacpp_")])
def test_the_page_in_our_words(body: str) -> None:
    observation = observe(parse(body.encode(), 100), llama_cpp.TABLE, {"gen_ai.request.model": "tiny"})
    totals = {key: total.value for key, total in observation.totals.items()}

    said = {
        (sample.metric, *(value for _, value in sample.labels)): sample.value
        for sample in samples(observation, totals, 1.0)
    }

    who = ("llama_cpp", "tiny")
    assert said == {
        (engines.TOKENS, *who, "input"): 30.0,
        (engines.TOKENS, *who, "output"): 8.0,
        (engines.CACHED_TOKENS, *who, "unknown"): 12.0,
        (engines.WORK_TIME, *who, "prefill"): 0.5,
        (engines.WORK_TIME, *who, "decode"): 1.25,
        (engines.DRAFTS, *who): 3.0,
        (engines.DRAFT_TOKENS, *who): 9.0,
        (engines.ACCEPTED_TOKENS, *who): 6.0,
        (engines.RUNNING, *who): 2.0,
        (engines.WAITING, *who): 1.0,
        (engines.KV_CACHE, *who): 0.75,
        (engines.KV_CACHE_MAX, *who): 0.75,
    }
    assert observation.unmapped == 1


@pytest.mark.parametrize(
    ("props", "model"),
    [
        ({"model_path": "/models/Smol.Q4_1.gguf", "model_alias": "smol"}, "smol"),
        ({"model_path": "/models/Smol.Q4_1.gguf", "model_alias": "org/smol"}, "org/smol"),
        ({"model_path": "/models/Smol.Q4_1.gguf", "model_alias": "/models/Smol.Q4_1.gguf"}, "Smol.Q4_1.gguf"),
        ({"model_path": "/models/Smol.Q4_1.gguf"}, "Smol.Q4_1.gguf"),
        ({}, ""),
        ([], ""),
    ],
)
def test_the_model_is_the_alias_else_the_files_name(props: object, model: str) -> None:
    assert llama_cpp.TABLE.model[0].answer(props) == model
