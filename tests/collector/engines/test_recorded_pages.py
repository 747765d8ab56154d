"""Pages of real engines, and imitations with known totals, that are kept beside the checkout (testkit.recorded)."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from collector.engines import TABLES
from collector.engines.mapping import observe, samples
from collector.engines.page import parse
from collector.engines.table import Table, detect
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution
from watchkeeper.core.testkit import recorded
from watchkeeper.core.vocabulary import engines, requests

ROOT = recorded() / "engines"


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


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.prom")), ids=lambda path: path.name)
def test_a_page_is_read_whole_and_known_to_at_most_one_table(path: Path) -> None:
    body = path.read_bytes()
    whole = body if body.startswith(b'"') else body.rstrip(b"\n") + b"\n"
    page = parse(whole, 20_000)
    named = [table.name for table in TABLES if table.matches(page.families.keys())]

    assert not page.invalid
    assert page.families
    assert named == [table.name for table in TABLES if path.name.startswith(table.name.replace("_", ""))]


def _by_label(said: Said, metric: Metric) -> list[list[float]]:
    return [values for (known, _), values in said.values.items() if known == metric]
