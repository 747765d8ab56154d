"""Pages of real engines, and imitations with known totals, that are kept beside the checkout (testkit.recorded)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from collector._pages.page import parse
from collector.engines import TABLES
from collector.engines.mapping import observe, samples
from collector.engines.table import Table, detect
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution
from watchkeeper.core.testkit import recorded
from watchkeeper.core.vocabulary import engines, requests

ROOT = recorded() / "engines"
TITLES = {
    "vllm": "vLLM", "sglang": "SGLang", "tgi": "TGI", "lmdeploy": "LMDeploy", "llamacpp": "llama.cpp",
    "mindie": "MindIE", "nim": "NVIDIA NIM", "dynamo-frontend": "Dynamo frontend", "trtllm": "TensorRT-LLM",
    "triton-trtllm": "Triton (TensorRT-LLM)", "triton-2": "Triton (other backends)",
}  # fmt: skip
"""which engine a file's name stands for"""


class Said:
    """What a page says in our words, all its totals in full."""

    def __init__(self, name: str) -> None:
        body = (ROOT / name).read_bytes()
        page = parse(body, 20_000)
        table = detect(page.families.keys(), TABLES)
        assert table is not None
        self.table: Table = table
        self.observation = observe(page, table, {})
        totals = {key: total.value for key, total in self.observation.totals.items()}
        self.values: dict[tuple[Metric, str], list[Any]] = defaultdict(list)
        for sample in samples(self.observation, totals, 1.0):
            own = [value for label, value in sample.labels if label not in engines.ENGINE and label != requests.VANTAGE]
            self.values[(sample.metric, ",".join(own))].append(sample.value)

    def number(self, metric: Metric, labels: str = "") -> float:
        [value] = self.values[(metric, labels)]
        assert isinstance(value, float)
        return value

    def histogram(self, metric: Metric, labels: str = "") -> tuple[float, float]:
        """Count and sum."""
        [value] = self.values[(metric, labels)]
        assert isinstance(value, Distribution)
        return sum(value.counts), value.sum


def expected(name: str) -> Any:
    return json.loads((ROOT / "synthetic" / "EXPECTED.json").read_text())[name]


def test_vllm_0_33_gives_what_went_in() -> None:
    said, wanted = Said("synthetic/vllm-0.33.0.prom"), expected("vllm-0.33.0.prom")

    assert said.table.name == "vllm"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.number(engines.CACHED_TOKENS, "device") == wanted["cached_prompt_tokens"]
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "input") == (wanted["requests"], wanted["prompt_tokens"])
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "output") == (wanted["requests"], wanted["generation_tokens"])
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (wanted["requests"], pytest.approx(wanted["ttft_sum"]))
    assert said.histogram(requests.SERVER_DURATION) == (wanted["requests"], pytest.approx(wanted["e2e_sum"]))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (wanted["itl_count"], pytest.approx(wanted["itl_sum"]))
    for reason, count in wanted["finish"].items():
        assert said.number(engines.FINISHED, reason) == count
    assert said.number(engines.RUNNING) == wanted["running"]
    assert said.number(engines.WAITING) == wanted["waiting"]
    assert said.number(engines.KV_CACHE) == pytest.approx(wanted["kv_usage_mean"])
    assert said.number(engines.KV_CACHE_MAX) == 0.62
    assert said.number(engines.PREEMPTIONS) == wanted["preemptions"]
    assert said.number(engines.DRAFT_TOKENS) == wanted["draft_tokens"]
    assert said.number(engines.ACCEPTED_TOKENS) == wanted["accepted_tokens"]
    assert sum(map(sum, _by_label(said, engines.REJECTED))) == wanted["rejections"]
    assert not said.observation.invalid
    assert {total.started for total in said.observation.totals.values()} == {1767225600.0}


def test_a_real_vllm_0_4_3_is_read_by_its_old_names() -> None:
    said = Said("vllm-0.4.3.prom")

    assert said.table.name == "vllm"
    assert said.number(engines.TOKENS, "input") == 5
    assert said.number(engines.TOKENS, "output") == 7
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (1, pytest.approx(0.31326723))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (6, pytest.approx(0.19016313))
    assert said.number(engines.FINISHED, "length") == 1
    assert said.number(engines.KV_CACHE) == 0
    assert said.number(engines.KV_CACHE_CAPACITY) == 16 * 7281
    assert {total.started for total in said.observation.totals.values()} == {1718140558.3}


@pytest.mark.parametrize("name", ["llamacpp.prom", "llamacpp-quoted.prom"])
def test_llama_cpp_gives_what_went_in_also_as_a_json_string(name: str) -> None:
    said, wanted = Said(f"synthetic/{name}"), expected("llamacpp.prom")

    assert said.table.name == "llama_cpp"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens_evaluated"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.number(engines.WORK_TIME, "prefill") == wanted["prefill_seconds"]
    assert said.number(engines.WORK_TIME, "decode") == wanted["decode_seconds"]
    assert said.number(engines.RUNNING) == wanted["running"]
    assert said.number(engines.WAITING) == wanted["waiting"]


