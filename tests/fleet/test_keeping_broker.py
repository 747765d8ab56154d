"""On a broker that keeps what it held, limits messages, and tells a reader that a topic is not there."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector import kafka as reading
from collector.kafka import KafkaConfig as ReadConfig
from exporters import kafka as sending
from exporters.kafka import KafkaConfig
from watchkeeper.core.errors import Retryable
from watchkeeper.core.fleet import Left, Place, Told
from watchkeeper.core.kafka import Connection
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Counted
from watchkeeper.core.records import Batch, Finding, Severity
from watchkeeper.core.testkit.kafka_broker import KafkaBroker, KeepingKafkaBroker
from watchkeeper.core.vocabulary import kafka
from watchkeeper.core.wire import FindingRecord, decode

TICKS, STATE, DEAD, FINDINGS = (f"watchkeeper.{kind}" for kind in ("ticks", "state", "dead", "findings"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with KeepingKafkaBroker(tmp_path / "broker") as running:
        yield running


def exporter(broker: KafkaBroker, ledger: Ledger | None = None) -> Any:
    connection = Connection((broker.address,))
    return sending.build(KafkaConfig(True, connection, replica="pod", compression="none"), ledger or Ledger())


def source(broker: KafkaBroker) -> Any:
    return reading.build(ReadConfig(True, Connection((broker.address,)), session_seconds=6.0), Ledger())


def batch(tick: int) -> Batch:
    return Batch(time.time(), counted=(Counted(10.0 * tick, "a/b/c", "x", "f" * 64, (1, 2)),), ticked=10.0 * tick)


def tell(one: Any, *batches: Batch) -> None:
    """The brokers may be away: it waits then."""
    for each in batches:
        try:
            one.write(each)
        except Retryable:
            continue


def read(one: Any, ticks: int) -> list[float]:
    """Beginnings of the ticks that were told, until there are so many."""
    told: list[float] = []
    end = time.monotonic() + 60
    while len(told) < ticks:
        assert time.monotonic() < end, told
        try:
            told += [event.record.at for event in one.read(time.time()).log if isinstance(event, Told)]
        except Retryable:
            time.sleep(0.1)
    return told


def acknowledged(ledger: Ledger, messages: int) -> None:
    """Until so many are: a reader may have a message before its sender knows, and what it does not know it repeats."""
    count = 0.0
    end = time.monotonic() + 60
    while count < messages:
        assert time.monotonic() < end, count
        count += sum(float(one.value) for one in ledger.drain(0.0) if one.metric == kafka.SENT)  # type: ignore[arg-type]
        time.sleep(0.05)


def hold(one: Any, ticks: int) -> list[float]:
    """
    Beginnings of the ticks that count, of so many, once the group that the broker forgot has this reader again: it
    kept nothing, so what was told before a partition left counts no longer and is told again.
    """
    told: dict[Place, list[float]] = {}
    has_left = False
    end = time.monotonic() + 60
    while not has_left or sum(map(len, told.values())) < ticks:
        assert time.monotonic() < end, told
        try:
            events = one.read(time.time()).log
        except Retryable:
            time.sleep(0.1)
            continue
        for event in events:
            if isinstance(event, Left):
                has_left = True
                told.pop(event.place, None)
            elif isinstance(event, Told):
                told.setdefault(event.place, []).append(event.record.at)
    return [at for place in sorted(told) for at in told[place]]


def test_a_reader_whose_topic_is_missing_says_so_and_reads_once_it_is_made(broker: KafkaBroker) -> None:
    one = source(broker)
    with pytest.raises(Retryable, match=r"topic watchkeeper\.ticks is not there; make it as docs/fleet\.md says"):
        one.read(0.0)
    broker.make({TICKS: 2, STATE: 1, DEAD: 1})
    with pytest.raises(Retryable, match=r"topic watchkeeper\.state has 1 partitions, needs 2"):
        one.read(0.0)
    one.close()
    one.finish()


def test_a_broker_that_restarts_with_what_it_held_costs_nothing_and_nothing_counts_twice(broker: KafkaBroker) -> None:
    assert isinstance(broker, KeepingKafkaBroker)
    broker.make({TICKS: 2, STATE: 2, DEAD: 1})
    ledger = Ledger()
    sender, reader = exporter(broker, ledger), source(broker)
    tell(sender, *map(batch, range(10)))
    assert read(reader, 10) == [10.0 * number for number in range(10)]
    acknowledged(ledger, 10)

    broker.stop()
    tell(sender, *map(batch, range(10, 20)))
    broker.start()
    held = hold(reader, 20)
    sender.close()
    reader.close()
    reader.finish()

    assert held == [10.0 * number for number in range(20)]
    assert len(broker.read(TICKS)) == 20


def finding(size: int) -> Finding:
    return Finding(at=1.0, since=1.0, severity=Severity.INFO, subject="x", summary="y" * size)


def test_a_message_that_the_broker_refuses_for_its_size_is_counted_and_costs_no_other(broker: KafkaBroker) -> None:
    broker.make({TICKS: 2, FINDINGS: 2})
    ledger = Ledger()
    one = exporter(broker, ledger)
    tell(one, batch(1), Batch(time.time(), findings=(finding(10), finding(2 << 20), finding(20))), batch(2))
    end = time.monotonic() + 60
    while len(broker.read(TICKS)) < 2:
        assert time.monotonic() < end
    tell(one, batch(3), Batch(time.time(), findings=(finding(30),)))
    while (len(broker.read(TICKS)), len(broker.read(FINDINGS))) != (3, 3):
        assert time.monotonic() < end
    one.close()

    assert len(broker.read(TICKS)) == 3
    kept = [record for told in broker.read(FINDINGS) if isinstance(record := decode(told.value), FindingRecord)]
    assert [len(record.finding.summary) for record in kept] == [10, 20, 30]
    said = {(sample.metric.name, sample.labels): sample.value for sample in ledger.drain(0.0)}
    assert said["watchkeeper.kafka.dropped", (("reason", "refused"),)] == 1
    assert said["watchkeeper.kafka.sent", (("topic", FINDINGS),)] == 3
    assert said["watchkeeper.kafka.sent.size", (("topic", FINDINGS),)] < 2 << 20
