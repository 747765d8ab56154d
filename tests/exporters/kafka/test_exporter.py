"""Batches to messages on a real broker, and what happens while it is away."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporters import kafka
from exporters.kafka import KafkaConfig
from exporters.kafka.exporter import KafkaExporter
from watchkeeper.core.errors import ConfigError, Retryable
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.testkit.kafka_broker import KafkaBroker
from watchkeeper.core.wire import FindingRecord, StreamCounts, TickRecord, decode

SEGMENT = "shop/chat/qwen"
FINDING = Finding(
    at=5.0, since=1.0, severity=Severity.WARNING, subject="drift", summary="higher", name="input_tokens",
    labels=(("k8s.namespace.name", "shop"), ("service.name", "chat"), ("gen_ai.request.model", "qwen")),
)  # fmt: skip


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for as long as the machine needs; how long it may take is no matter here."""
    monkeypatch.setattr("exporters.kafka.exporter._CLOSE_SECONDS", 120.0)
    monkeypatch.setattr("exporters.kafka.sender._LAST_SECONDS", 60.0)


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker() as running:
        running.make({"watchkeeper.ticks": 4, "watchkeeper.findings": 4})
        yield running


def exporter(broker: KafkaBroker, folder: Path | None = None, ledger: Ledger | None = None, **more: Any) -> Any:
    state = str(folder) if folder is not None else ""
    config = KafkaConfig(True, Connection((broker.address,)), replica="pod-1", state_folder=state, **more)
    return kafka.build(config, ledger or Ledger())


def batch(tick: int, *counts: int, findings: tuple[Finding, ...] = ()) -> Batch:
    at = tick * 10.0
    counted = (Counted(at, SEGMENT, "input_tokens", "a" * 64, counts),) if counts else ()
    return Batch(time.time(), counted=counted, findings=findings, ticked=at)


def tell(one: KafkaExporter, *batches: Batch) -> None:
    for each in batches:
        try:
            one.write(each)
        except Retryable:
            continue


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)


def ticks(broker: KafkaBroker) -> list[TickRecord]:
    found = [decode(record.value) for record in broker.read("watchkeeper.ticks")]
    return [one for one in found if isinstance(one, TickRecord)]


@pytest.mark.parametrize("form", ["msgpack", "json"])
def test_counts_of_a_segment_and_findings_about_it_lie_in_the_same_partition(broker: KafkaBroker, form: Any) -> None:
    one = exporter(broker, format=form)
    tell(one, batch(1, 0, 3, 0, 1), batch(2, 2, findings=(FINDING,)), Batch(30.0, findings=(FINDING,)))
    until(lambda: len(broker.read("watchkeeper.ticks")) == len(broker.read("watchkeeper.findings")) == 2)
    one.close()

    records = broker.read("watchkeeper.ticks")
    assert [record.key for record in records] == [SEGMENT.encode()] * 2
    first = decode(records[0].value)
    assert isinstance(first, TickRecord)
    assert (first.segment, first.replica, first.at) == (SEGMENT, "pod-1", 10.0)
    assert first.streams == (StreamCounts("input_tokens", "a" * 16, {1: 3, 3: 1}),)
    findings = broker.read("watchkeeper.findings")
    assert {record.partition for record in findings} == {records[0].partition}
    assert decode(findings[0].value) == FindingRecord("pod-1", FINDING)


def test_after_its_last_counts_a_segment_gives_three_signs_of_life(broker: KafkaBroker) -> None:
    one = exporter(broker)
    tell(one, batch(1, 5), *(batch(number) for number in range(2, 9)))
    until(lambda: len(ticks(broker)) >= 4)
    one.close()

    assert [(record.at, len(record.streams)) for record in ticks(broker)] == [
        (10.0, 1),
        (20.0, 0),
        (30.0, 0),
        (40.0, 0),
    ]


def test_a_clock_that_was_set_back_is_a_new_start(broker: KafkaBroker) -> None:
    one = exporter(broker)
    tell(one, batch(1000, 5), batch(1001, 5), batch(3, 5))
    until(lambda: len(ticks(broker)) == 3)
    one.close()

    starts = [record.started for record in ticks(broker)]
    assert starts[0] == starts[1] != starts[2]