def test_sglang_0_5_23_gives_what_went_in() -> None:
    said, wanted = Said("synthetic/sglang-0.5.23.prom"), expected("sglang-0.5.23.prom")

    assert said.table.name == "sglang"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.number(engines.CACHED_TOKENS, "device") == wanted["cached_prompt_tokens"]
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "input") == (wanted["requests"], wanted["prompt_tokens"])
    assert said.histogram(requests.SERVER_DURATION) == (wanted["requests"], pytest.approx(wanted["e2e_sum"]))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (
        wanted["itl_count"],
        pytest.approx(wanted["itl_sum"]),
    )
    streamed = said.histogram(requests.SERVER_FIRST_TOKEN, "true")
    late = said.histogram(requests.SERVER_FIRST_TOKEN, "false")
    assert streamed == (131, pytest.approx(13.205208523117694))
    assert (streamed[0] + late[0], streamed[1] + late[1]) == (wanted["requests"], pytest.approx(wanted["ttft_sum"]))
    assert said.number(engines.FINISHED, "unknown") == wanted["requests"]
    assert said.number(engines.FINISHED, "abort") == wanted["aborted"]
    assert said.number(engines.FAILED, "5xx") == wanted["finish"]["error"]
    assert said.number(engines.RUNNING) == wanted["running"]
    assert said.number(engines.WAITING) == wanted["waiting"]
    assert said.number(engines.KV_CACHE) == wanted["kv_usage"]
    assert said.number(engines.PREEMPTIONS) == wanted["retractions"]
    assert said.number(engines.ACCEPT_LENGTH) == 2.4
    assert not said.observation.invalid


def test_sglang_of_the_first_documentation_is_read_by_its_old_names() -> None:
    said = Said("sglang-docs.prom")

    assert said.table.name == "sglang"
    assert said.number(engines.TOKENS, "input") == 8128902
    assert said.number(engines.TOKENS, "output") == 7557572
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (11008, pytest.approx(2351897.9474117756))
    assert said.histogram(requests.SERVER_PER_TOKEN) == (7400757, pytest.approx(866964.5791549598))
    assert said.histogram(requests.SERVER_DURATION) == (11228, pytest.approx(3116093.850019932))
    assert said.number(engines.RUNNING) == 162
    assert said.number(engines.WAITING) == 2826
    assert said.number(engines.KV_CACHE) == 0.28
    assert not said.observation.invalid


def test_a_real_tgi_3_is_read() -> None:
    said = Said("tgi-3.prom")

    assert said.table.name == "tgi"
    assert said.number(engines.TOKENS, "input") == 662
    assert said.number(engines.TOKENS, "output") == 3423
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "output") == (109, 3423)
    assert said.histogram(requests.SERVER_DURATION) == (109, pytest.approx(541.2140316159999))
    assert said.histogram(engines.QUEUE_TIME) == (109, pytest.approx(295.275961956))
    assert said.histogram(engines.INFERENCE_TIME) == (109, pytest.approx(245.91743839099996))
    assert said.number(engines.RECEIVED) == 111
    assert said.number(engines.FINISHED, "unknown") == 109
    assert said.number(engines.FAILED, "validation") == 2
    assert said.number(engines.ACCEPTED_TOKENS) == 0
    assert not said.observation.invalid


def test_lmdeploy_0_16_gives_what_went_in() -> None:
    said, wanted = Said("synthetic/lmdeploy-0.16.0.prom"), expected("lmdeploy-0.16.0.prom")
    finish = wanted["finish"]

    assert said.table.name == "lmdeploy"
    assert said.number(engines.TOKENS, "input") == wanted["prompt_tokens"]
    assert said.number(engines.TOKENS, "output") == wanted["generation_tokens"]
    assert said.number(engines.CACHED_TOKENS, "unknown") == wanted["cached_prompt_tokens"]
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "output") == (wanted["requests"], wanted["generation_tokens"])
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (wanted["requests"], pytest.approx(wanted["ttft_sum"]))
    assert said.histogram(requests.SERVER_DURATION) == (wanted["requests"], pytest.approx(wanted["e2e_sum"]))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (wanted["itl_count"], pytest.approx(wanted["itl_sum"]))
    assert said.number(engines.FINISHED, "stop") == finish["stop"] + finish["length"]
    assert said.number(engines.FINISHED, "abort") == finish["abort"]
    assert said.number(engines.FINISHED, "error") == finish["error"]
    assert said.number(engines.FAILED, "_OTHER") == finish["error"]
    assert said.number(engines.RUNNING) == wanted["running"]
    assert said.number(engines.WAITING) == wanted["waiting"]
    assert said.number(engines.KV_CACHE) == wanted["kv_usage"]
    assert not said.observation.invalid


def test_mindie_1_0_is_read() -> None:
    said = Said("mindie-1.0.0.prom")

    assert said.table.name == "mindie"
    assert said.number(engines.TOKENS, "input") == 28800
    assert said.number(engines.TOKENS, "output") == 60000
    assert said.histogram(requests.SERVER_FIRST_TOKEN) == (2523, pytest.approx(9740.002003))
    assert said.histogram(requests.SERVER_DURATION) == (2267, pytest.approx(12684.5319980979))
    assert said.histogram(engines.INTER_TOKEN_LATENCY) == (85800, pytest.approx(4445.85701282601))
    assert said.histogram(requests.CLIENT_TOKEN_USAGE, "output") == (2267, 84425)
    assert said.number(engines.PREEMPTIONS) == 6512
    assert said.number(engines.KV_CACHE) == 0.2
    assert said.number(engines.PREFIX_HIT_RATIO) == 0.2
    assert said.number(engines.SWAPPED) == 0
    assert not said.observation.invalid


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.prom")), ids=lambda path: path.name)
def test_a_page_is_read_whole_and_known_to_at_most_one_table(path: Path) -> None:
    body = path.read_bytes()
    whole = body if body.startswith(b'"') else body.rstrip(b"\n") + b"\n"
    page = parse(whole, 20_000)
    named = [table.title for table in TABLES if table.matches(page.families.keys())]

    assert not page.invalid
    assert page.families
    assert named == [title for start, title in TITLES.items() if path.name.startswith(start)]


def _by_label(said: Said, metric: Metric) -> list[list[float]]:
    return [values for (known, _), values in said.values.items() if known == metric]
