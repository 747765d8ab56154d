"""What the record is told beside series and findings: the configuration without secrets, references, versions."""

import json
import random
from pathlib import Path

import numpy as np

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.agent import registry
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.config import load, root_type
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.sampler import Sampler
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.record import Record, of_configuration
from watchkeeper.agent.references import journal, store
from watchkeeper.agent.references.journal import Deed
from watchkeeper.agent.references.store import References
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import ChangeKind, Completion, Reading, Seen

AT = 1_790_000_000.0


def configuration(tmp_path: Path, text: str):
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(text)
    parts = registry.sources(), registry.exporters(), registry.signals(), registry.checks()
    return load(file, {}, root_type(*parts))


def test_a_configuration_is_told_whole_but_for_what_may_be_secret(tmp_path):
    text = """
    checks: {secrets: {canaries: [the-canary-word]}}
    capture: {patterns: ["customer-[0-9]+"]}
    exporters:
      otlp: {endpoint: "http://me:open-sesame@collector:4318", headers_file: /etc/headers}
    drift: {tick_seconds: 20}
    """
    change = of_configuration(configuration(tmp_path, text), "here", AT)
    told = json.loads(change.document)

    assert (change.kind, change.subject, change.who) == (ChangeKind.CONFIGURATION, "run", "start of here")
    assert told["drift"]["tick_seconds"] == 20
    assert told["exporters"]["otlp"]["headers_file"] == "/etc/headers"
    assert told["exporters"]["otlp"]["endpoint"] == "http://(hidden)@collector:4318"
    assert told["checks"]["secrets"]["canaries"] == ["(hidden)"]
    assert not [word for word in ("canary-word", "customer", "sesame") if word in change.document]


def test_the_same_configuration_has_the_same_document_and_each_start_its_own_key(tmp_path):
    config = configuration(tmp_path, "drift: {tick_seconds: 20}")
    one, other = of_configuration(config, "here", AT), of_configuration(config, "here", AT + 1)

    assert one.document == other.document
    assert one.key != other.key


def test_an_exporter_takes_the_folder_for_what_survives_from_all_unless_it_is_given_its_own(tmp_path):
    assert configuration(tmp_path, "state_folder: /var/all").exporters.store.state_folder == "/var/all"
    own = configuration(tmp_path, "{state_folder: /var/all, exporters: {store: {state_folder: /var/own}}}")
    assert own.exporters.store.state_folder == "/var/own"
    assert configuration(tmp_path, "{}").exporters.store.state_folder == ""


def test_each_event_of_the_journal_is_told_once_and_under_the_same_key_to_the_next_process(tmp_path):
    values = np.random.default_rng(1).normal(size=500)
    pack = packs.build("input_tokens", Kind.NUMBER, values, made_at=AT, segment="shop/chat/qwen")
    record = Record((), tmp_path, None)
    assert record.tick(AT) == ((), ())
    journal.append(tmp_path, [journal.event(Deed.PROPOSED, pack, at=AT, by="ann", why="")])
    [first] = record.tick(AT + 10)[0]
    journal.append(tmp_path, [journal.event(Deed.APPROVED, pack, at=AT + 1, by="bob", why="a good week")])
    [second] = record.tick(AT + 20)[0]

    assert (first.who, first.subject, first.summary) == (
        "ann",
        "input_tokens of shop/chat/qwen",
        f"{pack.id[:12]} proposed",
    )
    assert (second.who, second.summary) == ("bob", f"{pack.id[:12]} approved: a good week")
    assert record.tick(AT + 30)[0] == ()
    assert Record((), tmp_path, None).tick(AT)[0] == (first, second)


def test_versions_of_services_are_told_once_a_minute_with_when_they_were_seen(tmp_path):
    explainer = Explainer(Ledger())
    record = Record((), None, explainer)
    record.tick(AT)
    for at, version in ((AT + 1, "1.4"), (AT + 2, "1.5")):
        call = Completion(at=at, namespace="shop", service="chat", service_version=version, request_model="qwen")
        explainer.see_all([call], at)

    assert record.tick(AT + 30)[1] == ()
    assert record.tick(AT + 60)[1] == (Seen(AT + 1, "shop", "chat", "1.4"), Seen(AT + 2, "shop", "chat", "1.5"))


def test_what_a_tick_counted_and_drew_reaches_exporters_with_what_changed(tmp_path):
    values = np.random.default_rng(1).normal(500, 50, size=500)
    pack = packs.build("input_tokens", Kind.NUMBER, values, made_at=AT, segment="shop/chat/qwen")
    with store.writing(tmp_path):
        store.put(tmp_path, pack.approved("ann", AT, "a good week"))
        journal.append(tmp_path, [journal.event(Deed.APPROVED, pack, at=AT, by="ann", why="a good week")])
    ledger, batches = Ledger(), []
    drift = Drift(
        References(tmp_path), None, None, ledger, now=AT, days=30.0, tick_seconds=10.0, max_segments=8,
        sampler=Sampler(5, random.Random(1)),
    )  # fmt: skip
    pipeline = Pipeline(
        Aggregate(ledger, max_series=1000, max_values_per_label=100), ledger, [batches.append], drift=drift,
        record=Record((), tmp_path, None),
    )  # fmt: skip
    calls = [
        Completion(at=AT, namespace="shop", service="chat", request_model="qwen", input_tokens=500) for _ in range(9)
    ]
    pipeline.accept("otlp", Reading(completions=tuple(calls), items=9), AT + 1)
    pipeline.tick(AT + 5)
    pipeline.tick(AT + 11)

    before, after = batches
    assert ([one.who for one in before.changes], before.counted, before.drawn) == (["ann"], (), ())
    assert [(one.signal, one.reference, sum(one.counts)) for one in after.counted] == [("input_tokens", pack.id, 9)]
    assert [(one.segment, one.seen, len(one.rows)) for one in after.drawn] == [("shop/chat/qwen", 9, 5)]
