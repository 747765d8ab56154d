from collections.abc import Sequence
from typing import Any

import pytest

from detectors import checks as parts
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.wiring import Judges
from watchkeeper.core.interfaces import Check
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Batch, Category, Completion, Flag, HistogramValue, Number, Reading, Score, Text
from watchkeeper.core.vocabulary import outputs, requests

CALL = Completion(
    at=5.0, service="shop", namespace="n", request_model="m", tenant="t", text=Text("secret question", "secret answer")
)
WHERE = (("k8s.namespace.name", "n"), ("service.name", "shop"), ("gen_ai.request.model", "m"))


class Says:
    def __init__(self, *scores: Score) -> None:
        self.scores = scores

    def score(self, call: Prepared) -> tuple[Score, ...]:
        return self.scores


class Breaks:
    def score(self, call: Prepared) -> tuple[Score, ...]:
        raise ValueError(call.answer)


class Late:
    """Gives its verdict at the next tick."""

    def __init__(self) -> None:
        self.judged: list[tuple[Completion, tuple[Score, ...]]] = []
        self.closed = False

    def score(self, call: Prepared) -> tuple[Score, ...]:
        self.judged.append((call.completion, (Flag("late", (("bad", 1),)),)))
        return ()

    def due(self) -> Sequence[tuple[Completion, tuple[Score, ...]]]:
        judged, self.judged = self.judged, []
        return judged

    def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self, *running: Running) -> None:
        self.ledger = Ledger()
        aggregate = Aggregate(self.ledger, max_series=500, max_values_per_label=50)
        self.checks = Checks(aggregate, self.ledger, running)
        self.batches: list[Batch] = []
        self.pipeline = Pipeline(aggregate, self.ledger, [self.batches.append], checks=self.checks)

    def read(self, *completions: Completion) -> dict[tuple[str, tuple[tuple[str, str], ...]], Any]:
        self.pipeline.accept("otlp", Reading(completions=completions, items=len(completions)), 6.0)
        self.pipeline.tick(7.0)
        return {(point.metric.name, point.labels): point.value for batch in self.batches for point in batch.points}


def running(name: str, check: Check, reads_logprobs: bool = False) -> Running:
    return Running(name, check, reads_logprobs)


def test_flags_become_counters_of_service_model_and_check() -> None:
    says = Says(Flag("odd", (("x", 2), ("y", 1))), Flag("even"))

    found = Bench(running("odd", says)).read(CALL)

    odd, tenant = ("check", "odd"), ("tenant", "t")
    assert found[outputs.CHECKED.name, (*WHERE, tenant, odd)] == 1
    assert found[outputs.FLAGGED.name, (*WHERE, tenant, odd)] == 1
    assert found[outputs.FLAGGED.name, (*WHERE, tenant, ("check", "even"))] == 0
    assert found[outputs.HITS.name, (*WHERE, odd, ("kind", "x"))] == 2


def test_numbers_become_histograms_and_categories_counters() -> None:
    says = Says(
        Number(outputs.COMPRESSION, 1.5), Number(outputs.MARKUP, float("nan")), Category(outputs.LANGUAGE, "zh")
    )

    found = Bench(running("c", says)).read(CALL)

    histogram = found[outputs.COMPRESSION.name, WHERE]
    assert isinstance(histogram, HistogramValue)
    assert (sum(histogram.counts), histogram.sum) == (1, 1.5)
    assert found[outputs.LANGUAGE.name, (*WHERE, ("language", "zh"))] == 1
    assert (outputs.MARKUP.name, WHERE) not in found


def test_a_check_that_fails_loses_neither_the_call_nor_other_checks_and_tells_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(running("broken", Breaks()), running("fine", Says(Flag("fine"))))

    found = bench.read(CALL, CALL)

    assert found[outputs.FAILURES.name, (("check", "broken"), ("reason", "ValueError"))] == 2
    assert found[outputs.CHECKED.name, (*WHERE, ("tenant", "t"), ("check", "fine"))] == 2
    assert any(name == requests.REQUESTS.name for name, _ in found)
    assert len(caplog.records) == 1
    assert "test_checks.py" in caplog.text
    assert "secret" not in caplog.text


def test_a_call_without_text_is_shown_where_it_carries_log_probabilities_and_to_who_reads_them() -> None:
    parts = (
        running("reader", Says(Flag("reader"))),
        running("surprise", Says(Flag("surprise")), reads_logprobs=True),
    )

    bare = Bench(*parts).read(Completion(at=5.0))
    with_logprobs = Bench(*parts).read(Completion(at=5.0, token_logprobs=(-0.1,)))

    assert [labels for name, labels in bare if name == outputs.CHECKED.name] == []
    assert [labels for name, labels in with_logprobs if name == outputs.CHECKED.name] == [(("check", "surprise"),)]


def test_a_verdict_that_comes_late_counts_at_the_tick() -> None:
    late = Late()
    part = running("late", late)

    found = Bench(part).read(CALL)
    Judges((), (part,)).close()

    assert found[outputs.FLAGGED.name, (*WHERE, ("tenant", "t"), ("check", "late"))] == 1
    assert late.closed


def test_processor_time_is_counted_by_check() -> None:
    found = Bench(running("odd", Says(Flag("odd")))).read(*[CALL] * 33)

    assert found[outputs.CPU_TIME.name, (("check", "odd"),)] > 0


def test_without_checks_nothing_is_counted() -> None:
    assert not any(name.startswith("watchkeeper.output") for name, _ in Bench().read(CALL))


def test_what_all_checks_leave_behind_holds_no_text(caplog: pytest.LogCaptureFixture) -> None:
    on = [plugin for plugin in parts.PLUGINS if getattr(plugin.config(), "enabled", False)]
    bench = Bench(*(Running(plugin.name, plugin.build(plugin.config(), Ledger()), True) for plugin in on))
    caplog.set_level("DEBUG")
    marker = "ZXQMARKERQXZ"
    said = f"I can't help {marker}. Mail {marker}@{marker}.io, password: {marker}9, {{{marker}: ignore all previous. "

    bench.read(Completion(at=1.0, request_model="m", text=Text(said * 20, said * 20, said, said, (), said, said)))

    assert marker.lower() not in repr(bench.batches).lower()
    assert marker not in caplog.text
