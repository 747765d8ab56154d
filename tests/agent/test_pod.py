"""What a sidecar sees is of its own pod, unless it says otherwise."""

from typing import Any

import msgspec
import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.config import mistakes, root_type
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.pod import PodConfig, placed, problems
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, Gap, Judgement, Reading, Reason, Sample
from watchkeeper.core.vocabulary import engines, health, requests

POD = PodConfig(namespace="ml", name="llama-0")
OWN = (("k8s.namespace.name", "ml"), ("k8s.pod.name", "llama-0"))


def test_an_engines_numbers_get_the_pod_in_front_of_their_labels() -> None:
    [sample] = placed(Reading(samples=(Sample(engines.RUNNING, 2, 1.0, (("server.port", "8000"),)),)), POD).samples

    assert sample.labels == (*OWN, ("server.port", "8000"))


def test_a_gap_names_the_series_as_the_sample_did() -> None:
    [gap] = placed(Reading(gaps=(Gap(engines.RUNNING, Reason.LOST, (("server.port", "8000"),)),)), POD).gaps

    assert gap.labels == (*OWN, ("server.port", "8000"))


def test_who_tells_a_pod_keeps_it() -> None:
    theirs = (("k8s.namespace.name", "shop"), ("k8s.pod.name", "web-1"))
    found = placed(
        Reading(
            samples=(Sample(engines.RUNNING, 2, 1.0, theirs),),
            completions=(Completion(at=1.0, namespace="shop", pod="web-1"),),
            judgements=(Judgement(at=1.0, name="thumb", namespace="shop"),),
        ),
        POD,
    )

    assert found.samples[0].labels == theirs
    assert (found.completions[0].namespace, found.completions[0].pod) == ("shop", "web-1")
    assert found.judgements[0].namespace == "shop"


def test_a_namespace_without_a_pod_makes_way_for_where_the_call_really_was() -> None:
    found = placed(
        Reading(
            samples=(Sample(engines.RUNNING, 2, 1.0, (("k8s.namespace.name", "team"), ("service.name", "chat"))),),
            completions=(Completion(at=1.0, namespace="team"),),
            judgements=(Judgement(at=1.0, name="thumb"),),
        ),
        POD,
    )

    assert found.samples[0].labels == (*OWN, ("service.name", "chat"))
    assert (found.completions[0].namespace, found.completions[0].pod) == ("ml", "llama-0")
    assert found.judgements[0].namespace == "ml"


def test_metrics_without_a_label_for_pods_are_left_alone() -> None:
    reading = Reading(samples=(Sample(health.QUEUE_SIZE, 0, 1.0, (("queue", "otlp"),)),), items=3)

    assert placed(reading, POD) == reading


@pytest.mark.parametrize("pod", [None, POD], ids=["not told", "told"])
def test_requests_carry_the_pod_that_the_pipeline_was_told(pod: PodConfig | None) -> None:
    batches: list[Batch] = []
    ledger = Ledger()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(aggregate, ledger, [batches.append], pod=pod)

    pipeline.accept("otlp", Reading(completions=(Completion(at=5.0),), items=1), 6.0)
    pipeline.tick(7.0)

    counted = [set(point.labels) for batch in batches for point in batch.points if point.metric is requests.REQUESTS]
    assert counted
    assert all(labels & set(OWN) == (set(OWN) if pod else set()) for labels in counted)


@pytest.mark.parametrize(
    ("pod", "role", "said"),
    [
        (PodConfig(), "run", []),
        (POD, "sidecar", []),
        (POD, "gateway", ["pod: only a sidecar sees one pod alone; remove it, or set role: sidecar"]),
        (PodConfig(name="llama-0"), "sidecar", ["pod: give both namespace and name, or neither"]),
    ],
    ids=["nothing told", "a sidecar", "a gateway", "half told"],
)
def test_only_a_sidecar_is_told_a_pod_and_then_all_of_it(pod: PodConfig, role: str, said: list[str]) -> None:
    root = root_type((), ())
    config: Any = msgspec.convert({"role": role, "pod": msgspec.to_builtins(pod)}, root)

    assert list(problems(pod, role)) == said
    assert list(mistakes(config, (), ())) == said
