from dataclasses import dataclass, field

import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.links import LinkMeter
from watchkeeper.agent.once import Once
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.requests import grouped
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, HistogramValue, Outcome, Reading, Text, Vantage
from watchkeeper.core.vocabulary import links

WHOLE = {
    "at": 100.0, "namespace": "ml", "service": "chat", "request_model": "m", "input_tokens": 1, "output_tokens": 2,
    "finish_reasons": ("stop",), "text": Text("asked", "said"),
}  # fmt: skip


@dataclass
class Told:
    """What the series say after calls came in one after the other."""

    meter: LinkMeter = field(default_factory=LinkMeter)
    aggregate: Aggregate = field(default_factory=lambda: Aggregate(Ledger(), max_series=500, max_values_per_label=50))
    values: dict = field(default_factory=dict)

    def take(self, *calls: Completion, now: float = 101.0, source: str = "otlp") -> "Told":
        self.meter.take(source, grouped(calls).values(), now)
        for sample in self.meter.drain(now):
            self.aggregate.apply(sample)
        points, _ = self.aggregate.changed()
        self.values |= {(point.metric, frozenset(dict(point.labels).items())): point.value for point in points}
        return self

    def of(self, metric, **own):
        wanted = {(name.replace("__", "."), value) for name, value in own.items()}
        found = [value for (known, labels), value in self.values.items() if known is metric and wanted <= labels]
        return found[0] if len(found) == 1 else found

    def parts(self):
        return tuple(self.of(links.HAVING, part=part) for part in links.PARTS)


def test_each_part_that_a_call_brings_is_counted_beside_the_call():
    told = Told().take(Completion(**WHOLE), Completion(**WHOLE | {"input_tokens": None, "text": None}))

    assert told.of(links.CALLS) == 2
    assert told.parts() == (1, 2, 2, 1)


def test_a_part_that_never_comes_is_said_to_be_none_from_the_first_call():
    told = Told().take(Completion(at=100.0, service="chat"))

    assert told.parts() == (0, 0, 0, 0)


def test_text_that_comes_in_a_later_record_of_its_call_is_counted_for_it():
    told = Told().take(Completion(**WHOLE | {"text": None, "finish_reasons": ()}))
    assert told.parts() == (1, 1, 0, 0)

    told.take(Completion(**WHOLE | {"counts": False}))

    assert told.of(links.CALLS) == 1
    assert told.parts() == (1, 1, 1, 1)
    assert sum(told.of(links.DELAY).counts) == 2


@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.CANCELLED, Outcome.REJECTED])
def test_calls_that_failed_have_no_parts_to_miss(outcome):
    told = Told().take(Completion(at=100.0, service="chat", outcome=outcome, error_type="500"))

    assert told.of(links.CALLS) == 0
    assert sum(told.of(links.DELAY).counts) == 1


def test_a_call_whose_end_is_not_known_to_be_good_counts_as_good():
    assert Told().take(Completion(**WHOLE | {"outcome": None})).of(links.CALLS) == 1


@pytest.mark.parametrize(("late", "bucket"), [(0.0, 0), (1.0, 0), (1.5, 1), (60.0, 4), (61.0, 5), (1_801.0, 10)])
def test_the_delay_of_a_record_is_from_the_end_of_its_call_to_its_arrival(late, bucket):
    delays: HistogramValue = Told().take(Completion(**WHOLE | {"at": 2_000.0 - late}), now=2_000.0).of(links.DELAY)

    assert [index for index, count in enumerate(delays.counts) if count] == [bucket]
    assert delays.sum == pytest.approx(late)


def test_only_a_call_that_ends_clearly_in_the_future_is_ahead():
    told = Told().take(Completion(**WHOLE | {"at": 102.5}), Completion(**WHOLE | {"at": 104.0}), now=101.0)

    assert told.of(links.AHEAD) == 1
    assert told.of(links.DELAY).counts[0] == 2
    assert told.of(links.DELAY).sum == 0


def test_each_source_namespace_service_and_model_is_told_apart():
    told = Told().take(
        Completion(**WHOLE),
        Completion(**WHOLE | {"service": "search"}),
        Completion(**WHOLE | {"namespace": "lab"}),
        Completion(**WHOLE | {"request_model": ""}),
    )
    told.take(Completion(**WHOLE), source="tap")

    assert len(told.of(links.CALLS)) == 5
    assert told.of(links.CALLS, source="otlp", k8s__namespace__name="ml", service__name="chat") == [1, 1]
    assert sum(told.of(links.DELAY, source="otlp", k8s__namespace__name="ml", service__name="chat").counts) == 2


def test_a_quiet_tick_tells_nothing():
    told = Told().take(Completion(**WHOLE))

    assert told.meter.drain(102.0) == ()


def test_a_link_is_judged_by_what_it_brought_even_where_another_brought_it_before():
    ledger, batches = Ledger(), list[Batch]()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(aggregate, ledger, [batches.append], once=Once(ledger))
    call = Completion(**WHOLE | {"trace_id": b"t" * 16, "span_id": b"s" * 8})

    pipeline.accept(
        "tap", Reading(completions=(Completion(**WHOLE | {"vantage": Vantage.TAP, "trace_id": b"t" * 16}),)), 101.0
    )
    pipeline.accept("otlp", Reading(completions=(call,)), 101.0)
    pipeline.tick(101.0)

    calls = {dict(one.labels)["source"]: one.value for one in batches[0].points if one.metric is links.CALLS}
    texts = [one.value for one in batches[0].points if one.metric is links.HAVING and ("part", "text") in one.labels]
    assert calls == {"tap": 1, "otlp": 1}
    assert texts == [1, 1]
