import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, Gap, Reading, Reason, Sample
from watchkeeper.core.vocabulary import engines, health, requests


def make() -> tuple[Pipeline, list[Batch]]:
    batches: list[Batch] = []
    ledger = Ledger()
    return Pipeline(Aggregate(ledger, max_series=500, max_values_per_label=50), ledger, [batches.append]), batches


def values(batches: list[Batch]) -> dict[tuple[str, tuple[tuple[str, str], ...]], object]:
    return {(point.metric.name, point.labels): point.value for batch in batches for point in batch.points}


def test_a_reading_reaches_the_exporters_at_the_next_tick_with_its_items_counted() -> None:
    pipeline, batches = make()

    pipeline.accept("otlp", Reading(completions=(Completion(at=5.0),), items=3), 6.0)
    pipeline.tick(7.0)

    found = values(batches)
    assert found[health.EXPORTED.name, (("source", "otlp"),)] == 3
    assert found[health.LAST_RECORD.name, (("source", "otlp"),)] == 6.0
    assert any(name == requests.REQUESTS.name for name, _ in found)


def test_a_gap_takes_its_gauge_away_and_is_counted() -> None:
    pipeline, batches = make()
    pipeline.accept("engines", Reading(samples=(Sample(engines.RUNNING, 2, 1.0),)), 1.0)
    pipeline.tick(1.0)

    pipeline.accept("engines", Reading(gaps=(Gap(engines.RUNNING, Reason.UNREACHABLE),)), 2.0)
    pipeline.tick(2.0)

    assert batches[1].gone == ((engines.RUNNING, ()),)
    assert values(batches)[health.GAPS.name, (("source", "engines"), ("reason", "unreachable"))] == 1


def test_a_reading_with_nothing_in_it_is_no_record() -> None:
    pipeline, batches = make()

    pipeline.accept("otlp", Reading(samples=(Sample(health.QUEUE_SIZE, 0, 1.0),)), 6.0)
    pipeline.tick(7.0)

    assert not any(name == health.LAST_RECORD.name for name, _ in values(batches))


def test_a_reading_that_breaks_the_pipeline_is_counted_as_lost() -> None:
    pipeline, batches = make()
    broken = Reading(samples=(None,), items=4)  # type: ignore[arg-type]

    with pytest.raises(AttributeError):
        pipeline.accept("otlp", broken, 6.0)
    pipeline.tick(7.0)

    found = values(batches)
    assert found[health.DROPPED.name, (("source", "otlp"), ("reason", "fault"))] == 4
    assert (health.EXPORTED.name, (("source", "otlp"),)) not in found


def test_a_clock_that_steps_back_stops_nothing() -> None:
    pipeline, batches = make()

    for now in (1000.0, 10.0, 2000.0):
        pipeline.accept("otlp", Reading(completions=(Completion(at=now),), items=1), now)
        pipeline.tick(now)

    assert values(batches)[health.EXPORTED.name, (("source", "otlp"),)] == 3