@pytest.mark.parametrize("on_disk", [True, False])
def test_while_the_broker_is_away_messages_wait_and_then_leave_in_order(
    broker: KafkaBroker, tmp_path: Path, on_disk: bool
) -> None:
    ledger = Ledger()
    broker.kill()
    one = exporter(broker, tmp_path if on_disk else None, ledger)
    tell(one, *(batch(number, number) for number in range(1, 200)))
    until(lambda: bool(one._sender.problem))
    with pytest.raises(Retryable, match="messages wait in the spool"):
        one.write(Batch(0.0))

    broker.start()
    broker.make({"watchkeeper.ticks": 4})
    until(lambda: len(ticks(broker)) == 199)
    one.close()

    assert [record.at for record in ticks(broker)] == [10.0 * number for number in range(1, 200)]
    said = {(sample.metric.name, sample.labels): sample.value for sample in ledger.drain(0.0)}
    assert said["watchkeeper.kafka.sent", (("topic", "watchkeeper.ticks"),)] == 199


def test_what_waited_when_the_process_ended_leaves_after_the_next_start(broker: KafkaBroker, tmp_path: Path) -> None:
    broker.kill()
    first = exporter(broker, tmp_path)
    tell(first, *(batch(number, number) for number in range(1, 20)))
    until(lambda: bool(first._sender.problem))
    first.close()

    broker.start()
    broker.make({"watchkeeper.ticks": 4})
    second = exporter(broker, tmp_path)
    tell(second, batch(20, 20))
    until(lambda: len(ticks(broker)) == 20)
    second.close()

    assert [record.at for record in ticks(broker)] == [10.0 * number for number in range(1, 21)]
    assert len({record.started for record in ticks(broker)}) == 2


def test_what_waits_in_memory_when_the_process_ends_is_counted_and_told(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    broker.kill()
    one = exporter(broker, ledger=ledger)
    tell(one, *(batch(number, number) for number in range(1, 101)))
    until(lambda: bool(one._sender.problem))
    one.close()

    said = {(sample.metric.name, sample.labels): sample.value for sample in ledger.drain(0.0)}
    assert said["watchkeeper.kafka.dropped", (("reason", "shutdown"),)] == 100
    assert "100 messages waited in memory and are lost" in caplog.text


def test_what_waits_in_memory_gets_a_last_try_when_the_process_ends(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.kill()
    one = exporter(broker)
    tell(one, *(batch(number, number) for number in range(1, 101)))
    until(lambda: bool(one._sender.problem))
    monkeypatch.setattr("exporters.kafka.delivery._CONNECT_SECONDS", 30.0)  # the last try has to be a whole one
    broker.start()
    broker.make({"watchkeeper.ticks": 4})
    one.close()

    assert [record.at for record in ticks(broker)] == [10.0 * number for number in range(1, 101)]


def test_a_message_that_no_broker_takes_holds_up_no_other(broker: KafkaBroker) -> None:
    ledger = Ledger()
    one = exporter(broker, ledger=ledger)
    big = Finding(at=1.0, since=1.0, severity=Severity.INFO, subject="x", summary="y" * (9 << 20))
    tell(one, batch(1, 1, findings=(big,)), batch(2, 1))
    until(lambda: len(ticks(broker)) == 2)
    one.close()

    said = {(sample.metric.name, sample.labels): sample.value for sample in ledger.drain(0.0)}
    assert said["watchkeeper.kafka.dropped", (("reason", "refused"),)] == 1


def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    for connection, said in (
        (Connection(), "servers: is required"),
        (Connection(("nowhere",)), "'nowhere' is no address; write host:port"),
        (Connection(("a:1",), tls=True, tls_ca_file=str(tmp_path / "no")), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=said):
            kafka.build(KafkaConfig(True, connection), Ledger())
    with pytest.raises(ValueError, match="needs username and password_file"):
        Connection(("a:1",), sasl="PLAIN")
    with pytest.raises(ValueError, match="no use without tls"):
        Connection(("a:1",), tls_ca_file="x")


def test_the_probe_says_whether_a_broker_listens(broker: KafkaBroker) -> None:
    there = KafkaConfig(True, Connection(("127.0.0.1:1", broker.address)))
    away = KafkaConfig(True, Connection(("127.0.0.1:1",)))

    assert kafka.probe(there) == (f"something listens at {broker.address}",)
    assert kafka.probe(away)[0].startswith("! nothing answers at 127.0.0.1:1")
