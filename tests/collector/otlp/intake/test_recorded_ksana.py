"""An imitation of KsanaLLM's push with known totals, kept beside the checkout (testkit.recorded)."""

import json
from typing import Any

import pytest

from collector.otlp.intake import Encoding, Intake, Signal
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import HistogramValue, Labels
from watchkeeper.core.testkit import recorded
from watchkeeper.core.vocabulary import engines, health, requests

FOLDER = recorded() / "engines" / "synthetic"
ENDED = 1767225600.0
"""unix seconds at which the interval ends"""
FILES = sorted(FOLDER.glob("ksana-otlp-*.json"))


def totals(intake: Intake) -> dict[tuple[Metric, Labels], Any]:
    """Series by metric and the labels that tell nothing of who sent it."""
    aggregate = Aggregate(Ledger(), max_series=1000, max_values_per_label=100)
    Pipeline(aggregate, Ledger(), []).accept("otlp", intake.read(ENDED + 1), ENDED + 1)
    points, _ = aggregate.changed()
    who = {*engines.ENGINE, requests.VANTAGE}
    return {(p.metric, tuple(pair for pair in p.labels if pair[0] not in who)): p.value for p in points}


@pytest.mark.parametrize("times", [1, 3], ids=["sent once", "sent three times"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_push_gives_what_went_in(both: Any, path: Any, times: int) -> None:
    _, otlp = both
    wanted = json.loads((FOLDER / "EXPECTED.json").read_text())[path.name]
    for _ in range(times):
        assert otlp.intake.take(Signal.METRICS, Encoding.JSON, path.read_bytes(), {}, ENDED).rejected == 0
    found = totals(otlp.intake)

    def many(metric: Metric, *labels: tuple[str, str]) -> tuple[float, Any]:
        value = found[metric, labels]
        assert isinstance(value, HistogramValue)
        return sum(value.counts), pytest.approx(value.sum, rel=1e-4)

    assert many(requests.SERVER_FIRST_TOKEN) == (wanted["requests"], wanted["ttft_sum"])
    assert many(requests.SERVER_DURATION) == (wanted["requests"], wanted["e2e_sum"])
    assert found[requests.SERVER_FIRST_TOKEN, ()].bounds == found[requests.SERVER_DURATION, ()].bounds == ()
    for kind, name in (("input", "prompt_tokens"), ("output", "generation_tokens")):
        label = (requests.TOKEN_TYPE, kind)
        assert found[engines.TOKENS, (label,)] == wanted[name]
        assert many(requests.CLIENT_TOKEN_USAGE, label) == (wanted["requests"], wanted[name])
    assert found[engines.CACHED_TOKENS, (("cache.source", "unknown"),)] == wanted["cached_prompt_tokens"]
    hits = (("cache.unit", "token"), ("cache.location", "local"))
    assert found[engines.PREFIX_HITS, hits] == wanted["cached_prompt_tokens"]
    assert found[engines.RECEIVED, ()] == wanted["received"]
    assert found[engines.FAILED, ((requests.ERROR_TYPE, "timeout"),)] == wanted["timeout"]
    reason = "gen_ai.response.finish_reason"
    assert found[engines.FINISHED, ((reason, "abort"),)] == wanted["aborted"]
    assert found[engines.FINISHED, ((reason, "unknown"),)] == wanted["finish"]["stop"] + wanted["finish"]["length"]
    assert found[engines.PREEMPTIONS, ()] == 0
    assert found[engines.WORK_TIME, (("phase", "queue"),)] == pytest.approx(0.644315)
    assert found[engines.RUNNING, ()] == 720 / 200
    assert found[engines.WAITING, ()] == 120 / 200
    accepted, ignored = sum(otlp.counts(health.ACCEPTED).values()), otlp.ignored
    assert ignored.get("duplicate", 0) == (times - 1) * (accepted / times - ignored["not_genai"] / times)
