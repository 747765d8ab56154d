"""Recorded pages of servers: TensorRT-LLM, Triton, Dynamo; kept beside the checkout (testkit.recorded)."""

import json
from collections import defaultdict
from typing import Any

import pytest

from collector._pages.page import parse
from collector.engines import TABLES
from collector.engines.mapping import samples
from collector.engines.recognise import observe_all, recognise
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution
from watchkeeper.core.testkit import recorded
from watchkeeper.core.vocabulary import engines, requests

ROOT = recorded() / "engines"


class Said:
    """What a page says in our words, all its totals in full, added up over models by the labels a metric adds."""

    def __init__(self, name: str) -> None:
        recognised = recognise(parse((ROOT / name).read_bytes().rstrip() + b"\n", 20_000), TABLES)
        assert recognised is not None
        self.title = recognised.title
        self.observation = observe_all(recognised, {})
        totals = {key: total.value for key, total in self.observation.totals.items()}
        self._values: dict[tuple[Metric, str], list[Any]] = defaultdict(list)
        for sample in samples(self.observation, totals, 1.0):
            own = [text for label, text in sample.labels if label not in (*engines.ENGINE, requests.VANTAGE)]
            self._values[(sample.metric, ",".join(own))].append(sample.value)

    def number(self, metric: Metric, labels: str = "") -> float | None:
        values = self._values.get((metric, labels))
        return float(sum(values)) if values is not None else None

    def histogram(self, metric: Metric, labels: str = "") -> tuple[float, float]:
        """Count and sum."""
        [value] = self._values[(metric, labels)]
        assert isinstance(value, Distribution)
        return sum(value.counts), value.sum


def expected(name: str) -> Any:
    return json.loads((ROOT / "synthetic" / "EXPECTED.json").read_text())[name]


def test_trtllm_serve_gives_what_went_in() -> None:
    said, wanted = Said("synthetic/trtllm-serve.prom"), expected("trtllm-serve.prom")

    assert said.title == "TensorRT-LLM"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.number(engines.CACHED_TOKENS, "unknown") == wanted["cached_prompt_tokens"]
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (wanted["requests"], pytest.approx(wanted["ttft_sum"]))
    assert said.histogram(requests.SERVER_DURATION) == (wanted["requests"], pytest.approx(wanted["e2e_sum"]))
    assert said.histogram(requests.SERVER_PER_TOKEN)[0] == wanted["requests"]
    for reason, count in wanted["finish"].items():
        assert (said.number(engines.FINISHED, reason) or 0) == count
    assert said.number(engines.FAILED, "500") == wanted["errors"]
    assert said.number(engines.RUNNING) == wanted["running"]
    assert said.number(engines.WAITING) == wanted["waiting"]
    assert said.number(engines.KV_CACHE) == wanted["kv_usage"]
    assert said.number(engines.PREFIX_QUERIES, "block,local") == 446 + 2399
    assert said.number(engines.PREFIX_HITS, "block,local") == 446
    assert said.number(engines.KV_CACHE_CAPACITY) == 6000 * 32
    assert not said.observation.invalid
    assert {total.started for total in said.observation.totals.values()} == {1767225600.0}


def test_a_dynamo_frontend_gives_what_went_in() -> None:
    said, wanted = Said("synthetic/dynamo-frontend-1.6.1.prom"), expected("dynamo-frontend-1.6.1.prom")
    finish = wanted["finish"]

    assert said.title == "Dynamo frontend"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (wanted["requests"], pytest.approx(wanted["ttft_sum"]))
    assert said.histogram(requests.SERVER_DURATION) == (wanted["requests"], pytest.approx(wanted["e2e_sum"]))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (wanted["itl_count"], pytest.approx(wanted["itl_sum"]))
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "input") == (wanted["requests"], wanted["prompt_tokens"])
    assert said.number(engines.FINISHED, "unknown") == finish["stop"] + finish["length"]
    assert said.number(engines.FINISHED, "abort") == finish["abort"]
    assert said.number(engines.FINISHED, "error") == finish["error"]
    assert said.number(engines.FAILED, "internal") == finish["error"]
    assert said.number(engines.RUNNING) == wanted["active"]
    assert said.number(engines.WAITING) == 1
    assert not said.observation.invalid


def test_tritons_tensorrt_llm_backend_of_2023_is_read() -> None:
    said = Said("triton-trtllm-23.11.prom")

    assert said.title == "Triton (TensorRT-LLM)"
    assert said.number(engines.RUNNING) == 1
    assert said.number(engines.WAITING) == 1
    assert said.number(engines.KV_CACHE) == 0.4875
    assert said.number(engines.KV_CACHE_CAPACITY) == 6239 * 64
    assert not said.observation.invalid


def test_a_real_triton_without_a_language_model_is_read_by_model() -> None:
    said = Said("triton-2.38.0.prom")

    assert said.title == "Triton (other backends)"
    assert said.number(engines.FINISHED, "unknown") == 3
    assert said.number(engines.WORK_TIME, "request") == pytest.approx(1.327965)
    assert said.number(engines.WORK_TIME, "queue") == pytest.approx(145e-6)
    assert said.number(engines.TOKENS, "input") is None
    assert not said.observation.invalid
